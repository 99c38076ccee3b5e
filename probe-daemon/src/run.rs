//! The whole daemon on one page: every task, every channel, and the order in which they end.
//!
//! ```text
//! source::kernel ──[pipeline::QUEUE batches]──► pipeline ──[one queue per sink]──► sink::drive(Kafka)
//!                                                                             └──► sink::drive(file, stdout)
//! ```
//!
//! A full queue never holds up what fills it: the source drops a batch, the pipeline drops a record for that one
//! sink, and each counts what it dropped. On SIGTERM or SIGINT the source detaches and delivers what the ring still
//! holds, the pipeline ends when the source has, each sink ends when the pipeline has; then the ledger is logged.
//! On SIGHUP the configuration is read again; families and rules change while everything goes on.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use probe_common::Kind;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::{info, warn};

use crate::{
    catalogue::Catalogue,
    config::{Channel, Config, Encoding, OnOff},
    encode::Encoder,
    enrich::Enricher,
    exec::Looker,
    fold::Fold,
    meter::Meter,
    pipeline::{self, Pipeline, Route},
    policy::Policy,
    record::resource::Resource,
    sink::{self, Deadline, Queue, file::FileSink, kafka::KafkaSink, stdout::StdoutSink},
    source::kernel::{self, Folding, Kernel, KernelError, Pins, Selection, Thresholds},
};

/// What a stopping daemon gives the sinks to deliver what is left. systemd waits 90 s before it kills.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel side.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The Kafka client refuses its configuration.
    #[error("Kafka: {0}")]
    Kafka(String),
    /// The event file.
    #[error("the event file in {0:?} cannot be opened: {1}; logs.event_dir says where it goes")]
    File(PathBuf, io::Error),
    /// The description of this host.
    #[error("the description of this host cannot be encoded: {0}")]
    Resource(String),
    /// The thread that looks at programs.
    #[error("no thread can be started: {0}")]
    Thread(io::Error),
    /// The operating system.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

/// Captures until SIGTERM or SIGINT, then drains. SIGHUP asks `reload` for the configuration as it is now; none
/// means that it is not valid, and the old one stays in force.
///
/// # Errors
/// [`StartError`] when it cannot start; once it captures it ends only by a signal.
pub async fn run(
    config: &Config,
    policy: Policy,
    catalogue: Catalogue,
    reload: impl Fn() -> Option<(Config, Policy)>,
) -> Result<(), StartError> {
    kernel::check()?;
    let _claim = kernel::claim()?;
    let pins = Pins::open(&config.event.pin_dir, config.event.pin == OnOff::On)?;
    let meter = Arc::new(Meter::default());
    let deadline = Deadline::default();
    let resource = Resource::detect();
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(StartError::Signals)?;

    // Right to left, so that nothing is captured before there is somewhere to put it.
    let mut sinks = JoinSet::new();
    let mut routes: Vec<(Encoding, Vec<Queue>)> = Vec::new();
    for channel in &config.event.out_channel {
        let meter = meter.sink(channel.as_str());
        let (queue, records) = Queue::new(Arc::clone(&meter));
        let encoding = config.encoding(*channel);
        match routes.iter_mut().find(|(own, _)| *own == encoding) {
            Some((_, queues)) => queues.push(queue),
            None => routes.push((encoding, vec![queue])),
        }
        match channel {
            Channel::Kafka => {
                let kafka = KafkaSink::new(config, resource.host_id.clone(), deadline.clone(), meter);
                sinks.spawn(sink::drive(kafka.map_err(StartError::Kafka)?, records))
            }
            Channel::Logs => {
                let dir = &config.logs.event_dir;
                let file = FileSink::open(dir, meter).await;
                sinks.spawn(sink::drive(file.map_err(|e| StartError::File(dir.clone(), e))?, records))
            }
            Channel::Stdout => sinks.spawn(sink::drive(StdoutSink::new(meter), records)),
        };
    }
    if routes.is_empty() {
        warn!("event.out_channel names no channel: events are counted and go nowhere");
    }

    let fold = config.event.fold == OnOff::On;
    let entries = fold.then(|| u32::try_from(config.event.fold_entries).unwrap_or(u32::MAX));
    let first = selection(config, &policy);
    let route = |(encoding, queues): (Encoding, _)| {
        Ok(Route { form: encoding.form(), encoder: Encoder::new(encoding, &resource)?, queues })
    };
    let routes: serde_json::Result<Vec<_>> = routes.into_iter().map(route).collect();
    let routes = routes.map_err(|e| StartError::Resource(e.to_string()))?;
    let (observations, batches) = mpsc::channel(pipeline::QUEUE);
    let interval = config.probe.interval;
    let fold = fold.then(|| Fold::new(interval, config.event.timeout));
    let looker = Looker::start().map_err(StartError::Thread)?;
    // The last thing that can fail, since what it attaches may outlive the daemon.
    let mut kernel = Kernel::attach(&first, Folding { entries }, pins, &meter).await?;
    let (selections, selected) = watch::channel(first);
    let (policies, policy) = watch::channel(Arc::new(policy));
    let enricher = Enricher::new(kernel.processes(), config.event.command_line == OnOff::On);
    let counts = Arc::clone(&meter);
    let pipeline = Pipeline { policy, catalogue, fold, looker, enricher, routes, meter: counts };
    let pipeline = tokio::spawn(pipeline.run(batches));
    let (stop, stopped) = watch::channel(false);
    let losses = tokio::spawn(Arc::clone(&meter).watch(interval, stopped.clone()));
    let source = tokio::spawn(kernel.run(observations, Arc::clone(&meter), interval, selected, stopped));
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "capturing");

    let signal = loop {
        tokio::select! {
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
            _ = hangup.recv() => match reload() {
                Some((new, policy)) => {
                    info!("the configuration was read again: families and rules are as it says");
                    if !same_flow(config, &new) {
                        warn!("other changes of the configuration take effect at the next start");
                    }
                    selections.send_replace(selection(&new, &policy));
                    policies.send_replace(Arc::new(policy));
                }
                None => warn!("the configuration is not valid; the old one stays in force"),
            },
        }
    };
    info!(signal, patience = ?PATIENCE, "stopping: what is captured is being delivered");
    deadline.start(PATIENCE);
    stop.send_replace(true);
    for (task, ended) in [("losses", losses.await), ("source", source.await), ("pipeline", pipeline.await)] {
        if let Err(error) = ended {
            warn!(task, %error, "a task ended early; the ledger may not add up");
        }
    }
    while let Some(ended) = sinks.join_next().await {
        if let Err(error) = ended {
            warn!(task = "sink", %error, "a task ended early; the ledger may not add up");
        }
    }
    meter.log_ledger();
    Ok(())
}

/// What is to be captured.
fn selection(config: &Config, policy: &Policy) -> Selection {
    let event = &config.event;
    let switch = |kind| match kind {
        Kind::Syscall => event.syscall.switch,
        Kind::Exec => event.exec.switch,
        Kind::Denial => event.denial.switch,
        Kind::Oom => event.oom.switch,
        Kind::Offcpu if !thresholds(config).any() => OnOff::Off,
        Kind::Offcpu => event.offcpu.switch,
        Kind::Exit => event.exit.switch,
        Kind::IoUring => event.io_uring.switch,
    };
    let families: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| switch(*kind) == OnOff::On).collect();
    let policy = policy.kernel(&families);
    Selection { families, policy, thresholds: thresholds(config) }
}

/// Whether two configurations differ in families and rules at most, which a running daemon can change.
fn same_flow(old: &Config, new: &Config) -> bool {
    let flow = |config: &Config| {
        let Config { global, probe, event, kafka, logs, stdout, foreign: _ } = config.clone();
        let event = (
            event.out_channel,
            event.kafka_topic,
            event.encoding,
            event.timeout,
            event.fold,
            event.fold_entries,
            event.command_line,
            event.catalogue,
            (event.pin, event.pin_dir),
        );
        (global, probe, event, kafka, logs, stdout)
    };
    flow(old) == flow(new)
}

/// What makes an off-CPU stall.
fn thresholds(config: &Config) -> Thresholds {
    let offcpu = &config.event.offcpu;
    Thresholds {
        blocked: Duration::from_millis(offcpu.blocked_ms),
        starved: Duration::from_millis(offcpu.starved_ms),
        interruptible: Duration::from_millis(offcpu.interruptible_ms),
        comms: offcpu.interruptible_comms.iter().map(|comm| comm.value.clone()).collect(),
        cgroups: offcpu.interruptible_cgroups.iter().map(|path| path.value.clone()).collect(),
    }
}
