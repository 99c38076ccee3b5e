//! io_uring requests that fail, which pass no system call's exit: made on purpose, in the thread that asks, by a worker
//! of the kernel, and by the thread that polls the queue.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ::io_uring::squeue::{Entry, Flags};
use ::io_uring::{IoUring, opcode, types};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::daemon::FileDaemon;
use tests::provoke::NO_OTHERS;
use tests::record::Record;

const FAILURE: &str = "gala_gopher.io_uring.failure";
/// What the rest of the host does is not in the sums.
const ONLY_EXACT: &str = "[[event.syscall.rules]]\nsyscalls = [\"io_uring:read\"]\nerrnos = [\"EBADF\"]\n\n\
    [[event.syscall.rules]]\naction = \"drop\"\n";

/// How requests are worked on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Caller,
    Worker,
    Poller,
}

/// A ring, or none where this kernel has no io_uring or an administrator has switched it off.
fn ring(by: By) -> Result<Option<IoUring>> {
    let mut builder = IoUring::builder();
    if by == By::Poller {
        builder.setup_sqpoll(1000);
    }
    match builder.build(64) {
        Ok(ring) => Ok(Some(ring)),
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(None),
        Err(error) => {
            let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
            ensure!(disabled.trim() == "2", "io_uring_setup fails: {error}");
            Ok(None)
        }
    }
}

/// Makes requests at once and waits for the end of all; what each returned, by its `user_data`.
fn submit(ring: &mut IoUring, by: By, requests: &[Entry]) -> Result<Vec<(u64, i32)>> {
    for request in requests {
        let flags = if by == By::Worker { Flags::ASYNC } else { Flags::empty() };
        // SAFETY: what the request points to outlives it, since the callers keep it until this function returns.
        unsafe { ring.submission().push(&request.clone().flags(flags)) }?;
    }
    ring.submit_and_wait(requests.len())?;
    let mut done = Vec::new();
    // The thread that polls the queue may not have looked at it yet.
    tests::wait::until("the end of the requests", tests::wait::PATIENCE, || {
        done.extend(ring.completion().map(|entry| (entry.user_data(), entry.result())));
        Ok((done.len() >= requests.len()).then_some(()))
    })?;
    Ok(done)
}

fn text(path: &Path) -> Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// The records of this process's requests.
fn mine(records: &[Record]) -> Vec<&Record> {
    let own = i64::from(std::process::id());
    records.iter().filter(|record| record.pid() == own && record.top("EventName") == FAILURE).collect()
}

fn failing(probe: &mut FileDaemon, by: By, first: u64) -> Result<()> {
    let Some(mut ring) = ring(by)? else { return Ok(()) };
    let world = tests::provoke::World::new()?;
    let (dir, gone, plain) =
        (text(&world.path("dir"))?, text(&world.path("gone"))?, text(&world.path("plain"))?);
    let sealed = rustix::fs::memfd_create("sealed", rustix::fs::MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::fcntl_add_seals(&sealed, rustix::fs::SealFlags::WRITE)?;
    let sealed = std::os::fd::AsRawFd::as_raw_fd(&sealed);
    let socket =
        rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None)?;
    let socket = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // A file that is no socket refuses everybody.
    let mut address = vec![libc::AF_UNIX as u8, 0];
    address.extend_from_slice(plain.as_bytes_with_nul());
    let length = u32::try_from(address.len())?;
    let mut buffer = [0_u8; 8];
    let at = types::Fd(libc::AT_FDCWD);
    let read = opcode::Read::new(types::Fd(-1), buffer.as_mut_ptr(), 8).build();
    let table = [
        (
            "openat",
            opcode::OpenAt::new(at, dir.as_ptr()).flags(libc::O_WRONLY).build(),
            libc::EISDIR,
            "EISDIR",
        ),
        ("unlinkat", opcode::UnlinkAt::new(at, gone.as_ptr()).build(), libc::ENOENT, "ENOENT"),
        (
            "connect",
            opcode::Connect::new(types::Fd(socket), address.as_ptr().cast(), length).build(),
            libc::ECONNREFUSED,
            "ECONNREFUSED",
        ),
        ("read", read, libc::EBADF, "EBADF"),
        ("write", opcode::Write::new(types::Fd(sealed), buffer.as_ptr(), 8).build(), libc::EPERM, "EPERM"),
        // Ordinary, like the system call's.
        ("openat", opcode::OpenAt::new(at, gone.as_ptr()).build(), libc::ENOENT, ""),
        ("async_cancel", opcode::AsyncCancel::new(u64::MAX).build(), libc::ENOENT, ""),
    ];
    let requests: Vec<Entry> =
        (first..).zip(&table).map(|(number, (_, entry, ..))| entry.clone().user_data(number)).collect();
    let done = submit(&mut ring, by, &requests)?;
    super::make(probe, &[])?;
    let leader = std::fs::read_to_string("/proc/self/comm")?;
    let own = std::fs::read_to_string("/proc/thread-self/comm")?;
    for (number, (operation, _, errno, error)) in (first..).zip(table) {
        let (_, result) = done.iter().find(|(it, _)| *it == number).context("a request has no end")?;
        ensure!(*result == -errno, "{by:?} {operation} gave {result}, not {}", -errno);
        let records = mine(&probe.events.records);
        let user_data = json!(format!("{number:#x}"));
        let about = |record: &&&Record| *record.attribute("gala_gopher.io_uring.user_data") == user_data;
        let records: Vec<_> = records.iter().filter(about).collect();
        ensure!(records.len() == usize::from(!error.is_empty()), "{by:?} {operation} {error}: {records:?}");
        let Some(record) = records.first() else { continue };
        for (key, value) in [
            ("gala_gopher.io_uring.opcode", json!(operation)),
            ("gala_gopher.syscall.errno", json!(errno)),
            ("error.type", json!(error)),
            ("gala_gopher.occurrences", json!(1)),
            ("process.user.id", json!(0)),
        ] {
            ensure!(*record.attribute(key) == value, "{by:?} {key} is not {value}: {record:?}");
        }
        ensure!(record.top("SeverityText") == "WARN", "{record:?}");
        let name = record.attribute("thread.name").as_str().unwrap_or_default();
        let thread =
            record.attribute("thread.id") == i64::from(rustix::thread::gettid().as_raw_nonzero().get());
        // Which thread ends a request is the kernel's choice for most; a worker is called by the process's name.
        if operation == "openat" {
            ensure!(thread == (by == By::Caller), "the wrong thread: {record:?}");
        }
        let called = if thread { &own } else { &leader };
        ensure!(name == called.trim_end(), "the name is not {called}: {record:?}");
        let body = record.top("Body").as_str().unwrap_or_default();
        let wanted = format!("{name}[{}] io_uring {operation} failed: {error} ({errno})", std::process::id());
        ensure!(body == wanted, "{body:?} is not {wanted:?}");
    }
    Ok(())
}

#[test]
fn each_failed_request_is_told_whoever_works_on_it() -> Result<()> {
    let mut probe = FileDaemon::start_with("", &["event.fold=off"])?;
    if ring(By::Caller)?.is_none() {
        eprintln!("no io_uring here: {}", probe.daemon.log());
        return probe.finish().map(|_| ());
    }
    ensure!(probe.daemon.log().contains("io_uring_complete"), "the program is not attached");
    for (first, by) in [(0x1000, By::Caller), (0x2000, By::Worker), (0x3000, By::Poller)] {
        failing(&mut probe, by, first).with_context(|| format!("{by:?}"))?;
    }
    let (_, ledger) = probe.finish()?;
    ensure!(ledger.lost() == 0, "{ledger:?}");
    Ok(())
}

#[test]
fn failed_requests_are_counted_to_the_unit() -> Result<()> {
    let probe = FileDaemon::start_with(ONLY_EXACT, &[&["probes.event.interval=1"], &NO_OTHERS[..]].concat())?;
    let Some(mut ring) = ring(By::Caller)? else { return probe.finish().map(|_| ()) };
    let mut made = 0;
    for round in 0..2_000 {
        let mut buffer = [0_u8; 8];
        let read = opcode::Read::new(types::Fd(-1), buffer.as_mut_ptr(), 8).build();
        let by = if round % 2 == 0 { By::Caller } else { By::Worker };
        let done = submit(&mut ring, by, &vec![read; 50])?;
        ensure!(done.iter().all(|(_, result)| *result == -libc::EBADF), "{done:?}");
        made += done.len() as u64;
    }
    let (events, ledger) = probe.finish()?;
    let told: Vec<u64> = mine(&events.records)
        .iter()
        .filter_map(|record| record.attribute("gala_gopher.occurrences").as_u64())
        .collect();
    ensure!(told.iter().sum::<u64>() + ledger.lost() == made, "{told:?} of {made}: {ledger:?}");
    ensure!(ledger.of("folded")? > made / 2, "{ledger:?}");
    Ok(())
}

#[test]
fn a_rule_is_about_the_operation_of_its_call_and_a_switch_about_all() -> Result<()> {
    let rules = "[[event.syscall.rules]]\nsyscalls = [\"unlinkat\", \"io_uring:read\"]\naction = \"drop\"\n\
        [[event.syscall.rules]]\nsyscalls = [\"openat\"]\nerrnos = [\"ENOENT\"]\nseverity = \"ERROR\"\n";
    for (keys, wanted) in [(&[][..], vec!["openat", "write"]), (&["event.io_uring.switch=off"], vec![])] {
        let mut probe = FileDaemon::start_with(rules, keys)?;
        let Some(mut ring) = ring(By::Caller)? else { return probe.finish().map(|_| ()) };
        let mut buffer = [0_u8; 8];
        let (at, none) = (types::Fd(libc::AT_FDCWD), types::Fd(-1));
        let gone = c"/no/such/file";
        let requests = [
            opcode::OpenAt::new(at, gone.as_ptr()).build(),
            opcode::UnlinkAt::new(at, gone.as_ptr()).build(),
            opcode::Read::new(none, buffer.as_mut_ptr(), 8).build(),
            opcode::Write::new(none, buffer.as_ptr(), 8).build(),
        ];
        ensure!(submit(&mut ring, By::Caller, &requests)?.iter().all(|(_, result)| *result < 0));
        super::make(&mut probe, &[])?;
        let told = mine(&probe.events.records);
        let mut names: Vec<_> =
            told.iter().filter_map(|it| it.attribute("gala_gopher.io_uring.opcode").as_str()).collect();
        names.sort_unstable();
        ensure!(names == wanted, "{names:?} is not {wanted:?}");
        for record in &told {
            let opened = *record.attribute("gala_gopher.io_uring.opcode") == "openat";
            let severity = if opened { "ERROR" } else { "WARN" };
            ensure!(record.top("SeverityText") == severity, "{record:?}");
        }
        probe.finish()?;
    }
    Ok(())
}
