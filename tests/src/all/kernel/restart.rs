//! A daemon that is killed leaves its programs running, and the next one goes on with them: in come failing calls whose
//! number is known, out come the records of one daemon after another, which together with what the last one says was
//! taken and not delivered are that number to the unit.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::maps::Array;
use aya::programs::{loaded_links, loaded_programs};
use tempfile::TempDir;
use tests::daemon::{Daemon, file_config, open_dir};
use tests::follow::Follower;
use tests::ledger::Ledger;
use tests::pins::PinDir;
use tests::provoke::{Flood, NO_OTHERS, Pace, RARE};
use tests::record::Record;
use tests::wait::{PATIENCE, until};

use super::folding::ONLY_RARE;

#[path = "restart/killed.rs"]
mod killed;

/// What a daemon says when it goes on with another one's programs.
const ADOPTED: &str = "and this one goes on with them";

/// One daemon after another, each with a folder of its own for its records.
struct Succession {
    dir: TempDir,
    pins: PinDir,
    config: PathBuf,
    followers: Vec<Follower>,
    /// The processes that make this test's calls.
    pids: Vec<i32>,
}

impl Succession {
    fn new() -> Result<Self> {
        let dir = open_dir()?;
        let config = dir.path().join("gala-gopher.conf");
        fs::write(&config, file_config(&dir.path().join("0"), ONLY_RARE))?;
        Ok(Self { dir, pins: PinDir::new()?, config, followers: Vec::new(), pids: Vec::new() })
    }

    fn start(&mut self, keys: &[&str]) -> Result<Daemon> {
        let events = self.dir.path().join(self.followers.len().to_string());
        self.followers.push(Follower::new(&events));
        let event_dir = format!("logs.event_dir={}", events.display());
        let (pins, interval) = (self.pins.setting(), "probes.event.interval=1");
        let own = [event_dir.as_str(), &pins, interval];
        let keys = [&NO_OTHERS[..], &own, keys].concat();
        Daemon::start_with(&self.config, &keys)
    }

    /// A process that makes calls which hardly any other process makes.
    fn flood(&mut self, calls: u64) -> Result<Flood> {
        let flood = Flood::of(Pace::PerMillisecond(20), calls, &RARE)?;
        self.pids.push(flood.pid());
        Ok(flood)
    }

    /// The same; all calls are made when this returns.
    fn calls(&mut self, calls: u64) -> Result<()> {
        wait_for_end(&mut [self.flood(calls)?])
    }

    /// Occurrences in the records of each daemon, of calls that this test has made. A line that a killed daemon has not
    /// finished is none.
    fn told(&mut self) -> Result<Vec<u64>> {
        self.sums(true)
    }

    /// Occurrences of calls that others on this host have made: with them sums are no longer exact.
    fn strangers(&mut self) -> Result<u64> {
        Ok(self.sums(false)?.iter().sum())
    }

    fn sums(&mut self, own: bool) -> Result<Vec<u64>> {
        let mut sums = Vec::new();
        for follower in &mut self.followers {
            follower.poll()?;
            let pids = &self.pids;
            let ours = |record: &Record| pids.iter().any(|pid| i64::from(*pid) == record.pid());
            let records = follower.records.iter().filter(|record| ours(record) == own);
            sums.push(
                records.filter_map(|record| record.attribute("gala_gopher.occurrences").as_u64()).sum(),
            );
        }
        Ok(sums)
    }

    /// Waits until the last daemon has told of so many.
    fn wait_for(&mut self, occurrences: u64) -> Result<()> {
        until(&format!("{occurrences} occurrences"), PATIENCE, || {
            Ok((self.told()?.last().is_some_and(|told| *told >= occurrences)).then_some(()))
        })
    }

    /// What is pinned, below the directory.
    fn pinned(&self, what: &str) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for side in fs::read_dir(self.pins.path())? {
            for entry in fs::read_dir(side?.path().join(what))? {
                found.push(entry?.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// Stops the last daemon, which takes everything down.
    fn finish(&self, daemon: Daemon) -> Result<(Ledger, String)> {
        let ended = daemon.stop()?;
        ensure!(ended.code == Some(0), "the daemon ended with {:?}", ended.code);
        let ledger = ended.ledger()?;
        ledger.check()?;
        ensure!(!self.pins.path().exists(), "{:?} is left", self.pins.path());
        Ok((ledger, ended.log))
    }
}

fn wait_for_end(floods: &mut [Flood]) -> Result<()> {
    until("the end of the floods", PATIENCE, || Ok(Flood::all_ended(floods)?.then_some(())))
}

fn calls_of(floods: &[Flood]) -> u64 {
    floods.iter().map(Flood::calls).sum()
}

#[test]
fn calls_before_during_and_after_kills_are_told_or_counted_to_the_unit() -> Result<()> {
    let mut succession = Succession::new()?;
    // Three processes with twenty calls each have sixty keys for sixteen entries: some are folded, some are sent.
    let keys = ["event.fold_entries=16"];
    let mut daemon = succession.start(&keys)?;
    let mut floods = (0..3).map(|_| succession.flood(60_000)).collect::<Result<Vec<_>>>()?;
    for _ in 0..3 {
        // A slow guest may have none left for the last of the daemons.
        until("records, or the end of the floods", PATIENCE, || {
            let ended = Flood::all_ended(&mut floods)?;
            let told = succession.told()?.last().is_some_and(|told| *told >= 100);
            Ok((told || ended).then_some(()))
        })?;
        daemon.crash()?;
        thread::sleep(Duration::from_millis(200));
        daemon = succession.start(&keys)?;
        ensure!(daemon.log().contains(ADOPTED), "the programs were attached anew");
    }
    wait_for_end(&mut floods)?;
    let calls = calls_of(&floods);
    let (ledger, _) = succession.finish(daemon)?;
    let (told, strangers) = (succession.told()?, succession.strangers()?);
    eprintln!("{calls} calls, told {told:?}, {strangers} of others, {ledger:?}");
    let (last, killed) = told.split_last().context("no daemon")?;
    let before = ledger.of("taken_before")?;
    // What the killed ones took and did not tell of is known: `before` less what they told.
    let killed: u64 = killed.iter().sum();
    ensure!(killed <= before, "{killed} told of {before} taken");
    ensure!(last + before + ledger.lost() >= calls, "{calls} calls, told {told:?}: {ledger:?}");
    if strangers == 0 {
        ensure!(ledger.of("matched")? == calls, "{calls} calls: {ledger:?}");
        ensure!(last + before + ledger.lost() == calls, "{calls} calls, told {told:?}: {ledger:?}");
    }
    ensure!(ledger.of("sent")? > 60 && ledger.of("folded")? > 0, "{ledger:?}");
    Ok(())
}

#[test]
fn calls_that_are_made_while_no_daemon_runs_are_told_of_by_the_next() -> Result<()> {
    let mut succession = Succession::new()?;
    let daemon = succession.start(&[])?;
    let links = succession.pinned("links")?;
    succession.calls(2_000)?;
    succession.wait_for(2_000)?;
    daemon.crash()?;
    // Nobody but the kernel has them meanwhile.
    succession.calls(1_000)?;
    let daemon = succession.start(&[])?;
    succession.wait_for(1_000)?;
    ensure!(succession.pinned("links")? == links, "other links than before");
    let (ledger, log) = succession.finish(daemon)?;
    ensure!(log.contains(ADOPTED), "the programs were attached anew");
    ensure!(succession.told()? == [2_000, 1_000], "{:?}: {ledger:?}", succession.told()?);
    if succession.strangers()? == 0 {
        ensure!(ledger.of("taken_before")? == 2_000 && ledger.of("matched")? == 3_000, "{ledger:?}");
    }
    Ok(())
}

#[test]
fn a_clean_stop_leaves_nothing_in_the_kernel() -> Result<()> {
    let mut succession = Succession::new()?;
    let daemon = succession.start(&[])?;
    let ids = |what: &str| -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(format!("/proc/{}/fdinfo", daemon.pid()))? {
            let text = fs::read_to_string(entry?.path()).unwrap_or_default();
            ids.extend(text.lines().filter_map(|line| line.strip_prefix(what)?.trim().parse::<u32>().ok()));
        }
        Ok(ids)
    };
    let (links, programs) = (ids("link_id:")?, ids("prog_id:")?);
    ensure!(!links.is_empty() && links.len() == succession.pinned("links")?.len(), "{links:?}");
    succession.finish(daemon)?;
    until("the end of all programs", PATIENCE, || {
        let linked = loaded_links().any(|link| link.is_ok_and(|link| links.contains(&link.id())));
        let loaded =
            loaded_programs().any(|program| program.is_ok_and(|program| programs.contains(&program.id())));
        Ok((!linked && !loaded).then_some(()))
    })
}

#[test]
fn other_sizes_replace_what_runs_when_it_has_been_emptied() -> Result<()> {
    let mut succession = Succession::new()?;
    succession.start(&[])?.crash()?;
    succession.calls(2_000)?;
    let daemon = succession.start(&["event.fold_entries=480"])?;
    succession.wait_for(2_000)?;
    succession.calls(1_000)?;
    ensure!(fs::read_dir(succession.pins.path())?.count() == 1, "the old pins are left");
    let (ledger, log) = succession.finish(daemon)?;
    ensure!(log.contains("another version or configuration has captured before"), "{log}");
    ensure!(!log.contains(ADOPTED), "{log}");
    ensure!(succession.told()? == [0, 3_000], "{:?}: {ledger:?}", succession.told()?);
    if succession.strangers()? == 0 {
        ensure!(ledger.of("matched")? == 3_000 && ledger.of("taken_before")? == 0, "{ledger:?}");
    }
    Ok(())
}

#[test]
fn without_pins_a_daemon_takes_down_what_an_earlier_one_has_left() -> Result<()> {
    let mut succession = Succession::new()?;
    succession.start(&[])?.crash()?;
    succession.calls(500)?;
    let daemon = succession.start(&["event.pin=off"])?;
    succession.wait_for(500)?;
    ensure!(fs::read_dir(succession.pins.path())?.count() == 0, "pins are left");
    succession.finish(daemon)?;
    Ok(())
}

#[test]
fn families_that_are_switched_off_meanwhile_lose_their_programs() -> Result<()> {
    let mut succession = Succession::new()?;
    let exits = |pinned: Vec<PathBuf>| pinned.iter().any(|path| path.ends_with("sched_process_exit"));
    let daemon = succession.start(&["event.exit.switch=on"])?;
    ensure!(exits(succession.pinned("links")?));
    daemon.crash()?;
    let daemon = succession.start(&["event.exit.switch=off"])?;
    ensure!(!exits(succession.pinned("links")?));
    daemon.crash()?;
    let daemon = succession.start(&["event.exit.switch=on"])?;
    ensure!(exits(succession.pinned("links")?));
    let (_, log) = succession.finish(daemon)?;
    ensure!(log.contains(ADOPTED), "{log}");
    Ok(())
}

#[test]
fn pins_that_are_not_whole_are_replaced() -> Result<()> {
    let mut succession = Succession::new()?;
    for damage in ["a map is gone", "a map is another", "a link is none"] {
        succession.start(&[])?.crash()?;
        let [maps, links] = ["maps", "links"].map(|what| succession.pinned(what));
        let find = |paths: Vec<PathBuf>, name: &str| {
            paths.into_iter().find(|path| path.ends_with(name)).with_context(|| format!("no {name}"))
        };
        // A daemon that was killed while it pinned leaves this.
        fs::create_dir_all(succession.pins.path().join("unfinished/maps"))?;
        let foreign = Array::<_, u64>::create(1, 0)?;
        match damage {
            "a map is gone" => fs::remove_file(find(maps?, "POLICY")?)?,
            "a map is another" => {
                let policy = find(maps?, "POLICY")?;
                fs::remove_file(&policy)?;
                foreign.pin(policy)?;
            }
            _ => {
                let link = find(links?, "sys_exit")?;
                fs::remove_file(&link)?;
                foreign.pin(link)?;
            }
        }
        let daemon = succession.start(&[])?;
        succession.calls(100)?;
        succession.wait_for(100)?;
        ensure!(fs::read_dir(succession.pins.path())?.count() == 1, "{damage}: other pins are left");
        let (ledger, log) = succession.finish(daemon)?;
        ensure!(log.contains(ADOPTED) == (damage == "a link is none"), "{damage}: {log}");
        ensure!(log.contains("pins were touched") == (damage != "a link is none"), "{damage}: {log}");
        ensure!(succession.told()?.last() == Some(&100), "{damage}: {ledger:?}");
    }
    Ok(())
}

#[test]
fn without_a_bpf_file_system_it_warns_and_captures() -> Result<()> {
    let mut succession = Succession::new()?;
    let nowhere = format!("event.pin_dir={}", succession.dir.path().join("pins").display());
    let mut daemon = succession.start(&[&nowhere])?;
    daemon.wait_for_log("mount -t bpf", PATIENCE)?;
    succession.calls(100)?;
    succession.wait_for(100)?;
    let (ledger, log) = succession.finish(daemon)?;
    ensure!(log.matches("mount -t bpf").count() == 1, "{log}");
    ensure!(!succession.dir.path().join("pins").exists() && ledger.of("taken_before")? == 0);
    Ok(())
}
