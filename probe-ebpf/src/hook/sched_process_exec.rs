//! A process executes another program: `tp_btf/sched_process_exec`.
//!
//! In: every `execve` that succeeded, before the new program's first instruction. Out: what the process is now.
//!
//! Kernel prototype (include/trace/events/sched.h): `sched_process_exec(struct task_struct *p, pid_t old_pid, struct
//! linux_binprm *bprm)`.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    map::{OFFSETS, global},
    process,
    task::Object,
};

/// Runs for the thread that executes, which is the process's only one by then.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let task = Object::new(ctx.arg(0));
    process::executes(task, task.load(global(&OFFSETS.task_tgid)));
    0
}
