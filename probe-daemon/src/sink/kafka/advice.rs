//! What an operator can do about an error of Kafka. In: its code and what librdkafka says of it. Out: sentences, each
//! said when it is new and once a minute while it lasts.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::error::RDKafkaErrorCode as Code;
use tracing::{info, warn};

use super::properties;
use crate::config::Config;

/// The same trouble is logged again after this time.
const PAUSE: Duration = Duration::from_secs(60);

/// Says what is wrong, for all producers that this sink makes.
pub(super) struct Adviser {
    brokers: String,
    topic: String,
    user: Option<String>,
    mechanism: &'static str,
    password: String,
    /// Files and keys that a sentence about TLS names.
    authorities: String,
    certificate: String,
    /// What was said, and when; empty while all is well.
    said: Mutex<Vec<(String, Instant)>>,
}

impl Adviser {
    /// One for this configuration.
    pub fn new(config: &Config) -> Self {
        let kafka = &config.kafka;
        let authorities = match &kafka.ca_file {
            Some(file) => format!("{} (kafka.ca_file)", file.display()),
            None => "the authorities that this host trusts (kafka.ca_file is not set)".to_owned(),
        };
        let certificate = match &kafka.cert_file {
            Some(file) => format!("{} (kafka.cert_file)", file.display()),
            None => "none (kafka.cert_file is not set)".to_owned(),
        };
        Self {
            brokers: kafka.kafka_broker.clone(),
            topic: config.event.kafka_topic.clone(),
            user: kafka.username.clone(),
            mechanism: kafka.sasl_mechanism.as_str(),
            password: properties::password_source(kafka),
            authorities,
            certificate,
            said: Mutex::default(),
        }
    }

    fn said(&self) -> MutexGuard<'_, Vec<(String, Instant)>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what can be done about an error, unless that was said a moment ago. librdkafka reports each attempt; a
    /// line for each would fill the log of a host whose brokers are away.
    pub fn warn(&self, code: Code, reason: &str) {
        // That all brokers are down only sums up what was said of each.
        if code != Code::AllBrokersDown || self.said().is_empty() {
            self.say(reason, self.sentence(code, reason));
        }
    }

    /// Says this, unless it was said a moment ago.
    fn say(&self, reason: &str, sentence: String) {
        let mut said = self.said();
        said.retain(|(_, when)| when.elapsed() < PAUSE);
        if !said.iter().any(|(other, _)| *other == sentence) {
            warn!(reason, "{sentence}");
            said.push((sentence, Instant::now()));
        }
    }

    /// Brokers close connections again and again, which is no error to librdkafka.
    pub fn closed(&self, times: u64) {
        let Self { brokers, .. } = self;
        let advice = match self.user {
            None => format!(
                "the listener at {brokers} may want TLS (kafka.tls, kafka.ca_file) or a login (kafka.username). "
            ),
            Some(_) => String::new(),
        };
        let reason = format!("{times} connections closed since Kafka has last taken a record");
        self.say(&reason, format!("Kafka closes the connection; {advice}Records wait"));
    }

    /// A secret cannot be read any more.
    pub fn unreadable(&self, reason: &str) {
        self.say(
            reason,
            "a secret for Kafka cannot be read; the one that was read before is tried".to_owned(),
        );
    }

    /// librdkafka makes no producer of what it is given.
    pub fn no_producer(&self, reason: &str) {
        let sentence = "Kafka: no producer can be made; mend the file that is named, and it is tried again. Records wait";
        self.say(reason, sentence.to_owned());
    }

    /// A record was acknowledged.
    pub fn all_is_well(&self) {
        if !std::mem::take(&mut *self.said()).is_empty() {
            info!("Kafka takes records");
        }
    }

    /// What is wrong and what to do.
    fn sentence(&self, code: Code, reason: &str) -> String {
        let Self { brokers, authorities, certificate, .. } = self;
        match code {
            Code::Authentication | Code::SaslAuthenticationFailed => self.login(),
            Code::SSL if reason.contains("certificate verify failed") => format!(
                "the certificate of a broker is not accepted: it is not signed by {authorities}, has expired, or is \
                 for another host name than the one in kafka.kafka_broker ({brokers}); `openssl s_client -connect \
                 HOST:PORT -verify_hostname HOST -CAfile FILE` says which. Records wait"
            ),
            // A broker says so behind the handshake, so that librdkafka sees a lost connection.
            Code::SSL | Code::BrokerTransportFailure if code == Code::SSL || reason.contains("SSL alert") => {
                format!(
                    "no encrypted connection to a broker: if brokers ask for a certificate of this host, it is \
                 {certificate}; a mended file takes effect at once. Records wait"
                )
            }
            Code::BrokerTransportFailure if self.user.is_none() && reason.contains("SSL listener") => {
                format!(
                    "Kafka: {code}; the listener at {brokers} may want TLS (kafka.tls, kafka.ca_file). Records wait"
                )
            }
            Code::Resolve => {
                format!("Kafka: {code}; correct kafka.kafka_broker ({brokers}) or the name service")
            }
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => self.permission(),
            code => format!("Kafka: {code}"),
        }
    }

    fn login(&self) -> String {
        let Self { user, mechanism, password, certificate, .. } = self;
        match user {
            Some(user) => format!(
                "Kafka does not let user {user} log in with {mechanism}: correct kafka.username, {password} or \
                 kafka.sasl_mechanism. Records wait"
            ),
            None => format!(
                "Kafka does not let this host log in: set kafka.username, or a certificate, which is {certificate}. \
                 Records wait"
            ),
        }
    }

    /// The user lacks a permission.
    fn permission(&self) -> String {
        let Self { brokers, topic, user, certificate, .. } = self;
        let (who, principal) = match user {
            Some(user) => (format!("user {user}"), user.as_str()),
            None => (format!("this host (certificate: {certificate})"), "NAME"),
        };
        format!(
            "Kafka: {who} may not write to topic {topic}: run `kafka-acls.sh --bootstrap-server {brokers} --add \
             --allow-principal User:{principal} --producer --topic {topic}`. Records wait"
        )
    }

    /// The topic is missing, and it is not for the daemon to create it.
    pub fn missing(&self, why: &str) {
        let Self { brokers, topic, .. } = self;
        let sentence = format!(
            "topic {topic} does not exist and {why}: run `kafka-topics.sh --bootstrap-server {brokers} --create \
             --topic {topic}`, or correct event.kafka_topic. Records wait"
        );
        self.say("there is no such topic", sentence);
    }
}
