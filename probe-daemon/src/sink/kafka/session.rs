//! One producer from its making to its end. In: records. Out: messages in librdkafka's queue; at the end, the numbers of
//! all that is not delivered, in order.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer as _, PurgeConfig, ThreadedProducer},
};
use tracing::{error, warn};

use super::{
    line::Ticket,
    properties::Properties,
    reports::{Reports, State},
};

/// How long delivery reports of purged messages may take.
const PURGE_TIME: Duration = Duration::from_secs(5);

/// How records are put together in requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batching {
    /// As configured; at most so many bytes, where brokers refused more.
    Together(Option<usize>),
    /// Each by itself, so that a refusal tells which record it is about.
    Alone,
}

/// A producer and what is known of it.
pub(super) struct Session {
    producer: ThreadedProducer<Reports>,
    /// Shared with the producer's callbacks.
    pub state: Arc<State>,
    /// How it makes requests.
    pub batching: Batching,
}

impl Session {
    /// Makes a producer. No broker needs to be there yet.
    ///
    /// # Errors
    /// What librdkafka finds wrong, such as a certificate that cannot be read.
    pub fn start(properties: &Properties, batching: Batching, state: Arc<State>) -> Result<Self, String> {
        let mut client = properties.client.clone();
        match batching {
            Batching::Together(None) => {}
            Batching::Together(Some(bytes)) => {
                client.set("batch.size", bytes.to_string());
            }
            Batching::Alone => {
                client.set("batch.num.messages", "1").set("linger.ms", "0");
                client.remove("queue.buffering.max.ms");
            }
        }
        let reports = Reports(Arc::clone(&state));
        let producer = client.create_with_context(reports).map_err(|error| error.to_string())?;
        Ok(Self { producer, state, batching })
    }

    /// The producer, for questions about the cluster.
    pub fn producer(&self) -> ThreadedProducer<Reports> {
        self.producer.clone()
    }

    /// Messages without a delivery report.
    pub fn in_flight(&self) -> usize {
        self.state.in_flight.load(Ordering::Acquire)
    }

    /// Whether something came back, or nothing will be delivered any more.
    pub fn broken(&self) -> bool {
        self.state.broken.load(Ordering::Acquire)
    }

    /// Hands one record to librdkafka.
    pub fn send(&self, topic: &str, key: Option<&str>, ticket: &Ticket) -> Result<(), Code> {
        let record = &ticket.record;
        let headers = OwnedHeaders::new_with_capacity(4)
            .insert(Header { key: "content-type", value: Some(&*record.form.content_type) })
            .insert(Header { key: "gg.encoding", value: Some(&*record.form.name) })
            .insert(Header { key: "gg.schema", value: Some("1") })
            .insert(Header { key: "gg.event", value: Some(&*record.event_name) });
        // Numbers have 64 bits, and so has a pointer of every system that this runs on.
        let number = ticket.number as usize;
        let mut message =
            BaseRecord::<str, [u8], _>::with_opaque_to(topic, number).payload(&record.bytes).headers(headers);
        if let Some(key) = key {
            message = message.key(key);
        }
        // Counted first: the delivery report may come before `send` returns.
        self.state.in_flight.fetch_add(1, Ordering::AcqRel);
        self.producer.send(message).map_err(|(error, _)| {
            self.state.in_flight.fetch_sub(1, Ordering::AcqRel);
            error.rdkafka_error_code().unwrap_or(Code::Unknown)
        })
    }

    /// Why the producer can do nothing more, where that is so.
    pub fn fatal(&self) -> Option<(Code, String)> {
        self.producer.client().fatal_error()
    }

    /// Sends what waits for company, and waits for delivery reports. Blocks.
    pub fn flush(producer: &ThreadedProducer<Reports>, patience: Duration) {
        match producer.flush(patience) {
            // What is left shows in the count of messages in flight.
            Ok(()) | Err(KafkaError::Flush(_)) => {}
            Err(error) => error!(%error, "Kafka cannot be flushed"),
        }
    }

    /// Ends the producer; its state has then what it has delivered and what not. Blocks.
    pub fn end(self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        // The producer's own thread takes delivery reports as well, so that a flush may return before all are in.
        let start = Instant::now();
        while self.in_flight() > 0 && start.elapsed() < PURGE_TIME {
            Self::flush(&self.producer, Duration::from_millis(20));
            thread::sleep(Duration::from_millis(1));
        }
        let left = self.in_flight();
        if left > 0 {
            warn!(records = left, "librdkafka does not tell what became of records; they are sent again");
        }
    }
}
