//! What librdkafka reports of one producer. In: its callbacks. Out: the numbers of the records that were delivered, and of
//! those that were not, with the reason.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{DeliveryResult, ProducerContext},
};
use serde::Deserialize;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::advice::Adviser;

/// A producer that has messages and a connection, and no acknowledgement for this time, is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Connections that brokers may close for good reasons, such as a restart, before somebody is told.
const RESTARTS: u64 = 2;

/// A record that Kafka did not take, and why.
#[derive(Debug)]
pub(super) struct Returned {
    /// Its number.
    pub number: u64,
    /// Why it came back.
    pub why: Code,
}

/// What is known of one producer, shared with its callbacks.
pub(super) struct State {
    pub adviser: Arc<Adviser>,
    /// Messages without a delivery report.
    pub in_flight: AtomicUsize,
    /// Messages that were acknowledged.
    pub acknowledged: AtomicU64,
    /// Something was acknowledged or came back, or must be looked at.
    pub news: Notify,
    /// An error was reported since the last acknowledgement.
    pub troubled: AtomicBool,
    /// The producer will deliver nothing more.
    pub broken: AtomicBool,
    returned: Mutex<Vec<Returned>>,
    /// What was acknowledged since somebody asked.
    taken: Mutex<Vec<u64>>,
    progress: Mutex<Progress>,
}

/// How far the producer was when the statistics last showed it working or idle.
struct Progress {
    acknowledged: u64,
    /// Connections that brokers had closed.
    closed: u64,
    since: Instant,
}

impl State {
    pub fn new(adviser: Arc<Adviser>) -> Self {
        Self {
            adviser,
            in_flight: AtomicUsize::new(0),
            acknowledged: AtomicU64::new(0),
            news: Notify::new(),
            troubled: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            returned: Mutex::default(),
            taken: Mutex::default(),
            progress: Mutex::new(Progress { acknowledged: 0, closed: 0, since: Instant::now() }),
        }
    }

    fn returned(&self) -> MutexGuard<'_, Vec<Returned>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what came back, in the order of the stream.
    pub fn take_returned(&self) -> Vec<Returned> {
        let mut returned = std::mem::take(&mut *self.returned());
        returned.sort_unstable_by_key(|back| back.number);
        returned
    }

    fn taken(&self) -> MutexGuard<'_, Vec<u64>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the numbers of what was acknowledged.
    pub fn take_acknowledged(&self) -> Vec<u64> {
        std::mem::take(&mut *self.taken())
    }

    /// The producer is of no use any more.
    fn give_up(&self) {
        self.broken.store(true, Ordering::Release);
        self.news.notify_one();
    }

    /// Looks for a producer that has messages and a connection, or gets one after the other, and gets nothing
    /// acknowledged.
    fn watch(&self, statistics: &Statistics) {
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        let connected = statistics.brokers.values().any(|broker| broker.state == "UP");
        let closed = statistics.brokers.values().map(|broker| broker.disconnects).sum();
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if statistics.msg_cnt == 0 || acknowledged != progress.acknowledged {
            *progress = Progress { acknowledged, closed, since: Instant::now() };
        } else if closed > progress.closed + RESTARTS {
            self.troubled.store(true, Ordering::Release);
            self.adviser.closed(closed - progress.closed);
        }
        if !connected {
            progress.since = Instant::now();
        } else if progress.since.elapsed() >= STUCK {
            progress.since = Instant::now();
            warn!(
                waiting = statistics.msg_cnt,
                "Kafka has acknowledged nothing for {} s although it is connected; the producer is made anew",
                STUCK.as_secs()
            );
            self.give_up();
        }
    }
}

/// What is read of librdkafka's statistics.
#[derive(Deserialize)]
struct Statistics {
    msg_cnt: u64,
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    state: String,
    #[serde(default)]
    disconnects: u64,
}

/// The receiver of librdkafka's callbacks.
pub(super) struct Reports(pub Arc<State>);

/// A line of librdkafka's own log.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // A failed connection comes as an error too, and so do a producer id that cannot be had (GETPID) and a
        // certificate that no broker asks for (SSL).
        _ if ["FAIL", "ERROR", "FATAL", "GETPID", "SSL"].contains(&facility) => {
            debug!(target: "librdkafka", facility, "{message}")
        }
        RDKafkaLogLevel::Debug => debug!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => info!(target: "librdkafka", facility, "{message}"),
        _ => warn!(target: "librdkafka", facility, "{message}"),
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        self.0.troubled.store(true, Ordering::Release);
        if code == Code::Fatal {
            // The reason behind it is asked for when the producer is replaced.
            debug!(reason, "the Kafka producer cannot go on");
            self.0.give_up();
        } else {
            self.0.adviser.warn(code, reason);
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(statistics) => self.0.watch(&statistics),
            Err(error) => debug!(%error, "librdkafka's statistics cannot be read"),
        }
    }
}

impl ProducerContext for Reports {
    /// The number of the record.
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, number: usize) {
        let state = &self.0;
        let number = number as u64;
        match report {
            Ok(_) => {
                let mut taken = state.taken();
                taken.push(number);
                // Whoever takes them takes all, so that only the first is news.
                if taken.len() == 1 {
                    state.news.notify_one();
                }
                drop(taken);
                state.acknowledged.fetch_add(1, Ordering::Relaxed);
                if state.troubled.swap(false, Ordering::AcqRel) {
                    state.adviser.all_is_well();
                }
            }
            Err((error, _)) => {
                let why = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                state.returned().push(Returned { number, why });
                // What comes back is sent again by a new producer, with all that was behind it: so order is kept.
                state.give_up();
            }
        }
        if state.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            state.news.notify_one();
        }
    }
}
