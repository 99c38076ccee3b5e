//! What is not permitted: in come calls that lack a capability or a permission, out come records that say which.

use std::ptr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::daemon::FileDaemon;
use tests::provoke::{Arg, Call, NOBODY, World};
use tests::record::Record;
use tests::stay::{Staying, errno};

use super::{make, only};
use crate::expect::expect;

/// What the daemon says, once, where the kernel does not tell of capabilities.
const WITHOUT: &str = "denials do not name the capability that was refused";

/// Whether this kernel has the tracepoint that tells of capabilities.
fn names_capabilities() -> Result<bool> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse::<u32>().unwrap_or(0));
    let version = (numbers.next().context("no release")?, numbers.next().context("no release")?);
    Ok(version >= (6, 13))
}

/// The record's kind and capability, and how grave it is.
fn said(record: &Record) -> (&Value, &Value, &Value) {
    (
        record.attribute("gala_gopher.denial.kind"),
        record.attribute("gala_gopher.capability.name"),
        record.top("SeverityText"),
    )
}

fn check(record: &Record, capability: &str, severity: &str) -> Result<()> {
    let wanted = if names_capabilities()? {
        ("capability".into(), capability.into(), severity.into())
    } else {
        ("errno".into(), Value::Null, Value::from("WARN"))
    };
    ensure!(said(record) == (&wanted.0, &wanted.1, &wanted.2), "{record:?} is not {wanted:?}");
    ensure!(record.top("EventName") == "gala_gopher.security.denied", "{record:?}");
    Ok(())
}

#[test]
fn a_denial_names_the_capability_that_was_refused() -> Result<()> {
    let world = World::new()?;
    let dir = || Arg::from(world.dir());
    let eperm = (libc::EPERM, "EPERM");
    let time = || Arg::Memory([1_700_000_000_u64.to_ne_bytes(), [0; 8]].concat());
    let calls = [
        Call::new("chroot", libc::SYS_chroot, vec![dir()], eperm).uid(NOBODY),
        Call::new("mount", libc::SYS_mount, vec![dir(), dir(), "tmpfs".into(), 0.into(), 0.into()], eperm)
            .uid(NOBODY),
        Call::new("clock_settime", libc::SYS_clock_settime, vec![0.into(), time()], eperm).uid(NOBODY),
        Call::new("sethostname", libc::SYS_sethostname, vec!["name".into(), 4.into()], eperm).uid(NOBODY),
    ];
    let mut probe = FileDaemon::start("")?;
    let made = make(&mut probe, &calls)?;
    for ((call, made), (capability, severity)) in calls.iter().zip(&made).zip([
        ("CAP_SYS_CHROOT", "WARN"),
        ("CAP_SYS_ADMIN", "ERROR"),
        ("CAP_SYS_TIME", "WARN"),
        ("CAP_SYS_ADMIN", "ERROR"),
    ]) {
        let record = only(&probe, call, made)?;
        expect(call, made, record)?;
        check(record, capability, severity)?;
    }
    let log = probe.daemon.log();
    ensure!(log.matches(WITHOUT).count() == usize::from(!names_capabilities()?), "{log}");
    probe.finish()?;
    Ok(())
}

#[test]
fn a_rule_says_how_grave_a_denial_is() -> Result<()> {
    let world = World::new()?;
    let path = || Arg::from(world.dir());
    let args = vec![path(), path(), "tmpfs".into(), 0.into(), 0.into()];
    let call = Call::new("mount", libc::SYS_mount, args, (libc::EPERM, "EPERM")).uid(NOBODY);
    let mut probe =
        FileDaemon::start("[[event.syscall.rules]]\nsyscalls = [\"mount\"]\nseverity = \"INFO\"\n")?;
    let made = make(&mut probe, std::slice::from_ref(&call))?;
    check(only(&probe, &call, &made[0])?, "CAP_SYS_ADMIN", "INFO").or_else(|error| {
        let record = only(&probe, &call, &made[0])?;
        // Where the kernel does not tell of capabilities, the rule still counts.
        let ruled = !names_capabilities()? && record.top("SeverityText") == "INFO";
        if ruled { Ok(()) } else { Err(error) }
    })?;
    probe.finish()?;
    Ok(())
}

#[test]
fn all_capabilities_of_a_user_namespace_are_not_those_of_the_host() -> Result<()> {
    let time = libc::timespec { tv_sec: 1_700_000_000, tv_nsec: 0 };
    let mut probe = FileDaemon::start("")?;
    // SAFETY: raw system calls; the time lives longer than the process's work.
    let staying = unsafe {
        Staying::start(|| {
            if libc::unshare(libc::CLONE_NEWUSER) != 0 {
                return 0;
            }
            libc::syscall(libc::SYS_clock_settime, libc::CLOCK_REALTIME, ptr::from_ref(&time));
            errno()
        })?
    };
    if staying.result == 0 {
        eprintln!("this kernel has no user namespaces");
        return probe.finish().map(drop);
    }
    staying.failed_with(libc::EPERM)?;
    make(&mut probe, &[])?;
    let records = probe.events.of(staying.pid);
    ensure!(records.len() == 1, "{records:?}");
    check(records[0], "CAP_SYS_TIME", "WARN")?;
    probe.finish()?;
    Ok(())
}

#[test]
fn a_file_of_others_is_a_matter_of_its_permissions() -> Result<()> {
    let world = World::new()?;
    let secret = world.path("secret");
    let args = vec![libc::AT_FDCWD.into(), secret.as_path().into(), 0.into()];
    let open =
        Call::new("openat", libc::SYS_openat, args, (libc::EACCES, "EACCES")).about(&secret).uid(NOBODY);
    let mut probe = FileDaemon::start("")?;
    let made = make(&mut probe, std::slice::from_ref(&open))?;
    let record = only(&probe, &open, &made[0])?;
    expect(&open, &made[0], record)?;
    let (kind, capability, severity) = said(record);
    ensure!(kind == "errno" && severity == "WARN", "{record:?}");
    let hint = capability.as_str().unwrap_or_default();
    ensure!(hint.starts_with("CAP_DAC_") == names_capabilities()?, "{record:?}");
    probe.finish()?;
    Ok(())
}
