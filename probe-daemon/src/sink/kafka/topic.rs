//! The topic. In: a producer, and whether the topic may be created. Out: whether it is there.

use std::time::Duration;

use rdkafka::{
    ClientContext,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::Client,
    config::{ClientConfig, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use tracing::debug;

use super::reports;

/// How long brokers may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long they may take to create a topic.
const CREATION: Duration = Duration::from_secs(5);

/// What became of a look at the topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is there, with so many partitions.
    There(usize),
    /// The daemon has created it.
    Created,
    /// It is missing; why the daemon has not created it.
    Missing(String),
    /// Brokers do not say, or not yet. Other errors tell why.
    Unknown,
    /// This user may not see it.
    Refused(Code, String),
}

/// Looks for the topic, and creates it where it is missing and `properties` for that are given. Blocks.
pub(super) fn look<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    properties: Option<&ClientConfig>,
) -> Found {
    let metadata = match client.fetch_metadata(Some(topic), PATIENCE) {
        Ok(metadata) => metadata,
        Err(error) => {
            debug!(%error, "Kafka does not tell of the topic");
            return Found::Unknown;
        }
    };
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Found::Unknown;
    };
    match found.error().map(Code::from) {
        None => Found::There(found.partitions().len()),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => match properties {
            Some(properties) => create(topic, properties),
            None => Found::Missing("kafka.create_topic is off".to_owned()),
        },
        Some(code @ Code::TopicAuthorizationFailed) => Found::Refused(code, code.to_string()),
        Some(code) => {
            // Such as "leader not available" of a topic that is just being created.
            debug!(%code, "Kafka does not tell of the topic");
            Found::Unknown
        }
    }
}

/// Creates the topic with the brokers' own defaults (KIP-464: -1 for partitions and replicas).
fn create(topic: &str, properties: &ClientConfig) -> Found {
    let failed = |error: KafkaError| Found::Missing(format!("cannot be created ({error})"));
    let client: AdminClient<Quiet> = match properties.create_with_context(Quiet) {
        Ok(client) => client,
        Err(error) => return failed(error),
    };
    let new = NewTopic::new(topic, -1, TopicReplication::Fixed(-1));
    let options = AdminOptions::new().request_timeout(Some(CREATION)).operation_timeout(Some(CREATION));
    let created = tokio::runtime::Handle::current().block_on(client.create_topics([&new], &options));
    match created.map(|results| results.into_iter().next()) {
        Ok(Some(Ok(_))) => Found::Created,
        // Another host was faster.
        Ok(Some(Err((_, Code::TopicAlreadyExists)))) => Found::Unknown,
        Ok(Some(Err((_, code @ (Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed))))) => {
            Found::Missing(format!("this user may not create it ({code})"))
        }
        Ok(Some(Err((_, code)))) => Found::Missing(format!("cannot be created ({code})")),
        Ok(None) => Found::Unknown,
        Err(error) => failed(error),
    }
}

/// Errors of this short-lived client come from the producer as well.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if level as i32 >= RDKafkaLogLevel::Info as i32 {
            reports::log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "Kafka, while the topic is created");
    }

    fn stats_raw(&self, _: &[u8]) {}
}
