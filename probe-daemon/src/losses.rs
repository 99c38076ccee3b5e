//! What was lost since it was told last.
//!
//! In: the totals of every hop that can lose, and what was told by records that a sink did not get. Out: a [`Loss`] for each
//! that has grown, and for each that is to be told again. What nobody was told of when the daemon ends is kept in a form that
//! the next one reads.

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::spool::Told;

/// What a hop has lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Where: `ring`, `pipeline`, `queue`, `spool`, `delivery` or `restart`.
    pub hop: &'static str,
    /// What it is about.
    pub of: Of,
    /// How many events.
    pub count: u64,
    /// From when on, in nanoseconds since the Unix epoch.
    pub since: u64,
    /// Up to when, in nanoseconds since the Unix epoch.
    pub until: u64,
}

/// The hop of events that found no room in the ring buffer.
pub const RING: &str = "ring";
/// The hop of events whose records a sink took and could not deliver.
pub const DELIVERY: &str = "delivery";
/// The hop of events whose records found no room in a sink's spool, or were damaged there.
pub const SPOOL: &str = "spool";
/// The hop of events that a killed daemon had taken, and told nobody of.
pub const RESTART: &str = "restart";

impl Loss {
    /// Events that need no other record in this sink, since this loss tells it of them.
    pub fn accounts_for(&self, sink: &str) -> u64 {
        if self.of.sink.is_none_or(|own| own == sink) { self.count } else { 0 }
    }

    /// How many, and from when to when.
    pub fn told(&self) -> Told {
        let Self { count, since, until, .. } = *self;
        Told { count, since, until }
    }

    /// So many events at this hop; none where nothing is lost.
    pub fn of_told(hop: &'static str, of: Of, told: Told) -> Option<Self> {
        let Told { count, since, until } = told;
        (count > 0).then_some(Self { hop, of, count, since, until })
    }
}

/// What a loss is about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Of {
    /// The family of the events; none where they may be of any.
    pub family: Option<&'static str>,
    /// The sink that has no record of them; none where that is every one.
    pub sink: Option<&'static str>,
}

impl Of {
    /// Events of any family, for every sink.
    pub const ALL: Self = Self { family: None, sink: None };

    /// Events of one family, for every sink.
    pub fn family(family: &'static str) -> Self {
        Self { family: Some(family), ..Self::ALL }
    }

    /// Events of any family, for one sink.
    pub fn sink(sink: &'static str) -> Self {
        Self { sink: Some(sink), ..Self::ALL }
    }
}

/// Losses that a sink was to be told of by records that it did not get.
#[derive(Debug, Default)]
pub struct Again {
    losses: Vec<(&'static str, Of, Told)>,
    /// Records that the sink had when the last of them was lost.
    delivered: u64,
}

impl Again {
    /// `sink` did not get the record of this loss, and has got so many others.
    pub fn add(&mut self, loss: &Loss, sink: &'static str, delivered: u64) {
        self.delivered = delivered;
        let of = Of { sink: Some(sink), ..loss.of };
        match self.losses.iter_mut().find(|(hop, known, _)| (*hop, *known) == (loss.hop, of)) {
            Some((.., told)) => *told += loss.told(),
            None => self.losses.push((loss.hop, of, loss.told())),
        }
    }

    /// Takes those out that are worth another record: the sink has got some since.
    pub fn due(&mut self, delivered: u64) -> Vec<Loss> {
        if delivered > self.delivered { self.all() } else { Vec::new() }
    }

    /// Takes all out.
    pub fn all(&mut self) -> Vec<Loss> {
        let losses = std::mem::take(&mut self.losses).into_iter();
        losses.filter_map(|(hop, of, told)| Loss::of_told(hop, of, told)).collect()
    }
}

/// A hop that can lose, and what it has lost since it was set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Total {
    /// Where.
    pub hop: &'static str,
    /// What it is about.
    pub of: Of,
    /// How many events.
    pub count: u64,
}

/// Remembers what was told.
#[derive(Debug)]
pub struct Losses {
    told: Vec<Total>,
    since: u64,
}

impl Losses {
    /// By `now`, in nanoseconds since the Unix epoch, a daemon before has told of these.
    pub fn new(told: Vec<Total>, now: u64) -> Self {
        Self { told, since: now }
    }

    /// How much was told of a hop.
    pub fn told(&self, hop: &str, of: Of) -> u64 {
        self.told.iter().find(|told| (told.hop, told.of) == (hop, of)).map_or(0, |told| told.count)
    }

    /// What has come since the last time, with a line in the log for each. It counts as told.
    pub fn due(&mut self, mut totals: Vec<Total>, now: u64) -> Vec<Loss> {
        let before = |total: &Total| self.told(total.hop, total.of);
        let grown = totals.iter().map(|total| (total, total.count.saturating_sub(before(total))));
        let losses: Vec<Loss> = grown
            .filter(|(_, count)| *count > 0)
            .map(|(&Total { hop, of, .. }, count)| Loss { hop, of, count, since: self.since, until: now })
            .collect();
        for Loss { hop, of, count, .. } in &losses {
            warn!(hop, family = of.family, sink = of.sink, lost = count, "events lost");
        }
        // What was told stays told where a hop's counters could not be read.
        let told: Vec<u64> =
            totals.iter().map(|total| total.count.max(self.told(total.hop, total.of))).collect();
        totals.iter_mut().zip(told).for_each(|(total, told)| total.count = told);
        (self.told, self.since) = (totals, now);
        losses
    }
}

/// A loss that a daemon could not tell of before it ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Untold {
    hop: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sink: Option<String>,
    count: u64,
    since: u64,
    until: u64,
}

impl From<&Loss> for Untold {
    fn from(loss: &Loss) -> Self {
        let Loss { hop, of, count, since, until } = *loss;
        let (family, sink) = (of.family.map(str::to_owned), of.sink.map(str::to_owned));
        Self { hop: hop.to_owned(), family, sink, count, since, until }
    }
}

impl Untold {
    /// The loss, where this daemon knows such hops, families and sinks; else it is about everything.
    pub fn loss(&self, hops: &[Total]) -> Loss {
        let hop = hops.iter().map(|known| known.hop).find(|hop| *hop == self.hop).unwrap_or(RESTART);
        let known = |name: &Option<String>, of: fn(&Of) -> Option<&'static str>| {
            hops.iter().filter_map(|known| of(&known.of)).find(|known| Some(*known) == name.as_deref())
        };
        let of = Of { family: known(&self.family, |of| of.family), sink: known(&self.sink, |of| of.sink) };
        let Self { count, since, until, .. } = *self;
        Loss { hop, of, count, since, until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(hop: &'static str, of: Of, count: u64) -> Total {
        Total { hop, of, count }
    }

    #[test]
    fn only_what_is_new_is_told_and_once() {
        let mut losses = Losses::new(Vec::new(), 10);
        let ring = Of::family("syscall");
        assert!(losses.due(vec![total("ring", ring, 0)], 20).is_empty());
        let first = losses.due(vec![total("ring", ring, 5), total("queue", Of::sink("kafka"), 2)], 30);
        assert_eq!(
            first,
            [
                Loss { hop: "ring", of: ring, count: 5, since: 20, until: 30 },
                Loss { hop: "queue", of: Of::sink("kafka"), count: 2, since: 20, until: 30 },
            ]
        );
        let second = losses.due(vec![total("ring", ring, 6), total("queue", Of::sink("kafka"), 2)], 40);
        assert_eq!(second, [Loss { hop: "ring", of: ring, count: 1, since: 30, until: 40 }]);
    }

    #[test]
    fn what_nobody_was_told_of_comes_back() {
        let hops = [total("ring", Of::family("oom"), 0), total("delivery", Of::sink("kafka"), 9)];
        let both = Of { family: Some("oom"), sink: Some("kafka") };
        for of in [Of::family("oom"), Of::sink("kafka"), both, Of::ALL] {
            let loss = Loss { hop: "delivery", of, count: 3, since: 1, until: 2 };
            let text = serde_json::to_string(&Untold::from(&loss)).unwrap();
            assert_eq!(serde_json::from_str::<Untold>(&text).unwrap().loss(&hops), loss);
        }
    }

    #[test]
    fn a_loss_of_a_hop_that_is_no_more_is_not_forgotten() {
        let untold: Untold =
            serde_json::from_str(r#"{"hop":"mail","sink":"pigeon","count":3,"since":1,"until":2}"#).unwrap();
        assert_eq!(untold.loss(&[]), Loss { hop: "restart", of: Of::ALL, count: 3, since: 1, until: 2 });
    }

    #[test]
    fn what_a_sink_was_not_told_is_told_again_to_it_alone_when_it_gets_records() {
        let loss = |of, count, since, until| Loss { hop: "ring", of, count, since, until };
        let mut again = Again::default();
        again.add(&loss(Of::family("oom"), 3, 10, 20), "logs", 7);
        again.add(&loss(Of::family("exit"), 5, 10, 20), "logs", 7);
        again.add(&loss(Of::family("oom"), 4, 20, 30), "logs", 7);
        assert_eq!(again.due(7), [], "nothing gets there");
        let of = |family| Of { family: Some(family), sink: Some("logs") };
        let due = [loss(of("oom"), 7, 10, 30), loss(of("exit"), 5, 10, 20)];
        assert_eq!(again.due(8), due);
        assert_eq!(again.due(9), [], "once");
        // And again where that record is lost too.
        again.add(&due[0], "logs", 9);
        assert_eq!(again.all(), [due[0].clone()]);
        assert_eq!((due[0].accounts_for("logs"), due[0].accounts_for("kafka")), (7, 0));
    }
}
