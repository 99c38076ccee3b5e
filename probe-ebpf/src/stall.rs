//! What the scheduler hook and the sweep over all tasks share: who sleeps since when, and the record of a stall.
//!
//! In: a task that is kept off the CPU. Out: its place in the table of sleepers, its record.
//!
//! The table has sets of four ways, one cache line each, so that a look at a thread that is not there costs one line.
//! A thread that goes to sleep takes a free way with one atomic operation and gives it back when it runs again;
//! nobody's way is ever taken from it. A thread whose set is full cannot be followed, and counts as lost: that takes
//! five sleepers at once whose ids are equal in their low 14 bits. Beside the table, a number for each set says how
//! many of its ways are taken: mostly none, and then a switch to a thread looks no further.

use aya_ebpf::helpers::generated::{bpf_get_task_stack, bpf_ktime_get_boot_ns};
use probe_common::{FRAMES, Kind, OffcpuRecord, SLEEPER_SETS, SleeperSet, WAYS, Wait};

use crate::{
    atomic, emit,
    map::{OFFSETS, RING, SLEEPERS, TAKEN, global, is_own},
    task::{self, Object},
};

/// The sleep is interruptible.
pub const INTERRUPTIBLE: u64 = 1 << 32;
/// The sleep has been told of.
pub const TOLD: u64 = 1 << 33;

/// `TASK_UNINTERRUPTIBLE` and `TASK_NOLOAD` (include/linux/sched.h). Together they are an idle kernel thread.
const UNINTERRUPTIBLE: u32 = 0x2;
const NOLOAD: u32 = 0x400;
/// `TASK_INTERRUPTIBLE`.
const TASK_INTERRUPTIBLE: u32 = 0x1;
/// `SCHED_IDLE` (include/uapi/linux/sched.h): such a thread asks for what nobody else wants.
const SCHED_IDLE: u32 = 5;

/// Whether this state is D.
#[inline(always)]
pub fn blocks(state: u32) -> bool {
    state & (UNINTERRUPTIBLE | NOLOAD) == UNINTERRUPTIBLE
}

/// Whether this state is S.
#[inline(always)]
pub fn sleeps(state: u32) -> bool {
    state & TASK_INTERRUPTIBLE != 0
}

/// Whether nobody minds when this task waits for a CPU.
#[inline(always)]
pub fn is_patient(task: Object) -> bool {
    task.load::<u32>(global(&OFFSETS.task_policy)) == SCHED_IDLE
}

/// One thread's way in its set.
#[derive(Clone, Copy)]
pub struct Way {
    pub key: *mut u64,
    pub since: *mut u64,
}

impl Way {
    #[inline(always)]
    fn of(set: *mut SleeperSet, index: usize) -> Self {
        // SAFETY: a value of the map, and an index of its arrays.
        unsafe { Self { key: (&raw mut (*set).keys[index]), since: (&raw mut (*set).since[index]) } }
    }

    #[inline(always)]
    pub fn key(self) -> u64 {
        // SAFETY: a value of the map, valid while this program runs.
        unsafe { self.key.read_volatile() }
    }

    #[inline(always)]
    pub fn since(self) -> u64 {
        // SAFETY: as above.
        unsafe { self.since.read_volatile() }
    }

    #[inline(always)]
    fn set(self, key: u64, since: u64) {
        // The time goes first: whoever finds the key finds its time too, or 0.
        // SAFETY: as above.
        unsafe {
            self.since.write_volatile(since);
            self.key.write_volatile(key);
        }
    }

    /// Gives back the way of this thread.
    #[inline(always)]
    pub fn free(self, pid: u32) {
        self.set(0, 0);
        if let Some(taken) = taken(pid) {
            // SAFETY: a value of the map.
            unsafe { atomic::add_32(taken, u32::MAX) };
        }
    }

    /// Marks the sleep as told of; false where it has ended meanwhile.
    #[inline(always)]
    pub fn tell(self, key: u64) -> bool {
        // SAFETY: as above.
        unsafe { atomic::replace(self.key, key, key | TOLD) == key }
    }
}

/// The set where a thread is, if it sleeps.
#[inline(always)]
pub fn set_of(pid: u32) -> Option<*mut SleeperSet> {
    SLEEPERS.get_ptr_mut(pid & (SLEEPER_SETS - 1))
}

/// How many ways of this thread's set are taken.
#[inline(always)]
fn taken(pid: u32) -> Option<*mut u32> {
    TAKEN.get_ptr_mut(pid & (SLEEPER_SETS - 1))
}

/// False where this thread surely has no way.
#[inline(always)]
pub fn maybe_sleeps(pid: u32) -> bool {
    // SAFETY: a value of the map.
    taken(pid).is_some_and(|taken| unsafe { taken.read_volatile() != 0 })
}

/// The way of a thread in its set.
#[inline(always)]
pub fn find(set: *mut SleeperSet, pid: u32) -> Option<Way> {
    for index in 0..WAYS {
        let way = Way::of(set, index);
        if way.key() as u32 == pid {
            return Some(way);
        }
    }
    None
}

/// Notes that a thread sleeps since then. False where its set is full.
#[inline(always)]
pub fn enter(pid: u32, flags: u64, since: u64) -> bool {
    let Some(set) = set_of(pid) else { return false };
    let key = u64::from(pid) | flags;
    if let Some(way) = find(set, pid) {
        // Left by a sweep that was overtaken by the thread's waking.
        way.set(key, since);
        return true;
    }
    for index in 0..WAYS {
        let way = Way::of(set, index);
        // SAFETY: a value of the map, valid while this program runs.
        if unsafe { atomic::replace(way.key, 0, key) } == 0 {
            // SAFETY: as above; the way is ours now.
            unsafe { way.since.write_volatile(since) };
            if let Some(taken) = taken(pid) {
                // SAFETY: as above.
                unsafe { atomic::add_32(taken, 1) };
            }
            return true;
        }
    }
    false
}

/// A stall, beside who it is.
#[derive(Clone, Copy)]
pub struct Stall {
    pub wait: Wait,
    pub since: u64,
    pub duration: u64,
    pub threshold: u64,
    pub ongoing: bool,
    pub told: bool,
    pub cpu: u32,
    pub other: u32,
    pub other_comm: [u8; 16],
}

/// Sends the record of a stall, and counts it. The daemon's own threads are not observed.
#[inline(always)]
pub fn send(task: Object, pid: u32, stall: &Stall) {
    let tgid: u32 = task.load(global(&OFFSETS.task_tgid));
    if is_own(tgid) {
        return;
    }
    let Some(mut entry) = RING.reserve::<OffcpuRecord>(0) else {
        return emit::count_shared_lost(Kind::Offcpu);
    };
    // SAFETY: every field is written below but the stack past its frames; until then the entry holds old ring
    // bytes, valid for its integers.
    let OffcpuRecord { header, payload } = unsafe { &mut *entry.as_mut_ptr() };
    header.tag = Kind::Offcpu.tag();
    header.length = size_of::<OffcpuRecord>() as u32;
    header.stamp = emit::stamp_shared(Kind::Offcpu);
    task::identify(task, u64::from(tgid) << 32 | u64::from(pid), header);
    let head = &mut header.head;
    (head.nr, head.errno, head.ret) = (0, 0, 0);
    // SAFETY: takes no arguments and never fails.
    head.finish = unsafe { bpf_ktime_get_boot_ns() };
    head.start = head.finish.wrapping_sub(stall.duration);
    payload.since = stall.since;
    payload.duration = stall.duration;
    payload.threshold = stall.threshold;
    payload.wait = stall.wait as u32;
    payload.ongoing = u32::from(stall.ongoing);
    payload.told = u32::from(stall.told);
    payload.cpu = stall.cpu;
    payload.other = stall.other;
    payload.other_comm = stall.other_comm;
    // SAFETY: the helper writes at most the bytes of the array.
    let bytes = unsafe {
        bpf_get_task_stack(
            task.pointer().cast_mut().cast(),
            payload.stack.as_mut_ptr().cast(),
            (8 * FRAMES) as u32,
            0,
        )
    };
    payload.frames = if bytes > 0 { (bytes / 8) as u32 } else { 0 };
    entry.submit(0);
}
