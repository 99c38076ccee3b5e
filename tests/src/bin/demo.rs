//! The first look at the daemon: in come its binary and a configuration, out comes what it makes of real
//! failures, read back from a Kafka broker that runs inside this process.
//!
//! It ends with 0 only when every failure that it made has come back and the daemon counted no loss.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tests::daemon::Daemon;
use tests::ledger::Ledger;
use tests::record::Record;

#[path = "demo/operation.rs"]
mod operation;
#[path = "demo/print.rs"]
mod print;

use operation::{Operation, operations};
use print::Printer;

const TOPIC: &str = "gala-gopher-event";
/// How long the daemon may take to start, and a record to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes things fail on this host, and shows what probe-daemon makes of it in Kafka.
#[derive(Parser)]
struct Cli {
    /// The probe-daemon to run.
    #[arg(long)]
    daemon: PathBuf,
    /// Its configuration.
    #[arg(long)]
    config: PathBuf,
    /// Go on until Ctrl-C, and print every failure of this host as it happens.
    #[arg(long)]
    keep: bool,
}

/// Set by Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new();
    match demo(&cli, &printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            printer.failed(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn demo(cli: &Cli, printer: &Printer) -> Result<()> {
    catch_signals();
    printer.step("Starting a Kafka broker inside this process");
    let broker = MockCluster::new(1).context("the broker does not start")?;
    broker.create_topic(TOPIC, 1, 1).context("the broker refuses the topic")?;
    let address = broker.bootstrap_servers();
    printer.done(&format!("{address}, topic {TOPIC}"));

    printer.step(&format!("Starting probe-daemon with {}", cli.config.display()));
    let begun = Instant::now();
    let state = tempfile::tempdir()?;
    let mut daemon = start(cli, &address, state.path())?;
    let shown = show_log_on_failure(&mut daemon, |daemon| daemon.wait_for_log("capturing", PATIENCE));
    shown.context("the daemon does not start")?;
    printer.done(&format!("it captures, {:.1} s later, as process {}", seconds(begun), daemon.pid()));

    printer.step("Making things fail");
    let dir = tempfile::Builder::new().prefix("demo-").tempdir()?;
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
    let mut operations = operations(dir.path())?;
    for operation in &mut operations {
        operation.run()?;
        printer.operation(operation);
    }

    printer.step("Reading the records back from Kafka");
    let consumer = consumer(&address)?;
    let shown = show_log_on_failure(&mut daemon, |_| collect(&consumer, &mut operations, printer));
    let others = shown?;
    if cli.keep {
        printer.step("Going on with everything that fails on this host; Ctrl-C ends it");
        follow(&consumer, printer)?;
    }

    printer.step("Stopping probe-daemon");
    let ended = daemon.stop()?;
    ensure!(ended.code == Some(0), "the daemon ended with {:?}:\n{}", ended.code, ended.log);
    let ledger = ended.ledger()?;
    ledger.check()?;
    printer.done("cleanly, and its ledger adds up");
    summary(&operations, others, &ledger, printer)
}

/// Starts the daemon in a process group of its own, so that Ctrl-C reaches it only through this process.
fn start(cli: &Cli, address: &str, state: &Path) -> Result<Daemon> {
    let daemon = std::fs::canonicalize(&cli.daemon)
        .with_context(|| format!("there is no daemon at {}", cli.daemon.display()))?;
    let mut command = Command::new(daemon);
    command.arg("--config").arg(&cli.config);
    for setting in [
        &format!("kafka.kafka_broker={address}"),
        "event.out_channel=kafka",
        // It leaves nothing on the disk.
        "spool.mode=off",
        &format!("event.kafka_topic={TOPIC}"),
        "probes.event.switch=on",
        &format!("event.state_dir={}", state.display()),
    ] {
        command.args(["--set", setting]);
    }
    let mut daemon = Daemon::spawn(command.stdout(Stdio::null()).process_group(0))?;
    daemon.shows_log = false;
    Ok(daemon)
}

fn show_log_on_failure<T>(daemon: &mut Daemon, act: impl FnOnce(&mut Daemon) -> Result<T>) -> Result<T> {
    let result = act(daemon);
    if result.is_err() {
        eprint!("\n{}", daemon.log());
    }
    result
}

/// A consumer at the beginning of the topic.
fn consumer(address: &str) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", "demo")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(TOPIC, 0, Offset::Beginning)?;
    consumer.assign(&partitions)?;
    Ok(consumer)
}

/// The next record, if one comes within a moment.
fn next(consumer: &BaseConsumer) -> Result<Option<Record>> {
    let message = match consumer.poll(Duration::from_millis(100)) {
        None => return Ok(None),
        Some(message) => message.context("Kafka does not answer")?,
    };
    let value = message.payload().context("a message without a value")?;
    Record::parse(value).map(Some)
}

/// Reads until every operation has its record, and returns how many records were about others.
fn collect(consumer: &BaseConsumer, operations: &mut [Operation], printer: &Printer) -> Result<usize> {
    let begun = Instant::now();
    let mut others = 0;
    while operations.iter().any(|operation| !operation.received) {
        if INTERRUPTED.load(SeqCst) {
            bail!("interrupted");
        }
        if begun.elapsed() > PATIENCE {
            // The summary says which are missing.
            break;
        }
        let Some(record) = next(consumer)? else { continue };
        match operations.iter_mut().find(|operation| !operation.received && operation.is_about(&record)) {
            Some(operation) => {
                operation.received = true;
                printer.record(&record);
            }
            None => others += 1,
        }
    }
    Ok(others)
}

fn follow(consumer: &BaseConsumer, printer: &Printer) -> Result<()> {
    while !INTERRUPTED.load(SeqCst) {
        if let Some(record) = next(consumer)? {
            printer.record(&record);
        }
    }
    Ok(())
}

fn summary(operations: &[Operation], others: usize, ledger: &Ledger, printer: &Printer) -> Result<()> {
    let made = operations.len();
    let received = operations.iter().filter(|operation| operation.received).count();
    let lost = ledger.lost();
    printer.summary(&[
        ("failures made", made.to_string()),
        ("records received for them", received.to_string()),
        ("records about the rest of this host meanwhile", others.to_string()),
        ("records delivered to Kafka in all", ledger.of_sink("kafka", "delivered")?.to_string()),
        ("losses, from the kernel to Kafka", lost.to_string()),
    ]);
    for operation in operations.iter().filter(|operation| !operation.received) {
        printer.failed(&format!("no record came for: {}", operation.typed));
    }
    ensure!(received == made && lost == 0, "not everything arrived");
    Ok(())
}

/// Lets Ctrl-C and SIGTERM end the demo where it can stop the daemon first.
fn catch_signals() {
    extern "C" fn interrupt(_: libc::c_int) {
        INTERRUPTED.store(true, SeqCst);
    }
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which a signal handler may do.
        unsafe { libc::signal(signal, interrupt as *const () as libc::sighandler_t) };
    }
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
