//! The Kafka sink: one message a record, key `host.id`, idempotent, acknowledged by all in-sync replicas.
//!
//! In: encoded records. Out: messages in one topic. A record counts as delivered only when its delivery report says
//! so. One that Kafka does not take comes back as a value, with all records behind it, and they are sent again in
//! order by a new producer: whether a broker was away for too long, the topic was deleted, a permission or a
//! password is wrong, or the producer itself is stuck. So a record may arrive twice, with the same `log.record.uid`,
//! and none is lost but for three reasons, each counted: this sink's queue is full, the daemon is stopped, or
//! Kafka refuses that very record, which is then cut, and given up where it cannot be cut further.

mod advice;
mod properties;
mod reports;
mod secret;
mod session;
#[cfg(test)]
mod tests;
mod topic;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rdkafka::{error::RDKafkaErrorCode as Code, producer::Producer as _};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time,
};
use tracing::{error, info, warn};

use self::{
    advice::Adviser,
    properties::Properties,
    reports::{Returned, State, Ticket},
    session::{Batching, Session},
    topic::Found,
};
use super::{Deadline, Encoded, Sink};
use crate::{
    config::{Config, OnOff},
    meter::SinkMeter,
};

pub use properties::check;

/// Pause before a record is offered again to librdkafka's full queue.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// How often the sink looks after itself while nothing else happens.
const TICK: Duration = Duration::from_secs(1);
/// The same while an answer about the topic is on its way.
const LOOK_TICK: Duration = Duration::from_millis(50);
/// The first pause before records are sent again; it doubles up to the last one while nothing is acknowledged.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// Pauses between two looks at a topic that is not there, or is not told of.
const TOPIC_PAUSE: Duration = Duration::from_secs(2);
/// librdkafka's own limit for the batches of a request.
const BATCH_SIZE: usize = 1_000_000;
/// Requests do not become smaller than this, and records are not cut below.
const SMALLEST: usize = 1024;

/// Produces records to one topic.
pub struct KafkaSink {
    config: Config,
    key: Option<String>,
    deadline: Deadline,
    meter: Arc<SinkMeter>,
    adviser: Arc<Adviser>,
    properties: Properties,
    /// None only while one producer takes the place of another.
    session: Option<Session>,
    /// Records that librdkafka does not have, in order; those that came back are the first.
    waiting: VecDeque<Ticket>,
    /// The number of the newest record.
    newest: u64,
    /// Records up to this number are sent one by one, since a request that held some of them was refused.
    alone: u64,
    /// The most bytes in a request, where brokers refused requests for their size.
    batch_size: Option<usize>,
    /// The same from when the records that are sent alone are through, unless one of them was the reason.
    suspect: Option<usize>,
    pause: Duration,
    topic: Look,
    /// When the sink last looked after itself.
    looked_after: Option<Instant>,
}

/// Where the search for the topic stands.
enum Look {
    /// Not begun, or to be begun again at this time.
    At(Instant),
    /// Under way.
    UnderWay(JoinHandle<Found>),
    /// It was there.
    Done,
}

impl KafkaSink {
    /// Creates the producer. No broker needs to be there yet.
    ///
    /// # Errors
    /// What is wrong with the configuration, or with a file that it names.
    pub fn new(
        config: &Config,
        key: Option<String>,
        deadline: Deadline,
        meter: Arc<SinkMeter>,
    ) -> Result<Self, String> {
        let properties = Properties::read(config).map_err(|error| error.to_string())?;
        properties::warn_of_leaks(config, &properties);
        let adviser = Arc::new(Adviser::new(config));
        let state = Arc::new(State::new(Arc::clone(&meter), Arc::clone(&adviser)));
        let session = Session::start(&properties, Batching::Together(None), state)?;
        Ok(Self {
            config: config.clone(),
            key,
            deadline,
            meter,
            adviser,
            properties,
            session: Some(session),
            waiting: VecDeque::new(),
            newest: 0,
            alone: 0,
            batch_size: None,
            suspect: None,
            pause: FIRST_PAUSE,
            topic: Look::At(Instant::now()),
            looked_after: None,
        })
    }

    /// Hands all that waits to librdkafka, and waits while it cannot take it.
    async fn pump(&mut self) {
        while !self.deadline.passed() {
            let Some(session) = &self.session else { return };
            if session.broken() {
                self.recover(None).await;
                continue;
            }
            let Some(ticket) = self.waiting.front() else { return };
            let alone = ticket.number <= self.alone;
            if alone != (session.batching == Batching::Alone) {
                // The last one that was sent alone is acknowledged before others go together again.
                match session.in_flight() {
                    0 => self.renew().await,
                    _ => self.idle(TICK).await,
                }
                continue;
            }
            if alone && session.in_flight() > 0 {
                self.idle(TICK).await;
                continue;
            }
            match session.send(&self.config.event.kafka_topic, self.key.as_deref(), ticket) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(Code::QueueFull) => self.idle(FULL_PAUSE).await,
                Err(code) if is_refusal(code) => {
                    // librdkafka itself refuses it, so there is no doubt which record is meant.
                    if let Some(mut ticket) = self.waiting.pop_front()
                        && let Some(record) = self.cut(&ticket.record, code)
                    {
                        ticket.record = record;
                        self.waiting.push_front(ticket);
                    }
                }
                Err(code) => self.recover(Some(code)).await,
            }
        }
    }

    /// Replaces a producer that delivers nothing more, for the reason that is given if it is known, and takes back
    /// what it had.
    async fn recover(&mut self, reason: Option<Code>) {
        let Some(session) = self.session.take() else { return };
        let state = Arc::clone(&session.state);
        let fatal = session.fatal();
        let batching = session.batching;
        let returned = spawn_blocking(move || session.end()).await.unwrap_or_else(|error| {
            error!(%error, "records are not accounted for: a Kafka producer did not end cleanly");
            Vec::new()
        });
        if state.acknowledged.load(Ordering::Relaxed) > 0 {
            self.pause = FIRST_PAUSE;
        }
        let purged = |code: &Code| matches!(code, Code::PurgeQueue | Code::PurgeInflight);
        let first = returned.iter().map(|back| back.why).find(|code| !purged(code)).or(reason);
        let trouble = fatal.or_else(|| first.map(|code| (code, code.to_string())));
        let refused = self.settle(returned, batching);
        if let Some((code, reason)) = trouble
            && !refused
        {
            self.say(code, &reason);
            self.rest().await;
        }
        self.renew().await;
    }

    /// Decides about records that came back: to be sent again, or not. Returns whether some were refused.
    ///
    /// This is where records that Kafka did not take are at hand as values; those to be sent again go in front of
    /// what waits.
    fn settle(&mut self, returned: Vec<Returned>, batching: Batching) -> bool {
        let refused: Vec<_> = returned.iter().filter(|back| is_refusal(back.why)).collect();
        let any = !refused.is_empty();
        if let (Batching::Together(size), Some(last)) = (batching, refused.last()) {
            // Which record of the request it is about, or whether only all together are too large, shows when each
            // is sent by itself.
            self.alone = last.ticket.number;
            let for_size = refused.iter().any(|back| is_size(back.why));
            self.suspect = for_size.then(|| (size.unwrap_or(BATCH_SIZE) / 4).max(SMALLEST));
        }
        for Returned { mut ticket, why } in returned.into_iter().rev() {
            if batching == Batching::Alone && is_refusal(why) {
                self.suspect = None;
                let Some(record) = self.cut(&ticket.record, why) else { continue };
                ticket.record = record;
            }
            self.waiting.push_front(ticket);
        }
        any
    }

    /// A smaller form of a record that Kafka refuses for good; none where there is none, and then it is lost.
    fn cut(&self, record: &Encoded, why: Code) -> Option<Encoded> {
        let size = record.bytes.len();
        let topic = &self.config.event.kafka_topic;
        let smaller = match record.form.cut {
            Some(cut) if is_size(why) && size > SMALLEST => cut(&record.bytes, size / 2),
            _ => None,
        };
        match smaller {
            Some(bytes) => {
                warn!(
                    size,
                    cut = bytes.len(),
                    "a record is cut: topic {topic} takes none of its size; raise the topic's max.message.bytes"
                );
                Some(Encoded { bytes, ..record.clone() })
            }
            None => {
                error!(
                    size,
                    event = record.event_name,
                    "a record is lost: Kafka refuses it for good ({why})"
                );
                self.meter.lost_delivery.add(record.occurrences);
                None
            }
        }
    }

    /// Says why records came back, and looks for the topic where that may be the reason.
    fn say(&mut self, code: Code, reason: &str) {
        match code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                // The look says more than this error does.
                self.topic = Look::At(Instant::now());
            }
            _ => self.adviser.warn(code, reason),
        }
    }

    /// Makes a producer for what is to be sent next, with the secrets and certificates as they are now.
    async fn renew(&mut self) {
        let batching = match self.waiting.front() {
            Some(ticket) if ticket.number <= self.alone => Batching::Alone,
            _ => {
                self.batch_size = self.suspect.take().or(self.batch_size);
                Batching::Together(self.batch_size)
            }
        };
        if let Some(session) = self.session.take() {
            // Nothing is in flight; it is only to be taken down.
            let ended = spawn_blocking(move || session.end()).await;
            let returned = ended.unwrap_or_default().into_iter();
            returned.rev().for_each(|back| self.waiting.push_front(back.ticket));
        }
        while !self.deadline.passed() {
            match Properties::read(&self.config) {
                Ok(properties) => self.properties = properties,
                // It may be there again in a moment, and what was read before may still be right.
                Err(error) => self.adviser.unreadable(&error.to_string()),
            }
            let state = Arc::new(State::new(Arc::clone(&self.meter), Arc::clone(&self.adviser)));
            // Whatever was wrong is not known to be mended.
            state.troubled.store(true, Ordering::Release);
            match Session::start(&self.properties, batching, state) {
                Ok(session) => {
                    self.session = Some(session);
                    return;
                }
                Err(error) => {
                    self.adviser.no_producer(&error);
                    self.rest().await;
                }
            }
        }
    }

    /// Pauses before another attempt, for longer each time. New secrets or certificates end the pause.
    async fn rest(&mut self) {
        let end = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        while Instant::now() < end && !self.deadline.passed() {
            if self.mended() {
                self.pause = FIRST_PAUSE;
                return;
            }
            // A stopping daemon has no time for long pauses.
            let slice = if self.deadline.left().is_some() { FIRST_PAUSE / 2 } else { FIRST_PAUSE };
            time::sleep(slice.min(end.saturating_duration_since(Instant::now()))).await;
            if self.deadline.left().is_some() {
                return;
            }
        }
    }

    /// Whether a secret or a certificate is another one than the producer has.
    fn mended(&self) -> bool {
        Properties::read(&self.config).is_ok_and(|properties| properties != self.properties)
    }

    /// How long the sink does not look after itself while nothing else happens.
    fn tick(&self) -> Duration {
        match (&self.topic, self.looked_after) {
            (_, None) => Duration::ZERO,
            (Look::UnderWay(_), _) => LOOK_TICK,
            _ => TICK,
        }
    }

    /// Waits for news of the producer, at most for this long, and looks after what else there is.
    async fn idle(&mut self, most: Duration) {
        if let Some(session) = &self.session {
            tokio::select! {
                () = session.state.news.notified() => {}
                () = time::sleep(most) => {}
            }
        }
        if self.looked_after.is_none_or(|when| when.elapsed() >= self.tick()) {
            self.looked_after = Some(Instant::now());
            self.look_after().await;
        }
    }

    /// Sees to the topic, and to new secrets and certificates while Kafka refuses the old ones.
    async fn look_after(&mut self) {
        let Some(session) = &self.session else { return };
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
                self.found(found);
            }
            Look::At(_) | Look::UnderWay(_) | Look::Done => {}
        }
    }

    /// What a look at the topic means.
    fn found(&mut self, found: Found) {
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

    /// Counts as lost what could not be delivered before the deadline.
    fn lose(&self, records: impl Iterator<Item = Encoded>) {
        let (mut count, mut events) = (0_u64, 0);
        for record in records {
            count += 1;
            events += record.occurrences;
        }
        if count > 0 {
            error!(records = count, "records are lost: Kafka did not acknowledge them in time");
            self.meter.lost_delivery.add(events);
        }
    }
}

impl Sink for KafkaSink {
    async fn deliver(&mut self, batch: &mut Vec<Encoded>) {
        for record in batch.drain(..) {
            self.newest += 1;
            self.waiting.push_back(Ticket { number: self.newest, record });
        }
        self.pump().await;
        if self.deadline.passed() {
            let left = std::mem::take(&mut self.waiting);
            self.lose(left.into_iter().map(|ticket| ticket.record));
        }
    }

    async fn wants_care(&self) {
        match &self.session {
            Some(session) => tokio::select! {
                () = session.state.news.notified() => {}
                () = time::sleep(self.tick()) => {}
            },
            None => time::sleep(TICK).await,
        }
    }

    async fn care(&mut self) {
        self.idle(Duration::ZERO).await;
        self.pump().await;
    }

    async fn close(mut self) {
        while let Some(left) = self.deadline.left()
            && !left.is_zero()
        {
            self.pump().await;
            let Some(session) = &self.session else { break };
            if session.in_flight() == 0 && !session.broken() {
                break;
            }
            let producer = session.producer();
            let patience = left.min(Duration::from_millis(200));
            let flushed = spawn_blocking(move || Session::flush(&producer, patience)).await;
            if let Err(error) = flushed {
                error!(%error, "Kafka cannot be flushed");
            }
        }
        let mut left: Vec<Encoded> = Vec::new();
        if let Some(session) = self.session.take() {
            match spawn_blocking(move || session.end()).await {
                Ok(returned) => left.extend(returned.into_iter().map(|back| back.ticket.record)),
                Err(error) => error!(%error, "the Kafka producer did not close cleanly"),
            }
        }
        left.extend(std::mem::take(&mut self.waiting).into_iter().map(|ticket| ticket.record));
        self.lose(left.into_iter());
    }
}

/// Whether Kafka says that it never takes such a record, whoever sends it and however often.
fn is_refusal(code: Code) -> bool {
    let other = [
        Code::InvalidMessage,
        Code::InvalidRecord,
        Code::InvalidTimestamp,
        Code::PolicyViolation,
        Code::UnsupportedForMessageFormat,
    ];
    is_size(code) || other.contains(&code)
}

/// Whether it says so for the size.
fn is_size(code: Code) -> bool {
    [Code::MessageSizeTooLarge, Code::InvalidMessageSize, Code::MessageBatchTooLarge].contains(&code)
}
