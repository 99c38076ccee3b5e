//! What lies behind the ring: in comes a real broker, out come records a second from ring to acknowledgement beside
//! librdkafka alone, the way from a failing call into the broker's log, and a flood of which each call is a record.
//!
//! Everything shares this machine's CPUs: the broker, the daemon and whoever calls. So rates are only worth what they
//! are beside one another. The daemon and librdkafka take turns with the same records: the daemon is given more failing
//! calls than it can take, which costs whoever makes them a few percent of a CPU, and what the broker acknowledges in that
//! time is its rate.

use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;
use tests::daemon::{Daemon, FileDaemon, open_dir};
use tests::kafka::Kafka;
use tests::ledger::Ledger;
use tests::provoke::{Flood, Pace, RARE};
use tests::record::{Record, number};
use tests::wait;

use crate::daemon::{memory, share};

const TOPIC: &str = "gala-gopher-event";
const RAW_TOPIC: &str = "raw";
/// Milliseconds that librdkafka waits for more records, here and in the daemon.
const LINGER: u32 = 50;
/// A watermark is asked for once in this time.
const TICK: Duration = Duration::from_millis(2);
/// What a turn runs before it counts.
const RAMP: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(120);

/// What is measured, and for how long.
#[derive(Args)]
pub struct Options {
    /// How often the daemon and librdkafka take turns; the best counts.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of one turn.
    #[arg(long, default_value_t = 4)]
    turn: u64,
    /// Failing calls in each millisecond of a turn of the daemon: more than it can take.
    #[arg(long, default_value_t = 150)]
    pace: u64,
    /// Seconds of 1,000 events each, whose way is timed.
    #[arg(long, default_value_t = 10)]
    steady: u64,
    /// Seconds of the flood into the file sink.
    #[arg(long, default_value_t = 5)]
    flood: u64,
}

/// One line of the table: a name, its figure, and what it should be.
type Row = [String; 3];

/// Measures and prints.
pub fn run(options: &Options) -> Result<()> {
    let mut rows = vec![["measured", "figure", "goal"].map(str::to_owned)];
    kafka(options, &mut rows)?;
    flood(options, &mut rows)?;
    println!();
    crate::report::print(&rows.into_iter().map(Vec::from).collect::<Vec<_>>());
    Ok(())
}

fn row(rows: &mut Vec<Row>, name: &str, figure: String, goal: &str) {
    rows.push([name.to_owned(), figure, goal.to_owned()]);
}

fn kafka(options: &Options, rows: &mut Vec<Row>) -> Result<()> {
    eprintln!("starting Kafka");
    let kafka = Kafka::start()?;
    for topic in [TOPIC, RAW_TOPIC] {
        kafka.create_topic(topic, &[("message.timestamp.type", "LogAppendTime")])?;
    }
    let dir = open_dir()?;
    let config = dir.path().join("gala-gopher.conf");
    fs::write(
        &config,
        format!(
            "[[probes]]\nname = \"event\"\nswitch = \"on\"\n\n[event]\nout_channel = \"kafka\"\nfold = \"off\"\n\n\
             [kafka]\nkafka_broker = \"{}\"\nqueue_buffering_max_ms = {LINGER}\n",
            kafka.address()
        ),
    )?;
    let mut daemon = Daemon::start(&config, &[])?;
    daemon.shows_log = false;
    let reader = reader(&kafka, TOPIC)?;

    eprintln!("{} turns of {} s each", options.rounds, options.turn);
    let mut best = Best::default();
    let producer = producer(&kafka)?;
    let turn = Duration::from_secs(options.turn);
    for round in 0..=options.rounds {
        let samples = turn_of_daemon(&daemon, &reader, turn, options.pace, &mut best)?;
        turn_of_librdkafka(&kafka, &producer, &samples, turn, &mut best)?;
        if round == 0 {
            // The first turn of each finds everything cold.
            best = Best { bytes: best.bytes, ..Best::default() };
        }
    }
    let Best { daemon: own, raw, .. } = best;
    row(rows, "bytes of a record", format!("{:.0}", best.bytes), "");
    row(rows, "librdkafka alone, records/s", format!("{raw:.0}"), "");
    row(rows, "ring to acknowledgement, records/s", format!("{own:.0}"), "");
    row(rows, "of librdkafka alone", format!("{:.0} %", 100.0 * own / raw), "≥ 60 %");
    row(rows, "daemon's CPU time for one record", format!("{:.1} µs", best.cpu * 1e6), "");
    let peak = memory(daemon.pid(), "VmHWM:")?;
    row(rows, "memory at most", format!("{peak:.1} MiB"), "< 64 MiB");

    eprintln!("1,000 events a second for {} s", options.steady);
    let steady = steady(&daemon, &reader, options.steady)?;
    let (p50, p99) = steady.delay;
    row(rows, "call to broker's log, median", format!("{p50:.0} ms"), "");
    let goal = format!("< {} ms", 50 + LINGER);
    row(rows, "call to broker's log, 99 of 100", format!("{p99:.0} ms"), &goal);
    row(rows, "CPU at 1,000 events/s", format!("{:.1} %", 100.0 * steady.cpu), "");
    daemon.stop()?.ledger()?.check()
}

/// The best of all rounds.
struct Best {
    /// Records a second.
    daemon: f64,
    raw: f64,
    /// Seconds of the daemon for one record.
    cpu: f64,
    /// Mean size of a record.
    bytes: f64,
}

impl Default for Best {
    fn default() -> Self {
        Self { daemon: 0.0, raw: 0.0, cpu: f64::MAX, bytes: 0.0 }
    }
}

/// The daemon is given more than it can take. Returns some of its records.
fn turn_of_daemon(
    daemon: &Daemon,
    reader: &BaseConsumer,
    turn: Duration,
    pace: u64,
    best: &mut Best,
) -> Result<Vec<Vec<u8>>> {
    let flood = Flood::of(Pace::PerMillisecond(pace), u64::MAX, &RARE)?;
    // Every queue on the way is filled first.
    thread::sleep(RAMP);
    let (start, before) = (Instant::now(), end(reader, TOPIC)?);
    let share = share(daemon.pid(), || {
        thread::sleep(turn);
        Ok(())
    })?;
    let (records, took) = ((end(reader, TOPIC)? - before) as f64, start.elapsed().as_secs_f64());
    drop(flood);
    best.daemon = best.daemon.max(records / took);
    best.cpu = best.cpu.min(share * took / records);
    let mut samples = Vec::new();
    assign(reader, TOPIC, before)?;
    while samples.len() < 1000 {
        let message = reader.poll(Duration::from_secs(5)).context("no record comes")??;
        samples.push(message.payload().unwrap_or_default().to_vec());
    }
    settle(reader)?;
    best.bytes = samples.iter().map(Vec::len).sum::<usize>() as f64 / samples.len() as f64;
    Ok(samples)
}

/// Waits until nothing more arrives.
fn settle(reader: &BaseConsumer) -> Result<()> {
    let mut last = (end(reader, TOPIC)?, Instant::now());
    wait::until("the last record", PATIENCE, || {
        let now = end(reader, TOPIC)?;
        if now - last.0 > 100 {
            last = (now, Instant::now());
        }
        Ok((last.1.elapsed() > Duration::from_secs(1)).then_some(()))
    })
}

/// librdkafka is given the same, made already.
fn turn_of_librdkafka(
    kafka: &Kafka,
    producer: &BaseProducer,
    samples: &[Vec<u8>],
    turn: Duration,
    best: &mut Best,
) -> Result<()> {
    let reader = reader(kafka, RAW_TOPIC)?;
    let mut measured = None;
    let start = Instant::now();
    for payload in samples.iter().cycle() {
        if measured.is_none() && start.elapsed() > RAMP {
            measured = Some((Instant::now(), end(&reader, RAW_TOPIC)?));
        }
        if start.elapsed() > RAMP + turn {
            break;
        }
        let header = |key, value| Header { key, value: Some(value) };
        let headers = OwnedHeaders::new()
            .insert(header("content-type", "application/json"))
            .insert(header("gg.encoding", "json"))
            .insert(header("gg.schema", "1"))
            .insert(header("gg.event", "gala_gopher.syscall.failure"));
        let mut record = BaseRecord::to(RAW_TOPIC).key("host").payload(payload).headers(headers);
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
    let (since, before) = measured.context("the turn is too short")?;
    let records = (end(&reader, RAW_TOPIC)? - before) as f64;
    best.raw = best.raw.max(records / since.elapsed().as_secs_f64());
    producer.flush(PATIENCE)?;
    Ok(())
}

fn producer(kafka: &Kafka) -> Result<BaseProducer> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.address())
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", LINGER.to_string())
        .set("compression.type", "zstd")
        .create()?;
    producer.client().fetch_metadata(Some(RAW_TOPIC), Duration::from_secs(10))?;
    Ok(producer)
}

/// Events at a steady pace.
struct Steady {
    /// Milliseconds from the call into the broker's log: of half of them, and of 99 of 100.
    delay: (f64, f64),
    /// Share of one CPU.
    cpu: f64,
}

fn steady(daemon: &Daemon, reader: &BaseConsumer, seconds: u64) -> Result<Steady> {
    let before = end(reader, TOPIC)?;
    let calls = seconds * 1000;
    let mut flood = Flood::of(Pace::PerMillisecond(1), calls, &RARE)?;
    let cpu = share(daemon.pid(), || {
        wait::until("the end of the calls", PATIENCE, || Ok(flood.ended()?.then_some(())))
    })?;
    until(reader, TOPIC, before + calls.cast_signed())?;
    assign(reader, TOPIC, before)?;
    let mut delays = Vec::new();
    while (delays.len() as u64) < calls {
        let message = reader.poll(Duration::from_secs(5)).context("no record comes")??;
        let record = Record::parse(message.payload().unwrap_or_default())?;
        if record.pid() == i64::from(flood.pid()) {
            let appended = message.timestamp().to_millis().context("no time of the broker")?;
            delays.push(appended as f64 - record.time()? as f64 / 1e6);
        }
    }
    delays.sort_by(f64::total_cmp);
    let of = |share: f64| delays[(delays.len() as f64 * share) as usize];
    Ok(Steady { delay: (of(0.5), of(0.99)), cpu })
}

/// 500,000 failing calls a second, none folded, into a file.
fn flood(options: &Options, rows: &mut Vec<Row>) -> Result<()> {
    eprintln!("500,000 calls a second into a file for {} s", options.flood);
    let mut probe =
        FileDaemon::start_with("", &["event.fold=off", "logs.max_size_mb=2000", "logs.event_total_size=0"])?;
    probe.daemon.shows_log = false;
    let pid = probe.daemon.pid();
    let start = || Flood::of(Pace::PerMillisecond(250), options.flood * 250_000, &RARE);
    let mut floods = [start()?, start()?];
    let begun = Instant::now();
    let mut told = Told::default();
    let mut made = 0.0;
    let share = share(pid, || {
        wait::until("the end of the flood", PATIENCE, || {
            told.count(&mut probe)?;
            let ended = floods.iter_mut().map(Flood::ended).collect::<Result<Vec<_>>>()?;
            Ok(ended.into_iter().all(|ended| ended).then_some(()))
        })?;
        made = begun.elapsed().as_secs_f64();
        Ok(())
    })?;
    let peak = memory(pid, "VmHWM:")?;
    probe.daemon.signal(Signal::TERM)?;
    wait::until("the end of the daemon", PATIENCE, || {
        told.count(&mut probe)?;
        Ok((!probe.daemon.alive()?).then_some(()))
    })?;
    told.count(&mut probe)?;
    let ledger: Ledger = probe.daemon.ended()?.ledger()?;
    ledger.check()?;
    let calls: u64 = floods.iter().map(Flood::calls).sum();
    let matched = ledger.of("matched")?;
    let (records, lost) = (ledger.of_sink("logs", "delivered_events")?, ledger.lost());
    row(rows, "flood: calls a second", format!("{:.0}", calls as f64 / made), "500000");
    row(
        rows,
        "flood: events of which each is a record",
        format!("{:.1} %", percent(records, matched)),
        "100 %",
    );
    row(rows, "flood: events counted as lost", format!("{:.1} %", percent(lost, matched)), "the rest");
    let difference = matched.cast_signed() - (told.occurrences + told.lost).cast_signed();
    row(rows, "flood: matched − in the stream", difference.to_string(), "0");
    if difference != 0 {
        eprintln!("in the stream: {} told and {} lost; {ledger:?}", told.occurrences, told.lost);
    }
    row(rows, "flood: CPU of the daemon", format!("{:.0} %", 100.0 * share), "≤ 100 %");
    row(rows, "flood: memory at most", format!("{peak:.1} MiB"), "< 64 MiB");
    Ok(())
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// What the stream tells.
#[derive(Default)]
struct Told {
    occurrences: u64,
    lost: u64,
}

impl Told {
    fn count(&mut self, probe: &mut FileDaemon) -> Result<()> {
        probe.events.lines(|line| {
            let text = String::from_utf8_lossy(line);
            let number = |key: &str| number(&text, key);
            self.occurrences += number("gala_gopher.occurrences").unwrap_or_default();
            self.lost += number("gala_gopher.lost.count").unwrap_or_default();
        })
    }
}

fn reader(kafka: &Kafka, topic: &str) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.address())
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .create()?;
    assign(&consumer, topic, end(&consumer, topic)?)?;
    Ok(consumer)
}

fn assign(reader: &BaseConsumer, topic: &str, offset: i64) -> Result<()> {
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Offset(offset))?;
    Ok(reader.assign(&partitions)?)
}

/// The offset of the next record.
fn end(reader: &BaseConsumer, topic: &str) -> Result<i64> {
    Ok(reader.fetch_watermarks(topic, 0, Duration::from_secs(10))?.1)
}

fn until(reader: &BaseConsumer, topic: &str, offset: i64) -> Result<()> {
    let start = Instant::now();
    while end(reader, topic)? < offset {
        ensure!(start.elapsed() < PATIENCE, "records do not arrive: {} of {offset}", end(reader, topic)?);
        thread::sleep(TICK);
    }
    Ok(())
}
