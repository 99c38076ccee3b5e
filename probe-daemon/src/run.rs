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
//! On SIGHUP the configuration is read again; families, rules, filters and the catalogue change while everything goes on. The
//! tasks that ask container runtimes stand beside the flow: the pipeline reads their table and waits for none of them.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use probe_common::Kind;
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::{info, warn};

use crate::{
    account::{Account, Outlet, Place},
    catalogue::Catalogue,
    clock::wall_now,
    config::{Channel, Config, Encoding, OnOff, Sockets, SpoolMode},
    encode::Encoder,
    enrich::{
        Enricher,
        topology::{self, Topology},
    },
    exec::Looker,
    filter::{Filter, Filters},
    fold::Fold,
    losses::{Loss, Losses},
    meter::Meter,
    pipeline::{self, Pipeline, Route},
    policy::Policy,
    record::resource::Resource,
    sink::{
        self, Deadline, Queue,
        file::{FileSink, Tail},
        kafka::KafkaSink,
        stdout::StdoutSink,
    },
    source::kernel::{self, Folding, Kernel, KernelError, Pins, Selection, Thresholds},
    state::State,
};

/// What a stopping daemon gives the sinks to deliver what is left. systemd waits 90 s before it kills.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The spool counts on from one run to the next, whatever kernel side they have.
const SPOOL_EPOCH: u64 = 1;

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

/// Where records go.
pub struct Outlets {
    /// What encodes them, and their queues.
    pub routes: Vec<Route>,
    /// The tasks of the sinks; each ends when its queue is closed.
    pub sinks: JoinSet<()>,
    /// The filters that are in force, to be replaced by others.
    filters: Vec<(Channel, watch::Sender<Filter>)>,
    /// The sinks, and what each has on disk.
    outlets: Vec<Outlet>,
}

/// Opens the channels of the configuration: a task for each, and what feeds them.
///
/// # Errors
/// [`StartError`] where one of them cannot be opened.
pub async fn open(
    config: &Config,
    filters: Filters,
    resource: &Resource,
    deadline: &Deadline,
    meter: &Meter,
) -> Result<Outlets, StartError> {
    // Right to left, so that nothing is captured before there is somewhere to put it.
    let mut sinks = JoinSet::new();
    let mut routes: Vec<(Encoding, Vec<Queue>)> = Vec::new();
    let mut watched = Vec::new();
    let mut outlets = Vec::new();
    for channel in &config.event.out_channel {
        let meter = meter.sink(channel.as_str());
        let outlet = |place| Outlet { channel: *channel, meter: Arc::clone(&meter), place };
        let (mut queue, records) = Queue::new(Arc::clone(&meter));
        if let Some(filter) = filters.of(*channel) {
            let (sender, filter) = watch::channel(filter.clone());
            watched.push((*channel, sender));
            queue = queue.filtered(filter);
        }
        let encoding = config.encoding(*channel);
        match routes.iter_mut().find(|(own, _)| *own == encoding) {
            Some((_, queues)) => queues.push(queue),
            None => routes.push((encoding, vec![queue])),
        }
        match channel {
            Channel::Kafka => {
                let key = resource.host_id.clone();
                let kafka = KafkaSink::new(config, key, SPOOL_EPOCH, deadline.clone(), Arc::clone(&meter));
                let kafka = kafka.map_err(StartError::Kafka)?;
                let total = kafka.found().map(|found| found.reached);
                outlets.push(outlet(Place::Spool { total, always: config.spool.mode == SpoolMode::Always }));
                let driver = sink::drive(kafka, records);
                // It writes to the disk, for which nobody else is to wait: so it has a thread of its own.
                sinks.spawn_blocking(move || Handle::current().block_on(driver))
            }
            Channel::Logs => {
                let dir = &config.logs.event_dir;
                let file = FileSink::open(&config.logs, Arc::clone(&meter)).await;
                outlets.push(outlet(Place::File(Tail::new(dir, encoding.form()))));
                sinks.spawn(sink::drive(file.map_err(|e| StartError::File(dir.clone(), e))?, records))
            }
            Channel::Stdout => {
                outlets.push(outlet(Place::Pipe));
                sinks.spawn(sink::drive(StdoutSink::new(meter), records))
            }
        };
    }
    if routes.is_empty() {
        warn!("event.out_channel names no channel: events are counted and go nowhere");
    }
    let route = |(encoding, queues): (Encoding, _)| {
        Ok(Route { form: encoding.form(), encoder: Encoder::new(encoding, resource)?, queues })
    };
    let routes: serde_json::Result<Vec<_>> = routes.into_iter().map(route).collect();
    let routes = routes.map_err(|e| StartError::Resource(e.to_string()))?;
    Ok(Outlets { routes, sinks, filters: watched, outlets })
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
    filters: Filters,
    reload: impl Fn() -> Option<(Config, Policy, Catalogue, Filters)>,
) -> Result<(), StartError> {
    kernel::check()?;
    let _claim = kernel::claim()?;
    let pins = Pins::open(&config.event.pin_dir, config.event.pin == OnOff::On)?;
    let meter = Arc::new(Meter::default());
    let deadline = Deadline::default();
    let resource = Resource::detect().with_addresses(config.event.host_ip == OnOff::On);
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(StartError::Signals)?;

    let outlets = open(config, filters, &resource, &deadline, &meter).await?;
    let Outlets { routes, mut sinks, filters, outlets } = outlets;
    let fold = config.event.fold == OnOff::On;
    let entries = fold.then(|| u32::try_from(config.event.fold_entries).unwrap_or(u32::MAX));
    let first = selection(config, &policy);
    let (observations, batches) = mpsc::channel(pipeline::QUEUE);
    let interval = config.probe.interval;
    let fold = fold.then(|| Fold::new(interval, config.event.timeout));
    let looker = Looker::start().map_err(StartError::Thread)?;
    let topology = Arc::new(Topology::default());
    let sockets = match &config.containers.sockets {
        Sockets::Auto => topology::SOCKETS.map(PathBuf::from).to_vec(),
        Sockets::These(paths) => paths.clone(),
    };
    // They end with the daemon: nothing that they know is owed to anybody.
    let mut runtimes = JoinSet::new();
    for (source, path) in sockets.into_iter().enumerate() {
        runtimes.spawn(topology::watch(path, source, Arc::clone(&topology)));
    }
    // The last thing that can fail, since what it attaches may outlive the daemon.
    let mut kernel = Kernel::attach(&first, Folding { entries }, pins, &meter).await?;
    let (selections, selected) = watch::channel(first);
    let (policies, policy) = watch::channel(Arc::new(policy));
    let (catalogues, catalogue) = watch::channel(Arc::new(catalogue));
    let (command_line, labels) =
        (config.event.command_line == OnOff::On, config.containers.labels == OnOff::On);
    let enricher = Enricher::new(kernel.processes(), topology, command_line, labels);
    let counts = Arc::clone(&meter);
    let known = kernel.inherited().map(|before| before.ledger.sequence).filter(|next| *next > 0);
    let state = State::open(&config.event.state_dir, known);
    let untold: Vec<Loss> = state.untold.iter().map(|untold| untold.loss(&meter.losses())).collect();
    let account = Account::open(&kernel, outlets, &meter, state.next(), &untold);
    let losses = Losses::new(account.told(), wall_now());
    let config_hash = config.hash().into();
    let pipeline = Pipeline {
        policy,
        catalogue,
        fold,
        looker,
        enricher,
        routes,
        meter: counts,
        state,
        losses,
        config_hash,
        account,
    };
    let pipeline = tokio::spawn(pipeline.run(batches));
    let (stop, stopped) = watch::channel(false);
    let source = tokio::spawn(kernel.run(observations, Arc::clone(&meter), interval, selected, stopped));
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "capturing");

    let signal = loop {
        tokio::select! {
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
            _ = hangup.recv() => match reload() {
                Some((new, policy, catalogue, new_filters)) => {
                    if !same_flow(config, &new) {
                        warn!("other changes of the configuration take effect at the next start");
                    }
                    selections.send_replace(selection(&new, &policy));
                    policies.send_replace(Arc::new(policy));
                    catalogues.send_replace(Arc::new(catalogue));
                    for (channel, filter) in &filters {
                        filter.send_replace(new_filters.of(*channel).cloned().unwrap_or_default());
                    }
                    info!("the configuration was read again: families, rules, filters and the catalogue are as it says");
                }
                None => warn!("the configuration is not valid; the old one stays in force"),
            },
        }
    };
    info!(signal, patience = ?PATIENCE, "stopping: what is captured is being delivered");
    deadline.start(PATIENCE);
    stop.send_replace(true);
    let leavings = source.await;
    let pipeline = pipeline.await;
    while let Some(ended) = sinks.join_next().await {
        if let Err(error) = ended {
            warn!(task = "sink", %error, "a task ended early; the ledger may not add up");
        }
    }
    match pipeline {
        // What the sinks lost at the end is for the next daemon to tell.
        Ok((state, mut losses)) => state.close(&meter.due(&mut losses, true)),
        Err(error) => warn!(task = "pipeline", %error, "a task ended early; the ledger may not add up"),
    }
    // Only now, so that a daemon that is killed while it stops leaves its account.
    match leavings {
        Ok(leavings) => leavings.remove(),
        Err(error) => warn!(task = "source", %error, "a task ended early; the ledger may not add up"),
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

/// Whether two configurations differ in families, rules, filters and the catalogue at most, which a running daemon can
/// change.
fn same_flow(old: &Config, new: &Config) -> bool {
    let flow = |config: &Config| {
        let Config { global, probe, event, containers, kafka, spool, mut logs, mut stdout, .. } =
            config.clone();
        for ids in [&mut logs.include, &mut logs.exclude, &mut stdout.include, &mut stdout.exclude] {
            ids.clear();
        }
        logs.filter_file = None;
        let event = (
            event.out_channel,
            event.kafka_topic,
            event.encoding,
            event.timeout,
            event.fold,
            event.fold_entries,
            event.command_line,
            event.state_dir,
            event.host_ip,
            (event.pin, event.pin_dir),
        );
        (global, probe, event, containers, kafka, spool, logs, stdout)
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
