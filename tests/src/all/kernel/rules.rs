//! What is reported: the built-in table leaves ordinary failures out, and rules overrule it.

use anyhow::{Result, ensure};
use tests::daemon::FileDaemon;
use tests::provoke::{Arg, Call, World};

use super::{REPORT_ORDINARY, make, only};

/// Failures that are part of every working host.
fn ordinary(world: &World) -> Vec<Call> {
    let [file, _, _, pipe, ..] = world.descriptors();
    let path = |name: &str| Arg::from(world.path(name).as_path());
    let inside = || Arg::from(world.path("plain").join("inside").as_path());
    let cwd = || Arg::from(libc::AT_FDCWD);
    let buffer = || Arg::Memory(vec![0; 256]);
    let call = |name, number, args, errno| Call::new(name, number, args, errno);
    let absent = (libc::ENOENT, "ENOENT");
    let no_directory = (libc::ENOTDIR, "ENOTDIR");
    vec![
        call("openat", libc::SYS_openat, vec![cwd(), path("gone"), 0.into()], absent),
        call("openat", libc::SYS_openat, vec![cwd(), inside(), 0.into()], no_directory),
        call("newfstatat", libc::SYS_newfstatat, vec![cwd(), path("gone"), buffer(), 0.into()], absent),
        call("access", libc::SYS_access, vec![path("gone"), 4.into()], absent),
        call("readlink", libc::SYS_readlink, vec![path("gone"), buffer(), 256.into()], absent),
        call("execve", libc::SYS_execve, vec![path("gone"), 0.into(), 0.into()], absent),
        call("ioctl", libc::SYS_ioctl, vec![file.into(), 0x5401.into(), buffer()], (libc::ENOTTY, "ENOTTY")),
        call("mkdir", libc::SYS_mkdir, vec![path("dir"), 0o755.into()], (libc::EEXIST, "EEXIST")),
        call(
            "wait4",
            libc::SYS_wait4,
            vec![(-1).into(), 0.into(), 0.into(), 0.into()],
            (libc::ECHILD, "ECHILD"),
        ),
        call(
            "readlink",
            libc::SYS_readlink,
            vec![path("plain"), buffer(), 256.into()],
            (libc::EINVAL, "EINVAL"),
        ),
        call(
            "fcntl",
            libc::SYS_fcntl,
            vec![9999.into(), libc::F_GETFD.into(), 0.into()],
            (libc::EBADF, "EBADF"),
        ),
        call("preadv2", libc::SYS_preadv2, nowait(pipe), (libc::ESPIPE, "ESPIPE")),
        call(
            "recvfrom",
            libc::SYS_recvfrom,
            vec![
                world.descriptors()[6].into(),
                buffer(),
                16.into(),
                libc::MSG_DONTWAIT.into(),
                0.into(),
                0.into(),
            ],
            (libc::EAGAIN, "EAGAIN"),
        ),
    ]
}

/// A call beside the ordinary ones that is no ordinary failure.
fn nowait(pipe: i32) -> Vec<Arg> {
    vec![pipe.into(), 0.into(), 0.into(), 0.into(), 0.into(), 0.into()]
}

#[test]
fn the_built_in_table_leaves_ordinary_failures_out() -> Result<()> {
    let world = World::new()?;
    let calls = ordinary(&world);
    let mut probe = FileDaemon::start("")?;
    let made = make(&mut probe, &calls)?;
    for (call, made) in calls.iter().zip(&made) {
        let wanted = usize::from(call.name == "preadv2");
        let records = probe.events.of(made.pid);
        ensure!(records.len() == wanted, "{} {} gives {records:?}", call.name, call.errno.1);
    }
    probe.finish()?;
    Ok(())
}

#[test]
fn a_rule_reports_what_the_table_leaves_out() -> Result<()> {
    let world = World::new()?;
    let calls = ordinary(&world);
    let mut probe = FileDaemon::start(REPORT_ORDINARY)?;
    let made = make(&mut probe, &calls)?;
    for (call, made) in calls.iter().zip(&made) {
        let severity = only(&probe, call, made)?.top("SeverityText");
        let wanted = if call.name == "preadv2" { "WARN" } else { "INFO" };
        ensure!(severity == wanted, "{} {} is {severity}", call.name, call.errno.1);
    }
    probe.finish()?;
    Ok(())
}

#[test]
fn an_error_that_answers_a_question_is_an_event_with_any_other_argument() -> Result<()> {
    let world = World::new()?;
    let [_, _, _, pipe, ..] = world.descriptors();
    let (bad, seekless) = ((libc::EBADF, "EBADF"), (libc::ESPIPE, "ESPIPE"));
    let fcntl =
        |command: i32| Call::new("fcntl", libc::SYS_fcntl, vec![9999.into(), command.into(), 0.into()], bad);
    let lseek = |whence: i32| {
        Call::new("lseek", libc::SYS_lseek, vec![pipe.into(), 0.into(), whence.into()], seekless)
    };
    let calls = [fcntl(libc::F_GETFD), fcntl(libc::F_SETFD), lseek(libc::SEEK_CUR), lseek(libc::SEEK_SET)];
    let mut probe = FileDaemon::start("")?;
    let made = make(&mut probe, &calls)?;
    let told: Vec<usize> = made.iter().map(|made| probe.events.of(made.pid).len()).collect();
    ensure!(told == [0, 1, 0, 1], "{told:?}");
    probe.finish()?;
    Ok(())
}

#[test]
fn the_first_rule_that_matches_decides() -> Result<()> {
    let rules = "[[event.syscall.rules]]\nsyscalls = [\"close\"]\nerrnos = [\"EBADF\"]\naction = \"drop\"\n\
        [[event.syscall.rules]]\nsyscalls = [\"sys_close\", \"fsync\"]\nseverity = \"FATAL\"\n\
        [[event.syscall.rules]]\nsyscalls = [\"fsync\"]\naction = \"drop\"\n\
        [[event.syscall.rules]]\nerrnos = [\"EINVAL\"]\nseverity = \"INFO\"\n";
    let no_fd = || vec![Arg::from(9999)];
    let unreported = (libc::EBADF, "EBADF");
    let calls = [
        Call::new("close", libc::SYS_close, no_fd(), unreported),
        Call::new("fsync", libc::SYS_fsync, no_fd(), unreported),
        Call::new("dup", libc::SYS_dup, no_fd(), unreported),
        Call::new("eventfd2", libc::SYS_eventfd2, vec![0.into(), (-1).into()], (libc::EINVAL, "EINVAL")),
    ];
    let mut probe = FileDaemon::start(rules)?;
    let made = make(&mut probe, &calls)?;
    ensure!(probe.events.of(made[0].pid).is_empty(), "a dropped failure is reported");
    for (index, severity, number) in [(1, "FATAL", 21), (2, "WARN", 13), (3, "INFO", 9)] {
        let record = only(&probe, &calls[index], &made[index])?;
        let is = record.top("SeverityText") == severity && record.top("SeverityNumber") == number;
        ensure!(is, "{} is not {severity}: {record:?}", calls[index].name);
    }
    probe.finish()?;
    Ok(())
}
