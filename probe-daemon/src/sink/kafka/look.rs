//! What the sink sees to beside records. In: time that passes, answers about the topic, files that change. Out: a topic
//! that is looked for or created, a producer that is tried again.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rdkafka::producer::Producer as _;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::info;

use super::{
    KafkaSink, TICK,
    properties::Properties,
    topic::{self, Found},
};
use crate::config::OnOff;

/// How often the sink looks after itself while an answer about the topic is on its way.
const LOOK_TICK: Duration = Duration::from_millis(50);
/// Pauses between two looks at a topic that is not there, or is not told of.
const TOPIC_PAUSE: Duration = Duration::from_secs(2);

/// Where the search for the topic stands.
pub(super) enum Look {
    /// Not begun, or to be begun again at this time.
    At(Instant),
    /// Under way.
    UnderWay(JoinHandle<Found>),
    /// It was there.
    Done,
}

impl KafkaSink {
    /// How long the sink does not look after itself while nothing else happens.
    pub(super) fn tick(&self) -> Duration {
        match (&self.topic, self.looked_after) {
            (_, None) => Duration::ZERO,
            (Look::UnderWay(_), _) => LOOK_TICK,
            _ if self.session.is_none() || self.line.wants_sync() => TICK / 4,
            _ => TICK,
        }
    }

    /// Whether a secret or a certificate is another one than the producer has.
    pub(super) fn mended(&self) -> bool {
        Properties::read(&self.config).is_ok_and(|properties| properties != self.properties)
    }

    /// Sees to the spool and the topic, and to new secrets and certificates while Kafka refuses the old ones.
    pub(super) async fn look_after(&mut self) {
        self.line.care().await;
        let Some(session) = &self.session else {
            if self.mended() {
                self.end_rest();
            }
            return;
        };
        if session.state.troubled.load(Ordering::Acquire) && self.mended() {
            info!("a secret or a certificate has changed; Kafka is tried again with it");
            session.state.broken.store(true, Ordering::Release);
            return;
        }
        match &mut self.topic {
            Look::At(when) if *when <= Instant::now() => {
                let producer = session.producer();
                let name = self.config.event.kafka_topic.clone();
                let create = self.config.kafka.create_topic == OnOff::On;
                let properties = create.then(|| self.properties.client.clone());
                let look = spawn_blocking(move || topic::look(producer.client(), &name, properties.as_ref()));
                self.topic = Look::UnderWay(look);
            }
            Look::UnderWay(look) if look.is_finished() => {
                let found = look.await.unwrap_or(Found::Unknown);
                self.answered(found);
            }
            Look::At(_) | Look::UnderWay(_) | Look::Done => {}
        }
    }

    /// What a look at the topic means.
    fn answered(&mut self, found: Found) {
        let topic = &self.config.event.kafka_topic;
        self.topic = match found {
            Found::There(partitions) => {
                info!(partitions, "Kafka has the topic {topic}");
                Look::Done
            }
            Found::Created => {
                info!("the topic {topic} was missing and is created");
                Look::Done
            }
            Found::Missing(why) => {
                self.adviser.missing(&why);
                self.expect_better();
                Look::At(Instant::now() + TOPIC_PAUSE)
            }
            Found::Refused(code, reason) => {
                self.adviser.warn(code, &reason);
                self.expect_better();
                Look::At(Instant::now() + TOPIC_PAUSE)
            }
            Found::Unknown => Look::At(Instant::now() + TOPIC_PAUSE),
        };
    }

    /// The next acknowledgement is worth a line in the log.
    fn expect_better(&self) {
        if let Some(session) = &self.session {
            session.state.troubled.store(true, Ordering::Release);
        }
    }
}
