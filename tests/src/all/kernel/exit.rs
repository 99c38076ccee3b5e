//! Ends that were not asked for: processes die on purpose, and the record says of what.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::json;
use tests::daemon::FileDaemon;
use tests::death::{Alive, Dead, Way, die};
use tests::record::Record;

const EXIT: &str = "gala_gopher.process.abnormal_exit";

/// Lets processes die, and stops the daemon; every record that there is, then.
fn deaths(ways: &[(&str, Way)]) -> Result<(Vec<Dead>, Vec<Record>)> {
    let probe = FileDaemon::start("")?;
    let dead = ways.iter().map(|(name, way)| die(name, way)).collect::<Result<Vec<_>>>()?;
    let (events, _) = probe.finish()?;
    Ok((dead, events.records))
}

/// The one record of a process's end.
fn end<'a>(records: &'a [Record], dead: &Dead) -> Result<&'a Record> {
    let mut found = records.iter().filter(|record| {
        record.pid() == i64::from(dead.pid) && !record.attribute("process.exit.code").is_null()
    });
    let record = found.next().with_context(|| format!("no record of the end of {dead:?}"))?;
    ensure!(found.next().is_none(), "{dead:?} has two records");
    Ok(record)
}

fn has(record: &Record, attributes: &[(&str, serde_json::Value)]) -> Result<()> {
    for (key, value) in attributes {
        ensure!(record.attribute(key) == value, "{key} is not {value}: {record:?}");
    }
    Ok(())
}

#[test]
fn a_signal_a_core_dump_and_a_code_are_told() -> Result<()> {
    let cores = tests::daemon::open_dir()?;
    let folder = CString::new(cores.path().to_str().context("path")?)?;
    let ways = [
        ("d-term", Way::Killed(libc::SIGTERM), "WARN", "SIGTERM"),
        ("d-hup", Way::Killed(libc::SIGHUP), "WARN", "SIGHUP"),
        ("d-kill", Way::Killed(libc::SIGKILL), "ERROR", "SIGKILL"),
        ("d-quit", Way::Killed(libc::SIGQUIT), "FATAL", "SIGQUIT"),
        ("d-rt", Way::Killed(libc::SIGRTMIN() + 1), "WARN", "SIGRTMIN"),
        ("d-abort", Way::Raise(libc::SIGABRT, folder), "FATAL", "SIGABRT"),
    ];
    let list: Vec<_> = ways.iter().map(|(name, way, ..)| (*name, way.clone())).collect();
    let (dead, records) = deaths(&list)?;
    for ((name, way, severity, signal), dead) in ways.iter().zip(&dead) {
        let record = end(&records, dead)?;
        let number = libc::WTERMSIG(dead.status);
        ensure!(record.top("EventName") == EXIT && record.top("SeverityText") == severity, "{record:?}");
        let shown = record.attribute("gala_gopher.exit.signal.name").as_str().unwrap_or_default();
        ensure!(shown.starts_with(signal), "{shown} is not {signal}");
        let sender = if matches!(way, Way::Killed(_)) { std::process::id() } else { dead.pid as u32 };
        has(
            record,
            &[
                ("thread.name", json!(name)),
                ("process.exit.code", json!(128 + number)),
                ("gala_gopher.exit.signal.number", json!(number)),
                ("gala_gopher.exit.core_dumped", json!(libc::WCOREDUMP(dead.status))),
                ("gala_gopher.exit.sender.pid", json!(sender)),
                ("gala_gopher.exit.sender.uid", json!(0)),
            ],
        )?;
        let lifetime = record.attribute("gala_gopher.exit.lifetime_ms").as_u64();
        ensure!(lifetime.is_some_and(|lifetime| lifetime < 60_000), "{record:?}");
    }
    Ok(())
}

#[test]
fn a_fault_has_its_address_and_the_place_of_the_instruction() -> Result<()> {
    let ways = [("d-segv", Way::Read(0x123_4560)), ("d-fpe", Way::Divide)];
    let (dead, records) = deaths(&ways)?;
    let own = std::env::current_exe()?;
    let own = own.file_name().and_then(|name| name.to_str()).context("no name of its own")?;
    let own: String = own.chars().take(63).collect();
    let faults = [("SIGSEGV", "SEGV_MAPERR"), ("SIGFPE", "FPE_INTDIV")];
    for ((signal, code), dead) in faults.into_iter().zip(&dead) {
        let record = end(&records, dead)?;
        has(
            record,
            &[
                ("gala_gopher.exit.signal.name", json!(signal)),
                ("gala_gopher.exit.fault.code", json!(code)),
                ("gala_gopher.exit.fault.mapping", json!(own)),
            ],
        )?;
        ensure!(record.top("SeverityText") == "FATAL", "{record:?}");
        let body = record.top("Body").as_str().unwrap_or_default();
        ensure!(body.contains(signal) && body.contains(code), "{body}");
        ensure!(record.attribute("gala_gopher.exit.sender.pid").is_null(), "nobody sent it: {record:?}");
        let offset = record.attribute("gala_gopher.exit.fault.offset").as_str().unwrap_or_default();
        let offset = u64::from_str_radix(offset.trim_start_matches("0x"), 16)?;
        ensure!(offset > 0 && offset < std::fs::metadata(std::env::current_exe()?)?.len(), "{record:?}");
    }
    has(end(&records, &dead[0])?, &[("gala_gopher.exit.fault.address", json!("0x1234560"))])?;
    let fpe = end(&records, &dead[1])?;
    let at = fpe.attribute("gala_gopher.exit.fault.instruction");
    ensure!(fpe.attribute("gala_gopher.exit.fault.address") == at, "{fpe:?}");
    Ok(())
}

#[test]
fn exactly_the_ends_of_processes_are_told() -> Result<()> {
    let ways = [
        ("d-fine", Way::Code(0)),
        ("d-code", Way::Code(3)),
        ("d-largest", Way::Code(255)),
        ("d-leaves", Way::FirstThreadLeaves(4)),
        ("d-exec", Way::ThreadExecutes(c"/bin/true".into())),
        ("d-exec-false", Way::ThreadExecutes(c"/bin/false".into())),
    ];
    let (dead, records) = deaths(&ways)?;
    for ((name, _), dead) in ways.iter().zip(&dead) {
        let code = libc::WEXITSTATUS(dead.status);
        if code == 0 {
            ensure!(end(&records, dead).is_err(), "{name} is told of: {records:?}");
            continue;
        }
        let record = end(&records, dead)?;
        has(record, &[("process.exit.code", json!(code)), ("gala_gopher.occurrences", json!(1))])?;
        ensure!(record.top("SeverityText") == "WARN", "{record:?}");
        ensure!(record.attribute("gala_gopher.exit.signal.name").is_null(), "{record:?}");
    }
    let codes: Vec<i32> = dead.iter().map(|dead| libc::WEXITSTATUS(dead.status)).collect();
    ensure!(codes == [0, 3, 255, 4, 0, 1], "{codes:?}");
    Ok(())
}

#[test]
fn a_seccomp_kill_is_a_denial_that_names_the_call() -> Result<()> {
    let (dead, records) = deaths(&[("d-seccomp", Way::Seccomp)])?;
    let record = end(&records, &dead[0])?;
    ensure!(libc::WTERMSIG(dead[0].status) == libc::SIGSYS, "{dead:?}");
    ensure!(record.top("EventName") == "gala_gopher.security.denied", "{record:?}");
    ensure!(record.top("SeverityText") == "ERROR", "{record:?}");
    has(
        record,
        &[
            ("gala_gopher.denial.kind", json!("seccomp")),
            ("gala_gopher.seccomp.action", json!("kill_process")),
            ("gala_gopher.seccomp.arch", json!("x86_64")),
            ("gala_gopher.syscall.name", json!("getppid")),
            ("gala_gopher.exit.signal.name", json!("SIGSYS")),
        ],
    )
}

#[test]
fn a_crash_loop_folds_and_its_counts_are_exact() -> Result<()> {
    let ways: Vec<_> = (0..200).map(|_| ("d-loop", Way::Code(7))).collect();
    let (_, records) = deaths(&ways)?;
    let mine = |record: &&Record| *record.attribute("thread.name") == "d-loop";
    let told: Vec<&Record> = records.iter().filter(mine).collect();
    let counts: Vec<u64> =
        told.iter().filter_map(|record| record.attribute("gala_gopher.occurrences").as_u64()).collect();
    ensure!(counts.iter().sum::<u64>() == 200, "{counts:?}");
    ensure!(counts[0] == 1 && counts.len() < 20, "{counts:?}");
    Ok(())
}

/// Signals that do not end a process: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH.
const HARMLESS: [i32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];

/// The folder of the unified hierarchy of cgroups; where none is mounted, that of a mount of its own, which goes with its
/// last name. None where this kernel has no such hierarchy.
fn cgroup2(place: &Path) -> Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut fields = mounts.lines().map(|line| line.split(' '));
    if let Some(mut found) = fields.find(|fields| fields.clone().nth(2) == Some("cgroup2")) {
        return Ok(found.nth(1).map(PathBuf::from));
    }
    if !fs::read_to_string("/proc/filesystems")?.lines().any(|line| line.ends_with("\tcgroup2")) {
        return Ok(None);
    }
    mount("none", place, "cgroup2", MountFlags::empty(), None)?;
    Ok(Some(place.to_owned()))
}

#[test]
fn a_kill_of_a_whole_cgroup_names_who_asked_for_it() -> Result<()> {
    let place = tests::daemon::open_dir()?;
    let Some(root) = cgroup2(place.path())? else {
        eprintln!("this kernel has no unified hierarchy of cgroups: nothing to kill one in");
        return Ok(());
    };
    let cgroup = root.join(format!("killed-{}", std::process::id()));
    fs::create_dir(&cgroup)?;
    let probe = FileDaemon::start("")?;
    let names = ["d-cgroup-1", "d-cgroup-2"];
    let children = names.map(|name| Alive::start(name, &Way::Killed(0)));
    let children = children.into_iter().collect::<Result<Vec<_>>>()?;
    for child in &children {
        fs::write(cgroup.join("cgroup.procs"), child.pid().to_string())?;
    }
    fs::write(cgroup.join("cgroup.kill"), "1").context("cgroup.kill")?;
    let dead = children.into_iter().map(Alive::wait).collect::<Result<Vec<_>>>()?;
    let (events, _) = probe.finish()?;
    fs::remove_dir(&cgroup)?;
    if root == place.path() {
        unmount(place.path(), UnmountFlags::DETACH)?;
    }
    for dead in &dead {
        ensure!(libc::WTERMSIG(dead.status) == libc::SIGKILL, "{dead:?}");
        has(
            end(&events.records, dead)?,
            &[
                ("gala_gopher.exit.signal.name", json!("SIGKILL")),
                ("gala_gopher.exit.sender.pid", json!(std::process::id())),
                ("gala_gopher.exit.cause", json!(null)),
            ],
        )?;
    }
    Ok(())
}

#[test]
fn every_fatal_signal_is_told_by_name_and_sender() -> Result<()> {
    // 32 and 33 are the C library's own.
    let signals: Vec<i32> = (1..=64).filter(|it| !HARMLESS.contains(it) && ![32, 33].contains(it)).collect();
    let names: Vec<String> = signals.iter().map(|signal| format!("d-signal-{signal}")).collect();
    let ways: Vec<_> =
        names.iter().zip(&signals).map(|(name, signal)| (name.as_str(), Way::Killed(*signal))).collect();
    let (dead, records) = deaths(&ways)?;
    for (signal, dead) in signals.iter().zip(&dead) {
        ensure!(libc::WTERMSIG(dead.status) == *signal, "{dead:?}");
        let record = end(&records, dead)?;
        ensure!(record.top("EventName") == EXIT, "{record:?}");
        has(
            record,
            &[
                ("gala_gopher.exit.signal.number", json!(signal)),
                ("gala_gopher.exit.sender.pid", json!(std::process::id())),
            ],
        )?;
        let name = record.attribute("gala_gopher.exit.signal.name").as_str().unwrap_or_default();
        ensure!(name.starts_with("SIG") && name != format!("SIG{signal}"), "{name}");
    }
    Ok(())
}

#[test]
fn answers_of_programs_are_no_events_and_rules_overrule_that() -> Result<()> {
    let ways = [
        ("grep", Way::Code(1)),
        ("grep", Way::Code(2)),
        ("d-ruled", Way::Code(5)),
        ("d-quiet", Way::Code(5)),
    ];
    let probe = FileDaemon::start(
        "[[event.exit.rules]]\ncomms = [\"d-quiet\"]\naction = \"drop\"\n\
         [[event.exit.rules]]\ncodes = [5]\nuids = [0]\nseverity = \"FATAL\"\n",
    )?;
    let dead = ways.iter().map(|(name, way)| die(name, way)).collect::<Result<Vec<_>>>()?;
    let (events, ledger) = probe.finish()?;
    ensure!(end(&events.records, &dead[0]).is_err() && end(&events.records, &dead[3]).is_err(), "{dead:?}");
    ensure!(end(&events.records, &dead[1])?.top("SeverityText") == "WARN");
    ensure!(end(&events.records, &dead[2])?.top("SeverityText") == "FATAL");
    ensure!(ledger.of("dismissed")? >= 2, "{ledger:?}");
    Ok(())
}

#[test]
fn an_end_by_seccomp_goes_with_the_switch_of_exits() -> Result<()> {
    for (family, told) in [("exit", 0), ("denial", 1)] {
        let probe = FileDaemon::start(&format!("[event.{family}]\nswitch = \"off\"\n"))?;
        let dead = die("d-seccomp", &Way::Seccomp)?;
        let (events, _) = probe.finish()?;
        ensure!(events.of(dead.pid).len() == told, "{family} off: {:?}", events.of(dead.pid));
    }
    Ok(())
}
