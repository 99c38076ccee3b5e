//! A disk that is full under the event file. In: calls whose number is known, more of them than anything has room for. Out: a
//! stream in which each is told of or lost, to the unit, once there is room again: the records of losses that found none, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tests::daemon::{Daemon, file_config, open_dir};
use tests::disk::Disk;
use tests::follow::Follower;
use tests::pins::PinDir;
use tests::provoke::{ALONE, Flood, NO_OTHERS, ONLY_ALONE, Pace};
use tests::told::Told;
use tests::wait::{PATIENCE, until};

/// Bytes of the disk that are taken up until it is to have room.
const TAKEN_UP: usize = 20 << 20;
const DISK: &str = "24m";

/// A daemon on a small disk, and what it is told to write there.
struct Full {
    disk: Disk,
    dir: TempDir,
    pins: PinDir,
    config: PathBuf,
    daemon: Daemon,
    follower: Follower,
    told: Told,
    floods: Vec<Flood>,
}

impl Full {
    /// A daemon that has filled the disk, and was meanwhile too slow to read all that there was.
    fn new() -> Result<Self> {
        let dir = open_dir()?;
        let (config, place) = (dir.path().join("gala-gopher.conf"), dir.path().join("disk"));
        let disk = Disk::new(&place, DISK)?;
        disk.take_up(TAKEN_UP)?;
        let events = disk.path().join("events");
        fs::write(&config, file_config(&events, ONLY_ALONE))?;
        let pins = PinDir::new()?;
        let daemon = start(&config, &pins)?;
        let (follower, told) = (Follower::new(&events), Told::new("logs"));
        let mut full = Self { disk, dir, pins, config, daemon, follower, told, floods: Vec::new() };
        full.flood(Pace::PerMillisecond(2), 8_000)?;
        full.daemon.wait_for_log("the event file cannot be written", PATIENCE)?;
        full.disk.fill()?;
        // A single record may still find a place in the last page.
        until("a loss that is not told", PATIENCE, || {
            full.overflow()?;
            sleep(Duration::from_millis(1500));
            full.read()?;
            Ok((full.told.lost() < said(&full.daemon.log())).then_some(()))
        })?;
        Ok(full)
    }

    fn flood(&mut self, pace: Pace, calls: u64) -> Result<()> {
        self.floods.push(Flood::of(pace, calls, &ALONE)?);
        Ok(())
    }

    /// Makes more failures than the ring holds, while nobody reads it.
    fn overflow(&mut self) -> Result<()> {
        self.daemon.signal(Signal::STOP)?;
        self.flood(Pace::Unpaced, 50_000)?;
        self.wait_for_floods()?;
        self.daemon.signal(Signal::CONT)
    }

    fn wait_for_floods(&mut self) -> Result<()> {
        until("the end of the floods", PATIENCE, || Ok(Flood::all_ended(&mut self.floods)?.then_some(())))
    }

    fn read(&mut self) -> Result<()> {
        let pids: Vec<i32> = self.floods.iter().map(Flood::pid).collect();
        self.told.follow(&mut self.follower, &pids)
    }

    /// Gives the disk room, and waits until the last of some more calls has its record.
    fn free(&mut self) -> Result<()> {
        self.disk.give_back()?;
        self.flood(Pace::PerMillisecond(1), 1_000)?;
        self.wait_for_floods()?;
        let before = self.told.occurrences;
        until("records", PATIENCE, || {
            self.read()?;
            Ok((self.told.occurrences > before).then_some(()))
        })
    }

    /// Stops the daemon, and compares.
    fn finish(mut self) -> Result<Told> {
        let ended = self.daemon.stop()?;
        ensure!(ended.code == Some(0), "the daemon ended with {:?}", ended.code);
        ended.ledger()?.check()?;
        let pids: Vec<i32> = self.floods.iter().map(Flood::pid).collect();
        self.told.follow(&mut self.follower, &pids)?;
        // A record of the daemon itself that found no room leaves a gap and stands for no event.
        self.told.own = 100;
        self.told.check(self.floods.iter().map(Flood::calls).sum())?;
        drop(self.dir);
        Ok(self.told)
    }
}

/// Events that a daemon says to be lost.
fn said(log: &str) -> u64 {
    let lines = log.lines().filter(|line| line.contains("events lost"));
    let counts = lines.filter_map(|line| line.rsplit_once("lost=")?.1.trim().parse::<u64>().ok());
    counts.sum()
}

fn start(config: &Path, pins: &PinDir) -> Result<Daemon> {
    let pins = pins.setting();
    let keys = [&NO_OTHERS[..], &[&pins, "probes.event.interval=1", "event.fold=off"]].concat();
    Daemon::start_with(config, &keys)
}

#[test]
fn losses_that_a_full_disk_kept_from_being_told_are_told_when_it_has_room() -> Result<()> {
    let mut full = Full::new()?;
    full.free()?;
    let lost = full.finish()?.lost;
    ensure!(lost.contains_key("ring") && lost.contains_key("delivery"), "{lost:?}");
    Ok(())
}

#[test]
fn losses_that_a_full_disk_kept_from_being_told_are_told_after_a_stop() -> Result<()> {
    let mut full = Full::new()?;
    full.wait_for_floods()?;
    full.daemon.end(Signal::TERM)?;
    full.disk.give_back()?;
    full.daemon = start(&full.config, &full.pins)?;
    let lost = full.finish()?.lost;
    ensure!(lost.contains_key("ring") && lost.contains_key("delivery"), "{lost:?}");
    Ok(())
}

#[test]
fn losses_that_a_full_disk_kept_from_being_told_are_told_after_a_kill() -> Result<()> {
    let mut full = Full::new()?;
    full.daemon.end(Signal::KILL)?;
    full.daemon = start(&full.config, &full.pins)?;
    full.free()?;
    let lost = full.finish()?.lost;
    ensure!(lost.contains_key("restart"), "{lost:?}");
    Ok(())
}
