//! The whole path to a real Apache Kafka: in come failures made on purpose, out come the messages that
//! Kafka's own Java client reads.

#[path = "kafka/chaos.rs"]
mod chaos;
#[path = "kafka/faults.rs"]
mod faults;
#[path = "kafka/hosts.rs"]
mod hosts;
#[path = "kafka/refused.rs"]
mod refused;
#[path = "kafka/secured.rs"]
mod secured;
#[path = "kafka/sent.rs"]
mod sent;
#[path = "kafka/topic.rs"]
mod topic;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tests::daemon::{Daemon, open_dir};
use tests::kafka::{Consumer, Kafka, Message};
use tests::provoke::{Call, Made, World, table};
use tests::record::Record;
use tests::wait::PATIENCE;

use crate::expect::{expect, fence};

const TOPIC: &str = "gala-gopher-event";

/// A configuration whose only sink is this broker. While the broker is away everything that fails on the host
/// has room in the queue.
fn config(kafka: &Kafka) -> Result<(TempDir, PathBuf)> {
    let dir = open_dir()?;
    let path = dir.path().join("gala-gopher.conf");
    let text = format!(
        "[[probes]]\nname = \"event\"\nswitch = \"on\"\n\n[event]\nout_channel = \"kafka\"\n\n\
         [kafka]\nkafka_broker = \"{}\"\nqueue_buffering_max_messages = 1000000\n\
         queue_buffering_max_kbytes = 1000000\n",
        kafka.address()
    );
    fs::write(&path, text)?;
    Ok((dir, path))
}

/// The failures that are reported without a rule: a test of the way to Kafka need not carry every failed
/// look-up of the host.
fn failures(world: &World) -> Result<Vec<Call>> {
    let mut calls = table(world)?;
    calls.retain(|call| !["ENOENT", "ENOTDIR", "ENOTTY"].contains(&call.errno.1.as_str()));
    ensure!(calls.len() > 100, "only {} calls are left", calls.len());
    Ok(calls)
}

/// Waits until everything that has happened so far must have arrived.
fn settle(consumer: &mut Consumer) -> Result<()> {
    fence(|made, patience| {
        let needle = format!("\"process.pid\":{},", made.pid);
        consumer.wait_for("the last record", patience, |message| {
            String::from_utf8_lossy(&message.value).contains(&needle)
        })
    })
}

fn check(calls: &[Call], made: &[Made], messages: &[Message]) -> Result<()> {
    let mut records = Vec::new();
    for message in messages {
        let record = Record::parse(&message.value)?;
        envelope(message, &record).with_context(|| format!("{message:?}"))?;
        records.push(record);
    }
    let mut wrong = Vec::new();
    for (call, made) in calls.iter().zip(made) {
        let mine: Vec<&Record> =
            records.iter().filter(|record| record.pid() == i64::from(made.pid)).collect();
        match mine.as_slice() {
            [record] => wrong.extend(expect(call, made, record).err().map(|error| format!("{error:#}"))),
            mine => wrong.push(format!("{} {} has {} records", call.name, call.errno.1, mine.len())),
        }
    }
    ensure!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), calls.len(), wrong.join("\n"));
    Ok(())
}

/// Checks what a message has around its value.
fn envelope(message: &Message, record: &Record) -> Result<()> {
    let host = fs::read_to_string("/etc/machine-id")?;
    ensure!(message.key == host.trim(), "the key is {:?}", message.key);
    let event = record.top("EventName").as_str().context("no EventName")?;
    for (name, value) in [
        ("content-type", "application/json"),
        ("gg.encoding", "json"),
        ("gg.schema", "1"),
        ("gg.event", event),
    ] {
        let found: Vec<&str> =
            message.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect();
        ensure!(found == [value], "the header {name} is {found:?}");
    }
    // Kafka's own time is when the record was produced, a moment after it happened.
    let created = message.timestamp.strip_prefix("CreateTime:").context("no CreateTime")?;
    let produced: i128 = created.parse::<i128>()? * 1_000_000;
    ensure!(produced + 10_000_000 >= record.time()?, "produced at {produced}, before it happened");
    Ok(())
}

#[test]
fn every_failure_arrives_once_in_kafka() -> Result<()> {
    let world = World::new()?;
    let calls = failures(&world)?;
    let kafka = Kafka::start()?;
    let (_dir, config) = config(&kafka)?;
    let daemon = Daemon::start(&config, &[])?;
    let mut consumer = kafka.consume(TOPIC)?;
    settle(&mut consumer)?;
    let made = calls.iter().map(Call::make).collect::<Result<Vec<_>>>()?;
    settle(&mut consumer)?;
    check(&calls, &made, &consumer.messages)?;

    let ended = daemon.stop()?;
    ensure!(ended.code == Some(0), "the daemon ended with {:?}", ended.code);
    let ledger = ended.ledger()?;
    ledger.check()?;
    ensure!(ledger.lost() == 0, "something was lost: {ledger:?}");
    let delivered = ledger.of_sink("kafka", "delivered")?;
    // The last records are under way to the consumer when the daemon has ended.
    tests::wait::until("all records of the ledger", PATIENCE, || {
        consumer.poll()?;
        Ok((consumer.messages.len() as u64 >= delivered).then_some(()))
    })?;
    ensure!(consumer.messages.len() as u64 == delivered, "{} messages", consumer.messages.len());
    Ok(())
}

#[test]
fn a_broker_that_comes_late_gets_everything() -> Result<()> {
    let world = World::new()?;
    let calls: Vec<Call> = failures(&world)?.into_iter().step_by(5).collect();
    let mut kafka = Kafka::new()?;
    let (_dir, config) = config(&kafka)?;
    let mut daemon = Daemon::start(&config, &[])?;
    let made = calls.iter().map(Call::make).collect::<Result<Vec<_>>>()?;
    daemon.wait_for_log("refused", PATIENCE)?;
    ensure!(daemon.alive()?, "the daemon died without its broker");

    kafka.run()?;
    let mut consumer = kafka.consume(TOPIC)?;
    settle(&mut consumer)?;
    check(&calls, &made, &consumer.messages)?;
    let ended = daemon.stop()?;
    ensure!(ended.code == Some(0), "the daemon ended with {:?}", ended.code);
    let ledger = ended.ledger()?;
    ledger.check()?;
    ensure!(ledger.lost() == 0, "something was lost: {ledger:?}");
    Ok(())
}

#[test]
fn a_broker_that_restarts_loses_nothing() -> Result<()> {
    let world = World::new()?;
    let calls: Vec<Call> = failures(&world)?.into_iter().step_by(5).collect();
    let mut kafka = Kafka::start()?;
    let (_dir, config) = config(&kafka)?;
    let daemon = Daemon::start(&config, &[])?;
    let mut consumer = kafka.consume(TOPIC)?;
    settle(&mut consumer)?;
    kafka.stop()?;
    let made = calls.iter().map(Call::make).collect::<Result<Vec<_>>>()?;
    kafka.run()?;
    settle(&mut consumer)?;
    check(&calls, &made, &consumer.messages)?;
    let ended = daemon.stop()?;
    ensure!(ended.code == Some(0), "the daemon ended with {:?}", ended.code);
    ended.ledger()?.check()
}
