//! What was lost since it was told last.
//!
//! In: the totals of every hop that can lose. Out: a [`Loss`] for each that has grown. What nobody was told of when the
//! daemon ends is kept in a form that the next one reads.

use serde::{Deserialize, Serialize};
use tracing::warn;

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
/// The hop of events that a killed daemon had taken, and told nobody of.
pub const RESTART: &str = "restart";

impl Loss {
    /// Events that need no other record in this sink, since this loss tells it of them.
    pub fn accounts_for(&self, sink: &str) -> u64 {
        match self.of {
            Of::All | Of::Family(_) => self.count,
            Of::Sink(name) if name == sink => self.count,
            Of::Sink(_) => 0,
        }
    }
}

/// What a loss is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Of {
    /// Events of one family, for every sink.
    Family(&'static str),
    /// Events of any family, for every sink.
    All,
    /// Events of any family, for one sink.
    Sink(&'static str),
}

impl Of {
    /// The family, or `all`.
    pub fn family(self) -> &'static str {
        match self {
            Self::Family(family) => family,
            Self::All | Self::Sink(_) => "all",
        }
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
            warn!(hop, ?of, lost = count, "events lost");
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
        let (family, sink) = match loss.of {
            Of::Family(family) => (Some(family.to_owned()), None),
            Of::All => (None, None),
            Of::Sink(sink) => (None, Some(sink.to_owned())),
        };
        let Loss { count, since, until, .. } = *loss;
        Self { hop: loss.hop.to_owned(), family, sink, count, since, until }
    }
}

impl Untold {
    /// The loss, where this daemon knows such hops, families and sinks; else it is about everything.
    pub fn loss(&self, hops: &[Total]) -> Loss {
        let hop = hops.iter().map(|known| known.hop).find(|hop| *hop == self.hop).unwrap_or(RESTART);
        let of = hops.iter().map(|known| known.of).find(|of| match of {
            Of::Family(family) => Some(*family) == self.family.as_deref(),
            Of::Sink(sink) => Some(*sink) == self.sink.as_deref(),
            Of::All => false,
        });
        let Self { count, since, until, .. } = *self;
        Loss { hop, of: of.unwrap_or(Of::All), count, since, until }
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
        let ring = Of::Family("syscall");
        assert!(losses.due(vec![total("ring", ring, 0)], 20).is_empty());
        let first = losses.due(vec![total("ring", ring, 5), total("queue", Of::Sink("kafka"), 2)], 30);
        assert_eq!(
            first,
            [
                Loss { hop: "ring", of: ring, count: 5, since: 20, until: 30 },
                Loss { hop: "queue", of: Of::Sink("kafka"), count: 2, since: 20, until: 30 },
            ]
        );
        let second = losses.due(vec![total("ring", ring, 6), total("queue", Of::Sink("kafka"), 2)], 40);
        assert_eq!(second, [Loss { hop: "ring", of: ring, count: 1, since: 30, until: 40 }]);
    }

    #[test]
    fn what_nobody_was_told_of_comes_back() {
        let hops = [total("ring", Of::Family("oom"), 0), total("delivery", Of::Sink("kafka"), 9)];
        for of in [Of::Family("oom"), Of::Sink("kafka"), Of::All] {
            let loss = Loss { hop: "delivery", of, count: 3, since: 1, until: 2 };
            let text = serde_json::to_string(&Untold::from(&loss)).unwrap();
            assert_eq!(serde_json::from_str::<Untold>(&text).unwrap().loss(&hops), loss);
        }
    }

    #[test]
    fn a_loss_of_a_hop_that_is_no_more_is_not_forgotten() {
        let untold: Untold =
            serde_json::from_str(r#"{"hop":"mail","sink":"pigeon","count":3,"since":1,"until":2}"#).unwrap();
        assert_eq!(untold.loss(&[]), Loss { hop: "restart", of: Of::All, count: 3, since: 1, until: 2 });
    }
}
