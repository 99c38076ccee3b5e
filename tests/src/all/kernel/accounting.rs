//! Exact accounting under floods: what the kernel matched is delivered, or counted where it was lost.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tests::daemon::FileDaemon;
use tests::ledger::Ledger;
use tests::provoke::{Flood, Pace};
use tests::record::number;
use tests::wait;

/// A record for each call.
const UNFOLDED: [&str; 1] = ["event.fold=off"];

/// Lines of the event files, counted rather than kept.
#[derive(Default)]
struct Lines {
    all: u64,
    /// Occurrences that the lines of a process tell of.
    by_pid: BTreeMap<i32, u64>,
    /// Events that lines say are lost.
    lost: u64,
    /// The lowest and the highest number of a line.
    sequence: Option<(u64, u64)>,
    /// The last line.
    last: String,
}

impl Lines {
    fn count(&mut self, probe: &mut FileDaemon, pids: &[i32]) -> Result<()> {
        probe.events.lines(|line| {
            self.all += 1;
            let text = String::from_utf8_lossy(line);
            let number = |key: &str| number(&text, key);
            if let Some(sequence) = number("gala_gopher.sequence") {
                let (first, last) = self.sequence.unwrap_or((sequence, sequence));
                self.sequence = Some((first.min(sequence), last.max(sequence)));
            }
            if text.contains("\"EventName\":\"gala_gopher.probe.lost\"") {
                self.lost += number("gala_gopher.lost.count").unwrap_or_default();
            }
            self.last.clear();
            self.last.push_str(&text);
            let pid = number("process.pid").and_then(|pid| i32::try_from(pid).ok());
            if let Some(pid) = pid.filter(|pid| pids.contains(pid)) {
                *self.by_pid.entry(pid).or_default() += number("gala_gopher.occurrences").unwrap_or_default();
            }
        })
    }
}

/// Stops the daemon and compares the calls that were made with the lines and with what was counted as lost.
fn settle(mut probe: FileDaemon, mut lines: Lines, floods: &[Flood]) -> Result<Ledger> {
    let pids: Vec<i32> = floods.iter().map(Flood::pid).collect();
    probe.daemon.signal(Signal::TERM)?;
    wait::until("the end of the daemon", wait::PATIENCE, || {
        lines.count(&mut probe, &pids)?;
        Ok((!probe.daemon.alive()?).then_some(()))
    })?;
    lines.count(&mut probe, &pids)?;
    let ended = probe.daemon.ended()?;
    ensure!(ended.code == Some(0), "the daemon ended with {:?}", ended.code);
    let ledger = ended.ledger()?;
    ledger.check()?;
    let delivered = ledger.of_sink("logs", "delivered")?;
    ensure!(lines.all == delivered, "{} lines, but {delivered} delivered", lines.all);

    // The stream itself tells of every loss, and shows where a record is missing.
    ensure!(lines.lost == ledger.lost(), "{} are told to be lost: {ledger:?}", lines.lost);
    let (first, last) = lines.sequence.unwrap_or_default();
    let records = ledger.of("records")?;
    ensure!(last - first + 1 == records, "numbers from {first} to {last} for {records} records");
    ensure!(lines.last.contains("gala_gopher.probe.stopped"), "the last line is {}", lines.last);
    let told =
        |name: &str, count: u64| lines.last.contains(&format!("\"gala_gopher.probe.{name}\":{count},"));
    let matched = ledger.of("matched")?;
    ensure!(told("matched", matched), "{matched} events, but the last line is {}", lines.last);

    let calls: u64 = floods.iter().map(Flood::calls).sum();
    let seen: u64 = lines.by_pid.values().sum();
    ensure!(seen <= calls, "{seen} occurrences of {calls} calls");
    if ledger.lost() == 0 {
        ensure!(seen == calls, "{seen} occurrences of {calls} calls, and none counted as lost: {ledger:?}");
    } else {
        ensure!(seen + ledger.lost() >= calls, "{seen} occurrences of {calls} calls: {ledger:?}");
    }
    Ok(ledger)
}

/// Waits until every flood has made its calls, and counts lines meanwhile.
fn finish(probe: &mut FileDaemon, floods: &mut [Flood], lines: &mut Lines) -> Result<()> {
    let pids: Vec<i32> = floods.iter().map(Flood::pid).collect();
    wait::until("the end of the floods", wait::PATIENCE, || {
        lines.count(probe, &pids)?;
        Ok(Flood::all_ended(floods)?.then_some(()))
    })
}

#[test]
fn b13_a_trickle_is_delivered_whole() -> Result<()> {
    let mut probe = FileDaemon::start_with("", &UNFOLDED)?;
    let mut floods =
        [Flood::start(Pace::PerMillisecond(1), 1_000)?, Flood::start(Pace::PerMillisecond(1), 1_000)?];
    let mut lines = Lines::default();
    finish(&mut probe, &mut floods, &mut lines)?;
    // Without a loss the comparison is exact: a record for each call.
    let ledger = settle(probe, lines, &floods)?;
    ensure!(ledger.lost() == 0, "{ledger:?}");
    Ok(())
}

#[test]
fn b13_a_flood_that_is_folded_is_delivered_to_the_unit() -> Result<()> {
    let mut probe = FileDaemon::start("")?;
    let mut floods = [
        Flood::start(Pace::PerMillisecond(100), 300_000)?,
        Flood::start(Pace::PerMillisecond(100), 300_000)?,
    ];
    let mut lines = Lines::default();
    finish(&mut probe, &mut floods, &mut lines)?;
    let ledger = settle(probe, lines, &floods)?;
    ensure!(ledger.lost() == 0 && ledger.of("matched")? >= 600_000, "{ledger:?}");
    Ok(())
}

#[test]
fn b13_every_call_of_a_flood_is_delivered_or_counted() -> Result<()> {
    let mut probe = FileDaemon::start_with("", &UNFOLDED)?;
    // Two processes with 100,000 calls a second each for three seconds, beside one that makes a few.
    let mut floods = [
        Flood::start(Pace::PerMillisecond(100), 300_000)?,
        Flood::start(Pace::PerMillisecond(100), 300_000)?,
        Flood::start(Pace::PerMillisecond(1), 3_000)?,
    ];
    let mut lines = Lines::default();
    finish(&mut probe, &mut floods, &mut lines)?;
    let ledger = settle(probe, lines, &floods)?;
    ensure!(ledger.of("matched")? >= 603_000, "{ledger:?}");
    Ok(())
}

#[test]
fn b13_what_a_full_ring_loses_is_counted() -> Result<()> {
    let mut probe = FileDaemon::start_with("", &UNFOLDED)?;
    // Nobody reads the ring meanwhile, and no ring holds so many.
    probe.daemon.signal(Signal::STOP)?;
    let mut floods = [Flood::start(Pace::Unpaced, 500_000)?, Flood::start(Pace::Unpaced, 500_000)?];
    let mut lines = Lines::default();
    finish(&mut probe, &mut floods, &mut lines)?;
    probe.daemon.signal(Signal::CONT)?;
    let ledger = settle(probe, lines, &floods)?;
    ensure!(ledger.of("lost_ring")? > 0, "nothing was lost in the ring: {ledger:?}");
    ensure!(ledger.of("matched")? >= 1_000_000, "{ledger:?}");
    Ok(())
}
