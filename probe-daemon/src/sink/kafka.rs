//! The Kafka sink: one message a record, key `host.id`, idempotent, acknowledged by all in-sync replicas.
//!
//! A record counts as delivered only when its delivery report says so. While the brokers are away, librdkafka's
//! queue fills, then this sink's own; what finds that one full is lost for Kafka, counted. librdkafka gives up on
//! a message after `message.timeout.ms`, which is counted too.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    config::{ClientConfig, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig, ThreadedProducer},
};
use tokio::time;
use tracing::{debug, error, info, warn};

use super::{Deadline, Encoded, Sink};
use crate::{
    config::{Channel, Config, ConfigError, Encoding},
    meter::SinkMeter,
};

/// Pause before a record is offered again to librdkafka's full queue.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// The same trouble is logged again after this time.
const TROUBLE_PAUSE: Duration = Duration::from_secs(60);
/// How long delivery reports of purged messages may take.
const PURGE_TIME: Duration = Duration::from_secs(1);

/// Produces records to one topic.
pub struct KafkaSink {
    producer: ThreadedProducer<Reports>,
    topic: String,
    encoding: Encoding,
    key: Option<String>,
    deadline: Deadline,
    meter: Arc<SinkMeter>,
}

/// librdkafka's properties for this configuration: what the daemon needs, what the file says, then what
/// `[kafka.librdkafka]` passes through, which wins.
pub fn properties(config: &Config) -> ClientConfig {
    let kafka = &config.kafka;
    let mut properties = ClientConfig::new();
    let mut set = |key: &str, value: &str| {
        properties.set(key, value);
    };
    set("bootstrap.servers", &kafka.kafka_broker);
    set("client.id", "gala-gopher-event-probe");
    set("enable.idempotence", "true");
    set("acks", "all");
    // The Java client's partitioner: the same host goes to the same partition whoever produces.
    set("partitioner", "murmur2_random");
    set("message.timeout.ms", "120000");
    set("socket.keepalive.enable", "true");
    set("batch.num.messages", &kafka.batch_num_messages.to_string());
    set("compression.type", kafka.compression_codec.as_str());
    set("queue.buffering.max.messages", &kafka.queue_buffering_max_messages.to_string());
    set("queue.buffering.max.kbytes", &kafka.queue_buffering_max_kbytes.to_string());
    set("queue.buffering.max.ms", &kafka.queue_buffering_max_ms.to_string());
    let files = [
        ("ssl.ca.location", &kafka.ca_file),
        ("ssl.certificate.location", &kafka.cert_file),
        ("ssl.key.location", &kafka.private_key),
    ];
    let tls = files.iter().any(|(_, file)| file.is_some());
    let protocol = match (kafka.username.is_some(), tls) {
        (true, true) => "sasl_ssl",
        (true, false) => "sasl_plaintext",
        (false, true) => "ssl",
        (false, false) => "plaintext",
    };
    set("security.protocol", protocol);
    for (key, file) in files {
        if let Some(file) = file {
            set(key, &file.to_string_lossy());
        }
    }
    if let (Some(username), Some(password)) = (&kafka.username, &kafka.password) {
        set("sasl.mechanism", "PLAIN");
        set("sasl.username", username);
        set("sasl.password", password.expose());
    }
    for (key, value) in &kafka.librdkafka.0 {
        set(key, value);
    }
    properties
}

/// Asks librdkafka whether it accepts the properties; nothing is contacted.
///
/// # Errors
/// librdkafka's own sentence about the first property that it refuses.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    properties(config).create_native_config().map(drop).map_err(|error| match &error {
        // The value stays out of the message: it may be a password.
        KafkaError::ClientConfig(_, description, property, _) => {
            let key = format!("kafka.librdkafka.{property}");
            ConfigError::about(key, format!("librdkafka refuses it: {description}"))
        }
        other => ConfigError::about("kafka", other.to_string()),
    })
}

impl KafkaSink {
    /// Creates the producer. No broker needs to be there yet.
    ///
    /// # Errors
    /// What librdkafka finds wrong with the configuration.
    pub fn new(
        config: &Config,
        key: Option<String>,
        deadline: Deadline,
        meter: Arc<SinkMeter>,
    ) -> Result<Self, String> {
        let producer = properties(config)
            .set_log_level(RDKafkaLogLevel::Info)
            .create_with_context(Reports { meter: Arc::clone(&meter), trouble: Mutex::new(None) })
            .map_err(|error| error.to_string())?;
        let (topic, encoding) = (config.event.kafka_topic.clone(), config.encoding(Channel::Kafka));
        Ok(Self { producer, topic, encoding, key, deadline, meter })
    }

    /// Hands one record to librdkafka, and waits while its queue is full.
    async fn produce(&self, record: &Encoded) {
        loop {
            if self.deadline.passed() {
                self.meter.lost_delivery.add(record.occurrences);
                return;
            }
            let headers = OwnedHeaders::new_with_capacity(4)
                .insert(Header { key: "content-type", value: Some(self.encoding.content_type()) })
                .insert(Header { key: "gg.encoding", value: Some(self.encoding.as_str()) })
                .insert(Header { key: "gg.schema", value: Some("1") })
                .insert(Header { key: "gg.event", value: Some(record.event_name) });
            // The delivery report brings the number back.
            let events = Box::new(record.occurrences);
            let mut message = BaseRecord::<str, [u8], _>::with_opaque_to(&self.topic, events)
                .payload(&record.bytes)
                .headers(headers);
            if let Some(key) = &self.key {
                message = message.key(key);
            }
            match self.producer.send(message) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    time::sleep(FULL_PAUSE).await;
                }
                Err((error, _)) => {
                    self.meter.lost_delivery.add(record.occurrences);
                    error!(%error, "a record is lost: Kafka refuses it");
                    return;
                }
            }
        }
    }
}

impl Sink for KafkaSink {
    async fn deliver(&mut self, batch: &mut Vec<Encoded>) {
        for record in batch.iter() {
            self.produce(record).await;
        }
    }

    async fn close(self) {
        let left = self.deadline.left().unwrap_or_default();
        let flushed = tokio::task::spawn_blocking(move || {
            // Dropping a producer purges it, and with it the reports that the ledger needs: flush first.
            if self.producer.flush(left).is_err() {
                warn!(
                    records = self.producer.in_flight_count(),
                    "Kafka did not acknowledge all records in time"
                );
                self.producer.purge(PurgeConfig::default().queue().inflight());
                if let Err(error) = self.producer.flush(PURGE_TIME) {
                    error!(%error, "records are not accounted for");
                }
            }
        });
        if let Err(error) = flushed.await {
            error!(%error, "the Kafka producer did not close cleanly");
        }
    }
}

/// Takes librdkafka's delivery reports, errors and log lines.
struct Reports {
    meter: Arc<SinkMeter>,
    trouble: Mutex<Option<Trouble>>,
}

/// The error that was logged last.
struct Trouble {
    code: Option<RDKafkaErrorCode>,
    since: Instant,
}

impl Reports {
    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // A failed connection comes as an error too.
            _ if ["FAIL", "ERROR"].contains(&facility) => debug!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Debug => debug!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                info!(target: "librdkafka", facility, "{message}")
            }
            _ => warn!(target: "librdkafka", facility, "{message}"),
        }
    }

    /// librdkafka reports each attempt; a line for each would fill the log of a host whose brokers are away.
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let mut trouble = self.trouble();
        let again = trouble.as_ref().is_some_and(|last| last.since.elapsed() < TROUBLE_PAUSE);
        // That all brokers are down only sums up what was said of each.
        if !again
            || (code != Some(RDKafkaErrorCode::AllBrokersDown)
                && trouble.as_ref().is_some_and(|l| l.code != code))
        {
            warn!(reason, "Kafka: {}", code.map_or_else(|| error.to_string(), |code| code.to_string()));
            *trouble = Some(Trouble { code, since: Instant::now() });
        }
    }

    // Statistics are off unless a property asks for them; they are not for the log.
    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, report: &DeliveryResult<'_>, events: Box<u64>) {
        match report {
            Ok(_) => {
                self.meter.delivered(1, *events);
                if self.trouble().take().is_some() {
                    info!("Kafka takes records");
                }
            }
            Err((error, _)) => {
                if self.meter.lost_delivery.get() == 0 {
                    error!(%error, "records are lost: Kafka did not take them; further ones are only counted");
                }
                self.meter.lost_delivery.add(*events);
            }
        }
    }
}
