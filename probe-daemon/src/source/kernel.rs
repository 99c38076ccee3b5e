//! The kernel as a source: loads the BPF programs, drains their ring buffer, reads their counters.
//!
//! In: the resolved policy. Out: batches of [`Observation`] to the pipeline, and [`Counters`] for the ledger. The
//! reader never waits for what comes after it: what the pipeline has no time for waits in the [`Outbox`], and is counted
//! as lost when that is full.

use std::{sync::Arc, time::Duration};

use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray, RingBuf},
};
use probe_common::{ABSENT, ASKED, Asked, COUNTERS, Counters, Kind, POLICY, SyscallPolicy, asked};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, watch},
    time,
};
use tracing::{error, info, warn};
use ulid::Ulid;

use crate::{enrich::process::Table, event::Batch, meter::Meter};

mod before;
mod btf;
mod drain;
mod exits;
mod hooks;
mod host;
mod inherit;
mod ledger;
mod load;
mod maps;
mod offcpu;
mod outbox;
mod pins;
mod processes;
mod repeats;

use before::Before;
use btf::Types;
use drain::{Drained, drain};
use hooks::Links;
pub use host::claim;
pub use inherit::Inherited;
use inherit::{Estate, of_kind, sum, until_gone};
pub use ledger::Ledger;
use maps::{Maps, array, ring};
pub use offcpu::Thresholds;
use offcpu::{SWEEP, Stalls};
use outbox::Outbox;
pub use pins::Pins;
use pins::Side;
pub use probe_common::Ledger as Entry;
use processes::Tables;
use repeats::Repeats;

/// Time between two drains while events arrive: an event waits at most this long, a flood costs no more wake-ups.
const DRAIN_PAUSE: Duration = Duration::from_millis(4);
/// So many drains take more records than any ring buffer holds.
const ALL_DRAINS: usize = 64;
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
    ledger: Ledger,
    pins: Option<Pins>,
    /// This kernel side, where it is pinned.
    side: Option<Side>,
    /// What earlier daemons have left, until it is delivered.
    estate: Estate,
}

/// What is pinned when nothing is attached any more: the account of what was captured. A daemon that is killed before all of
/// that has arrived leaves it to the next.
pub struct Leavings {
    side: Option<Side>,
    pins: Option<Pins>,
}

impl Leavings {
    /// Removes it.
    pub fn remove(&self) {
        self.side.iter().for_each(Side::remove);
        self.pins.iter().for_each(Pins::give_back);
    }
}

/// Whether this build and this host can capture at all. Ask before anything else is opened: most of what a
/// missing privilege breaks fails in less telling ways.
///
/// # Errors
/// [`KernelError`], which says what is missing and what to do.
pub fn check() -> Result<(), KernelError> {
    host::check()?;
    if load::OBJECT.is_empty() { Err(KernelError::Stub) } else { Ok(()) }
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
    /// Loads and attaches the programs, or goes on with those of an earlier daemon; from here on events are captured.
    ///
    /// # Errors
    /// [`KernelError`], which says what is missing and what to do.
    pub async fn attach(
        selection: &Selection,
        folding: Folding,
        pins: Option<Pins>,
        meter: &Meter,
    ) -> Result<Self, KernelError> {
        check()?;
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
        let name = load::name(&offsets, folding);
        let mut estate = match &pins {
            Some(pins) => Estate::find(pins, &name, meter).await,
            None => Estate::default(),
        };
        let mut side = estate.side.take();
        let mut loaded = load::load(&offsets, folding, side.as_mut());
        if let (Err(error), Some(unusable)) = (&loaded, side.take_if(|_| loaded.is_err())) {
            warn!(%error, "programs run already, and this daemon cannot go on with them");
            estate.replace(unusable, meter).await;
            loaded = load::load(&offsets, folding, None);
        }
        let mut bpf = loaded?;
        let adopted = side.is_some();
        if let (None, Some(pins)) = (&side, pins.as_ref().filter(|pins| pins.keep())) {
            match pins.pin(&bpf) {
                Ok(new) => side = Some(new),
                Err(error) => {
                    warn!(%error, "maps cannot be pinned: nothing is captured between a crash and the next start")
                }
            }
        }
        let ledger = Ledger::new(&mut bpf)?;
        if !adopted {
            let maps = side.as_ref().map_or(Ok(0), Side::digest)?;
            let epoch = (Ulid::generate().random() as u64).max(1);
            ledger
                .update(|ledger| (ledger.epoch, ledger.maps) = (epoch, maps))
                .map_err(|e| KernelError::refused("writing a map", e))?;
            if let Some(Err(error)) = side.as_mut().map(|side| side.complete(&name)) {
                warn!(%error, "pins are not complete: what is not delivered when this daemon crashes is lost");
            }
        }

        let policy = array(&mut bpf, POLICY)?;
        let asked = array(&mut bpf, ASKED)?;
        let repeats = Repeats::new(&mut bpf, ledger.clone())?;
        #[expect(
            deprecated,
            reason = "the new form is unsafe; a RingBuf owns its descriptor until it is dropped"
        )]
        let ring = AsyncFd::with_interest(ring(&mut bpf)?, Interest::READABLE)
            .map_err(|e| KernelError::refused("polling the ring buffer", e))?;
        let counters = PerCpuArray::try_from(bpf.take(COUNTERS)?)
            .map_err(|e| KernelError::refused("opening the counters", e))?;
        let stalls = Stalls::new(&mut bpf)?;
        let processes = Some(Tables::new(&mut bpf)?);
        let links = Links::new(unfit, side.as_ref().map(Side::links));
        let mut kernel = Self {
            bpf,
            ring,
            counters,
            policy,
            asked,
            repeats,
            links,
            stalls,
            processes,
            ledger,
            pins,
            side,
            estate,
        };
        let mut types = Types::default();
        if adopted {
            info!("an earlier daemon's programs have run on, and this one goes on with them");
            meter.folded_before.add(kernel.repeats.inherit()?);
            if selection.families.contains(&Kind::Offcpu) && kernel.links.has("sched_switch") {
                kernel.stalls.resume(&mut kernel.bpf, &mut types);
            }
        }
        if let Err(error) = kernel.select(selection, &mut types) {
            kernel.take_down().await;
            return Err(error);
        }
        Ok(kernel)
    }

    /// What earlier daemons have left, if any.
    pub fn inherited(&self) -> Option<Inherited> {
        self.estate.inherited
    }

    /// Events of each kind that were lost in the ring buffers of others, which this one has replaced.
    pub fn lost_elsewhere(&self) -> [u64; Kind::ALL.len()] {
        self.estate.counted.map(|counted| counted.lost)
    }

    /// The account of this kernel side.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Detaches all programs, until the last has run.
    async fn take_down(&mut self) {
        until_gone(&self.links.detach()).await;
    }

    /// Delivers what earlier daemons have left, and learns how much they have taken.
    async fn inherit(&mut self, pipeline: &mpsc::Sender<Batch>, meter: &Meter) {
        self.count(meter);
        let mut rest = std::mem::take(&mut self.estate.rest);
        if self.inherited().is_some_and(|inherited| !inherited.replaced) {
            let mut before = Before::new(|kind| of_kind(&self.counters, kind).unwrap_or_default());
            // What was counted a moment ago is in the ring buffer now.
            time::sleep(DRAIN_PAUSE).await;
            for _ in 0..ALL_DRAINS {
                if drain(self.ring.get_mut(), meter, Some(&mut before), &mut rest) == Drained::All {
                    break;
                }
            }
            meter.received_before.add(before.sum());
            rest.put(self.repeats.harvest(meter), meter);
            info!(
                taken = meter.taken_before(),
                "so many events were taken by earlier daemons, which may not have delivered all"
            );
        }
        deliver(rest, pipeline, meter).await;
    }

    /// The tables of processes, once.
    pub fn processes(&mut self) -> Option<Box<dyn Table>> {
        self.processes.take().map(|tables| Box::new(tables) as Box<dyn Table>)
    }

    /// Captures this from now on. Programs that have been loaded once are only attached or detached.
    fn select(&mut self, selection: &Selection, types: &mut Types) -> Result<(), KernelError> {
        let asked = asked(&selection.policy);
        self.asked.set(0, asked, 0).map_err(|e| KernelError::refused("writing the policy", e))?;
        for (slot, policy) in (0u32..).zip(&selection.policy) {
            self.policy.set(slot, policy, 0).map_err(|e| KernelError::refused("writing the policy", e))?;
        }
        self.stalls.set(&selection.thresholds)?;
        if selection.families.contains(&Kind::Offcpu) && !self.links.has("sched_switch") {
            self.stalls.begin(&mut self.bpf, types)?;
        }
        let noted = self.links.has(hooks::FORK);
        let selected = self.links.select(&mut self.bpf, types, &selection.families);
        if !noted
            && self.links.has(hooks::FORK)
            && let Err(error) = processes::note(&mut self.bpf, types)
        {
            warn!(
                "of processes that ended before their event was read, the older ones have no name: {error}"
            );
        }
        selected
    }

    /// Captures until `stop` turns true, then detaches and delivers what the ring and the counts still hold. What is left is
    /// to be removed when all of that has arrived.
    pub async fn run(
        mut self,
        pipeline: mpsc::Sender<Batch>,
        meter: Arc<Meter>,
        interval: Duration,
        mut selection: watch::Receiver<Selection>,
        mut stop: watch::Receiver<bool>,
    ) -> Leavings {
        self.inherit(&pipeline, &meter).await;
        let mut outbox = Outbox::bounded();
        let mut sweep = time::interval_at(time::Instant::now() + interval, interval);
        sweep.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut look = time::interval_at(time::Instant::now() + SWEEP, SWEEP);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut harvest = None;
        while !*stop.borrow_and_update() {
            tokio::select! {
                ready = self.ring.readable_mut() => match ready {
                    Ok(mut guard) => {
                        let drained = drain(guard.get_inner_mut(), &meter, None, &mut outbox);
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
                    if let Err(error) = self.select(&selection, &mut Types::default()) {
                        error!(%error, "the new configuration is in force only in part");
                    }
                }
                _ = stop.changed() => {}
            }
        }
        self.take_down().await;
        // Nothing fills the ring any more, so waiting for the pipeline loses nothing here.
        let mut rest = outbox.unbounded();
        while drain(self.ring.get_mut(), &meter, None, &mut rest) == Drained::Some {}
        rest.put(self.repeats.rest(&meter), &meter);
        deliver(rest, &pipeline, &meter).await;
        self.count(&meter);
        Leavings { side: self.side, pins: self.pins }
    }

    /// Takes over the kernel's counters.
    fn count(&self, meter: &Meter) {
        for kind in Kind::ALL {
            match of_kind(&self.counters, kind) {
                Ok(counted) => {
                    meter.set_kernel(kind, sum(&[sum(&counted), self.estate.counted[kind as usize]]))
                }
                Err(error) => warn!(%error, family = kind.name(), "the kernel's counters cannot be read"),
            }
        }
    }
}

/// Hands over in order, as fast as the pipeline goes.
async fn deliver(mut outbox: Outbox, pipeline: &mpsc::Sender<Batch>, meter: &Meter) {
    while let Some(batch) = outbox.take() {
        let events = batch.occurrences();
        if pipeline.send(batch).await.is_err() {
            meter.lost_pipeline.add(events);
        }
    }
}
