//! Stalls: each thread that is kept off the CPU for too long has its record, and no other thread has.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tests::cgroup;
use tests::daemon::{FileDaemon, file_config};
use tests::record::Record;
use tests::stall::{Freezer, blocked_at_once, sleeper, starve, vfork_parent};
use tests::wait::{self, PATIENCE};

use crate::expect::shape;

const MILLISECOND: u64 = 1_000_000;

/// No family but this one, so that its records are all there are.
fn alone(offcpu: &str) -> String {
    let others = ["syscall", "exec", "denial", "oom", "exit"];
    let off: String = others.iter().map(|family| format!("[event.{family}]\nswitch = \"off\"\n")).collect();
    format!("{off}[event.offcpu]\n{offcpu}\n")
}

fn of(probe: &FileDaemon, tid: i32) -> Vec<&Record> {
    probe.events.records.iter().filter(|record| *record.attribute("thread.id") == tid).collect()
}

/// Waits until the stall of this thread has ended: the last of its records says so.
fn ended(probe: &mut FileDaemon, tid: i32) -> Result<()> {
    wait::until(&format!("the end of a stall of thread {tid}"), PATIENCE, || {
        probe.events.poll()?;
        let last = of(probe, tid).pop();
        Ok(last.is_some_and(|record| *record.attribute("gala_gopher.offcpu.ongoing") == false).then_some(()))
    })
}

fn nanoseconds(record: &Record) -> Result<u64> {
    record.attribute("gala_gopher.offcpu.duration_ns").as_u64().context("no duration")
}

/// What every record of a stall has.
fn check(record: &Record, state: &str, threshold: Duration) -> Result<()> {
    shape(record)?;
    let is = |key: &str, value: serde_json::Value| {
        let found = record.attribute(&format!("gala_gopher.offcpu.{key}"));
        ensure!(*found == value, "{key} is {found}, not {value}: {record:?}");
        Ok(())
    };
    is("state", state.into())?;
    is("threshold_ns", u64::try_from(threshold.as_nanos())?.into())?;
    ensure!(*record.top("EventName") == "gala_gopher.sched.offcpu_stall", "{record:?}");
    ensure!(nanoseconds(record)? >= u64::try_from(threshold.as_nanos())?, "{record:?}");
    let id = record.attribute("gala_gopher.offcpu.stall_id").as_str().unwrap_or_default();
    ensure!(id.contains('-') && record.attribute("cpu.logical_number").is_u64(), "{record:?}");
    Ok(())
}

#[test]
fn a_blocked_thread_is_told_of_while_it_waits_and_when_it_is_back() -> Result<()> {
    let mut probe = FileDaemon::start(&alone("blocked_ms = 300\nstarved_ms = 0"))?;
    let parent = vfork_parent(Duration::from_millis(2500))?;
    let tid = parent.tid;
    parent.join()?;
    ended(&mut probe, tid)?;
    let records = of(&probe, tid);
    ensure!(records.len() == 2, "{records:?}");
    let (ongoing, end) = (records[0], records[1]);
    for record in [ongoing, end] {
        check(record, "D", Duration::from_millis(300))?;
        let stack = record.attribute("gala_gopher.offcpu.kernel_stack").as_array().context("no stack")?;
        ensure!(!stack.is_empty() && stack.len() <= 32, "{record:?}");
        ensure!(*record.attribute("thread.name") == "parent", "{record:?}");
        ensure!(*record.attribute("process.pid") == std::process::id(), "{record:?}");
    }
    ensure!(*ongoing.attribute("gala_gopher.offcpu.ongoing") == true, "{ongoing:?}");
    let id = |record: &Record| record.attribute("gala_gopher.offcpu.stall_id").clone();
    ensure!(id(ongoing) == id(end), "two ids: {records:?}");
    ensure!(
        nanoseconds(end)? >= 2400 * MILLISECOND && nanoseconds(ongoing)? < nanoseconds(end)?,
        "{records:?}"
    );
    let body = |record: &Record| record.top("Body").as_str().unwrap_or_default().to_owned();
    ensure!(
        body(ongoing).contains("still off CPU")
            && body(end).contains("ms in state D (threshold 300 ms), in ")
    );
    probe.finish()?;
    Ok(())
}

/// As many ids are equal in their low bits as the kernel side has no room for: a set has four ways.
#[test]
fn sleepers_that_cannot_be_followed_are_counted() -> Result<()> {
    let max = Path::new("/proc/sys/kernel/pid_max");
    let before = fs::read_to_string(max)?;
    if before.trim().parse::<u32>()? < 200_000 {
        fs::write(max, "200000")?;
    }
    let probe = FileDaemon::start(&alone("blocked_ms = 300\nstarved_ms = 0"))?;
    let blocked = blocked_at_once(7, 1 << 14, Duration::from_millis(1500));
    fs::write(max, before)?;
    let blocked = blocked?;
    let (events, ledger) = probe.finish()?;
    let told = |tid: &&i32| {
        events.records.iter().any(|record| {
            *record.attribute("thread.id") == **tid
                && *record.attribute("gala_gopher.offcpu.ongoing") == false
        })
    };
    let told = blocked.iter().filter(told).count() as u64;
    ensure!((1..=4).contains(&told), "{told} of seven are told of: {ledger:?}");
    ensure!(ledger.of("lost_ring")? == 7 - told, "{told} of seven are told of: {ledger:?}");
    Ok(())
}

#[test]
fn a_writer_to_a_frozen_file_system_is_blocked() -> Result<()> {
    let Some(freezer) = Freezer::new()? else {
        eprintln!("no mkfs.ext4 here: state D is tested with vfork alone");
        return Ok(());
    };
    let mut probe = FileDaemon::start(&alone("blocked_ms = 100\nstarved_ms = 0"))?;
    let tid = freezer.freeze(Duration::from_millis(400))?;
    ended(&mut probe, tid)?;
    let record = of(&probe, tid).pop().context("no record")?;
    check(record, "D", Duration::from_millis(100))?;
    let took = nanoseconds(record)? / MILLISECOND;
    ensure!((350..2000).contains(&took), "{took} ms: {record:?}");
    let stack = record.attribute("gala_gopher.offcpu.kernel_stack").to_string();
    ensure!(stack.contains("mnt_want_write") || stack.contains("percpu_rwsem_wait"), "{stack}");
    probe.finish()?;
    Ok(())
}

#[test]
fn a_thread_that_gets_no_cpu_is_starved_and_who_took_it_is_named() -> Result<()> {
    let mut probe = FileDaemon::start(&alone("blocked_ms = 0\nstarved_ms = 200"))?;
    // A sweep comes once a second: after some times one has met the victim while it waited.
    for _ in 0..12 {
        let (victim, hog) = starve(Duration::from_millis(600))?;
        ended(&mut probe, victim)?;
        ensure!(of(&probe, hog).is_empty(), "the hog is reported: {:?}", of(&probe, hog));
        let records = of(&probe, victim);
        let end = records.last().context("no record")?;
        check(end, "R", Duration::from_millis(200))?;
        let took = nanoseconds(end)? / MILLISECOND;
        ensure!(took < 5000, "{took} ms: {end:?}");
        let of_end = |key: &str| end.attribute(&format!("gala_gopher.offcpu.preempted_by.{key}"));
        ensure!(*of_end("pid") == std::process::id() && *of_end("comm") == "hog", "{end:?}");
        let body = end.top("Body").as_str().unwrap_or_default();
        ensure!(body.contains("waiting for a CPU for") && body.contains("CPU 0 was taken by hog["), "{body}");
        let id = end.attribute("gala_gopher.offcpu.stall_id");
        let begun = |record: &&&Record| *record.attribute("gala_gopher.offcpu.ongoing") == true;
        if let Some(ongoing) = records.iter().find(begun) {
            check(ongoing, "R", Duration::from_millis(200))?;
            ensure!(ongoing.attribute("gala_gopher.offcpu.stall_id") == id, "two ids: {records:?}");
            probe.finish()?;
            return Ok(());
        }
    }
    anyhow::bail!("no stall was told of while it lasted")
}

#[test]
fn only_the_sleepers_that_are_asked_for_are_reported() -> Result<()> {
    let keys = "blocked_ms = 0\nstarved_ms = 0\ninterruptible_ms = 200\ninterruptible_comms = [\"napper\"]";
    let mut probe = FileDaemon::start(&alone(keys))?;
    let other = sleeper("other", Duration::from_millis(1800))?;
    let napper = sleeper("napper", Duration::from_millis(1800))?;
    let tids = (other.tid, napper.tid);
    other.join()?;
    napper.join()?;
    ended(&mut probe, tids.1)?;
    let records = of(&probe, tids.1);
    let longest = records.last().context("no record")?;
    check(longest, "S", Duration::from_millis(200))?;
    ensure!(nanoseconds(longest)? / MILLISECOND >= 1700, "{records:?}");
    ensure!(of(&probe, tids.0).is_empty(), "an ordinary sleep is reported: {:?}", of(&probe, tids.0));
    probe.finish()?;
    Ok(())
}

#[test]
fn the_sleepers_of_a_cgroup_are_reported_where_that_is_asked_for() -> Result<()> {
    let cgroup = cgroup::root().join(format!("nap-{}", std::process::id()));
    fs::create_dir(&cgroup)?;
    let keys = "blocked_ms = 0\nstarved_ms = 0\ninterruptible_ms = 200\ninterruptible_cgroups = [\"/nap-*\"]";
    let mut probe = FileDaemon::start(&alone(keys))?;
    let nap = |place: &str| Command::new("sh").args(["-c", &format!("{place} sleep 1.8; true")]).spawn();
    let mut inside = nap(&format!("echo $$ > {}/cgroup.procs;", cgroup.display()))?;
    let mut outside = nap("")?;
    let [inside_id, outside_id] = [inside.id(), outside.id()].map(u32::cast_signed);
    inside.wait()?;
    outside.wait()?;
    ended(&mut probe, inside_id)?;
    let records = of(&probe, inside_id);
    check(records.last().context("no record")?, "S", Duration::from_millis(200))?;
    ensure!(of(&probe, outside_id).is_empty(), "an ordinary sleep is reported: {:?}", of(&probe, outside_id));
    probe.finish()?;
    fs::remove_dir(&cgroup)?;
    Ok(())
}

#[test]
fn switched_off_it_attaches_nothing_to_the_scheduler() -> Result<()> {
    for off in ["switch = \"off\"", "blocked_ms = 0\nstarved_ms = 0"] {
        let mut probe = FileDaemon::start(&format!("[event.offcpu]\n{off}\n"))?;
        probe.daemon.wait_for_log("attached", PATIENCE)?;
        ensure!(!probe.daemon.log().contains("sched_switch"), "{}", probe.daemon.log());
        let parent = vfork_parent(Duration::from_millis(1200))?;
        let tid = parent.tid;
        parent.join()?;
        let (events, _) = probe.finish()?;
        let reported = events.records.iter().any(|record| {
            *record.attribute("thread.id") == tid && record.attribute("gala_gopher.offcpu.state").is_string()
        });
        ensure!(!reported, "a family that is off reports");
    }
    Ok(())
}

#[test]
fn sighup_changes_the_thresholds_in_force() -> Result<()> {
    let mut probe = FileDaemon::start(&alone("blocked_ms = 60000\nstarved_ms = 0"))?;
    let config = file_config(&probe.dir.path().join("events"), &alone("blocked_ms = 300\nstarved_ms = 0"));
    std::fs::write(probe.dir.path().join("gala-gopher.conf"), config)?;
    let before = probe.daemon.log().matches("attached").count();
    probe.daemon.signal(Signal::HUP)?;
    wait::until("the new thresholds", PATIENCE, || {
        Ok((probe.daemon.log().matches("attached").count() > before).then_some(()))
    })?;
    let parent = vfork_parent(Duration::from_millis(800))?;
    let tid = parent.tid;
    parent.join()?;
    ended(&mut probe, tid)?;
    check(of(&probe, tid).pop().context("no record")?, "D", Duration::from_millis(300))?;
    probe.finish()?;
    Ok(())
}
