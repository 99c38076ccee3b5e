//! librdkafka's properties. In: the configuration, and the files of secrets and certificates that it names. Out: the
//! properties of a producer, or what is wrong, with the key that it is wrong under.

use std::{fs, path::Path};

use rdkafka::{
    config::{ClientConfig, RDKafkaLogLevel},
    error::KafkaError,
};
use tracing::warn;

use super::secret;
use crate::config::{Config, ConfigError, Kafka, OnOff, Secret};

/// Properties that name a file which librdkafka reads when a producer is made, and only then.
const FILES: [&str; 5] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
];

/// Properties that may come out of a file of their own.
const SECRETS: [&str; 2] = ["sasl.password", "ssl.key.password"];

/// The properties of a producer, with everything that comes out of files as it is now.
#[derive(Clone)]
pub(super) struct Properties {
    /// For librdkafka.
    pub client: ClientConfig,
    /// What the files hold that librdkafka reads by itself.
    files: Vec<Option<Vec<u8>>>,
}

/// Whether a producer would be the same. Only secrets and files change while the daemon runs.
impl PartialEq for Properties {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && SECRETS.iter().all(|key| self.client.get(key) == other.client.get(key))
    }
}

impl Properties {
    /// What the daemon needs, what the file says, then what `[kafka.librdkafka]` passes through, which wins.
    pub fn read(config: &Config) -> Result<Self, ConfigError> {
        let mut client = plain(config);
        secrets(&config.kafka, &mut client)?;
        for (key, value) in &config.kafka.librdkafka.0 {
            client.set(key, value);
        }
        // librdkafka raises its own level where `debug` asks for something; the crate would lower it again.
        let debug = client.get("debug").is_some_and(|debug| !debug.is_empty());
        client.set_log_level(if debug { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        let content = |property: &&str| client.get(property).and_then(|file| fs::read(file).ok());
        let files = FILES.iter().map(content).collect();
        Ok(Self { client, files })
    }

    /// How connections are protected, in Kafka's words.
    fn protocol(&self) -> &str {
        self.client.get("security.protocol").unwrap_or("plaintext")
    }
}

/// Everything that is not secret.
fn plain(config: &Config) -> ClientConfig {
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
    set("statistics.interval.ms", "15000");
    // What is missing comes back and is sent again, so that a topic that is only slow to appear loses nothing, and
    // one that is gone is looked for soon.
    set("topic.metadata.propagation.max.ms", "5000");
    set("batch.num.messages", &kafka.batch_num_messages.to_string());
    set("compression.type", kafka.compression_codec.as_str());
    set("queue.buffering.max.messages", &kafka.queue_buffering_max_messages.to_string());
    set("queue.buffering.max.kbytes", &kafka.queue_buffering_max_kbytes.to_string());
    set("queue.buffering.max.ms", &kafka.queue_buffering_max_ms.to_string());
    set("allow.auto.create.topics", if kafka.create_topic == OnOff::On { "true" } else { "false" });
    let tls = kafka.tls.map_or(kafka.ca_file.is_some() || kafka.cert_file.is_some(), |tls| tls == OnOff::On);
    let protocol = match (kafka.username.is_some(), tls) {
        (true, true) => "sasl_ssl",
        (true, false) => "sasl_plaintext",
        (false, true) => "ssl",
        (false, false) => "plaintext",
    };
    set("security.protocol", protocol);
    // A certificate proves nothing unless it is the one of the host that was asked for.
    set("ssl.endpoint.identification.algorithm", "https");
    for (key, file) in [
        ("ssl.ca.location", &kafka.ca_file),
        ("ssl.certificate.location", &kafka.cert_file),
        ("ssl.key.location", &kafka.private_key),
    ] {
        if let Some(file) = file {
            set(key, &file.to_string_lossy());
        }
    }
    properties
}

fn secrets(kafka: &Kafka, properties: &mut ClientConfig) -> Result<(), ConfigError> {
    let read = |secret: &Option<Secret>, file: &Option<std::path::PathBuf>, key: &str| match (secret, file) {
        (Some(secret), _) => Ok(Some(secret.clone())),
        (None, Some(file)) => secret::read(file)
            .map(Some)
            .map_err(|why| ConfigError::about(key.to_owned(), format!("{} {why}", file.display()))),
        (None, None) => Ok(None),
    };
    if let Some(username) = &kafka.username {
        properties.set("sasl.mechanism", kafka.sasl_mechanism.as_str()).set("sasl.username", username);
        if let Some(password) = read(&kafka.password, &kafka.password_file, "kafka.password_file")? {
            properties.set("sasl.password", password.expose());
        }
    }
    let file = &kafka.private_key_password_file;
    if let Some(password) = read(&kafka.private_key_password, file, "kafka.private_key_password_file")? {
        properties.set("ssl.key.password", password.expose());
    }
    Ok(())
}

/// Asks librdkafka whether it accepts the properties, and whether the files that they name can be read; nothing is
/// contacted.
///
/// # Errors
/// The first file that cannot be read, or librdkafka's own sentence about the first property that it refuses.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    let kafka = &config.kafka;
    for (key, file) in
        [("ca_file", &kafka.ca_file), ("cert_file", &kafka.cert_file), ("private_key", &kafka.private_key)]
    {
        if let Some(file) = file
            && let Err(error) = fs::metadata(file).and_then(|found| match found.is_dir() {
                // librdkafka takes a folder of authorities.
                true => Ok(()),
                false => fs::File::open(file).map(drop),
            })
        {
            return Err(ConfigError::about(
                format!("kafka.{key}"),
                format!("{} cannot be read: {error}", file.display()),
            ));
        }
    }
    Properties::read(config)?.client.create_native_config().map(drop).map_err(|error| match &error {
        // The value stays out of the message: it may be a password.
        KafkaError::ClientConfig(_, description, property, _) => {
            let key = format!("kafka.librdkafka.{property}");
            ConfigError::about(key, format!("librdkafka refuses it: {description}"))
        }
        other => ConfigError::about("kafka", other.to_string()),
    })
}

/// Warns of what makes a secret less secret than it should be.
pub(super) fn warn_of_leaks(config: &Config, properties: &Properties) {
    let kafka = &config.kafka;
    for (key, file) in [
        ("password_file", &kafka.password_file),
        ("private_key_password_file", &kafka.private_key_password_file),
        ("private_key", &kafka.private_key),
    ] {
        if let Some(file) = file
            && secret::world_readable(file)
        {
            let file = file.display();
            warn!("every user of this host can read {file} (kafka.{key}): run `chmod o-rwx {file}`");
        }
    }
    let plain = properties.client.get("sasl.mechanism") == Some("PLAIN");
    if plain && properties.protocol().eq_ignore_ascii_case("sasl_plaintext") {
        warn!(
            "the password goes over the network as it is: set kafka.tls, or a SCRAM mechanism in kafka.sasl_mechanism"
        );
    }
}

/// Where the password comes from, for a sentence about it.
pub(super) fn password_source(kafka: &Kafka) -> String {
    let file =
        |file: &Path| format!("the password in {} (a new one there takes effect at once)", file.display());
    kafka.password_file.as_deref().map_or_else(|| "kafka.password".to_owned(), file)
}
