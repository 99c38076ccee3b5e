//! A thread that is kept off the CPU: the payload of its record, and what kernel and daemon tell each other of such
//! threads.
//!
//! In: the bytes after a ring record's header, which says who. Out: [`OffcpuPayload`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{raw::COMM_LEN, ring::RingHeader};

/// Frames of a kernel stack at most.
pub const FRAMES: usize = 32;
/// Global: one [`OffcpuControl`].
pub const OFFCPU_CONTROL: &str = ".data.offcpu";
/// The symbol of [`OFFCPU_CONTROL`].
pub const OFFCPU_CONTROL_SYMBOL: &str = "OFFCPU_CONTROL";
/// Map: array of one [`Calibration`].
pub const CALIBRATION: &str = "CALIBRATION";
/// Map: array of [`SleeperSet`], indexed by the low bits of a thread's id.
pub const SLEEPERS: &str = "SLEEPERS";
/// Map: array of `u32`, one for each set of [`SLEEPERS`]: how many of its ways are taken.
pub const TAKEN: &str = "TAKEN";
/// Map: array of [`Runner`], indexed by CPU.
pub const RUNNERS: &str = "RUNNERS";
/// Map: hash whose keys are the names of threads whose interruptible sleeps are looked at.
pub const SLEEPER_NAMES: &str = "SLEEPER_NAMES";
/// Map: hash whose keys are the ids of cgroups whose threads' interruptible sleeps are looked at.
pub const SLEEPER_CGROUPS: &str = "SLEEPER_CGROUPS";
/// Sets of [`SLEEPERS`], a power of two.
pub const SLEEPER_SETS: u32 = 16 * 1024;
/// Names that [`SLEEPER_NAMES`] has room for.
pub const SLEEPER_NAMES_LEN: u32 = 64;
/// Cgroups that [`SLEEPER_CGROUPS`] has room for.
pub const SLEEPER_CGROUPS_LEN: u32 = 1024;
/// Ways of a [`SleeperSet`]: together they fill one cache line.
pub const WAYS: usize = 4;

/// How a thread is kept off the CPU.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Wait {
    /// In uninterruptible sleep: state D.
    Blocked = 0,
    /// Runnable, and no CPU runs it: state R.
    Starved = 1,
    /// In interruptible sleep: state S.
    Sleeping = 2,
}

impl Wait {
    /// The wait that has this number.
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Blocked, Self::Starved, Self::Sleeping].into_iter().find(|wait| *wait as u32 == number)
    }
}

/// What is known of a stall.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OffcpuPayload {
    /// When it began, on a clock of the kernel's own; with the thread's id it names the stall.
    pub since: u64,
    /// How long it has lasted, in nanoseconds.
    pub duration: u64,
    /// The threshold that it has passed, in nanoseconds.
    pub threshold: u64,
    /// A [`Wait`].
    pub wait: u32,
    /// 1 where it still lasts.
    pub ongoing: u32,
    /// 1 where a record of it has gone out while it lasted.
    pub told: u32,
    /// The CPU that the thread waits for, or that it runs on now.
    pub cpu: u32,
    /// Thread group id of the thread that had that CPU; 0 where unknown, or where the CPU was idle.
    pub other: u32,
    /// Return addresses in `stack`.
    pub frames: u32,
    /// Name of the thread that had the CPU.
    pub other_comm: [u8; COMM_LEN],
    /// Where in the kernel the thread stands, innermost first; what comes after `frames` means nothing.
    pub stack: [u64; FRAMES],
}

/// The record of a stall, as it lies in the ring buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OffcpuRecord {
    /// Who and when.
    pub header: RingHeader,
    /// What is known of it.
    pub payload: OffcpuPayload,
}

/// What the daemon tells the BPF side: thresholds, and how the kernel's clocks relate.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OffcpuControl {
    /// A thread may be starved where the time in ticks is this much past the time when it was queued; `i64::MAX`
    /// switches starvation off.
    pub gate: i64,
    /// `CLOCK_MONOTONIC` − the scheduler's clock, in nanoseconds.
    pub scheduler_offset: i64,
    /// Nanoseconds of one tick.
    pub tick: u64,
    /// Threshold for [`Wait::Blocked`] in nanoseconds; 0 is off.
    pub blocked: u64,
    /// Threshold for [`Wait::Starved`] in nanoseconds; 0 is off.
    pub starved: u64,
    /// Threshold for [`Wait::Sleeping`] in nanoseconds; 0 is off.
    pub sleeping: u64,
}

/// One comparison of the kernel's clocks: how much each is ahead of the scheduler's, in nanoseconds. The daemon's
/// own thread got its CPU a moment before, so both are a little too high, and never too low.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Calibration {
    /// The time in ticks.
    pub ticks: i64,
    /// `CLOCK_MONOTONIC`.
    pub monotonic: i64,
    /// 1 where the two have been measured.
    pub taken: u64,
    /// 1 where starved threads are to be told of in this sweep. They are told of in a second one, when the first has
    /// seen who runs.
    pub tell: u64,
    /// 1 where a first sweep has met a starved thread.
    pub starved: u64,
}

/// Threads that sleep, up to four whose ids have the same low bits. A free way has key 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SleeperSet {
    /// Thread id; above it in bit 32 whether the sleep is interruptible, and in bit 33 whether it has been told of.
    pub keys: [u64; WAYS],
    /// When it went to sleep: `CLOCK_MONOTONIC` in nanoseconds. 0 while it is not known yet.
    pub since: [u64; WAYS],
}

/// Who had a CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Runner {
    /// When it was last known to have it: `CLOCK_MONOTONIC` in nanoseconds.
    pub seen: u64,
    /// Thread group id; 0 where nobody was seen yet.
    pub tgid: u32,
    /// Thread id.
    pub pid: u32,
    /// Name of the thread.
    pub comm: [u8; COMM_LEN],
}

#[cfg(feature = "user")]
mod pod {
    use super::{Calibration, OffcpuControl, SleeperSet};

    // SAFETY: `repr(C)`, made of integers only, without padding (zerocopy's `IntoBytes` derive checks it).
    unsafe impl aya::Pod for OffcpuControl {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Calibration {}
    // SAFETY: as above.
    unsafe impl aya::Pod for SleeperSet {}
}
