//! The Kafka sink: one message a record, key `host.id`, idempotent, acknowledged by all in-sync replicas.
//!
//! In: encoded records. Out: messages in one topic. A record counts as delivered only when its delivery report says
//! so. Until then it stays in the line, in memory and in the spool, and what Kafka does not take is sent again with all
//! records behind it, in order, by a new producer: whether a broker was away for too long, the topic was deleted, a
//! permission or a password is wrong, or the producer itself is stuck. So a record may arrive twice, with the same
//! `log.record.uid`, and none is lost but for these reasons, each counted: the spool is full and the record is the
//! oldest; there is no spool and this sink's queue is full, or the daemon is stopped; or Kafka refuses that very
//! record, which is then cut, and given up where it cannot be cut further.

mod advice;
mod line;
mod look;
mod properties;
mod reports;
mod returned;
mod secret;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod topic;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::{task::spawn_blocking, time};
use tracing::error;

use self::{
    advice::Adviser,
    line::Line,
    look::Look,
    properties::Properties,
    reports::{Returned, State},
    returned::is_refusal,
    session::{Batching, Session},
};
use super::{Deadline, Encoded, Sink};
use crate::{config::Config, meter::SinkMeter, spool::Totals};

pub use properties::check;

/// Pause before records are offered again to a line that is full.
const FULL_PAUSE: Duration = Duration::from_millis(50);
/// How often the sink looks after itself while nothing else happens.
const TICK: Duration = Duration::from_secs(1);
/// The first pause before records are sent again; it doubles up to the last one while nothing is acknowledged.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// A stopping daemon waits no longer for acknowledgements where everything is in the spool.
const SAFE_PATIENCE: Duration = Duration::from_secs(3);

/// Produces records to one topic.
pub struct KafkaSink {
    config: Config,
    key: Option<String>,
    deadline: Deadline,
    adviser: Arc<Adviser>,
    properties: Properties,
    /// None while one producer takes the place of another.
    session: Option<Session>,
    /// All records that Kafka has not acknowledged.
    line: Line,
    /// Records up to this number are sent one by one, since a request that held some of them was refused.
    alone: u64,
    /// The most bytes in a request, where brokers refused requests for their size.
    batch_size: Option<usize>,
    /// The same from when the records that are sent alone are through, unless one of them was the reason.
    suspect: Option<usize>,
    /// The next pause, and since when the present one lasts and until when.
    pause: Duration,
    rest: Option<(Instant, Instant)>,
    topic: Look,
    /// When the sink last looked after itself.
    looked_after: Option<Instant>,
}

impl KafkaSink {
    /// Creates the producer and opens the spool. No broker needs to be there yet. `epoch` tells which kernel side counts
    /// the events, 0 where that is not known.
    ///
    /// # Errors
    /// What is wrong with the configuration, or with a file that it names.
    pub fn new(
        config: &Config,
        key: Option<String>,
        epoch: u64,
        deadline: Deadline,
        meter: Arc<SinkMeter>,
    ) -> Result<Self, String> {
        let properties = Properties::read(config).map_err(|error| error.to_string())?;
        properties::warn_of_leaks(config, &properties);
        let adviser = Arc::new(Adviser::new(config));
        let state = Arc::new(State::new(Arc::clone(&adviser)));
        let session = Session::start(&properties, Batching::Together(None), state)?;
        Ok(Self {
            config: config.clone(),
            key,
            deadline,
            adviser,
            properties,
            session: Some(session),
            line: Line::new(config, epoch, meter),
            alone: 0,
            batch_size: None,
            suspect: None,
            pause: FIRST_PAUSE,
            rest: None,
            topic: Look::At(Instant::now()),
            looked_after: None,
        })
    }

    /// What an earlier run had taken in, before this one adds to it: the last record's sequence, and the events of
    /// records under its epoch. None where there is no spool, or it cannot be opened.
    pub fn found(&self) -> Option<Totals> {
        self.line.found
    }

    /// Hands to librdkafka what it can take now, and sees to what came back.
    async fn step(&mut self) {
        while !self.deadline.passed() {
            let Some(session) = &self.session else {
                if self.rests() || !self.renew().await {
                    return;
                }
                continue;
            };
            let acknowledged = session.state.take_acknowledged();
            if self.line.acknowledge(&acknowledged) > 0 {
                self.pause = FIRST_PAUSE;
            }
            if session.broken() {
                self.recover(None).await;
                continue;
            }
            self.line.refill();
            let Some(ticket) = self.line.next() else { return };
            let alone = ticket.number <= self.alone;
            if (alone || session.batching == Batching::Alone) && session.in_flight() > 0 {
                // The last one that was sent alone is acknowledged before others follow.
                return;
            }
            if alone != (session.batching == Batching::Alone) {
                self.take_down().await;
                continue;
            }
            match self.send(alone) {
                Ok(()) if !alone => {}
                Ok(()) | Err(Code::QueueFull) => return,
                Err(code) if is_refusal(code) => {
                    // librdkafka itself refuses it, so there is no doubt which record is meant.
                    if let Some(number) = self.line.next().map(|ticket| ticket.number) {
                        self.cut(number, code);
                    }
                }
                Err(code) => self.recover(Some(code)).await,
            }
        }
    }

    /// Hands one record to librdkafka, or all in memory up to the first that it does not take.
    fn send(&mut self, one: bool) -> Result<(), Code> {
        let Some(session) = &self.session else { return Ok(()) };
        while let Some(ticket) = self.line.next() {
            session.send(&self.config.event.kafka_topic, self.key.as_deref(), ticket)?;
            self.line.sent();
            if one {
                break;
            }
        }
        Ok(())
    }

    /// Ends the producer; all that it has not delivered is to be sent again. Returns what came back.
    async fn take_down(&mut self) -> Vec<Returned> {
        let Some(session) = self.session.take() else { return Vec::new() };
        let state = Arc::clone(&session.state);
        if let Err(error) = spawn_blocking(move || session.end()).await {
            error!(%error, "a Kafka producer did not end cleanly");
        }
        if self.line.acknowledge(&state.take_acknowledged()) > 0 {
            self.pause = FIRST_PAUSE;
        }
        self.line.rewind();
        state.take_returned()
    }

    /// Takes down a producer that delivers nothing more, for the reason that is given if it is known.
    async fn recover(&mut self, reason: Option<Code>) {
        let Some(session) = &self.session else { return };
        let (fatal, batching) = (session.fatal(), session.batching);
        let returned = self.take_down().await;
        let purged = |code: &Code| matches!(code, Code::PurgeQueue | Code::PurgeInflight);
        let first = returned.iter().map(|back| back.why).find(|code| !purged(code)).or(reason);
        let trouble = fatal.or_else(|| first.map(|code| (code, code.to_string())));
        let refused = self.settle(&returned, batching);
        if let Some((code, reason)) = trouble
            && !refused
        {
            self.say(code, &reason);
            self.begin_rest();
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

    /// Makes a producer for what is to be sent next, with the secrets and certificates as they are now. False where none
    /// can be made.
    async fn renew(&mut self) -> bool {
        let batching = match self.line.next() {
            Some(ticket) if ticket.number <= self.alone => Batching::Alone,
            _ => {
                self.batch_size = self.suspect.take().or(self.batch_size);
                Batching::Together(self.batch_size)
            }
        };
        match Properties::read(&self.config) {
            Ok(properties) => self.properties = properties,
            // It may be there again in a moment, and what was read before may still be right.
            Err(error) => self.adviser.unreadable(&error.to_string()),
        }
        let state = Arc::new(State::new(Arc::clone(&self.adviser)));
        // Whatever was wrong is not known to be mended.
        state.troubled.store(true, Ordering::Release);
        match Session::start(&self.properties, batching, state) {
            Ok(session) => {
                self.session = Some(session);
                true
            }
            Err(error) => {
                self.adviser.no_producer(&error);
                self.begin_rest();
                false
            }
        }
    }

    /// Pauses before another attempt, for longer each time.
    fn begin_rest(&mut self) {
        let now = Instant::now();
        self.rest = Some((now, now + self.pause));
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    /// Goes on at once: there are new secrets or certificates.
    fn end_rest(&mut self) {
        self.rest = None;
        self.pause = FIRST_PAUSE;
    }

    /// Whether the pause lasts. A stopping daemon has no time for long ones.
    fn rests(&self) -> bool {
        let stopping = self.deadline.left().is_some();
        self.rest.is_some_and(|(start, end)| match stopping {
            true => start.elapsed() < FIRST_PAUSE / 2,
            false => Instant::now() < end,
        })
    }

    /// Waits for news of the producer, at most for this long.
    async fn news(&self, most: Duration) {
        match &self.session {
            Some(session) => tokio::select! {
                () = session.state.news.notified() => {}
                () = time::sleep(most) => {}
            },
            None => time::sleep(most).await,
        }
    }

    /// The same, and looks after what else there is.
    async fn idle(&mut self, most: Duration) {
        self.news(most).await;
        if self.looked_after.is_none_or(|when| when.elapsed() >= self.tick()) {
            self.looked_after = Some(Instant::now());
            self.look_after().await;
        }
    }
}

impl Sink for KafkaSink {
    async fn deliver(&mut self, batch: &mut Vec<Encoded>) {
        let mut batch: VecDeque<Encoded> = batch.drain(..).collect();
        loop {
            self.line.admit(&mut batch);
            self.step().await;
            if batch.is_empty() {
                return;
            }
            if self.deadline.passed() {
                self.line.lose(batch.iter());
                return;
            }
            self.idle(FULL_PAUSE).await;
        }
    }

    async fn wants_care(&self) {
        self.news(self.tick()).await;
    }

    async fn care(&mut self) {
        self.idle(Duration::ZERO).await;
        self.step().await;
    }

    async fn close(mut self) {
        self.line.write_back();
        let (mut left, mut since) = (self.line.len(), Instant::now());
        while !self.deadline.passed() {
            self.step().await;
            if self.line.is_empty() {
                break;
            }
            if self.line.len() != left {
                (left, since) = (self.line.len(), Instant::now());
            }
            if self.line.is_safe() && since.elapsed() >= SAFE_PATIENCE {
                break;
            }
            let Some(session) = &self.session else {
                self.idle(FULL_PAUSE).await;
                continue;
            };
            let producer = session.producer();
            let patience = self.deadline.left().unwrap_or_default().min(FIRST_PAUSE / 2);
            let flushed = spawn_blocking(move || Session::flush(&producer, patience)).await;
            if let Err(error) = flushed {
                error!(%error, "Kafka cannot be flushed");
            }
        }
        self.take_down().await;
        self.line.close().await;
    }
}
