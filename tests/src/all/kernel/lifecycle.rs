//! What a running daemon is asked to do: to stand alone on its host, and to read its configuration again.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tests::daemon::{Daemon, FileDaemon, binary, file_config, open_dir};
use tests::follow::Follower;
use tests::provoke::{Arg, Call};
use tests::wait::PATIENCE;

use super::{make, only};

fn close() -> Call {
    Call::new("close", libc::SYS_close, vec![Arg::from(9999)], (libc::EBADF, "EBADF"))
}

fn fsync() -> Call {
    Call::new("fsync", libc::SYS_fsync, vec![Arg::from(9999)], (libc::EBADF, "EBADF"))
}

#[test]
fn a_second_daemon_is_refused_and_told_who_the_first_is() -> Result<()> {
    let first = FileDaemon::start("")?;
    let config = first.dir.path().join("gala-gopher.conf");
    let second = Daemon::spawn(Command::new(binary()?).arg("--config").arg(&config))?.ended()?;
    ensure!(second.code == Some(75), "{second:?}");
    let pid = format!("process {}", first.daemon.pid());
    ensure!(second.log.contains("another probe-daemon") && second.log.contains(&pid), "{second:?}");
    // The first goes on, and when it is gone the next may start.
    first.finish()?;
    FileDaemon::start("")?.finish()?;
    Ok(())
}

#[test]
fn sighup_switches_families_and_rules_and_keeps_the_old_ones_when_the_new_are_wrong() -> Result<()> {
    let mut probe = FileDaemon::start("")?;
    let config = probe.dir.path().join("gala-gopher.conf");
    let reload = |probe: &mut FileDaemon, more: &str, said: &str| -> Result<()> {
        let events = probe.dir.path().join("events");
        fs::write(&config, file_config(&events, more))?;
        let before = probe.daemon.log().matches(said).count();
        probe.daemon.signal(Signal::HUP)?;
        tests::wait::until(said, PATIENCE, || {
            Ok((probe.daemon.log().matches(said).count() > before).then_some(()))
        })
    };
    let calls = [close()];
    let made = make(&mut probe, &calls)?;
    only(&probe, &calls[0], &made[0])?;

    let drop = "[[event.syscall.rules]]\nsyscalls = [\"close\"]\naction = \"drop\"\n";
    reload(&mut probe, drop, "attached")?;
    let made = make(&mut probe, &[close(), fsync()])?;
    ensure!(probe.events.of(made[0].pid).is_empty(), "the new rule is not in force");
    ensure!(probe.events.of(made[1].pid).len() == 1, "what no rule drops is not reported");

    reload(&mut probe, "[event.sycsall]\nswitch = \"off\"\n", "not valid")?;
    let made = make(&mut probe, &[close(), fsync()])?;
    ensure!(probe.events.of(made[0].pid).is_empty(), "the old rule is not in force any more");
    ensure!(probe.events.of(made[1].pid).len() == 1, "the old configuration is not in force any more");
    ensure!(
        probe.daemon.log().contains("did you mean \\\"syscall\\\"")
            || probe.daemon.log().contains("did you mean \"syscall\"")
    );

    reload(&mut probe, "", "attached")?;
    let made = make(&mut probe, &calls)?;
    only(&probe, &calls[0], &made[0])?;
    probe.finish()?;
    Ok(())
}

#[test]
fn rules_may_ask_who_failed() -> Result<()> {
    // The calls of these tests are made as root by processes with names of their own.
    let rules = "[[event.syscall.rules]]\nsyscalls = [\"close\"]\nuids = [0]\nseverity = \"FATAL\"\n\
        [[event.syscall.rules]]\nsyscalls = [\"fsync\"]\nuids = [12345]\nseverity = \"FATAL\"\n\
        [[event.syscall.rules]]\nsyscalls = [\"dup\"]\ncomms = [\"*\"]\naction = \"drop\"\n";
    let mut probe = FileDaemon::start(rules)?;
    let dup = Call::new("dup", libc::SYS_dup, vec![Arg::from(9999)], (libc::EBADF, "EBADF"));
    let calls = [close(), fsync(), dup];
    let made = make(&mut probe, &calls)?;
    ensure!(only(&probe, &calls[0], &made[0])?.top("SeverityText") == "FATAL", "close as root");
    ensure!(only(&probe, &calls[1], &made[1])?.top("SeverityText") == "WARN", "fsync as root");
    ensure!(probe.events.of(made[2].pid).is_empty(), "dup of any process");
    let (_, ledger) = probe.finish()?;
    ensure!(ledger.of("dismissed")? >= 1, "{ledger:?}");
    Ok(())
}

#[test]
fn records_of_one_run_after_another_are_numbered_without_a_gap() -> Result<()> {
    let dir = open_dir()?;
    let config = dir.path().join("gala-gopher.conf");
    let events = dir.path().join("events");
    std::fs::write(&config, file_config(&events, ""))?;
    let mut follower = Follower::new(&events);
    for _ in 0..2 {
        let daemon = Daemon::start(&config, &[])?;
        let ended = daemon.stop()?;
        ensure!(ended.code == Some(0), "{ended:?}");
    }
    follower.poll()?;
    let names: Vec<_> = follower.records.iter().map(|record| record.top("EventName").as_str()).collect();
    for name in ["started", "stopped"] {
        let name = format!("gala_gopher.probe.{name}");
        ensure!(names.iter().filter(|own| **own == Some(&name)).count() == 2, "{names:?}");
    }
    let numbers: Vec<_> =
        follower.records.iter().map(|record| record.attribute("gala_gopher.sequence").as_u64()).collect();
    let first = numbers.first().copied().flatten().context("no record has a number")?;
    let wanted: Vec<_> = (first..).map(Some).take(numbers.len()).collect();
    ensure!(numbers == wanted, "{numbers:?}");
    let hashes: Vec<_> =
        follower.records.iter().map(|record| record.attribute("gala_gopher.probe.config_hash")).collect();
    let said: Vec<_> = hashes.iter().filter_map(|hash| hash.as_str()).collect();
    ensure!(said.len() == 4 && said[0] == said[1] && said[2] == said[3], "{said:?}");
    Ok(())
}
