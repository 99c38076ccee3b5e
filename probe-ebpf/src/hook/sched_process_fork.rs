//! A process is made: `tp_btf/sched_process_fork`.
//!
//! In: every new thread, before it runs. Out: what the process is, for those that are the first of theirs: the same as
//! its parent.
//!
//! Kernel prototype (include/trace/events/sched.h): `sched_process_fork(struct task_struct *parent, struct task_struct
//! *child)`.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    map::{OFFSETS, global},
    process,
    task::Object,
};

/// Runs for whoever makes a thread.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    let child = Object::new(ctx.arg(1));
    let tgid: u32 = child.load(global(&OFFSETS.task_tgid));
    if tgid == child.load::<u32>(global(&OFFSETS.task_pid)) {
        let parent = Object::new(ctx.arg(0));
        process::begins(child, tgid, parent.load(global(&OFFSETS.task_tgid)));
    }
    0
}
