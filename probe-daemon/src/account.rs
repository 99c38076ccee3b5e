//! What a daemon hands to the next one where it cannot end in order: which record is the next, and how far each sink has
//! come.
//!
//! In: the account that outlives the daemon, with the programs that it counts for. Out: who keeps it from now on, and what
//! the daemon before had taken from the kernel and told nobody of. Kafka's part is in its spool, which has each record with
//! the sum of all up to it in one write; a sink without a spool is written down after its records are.

use std::sync::Arc;

use tracing::warn;

use crate::{
    clock::wall_now,
    config::Channel,
    losses::{Loss, Of, RESTART},
    meter::{Meter, SinkMeter},
    source::kernel::{Inherited, Kernel, Ledger},
};

/// The account of this run.
pub struct Account {
    /// The number of the next record, where the daemon before has left it.
    pub sequence: Option<u64>,
    /// Takes the number of the next record, and how many events this run has dismissed.
    pub keep: Box<dyn Fn(u64, u64) + Send>,
    /// Says what the daemon before had taken and told nobody of, once it is known how much it had taken.
    pub before: Option<Box<dyn FnOnce(&Meter) -> Vec<Loss> + Send>>,
}

/// What of all that was taken has arrived somewhere, by sink.
struct Arrived(Vec<(&'static str, u64)>);

impl Account {
    /// Goes on with the account of `kernel`. `spooled`: the events that Kafka's spool has taken in so far, where each record
    /// goes there.
    pub fn open(kernel: &Kernel, sinks: &[(Channel, Arc<SinkMeter>)], spooled: Option<u64>) -> Self {
        let (ledger, inherited) = (kernel.ledger(), kernel.inherited());
        let adopted = inherited.is_some_and(|inherited| !inherited.replaced);
        let arrived = inherited.map(|inherited| arrived(&inherited, sinks, spooled));
        let changed = ledger.update(|entry| {
            entry.started = wall_now();
            if !adopted {
                (entry.dismissed, entry.reached) = Default::default();
            }
            for channel in Channel::all() {
                let reached = &mut entry.reached[*channel as usize];
                let is_sink = sinks.iter().any(|(sink, _)| sink == channel);
                let has_account = is_sink && (*channel != Channel::Kafka || spooled.is_some());
                match (has_account, adopted) {
                    (false, _) => reached.active = 0,
                    (true, false) => {
                        let start = if *channel == Channel::Kafka { spooled.unwrap_or_default() } else { 0 };
                        (reached.active, reached.events) = (1, start);
                    }
                    // A sink that is new cannot have what was taken before; its account begins with the next programs.
                    (true, true) => {}
                }
            }
        });
        if let Err(error) = changed {
            warn!(%error, "what this daemon loses if it is killed cannot be told by the next one");
        }
        for (channel, meter) in sinks.iter().filter(|(channel, _)| *channel != Channel::Kafka) {
            keep_reached(&ledger, *channel, meter);
        }
        let dismissed_before = if adopted { ledger.get().dismissed } else { 0 };
        let keep = move |next, dismissed| {
            // A refusal was told of above.
            let _ = ledger.update(|entry| {
                (entry.sequence, entry.dismissed) = (next, dismissed_before + dismissed);
            });
        };
        let before = inherited.zip(arrived).map(|(inherited, arrived)| {
            let lost = move |meter: &Meter| arrived.missing(&inherited, meter.taken_before());
            Box::new(lost) as Box<dyn FnOnce(&Meter) -> Vec<Loss> + Send>
        });
        let sequence = inherited.map(|inherited| inherited.ledger.sequence).filter(|next| *next > 0);
        Self { sequence, keep: Box::new(keep), before }
    }
}

fn keep_reached(ledger: &Ledger, channel: Channel, meter: &SinkMeter) {
    let slot = channel as usize;
    if ledger.get().reached[slot].active == 1 {
        let ledger = ledger.clone();
        meter.tell(move |events| {
            // A refusal was told of when the account was opened.
            let _ = ledger.update(|entry| entry.reached[slot].events += events);
        });
    }
}

fn arrived(inherited: &Inherited, sinks: &[(Channel, Arc<SinkMeter>)], spooled: Option<u64>) -> Arrived {
    let of = |(channel, meter): &(Channel, Arc<SinkMeter>)| {
        let reached = inherited.ledger.reached[*channel as usize];
        let events = match channel {
            _ if reached.active == 0 => None,
            // The spool counts on from one kernel side to the next. One that has less is another spool.
            Channel::Kafka => spooled.and_then(|spooled| spooled.checked_sub(reached.events)),
            Channel::Logs | Channel::Stdout => Some(reached.events),
        };
        Some((meter.name, events?))
    };
    Arrived(sinks.iter().filter_map(of).collect())
}

impl Arrived {
    /// What is missing of `taken`, for each sink.
    fn missing(self, inherited: &Inherited, taken: u64) -> Vec<Loss> {
        let until = wall_now();
        let since = match inherited.ledger.started {
            0 => until,
            started => started.min(until),
        };
        let lost = |(sink, events): (&'static str, u64)| {
            let count = taken.saturating_sub(inherited.ledger.dismissed).saturating_sub(events);
            (count > 0).then_some(Loss { hop: RESTART, of: Of::Sink(sink), count, since, until })
        };
        self.0.into_iter().filter_map(lost).collect()
    }
}
