//! The kernel as a source: loads the BPF programs, drains their ring buffer, reads their counters.
//!
//! In: the resolved policy. Out: batches of [`Observation`] to the pipeline, and [`Counters`] for the ledger. The
//! reader never waits for what comes after it: what the pipeline has no time for waits in the [`Outbox`], and is counted
//! as lost when that is full.

use std::{sync::Arc, time::Duration};

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Array, MapData, PerCpuArray, RingBuf},
};
use probe_common::{
    ABSENT, ASKED, Asked, COUNTERS, Counters, EXITS, FOLD, FOLD_BANKS, FOLD_FIRST, Kind, OFFSETS, PAGE_WAYS,
    POLICY, RING, RUNNERS, RingRecord, SELF_TGID, SyscallPolicy, asked, heap,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, watch},
    time,
};
use tracing::{debug, error, warn};

use crate::{
    clock::Clock,
    enrich::process::Table,
    event::{Batch, Event, Observation},
    meter::Meter,
};

mod btf;
mod exits;
mod hooks;
mod host;
mod offcpu;
mod outbox;
mod processes;
mod repeats;

use hooks::Links;
pub use host::claim;
pub use offcpu::Thresholds;
use offcpu::{SWEEP, Stalls};
use outbox::Outbox;
use processes::Tables;
use repeats::Repeats;

/// The BPF object, aligned as its ELF structures need; empty in a build without BPF tools.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bpf-object"));

/// Time between two drains while events arrive: an event waits at most this long, a flood costs no more wake-ups.
const DRAIN_PAUSE: Duration = Duration::from_millis(4);
/// Records that one drain takes at most before it lets others run.
const DRAIN: usize = 16 * 1024;
/// Observations that are sent to the pipeline at once.
const BATCH: usize = 256;
/// After detaching, programs that still run on other CPUs end within this time.
const LAST_PROGRAMS: Duration = Duration::from_millis(20);

/// Lines of a verifier's log that a message shows at most.
const VERIFIER_LINES: usize = 12;

/// Why the kernel side cannot start.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The build has no BPF object.
    #[error("this build has no BPF programs; build the daemon with `cargo xtask build`")]
    Stub,
    /// Capabilities that are missing.
    #[error(
        "missing privilege: {0}; run the daemon as root, or grant it with AmbientCapabilities= in its systemd unit"
    )]
    Privilege(String),
    /// Another daemon captures already; its process id.
    #[error("another probe-daemon captures on this host already (process {0}); stop it first")]
    Busy(String),
    /// What the kernel does not have.
    #[error("this kernel lacks {0}")]
    Lacks(String),
    /// The kernel refused something that it should not refuse.
    #[error("{what}: {detail}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        detail: String,
    },
}

impl KernelError {
    fn refused(what: &'static str, error: impl std::error::Error) -> Self {
        let mut detail = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            detail = format!("{detail}: {error}");
            cause = error.source();
        }
        // The verifier tells of every instruction before the one that it refuses.
        if let Some((at, _)) = detail.rmatch_indices('\n').nth(VERIFIER_LINES) {
            detail = format!("… {}", detail.get(at..).unwrap_or_default());
        }
        Self::Refused { what, detail }
    }
}

/// The loaded and attached programs.
pub struct Kernel {
    bpf: Ebpf,
    ring: AsyncFd<RingBuf<MapData>>,
    counters: PerCpuArray<MapData, Counters>,
    policy: Array<MapData, SyscallPolicy>,
    asked: Array<MapData, Asked>,
    repeats: Repeats,
    links: Links,
    stalls: Stalls,
    processes: Option<Tables>,
}

/// Whether this build and this host can capture at all. Ask before anything else is opened: most of what a
/// missing privilege breaks fails in less telling ways.
///
/// # Errors
/// [`KernelError`], which says what is missing and what to do.
pub fn check() -> Result<(), KernelError> {
    host::check()?;
    if OBJECT.is_empty() { Err(KernelError::Stub) } else { Ok(()) }
}

/// What is captured; it may change while the programs run.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The families of events that are switched on.
    pub families: Vec<Kind>,
    /// What is an event, one entry for each slot of the policy map.
    pub policy: Vec<SyscallPolicy>,
    /// What makes an off-CPU stall.
    pub thresholds: Thresholds,
}

/// How repeats are folded.
#[derive(Clone, Copy, Debug)]
pub struct Folding {
    /// Failures that may repeat at the same time; what comes beyond goes out unfolded. None: nothing is folded.
    pub entries: Option<u32>,
}

impl Kernel {
    /// Loads and attaches the programs; from here on events are captured.
    ///
    /// # Errors
    /// [`KernelError`], which says what is missing and what to do.
    pub fn attach(selection: &Selection, folding: Folding) -> Result<Self, KernelError> {
        check()?;
        // Types take tens of megabytes while they are read, so one reader is dropped before the next begins. aya has
        // read them already when it makes a loader, and for itself needs none.
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        let types = btf::read()?;
        let (mut offsets, missing) = btf::offsets(&types);
        let unfit = hooks::unfit(&types);
        drop(types);
        if !missing.is_empty() {
            warn!(
                fields = missing.join(", "),
                "this kernel does not have all fields; what needs them stays 0"
            );
        }
        if !host::memory_cgroup_is_v1() {
            offsets.css_set_memory = ABSENT;
        }
        let own = std::process::id();
        let pages = FOLD_BANKS * folding.pages().max(1);
        let mut bpf = loader
            .verifier_log_level(VerifierLogLevel::DEBUG)
            .override_global(OFFSETS, &offsets, true)
            .override_global(SELF_TGID, &own, true)
            .map_max_entries(FOLD, pages)
            .map_max_entries(FOLD_FIRST, pages * PAGE_WAYS)
            .map_max_entries(EXITS, folding.exits())
            .map_max_entries(RUNNERS, cpus())
            .load(OBJECT)
            .map_err(|e| KernelError::refused("loading the BPF object", e))?;

        let policy = array(&mut bpf, POLICY)?;
        let asked = array(&mut bpf, ASKED)?;
        let repeats = Repeats::new(&mut bpf, folding)?;
        let ring = RingBuf::try_from(take_map(&mut bpf, RING)?)
            .map_err(|e| KernelError::refused("mapping the ring buffer", e))?;
        #[expect(
            deprecated,
            reason = "the new form is unsafe; a RingBuf owns its descriptor until it is dropped"
        )]
        let ring = AsyncFd::with_interest(ring, Interest::READABLE)
            .map_err(|e| KernelError::refused("polling the ring buffer", e))?;
        let counters = PerCpuArray::try_from(take_map(&mut bpf, COUNTERS)?)
            .map_err(|e| KernelError::refused("opening the counters", e))?;
        let stalls = Stalls::new(&mut bpf)?;
        let processes = Some(Tables::new(&mut bpf)?);
        let mut kernel =
            Self { bpf, ring, counters, policy, asked, repeats, links: Links::new(unfit), stalls, processes };
        kernel.select(selection)?;
        Ok(kernel)
    }

    /// The tables of processes, once.
    pub fn processes(&mut self) -> Option<Box<dyn Table>> {
        self.processes.take().map(|tables| Box::new(tables) as Box<dyn Table>)
    }

    /// Captures this from now on. Programs that have been loaded once are only attached or detached.
    fn select(&mut self, selection: &Selection) -> Result<(), KernelError> {
        let asked = asked(&selection.policy);
        self.asked.set(0, asked, 0).map_err(|e| KernelError::refused("writing the policy", e))?;
        for (slot, policy) in (0u32..).zip(&selection.policy) {
            self.policy.set(slot, policy, 0).map_err(|e| KernelError::refused("writing the policy", e))?;
        }
        self.stalls.set(&selection.thresholds)?;
        if selection.families.contains(&Kind::Offcpu) && !self.links.has("sched_switch") {
            self.stalls.begin(&mut self.bpf)?;
        }
        let noted = self.links.has(hooks::FORK);
        let selected = self.links.select(&mut self.bpf, &selection.families);
        if !noted
            && self.links.has(hooks::FORK)
            && let Err(error) = processes::note(&mut self.bpf)
        {
            warn!(
                "of processes that ended before their event was read, the older ones have no name: {error}"
            );
        }
        // A program that is loaded takes the kernel's types for it, at the start and whenever a family is switched on.
        heap::give_back();
        selected
    }

    /// Captures until `stop` turns true, then detaches and delivers what the ring and the counts still hold.
    pub async fn run(
        mut self,
        pipeline: mpsc::Sender<Batch>,
        meter: Arc<Meter>,
        interval: Duration,
        mut selection: watch::Receiver<Selection>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut outbox = Outbox::default();
        let mut sweep = time::interval_at(time::Instant::now() + interval, interval);
        sweep.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut look = time::interval_at(time::Instant::now() + SWEEP, SWEEP);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut harvest = None;
        while !*stop.borrow_and_update() {
            tokio::select! {
                ready = self.ring.readable_mut() => match ready {
                    Ok(mut guard) => {
                        let drained = drain(guard.get_inner_mut(), &meter, |events| outbox.put(events, &meter));
                        outbox.flush(&pipeline);
                        if drained == Drained::All {
                            guard.clear_ready();
                            // Events that come meanwhile wait in the ring; none of them costs a wake-up.
                            time::sleep(DRAIN_PAUSE).await;
                        } else {
                            tokio::task::yield_now().await;
                        }
                    }
                    Err(error) => {
                        error!(%error, "the ring buffer cannot be polled; events are lost until a restart");
                        break;
                    }
                },
                _ = sweep.tick() => {
                    self.count(&meter);
                    self.repeats.next_bank();
                    harvest = Some(time::Instant::now() + LAST_PROGRAMS);
                }
                _ = look.tick(), if self.links.has("sched_switch") => self.stalls.sweep(&mut self.bpf),
                () = time::sleep_until(harvest.unwrap_or_else(time::Instant::now)), if harvest.is_some() => {
                    harvest = None;
                    outbox.put(self.repeats.harvest(&meter), &meter);
                    outbox.flush(&pipeline);
                }
                Ok(room) = pipeline.reserve(), if !outbox.is_empty() => {
                    if let Some(batch) = outbox.take() {
                        room.send(batch);
                    }
                }
                Ok(()) = selection.changed() => {
                    let selection = selection.borrow_and_update().clone();
                    if let Err(error) = self.select(&selection) {
                        error!(%error, "the new configuration is in force only in part");
                    }
                }
                _ = stop.changed() => {}
            }
        }
        self.links.detach(&mut self.bpf);
        time::sleep(LAST_PROGRAMS).await;
        // Nothing fills the ring any more, so waiting for the pipeline loses nothing here.
        let mut rest: Vec<Batch> = std::iter::from_fn(|| outbox.take()).collect();
        while drain(self.ring.get_mut(), &meter, |events| rest.push(events)) == Drained::Some {}
        self.repeats.next_bank();
        rest.push(self.repeats.harvest(&meter));
        for batch in rest {
            let events = batch.occurrences();
            if pipeline.send(batch).await.is_err() {
                meter.lost_pipeline.add(events);
            }
        }
        self.count(&meter);
    }

    /// Takes over the kernel's counters.
    fn count(&self, meter: &Meter) {
        for kind in Kind::ALL {
            match self.counters.get(&(kind as u32), 0) {
                Ok(values) => {
                    let total = values.iter().fold(Counters::default(), |sum, cpu| Counters {
                        sent: sum.sent + cpu.sent,
                        lost: sum.lost + cpu.lost,
                    });
                    meter.set_kernel(kind, total);
                }
                Err(error) => warn!(%error, family = kind.name(), "the kernel's counters cannot be read"),
            }
        }
    }
}

#[derive(Eq, PartialEq)]
enum Drained {
    All,
    Some,
}

/// Takes records out of the ring, until it is empty or [`DRAIN`] records are out.
fn drain(ring: &mut RingBuf<MapData>, meter: &Meter, mut deliver: impl FnMut(Batch)) -> Drained {
    let clock = Clock::now();
    let mut batch = Vec::new();
    let mut taken = 0;
    while taken < DRAIN {
        let Some(bytes) = ring.next() else { break };
        taken += 1;
        match RingRecord::parse(&bytes) {
            Ok(record) => {
                let time = clock.wall(record.header.head.finish);
                batch.push(Observation { time, event: Event::from(&record) });
            }
            Err(error) => {
                meter.malformed.add(1);
                debug!(%error, "a record of the ring buffer cannot be read");
            }
        }
        drop(bytes);
        if batch.len() == BATCH {
            deliver(Batch::Events(std::mem::take(&mut batch)));
        }
    }
    if !batch.is_empty() {
        deliver(Batch::Events(batch));
    }
    meter.received.add(taken as u64);
    if taken < DRAIN { Drained::All } else { Drained::Some }
}

/// CPUs that this kernel can have.
fn cpus() -> u32 {
    let possible = aya::util::nr_cpus().unwrap_or(1);
    u32::try_from(possible).unwrap_or(u32::MAX)
}

fn take_map(bpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, KernelError> {
    bpf.take_map(name)
        .ok_or_else(|| KernelError::Refused { what: "the BPF object", detail: format!("has no map {name}") })
}

fn array<V: aya::Pod>(bpf: &mut Ebpf, name: &'static str) -> Result<Array<MapData, V>, KernelError> {
    Array::try_from(take_map(bpf, name)?).map_err(|e| KernelError::refused("opening a map", e))
}
