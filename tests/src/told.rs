//! What one sink was told, by one daemon after another. In: lines of its stream, some of them twice. Out: how many events they
//! stand for, how many they say are lost, and whether each number is one record's.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, ensure};

use crate::follow::Follower;
use crate::record::number;

/// The sum of a stream.
#[derive(Debug)]
pub struct Told {
    sink: &'static str,
    seen: HashSet<String>,
    /// Ids and names, by number.
    records: BTreeMap<u64, (String, bool)>,
    /// Events of these processes; of all where none are named.
    pub occurrences: u64,
    /// Events of others: with them sums are no longer exact.
    pub strangers: u64,
    /// Events that are lost for this sink, by hop.
    pub lost: BTreeMap<String, u64>,
    /// Records of the daemon itself, which stand for no event, that may be missing as well.
    pub own: u64,
    /// The number of the newest record, where each must be newer than all that were seen before.
    newest: Option<u64>,
}

impl Told {
    /// Nothing yet.
    pub fn new(sink: &'static str) -> Self {
        let (seen, records, lost) = Default::default();
        Self { sink, seen, records, occurrences: 0, strangers: 0, lost, own: 0, newest: None }
    }

    /// From here on each record must be newer than all before.
    pub fn in_order(self) -> Self {
        Self { newest: Some(0), ..self }
    }

    /// Takes what is new in a folder.
    pub fn follow(&mut self, follower: &mut Follower, pids: &[i32]) -> Result<()> {
        let mut taken = Ok(());
        follower.lines(|line| {
            if taken.is_ok() {
                taken = self.take(&String::from_utf8_lossy(line), pids);
            }
        })?;
        taken
    }

    /// Takes a line. What was there already says nothing new.
    pub fn take(&mut self, line: &str, pids: &[i32]) -> Result<()> {
        let id = text(line, "log.record.uid").with_context(|| format!("no log.record.uid: {line:?}"))?;
        if !self.seen.insert(id.to_owned()) {
            return Ok(());
        }
        let sequence = number(line, "gala_gopher.sequence").context("no number")?;
        if let Some(newest) = &mut self.newest {
            ensure!(sequence > *newest, "number {sequence} comes after {newest}");
            *newest = sequence;
        }
        let starts = line.contains("\"EventName\":\"gala_gopher.probe.started\"");
        let other = self.records.insert(sequence, (id.to_owned(), starts));
        ensure!(other.is_none(), "number {sequence} is that of {id} and of {other:?}");
        if let Some(lost) = number(line, "gala_gopher.lost.count") {
            if text(line, "gala_gopher.lost.sink").is_none_or(|sink| sink == self.sink) {
                let hop = text(line, "gala_gopher.lost.hop").context("no hop")?;
                *self.lost.entry(hop.to_owned()).or_default() += lost;
            }
            return Ok(());
        }
        let pid = number(line, "process.pid");
        let ours = pids.is_empty() || pids.iter().any(|own| u64::try_from(*own).ok() == pid);
        let sum = if ours { &mut self.occurrences } else { &mut self.strangers };
        *sum += number(line, "gala_gopher.occurrences").unwrap_or(0);
        Ok(())
    }

    /// All losses.
    pub fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    /// These calls were told of or lost, to the unit; and numbers are missing only where a daemon was killed or
    /// had no room.
    pub fn check(&self, calls: u64) -> Result<()> {
        self.check_at_least(calls)?;
        let (told, lost) = (self.occurrences, &self.lost);
        let exact = self.strangers > 0 || told + self.lost() == calls;
        ensure!(exact, "{}: {calls} calls, {told} told, {lost:?}", self.sink);
        Ok(())
    }

    /// The same where some are lost in word only.
    pub fn check_at_least(&self, calls: u64) -> Result<()> {
        let Self { sink, occurrences, strangers, lost, own, records, .. } = self;
        eprintln!("{sink}: {calls} calls, {occurrences} told, {strangers} of others, lost {lost:?}");
        ensure!(*occurrences <= calls, "{sink}: {calls} calls, {occurrences} told");
        ensure!(occurrences + self.lost() >= calls, "{sink}: {calls} calls, {occurrences} told, {lost:?}");
        // A daemon that was killed may have had no room for some records before, each of one event at least.
        let hops = ["queue", "delivery", "spool", "restart"];
        let allowed = own + hops.iter().filter_map(|hop| lost.get(*hop)).sum::<u64>();
        let (mut before, mut missing) = (None, 0);
        for (number, (id, starts)) in records {
            missing += if *starts { 0 } else { before.map_or(0, |before| number - before - 1) };
            ensure!(missing <= allowed, "{sink}: {id} is {number}, the one before {before:?}, lost {lost:?}");
            before = Some(*number);
        }
        Ok(())
    }
}

/// A text of a record's line by its key.
fn text<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{key}\":\""))?;
    rest.split('"').next()
}
