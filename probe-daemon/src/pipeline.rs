//! Observations become encoded records and go to every sink's queue.
//!
//! In: batches from the sources. Out: each record, encoded once, offered to each queue. It ends when all sources
//! have closed their end, and closes the queues by dropping them.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tracing::error;
use ulid::{Generator, Overflow, Ulid};

use crate::{
    cgroup::{self, Cgroup, Cgroups},
    clock::{Clock, boot_now, wall_now},
    encode::json::{self, Json},
    event::{Batch, Event, Observation, TraceEvent},
    fold::{Fold, Folded},
    meter::Meter,
    policy::{Decision, Policy, Process},
    record::LogRecord,
    severity::Severity,
    sink::{Encoded, Queue},
    symbols::Symbols,
    victim::Victims,
};

/// Batches that wait for the pipeline at most; a source gathers what comes meanwhile into larger ones.
pub const QUEUE: usize = 2;

/// What turns observations into records.
pub struct Pipeline {
    /// Says how grave each is.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// Makes one record of repeats; none where each event gets its own.
    pub fold: Option<Fold>,
    /// The encoder of the configured encoding.
    pub encoder: Json,
    /// One queue for each sink.
    pub queues: Vec<Queue>,
    /// Counts the records.
    pub meter: Arc<Meter>,
}

impl Pipeline {
    /// Works until the sources have closed.
    pub async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        let mut ids = Generator::new();
        let mut symbols = Symbols::default();
        let mut context = Context::default();
        while let Some(batch) = batches.recv().await {
            let policy = Arc::clone(&self.policy.borrow_and_update());
            let (seen, from_ring, now, swept) = match batch {
                Batch::Events(events) => {
                    (events.into_iter().map(|seen| (seen, 1)).collect(), true, boot_now(), false)
                }
                Batch::Repeats(repeats, ended) => (repeats, false, ended, true),
            };
            let mut ready = Vec::new();
            for (mut seen, count) in seen {
                context.complete(&mut seen, &mut ids);
                if !context.reported(&policy, &seen) {
                    self.meter.dismissed.add(count);
                    continue;
                }
                match &mut self.fold {
                    Some(fold) => ready.extend(fold.take(seen, count, from_ring, now)),
                    None => ready.push(Folded { seen, occurrences: count, window: Duration::ZERO }),
                }
            }
            if swept && let Some(fold) = &mut self.fold {
                ready.extend(fold.sweep(now));
            }
            name_frames(&mut ready, &mut symbols);
            self.publish(&ready, &mut ids, &mut context);
        }
        let mut rest = self.fold.as_mut().map(Fold::finish).unwrap_or_default();
        name_frames(&mut rest, &mut symbols);
        self.publish(&rest, &mut ids, &mut context);
    }

    fn publish(&self, ready: &[Folded], ids: &mut Generator, context: &mut Context) {
        let (clock, observed) = (Clock::now(), wall_now());
        let policy = Arc::clone(&self.policy.borrow());
        for folded in ready {
            let severity = match &folded.seen.event {
                Event::Call(call) => context.decide(&policy, call).severity,
                _ => Severity::Warn,
            };
            let id = match &folded.seen.event {
                Event::Oom(kill) => kill.record,
                _ => None,
            };
            let id = id.unwrap_or_else(|| next(ids));
            let record = LogRecord::new(folded, severity, id, observed, clock);
            let occurrences = folded.occurrences;
            match self.encoder.encode(&record) {
                Ok(bytes) => {
                    self.meter.records.add(1);
                    self.meter.events.add(occurrences);
                    let (event_name, form) = (record.said.event_name, &json::FORM);
                    self.offer(Encoded { bytes, event_name, form, occurrences });
                }
                Err(error) => {
                    self.meter.malformed.add(occurrences);
                    error!(%error, "an event is lost: its record cannot be encoded");
                }
            }
        }
    }

    fn offer(&self, record: Encoded) {
        let Some((last, others)) = self.queues.split_last() else { return };
        for queue in others {
            queue.offer(record.clone());
        }
        last.offer(record);
    }
}

/// Looks up the names of kernel stacks, which only records need.
fn name_frames(ready: &mut [Folded], symbols: &mut Symbols) {
    symbols.tidy();
    for folded in ready {
        if let Event::Offcpu(stall) = &mut folded.seen.event {
            stall.frames = symbols.names(&stall.stack);
        }
    }
}

/// What the pipeline knows beside the events themselves.
#[derive(Default)]
struct Context {
    cgroups: Cgroups,
    victims: Victims,
}

impl Context {
    /// Whether the rules about processes let an event pass. The kernel side has decided all others.
    fn reported(&mut self, policy: &Policy, seen: &Observation) -> bool {
        match &seen.event {
            Event::Call(call) if policy.asks_who() => self.decide(policy, call).report,
            _ => true,
        }
    }

    /// What the rules say of a failed call.
    fn decide(&mut self, policy: &Policy, call: &TraceEvent) -> Decision {
        let mut cgroup = Cgroup { id: call.subject.cgroup, ..Cgroup::default() };
        if policy.asks_who() {
            self.cgroups.find(&mut cgroup, cgroup::FREQUENT);
        }
        let who =
            Process { comm: &call.subject.comm, uid: call.subject.euid, cgroup: cgroup.path.as_deref() };
        policy.decide(call.nr, call.errno, &who)
    }

    /// Adds to an event what other events and the host tell of it.
    fn complete(&mut self, seen: &mut Observation, ids: &mut Generator) {
        match &mut seen.event {
            Event::Oom(kill) => {
                self.cgroups.find(&mut kill.cgroup, cgroup::RARE);
                if let Some((limited, _)) = &mut kill.limit {
                    self.cgroups.find(limited, cgroup::RARE);
                }
                self.victims.remember(kill, next(ids));
            }
            Event::Exit(exit) => {
                self.cgroups.find(&mut exit.cgroup, cgroup::FREQUENT);
                self.victims.explain(exit);
            }
            Event::Call(_) | Event::Offcpu(_) => {}
        }
    }
}

/// A new id of a record.
fn next(ids: &mut Generator) -> Ulid {
    ids.generate().unwrap_or_else(Overflow::commit_overflow_increment)
}
