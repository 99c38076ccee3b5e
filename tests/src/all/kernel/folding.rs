//! Folding is exact: in come failing calls whose number is known, out come records whose occurrences, together with
//! what was counted as lost, are that number to the unit.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tests::daemon::FileDaemon;
use tests::ledger::Ledger;
use tests::provoke::{Flood, NO_OTHERS, Pace, RARE};
use tests::wait;

/// Nothing on the host is an event but what the floods do, or what the rest of the host loses would be in the sums.
pub const ONLY_RARE: &str = "[[event.syscall.rules]]\nerrnos = [\"EBADF\"]\naction = \"report\"\n\
    syscalls = [\"fdatasync\", \"fsync\", \"syncfs\", \"pread64\", \"pwrite64\", \"readv\", \
    \"writev\", \"preadv\", \"pwritev\", \"ftruncate\", \"fchdir\", \"fchmod\", \
    \"fchown\", \"fstatfs\", \"getdents64\", \"fallocate\", \"fadvise64\", \"readahead\", \
    \"flistxattr\", \"listen\"]\n\n\
    [[event.syscall.rules]]\naction = \"drop\"\n";

/// What the records say.
#[derive(Default)]
struct Told {
    records: u64,
    occurrences: u64,
    /// Occurrences in processes that do not belong to the test.
    strangers: u64,
}

fn start(keys: &[&str]) -> Result<FileDaemon> {
    FileDaemon::start_with(ONLY_RARE, &[keys, &NO_OTHERS].concat())
}

/// How many calls each process makes: a million, and far fewer where a call takes microseconds, as in a guest whose
/// processors are emulated.
fn calls() -> u64 {
    let start = Instant::now();
    for _ in 0..1_000 {
        // Any call will do to learn how fast calls are.
        let _ = rustix::process::getppid();
    }
    if start.elapsed() < Duration::from_millis(3) { 1_000_000 } else { 50_000 }
}

/// Waits for the floods and reads records meanwhile; then stops the daemon, and compares. Whoever has
/// this thread's name belongs to the test.
fn settle(mut probe: FileDaemon, mut floods: Vec<Flood>) -> Result<(Told, Ledger)> {
    wait::until("the end of the floods", wait::PATIENCE, || {
        probe.events.poll()?;
        Ok(Flood::all_ended(&mut floods)?.then_some(()))
    })?;
    let (events, ledger) = probe.finish()?;
    let calls: u64 = floods.iter().map(Flood::calls).sum();
    let own = std::fs::read_to_string("/proc/thread-self/comm")?;
    let mut told = Told::default();
    for record in &events.records {
        if record.is_of_probe() {
            continue;
        }
        let occurrences = record.attribute("gala_gopher.occurrences").as_u64().unwrap_or(0);
        ensure!(occurrences > 0, "a record of nothing: {}", record.0);
        if record.attribute("thread.name").as_str() == Some(own.trim_end()) {
            told.records += 1;
            told.occurrences += occurrences;
        } else {
            told.strangers += occurrences;
        }
    }
    eprintln!(
        "{calls} calls: {} occurrences in {} records, {} of others; {ledger:?}",
        told.occurrences, told.records, told.strangers
    );
    // Each of these counts on its own: what the kernel saw, and what became of it.
    ensure!(ledger.of("matched")? == calls + told.strangers, "{calls} calls: {ledger:?}");
    ensure!(told.occurrences + ledger.lost() == calls, "{} told of {calls}: {ledger:?}", told.occurrences);
    Ok((told, ledger))
}

#[test]
fn repeats_are_counted_to_the_unit_over_many_windows() -> Result<()> {
    let probe = start(&["probes.event.interval=1"])?;
    let calls = calls();
    let flood = |_| Flood::of(Pace::PerMillisecond(200), calls, &RARE[..1]);
    let (told, ledger) = settle(probe, (0..4).map(flood).collect::<Result<_>>()?)?;
    // Folded in the kernel, not here: hardly a call went through the ring, and nothing had to be lost.
    ensure!(told.records < 400 && ledger.lost() == 0, "{} records: {ledger:?}", told.records);
    ensure!(ledger.of("sent")? < calls / 10, "{ledger:?}");
    Ok(())
}

#[test]
fn repeats_are_counted_to_the_unit_while_the_map_is_full() -> Result<()> {
    // Four processes with twenty calls each have eighty keys for sixteen entries.
    let probe = start(&["probes.event.interval=1", "event.fold_entries=16"])?;
    let calls = calls();
    let flood = |_| Flood::of(Pace::PerMillisecond(200), calls, &RARE);
    let (told, ledger) = settle(probe, (0..4).map(flood).collect::<Result<_>>()?)?;
    ensure!(ledger.of("sent")? > 64 && ledger.of("folded")? > 0, "the map was never full: {ledger:?}");
    ensure!(told.records < calls, "{} records", told.records);
    Ok(())
}

#[test]
fn repeats_are_counted_to_the_unit_while_nobody_reads() -> Result<()> {
    let probe = start(&["probes.event.interval=1", "event.fold_entries=16"])?;
    let calls = calls();
    let floods = (0..4).map(|_| Flood::of(Pace::PerMillisecond(200), calls, &RARE)).collect::<Result<_>>()?;
    thread::sleep(Duration::from_secs(1));
    probe.daemon.signal(Signal::STOP)?;
    thread::sleep(Duration::from_secs(6));
    probe.daemon.signal(Signal::CONT)?;
    settle(probe, floods)?;
    Ok(())
}

#[test]
fn short_processes_are_counted_to_the_unit() -> Result<()> {
    let probe = start(&["probes.event.interval=1", "event.fold_entries=256"])?;
    let processes = calls() / 250;
    let (told, _) = settle(probe, vec![Flood::bomb(processes, 5)?])?;
    ensure!(told.records > 0, "no record");
    Ok(())
}

#[test]
fn without_folding_each_call_has_a_record() -> Result<()> {
    let probe = start(&["event.fold=off"])?;
    let flood = |_| Flood::of(Pace::PerMillisecond(2), 2_000, &RARE[..1]);
    let (told, ledger) = settle(probe, (0..2).map(flood).collect::<Result<_>>()?)?;
    ensure!(ledger.lost() == 0 && ledger.of("folded")? == 0, "{ledger:?}");
    ensure!(told.records == 4_000 && told.occurrences == 4_000, "{} records", told.records);
    Ok(())
}
