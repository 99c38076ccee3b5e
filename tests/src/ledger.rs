//! The daemon's account of a run: in comes its log, out come the figures of the `ledger` lines by name.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// The figures of one `ledger` line.
pub type Figures = BTreeMap<String, u64>;

/// The figures that the daemon logs at the end of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    /// From the kernel to the records.
    pub path: Figures,
    /// From the records to each sink, by the name of the sink.
    pub sinks: BTreeMap<String, Figures>,
}

impl Ledger {
    /// Reads the last ledger out of a log.
    pub fn parse(log: &str) -> Result<Self> {
        let mut ledger = Self::default();
        for line in log.lines() {
            let line = without_colour(line);
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some(start) = words.iter().position(|word| *word == "ledger") else { continue };
            let mut figures = Figures::new();
            let mut sink = None;
            for (name, value) in words[start + 1..].iter().filter_map(|word| word.split_once('=')) {
                if name == "sink" {
                    sink = Some(value.trim_matches('"').to_owned());
                } else if let Ok(value) = value.trim_end_matches(',').parse() {
                    figures.insert(name.to_owned(), value);
                }
            }
            match sink {
                Some(sink) => drop(ledger.sinks.insert(sink, figures)),
                None => ledger.path = figures,
            }
        }
        if ledger.path.is_empty() {
            anyhow::bail!("the log has no ledger line");
        }
        Ok(ledger)
    }

    /// One figure of the way from the kernel to the records.
    pub fn of(&self, name: &str) -> Result<u64> {
        self.path.get(name).copied().with_context(|| format!("the ledger has no {name}: {self:?}"))
    }

    /// One figure of a sink.
    pub fn of_sink(&self, sink: &str, name: &str) -> Result<u64> {
        let figures =
            self.sinks.get(sink).with_context(|| format!("the ledger has no sink {sink}: {self:?}"))?;
        figures.get(name).copied().with_context(|| format!("sink {sink} has no {name}: {self:?}"))
    }

    /// Everything that was counted as lost, on the way to the records and in every sink.
    pub fn lost(&self) -> u64 {
        let of = |figures: &Figures| -> u64 {
            figures.iter().filter(|(name, _)| name.starts_with("lost_")).map(|(_, count)| count).sum()
        };
        let malformed = self.path.get("malformed").copied().unwrap_or(0);
        of(&self.path) + malformed + self.sinks.values().map(of).sum::<u64>()
    }

    /// Checks that each hop hands on, or counts as lost, what the hop before it handed to it.
    pub fn check(&self) -> Result<()> {
        let equal = |what: &str, left: u64, right: u64| {
            anyhow::ensure!(left == right, "the ledger does not add up: {what}: {left} ≠ {right}: {self:?}");
            Ok(())
        };
        let sum = |names: &[&str]| names.iter().map(|name| self.of(name)).sum::<Result<u64>>();
        equal(
            "matched = sent + folded + lost_ring",
            self.of("matched")?,
            sum(&["sent", "folded", "lost_ring"])?,
        )?;
        equal(
            "sent + folded = taken_before + lost_pipeline + malformed + dismissed + events",
            sum(&["sent", "folded"])?,
            sum(&["taken_before", "lost_pipeline", "malformed", "dismissed", "events"])?,
        )?;
        let (sent, received, before) = (self.of("sent")?, self.of("received")?, self.of("taken_before")?);
        let taken = sent.checked_sub(received);
        anyhow::ensure!(
            taken.is_some_and(|taken| taken <= before),
            "{sent} sent, {received} received: {self:?}"
        );
        self.check_sinks()
    }

    /// The same from the records on, which is all that a replay has.
    pub fn check_sinks(&self) -> Result<()> {
        anyhow::ensure!(!self.sinks.is_empty(), "the ledger names no sink");
        for sink in self.sinks.keys() {
            let figures =
                ["delivered_events", "filtered", "lost_queue", "lost_delivery", "lost_spool", "kept"];
            let sum = figures.iter().map(|name| self.of_sink(sink, name)).sum::<Result<u64>>()?;
            let all = self.of("events")? + self.of_sink(sink, "resumed")?;
            let parts = figures.join(" + ");
            anyhow::ensure!(
                all == sum,
                "the ledger does not add up: events + resumed = {parts} of {sink}: {all} ≠ {sum}: {self:?}"
            );
        }
        Ok(())
    }
}

/// A line without the escape sequences of colours.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            let _ = characters.by_ref().find(|c| c.is_ascii_alphabetic());
        } else {
            plain.push(character);
        }
    }
    plain
}
