//! A thread ends: `tp_btf/sched_process_exit`.
//!
//! In: the thread. Out: one record when it was the last of its process, and the process ended by a signal or with a
//! non-zero exit code. A thread that dies because another one executes a program is not the last, so no record
//! tells of it; and a process whose first thread ended long ago is reported when it really ends.
//!
//! Kernel prototype (include/trace/events/sched.h): `sched_process_exit(struct task_struct *p)`, since 6.16 with
//! `bool group_dead`.

use aya_ebpf::{
    bindings::BPF_NOEXIST, helpers::generated::bpf_ktime_get_boot_ns, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use probe_common::{ABSENT, COMM_LEN, ExitRecord, Fault, Kind, NAME_LEN, Sender};

use crate::{
    emit,
    map::{ENDED, FAULTS, OFFSETS, SENDERS, global, is_own},
    task::{self, Object},
};

/// `SIGNAL_GROUP_EXIT` of include/linux/sched/signal.h: all threads end with the process's own code.
const GROUP_EXIT: u32 = 4;
/// The part of the code that is a signal.
const SIGNAL: u32 = 0x7f;

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
        ended(leader, tgid, status);
    }
    0
}

#[inline(always)]
fn ended(leader: Object, tgid: u32, status: u32) {
    let start = task::process_start(leader);
    if ENDED.insert([u64::from(tgid), start], 1, u64::from(BPF_NOEXIST)).is_err() {
        return;
    }
    emit::reserve(Kind::Exit, |record: &mut ExitRecord| {
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

        (payload.status, payload.reserved) = (status, 0);
        task::cgroup_name(leader, &mut payload.cgroup_name);
        let signal = status & SIGNAL;
        let key = u64::from(tgid) << 32 | u64::from(signal);
        // SAFETY: an entry is written once, before its process ends; an older one has another start.
        payload.sender = match unsafe { SENDERS.get(key) } {
            Some(sender) if signal != 0 && sender.receiver_start == start => *sender,
            _ => NO_SENDER,
        };
        // SAFETY: as above.
        payload.fault = match unsafe { FAULTS.get(tgid) } {
            Some(fault) if fault.signal == signal && fault.process_start == start => *fault,
            _ => NO_FAULT,
        };
    });
}
