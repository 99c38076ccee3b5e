//! The command line: in come arguments, signals and missing privileges, out come exit codes and sentences
//! that say what to do.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::Signal;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;
use tests::daemon::{Daemon, FileDaemon, binary, file_config, open_dir};
use tests::follow::Follower;
use tests::provoke::{Call, NOBODY};
use tests::wait::PATIENCE;

/// Numbers of `<linux/capability.h>`.
const CAP_PERFMON: i32 = 38;
const CAP_BPF: i32 = 39;
const CAP_LAST: i32 = 40;

/// A copy of the daemon that any user may run, wherever the checkout is, and a configuration for it.
struct Stage {
    dir: TempDir,
    daemon: PathBuf,
    config: PathBuf,
}

impl Stage {
    fn new() -> Result<Self> {
        let dir = open_dir()?;
        let daemon = dir.path().join("probe-daemon");
        fs::copy(binary()?, &daemon)?;
        let config = dir.path().join("gala-gopher.conf");
        fs::write(&config, file_config(&dir.path().join("events"), ""))?;
        Ok(Self { dir, daemon, config })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.daemon);
        command.arg("--config").arg(&self.config).stdout(Stdio::null());
        command
    }
}

/// Lets `command` run as root with no capabilities but these.
fn with_capabilities<'a>(command: &'a mut Command, kept: &'static [i32]) -> &'a mut Command {
    let drop_others = move || {
        for capability in (0..=CAP_LAST).filter(|capability| !kept.contains(capability)) {
            // SAFETY: this only takes a capability from the bounding set of the new process; one that the
            // kernel does not know is refused, which is as good.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        Ok(())
    };
    // SAFETY: between fork and exec only raw system calls are made.
    unsafe { command.pre_exec(drop_others) }
}

/// Lets `command` see an empty `/sys/kernel/btf`.
fn without_btf(command: &mut Command) -> &mut Command {
    let hide = || {
        // SAFETY: a mount namespace of its own concerns the new process alone, which has one thread.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        mount("none", "/sys/kernel/btf", "tmpfs", MountFlags::empty(), None)?;
        io::Result::Ok(())
    };
    // SAFETY: between fork and exec only raw system calls are made; rustix allocates nothing for such short
    // paths.
    unsafe { command.pre_exec(hide) }
}

#[test]
fn help_and_version_are_there() -> Result<()> {
    let help = Command::new(binary()?).arg("--help").output()?;
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    ensure!(help.status.success() && text.contains("--config") && text.contains("check"), "{text}");
    let version = Command::new(binary()?).arg("--version").output()?;
    let text = String::from_utf8_lossy(&version.stdout).into_owned();
    let number = text.split_whitespace().nth(1).unwrap_or_default();
    ensure!(version.status.success() && text.starts_with("probe-daemon "), "{text}");
    ensure!(number.split('.').count() == 3, "{text}");
    Ok(())
}

#[test]
fn nobody_is_told_which_capability_is_missing() -> Result<()> {
    let stage = Stage::new()?;
    let ended = Daemon::spawn(stage.command().uid(NOBODY).gid(NOBODY))?.ended()?;
    ensure!(ended.code == Some(77), "exit {:?}", ended.code);
    ensure!(ended.log.contains("CAP_BPF") && ended.log.contains("CAP_PERFMON"), "{}", ended.log);
    Ok(())
}

#[test]
fn root_without_capabilities_is_told_which_one_is_missing() -> Result<()> {
    let stage = Stage::new()?;
    let ended = Daemon::spawn(with_capabilities(&mut stage.command(), &[]))?.ended()?;
    ensure!(ended.code == Some(77), "exit {:?}", ended.code);
    ensure!(ended.log.contains("CAP_BPF"), "{}", ended.log);
    let ended = Daemon::spawn(with_capabilities(&mut stage.command(), &[CAP_BPF]))?.ended()?;
    ensure!(ended.code == Some(77), "exit {:?}", ended.code);
    ensure!(ended.log.contains("CAP_PERFMON"), "{}", ended.log);
    Ok(())
}

#[test]
fn two_capabilities_suffice() -> Result<()> {
    let stage = Stage::new()?;
    let mut command = stage.command();
    let mut daemon = Daemon::spawn(with_capabilities(&mut command, &[CAP_BPF, CAP_PERFMON]))?;
    daemon.wait_for_log("capturing", PATIENCE)?;
    let made = Call::fence().uid(NOBODY).make()?;
    let mut events = Follower::new(&stage.dir.path().join("events"));
    events.wait_for(made.pid, PATIENCE)?;
    let ended = daemon.stop()?;
    ensure!(ended.code == Some(0), "exit {:?}", ended.code);
    ended.ledger()?.check()
}

#[test]
fn a_kernel_without_btf_is_told_so() -> Result<()> {
    let stage = Stage::new()?;
    let ended = Daemon::spawn(without_btf(&mut stage.command()))?.ended()?;
    ensure!(ended.code == Some(69), "exit {:?}", ended.code);
    ensure!(ended.log.contains("BTF") && ended.log.contains("/sys/kernel/btf"), "{}", ended.log);
    Ok(())
}

#[test]
fn sigint_stops_as_sigterm_does() -> Result<()> {
    let mut probe = FileDaemon::start("")?;
    let made = Call::fence().make()?;
    probe.events.wait_for(made.pid, PATIENCE)?;
    probe.daemon.signal(Signal::INT)?;
    let ended = probe.daemon.ended()?;
    ensure!(ended.code == Some(0) && ended.signal.is_none(), "exit {:?}", ended.code);
    ended.ledger()?.check()
}

#[test]
fn the_log_of_a_daemon_without_a_terminal_has_no_colours() -> Result<()> {
    let probe = FileDaemon::start("")?;
    let ended = probe.daemon.stop()?;
    ensure!(!ended.log.contains('\u{1b}'), "{:?}", ended.log);
    Ok(())
}

#[test]
fn a_probe_that_is_switched_off_does_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let ended = Daemon::spawn(stage.command().args(["--set", "probes.event.switch=off"]))?.ended()?;
    ensure!(ended.code == Some(0) && !ended.log.contains("capturing"), "{ended:?}");
    Ok(())
}
