//! Observations become encoded records and go to every sink's queue.
//!
//! In: batches from the sources. Out: each record, encoded once, offered to each queue. It ends when all sources
//! have closed their end, and closes the queues by dropping them.

use std::{borrow::Cow, sync::Arc, time::Duration};

use probe_common::io_uring_slot;
use tokio::sync::{mpsc, watch};
use tracing::error;
use ulid::{Generator, Overflow, Ulid};

use crate::{
    catalogue::Catalogue,
    cgroup::{self, Cgroup, Cgroups},
    clock::{Clock, boot_now, wall_now},
    encode::{Encoder, Form},
    enrich::Enricher,
    event::{Batch, End, Event, Observation},
    exec::{Looker, Question},
    facts::Facts,
    fold::{Fold, Folded},
    meter::Meter,
    policy::{Outcome, Policy, Process},
    record::{Background, LogRecord},
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
    /// Says what each means.
    pub catalogue: Catalogue,
    /// Makes one record of repeats; none where each event gets its own.
    pub fold: Option<Fold>,
    /// Finds out why programs could not be executed.
    pub looker: Looker,
    /// Says who is who.
    pub enricher: Enricher,
    /// Where records go, and in which form.
    pub routes: Vec<Route>,
    /// Counts the records.
    pub meter: Arc<Meter>,
}

/// A form, and the sinks that take it: each record is encoded once for all of them.
pub struct Route {
    /// Which form it is.
    pub form: &'static Form,
    /// Writes it.
    pub encoder: Encoder,
    /// One queue for each sink.
    pub queues: Vec<Queue>,
}

impl Route {
    fn offer(&self, record: &LogRecord<'_>, occurrences: u64) {
        match self.encoder.encode(record) {
            Ok(bytes) => {
                let (event_name, form) = (record.said.event_name.into(), Cow::Borrowed(self.form));
                let record = Encoded { bytes, event_name, form, occurrences, sequence: 0 };
                self.queues.iter().for_each(|queue| queue.offer(record.clone()));
            }
            Err(error) => {
                self.queues.iter().for_each(|queue| queue.refuse(occurrences));
                error!(%error, "a record is lost: it cannot be encoded");
            }
        }
    }
}

impl Pipeline {
    /// Works until the sources have closed.
    pub async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        let mut ids = Generator::new();
        let mut symbols = Symbols::default();
        let mut context = Context::default();
        while let Some(batch) = batches.recv().await {
            let policy = Arc::clone(&self.policy.borrow_and_update());
            let (mut seen, from_ring, now, swept): (Vec<_>, _, _, _) = match batch {
                Batch::Events(events) => {
                    (events.into_iter().map(|seen| (seen, 1)).collect(), true, boot_now(), false)
                }
                Batch::Repeats(repeats, ended) => (repeats, false, ended, true),
            };
            explain(&mut seen, &mut self.looker).await;
            let mut ready = Vec::new();
            for (mut seen, count) in seen {
                context.complete(&mut seen, &mut ids);
                if !context.judge(&policy, &seen.event).0 {
                    self.meter.dismissed.add(count);
                    continue;
                }
                let subject = seen.event.subject_mut();
                let cgroup = context.cgroups.find_of(subject.pid, subject.cgroup);
                self.enricher.identify(subject, cgroup);
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
            let ruled = context.judge(&policy, &folded.seen.event).1;
            let facts = context.facts.of(&folded.seen.event);
            let background = Background { ruled, facts, catalogue: &self.catalogue };
            let id = match &folded.seen.event {
                Event::Oom(kill) => kill.record,
                _ => None,
            };
            let id = id.unwrap_or_else(|| next(ids));
            let record = LogRecord::new(folded, background, id, observed, clock);
            self.meter.records.add(1);
            self.meter.events.add(folded.occurrences);
            self.routes.iter().for_each(|route| route.offer(&record, folded.occurrences));
        }
    }
}

/// Finds out why programs could not be executed.
async fn explain(seen: &mut [(Observation, u64)], looker: &mut Looker) {
    let asked = |event: &Event| Question::of(event);
    let questions: Vec<Question> = seen.iter().filter_map(|(seen, _)| asked(&seen.event)).collect();
    if questions.is_empty() {
        return;
    }
    let answers = looker.ask(questions).await;
    let events = seen.iter_mut().map(|(seen, _)| &mut seen.event);
    for (event, answer) in events.filter(|event| asked(event).is_some()).zip(answers) {
        if let Event::Call(call) = event {
            call.hindrance = answer;
        }
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
    facts: Facts,
    victims: Victims,
}

impl Context {
    /// What the rules say of an event: whether it is one after all, and how grave it is where they say so.
    fn judge(&mut self, policy: &Policy, event: &Event) -> (bool, Option<Severity>) {
        let found;
        let subject = event.subject();
        let cgroup = match event {
            Event::Oom(kill) => kill.cgroup.path.as_deref(),
            Event::Exit(exit) => exit.cgroup.path.as_deref(),
            Event::Call(_) | Event::IoUring(_) | Event::Offcpu(_) => None,
        };
        let cgroup = match cgroup {
            None if policy.asks_where() => {
                let mut cgroup = Cgroup { id: subject.cgroup, ..Cgroup::default() };
                self.cgroups.find(&mut cgroup, cgroup::FREQUENT);
                found = cgroup.path;
                found.as_deref()
            }
            known => known,
        };
        let who = Process { comm: &subject.comm, uid: subject.euid, cgroup };
        match event {
            Event::Call(call) => {
                let decision = policy.decide(call.slot, call.errno, &who);
                let answers = policy.answers(call.slot, call.errno, call.object.as_deref());
                // A miss of a search for a program, which nobody asked for.
                let misses = call.is_miss() && decision.is_built_in();
                (decision.report && !answers && !misses, decision.severity)
            }
            Event::IoUring(request) => {
                let decision = policy.decide(io_uring_slot(request.opcode), request.errno, &who);
                (decision.report, decision.severity)
            }
            Event::Exit(exit) => {
                let end = match exit.end {
                    End::Code(code) => Outcome::Code(code),
                    End::Signal { number, .. } => Outcome::Signal(number),
                };
                policy.decide_exit(end, &who)
            }
            Event::Oom(_) => policy.decide_oom(&who),
            Event::Offcpu(_) => policy.decide_offcpu(&who),
        }
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
            Event::Call(_) | Event::IoUring(_) | Event::Offcpu(_) => {}
        }
    }
}

/// A new id of a record.
fn next(ids: &mut Generator) -> Ulid {
    ids.generate().unwrap_or_else(Overflow::commit_overflow_increment)
}
