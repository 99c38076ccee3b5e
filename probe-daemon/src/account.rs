//! What a daemon hands to the next one where it cannot end in order: which record is the next, and how far each sink has
//! come.
//!
//! In: the account that outlives the daemon, with the programs that it counts for. Out: who keeps it from now on, and what
//! the daemon before had taken from the kernel and told nobody of.
//!
//! Of all that was *due* (taken from the kernel, less what rules dismissed, and lost in the ring as far as records were made
//! of that) a sink has what its records tell of, as occurrences or as losses. The rest is lost with the daemon. Two things make
//! this exact at any kill: each side is counted where it is, in the kernel's maps and with the records; and a loss counts for a
//! sink only when the record that tells of it is there, so that a daemon that is killed before that owes it still.

use std::sync::{Arc, OnceLock};

use probe_common::{Kind, Reached};
use tracing::warn;

use crate::{
    clock::wall_now,
    config::Channel,
    losses::{Loss, Losses, Of, RESTART, RING, Total},
    meter::{Meter, SinkMeter},
    sink::file::Tail,
    source::kernel::{Entry, Inherited, Kernel, Ledger},
};

/// A sink, and what it has on disk.
pub struct Outlet {
    /// Which one.
    pub channel: Channel,
    /// What counts for it.
    pub meter: Arc<SinkMeter>,
    /// Where its records are.
    pub place: Place,
}

/// Where the records of a sink are that outlive the daemon.
pub enum Place {
    /// In a spool, which had this total when it was opened; none where it could not be. `always`: each record goes there.
    Spool {
        /// The total.
        total: Option<u64>,
        /// Whether each record goes there.
        always: bool,
    },
    /// In a file.
    File(Tail),
    /// Nowhere.
    Pipe,
}

/// The account of this run.
pub struct Account {
    ledger: Ledger,
    sinks: Vec<Arc<Sink>>,
    /// Dismissed by daemons before.
    dismissed: u64,
    /// Lost in ring buffers that are no more.
    lost_elsewhere: [u64; Kind::ALL.len()],
    /// What the daemon before has left, until it is known how much it had taken.
    before: Option<Inherited>,
}

/// The account of one sink.
struct Sink {
    name: &'static str,
    channel: Channel,
    meter: Arc<SinkMeter>,
    spooled: Option<u64>,
    /// How far the sink had come when this run began; none where that is not known.
    before: Option<i64>,
    /// What the run began with, in the account; none until that is known.
    base: OnceLock<i64>,
    /// The last record that the sink had then.
    newest: u64,
}

impl Account {
    /// Goes on with the account of `kernel`, or begins one. Records are numbered from `next` on; `untold` are losses that
    /// this daemon tells of for one before.
    pub fn open(kernel: &Kernel, outlets: Vec<Outlet>, meter: &Meter, next: u64, untold: &[Loss]) -> Self {
        let (ledger, inherited) = (kernel.ledger(), kernel.inherited());
        let lost_elsewhere = kernel.lost_elsewhere();
        let adopted = inherited.is_some_and(|inherited| !inherited.replaced);
        // Taken already, and in no count of the programs that run now.
        let elsewhere = meter.received.get() + meter.folded.get() + lost_elsewhere.iter().sum::<u64>();
        let mut sinks = Vec::new();
        for outlet in outlets {
            let sink = Sink::new(outlet, inherited.as_ref(), next);
            if adopted {
                if let Some(reached) = sink.before {
                    sink.begin(reached);
                }
            } else {
                let told = inherited.map_or(0, |before| before.ledger.ring.iter().sum::<u64>());
                let owed = inherited.map_or(0, |before| sink.owed(&before.ledger, meter.taken_before()));
                let untold: u64 = untold.iter().map(|loss| loss.accounts_for(sink.name)).sum();
                sink.begin(told.cast_signed() - owed - (elsewhere + untold).cast_signed());
            }
            sinks.push(Arc::new(sink));
        }
        let dismissed = if adopted { ledger.get().dismissed } else { 0 };
        let account = Self { ledger, sinks, dismissed, lost_elsewhere, before: inherited };
        let opened = account.ledger.update(|entry| {
            entry.started = wall_now();
            entry.dismissed = dismissed;
            if !adopted {
                entry.ring = Default::default();
            }
            account.write_sinks(entry);
        });
        if let Err(error) = opened {
            warn!(%error, "what this daemon loses if it is killed cannot be told by the next one");
        }
        for sink in account.sinks.iter().map(Arc::clone) {
            let (ledger, meter) = (account.ledger.clone(), Arc::clone(&sink.meter));
            meter.kept_by(move |events, newest| {
                // Whoever else writes the account sees both or none. A refusal was told of above.
                let _ = ledger.update(|entry| {
                    sink.meter.note(events, newest);
                    sink.write(entry);
                });
            });
        }
        account
    }

    /// What daemons before have told of losses that this one still sees in the kernel's counts.
    pub fn told(&self) -> Vec<Total> {
        let ring = self.before.map(|before| before.ledger.ring).unwrap_or_default();
        let total = |(kind, count): (Kind, u64)| Total { hop: RING, of: Of::family(kind.name()), count };
        Kind::ALL.into_iter().zip(ring).map(total).collect()
    }

    /// What the daemon before had taken and told nobody of, once: for each sink. Ask when it is known how much it had taken.
    pub fn settle(&mut self, meter: &Meter) -> Vec<Loss> {
        let Some(Inherited { ledger, .. }) = self.before.take() else { return Vec::new() };
        let taken = meter.taken_before();
        let until = wall_now();
        let since = if ledger.started == 0 { until } else { ledger.started.min(until) };
        let mut losses = Vec::new();
        for sink in &self.sinks {
            let count = u64::try_from(sink.owed(&ledger, taken)).unwrap_or_default();
            if count > 0 {
                warn!(hop = RESTART, sink = sink.name, lost = count, "events lost");
                losses.push(Loss { hop: RESTART, of: Of::sink(sink.name), count, since, until });
            }
            // One that is new is owed nothing of what was taken before.
            sink.begin(due(&ledger, taken));
        }
        losses
    }

    /// Keeps the account as it is, before records are on their way: `next` is the number of the next record, `dismissed` what
    /// this run has dismissed.
    pub fn keep(&self, next: u64, dismissed: u64, losses: &Losses) {
        // A refusal was told of when the account was opened.
        let _ = self.ledger.update(|entry| {
            (entry.sequence, entry.dismissed) = (next, self.dismissed + dismissed);
            for (kind, (told, elsewhere)) in
                Kind::ALL.into_iter().zip(entry.ring.iter_mut().zip(self.lost_elsewhere))
            {
                *told = losses.told(RING, Of::family(kind.name())).saturating_sub(elsewhere);
            }
            self.write_sinks(entry);
        });
    }

    fn write_sinks(&self, entry: &mut Entry) {
        // There are no others.
        entry.reached = Default::default();
        for sink in &self.sinks {
            sink.write(entry);
        }
    }
}

impl Sink {
    fn new(outlet: Outlet, inherited: Option<&Inherited>, next: u64) -> Self {
        let Outlet { channel, meter, place } = outlet;
        let found = inherited.and_then(|before| before.ledger.reached.get(channel as usize).copied());
        let found = found.unwrap_or_default();
        let (mut newest, mut spooled) = (next.saturating_sub(1), None);
        let mut before = match (found.how, &place) {
            (Reached::HERE, _) => Some(found.events),
            // One that has less than it had is another.
            (Reached::SPOOL, Place::Spool { total: Some(total), .. }) => {
                Some(total.cast_signed().wrapping_sub(found.events))
            }
            _ => None,
        };
        match place {
            Place::Spool { total, always: true } => spooled = total,
            Place::File(tail) => {
                if let Some(before) = &mut before {
                    let (events, last) = tail.behind(found.sequence, meter.name);
                    *before += events.cast_signed();
                    newest = last;
                }
            }
            Place::Spool { .. } | Place::Pipe => {}
        }
        Self { name: meter.name, channel, meter, spooled, before, base: OnceLock::new(), newest }
    }

    /// What was due to it and is not there.
    fn owed(&self, ledger: &Entry, taken: u64) -> i64 {
        self.before.map_or(0, |reached| (due(ledger, taken) - reached).max(0))
    }

    /// From here on the sink's account is kept, unless it is already.
    fn begin(&self, reached: i64) {
        let base = self.spooled.map_or(reached, |total| total.cast_signed().wrapping_sub(reached));
        let _ = self.base.set(base);
    }

    fn write(&self, entry: &mut Entry) {
        let Some(reached) = entry.reached.get_mut(self.channel as usize) else { return };
        // What Kafka's line had and lost is told of by records of their own.
        let lost = match self.channel {
            Channel::Kafka => self.meter.gone_from_line(),
            Channel::Logs | Channel::Stdout => 0,
        };
        let sequence = self.newest.max(self.meter.newest());
        *reached = match (self.base.get(), self.spooled) {
            (None, _) => Reached::default(),
            (Some(base), Some(_)) => {
                Reached { how: Reached::SPOOL, events: base.wrapping_add_unsigned(lost), sequence }
            }
            (Some(base), None) => {
                let events = base.wrapping_add_unsigned(self.meter.reached.get()).wrapping_sub_unsigned(lost);
                Reached { how: Reached::HERE, events, sequence }
            }
        };
    }
}

/// What sinks should have by now, where so many were taken from the kernel.
fn due(ledger: &Entry, taken: u64) -> i64 {
    (taken + ledger.ring.iter().sum::<u64>()).cast_signed() - ledger.dismissed.cast_signed()
}
