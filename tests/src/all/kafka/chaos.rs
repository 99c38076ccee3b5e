//! Faults one upon another, in an order that a seed decides. In: calls whose number is known, and a broker, a network, a disk and
//! daemons that fail meanwhile. Out: a topic and a file that each tell of every call, as a record or as a loss, to the unit.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tests::daemon::{Daemon, file_config, open_dir};
use tests::disk::Disk;
use tests::follow::Follower;
use tests::kafka::Reader;
use tests::pins::PinDir;
use tests::provoke::{ALONE, Flood, NO_OTHERS, ONLY_ALONE, Pace};
use tests::told::Told;
use tests::wait::{self, PATIENCE};

use super::faults::Shared;

/// Faults in a run.
const FAULTS: usize = 20;
/// Names another seed than those of the suite.
const SEED: &str = "CHAOS_SEED";

/// Numbers that look like chance and come again with the same seed.
struct Chance(u64);

impl Chance {
    /// A number below this one.
    fn below(&mut self, end: u64) -> u64 {
        // The multiplier and the shifts of splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 31)) % end
    }
}

struct Run {
    dir: TempDir,
    disk: Disk,
    config: PathBuf,
    keys: Vec<String>,
    daemon: Daemon,
    floods: Vec<Flood>,
    follower: Follower,
    in_file: Told,
    reader: Reader,
    in_topic: Told,
    _pins: PinDir,
}

impl Run {
    fn start(shared: &Shared, topic: &str, more: &[&str]) -> Result<Self> {
        shared.kafka.create_topic(topic, &[])?;
        let reader = shared.kafka.read(topic)?;
        let (dir, pins) = (open_dir()?, PinDir::new()?);
        let config = dir.path().join("gala-gopher.conf");
        let disk = Disk::new(&dir.path().join("disk"), "320m")?;
        let events = disk.path().join("events");
        fs::write(&config, file_config(&events, ONLY_ALONE))?;
        let own = [
            "event.out_channel=[\"kafka\", \"logs\"]".to_owned(),
            format!("event.kafka_topic={topic}"),
            format!("kafka.kafka_broker={}", shared.proxy.address()),
            pins.setting(),
            "probes.event.interval=1".to_owned(),
        ];
        let keys: Vec<String> =
            NO_OTHERS.iter().chain(more).map(|key| (*key).to_owned()).chain(own).collect();
        let daemon = start(&config, &keys)?;
        let (follower, in_file) = (Follower::new(&events), Told::new("logs"));
        let (floods, in_topic) = (Vec::new(), Told::new("kafka").in_order());
        Ok(Self { dir, disk, config, keys, daemon, floods, follower, in_file, reader, in_topic, _pins: pins })
    }

    fn poll(&mut self) -> Result<()> {
        let pids: Vec<i32> = self.floods.iter().map(Flood::pid).collect();
        self.in_file.follow(&mut self.follower, &pids)?;
        let in_topic = &mut self.in_topic;
        self.reader.poll_lines(|line| in_topic.take(line, &pids))
    }

    fn read_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.poll()?;
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.daemon = start(&self.config, &self.keys)?;
        Ok(())
    }

    /// One fault, or the end of one.
    fn fail(&mut self, shared: &Shared, chance: &mut Chance) -> Result<()> {
        let fault = chance.below(14);
        eprintln!("fault {fault}");
        match fault {
            0 | 1 => shared.kafka.freeze(true)?,
            2 => shared.kafka.freeze(false)?,
            3 => shared.proxy.cut(1 + chance.below(2)),
            4 => shared.proxy.delay(Duration::from_millis(chance.below(400))),
            5 => self.disk.fill()?,
            6 => self.disk.give_back()?,
            7 => {
                self.daemon.signal(Signal::STOP)?;
                self.read_for(Duration::from_millis(chance.below(700)))?;
                self.daemon.signal(Signal::CONT)?;
            }
            8 => self.daemon.signal(Signal::HUP)?,
            9 | 10 => {
                self.daemon.end(Signal::KILL)?;
                self.read_for(Duration::from_millis(chance.below(300)))?;
                self.restart()?;
            }
            // As an administrator rotates files.
            11 | 12 => {
                let events = self.disk.path().join("events");
                let moved = events.join(format!("moved.{}", chance.below(u64::MAX)));
                match fs::rename(events.join("gopher_event"), moved) {
                    // The daemon has not written since the last time.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    renamed => renamed?,
                }
            }
            // Between a clean stop and the next start nothing is captured.
            _ => {
                Flood::signal_all(&self.floods, Signal::STOP)?;
                self.daemon.end(Signal::TERM)?;
                self.restart()?;
                Flood::signal_all(&self.floods, Signal::CONT)?;
            }
        }
        Ok(())
    }

    /// Waits until nothing more comes, stops the last daemon, and compares.
    fn finish(mut self) -> Result<()> {
        wait::until("the end of the floods", PATIENCE, || {
            self.poll()?;
            Ok(Flood::all_ended(&mut self.floods)?.then_some(()))
        })?;
        let mut before = u64::MAX;
        wait::until("the last record", PATIENCE, || {
            self.poll()?;
            let told = self.in_topic.occurrences + self.in_topic.lost();
            let quiet = told == std::mem::replace(&mut before, told);
            sleep(Duration::from_secs(2));
            Ok(quiet.then_some(()))
        })?;
        let calls = self.floods.iter().map(Flood::calls).sum();
        self.daemon.end(Signal::TERM)?;
        let log = self.daemon.log();
        ensure!(log.contains("ledger"), "the daemon did not end in order");
        // What its stop was too short for, or a full disk has kept, the next one tells.
        self.restart()?;
        let told = |run: &Self| [&run.in_file, &run.in_topic].map(|told| told.occurrences + told.lost());
        let all = wait::until("all records", PATIENCE / 4, || {
            self.poll()?;
            Ok(told(&self).iter().all(|told| *told >= calls).then_some(()))
        });
        self.read_for(Duration::from_secs(1))?;
        self.daemon.end(Signal::TERM)?;
        self.poll()?;
        for told in [&mut self.in_file, &mut self.in_topic] {
            // Records of the daemon itself, among those that found no room.
            told.own = 200;
            told.check(calls)?;
        }
        all?;
        drop(self.dir);
        Ok(())
    }
}

fn start(config: &Path, keys: &[String]) -> Result<Daemon> {
    Daemon::start_with(config, &keys.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A run of faults, with these settings and so many calls a millisecond.
fn chaos(seed: u64, more: &[&str], pace: u64) -> Result<()> {
    let shared = Shared::get()?;
    let seed = env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(seed);
    eprintln!("{SEED}={seed} {more:?}");
    let mut chance = Chance(seed);
    let mut run = Run::start(&shared, &format!("chaos-{seed}-{pace}"), more)?;
    for _ in 0..2 {
        run.floods.push(Flood::of(Pace::PerMillisecond(pace), pace * 15_000, &ALONE)?);
    }
    for _ in 0..FAULTS {
        run.read_for(Duration::from_millis(chance.below(900)))?;
        run.fail(&shared, &mut chance)?;
    }
    shared.kafka.freeze(false)?;
    shared.proxy.cut(0);
    shared.proxy.delay(Duration::ZERO);
    run.disk.give_back()?;
    run.finish()
}

#[test]
fn each_call_is_told_or_lost_whatever_fails_and_nothing_is_folded() -> Result<()> {
    chaos(1, &["event.fold=off"], 2)
}

#[test]
fn each_call_is_told_or_lost_whatever_fails_with_a_small_spool_and_few_folds() -> Result<()> {
    let small = ["event.fold_entries=16", "spool.max_bytes=8388608", "kafka.queue_buffering_max_kbytes=1024"];
    chaos(2, &small, 10)
}
