//! The kernel side, through the file channel: in come failures made on purpose, out come their records, one
//! for each, and a ledger that adds up. Nothing but a kernel and root is needed.

use anyhow::{Result, ensure};
use tests::daemon::FileDaemon;
use tests::provoke::{Call, Made};
use tests::record::Record;

use crate::expect::fence;

#[path = "kernel/accounting.rs"]
mod accounting;
#[path = "kernel/calls.rs"]
mod calls;
#[path = "kernel/catalogue.rs"]
mod catalogue;
#[path = "kernel/containers.rs"]
mod containers;
#[path = "kernel/cri.rs"]
mod cri;
#[path = "kernel/denial.rs"]
mod denial;
#[path = "kernel/exec.rs"]
mod exec;
#[path = "kernel/exit.rs"]
mod exit;
#[path = "kernel/exit_fold.rs"]
mod exit_fold;
#[path = "kernel/folding.rs"]
mod folding;
#[path = "kernel/full_disk.rs"]
mod full_disk;
#[path = "kernel/hostile.rs"]
mod hostile;
#[path = "kernel/i386.rs"]
mod i386;
#[path = "kernel/identity.rs"]
mod identity;
#[path = "kernel/io_uring.rs"]
mod io_uring;
#[path = "kernel/lifecycle.rs"]
mod lifecycle;
#[path = "kernel/offcpu.rs"]
mod offcpu;
#[path = "kernel/oom.rs"]
mod oom;
#[path = "kernel/reload.rs"]
mod reload;
#[path = "kernel/restart.rs"]
mod restart;
#[path = "kernel/rules.rs"]
mod rules;

/// Reports what the built-in table leaves out as ordinary.
const REPORT_ORDINARY: &str = "[[event.syscall.rules]]\n\
    errnos = [\"ENOENT\", \"ENOTDIR\", \"ENOTTY\", \"EEXIST\", \"ECHILD\", \"EAGAIN\", \"ENODATA\"]\n\
    action = \"report\"\n\
    [[event.syscall.rules]]\nsyscalls = [\"readlink\"]\nerrnos = [\"EINVAL\"]\n\
    [[event.syscall.rules]]\nsyscalls = [\"fcntl\"]\nerrnos = [\"EBADF\"]\nseverity = \"INFO\"\n";

/// Makes calls, and waits until everything before them, and they themselves, must have been written: records
/// come in the order of the ring.
fn make(probe: &mut FileDaemon, calls: &[Call]) -> Result<Vec<Made>> {
    let made = calls.iter().map(Call::make).collect::<Result<Vec<_>>>()?;
    fence(|fence, patience| probe.events.wait_for(fence.pid, patience))?;
    Ok(made)
}

/// The one record of a call.
fn only<'a>(probe: &'a FileDaemon, call: &Call, made: &Made) -> Result<&'a Record> {
    let records = probe.events.of(made.pid);
    ensure!(records.len() == 1, "{} {} has {} records: {records:?}", call.name, call.errno.1, records.len());
    Ok(records[0])
}
