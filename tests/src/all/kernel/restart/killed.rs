//! Daemons that are killed in the middle of a flood, one after the other. In: calls whose number is known. Out: one stream, in
//! which each of them is told of or lost, to the unit.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tests::daemon::{Daemon, file_config, open_dir};
use tests::follow::Follower;
use tests::pins::PinDir;
use tests::provoke::{ALONE, Flood, NO_OTHERS, ONLY_ALONE, Pace};
use tests::told::Told;
use tests::wait::{PATIENCE, until};

use super::ADOPTED;

/// One daemon after another, and the one stream that they write.
struct Line {
    dir: TempDir,
    pins: PinDir,
    config: PathBuf,
    follower: Follower,
    told: Told,
    floods: Vec<Flood>,
}

impl Line {
    fn new() -> Result<Self> {
        let dir = open_dir()?;
        let (config, events) = (dir.path().join("gala-gopher.conf"), dir.path().join("events"));
        fs::write(&config, file_config(&events, ONLY_ALONE))?;
        let (follower, told) = (Follower::new(&events), Told::new("logs"));
        Ok(Self { dir, pins: PinDir::new()?, config, follower, told, floods: Vec::new() })
    }

    fn start(&self, keys: &[&str]) -> Result<Daemon> {
        let (pins, interval) = (self.pins.setting(), "probes.event.interval=1");
        let keys = [&NO_OTHERS[..], &[&pins, interval], keys].concat();
        Daemon::start_with(&self.config, &keys)
    }

    fn flood(&mut self, pace: u64, calls: u64) -> Result<()> {
        self.floods.push(Flood::of(Pace::PerMillisecond(pace), calls, &ALONE)?);
        Ok(())
    }

    fn poll(&mut self) -> Result<()> {
        let pids: Vec<i32> = self.floods.iter().map(Flood::pid).collect();
        self.told.follow(&mut self.follower, &pids)
    }

    /// Reads for a while: where in its work the next daemon is killed is not the same each time.
    fn read_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.poll()?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until the present daemon has told something, or nothing more is to come.
    fn hear(&mut self) -> Result<()> {
        let before = self.told.occurrences;
        until("records, or the end of the floods", PATIENCE, || {
            self.poll()?;
            Ok((self.told.occurrences > before || Flood::all_ended(&mut self.floods)?).then_some(()))
        })
    }

    /// Waits for the end of the floods, stops the last daemon, and compares.
    fn finish(mut self, daemon: Daemon) -> Result<Told> {
        until("the end of the floods", PATIENCE, || {
            self.poll()?;
            Ok(Flood::all_ended(&mut self.floods)?.then_some(()))
        })?;
        let ended = daemon.stop()?;
        ensure!(ended.code == Some(0), "the daemon ended with {:?}", ended.code);
        ended.ledger()?.check()?;
        self.poll()?;
        let calls = self.floods.iter().map(Flood::calls).sum();
        self.told.check(calls)?;
        ensure!(!self.pins.path().exists(), "{:?} is left", self.pins.path());
        drop(self.dir);
        Ok(self.told)
    }
}

/// Kills so many daemons with these keys, the first a good while after its start and others sooner.
fn kill_in_a_flood(keys: &[&str], pace: u64, calls: u64, times: u32) -> Result<Told> {
    let mut line = Line::new()?;
    let mut daemon = line.start(keys)?;
    for _ in 0..3 {
        line.flood(pace, calls)?;
    }
    for time in 0..times {
        // One of them is killed before it has said anything.
        if time % 3 != 2 {
            line.hear()?;
        }
        line.read_for(Duration::from_millis(u64::from(time * 379 % 1500)))?;
        daemon.crash()?;
        daemon = line.start(keys)?;
        ensure!(daemon.log().contains(ADOPTED), "the programs were attached anew");
    }
    line.finish(daemon)
}

#[test]
fn each_call_is_told_or_lost_where_repeats_are_folded() -> Result<()> {
    let told = kill_in_a_flood(&["event.fold_entries=16"], 20, 200_000, 6)?;
    ensure!(told.lost.contains_key("restart"), "{:?}", told.lost);
    Ok(())
}

#[test]
fn each_call_is_told_or_lost_where_nothing_is_folded() -> Result<()> {
    kill_in_a_flood(&["event.fold=off"], 4, 40_000, 6).map(drop)
}

#[test]
fn each_call_is_told_or_lost_where_a_daemon_is_killed_while_it_stops() -> Result<()> {
    let mut line = Line::new()?;
    let daemon = line.start(&["event.fold_entries=16"])?;
    line.flood(20, 20_000)?;
    line.hear()?;
    // What is captured from here on is a matter of chance, so nothing more is.
    Flood::signal_all(&line.floods, Signal::STOP)?;
    daemon.signal(Signal::TERM)?;
    line.read_for(Duration::from_millis(60))?;
    daemon.crash()?;
    let daemon = line.start(&["event.fold_entries=16"])?;
    Flood::signal_all(&line.floods, Signal::CONT)?;
    line.finish(daemon).map(drop)
}

#[test]
fn each_call_is_told_or_lost_where_a_kernel_side_is_replaced_in_between() -> Result<()> {
    let mut line = Line::new()?;
    let (one, other) = (["event.fold_entries=16"], ["event.fold_entries=480"]);
    let mut daemon = line.start(&one)?;
    line.flood(20, 200_000)?;
    line.flood(20, 200_000)?;
    for (time, keys) in [(0, one), (300, other), (700, other), (150, one), (400, one)] {
        line.hear()?;
        line.read_for(Duration::from_millis(time))?;
        // Between the end of one kernel side and the start of the other nothing is captured.
        Flood::signal_all(&line.floods, Signal::STOP)?;
        daemon.crash()?;
        daemon = line.start(&keys)?;
        Flood::signal_all(&line.floods, Signal::CONT)?;
    }
    line.finish(daemon).map(drop)
}
