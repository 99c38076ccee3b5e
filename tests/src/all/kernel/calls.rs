//! One record for each failure, with everything right in it.

use anyhow::{Context, Result, ensure};
use tests::daemon::FileDaemon;
use tests::provoke::{Call, NOBODY, World, table};
use tests::wait::PATIENCE;

use super::{REPORT_ORDINARY, make, only};
use crate::expect::{expect, fence, shape};

#[test]
fn every_failure_gives_exactly_one_record() -> Result<()> {
    let world = World::new()?;
    let calls = table(&world)?;
    ensure!(calls.len() > 100, "the table has only {} calls", calls.len());
    let mut probe = FileDaemon::start(REPORT_ORDINARY)?;
    let made = make(&mut probe, &calls)?;
    let mut wrong = Vec::new();
    for (call, made) in calls.iter().zip(&made) {
        let checked = only(&probe, call, made).and_then(|record| expect(call, made, record));
        wrong.extend(checked.err().map(|error| format!("{error:#}")));
    }
    ensure!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), calls.len(), wrong.join("\n"));
    for record in &probe.events.records {
        shape(record).with_context(|| record.0.to_string())?;
    }
    let (_, ledger) = probe.finish()?;
    ensure!(ledger.of("records")? >= calls.len() as u64, "{ledger:?}");
    Ok(())
}

#[test]
fn a_process_in_a_pid_namespace_has_both_its_numbers() -> Result<()> {
    let world = World::new()?;
    let secret = world.path("secret");
    let calls: Vec<Call> = [1, 2]
        .into_iter()
        .flat_map(|vpid| {
            let args = vec![libc::AT_FDCWD.into(), secret.as_path().into(), 0.into()];
            let open = Call::new("openat", libc::SYS_openat, args, (libc::EACCES, "EACCES"));
            [
                Call::fence().in_namespace(vpid),
                open.about(&secret).uid(NOBODY).comm(b"boxed").in_namespace(vpid),
            ]
        })
        .collect();
    let mut probe = FileDaemon::start("")?;
    let made = make(&mut probe, &calls)?;
    let outside = Call::fence();
    let neighbour = make(&mut probe, std::slice::from_ref(&outside))?[0];
    let host = only(&probe, &outside, &neighbour)?.attribute("gala_gopher.pid_ns").clone();
    for (call, made) in calls.iter().zip(&made) {
        let record = only(&probe, call, made)?;
        expect(call, made, record)?;
        ensure!(*record.attribute("gala_gopher.pid_ns") != host, "the namespace is not told: {record:?}");
    }
    probe.finish()?;
    Ok(())
}

#[test]
fn b8_a_thread_has_its_own_number_beside_the_process() -> Result<()> {
    let mut probe = FileDaemon::start("")?;
    let failing = || {
        // SAFETY: -1 is no descriptor, so nothing is closed.
        unsafe { libc::syscall(libc::SYS_close, -1) };
        rustix::thread::gettid().as_raw_nonzero().get()
    };
    let tid = std::thread::Builder::new().name("second".to_owned()).spawn(failing)?.join();
    let tid = tid.ok().context("the thread died")?;
    let own = i32::try_from(std::process::id())?;
    make(&mut probe, &[])?;
    let records: Vec<_> =
        probe.events.of(own).into_iter().filter(|record| *record.attribute("thread.id") == tid).collect();
    ensure!(tid != own && records.len() == 1, "thread {tid} of {own} has {} records", records.len());
    ensure!(records[0].syscall() == "close" && *records[0].attribute("thread.name") == "second");
    probe.finish()?;
    Ok(())
}

#[test]
fn b15_the_daemon_does_not_see_itself() -> Result<()> {
    // Every attempt to reach this broker fails in the daemon itself.
    tests::provoke::raise_loopback()?;
    let broker = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let rule = "[[event.syscall.rules]]\nsyscalls = [\"connect\"]\naction = \"report\"\n";
    let channels = "event.out_channel=[\"logs\", \"kafka\"]";
    let dir = tests::daemon::open_dir()?;
    let config = dir.path().join("gala-gopher.conf");
    std::fs::write(&config, tests::daemon::file_config(&dir.path().join("events"), rule))?;
    let broker = format!("kafka.kafka_broker={broker}");
    let mut daemon = tests::daemon::Daemon::start(&config, &["--set", channels, "--set", &broker])?;
    daemon.wait_for_log("refused", PATIENCE)?;
    let mut events = tests::follow::Follower::new(&dir.path().join("events"));
    fence(|made, patience| events.wait_for(made.pid, patience))?;
    // What it has to say of itself is no failure of a call.
    let own: Vec<_> = events.of(daemon.pid()).into_iter().filter(|record| !record.is_of_probe()).collect();
    ensure!(own.is_empty(), "the daemon reports itself: {own:?}");
    let ended = daemon.stop()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    ended.ledger()?.check()
}

#[test]
fn a_daemon_that_is_stopped_at_once_ends_clean() -> Result<()> {
    let probe = FileDaemon::start("")?;
    probe.finish()?;
    Ok(())
}
