//! Observations become encoded records and go to every sink's queue.
//!
//! In: batches from the sources. Out: each record, encoded once, offered to each queue. It ends when all sources
//! have closed their end, and closes the queues by dropping them.

use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
    time::Duration,
};

use probe_common::io_uring_slot;
use tokio::{
    sync::{mpsc, watch},
    task, time,
};
use tracing::error;
use ulid::{Generator, Overflow, Ulid};

use crate::{
    account::Account,
    catalogue::Catalogue,
    cgroup::{self, Cgroup, Cgroups},
    clock::{Clock, boot_now, wall_now},
    encode::{Encoder, Form},
    enrich::Enricher,
    event::{Batch, End, Event, Notice, Observation, Probe},
    exec::{Looker, Question},
    facts::Facts,
    fold::{Fold, Folded},
    losses::{Loss, Losses},
    meter::Meter,
    policy::{Outcome, Policy, Process},
    record::{Background, LogRecord, Stamp},
    severity::Severity,
    sink::{Encoded, Mark, Queue},
    state::State,
    symbols::Symbols,
    victim::Victims,
};

/// Batches that wait for the pipeline at most; a source gathers what comes meanwhile into larger ones.
pub const QUEUE: usize = 2;
/// How long the last record, which has the totals, waits for the sinks.
const SETTLING: Duration = Duration::from_secs(1);
const SETTLING_PAUSE: Duration = Duration::from_millis(5);

/// Tells records apart by what they say; its seeds are this process's own.
static TOLD: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What turns observations into records.
pub struct Pipeline {
    /// Says how grave each is.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// Says what each means.
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
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
    /// Numbers the records.
    pub state: State,
    /// Knows what was told of losses.
    pub losses: Losses,
    /// The hash of the configuration.
    pub config_hash: Arc<str>,
    /// Keeps what the next daemon needs to know where this one is killed.
    pub account: Account,
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
    /// Encodes a record and offers it to all queues. `occurrences`: the events that it stands for.
    pub fn offer(&mut self, record: &LogRecord<'_>, occurrences: u64, loss: Option<&Arc<Loss>>) {
        match self.encoder.encode(record) {
            Ok(bytes) => {
                let said = &record.said;
                let mark = Mark { event_id: said.event_id, told: TOLD.hash_one(said) };
                let (event_name, form) = (said.event_name.into(), Cow::Borrowed(self.form));
                let sequence = record.sequence;
                let record = Encoded { bytes, event_name, mark, form, occurrences, sequence, loss: None };
                for queue in &self.queues {
                    let loss = loss.filter(|loss| loss.accounts_for(queue.sink()) > 0).cloned();
                    queue.offer(Encoded { loss, ..record.clone() });
                }
            }
            Err(error) => {
                self.refuse(occurrences);
                error!(%error, "a record is lost: it cannot be encoded");
            }
        }
    }

    /// Counts a record as lost for all queues.
    fn refuse(&self, occurrences: u64) {
        self.queues.iter().for_each(|queue| queue.refuse(occurrences));
    }

    /// Whether a queue has room.
    fn has_room(&self) -> bool {
        self.queues.iter().any(Queue::has_room)
    }

    /// Waits until there is room in all queues, for whoever can wait.
    pub async fn ready(&self) {
        for queue in &self.queues {
            queue.ready().await;
        }
    }
}

impl Pipeline {
    /// Works until the sources have closed. What comes out is for whoever sees the sinks end.
    pub async fn run(mut self, mut batches: mpsc::Receiver<Batch>) -> (State, Losses) {
        let mut ids = Generator::new();
        let mut symbols = Symbols::default();
        let mut context = Context::default();
        let untold = std::mem::take(&mut self.state.untold);
        let before: Vec<_> = untold.iter().map(|loss| loss.loss(&self.meter.losses())).collect();
        let begin = [Notice::Started(Arc::clone(&self.config_hash))].into_iter();
        self.tell(begin.chain(before.into_iter().map(Notice::Lost)), &mut ids, &mut context);
        while let Some(batch) = batches.recv().await {
            // Whoever sends knows by now how much was taken by a daemon before.
            let before = self.account.settle(&self.meter);
            self.tell(before.into_iter().map(Notice::Lost), &mut ids, &mut context);
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
            if swept {
                self.tell_losses(false, &mut ids, &mut context);
            }
            // What the sinks were woken for may wait on this very thread.
            task::yield_now().await;
        }
        let mut rest = self.fold.as_mut().map(Fold::finish).unwrap_or_default();
        name_frames(&mut rest, &mut symbols);
        self.publish(&rest, &mut ids, &mut context);
        // The totals are worth waiting for, but not for a sink that is away.
        let end = time::Instant::now() + SETTLING;
        while !self.meter.settled() && time::Instant::now() < end {
            time::sleep(SETTLING_PAUSE).await;
        }
        self.tell_losses(true, &mut ids, &mut context);
        let stopped = Notice::Stopped(Arc::clone(&self.config_hash), self.meter.totals());
        self.tell([stopped].into_iter(), &mut ids, &mut context);
        (self.state, self.losses)
    }

    /// Tells of losses that nobody was told of yet, and again of those whose records did not get to a sink that gets records
    /// now; `all`: whether it does or not.
    fn tell_losses(&mut self, all: bool, ids: &mut Generator, context: &mut Context) {
        let due = self.meter.due(&mut self.losses, all);
        self.tell(due.into_iter().map(Notice::Lost), ids, context);
    }

    /// Makes records of what the daemon has to tell of itself.
    fn tell(&mut self, notices: impl Iterator<Item = Notice>, ids: &mut Generator, context: &mut Context) {
        let told: Vec<_> = notices
            .map(|notice| {
                let mut probe = Probe::new(notice);
                self.enricher.identify(&mut probe.subject, None);
                let seen = Observation { time: wall_now(), event: Event::Probe(probe) };
                Folded { seen, occurrences: 0, window: Duration::ZERO }
            })
            .collect();
        if !told.is_empty() {
            self.publish(&told, ids, context);
        }
    }

    fn publish(&mut self, ready: &[Folded], ids: &mut Generator, context: &mut Context) {
        let (clock, observed) = (Clock::now(), wall_now());
        let first = self.state.take(ready.len() as u64);
        // Before any of them can be anywhere: a number is left out rather than given twice.
        self.account.keep(self.state.next(), self.meter.dismissed.get(), &self.losses);
        let policy = Arc::clone(&self.policy.borrow());
        let catalogue = Arc::clone(&self.catalogue.borrow());
        for (folded, sequence) in ready.iter().zip(first..) {
            self.meter.records.add(1);
            self.meter.events.add(folded.occurrences);
            // A record that nobody has room for is not worth its making. What the daemon says of itself may take the last.
            let of_host = folded.occurrences > 0;
            if of_host && !self.routes.iter().any(Route::has_room) {
                self.routes.iter().for_each(|route| route.refuse(folded.occurrences));
                continue;
            }
            let ruled = context.judge(&policy, &folded.seen.event).1;
            let facts = context.facts.of(&folded.seen.event);
            let background = Background { ruled, facts, catalogue: &catalogue };
            let id = match &folded.seen.event {
                Event::Oom(kill) => kill.record,
                _ => None,
            };
            let id = id.unwrap_or_else(|| next(ids));
            let record = LogRecord::new(folded, background, Stamp { id, sequence, observed, clock });
            let loss = match &folded.seen.event {
                Event::Probe(Probe { notice: Notice::Lost(loss), .. }) => Some(Arc::new(loss.clone())),
                _ => None,
            };
            let offer = |route: &mut Route| route.offer(&record, folded.occurrences, loss.as_ref());
            self.routes.iter_mut().for_each(offer);
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
pub struct Context {
    cgroups: Cgroups,
    facts: Facts,
    victims: Victims,
    /// Whether nobody looks why a program could not be executed.
    unexplained: bool,
}

impl Context {
    /// For events that were stored without what was in the way of a program, so that none is known for a miss.
    pub fn unexplained() -> Self {
        Self { unexplained: true, ..Self::default() }
    }

    /// What the rules say of an event: whether it is one after all, and how grave it is where they say so.
    pub fn judge(&mut self, policy: &Policy, event: &Event) -> (bool, Option<Severity>) {
        let found;
        let subject = event.subject();
        let cgroup = match event {
            Event::Oom(kill) => kill.cgroup.path.as_deref(),
            Event::Exit(exit) => exit.cgroup.path.as_deref(),
            Event::Call(_) | Event::IoUring(_) | Event::Offcpu(_) | Event::Probe(_) => None,
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
                let misses = call.is_miss() && decision.is_built_in() && !self.unexplained;
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
            // What the daemon has to say is not for rules to drop.
            Event::Probe(_) => (true, None),
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
            Event::Call(_) | Event::IoUring(_) | Event::Offcpu(_) | Event::Probe(_) => {}
        }
    }
}

/// A new id of a record.
pub fn next(ids: &mut Generator) -> Ulid {
    ids.generate().unwrap_or_else(Overflow::commit_overflow_increment)
}
