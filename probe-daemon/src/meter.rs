//! What every hop has counted, from the kernel's match to the acknowledged record.
//!
//! In: one call where something happened. Out: what each hop has lost, for the stream and the log, and the ledger,
//! which adds up at the end of a run, in events:
//! matched = sent to the ring + folded in the kernel + lost in the ring;
//! sent + folded = taken before + malformed + lost before the pipeline + dismissed + events in records;
//! sent = received, but for what was taken before: where a daemon was killed and this one has gone on with its programs, the
//! first three count from when the programs were attached, and the rest from when this daemon was started;
//! and for each sink events in records + resumed from its spool = delivered + filtered + lost in its queue, in delivery or
//! in its spool + kept in its spool.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use probe_common::{Counters, Kind};
use tracing::info;

use crate::{
    clock::wall_now,
    losses::{Again, DELIVERY, Loss, Losses, Of, RING, SPOOL, Total},
};

/// One running total.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to the total.
    pub fn add(&self, count: u64) {
        // A total is read when the tasks that add to it have ended, so no order is needed.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The total so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Totals of a run as its last record has them, in events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Totals {
    /// Those of which the rules say that they are events.
    pub matched: u64,
    /// Of these, sent to the ring buffer.
    pub sent: u64,
    /// Of these, counted as repeats.
    pub folded: u64,
    /// Told of in records that every sink has.
    pub delivered: u64,
    /// Lost at any hop.
    pub lost: u64,
}

/// The totals of one run.
#[derive(Debug, Default)]
pub struct Meter {
    kernel: Mutex<[Counters; Kind::ALL.len()]>,
    /// Events taken out of the ring buffer.
    pub received: Count,
    /// Events that the kernel side only counted, as repeats, taken by this daemon.
    pub folded: Count,
    /// Of those in the ring buffer, taken by earlier daemons.
    pub received_before: Count,
    /// Of those that the kernel side only counted, taken by earlier daemons.
    pub folded_before: Count,
    /// Of received and folded ones, what could not be made into a record.
    pub malformed: Count,
    /// Of these, lost because the pipeline's queue was full.
    pub lost_pipeline: Count,
    /// Of these, found to be no event after all: a rule about processes drops them, or they are misses of a search for
    /// a program.
    pub dismissed: Count,
    /// Of these, told of in records.
    pub events: Count,
    /// Records made.
    pub records: Count,
    sinks: Mutex<Vec<Arc<SinkMeter>>>,
}

/// The totals of one sink.
#[derive(Debug, Default)]
pub struct SinkMeter {
    /// The sink's name.
    pub name: &'static str,
    /// Records that the sink has for certain: acknowledged by Kafka, written to the file.
    delivered: Count,
    /// Events that these records tell of.
    delivered_events: Count,
    /// Events that this sink is not to have: its filter leaves them out.
    pub filtered: Count,
    /// Events lost because the sink's queue was full.
    pub lost_queue: Count,
    /// Events lost because the sink took their record and could not deliver it.
    pub lost_delivery: Count,
    /// Events lost because the sink's spool had no more room, or was damaged.
    pub lost_spool: Count,
    /// Events of records that an earlier run left in the spool.
    pub resumed: Count,
    /// Events of records that this run leaves there.
    pub kept: Count,
    /// Events of which nobody needs to tell this sink any more: its records do, those among them that say what was lost, or
    /// its filter leaves them out.
    pub reached: Count,
    /// Losses that records told of which the sink did not get.
    again: Mutex<Again>,
    /// Events of such losses whose records were in Kafka's line, and count as reached.
    told_in_line: Count,
    /// Events of records that Kafka's line has in memory only, though they count as reached: a kill loses them.
    at_risk: AtomicU64,
    /// The number of the last record that the sink has.
    newest: AtomicU64,
    keeper: Keeper,
}

/// Who keeps an account that outlives the daemon, of how far a sink has come.
#[derive(Default)]
struct Keeper(OnceLock<Box<dyn Fn(u64, u64) + Send + Sync>>);

impl fmt::Debug for Keeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Keeper").field(&self.0.get().is_some()).finish()
    }
}

impl SinkMeter {
    /// Counts records that the sink has for certain, and the events that they tell of.
    pub fn delivered(&self, records: u64, events: u64) {
        self.delivered.add(records);
        self.delivered_events.add(events);
    }

    /// The record of this loss is lost as well: it is to be told again.
    pub fn tell_again(&self, loss: &Loss) {
        self.again().add(loss, self.name, self.delivered.get());
    }

    /// The same for a record that was in Kafka's line.
    pub fn tell_again_from_line(&self, loss: &Loss) {
        self.told_in_line.add(loss.count);
        self.tell_again(loss);
    }

    /// Events that Kafka's line had taken in, as records or as told of by them, and that it has lost, or will have where the
    /// daemon is killed now.
    pub fn gone_from_line(&self) -> u64 {
        let lost = self.lost_delivery.get() + self.lost_spool.get() + self.told_in_line.get();
        lost + self.at_risk.load(Ordering::Relaxed)
    }

    /// Says how many events a kill would cost now; true where that is news.
    pub fn risk(&self, events: u64) -> bool {
        self.at_risk.swap(events, Ordering::Relaxed) != events
    }

    fn again(&self) -> MutexGuard<'_, Again> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the sink's records tell of so many more events, and which record is the last; the account is kept.
    pub fn reach(&self, events: u64, newest: u64) {
        match self.keeper.0.get() {
            Some(keep) => keep(events, newest),
            None => self.note(events, newest),
        }
    }

    /// The same, for whoever keeps the account.
    pub fn note(&self, events: u64, newest: u64) {
        self.reached.add(events);
        self.newest.fetch_max(newest, Ordering::Relaxed);
    }

    /// The number of the last record that the sink has; 0 where it has none of this run.
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// From now on `keep` keeps the account. Only the first call counts.
    pub fn kept_by(&self, keep: impl Fn(u64, u64) + Send + Sync + 'static) {
        let _ = self.keeper.0.set(Box::new(keep));
    }
}

impl Meter {
    /// Sets what the kernel has counted for one kind.
    pub fn set_kernel(&self, kind: Kind, counters: Counters) {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)[kind as usize] = counters;
    }

    /// Events that earlier daemons have taken out of the kernel. What became of them, they knew.
    pub fn taken_before(&self) -> u64 {
        self.received_before.get() + self.folded_before.get()
    }

    /// Adds a sink to the ledger.
    pub fn sink(&self, name: &'static str) -> Arc<SinkMeter> {
        let sink = Arc::new(SinkMeter { name, ..SinkMeter::default() });
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&sink));
        sink
    }

    /// Every hop that can lose, and how much it has lost.
    pub fn losses(&self) -> Vec<Total> {
        let kernel = *self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let total = |hop, of, count| Total { hop, of, count };
        let ring = Kind::ALL.into_iter().zip(kernel);
        let mut losses: Vec<_> =
            ring.map(|(kind, counters)| total(RING, Of::family(kind.name()), counters.lost)).collect();
        losses.push(total("pipeline", Of::ALL, self.lost_pipeline.get() + self.malformed.get()));
        for sink in self.sinks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            losses.push(total("queue", Of::sink(sink.name), sink.lost_queue.get()));
            losses.push(total(DELIVERY, Of::sink(sink.name), sink.lost_delivery.get()));
            losses.push(total(SPOOL, Of::sink(sink.name), sink.lost_spool.get()));
        }
        losses
    }

    /// What is to be told now: what has come since `losses` was last asked, and what [`Self::again`] has.
    pub fn due(&self, losses: &mut Losses, all: bool) -> Vec<Loss> {
        let mut due = losses.due(self.losses(), wall_now());
        due.extend(self.again(all));
        due
    }

    /// Losses that sinks are to be told of again, once: of those that have got other records since, or of all.
    pub fn again(&self, all: bool) -> Vec<Loss> {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |sink: &Arc<SinkMeter>| {
            let mut again = sink.again();
            if all { again.all() } else { again.due(sink.delivered.get()) }
        };
        sinks.iter().flat_map(of).collect()
    }

    /// Whether every sink has said of every event what became of it.
    pub fn settled(&self) -> bool {
        let events = self.events.get();
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |sink: &SinkMeter| {
            let lost = sink.lost_queue.get() + sink.lost_delivery.get() + sink.lost_spool.get();
            sink.delivered_events.get() + sink.filtered.get() + lost
        };
        sinks.iter().all(|sink| known(sink) >= events + sink.resumed.get())
    }

    /// The totals so far.
    pub fn totals(&self) -> Totals {
        let kernel = *self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |of: fn(&Counters) -> u64| kernel.iter().map(of).sum::<u64>();
        let (sent, folded) = (sum(|c| c.sent), self.folded.get());
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let delivered = sinks
            .iter()
            .map(|sink| sink.delivered_events.get() + sink.filtered.get())
            .min()
            .unwrap_or_default();
        drop(sinks);
        Totals { matched: sent + sum(|c| c.lost) + folded, sent, folded, delivered, lost: self.lost() }
    }

    /// Events that were lost, wherever it was.
    pub fn lost(&self) -> u64 {
        self.losses().iter().map(|loss| loss.count).sum()
    }

    /// Logs the ledger: one line for the host, one for each sink.
    pub fn log_ledger(&self) {
        let kernel = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |of: fn(&Counters) -> u64| kernel.iter().map(of).sum::<u64>();
        let folded = self.folded.get() + self.folded_before.get();
        info!(
            matched = sum(|c| c.sent) + sum(|c| c.lost) + folded,
            sent = sum(|c| c.sent),
            folded,
            lost_ring = sum(|c| c.lost),
            taken_before = self.taken_before(),
            received = self.received.get(),
            malformed = self.malformed.get(),
            lost_pipeline = self.lost_pipeline.get(),
            dismissed = self.dismissed.get(),
            events = self.events.get(),
            records = self.records.get(),
            "ledger"
        );
        for sink in self.sinks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            info!(
                sink = sink.name,
                delivered = sink.delivered.get(),
                delivered_events = sink.delivered_events.get(),
                filtered = sink.filtered.get(),
                lost_queue = sink.lost_queue.get(),
                lost_delivery = sink.lost_delivery.get(),
                lost_spool = sink.lost_spool.get(),
                resumed = sink.resumed.get(),
                kept = sink.kept.get(),
                "ledger"
            );
        }
    }
}
