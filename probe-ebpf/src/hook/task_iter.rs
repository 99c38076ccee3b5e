//! A look at every thread of the host, when the daemon asks for it: `iter/task`.
//!
//! In: one thread after the other. Out: a record for each that is past its threshold and still off the CPU, once for
//! each stall; how the kernel's clocks relate; who runs on which CPU.
//!
//! Kernel context (kernel/bpf/task_iter.c): `struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct
//! *task; }`, where `task` is null at the end.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns};
use probe_common::{OffcpuControl, Runner, Wait};

use crate::{
    map::{CALIBRATION, OFFCPU_CONTROL, OFFSETS, RUNNERS, STARVED_TOLD, control, global},
    stall::{self, INTERRUPTIBLE, Stall, TOLD},
    task::Object,
};

/// Whoever was seen running within this time, in nanoseconds, was seen in this sweep.
const RECENT: u64 = 500_000_000;

/// Runs for every thread.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn task_iter(ctx: *mut c_void) -> i32 {
    // SAFETY: the second member of the context; the verifier checks it.
    let pointer = unsafe { ctx.cast::<u64>().add(1).read_volatile() } as *const u8;
    if !pointer.is_null() {
        let control = &control(&OFFCPU_CONTROL);
        calibrate(control);
        look(Object::new(pointer), control);
    }
    0
}

/// Compares the clocks, once a sweep: the thread that runs this got its CPU a moment ago.
#[inline(always)]
fn calibrate(control: &OffcpuControl) {
    let Some(calibration) = CALIBRATION.get_ptr_mut(0) else { return };
    // SAFETY: a value of the map, which only one sweep at a time writes.
    let calibration = unsafe { &mut *calibration };
    if calibration.taken != 0 {
        return;
    }
    let arrival: u64 = Object::current_task().load(global(&OFFSETS.task_last_arrival));
    // SAFETY: takes no arguments and never fails.
    calibration.ticks =
        unsafe { bpf_jiffies64() }.wrapping_mul(control.tick).wrapping_sub(arrival).cast_signed();
    calibration.monotonic = now().wrapping_sub(arrival).cast_signed();
    calibration.taken = 1;
}

#[inline(always)]
fn look(task: Object, control: &OffcpuControl) {
    let state: u32 = task.load(global(&OFFSETS.task_state));
    let cpu: u32 = task.load(global(&OFFSETS.task_cpu));
    let pid: u32 = task.load(global(&OFFSETS.task_pid));
    if task.load::<u32>(global(&OFFSETS.task_on_cpu)) != 0 {
        if let Some(runner) = RUNNERS.get_ptr_mut(cpu) {
            let tgid = task.load(global(&OFFSETS.task_tgid));
            // SAFETY: a value of the map, valid while this program runs.
            unsafe { *runner = Runner { seen: now(), tgid, pid, comm: task.comm() } };
        }
    } else if state == 0 {
        if control.starved != 0 && control.scheduler_offset != 0 {
            starved(task, control, pid, cpu);
        }
    } else if control.blocked != 0 && stall::blocks(state) {
        asleep(task, control, pid, cpu, Wait::Blocked);
    } else if control.sleeping != 0 && stall::sleeps(state) {
        asleep(task, control, pid, cpu, Wait::Sleeping);
    }
}

#[inline(always)]
fn asleep(task: Object, control: &OffcpuControl, pid: u32, cpu: u32, wait: Wait) {
    let (threshold, flag) = match wait {
        Wait::Sleeping => (control.sleeping, INTERRUPTIBLE),
        _ => (control.blocked, 0),
    };
    let Some(set) = stall::set_of(pid) else { return };
    let since = match stall::find(set, pid) {
        Some(way) => {
            let (key, since) = (way.key(), way.since());
            let told = key & TOLD != 0 || key & INTERRUPTIBLE != flag || key as u32 != pid;
            if told || since == 0 || now().wrapping_sub(since).cast_signed() < threshold.cast_signed() {
                return;
            }
            if !way.tell(key) {
                return;
            }
            since
        }
        // It sleeps since before anybody looked: it went to sleep after it got its CPU the last time.
        None if flag == 0 && control.scheduler_offset != 0 => {
            let arrival: u64 = task.load(global(&OFFSETS.task_last_arrival));
            let since = arrival.wrapping_add_signed(control.scheduler_offset);
            let young = now().wrapping_sub(since).cast_signed() < threshold.cast_signed();
            if arrival == 0 || young || !stall::enter(pid, TOLD, since) {
                return;
            }
            since
        }
        None => return,
    };
    let duration = now().wrapping_sub(since);
    let (other, other_comm) = (0, [0; 16]);
    let stall =
        Stall { wait, since, duration, threshold, ongoing: true, told: false, cpu, other, other_comm };
    stall::send(task, pid, &stall);
}

#[inline(always)]
fn starved(task: Object, control: &OffcpuControl, pid: u32, cpu: u32) {
    let queued: u64 = task.load(global(&OFFSETS.task_last_queued));
    let duration = now().wrapping_sub(queued.wrapping_add_signed(control.scheduler_offset));
    if queued == 0 || duration.cast_signed() < control.starved.cast_signed() || stall::is_patient(task) {
        return;
    }
    // SAFETY: a value of the map, valid while this program runs.
    if STARVED_TOLD.get_ptr(pid).is_some_and(|told| unsafe { *told } == queued) {
        return;
    }
    let Some(calibration) = CALIBRATION.get_ptr_mut(0) else { return };
    // SAFETY: a value of the map, which only one sweep at a time writes.
    let calibration = unsafe { &mut *calibration };
    if calibration.tell == 0 {
        calibration.starved = 1;
        return;
    }
    if STARVED_TOLD.insert(pid, queued, 0).is_err() {
        // It could not be told once only; its end is reported in any case.
        return;
    }
    let (mut other, mut other_comm) = (0, [0; 16]);
    // SAFETY: a value of the map, valid while this program runs.
    if let Some(runner) = RUNNERS.get_ptr(cpu).map(|runner| unsafe { &*runner })
        && now().wrapping_sub(runner.seen) < RECENT
        && runner.pid != pid
    {
        (other, other_comm) = (runner.tgid, runner.comm);
    }
    let stall = Stall {
        wait: Wait::Starved,
        since: queued,
        duration,
        threshold: control.starved,
        ongoing: true,
        told: false,
        cpu,
        other,
        other_comm,
    };
    stall::send(task, pid, &stall);
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: takes no arguments and never fails.
    unsafe { bpf_ktime_get_ns() }
}
