//! What every hop has counted, from the kernel's match to the acknowledged record.
//!
//! In: one call where something happened. Out: a warning once an interval while something is lost, and the ledger,
//! which adds up at the end of a run, in events:
//! matched = sent to the ring + folded in the kernel + lost in the ring;
//! sent + folded = taken before + malformed + lost before the pipeline + dismissed + events in records;
//! sent = received, but for what was taken before: where a daemon was killed and this one has gone on with its programs, the
//! first three count from when the programs were attached, and the rest from when this daemon was started;
//! and for each sink events in records = delivered + lost in its queue + lost in delivery.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use probe_common::{Counters, Kind};
use tokio::{sync::watch, time};
use tracing::{info, warn};

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
    /// Events lost because the sink's queue was full.
    pub lost_queue: Count,
    /// Events lost because the sink took their record and could not deliver it.
    pub lost_delivery: Count,
}

impl SinkMeter {
    /// Counts records that the sink has for certain, and the events that they tell of.
    pub fn delivered(&self, records: u64, events: u64) {
        self.delivered.add(records);
        self.delivered_events.add(events);
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

    /// Every hop that can lose, what it is about (a kind of event, or a sink), and how much it has lost.
    fn losses(&self) -> Vec<(&'static str, &'static str, u64)> {
        let kernel = *self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let mut losses: Vec<_> = Kind::ALL
            .into_iter()
            .zip(kernel)
            .map(|(kind, counters)| ("ring", kind.name(), counters.lost))
            .collect();
        losses.push(("pipeline", "all", self.lost_pipeline.get()));
        for sink in self.sinks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            losses.push(("queue", sink.name, sink.lost_queue.get()));
            losses.push(("delivery", sink.name, sink.lost_delivery.get()));
        }
        losses
    }

    /// Warns once an interval of what was lost since the last time, until `stop` turns true.
    pub async fn watch(self: Arc<Self>, interval: Duration, mut stop: watch::Receiver<bool>) {
        let mut before = self.losses();
        while !*stop.borrow_and_update() {
            tokio::select! {
                () = time::sleep(interval) => {}
                _ = stop.changed() => {}
            }
            let now = self.losses();
            for ((hop, of, total), (_, _, before)) in now.iter().zip(&before) {
                if total > before {
                    warn!(hop, of, lost = total - before, total, "events lost");
                }
            }
            before = now;
        }
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
                lost_queue = sink.lost_queue.get(),
                lost_delivery = sink.lost_delivery.get(),
                "ledger"
            );
        }
    }
}
