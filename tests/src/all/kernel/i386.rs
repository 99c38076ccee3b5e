//! 32-bit processes: their numbers mean other calls. In come a 32-bit program and a 64-bit process that make calls of
//! the same numbers; each is named by its own table, follows the rules about that name, and is counted on its own.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::daemon::FileDaemon;
use tests::provoke::i386::{self, Ran};
use tests::provoke::{Call, Flood, Made, Pace};
use tests::record::Record;
use tests::wait::{self, PATIENCE};

use super::make;
use crate::expect::{expect, shape};

const ABI: &str = "gala_gopher.syscall.abi";
const NO_FD: (i32, &str) = (libc::EBADF, "EBADF");
const NO_MEMORY: (i32, &str) = (libc::EFAULT, "EFAULT");
/// How often a call is repeated.
const TIMES: u32 = 1_000;
/// A call's name, and the error with which it fails: number and name.
type Failure = (&'static str, i32, &'static str);

/// Numbers that both kinds of process have, and that fail when the first argument is -1 and the others are 0: number,
/// name and error as a 32-bit call, as a 64-bit call.
const NUMBERS: [(u32, [Failure; 2]); 6] = [
    (5, [("open", libc::EFAULT, "EFAULT"), ("fstat", libc::EBADF, "EBADF")]),
    (6, [("close", libc::EBADF, "EBADF"), ("lstat", libc::EFAULT, "EFAULT")]),
    (118, [("fsync", libc::EBADF, "EBADF"), ("getresuid", libc::EFAULT, "EFAULT")]),
    (133, [("fchdir", libc::EBADF, "EBADF"), ("mknod", libc::EFAULT, "EFAULT")]),
    (195, [("stat64", libc::EFAULT, "EFAULT"), ("llistxattr", libc::EFAULT, "EFAULT")]),
    (221, [("fcntl64", libc::EBADF, "EBADF"), ("fadvise64", libc::EBADF, "EBADF")]),
];

/// A 32-bit call with -1 as its first argument.
fn narrow((number, [(name, errno, error), _]): (u32, [Failure; 2])) -> Call {
    let args = vec![(-1).into(), 0.into(), 0.into(), 0.into()];
    Call::new(name, number.into(), args, (errno, error))
}

/// Runs a 32-bit program; none where the kernel has no such processes, which must then be in the stream.
fn run(probe: &mut FileDaemon, calls: &[Call], times: u32) -> Result<Option<Made>> {
    let path = probe.dir.path().join("narrow");
    if let Ran::Made(made) = i386::run(&path, calls, times)? {
        return Ok(Some(made));
    }
    eprintln!(
        "this kernel has no 32-bit processes (CONFIG_IA32_EMULATION, ia32_emulation=): nothing to name"
    );
    make(probe, &[])?;
    let path = json!(path);
    let refused = |record: &&Record| {
        *record.attribute("file.path") == path && *record.attribute("error.type") == "ENOEXEC"
    };
    ensure!(probe.events.records.iter().any(|record| refused(&record)), "no record of the failed execution");
    Ok(None)
}

#[test]
fn a_32_bit_program_is_named_by_its_own_table() -> Result<()> {
    let address = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
    let file = std::path::Path::new("/dev/null/inside");
    let no_directory = (libc::ENOTDIR, "ENOTDIR");
    let program = std::path::Path::new("/dev/null");
    let calls = [
        Call::new("unlink", 10, vec![file.into()], no_directory).about(file),
        Call::new("chown32", 212, vec![file.into(), 7.into(), (-1).into()], no_directory)
            .about(file)
            .shows(7),
        Call::new("_llseek", 140, vec![(-1).into(), 1.into(), 2.into(), 0.into(), 0.into()], NO_FD)
            .shows(0x1_0000_0002_u64)
            .shows("SEEK_SET"),
        Call::new("lseek", 19, vec![(-1).into(), (-16).into(), 2.into()], NO_FD).shows(-16),
        Call::new(
            "mmap2",
            192,
            vec![0.into(), 4096.into(), 1.into(), 2.into(), (-1).into(), 3.into()],
            NO_FD,
        )
        .shows(3),
        Call::new("connect", 362, vec![(-1).into(), address.into(), 16.into()], NO_FD).peer("127.0.0.1", 80),
        Call::new("socketcall", 102, vec![3.into(), 0.into()], NO_MEMORY).shows("SYS_CONNECT"),
        Call::new("execve", 11, vec![program.into(), 0.into(), 0.into()], (libc::EACCES, "EACCES"))
            .about(program),
        Call::new("", 222, vec![], (libc::ENOSYS, "ENOSYS")),
    ];
    let mut probe = FileDaemon::start("")?;
    let Some(made) = run(&mut probe, &calls, 1)? else { return Ok(()) };
    make(&mut probe, &[])?;
    let records = probe.events.of(made.pid);
    ensure!(records.len() == calls.len(), "{} records of {} calls: {records:?}", records.len(), calls.len());
    for (call, record) in calls.iter().zip(records) {
        ensure!(*record.attribute(ABI) == "i386", "whose number it is stays untold: {record:?}");
        expect(call, &made, record)?;
        shape(record).with_context(|| record.0.to_string())?;
    }
    // What 64-bit processes do has no such attribute.
    let call = Call::fence();
    let made = call.make()?;
    probe.events.wait_for(made.pid, PATIENCE)?;
    ensure!(probe.events.of(made.pid)[0].attribute(ABI).is_null());
    probe.finish()?;
    Ok(())
}

/// Occurrences by table, name and error.
type Told = BTreeMap<(String, String, String), u64>;

fn told(records: &[Record], pid: i32) -> Result<Told> {
    let mut told = Told::new();
    for record in records.iter().filter(|record| record.pid() == i64::from(pid)) {
        let text = |key: &str| record.attribute(key).as_str().unwrap_or_default().to_owned();
        let times = record.attribute("gala_gopher.occurrences").as_u64().context("no occurrences")?;
        *told.entry((text(ABI), record.syscall().to_owned(), text("error.type"))).or_default() += times;
    }
    Ok(told)
}

fn expected(abi: &str, calls: impl Iterator<Item = Failure>) -> Told {
    let key = |name: &str, error: &str| (abi.to_owned(), name.to_owned(), error.to_owned());
    calls.map(|(name, _, error)| (key(name, error), TIMES.into())).collect()
}

#[test]
fn the_same_numbers_of_both_kinds_of_process_are_counted_apart() -> Result<()> {
    const SAME: [i64; 6] = [5, 6, 118, 133, 195, 221];
    let mut probe = FileDaemon::start_with("", &["probes.event.interval=1"])?;
    let mut wide = Flood::of(Pace::Unpaced, u64::from(TIMES) * SAME.len() as u64, &SAME)?;
    let narrow = run(&mut probe, &NUMBERS.map(narrow), TIMES)?;
    wait::until("the end of the 64-bit process", PATIENCE, || Ok(wide.ended()?.then_some(())))?;
    let (events, ledger) = probe.finish()?;
    ensure!(ledger.lost() == 0, "{ledger:?}");
    let wanted = expected("", NUMBERS.into_iter().map(|(_, [_, wide])| wide));
    let is = told(&events.records, wide.pid())?;
    ensure!(is == wanted, "64-bit: {is:?}");
    let Some(narrow) = narrow else { return Ok(()) };
    let wanted = expected("i386", NUMBERS.into_iter().map(|(_, [narrow, _])| narrow));
    let is = told(&events.records, narrow.pid)?;
    ensure!(is == wanted, "32-bit: {is:?}");
    Ok(())
}

#[test]
fn one_process_that_makes_both_kinds_of_call_is_counted_apart() -> Result<()> {
    // Same process, same number, same error: only the table differs.
    let (number, [narrow, wide]) = NUMBERS[5];
    let mut probe = FileDaemon::start_with("", &["probes.event.interval=1"])?;
    let thread = std::thread::Builder::new().name("both-tables".to_owned()).spawn(move || {
        let mut errors = [0; 2];
        for _ in 0..TIMES {
            // SAFETY: -1 is no file descriptor, so nothing happens.
            unsafe { libc::syscall(number.into(), -1, 0, 0, 0) };
            errors[1] = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
            errors[0] = i386::call(number).err().and_then(|error| error.raw_os_error()).unwrap_or(0);
        }
        errors
    });
    let errors = thread?.join().ok().context("the thread died")?;
    ensure!(errors == [narrow.1, wide.1], "the calls fail with {errors:?}");
    make(&mut probe, &[])?;
    let (events, _) = probe.finish()?;
    let own: Vec<_> =
        events.records.into_iter().filter(|it| *it.attribute("thread.name") == "both-tables").collect();
    let mut wanted = expected("", [wide].into_iter());
    wanted.extend(expected("i386", [narrow].into_iter()));
    let is = told(&own, i32::try_from(std::process::id())?)?;
    ensure!(is == wanted, "{is:?}");
    Ok(())
}

#[test]
fn rules_go_by_name_whatever_the_number() -> Result<()> {
    let rules = "[[event.syscall.rules]]\nsyscalls = [\"close\", \"getresuid\", \"connect\"]\naction = \"drop\"\n\
        [[event.syscall.rules]]\nsyscalls = [\"stat\"]\nseverity = \"FATAL\"\n\
        [[event.syscall.rules]]\nsyscalls = [\"fcntl64\"]\nseverity = \"ERROR\"\n\
        [[event.syscall.rules]]\nsyscalls = [\"openat\"]\nerrnos = [\"ENOENT\"]\naction = \"report\"\n";
    let absent = || vec![libc::AT_FDCWD.into(), "/absent".into(), 0.into(), 0.into()];
    let no_file = (libc::ENOENT, "ENOENT");
    let mut calls = NUMBERS.map(narrow).to_vec();
    calls.push(Call::new("openat", 295, absent(), no_file));
    calls.push(Call::new("stat64", 195, vec!["/absent".into(), 0.into()], no_file));
    // A call behind socketcall is that call; each has a record of its own.
    for (behind, errno) in [(2, NO_MEMORY), (3, NO_MEMORY), (4, NO_MEMORY), (99, (libc::EINVAL, "EINVAL"))] {
        calls.push(Call::new("socketcall", 102, vec![behind.into(), 0.into()], errno));
    }
    // Ordinary, as newfstatat is.
    calls.push(Call::new("fstatat64", 300, absent(), no_file));
    let mut probe = FileDaemon::start(rules)?;
    let wide = NUMBERS.map(|(number, [_, (name, errno, error)])| {
        Call::new(name, number.into(), vec![(-1).into(), 0.into(), 0.into(), 0.into()], (errno, error))
    });
    let made = make(&mut probe, &wide)?;
    for (call, made) in wide.iter().zip(&made) {
        let wanted = usize::from(call.name != "getresuid");
        ensure!(probe.events.of(made.pid).len() == wanted, "64-bit {} {}", call.name, call.number);
    }
    let Some(made) = run(&mut probe, &calls, 1)? else { return Ok(()) };
    make(&mut probe, &[])?;
    let said: Vec<(String, Value)> = probe
        .events
        .of(made.pid)
        .into_iter()
        .map(|record| (record.syscall().to_owned(), record.top("SeverityText").clone()))
        .collect();
    let wanted = [
        ("open", "WARN"),
        ("fsync", "WARN"),
        ("fchdir", "WARN"),
        ("stat64", "FATAL"),
        ("fcntl64", "ERROR"),
        ("openat", "INFO"),
        ("stat64", "FATAL"),
        ("socketcall", "WARN"),
        ("socketcall", "WARN"),
        ("socketcall", "WARN"),
    ];
    ensure!(said == wanted.map(|(name, severity)| (name.to_owned(), json!(severity))), "{said:?}");
    probe.finish()?;
    Ok(())
}
