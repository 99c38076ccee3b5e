//! Ends that repeat: processes end in the same way by the thousand, few records cross the ring, and no end is told twice
//! or not at all.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Result, ensure};
use tests::crash::{crash, storm, write_program};
use tests::daemon::{FileDaemon, open_dir};
use tests::death::{Way, die};
use tests::record::Record;

/// No family but this one.
const ALONE: [&str; 6] = [
    "event.syscall.switch=off",
    "event.exec.switch=off",
    "event.denial.switch=off",
    "event.oom.switch=off",
    "event.offcpu.switch=off",
    "event.io_uring.switch=off",
];

fn start(keys: &[&str]) -> Result<FileDaemon> {
    FileDaemon::start_with("", &[keys, &ALONE].concat())
}

fn occurrences<'a>(records: impl Iterator<Item = &'a Record>) -> u64 {
    records.filter_map(|record| record.attribute("gala_gopher.occurrences").as_u64()).sum()
}

fn named<'a>(records: &'a [Record], name: &str) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| *record.attribute("thread.name") == name)
}

fn executes(record: &Record, program: &Path) -> bool {
    record.attribute("process.executable.path").as_str().is_some_and(|path| Path::new(path) == program)
}

#[test]
fn a_crash_loop_that_executes_its_program_again_costs_few_ring_records() -> Result<()> {
    let dir = open_dir()?;
    let program = dir.path().join("crasher");
    write_program(&program)?;
    let probe = start(&["probes.event.interval=1"])?;
    thread::scope(|scope| {
        let loops: Vec<_> = (0..3).map(|_| scope.spawn(|| crash(&program, 1_000))).collect();
        loops.into_iter().try_for_each(|crashed| crashed.join().expect("a loop panicked"))
    })?;
    let (events, ledger) = probe.finish()?;
    let told: Vec<&Record> = named(&events.records, "crasher").collect();
    ensure!(occurrences(told.iter().copied()) + ledger.lost() == 3_000, "{told:?} {ledger:?}");
    ensure!(ledger.lost() == 0 && told.len() < 60, "{} records: {ledger:?}", told.len());
    // Others of the host may end meanwhile, but not by the hundred.
    ensure!(ledger.of("folded")? >= 2_700 && ledger.of("sent")? < 300, "{ledger:?}");
    for record in told {
        ensure!(executes(record, &program), "{record:?}");
        ensure!(*record.attribute("gala_gopher.exit.signal.name") == "SIGABRT", "{record:?}");
    }
    Ok(())
}

#[test]
fn two_programs_of_one_name_are_told_apart() -> Result<()> {
    let dir = open_dir()?;
    let programs = ["a", "b"].map(|folder| dir.path().join(folder).join("twin"));
    for program in &programs {
        fs::create_dir(program.parent().unwrap_or(program))?;
        write_program(program)?;
    }
    let probe = start(&["probes.event.interval=1"])?;
    for _ in 0..100 {
        crash(&programs[0], 1)?;
        crash(&programs[1], 2)?;
    }
    let (events, ledger) = probe.finish()?;
    for (program, times) in programs.iter().zip([100, 200]) {
        let told = named(&events.records, "twin").filter(|record| executes(record, program));
        let told = occurrences(told);
        ensure!(told == times, "{} crashed {told} times: {ledger:?}", program.display());
    }
    ensure!(ledger.of("folded")? > 100, "{ledger:?}");
    Ok(())
}

#[test]
fn children_that_fail_faster_than_anybody_reads_are_all_counted() -> Result<()> {
    let probe = start(&["probes.event.interval=1"])?;
    let own = fs::read_to_string("/proc/thread-self/comm")?;
    storm(16, 500)?;
    let (events, ledger) = probe.finish()?;
    let told = occurrences(named(&events.records, own.trim_end()));
    ensure!(told == 16 * 500 && ledger.lost() == 0, "{told} told: {ledger:?}");
    ensure!(ledger.of("sent")? < 800, "{ledger:?}");
    Ok(())
}

#[test]
fn ends_are_exact_while_their_table_is_full() -> Result<()> {
    let probe = start(&["probes.event.interval=1", "event.fold_entries=16"])?;
    for _ in 0..3 {
        for code in 1..=60 {
            die("d-full", &Way::Code(code))?;
        }
    }
    let (events, ledger) = probe.finish()?;
    let told = occurrences(named(&events.records, "d-full"));
    ensure!(told + ledger.lost() == 180, "{told} told: {ledger:?}");
    for code in 1..=60 {
        let of = named(&events.records, "d-full")
            .filter(|record| record.attribute("process.exit.code").as_i64() == Some(code));
        ensure!(occurrences(of) == 3, "of code {code}: {ledger:?}");
    }
    ensure!(ledger.of("sent")? > 60, "the table was never full: {ledger:?}");
    Ok(())
}

#[test]
fn without_folding_each_end_goes_out_alone() -> Result<()> {
    let probe = start(&["event.fold=off"])?;
    for _ in 0..50 {
        die("d-alone", &Way::Code(9))?;
    }
    let (events, ledger) = probe.finish()?;
    let told: Vec<&Record> = named(&events.records, "d-alone").collect();
    ensure!(
        told.len() == 50 && occurrences(told.iter().copied()) == 50,
        "{} records: {ledger:?}",
        told.len()
    );
    ensure!(ledger.of("folded")? == 0, "{ledger:?}");
    Ok(())
}
