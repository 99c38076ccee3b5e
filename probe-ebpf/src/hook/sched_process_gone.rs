//! A process is gone: a second program at `tp_btf/sched_process_exit`, which runs whichever families are on.
//!
//! In: the end of every thread. Out: of the last one of a process, its entry among those that have ended.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use probe_common::ABSENT;

use crate::{
    map::{OFFSETS, global},
    process,
    task::Object,
};

/// Runs at the end of every thread of the host.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_gone(ctx: BtfTracePointContext) -> i32 {
    let task = Object::new(ctx.arg(0));
    let (signal, live) = (global(&OFFSETS.task_signal), global(&OFFSETS.signal_live));
    if signal != ABSENT && live != ABSENT && task.follow(signal).load::<u32>(live) == 0 {
        process::ends(task.load(global(&OFFSETS.task_tgid)));
    }
    0
}
