//! A CPU goes from one thread to the next: `tp_btf/sched_switch`.
//!
//! In: both threads, and the state of the one that leaves. Out: a place in the table of sleepers for a thread that
//! leaves blocked; a record for one that comes back after a stall.
//!
//! This is the hottest path of the kernel. An ordinary switch tests the state, looks at one cache line of the table,
//! and compares the time when the next thread was queued with the ticks; no clock is read, no helper is called.
//!
//! Kernel prototype (include/trace/events/sched.h):
//! `sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)`.

use aya_ebpf::{
    helpers::{
        bpf_get_smp_processor_id,
        generated::{bpf_jiffies64, bpf_ktime_get_ns},
    },
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use probe_common::{ABSENT, Kind, OffcpuControl, Runner, Wait};

use crate::{
    emit,
    map::{HOG, OFFCPU_CONTROL, OFFSETS, SLEEPER_CGROUPS, SLEEPER_NAMES, STARVED_TOLD, control, global},
    stall::{self, INTERRUPTIBLE, Stall, TOLD, Way},
    task::{Object, cgroup_id},
};

/// Runs at every context switch of the host.
#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    if matters(&ctx) {
        switched(&ctx);
    }
    0
}

/// Whether there is anything to do: nearly always not. Each test is over before the next begins, which keeps the
/// registers few.
#[inline(always)]
fn matters(ctx: &BtfTracePointContext) -> bool {
    let state = ctx.arg::<u64>(3) as u32;
    if stall::blocks(state) || (stall::sleeps(state) && control(&OFFCPU_CONTROL.sleeping) != 0) {
        return true;
    }
    let (prev, next) = (Object::new(ctx.arg(1)), Object::new(ctx.arg(2)));
    let queued = global(&OFFSETS.task_last_queued);
    // A kernel has all of `struct sched_info` or nothing.
    if queued != ABSENT {
        let late = late();
        if is_before(prev.load_present(global(&OFFSETS.task_last_arrival)), late)
            || is_before(next.load_present(queued), late)
        {
            return true;
        }
    }
    stall::maybe_sleeps(next.load_present(global(&OFFSETS.task_pid)))
}

/// Whoever was queued, or got its CPU, before this time may have waited or run for too long; on the scheduler's clock.
#[inline(always)]
fn late() -> u64 {
    // SAFETY: takes no arguments and never fails.
    let ticks = unsafe { bpf_jiffies64() }.wrapping_mul(control(&OFFCPU_CONTROL.tick));
    ticks.wrapping_sub(control(&OFFCPU_CONTROL.gate).cast_unsigned())
}

/// Whether this was before then; 0 is no time.
#[inline(always)]
fn is_before(time: u64, then: u64) -> bool {
    then.wrapping_sub(time).cast_signed() > 0 && time != 0
}

/// Apart from the rest, so that an ordinary switch has little to save and restore.
#[inline(never)]
fn switched(ctx: &BtfTracePointContext) {
    let control = &control(&OFFCPU_CONTROL);
    let late = late();
    let prev = Object::new(ctx.arg(1));
    if is_before(prev.load(global(&OFFSETS.task_last_arrival)), late) {
        note_hog(prev);
    }
    // A thread that is preempted keeps its place in the run queue, whatever its state says.
    let (preempted, state) = (ctx.arg::<u64>(0), ctx.arg::<u64>(3) as u32);
    if preempted & 0xff == 0 && state != 0 {
        if stall::blocks(state) {
            if control.blocked != 0 {
                leave(prev, 0);
            }
        } else if control.sleeping != 0 && stall::sleeps(state) {
            leave_interruptibly(prev);
        }
    }
    let next = Object::new(ctx.arg(2));
    let pid: u32 = next.load(global(&OFFSETS.task_pid));
    if pid == 0 {
        // The idle task waits for nothing.
        return;
    }
    if let Some(set) = stall::set_of(pid)
        && let Some(way) = stall::find(set, pid)
    {
        wake(ctx, control, pid, way);
    }
    let queued: u64 = next.load(global(&OFFSETS.task_last_queued));
    if is_before(queued, late) {
        starved(ctx, control, pid, queued);
    }
}

/// Notes who kept this CPU for long: it explains why others had to wait, though some of them may come first.
#[inline(never)]
fn note_hog(prev: Object) {
    let Some(hog) = HOG.get_ptr_mut(0) else { return };
    let tgid = prev.load(global(&OFFSETS.task_tgid));
    let pid = prev.load(global(&OFFSETS.task_pid));
    // SAFETY: this CPU's own value, and preemption is off while a tracing program runs.
    unsafe { *hog = Runner { seen: now(), tgid, pid, comm: prev.comm() } };
}

/// Notes that a thread goes to sleep.
#[inline(never)]
fn leave(prev: Object, flags: u64) {
    let pid: u32 = prev.load(global(&OFFSETS.task_pid));
    if !stall::enter(pid, flags, now()) {
        emit::count_shared_lost(Kind::Offcpu);
    }
}

#[inline(never)]
fn leave_interruptibly(prev: Object) {
    if SLEEPER_NAMES.get_ptr(prev.comm()).is_some() || SLEEPER_CGROUPS.get_ptr(cgroup_id(prev)).is_some() {
        leave(prev, INTERRUPTIBLE);
    }
}

/// A thread whose sleep was noted runs again.
#[inline(never)]
fn wake(ctx: &BtfTracePointContext, control: &OffcpuControl, pid: u32, way: Way) {
    let next = Object::new(ctx.arg(2));
    let queued: u64 = next.load(global(&OFFSETS.task_last_queued));
    let (key, since) = (way.key(), way.since());
    way.free(pid);
    let (wait, threshold) = if key & INTERRUPTIBLE != 0 {
        (Wait::Sleeping, control.sleeping)
    } else {
        (Wait::Blocked, control.blocked)
    };
    // The sleep ended when the thread was queued; the rest of the time it waited for a CPU.
    let mut end = now();
    let woken = queued.wrapping_add_signed(control.scheduler_offset);
    if queued != 0 && control.scheduler_offset != 0 && woken < end {
        end = woken;
    }
    let duration = end.wrapping_sub(since);
    if since == 0 || threshold == 0 || duration.cast_signed() < threshold.cast_signed() {
        return;
    }
    // A sweep that was overtaken by the thread's waking leaves a way behind that tells of an earlier sleep.
    let arrival: u64 = next.load(global(&OFFSETS.task_last_arrival));
    let arrived = arrival.wrapping_add_signed(control.scheduler_offset);
    if arrived.wrapping_sub(since).cast_signed() > threshold.cast_signed() {
        return;
    }
    let stall = Stall {
        wait,
        since,
        duration,
        threshold,
        ongoing: false,
        told: key & TOLD != 0,
        // SAFETY: takes no arguments and never fails.
        cpu: unsafe { bpf_get_smp_processor_id() } as u32,
        other: 0,
        other_comm: [0; 16],
    };
    stall::send(next, pid, &stall);
}

/// A thread may have waited too long for a CPU: the ticks say so, the clock decides.
#[inline(never)]
fn starved(ctx: &BtfTracePointContext, control: &OffcpuControl, pid: u32, queued: u64) {
    let next = Object::new(ctx.arg(2));
    let began = queued.wrapping_add_signed(control.scheduler_offset);
    let duration = now().wrapping_sub(began);
    if duration.cast_signed() < control.starved.cast_signed() || stall::is_patient(next) {
        return;
    }
    let (mut other, mut other_comm) = (0, [0; 16]);
    // SAFETY: this CPU's own value, and preemption is off while a tracing program runs.
    match HOG.get_ptr(0).map(|hog| unsafe { &*hog }) {
        Some(hog) if hog.seen > began => (other, other_comm) = (hog.tgid, hog.comm),
        _ => {
            let prev = Object::new(ctx.arg(1));
            if prev.load::<u32>(global(&OFFSETS.task_pid)) != 0 {
                (other, other_comm) = (prev.load(global(&OFFSETS.task_tgid)), prev.comm());
            }
        }
    }
    // SAFETY: a value of the map, valid while this program runs.
    let told = STARVED_TOLD.get_ptr(pid).is_some_and(|told| unsafe { *told } == queued);
    let stall = Stall {
        wait: Wait::Starved,
        since: queued,
        duration,
        threshold: control.starved,
        ongoing: false,
        told,
        // SAFETY: takes no arguments and never fails.
        cpu: unsafe { bpf_get_smp_processor_id() } as u32,
        other,
        other_comm,
    };
    stall::send(next, pid, &stall);
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: takes no arguments and never fails.
    unsafe { bpf_ktime_get_ns() }
}
