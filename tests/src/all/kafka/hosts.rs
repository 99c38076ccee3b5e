//! A fleet on one topic: in come replays of one file, each as another host; out comes whether each host's records are
//! whole, in order and in the partition where Java's own producer would put them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::daemon::{Daemon, binary, open_dir};
use tests::kafka::secured::Secured;
use tests::kafka::{PlaceReader, Placed};
use tests::wait::{self, PATIENCE};

const HOSTS: usize = 24;
const PARTITIONS: i32 = 6;
/// Lines of the file; the process ids in them say in which order they are.
const LINES: u32 = 300;
const FIRST: u32 = 1000;

/// A refusal, which the built-in rules report.
fn event(pid: u32) -> Value {
    json!({
        "syscall": {"nr": 257, "name": "sys_openat", "class": "file", "group": "file"},
        "pid": pid, "tid": pid, "container_pid": 7, "uid": 1000, "gid": 1000, "comm": "cat",
        "session": 4000, "container": null, "error": "EACCES", "return": -13, "pid_ns": 1, "uts_ns": 2,
        "mount_ns": 3, "start": 5_000_000_000_u64, "finish": 5_000_000_000_u64,
        "args": {"dir_fd": "AT_FDCWD", "pathname": "/etc/shadow", "flags": ["O_RDONLY"]},
    })
}

/// Writes a file in which events and records of events take turns.
fn store(path: &Path) -> Result<()> {
    let events: Vec<String> = (FIRST..FIRST + LINES).map(|pid| event(pid).to_string()).collect();
    fs::write(path, events.join("\n"))?;
    let output = Command::new(binary()?).arg("replay").arg(path).output()?;
    ensure!(output.status.success(), "{output:?}");
    let records = String::from_utf8(output.stdout)?;
    let both = events.iter().map(String::as_str).zip(records.lines()).enumerate();
    let lines: Vec<&str> = both.map(|(i, (event, record))| if i % 2 == 0 { event } else { record }).collect();
    ensure!(lines.len() == events.len(), "{} of {LINES} events became records", lines.len());
    Ok(fs::write(path, lines.join("\n"))?)
}

/// The 32-bit hash of Kafka's Java client (MurmurHash2 with its own seed), of which its partitioner takes 31 bits.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word = (word ^ word >> 24).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

fn partition(key: &str) -> i32 {
    (murmur2(key.as_bytes()) & 0x7fff_ffff) as i32 % PARTITIONS
}

/// One host's records: complete, in one partition, in order, numbered without a gap.
fn check(host: &str, records: &[&Placed]) -> Result<()> {
    ensure!(records.len() == LINES as usize, "{} records", records.len());
    let mut before = String::new();
    for ((placed, pid), sequence) in records.iter().zip(FIRST..).zip(1..) {
        let record = &placed.record;
        ensure!(placed.partition == partition(host), "in partition {}", placed.partition);
        ensure!(record.top("Resource")["host.id"] == *host, "{record:?}");
        ensure!(record.top("Resource")["host.hostname"] == format!("node-{host}"), "{record:?}");
        ensure!(record.pid() == i64::from(pid), "process {} where {pid} should be", record.pid());
        let number = record.attribute("gala_gopher.sequence");
        ensure!(*number == sequence, "number {number} where {sequence} should be");
        let id = record.attribute("log.record.uid").as_str().context("no log.record.uid")?;
        ensure!(*id > *before, "{id} comes after {before}");
        before = id.to_owned();
    }
    Ok(())
}

fn read_all(reader: &mut PlaceReader) -> Result<()> {
    wait::until("the records of all hosts", PATIENCE, || {
        reader.poll()?;
        Ok((reader.placed.len() >= HOSTS * LINES as usize).then_some(()))
    })
}

#[test]
fn the_partitioner_of_java() {
    // What Java's client makes of these.
    for (key, hash) in [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("abc", 479_470_107),
    ] {
        assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
    }
}

#[test]
fn a_fleet_of_24_hosts_shares_a_topic() -> Result<()> {
    let kafka = &Secured::get()?.kafka;
    kafka.create_topic_of("fleet", PARTITIONS, &[])?;
    let dir = open_dir()?;
    let (stored, config) = (dir.path().join("gopher_event"), dir.path().join("gala-gopher.conf"));
    store(&stored)?;
    let state = dir.path().join("state");
    let text = format!(
        "[[probes]]\nname = \"event\"\n[event]\nout_channel = \"kafka\"\nkafka_topic = \"fleet\"\n\
         state_dir = {state:?}\n[kafka]\nkafka_broker = \"{}\"\n",
        kafka.address()
    );
    fs::write(&config, text)?;
    let hosts: Vec<String> = (0..HOSTS).map(|number| format!("{number:032x}")).collect();
    let mut daemons = Vec::new();
    for host in &hosts {
        let mut command = Command::new(binary()?);
        command.arg("replay").arg(&stored).arg("--config").arg(&config).stdout(Stdio::null());
        command.args(["--host-id", host, "--host-name", &format!("node-{host}")]);
        daemons.push(Daemon::spawn(&mut command)?);
    }
    for daemon in daemons {
        let ended = daemon.ended()?;
        ensure!(ended.code == Some(0), "a replay ended with {:?}: {}", ended.code, ended.log);
        let told = format!("{LINES} records, 0 events dropped by rules, 0 bad lines, 0 events lost");
        ensure!(ended.log.contains(&told), "{}", ended.log);
        let ledger = ended.ledger()?;
        ledger.check_sinks()?;
        let delivered = ledger.of_sink("kafka", "delivered_events")?;
        ensure!(ledger.lost() == 0 && delivered == u64::from(LINES), "{ledger:?}");
    }
    // A spool is a running daemon's, of which there may be one on the host where this is replayed.
    ensure!(!state.exists(), "a replay has made {}", state.display());

    let mut reader = kafka.read_places("fleet", PARTITIONS)?;
    read_all(&mut reader)?;
    // Whatever there is twice would come now.
    reader.poll()?;
    let mut by_host: BTreeMap<&str, Vec<&Placed>> = BTreeMap::new();
    for placed in &reader.placed {
        by_host.entry(&placed.key).or_default().push(placed);
    }
    ensure!(by_host.keys().eq(hosts.iter()), "keys: {:?}", by_host.keys());
    for (host, records) in &by_host {
        check(host, records).with_context(|| format!("host {host}"))?;
    }
    let used: BTreeSet<i32> = reader.placed.iter().map(|placed| placed.partition).collect();
    ensure!(used.len() > 2, "24 keys are in no other partitions than {used:?}");
    let unique: BTreeSet<&str> = reader
        .placed
        .iter()
        .filter_map(|placed| placed.record.attribute("log.record.uid").as_str())
        .collect();
    ensure!(unique.len() == HOSTS * LINES as usize, "{} ids", unique.len());
    Ok(())
}
