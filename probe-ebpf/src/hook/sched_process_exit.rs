//! A thread ends: `tp_btf/sched_process_exit`.
//!
//! In: the thread. Out: one record when it was the last of its process, and the process ended by a signal or with a
//! non-zero exit code; for one that ends as another did a moment ago, one more in a count. A thread that dies because
//! another one executes a program is not the last, so no record tells of it; and a process whose first thread ended
//! long ago is reported when it really ends.
//!
//! Kernel prototype (include/trace/events/sched.h): `sched_process_exit(struct task_struct *p)`, since 6.16 with
//! `bool group_dead`.

use aya_ebpf::{
    bindings::BPF_NOEXIST, helpers::generated::bpf_ktime_get_boot_ns, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use probe_common::{ABSENT, COMM_LEN, ExitKey, ExitRecord, Fault, FoldedExit, Kind, NAME_LEN, Sender};

use crate::{
    atomic,
    emit::{self, Fate},
    map::{CONTROL, ENDED, EXIT_SCRATCH, EXITS, FAULTS, OFFSETS, SENDERS, control, global, is_own},
    process,
    task::{self, Object},
};

/// `SIGNAL_GROUP_EXIT` of include/linux/sched/signal.h: all threads end with the process's own code.
const GROUP_EXIT: u32 = 4;
/// The part of the code that is a signal.
const SIGNAL: u32 = 0x7f;
const SIGKILL: u32 = 9;

const NO_SENDER: Sender = Sender { receiver_start: 0, pid: 0, uid: 0, comm: [0; COMM_LEN] };
const NO_FAULT: Fault = Fault {
    process_start: 0,
    signal: 0,
    code: 0,
    address: 0,
    instruction: 0,
    mapping_start: 0,
    mapping_page: 0,
    syscall: 0,
    arch: 0,
    immutable: 0,
    mapping: [0; NAME_LEN],
};

/// Runs at the end of every thread of the host.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let task = Object::new(ctx.arg(0));
    let (signal, leader) = (global(&OFFSETS.task_signal), global(&OFFSETS.task_group_leader));
    if signal == ABSENT || leader == ABSENT {
        return 0;
    }
    let signal = task.follow(signal);
    if signal.load::<u32>(global(&OFFSETS.signal_live)) != 0 {
        return 0;
    }
    let leader = task.follow(leader);
    // As wait(2) decides it.
    let code: u32 = if signal.load::<u32>(global(&OFFSETS.signal_flags)) & GROUP_EXIT != 0 {
        signal.load(global(&OFFSETS.signal_group_exit_code))
    } else {
        leader.load(global(&OFFSETS.task_exit_code))
    };
    let status = code & 0xffff;
    let tgid: u32 = leader.load(global(&OFFSETS.task_tgid));
    if status != 0 && !is_own(tgid) {
        // Whom the kernel killed for memory is joined with the record of that kill, so each has one of its own.
        let oom = global(&OFFSETS.signal_oom_mm);
        let own = if oom == ABSENT { status & SIGNAL == SIGKILL } else { signal.load::<u64>(oom) != 0 };
        ended(leader, tgid, status, own);
    }
    0
}

#[inline(always)]
fn ended(leader: Object, tgid: u32, status: u32, own: bool) {
    let start = task::process_start(leader);
    if ENDED.insert([u64::from(tgid), start], 1, u64::from(BPF_NOEXIST)).is_err() {
        return;
    }
    let signal = status & SIGNAL;
    // SAFETY: an entry is written once, before its process ends; an older one has another start.
    let fault = unsafe { FAULTS.get(tgid) };
    let fault = fault.filter(|fault| fault.signal == signal && fault.process_start == start);
    let (device, inode) = process::program(tgid, start);
    let key = ExitKey {
        inode,
        cgroup: task::cgroup_id(leader),
        device,
        status,
        euid: leader.load_behind(global(&OFFSETS.task_cred), global(&OFFSETS.cred_euid)),
        syscall: fault.map_or(0, |fault| fault.syscall),
        arch: fault.map_or(0, |fault| fault.arch),
        bank: control(&CONTROL.bank),
        comm: leader.comm(),
    };
    let folds = control(&CONTROL.pages) != 0 && !own;
    if folds && repeats(&key) {
        return;
    }
    let Some(first) = EXIT_SCRATCH.get_ptr_mut(0) else { return emit::count(Kind::Exit, Fate::Lost) };
    // SAFETY: this CPU's own value, and preemption is off while a tracing program runs.
    let first = unsafe { &mut *first };
    first.count = 0;
    describe(leader, tgid, &key, fault, &mut first.record);
    let whole: &FoldedExit = first;
    let noted = folds && EXITS.insert(key, whole, u64::from(BPF_NOEXIST)).is_ok();
    // Another CPU may have been quicker. If the table is full, it goes out unfolded.
    if folds && !noted && repeats(&key) {
        return;
    }
    // SAFETY: so many bytes of the map's value are written.
    let fate = unsafe { emit::output((&raw const whole.record).cast(), size_of::<ExitRecord>()) };
    // What has no room in the ring is told of with its repeats.
    if fate == Fate::Sent || !noted || !repeats(&key) {
        emit::count(Kind::Exit, fate);
    }
}

/// Counts an end that is known; false where it is not.
#[inline(always)]
fn repeats(key: &ExitKey) -> bool {
    let Some(known) = EXITS.get_ptr_mut(key) else { return false };
    // SAFETY: a value of the map, valid while this program runs.
    unsafe { atomic::add(&raw mut (*known).count, 1) };
    true
}

/// Writes every field.
#[inline(always)]
fn describe(leader: Object, tgid: u32, key: &ExitKey, fault: Option<&Fault>, record: &mut ExitRecord) {
    let (header, payload) = (&mut record.header, &mut record.payload);
    header.tag = Kind::Exit.tag();
    header.length = size_of::<ExitRecord>() as u32;
    header.stamp = emit::stamp(Kind::Exit);
    task::identify(leader, u64::from(tgid) << 32 | u64::from(tgid), header);
    let head = &mut header.head;
    (head.nr, head.errno, head.ret) = (0, 0, 0);
    // SAFETY: takes no arguments and never fails.
    head.finish = unsafe { bpf_ktime_get_boot_ns() };
    head.start = head.finish;

    (payload.status, payload.device, payload.inode) = (key.status, key.device, key.inode);
    task::cgroup_name(leader, &mut payload.cgroup_name);
    let signal = key.status & SIGNAL;
    // SAFETY: an entry is written once, before its process ends; an older one has another start.
    payload.sender = match unsafe { SENDERS.get(u64::from(tgid) << 32 | u64::from(signal)) } {
        Some(sender) if signal != 0 && sender.receiver_start == header.start_time => *sender,
        _ => NO_SENDER,
    };
    payload.fault = match fault {
        Some(fault) => *fault,
        None => NO_FAULT,
    };
}
