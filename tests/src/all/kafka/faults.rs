//! What a network, a cluster, a disk and a kill can do to records. In: daemons with records under way, and a fault or two.
//! Out: whether each record that was made is in the topic, once, in order, or counted as lost, once.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::Signal;
use tests::daemon::{Daemon, file_config, open_dir};
use tests::disk::Disk;
use tests::follow::Follower;
use tests::kafka::proxy::Proxy;
use tests::kafka::secured::Guard;
use tests::kafka::{Kafka, Setup};
use tests::ledger::Ledger;
use tests::memory;
use tests::pins::PinDir;
use tests::provoke::{ALONE, Flood, NO_OTHERS, ONLY_ALONE, Pace};
use tests::told::Told;
use tests::wait::{self, PATIENCE};

use super::sent::Sent;

/// A Kafka for all of these tests, and the way to it on which connections break.
pub struct Shared {
    /// The broker.
    pub kafka: Kafka,
    /// The way to it.
    pub proxy: Proxy,
    guard: Guard,
}

impl Shared {
    /// It, for one test at a time, with nothing wrong with it.
    pub fn get() -> Result<MutexGuard<'static, Self>> {
        static SHARED: OnceLock<Result<Mutex<Shared>, String>> = OnceLock::new();
        let shared =
            SHARED.get_or_init(|| Self::start().map(Mutex::new).map_err(|error| format!("{error:#}")));
        let shared = shared.as_ref().map_err(|error| anyhow!("{error}"))?;
        let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        // A test that failed may have left it so.
        shared.kafka.freeze(false)?;
        shared.proxy.cut(0);
        shared.proxy.delay(Duration::ZERO);
        Ok(shared)
    }

    fn start() -> Result<Self> {
        let (listener, port) = Proxy::bind()?;
        let mut kafka = Kafka::with(&Setup {
            listeners: vec![("PROXY", "PLAINTEXT")],
            advertised: Some(("PROXY", port)),
            ..Setup::default()
        })?;
        kafka.run()?;
        let proxy = Proxy::run(listener, kafka.listener("PROXY")?)?;
        let guard = Guard::new(kafka.pid().context("Kafka does not run")?)?;
        Ok(Self { kafka, proxy, guard })
    }

    /// A daemon that reaches the broker itself.
    fn direct(&self, topic: &str, keys: &str) -> Result<Sent> {
        self.kafka.create_topic(topic, &[])?;
        Sent::start_on(&self.kafka, &self.kafka.address(), topic, open_dir()?, keys)
    }

    /// A daemon that reaches it through the proxy.
    fn through_proxy(&self, topic: &str, keys: &str) -> Result<Sent> {
        self.kafka.create_topic(topic, &[])?;
        Sent::start_on(&self.kafka, &self.proxy.address(), topic, open_dir()?, keys)
    }

    fn still_for(&self, time: Duration, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
        self.kafka.freeze(true)?;
        let done = meanwhile();
        sleep(time);
        self.kafka.freeze(false)?;
        done
    }
}

/// No record is there twice.
fn once(sent: &Sent) -> Result<()> {
    let (all, unique) = (sent.reader.records.len(), sent.reader.unique().len());
    ensure!(all == unique, "{all} messages of {unique} records");
    Ok(())
}

/// Makes so many failures of one process, and waits until it has.
fn flood(a_millisecond: u64, count: u64) -> Result<()> {
    let mut flood = Flood::of(Pace::PerMillisecond(a_millisecond), count, &[libc::SYS_fsync])?;
    wait::until("the end of the flood", PATIENCE, || Ok(flood.ended()?.then_some(())))
}

/// Stops the daemon; what it made is in the topic or counted, without keeping the records.
fn finish_counting(mut sent: Sent, made_before: usize) -> Result<(Ledger, String)> {
    let mut ids = HashSet::new();
    // Everything is delivered while it runs; a stopping daemon would keep in the spool what it has no time for.
    let mut before = usize::MAX;
    wait::until("the last record", PATIENCE, || {
        sent.reader.poll_ids(&mut ids)?;
        let quiet = ids.len() == before && !ids.is_empty();
        before = ids.len();
        sleep(Duration::from_millis(1500));
        Ok(quiet.then_some(()))
    })?;
    let ended = sent.daemon.stop()?;
    ensure!(ended.code == Some(0), "the daemon ended with {:?}", ended.code);
    let ledger = ended.ledger()?;
    ledger.check()?;
    // Each record is of one event.
    let gone = ["lost_queue", "lost_delivery", "lost_spool", "kept"];
    let gone = gone.iter().map(|name| ledger.of_sink("kafka", name)).sum::<Result<u64>>()?;
    let arrived = ledger.of("events")? - gone;
    wait::until("all records", PATIENCE, || {
        sent.reader.poll_ids(&mut ids)?;
        Ok((ids.len() as u64 >= arrived).then_some(()))
    })?;
    ensure!(ids.len() >= made_before, "{} of {made_before}", ids.len());
    ensure!(ids.len() as u64 == arrived, "{} in the topic, {ledger:?}", ids.len());
    Ok((ledger, ended.log))
}

/// Stops the daemon; each of so many failures of floods is in the topic, and nothing was lost.
fn finish_floods(sent: Sent, count: usize) -> Result<()> {
    let (_, ledger, reader) = sent.finish()?;
    ensure!(ledger.lost() == 0, "something was lost: {ledger:?}");
    let floods = reader.records.iter().filter(|record| record.syscall() == "fsync");
    let ids: HashSet<String> = floods.map(|r| r.attribute("log.record.uid").to_string()).collect();
    ensure!(ids.len() == count, "{} of {count} failures arrived", ids.len());
    Ok(())
}

#[test]
fn a_broker_that_stands_still_for_a_while() -> Result<()> {
    let shared = Shared::get()?;
    let mut sent = shared.direct("still", "")?;
    sent.fail(10)?;
    sent.arrive()?;
    shared.still_for(Duration::from_secs(8), || sent.fail(40))?;
    sent.fail(10)?;
    sent.arrive()?;
    once(&sent)?;
    sent.finish_whole().map(drop)
}

#[test]
fn a_broker_that_is_killed_and_comes_back_with_its_state() -> Result<()> {
    let mut shared = Shared::get()?;
    let mut sent = shared.direct("killed", "")?;
    sent.fail(10)?;
    sent.arrive()?;
    sent.fail(10)?;
    shared.kafka.kill()?;
    sent.fail(40)?;
    shared.kafka.run()?;
    shared.guard = Guard::new(shared.kafka.pid().context("Kafka does not run")?)?;
    sent.fail(10)?;
    sent.finish_whole().map(drop)
}

#[test]
fn a_broker_that_is_away_for_longer_than_messages_live_and_answers_late() -> Result<()> {
    let shared = Shared::get()?;
    let keys = "[kafka.librdkafka]\n\"message.timeout.ms\" = \"3000\"\n";
    let mut sent = shared.through_proxy("timeout", keys)?;
    sent.fail(10)?;
    sent.arrive()?;
    shared.still_for(Duration::from_secs(6), || sent.fail(40))?;
    shared.proxy.delay(Duration::from_millis(300));
    sent.fail(20)?;
    sent.arrive()?;
    shared.proxy.delay(Duration::ZERO);
    sent.says(&["Kafka takes records"])?;
    sent.finish_whole().map(drop)
}

#[test]
fn connections_that_are_cut_in_the_middle_of_a_request() -> Result<()> {
    let shared = Shared::get()?;
    let mut sent = shared.through_proxy("cut", "")?;
    for _ in 0..3 {
        sent.fail(10)?;
        shared.proxy.cut(1);
        sent.fail(20)?;
        wait::until("the cut", PATIENCE, || Ok((shared.proxy.cuts_left() == 0).then_some(())))?;
    }
    // Both at once: a connection that breaks while answers are late.
    shared.proxy.delay(Duration::from_millis(500));
    shared.proxy.cut(2);
    sent.fail(40)?;
    sent.arrive()?;
    shared.proxy.delay(Duration::ZERO);
    once(&sent)?;
    sent.finish_whole().map(drop)
}

#[test]
fn a_daemon_that_is_stopped_and_killed_while_its_broker_is_away_and_while_it_catches_up() -> Result<()> {
    let shared = Shared::get()?;
    let mut sent = shared.direct("restarted", "")?;
    shared.kafka.freeze(true)?;
    flood(5, 5_000)?;
    sent.spooled()?;
    sent.kill()?;
    sent.restart()?;
    sent.says(&["holds records of an earlier run"])?;
    flood(5, 5_000)?;
    sent.spooled()?;
    sent.daemon.signal(Signal::TERM)?;
    sent.says(&["stay in the spool for the next start"])?;
    wait::until("the end of the daemon", PATIENCE, || Ok((!sent.daemon.alive()?).then_some(())))?;
    sent.restart()?;
    flood(5, 2_000)?;
    sent.spooled()?;
    shared.kafka.freeze(false)?;
    wait::until("some records", PATIENCE, || {
        sent.reader.poll()?;
        Ok((!sent.reader.records.is_empty()).then_some(()))
    })?;
    sent.kill()?;
    sent.restart()?;
    sent.fail(10)?;
    sent.arrive()?;
    finish_floods(sent, 12_000)
}

#[test]
fn in_the_mode_outage_what_waits_is_written_and_outlives_a_kill() -> Result<()> {
    let shared = Shared::get()?;
    let mut sent = shared.direct("mode", "[spool]\nmode = \"outage\"\n")?;
    sent.fail(5)?;
    sent.arrive()?;
    sent.fail(20)?;
    sent.arrive()?;
    // The first may have waited for the connection.
    let written = on_disk(&sent.file("state/spool"))?;
    ensure!(written < 25, "{written} records of 25 were written while the broker answered");
    shared.kafka.freeze(true)?;
    flood(5, 2_000)?;
    sent.spooled()?;
    sent.kill()?;
    sent.restart()?;
    sent.says(&["holds records of an earlier run"])?;
    shared.kafka.freeze(false)?;
    sent.fail(10)?;
    sent.arrive()?;
    finish_floods(sent, 2_000)
}

/// Records in the files of a folder.
fn on_disk(dir: &Path) -> Result<usize> {
    let needle = b"\"log.record.uid\":";
    let mut records = 0;
    for entry in fs::read_dir(dir)? {
        let bytes = fs::read(entry?.path())?;
        records += bytes.windows(needle.len()).filter(|window| window == needle).count();
    }
    Ok(records)
}

#[test]
fn a_disk_that_is_full_is_told_and_what_finds_no_room_is_counted() -> Result<()> {
    let shared = Shared::get()?;
    let dir = open_dir()?;
    let disk = Disk::new(&dir.path().join("disk"), "1m")?;
    let keys =
        format!("queue_buffering_max_kbytes = 1024\n[spool]\ndir = \"{}/spool\"\n", disk.path().display());
    shared.kafka.create_topic("full", &[])?;
    let mut sent = Sent::start_on(&shared.kafka, &shared.kafka.address(), "full", open_dir()?, &keys)?;
    sent.fail(5)?;
    sent.arrive()?;
    shared.kafka.freeze(true)?;
    flood(5, 20_000)?;
    sent.says(&["cannot be written"])?;
    shared.kafka.freeze(false)?;
    sent.says(&["is written again"])?;
    sent.fail(5)?;
    sent.reader = shared.kafka.read("full")?;
    let (ledger, _) = finish_counting(sent, 1000)?;
    ensure!(ledger.of_sink("kafka", "lost_queue")? > 0, "everything found room: {ledger:?}");
    ensure!(ledger.of_sink("kafka", "lost_spool")? == 0, "{ledger:?}");
    Ok(())
}

#[test]
fn past_the_bound_of_the_spool_the_oldest_go_and_are_counted() -> Result<()> {
    let shared = Shared::get()?;
    let keys = "queue_buffering_max_kbytes = 256\n[spool]\nmax_bytes = 4194304\n";
    let mut sent = shared.direct("bounded", keys)?;
    shared.kafka.freeze(true)?;
    flood(5, 10_000)?;
    sent.says(&["the spool in", "is full, and the oldest go"])?;
    sent.spooled()?;
    shared.kafka.freeze(false)?;
    let (ledger, _) = finish_counting(sent, 1000)?;
    ensure!(ledger.of_sink("kafka", "lost_spool")? > 0, "{ledger:?}");
    ensure!(ledger.of_sink("kafka", "lost_queue")? == 0, "{ledger:?}");
    Ok(())
}

#[test]
fn memory_stays_within_its_bound_while_the_broker_stands_still() -> Result<()> {
    let shared = Shared::get()?;
    // They have some 2.5 KB each.
    let mut sent = shared.direct("bound", "[spool]\nmax_bytes = 1073741824\n")?;
    shared.kafka.freeze(true)?;
    flood(10, 200_000)?;
    sent.spooled()?;
    let pid = sent.daemon.pid();
    let peak = memory::kib(pid, "VmHWM")?;
    shared.kafka.freeze(false)?;
    let (ledger, _) = finish_counting(sent, 100_000)?;
    eprintln!("at most {peak} KiB resident");
    ensure!(peak < 64 * 1024, "{peak} KiB resident");
    for hop in ["lost_queue", "lost_spool", "lost_delivery", "kept"] {
        ensure!(ledger.of_sink("kafka", hop)? == 0, "{ledger:?}");
    }
    Ok(())
}

/// Records that tell of losses are among the oldest there as well; these stand for no event themselves.
const SMALL_SPOOL: &str = "spool.max_bytes=4194304";

/// Kills daemons in the middle of a flood that goes to Kafka and to a file, with the broker away for a while; each of both
/// streams tells of all calls, as `check` has it for the topic.
fn kill_in_a_flood(
    name: &str,
    more: &[&str],
    (pace, calls): (u64, u64),
    check: fn(&Told, u64) -> Result<()>,
) -> Result<()> {
    let shared = Shared::get()?;
    shared.kafka.create_topic(name, &[])?;
    let mut reader = shared.kafka.read(name)?;
    let (dir, pins) = (open_dir()?, PinDir::new()?);
    let (config, events) = (dir.path().join("gala-gopher.conf"), dir.path().join("events"));
    fs::write(&config, file_config(&events, ONLY_ALONE))?;
    let (topic, broker) = (format!("event.kafka_topic={name}"), shared.kafka.address());
    let (pins, broker) = (pins.setting(), format!("kafka.kafka_broker={broker}"));
    let own = ["event.out_channel=[\"kafka\", \"logs\"]", &topic, &pins, &broker, "probes.event.interval=1"];
    let keys = [&NO_OTHERS[..], &own, more].concat();
    let (mut follower, mut in_file, mut in_topic) =
        (Follower::new(&events), Told::new("logs"), Told::new("kafka"));
    let mut daemon = Daemon::start_with(&config, &keys)?;
    let mut floods =
        (0..2).map(|_| Flood::of(Pace::PerMillisecond(pace), calls, &ALONE)).collect::<Result<Vec<_>>>()?;
    let pids: Vec<i32> = floods.iter().map(Flood::pid).collect();
    let mut poll = |in_file: &mut Told, in_topic: &mut Told| -> Result<()> {
        in_file.follow(&mut follower, &pids)?;
        reader.poll_lines(|line| in_topic.take(line, &pids))
    };
    for time in 0..5_u64 {
        shared.kafka.freeze(time == 2)?;
        let before = in_file.occurrences;
        wait::until("records, or the end of the floods", PATIENCE, || {
            poll(&mut in_file, &mut in_topic)?;
            Ok((in_file.occurrences > before || Flood::all_ended(&mut floods)?).then_some(()))
        })?;
        sleep(Duration::from_millis(time * 379 % 1000));
        daemon.crash()?;
        daemon = Daemon::start_with(&config, &keys)?;
    }
    shared.kafka.freeze(false)?;
    wait::until("the end of the floods", PATIENCE, || {
        poll(&mut in_file, &mut in_topic)?;
        Ok(Flood::all_ended(&mut floods)?.then_some(()))
    })?;
    let calls = floods.iter().map(Flood::calls).sum();
    // What a stopping daemon has no time for stays in the spool; so it stops when it has nothing more to send.
    let mut before = u64::MAX;
    wait::until("the last record", PATIENCE, || {
        poll(&mut in_file, &mut in_topic)?;
        let told = in_topic.occurrences + in_topic.lost();
        let quiet = told == std::mem::replace(&mut before, told);
        sleep(Duration::from_millis(1500));
        Ok(quiet.then_some(()))
    })?;
    let ended = daemon.stop()?;
    ensure!(ended.code == Some(0), "the daemon ended with {:?}", ended.code);
    let ledger = ended.ledger()?;
    ledger.check()?;
    ensure!(ledger.of_sink("kafka", "kept")? == 0, "{ledger:?}");
    wait::until("all records", PATIENCE, || {
        poll(&mut in_file, &mut in_topic)?;
        Ok((in_topic.occurrences + in_topic.lost() >= calls).then_some(()))
    })?;
    in_file.check(calls)?;
    in_topic.own = if more.contains(&SMALL_SPOOL) { 100 } else { 0 };
    check(&in_topic, calls)
}

#[test]
fn each_call_is_told_or_lost_where_daemons_are_killed_and_nothing_is_folded() -> Result<()> {
    kill_in_a_flood("unfolded", &["event.fold=off"], (3, 45_000), Told::check)
}

#[test]
fn each_call_is_told_or_lost_where_daemons_are_killed_and_repeats_are_folded() -> Result<()> {
    kill_in_a_flood("folded", &["event.fold_entries=16"], (20, 300_000), Told::check)
}

#[test]
fn each_call_is_told_or_lost_where_daemons_are_killed_whose_spool_is_full() -> Result<()> {
    let small = ["event.fold=off", SMALL_SPOOL, "kafka.queue_buffering_max_kbytes=1024"];
    kill_in_a_flood("full-killed", &small, (3, 45_000), Told::check)
}

/// What Kafka has and has not acknowledged yet is in nobody's account here, and told as lost.
#[test]
fn each_call_is_told_or_lost_where_daemons_are_killed_whose_disk_is_full() -> Result<()> {
    let dir = open_dir()?;
    let disk = Disk::new(&dir.path().join("disk"), "2m")?;
    let spool = format!("spool.dir={}/spool", disk.path().display());
    let small = ["event.fold=off", &spool, "kafka.queue_buffering_max_kbytes=1024"];
    kill_in_a_flood("disk-killed", &small, (3, 45_000), Told::check_at_least)
}

/// The same here.
#[test]
fn each_call_is_told_or_lost_where_daemons_are_killed_that_spool_in_an_outage_only() -> Result<()> {
    let outage = ["event.fold_entries=16", "spool.mode=outage"];
    kill_in_a_flood("outage", &outage, (20, 300_000), Told::check_at_least)
}
