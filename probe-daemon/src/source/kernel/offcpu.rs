//! Off-CPU stalls, as far as user space helps: thresholds, how the kernel's clocks relate, and once a second a look at
//! all threads, for those that are stalled and have not come back.
//!
//! In: thresholds. Out: what the BPF side needs to know; its records come through the ring buffer like any other.

use std::{collections::VecDeque, io::Read, thread, time::Duration};

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
    programs::Iter,
};
use probe_common::{
    CALIBRATION, COMM_LEN, Calibration, OFFCPU_CONTROL, OffcpuControl, SLEEPER_CGROUPS, SLEEPER_CGROUPS_LEN,
    SLEEPER_NAMES, SLEEPER_SETS, SLEEPERS, SleeperSet, TAKEN,
};
use rustix::time::{ClockId, clock_getres};
use tracing::{debug, warn};

use super::{
    KernelError,
    btf::Types,
    maps::{Maps, array},
};
use crate::cgroup::Cgroups;

/// Time between two looks at all threads.
pub const SWEEP: Duration = Duration::from_secs(1);
/// Comparisons of the clocks of which the lowest counts. The clocks drift apart by at most half a millisecond a second.
const COMPARISONS: usize = 8;
/// Sweeps between two looks for new cgroups.
const CGROUP_SWEEPS: u32 = 5;
/// The program that looks at a thread.
const PROGRAM: &str = "task_iter";

/// What makes a stall; a threshold of zero is off.
#[derive(Clone, Debug, Default)]
pub struct Thresholds {
    /// In uninterruptible sleep.
    pub blocked: Duration,
    /// Waiting for a CPU.
    pub starved: Duration,
    /// In interruptible sleep, of threads that have one of `comms` or are in one of `cgroups`.
    pub interruptible: Duration,
    /// Names of threads.
    pub comms: Vec<String>,
    /// Patterns of paths of cgroups.
    pub cgroups: Vec<String>,
}

impl Thresholds {
    /// Whether anything at all can be a stall.
    pub fn any(&self) -> bool {
        !(self.blocked.is_zero() && self.starved.is_zero() && self.sleeping().is_zero())
    }

    fn sleeping(&self) -> Duration {
        if self.comms.is_empty() && self.cgroups.is_empty() { Duration::ZERO } else { self.interruptible }
    }
}

/// The maps that the daemon writes, and what it has measured.
pub struct Stalls {
    control: Array<MapData, OffcpuControl>,
    calibration: Array<MapData, Calibration>,
    sleepers: Array<MapData, SleeperSet>,
    taken: Array<MapData, u32>,
    names: HashMap<MapData, [u8; COMM_LEN], u32>,
    cgroups: HashMap<MapData, u64, u32>,
    /// Patterns of paths of cgroups, and how many sweeps ago they were looked up.
    patterns: (Vec<String>, u32),
    tree: Cgroups,
    now: OffcpuControl,
    samples: VecDeque<Calibration>,
    /// The kernel can look at all threads.
    sweeps: bool,
}

impl Stalls {
    /// Takes the maps, and goes on as they are.
    pub fn new(bpf: &mut Ebpf) -> Result<Self, KernelError> {
        let names = HashMap::try_from(bpf.take(SLEEPER_NAMES)?)
            .map_err(|e| KernelError::refused("opening a map", e))?;
        let cgroups = HashMap::try_from(bpf.take(SLEEPER_CGROUPS)?)
            .map_err(|e| KernelError::refused("opening a map", e))?;
        let control: Array<_, OffcpuControl> = array(bpf, OFFCPU_CONTROL)?;
        let (calibration, sleepers, taken) =
            (array(bpf, CALIBRATION)?, array(bpf, SLEEPERS)?, array(bpf, TAKEN)?);
        let now = control.get(&0, 0).map_err(|e| KernelError::refused("reading thresholds", e))?;
        Ok(Self {
            control,
            calibration,
            sleepers,
            taken,
            names,
            cgroups,
            patterns: (Vec::new(), 0),
            tree: Cgroups::new(),
            now,
            samples: VecDeque::new(),
            sweeps: false,
        })
    }

    /// Gets ready for the hook of the scheduler, before it is attached: what was noted earlier is forgotten, and the
    /// clocks are compared.
    pub fn begin(&mut self, bpf: &mut Ebpf, types: &mut Types) -> Result<(), KernelError> {
        self.load(bpf, types);
        if self.now.tick != 0 {
            for index in 0..SLEEPER_SETS {
                let cleared = self.sleepers.set(index, SleeperSet::default(), 0);
                let cleared = cleared.and_then(|()| self.taken.set(index, 0, 0));
                cleared.map_err(|e| KernelError::refused("clearing the table of sleepers", e))?;
            }
        }
        // The coarse clocks advance with the tick.
        self.now.tick = u64::try_from(clock_getres(ClockId::MonotonicCoarse).tv_nsec).unwrap_or_default();
        self.now.scheduler_offset = 0;
        self.samples.clear();
        self.publish()?;
        // A thread that just got its CPU measures best. This sweep reports nothing: it has no clock to do so yet.
        thread::sleep(Duration::from_millis(1));
        self.sweep(bpf);
        Ok(())
    }

    /// The hook of the scheduler runs already: who sleeps since when is known, and the clocks were compared.
    pub fn resume(&mut self, bpf: &mut Ebpf, types: &mut Types) {
        self.load(bpf, types);
        if let Ok(starved) = i64::try_from(self.now.starved)
            && self.now.gate != i64::MAX
        {
            let (ticks, monotonic) = (self.now.gate.saturating_sub(starved), self.now.scheduler_offset);
            self.samples.push_back(Calibration { ticks, monotonic, taken: 1, ..Calibration::default() });
        }
    }

    fn load(&mut self, bpf: &mut Ebpf, types: &mut Types) {
        let loaded = load(bpf, types);
        self.sweeps = loaded.is_ok();
        if let Err(error) = loaded {
            warn!(
                "threads that wait for a CPU, and stalls that go on, are not captured on this kernel: {error}"
            );
        }
    }

    /// Sets thresholds and names, at any time.
    pub fn set(&mut self, thresholds: &Thresholds) -> Result<(), KernelError> {
        let refused = |e| KernelError::refused("writing event.offcpu.interruptible_comms", e);
        let old: Vec<_> = self.names.keys().collect::<Result<_, _>>().map_err(refused)?;
        for name in old {
            self.names.remove(&name).map_err(refused)?;
        }
        for name in &thresholds.comms {
            self.names.insert(comm(name), 1, 0).map_err(refused)?;
        }
        self.patterns = (thresholds.cgroups.clone(), 0);
        self.find_cgroups();
        self.now.blocked = nanoseconds(thresholds.blocked);
        self.now.starved = nanoseconds(thresholds.starved);
        self.now.sleeping = nanoseconds(thresholds.sleeping());
        self.publish()
    }

    /// Takes over which cgroups are like the patterns now.
    fn find_cgroups(&mut self) {
        let wanted = if self.patterns.0.is_empty() { Vec::new() } else { self.tree.like(&self.patterns.0) };
        let old: Vec<u64> = self.cgroups.keys().filter_map(Result::ok).collect();
        let gone = old.iter().filter(|id| !wanted.contains(id)).map(|id| self.cgroups.remove(id));
        let mut written: Vec<_> = gone.collect();
        written.extend(wanted.iter().filter(|id| !old.contains(id)).map(|id| self.cgroups.insert(id, 1, 0)));
        if let Some(error) = written.into_iter().find_map(Result::err) {
            warn!(
                cgroups = wanted.len(),
                "event.offcpu.interruptible_cgroups: not all cgroups are looked at, there is room for \
                 {SLEEPER_CGROUPS_LEN}: {error}"
            );
        }
    }

    /// Looks at all threads.
    pub fn sweep(&mut self, bpf: &mut Ebpf) {
        self.patterns.1 += 1;
        if self.patterns.1 >= CGROUP_SWEEPS && !self.patterns.0.is_empty() {
            self.patterns.1 = 0;
            self.find_cgroups();
        }
        if !self.sweeps {
            return;
        }
        let measured = self.look(bpf, Calibration::default()).and_then(|sample| {
            if sample.starved != 0 {
                self.look(bpf, Calibration { tell: 1, ..sample })?;
            }
            Ok(sample)
        });
        match measured {
            Ok(sample) if sample.taken != 0 => self.calibrate(sample),
            Ok(_) => debug!("no thread was looked at"),
            Err(error) => warn!(%error, "stalls that go on cannot be looked for"),
        }
    }

    /// One pass over all threads, with what it has found.
    fn look(
        &mut self,
        bpf: &mut Ebpf,
        begin: Calibration,
    ) -> Result<Calibration, Box<dyn std::error::Error>> {
        self.calibration.set(0, begin, 0)?;
        visit(bpf)?;
        Ok(self.calibration.get(&0, 0)?)
    }

    fn calibrate(&mut self, sample: Calibration) {
        if self.samples.len() == COMPARISONS {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.now.scheduler_offset = self.lowest(|sample| sample.monotonic).unwrap_or_default();
        if let Err(error) = self.publish() {
            warn!(%error, "times of stalls drift");
        }
    }

    fn lowest(&self, of: fn(&Calibration) -> i64) -> Option<i64> {
        self.samples.iter().map(of).min()
    }

    /// Tells the BPF side. Nobody is starved where the clocks have not been compared.
    fn publish(&mut self) -> Result<(), KernelError> {
        let threshold = i64::try_from(self.now.starved).ok().filter(|threshold| *threshold > 0);
        let gate = threshold.zip(self.lowest(|sample| sample.ticks));
        self.now.gate = gate.map_or(i64::MAX, |(threshold, ticks)| ticks.saturating_add(threshold));
        self.control.set(0, self.now, 0).map_err(|e| KernelError::refused("writing thresholds", e))
    }
}

fn load(bpf: &mut Ebpf, types: &mut Types) -> Result<(), KernelError> {
    let refused = |e| KernelError::refused("loading a program", e);
    let program = iterator(bpf).map_err(refused)?;
    if program.fd().is_ok() {
        return Ok(());
    }
    program.load("task", types.get()?).map_err(refused)
}

/// The kernel walks all threads while an iterator's file is read; the program writes nothing into it.
fn visit(bpf: &mut Ebpf) -> Result<(), Box<dyn std::error::Error>> {
    let program = iterator(bpf)?;
    let link = program.attach()?;
    let mut file = program.take_link(link)?.into_file()?;
    let mut nothing = [0; 8];
    while file.read(&mut nothing)? > 0 {}
    Ok(())
}

fn iterator(bpf: &mut Ebpf) -> Result<&mut Iter, aya::programs::ProgramError> {
    bpf.program_mut(PROGRAM).ok_or(aya::programs::ProgramError::NotLoaded)?.try_into()
}

/// A thread's name as the kernel keeps it: 15 bytes and NUL.
fn comm(name: &str) -> [u8; COMM_LEN] {
    let mut comm = [0; COMM_LEN];
    for (to, from) in comm.iter_mut().take(COMM_LEN - 1).zip(name.bytes()) {
        *to = from;
    }
    comm
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
