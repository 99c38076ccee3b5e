//! A signal is sent: `tp_btf/signal_generate`.
//!
//! In: the signal and its receiver. Out: nothing but a note of who sent it, where a process did and the signal is
//! going to kill; the end of the receiver tells of it.
//!
//! Kernel prototype (include/trace/events/signal.h): `signal_generate(int sig, struct kernel_siginfo *info, struct
//! task_struct *task, int group, int result)`. `info` may also be one of the two small numbers below.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint, programs::BtfTracePointContext};
use probe_common::{ABSENT, COMM_LEN, Sender};

use crate::{
    map::{OFFSETS, SENDERS, global},
    task::{self, Object},
};

/// `SEND_SIG_NOINFO`: on behalf of the current process, as by a write to `cgroup.kill`.
const NO_INFO: u64 = 0;
/// `SEND_SIG_PRIV`: by the kernel itself.
const BY_KERNEL: u64 = 1;
/// `TRACE_SIGNAL_DELIVERED` and `TRACE_SIGNAL_LOSE_INFO`: it will arrive.
const DELIVERED: u32 = 0;
const LOST_INFO: u32 = 4;
/// `si_code` of what a process sends: `SI_USER`, `SI_QUEUE`, `SI_TKILL`.
const FROM_PROCESS: [i32; 3] = [0, -1, -6];
/// Signals that do not kill by default, by bit: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH.
const HARMLESS: u64 = 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 27;

/// Runs for every signal of the host.
#[btf_tracepoint(function = "signal_generate")]
pub fn signal_generate(ctx: BtfTracePointContext) -> i32 {
    let signal: u32 = ctx.arg(0);
    let result: u32 = ctx.arg(4);
    let index = signal.wrapping_sub(1);
    if index >= 64 || HARMLESS & 1 << index != 0 || result != DELIVERED && result != LOST_INFO {
        return 0;
    }
    let receiver = Object::new(ctx.arg(2));
    if has_handler(receiver, index) {
        return 0;
    }
    let sender = (bpf_get_current_pid_tgid() >> 32) as u32;
    let tgid: u32 = receiver.load(global(&OFFSETS.task_tgid));
    let info: u64 = ctx.arg(1);
    let by_process = match info {
        NO_INFO => sender != tgid,
        BY_KERNEL => false,
        _ => {
            let code = global(&OFFSETS.siginfo_code);
            code != ABSENT && FROM_PROCESS.contains(&Object::new(ctx.arg(1)).probe_field(code))
        }
    };
    if by_process {
        remember(receiver, u64::from(tgid) << 32 | u64::from(signal), sender);
    }
    0
}

/// Whether the receiver catches or ignores the signal.
#[inline(always)]
fn has_handler(receiver: Object, index: u32) -> bool {
    let (sighand, action) = (global(&OFFSETS.task_sighand), global(&OFFSETS.sighand_action));
    let (size, handler) = (global(&OFFSETS.k_sigaction_size), global(&OFFSETS.k_sigaction_handler));
    if sighand == ABSENT || action == ABSENT || size == ABSENT || handler == ABSENT {
        return false;
    }
    receiver.follow(sighand).probe_field::<u64>(action + index * size + handler) != 0
}

#[inline(always)]
fn remember(receiver: Object, key: u64, pid: u32) {
    let current = Object::current_task();
    let uid = current.load_behind(global(&OFFSETS.task_cred), global(&OFFSETS.cred_uid));
    let mut sender = Sender { receiver_start: task::process_start(receiver), pid, uid, comm: [0; COMM_LEN] };
    sender.comm = current.comm();
    // Where the map is full, the oldest entry goes: one whose receiver survived, or died a while ago.
    let _ = SENDERS.insert(key, sender, 0);
}
