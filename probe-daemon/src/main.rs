//! The command line. In: arguments. Out: an exit code of sysexits.h, and sentences on stderr.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use probe_daemon::{
    catalogue::Catalogue,
    clock::Clock,
    config::{Config, ConfigError, ConfigErrors, LogLevel, Switch},
    filter::Filters,
    policy::Policy,
    replay,
    run::{self, StartError},
    sink::kafka,
    source::kernel::{KernelError, Pins},
};
use tokio::runtime::Runtime;
use tracing::{error, info, warn};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// The heap, librdkafka's too. A record is made by one thread and freed by another, for which the C library's heap takes turns
/// with locks and keeps what threads have freed; `.cargo/config.toml` says how soon this one gives memory back.
#[global_allocator]
static HEAP: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// EX_CONFIG of sysexits.h: the configuration is not valid.
const CONFIG: u8 = 78;
/// EX_NOPERM: a privilege is missing.
const PRIVILEGE: u8 = 77;
/// EX_UNAVAILABLE: the kernel lacks something.
const UNAVAILABLE: u8 = 69;
/// EX_TEMPFAIL: another daemon captures already.
const BUSY: u8 = 75;
/// EX_DATAERR: a line of a replay is no event.
const BAD_DATA: u8 = 65;
/// EX_NOINPUT: there is nothing to replay.
const NO_INPUT: u8 = 66;
/// EX_IOERR: not all that was replayed got where it should.
const LOST: u8 = 74;
/// EX_SOFTWARE: anything else.
const SOFTWARE: u8 = 70;

/// Sees where something goes wrong on this host, and delivers each as one OpenTelemetry log record.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 clean stop after SIGTERM or SIGINT, 78 configuration not valid, 77 privilege missing, \
                  69 kernel lacks something, \
                  75 another daemon runs already, 70 other failure.\n\
                  Logs go to stderr; RUST_LOG, where it is set, overrides global.log_level."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    source: Option<Source>,
}

#[derive(Subcommand)]
enum Command {
    /// Check a configuration and print what it means: defaults filled in, rules resolved. Nothing is started.
    Check(Source),
    /// Make records of stored events again: of trace events and full events as JSON, and of records as the file channel
    /// wrote them, one a line. No kernel is asked and no privilege needed.
    #[command(
        after_help = "Exit codes: 0 all lines were replayed, 65 some are no events, 66 the file cannot be read, \
                            74 records were lost or the replay was interrupted, 78 configuration not valid, 70 other \
                            failure."
    )]
    Replay(Replay),
}

#[derive(Args)]
struct Replay {
    /// The file of events; - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where records go, and the rules that may drop events. Left out: all go to standard output.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one key, such as event.out_channel=kafka. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The form of a record in all channels: json, gala, otlp_json, otlp_proto, text, color.
    #[arg(long)]
    encoding: Option<String>,
    /// The host that records are said to be of, by its machine id; a record gets a new log.record.uid then.
    #[arg(long, value_name = "ID")]
    host_id: Option<String>,
    /// The same, by its name.
    #[arg(long, value_name = "NAME")]
    host_name: Option<String>,
    /// When the host of trace events and full events was started, such as 2026-11-20T18:00:00Z. Left out: as this host.
    #[arg(long, value_name = "TIME")]
    boot_time: Option<jiff::Timestamp>,
}

#[derive(Args)]
struct Source {
    /// The configuration: TOML, or the libconfig syntax of gala-gopher's own file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Override one key, such as event.out_channel=stdout or kafka.kafka_broker=10.0.0.5:9092. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match (cli.command, cli.source) {
        (Some(Command::Check(source)), _) => check(&source),
        (Some(Command::Replay(replay)), _) => self::replay(replay),
        (None, Some(source)) => daemon(&source),
        (None, None) => {
            eprintln!("probe-daemon: --config FILE is missing; --help explains");
            ExitCode::from(64)
        }
    }
}

/// Reads the configuration and resolves its rules: all that is wrong is said at once.
fn load(source: &Source) -> Result<(Config, Policy, Catalogue, Filters), ConfigErrors> {
    resolve(|further| Config::load(&source.config, &source.set, further))
}

/// The same of what `read` reads; it calls what it is given to find out what else is wrong.
fn resolve(
    read: impl FnOnce(&mut dyn FnMut(&Config) -> Vec<ConfigError>) -> Result<Config, ConfigErrors>,
) -> Result<(Config, Policy, Catalogue, Filters), ConfigErrors> {
    let mut policy = Policy::built_in();
    let mut catalogue = Catalogue::default();
    let mut filters = Filters::default();
    let config = read(&mut |config| {
        let mut errors = Vec::new();
        match Policy::resolve(&config.event) {
            Ok(resolved) => policy = resolved,
            Err(found) => errors = found,
        }
        errors.extend(config.check_encodings());
        match Catalogue::load(config.event.catalogue.as_deref()) {
            Ok(loaded) => {
                catalogue = loaded;
                match Filters::load(config, &catalogue) {
                    Ok(loaded) => filters = loaded,
                    Err(found) => errors.extend(found),
                }
            }
            Err(found) => errors.extend(found),
        }
        errors.extend(kafka::check(config).err());
        errors
    })?;
    Ok((config, policy, catalogue, filters))
}

fn check(source: &Source) -> ExitCode {
    match load(source) {
        Ok((config, policy, ..)) => {
            print!("{}\n{}", config.render(), policy.describe());
            for name in &config.foreign {
                println!("# not for this probe: {name}");
            }
            for warning in &config.warnings {
                println!("# {warning}");
            }
            ExitCode::SUCCESS
        }
        Err(errors) => refuse(&errors),
    }
}

/// What a replay without a configuration does.
const REPLAYED: &str =
    "[[probes]]\nname = \"event\"\n[global]\nlog_level = \"warn\"\n[event]\nout_channel = \"stdout\"\n";

fn replay(replay: Replay) -> ExitCode {
    let mut set = replay.set.clone();
    for section in ["event", "logs", "stdout"] {
        set.extend(replay.encoding.iter().map(|encoding| format!("{section}.encoding={encoding}")));
    }
    let loaded = resolve(|further| match &replay.config {
        Some(path) => Config::load(path, &set, further),
        None => Config::parse("replay", REPLAYED, &set, further),
    });
    let (config, policy, catalogue, filters) = match loaded {
        Ok(loaded) => loaded,
        Err(errors) => return refuse(&errors),
    };
    log_to_stderr(config.global.log_level);
    let (name, lines): (_, Box<dyn BufRead>) = if replay.file.as_os_str() == "-" {
        ("stdin".to_owned(), Box::new(io::stdin().lock()))
    } else {
        let name = replay.file.display().to_string();
        match File::open(&replay.file) {
            Ok(file) => (name, Box::new(BufReader::new(file))),
            Err(error) => {
                eprintln!("probe-daemon: {name}: cannot be read: {error}");
                return ExitCode::from(NO_INPUT);
            }
        }
    };
    let Some(runtime) = runtime() else { return ExitCode::from(SOFTWARE) };
    let policy = replay.config.is_some().then_some(policy);
    let host = replay::Host { id: replay.host_id, name: replay.host_name };
    let boot = replay.boot_time.map(|time| i64::try_from(time.as_nanosecond()).unwrap_or_default());
    let clock = boot.map(Clock::with_offset);
    let replay = replay::Replay { name, policy, catalogue, filters, host, clock };
    match runtime.block_on(replay.run(&config, lines)) {
        Ok(summary) => {
            let replay::Summary { bad, dismissed, records, lost, interrupted } = summary;
            eprintln!(
                "probe-daemon: {records} records, {dismissed} events dropped by rules, {bad} bad lines, {lost} events lost"
            );
            match (bad, lost) {
                _ if interrupted => ExitCode::from(LOST),
                (0, 0) => ExitCode::SUCCESS,
                (_, 0) => ExitCode::from(BAD_DATA),
                _ => ExitCode::from(LOST),
            }
        }
        Err(start_error) => {
            error!("{start_error}");
            ExitCode::from(SOFTWARE)
        }
    }
}

fn refuse(errors: &ConfigErrors) -> ExitCode {
    eprintln!("{errors}");
    let count = errors.0.len();
    eprintln!(
        "probe-daemon: {count} error{} in the configuration; nothing was started",
        if count == 1 { "" } else { "s" }
    );
    ExitCode::from(CONFIG)
}

fn daemon(source: &Source) -> ExitCode {
    let (config, policy, catalogue, filters) = match load(source) {
        Ok(loaded) => loaded,
        Err(errors) => return refuse(&errors),
    };
    log_to_stderr(config.global.log_level);
    for name in &config.foreign {
        info!(name, "not for this probe; ignored");
    }
    config.warnings.iter().for_each(|warning| warn!("{warning}"));
    match config.probe.switch {
        Switch::Off => {
            info!("the probe is switched off (probes.event.switch); nothing to do");
            Pins::clear(&config.event.pin_dir);
            return ExitCode::SUCCESS;
        }
        Switch::Auto if !start_check(config.probe.start_check.as_deref()) => {
            info!("start_check says no (probes.event.switch = auto); nothing to do");
            Pins::clear(&config.event.pin_dir);
            return ExitCode::SUCCESS;
        }
        Switch::On | Switch::Auto => {}
    }
    let Some(runtime) = runtime() else { return ExitCode::from(SOFTWARE) };
    match runtime.block_on(run::run(&config, policy, catalogue, filters, || reload(source))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(start_error) => {
            error!("{start_error}");
            ExitCode::from(match start_error {
                StartError::Kernel(KernelError::Privilege(_)) => PRIVILEGE,
                StartError::Kernel(KernelError::Lacks(_)) => UNAVAILABLE,
                StartError::Kernel(KernelError::Busy(_)) => BUSY,
                StartError::Kafka(_) => CONFIG,
                _ => SOFTWARE,
            })
        }
    }
}

/// The threads that work; none, with the reason in the log, where the system gives none.
fn runtime() -> Option<Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.inspect_err(|error| error!(%error, "threads cannot be started")).ok()
}

/// The configuration as it is now; none, with every error in the log, where it is not valid.
fn reload(source: &Source) -> Option<(Config, Policy, Catalogue, Filters)> {
    match load(source) {
        Ok(loaded) => Some(loaded),
        Err(errors) => {
            errors.0.iter().for_each(|error| warn!("{error}"));
            None
        }
    }
}

/// Whether the command's output, for which `switch = "auto"` asks, has a first number above 0. Without a command
/// the answer is yes.
fn start_check(command: Option<&str>) -> bool {
    let Some(command) = command else { return true };
    match std::process::Command::new("/bin/sh").args(["-c", command]).output() {
        Ok(output) => first_number(&String::from_utf8_lossy(&output.stdout)).is_some_and(|number| number > 0),
        Err(error) => {
            warn!(command, %error, "start_check cannot be run");
            false
        }
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split(|character: char| !character.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

fn log_to_stderr(level: LogLevel) {
    let configured = Targets::new().with_default(level.as_str().parse().unwrap_or(LevelFilter::INFO));
    let asked = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, wrong) = match asked.parse() {
        _ if asked.is_empty() => (configured, None),
        Ok(filter) => (filter, None),
        Err(error) => (configured, Some(error)),
    };
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).init();
    if let Some(error) = wrong {
        warn!(RUST_LOG = asked, %error, "is a list of levels, or of targets and their levels; see global.log_level");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_check_counts() {
        assert!(start_check(None));
        assert!(start_check(Some("echo found 2 of 0")));
        assert!(!start_check(Some("echo 0 of 2")));
        assert!(!start_check(Some("echo none")));
        assert!(!start_check(Some("echo 99999999999999999999999")));
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
