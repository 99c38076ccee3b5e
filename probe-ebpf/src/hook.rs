//! One file per hook.

mod cap_capable;
mod io_uring;
mod mark_victim;
mod process_iter;
mod sched_process_exec;
mod sched_process_exit;
mod sched_process_fork;
mod sched_process_gone;
mod sched_switch;
mod signal_deliver;
mod signal_generate;
mod sys_exit;
mod task_iter;
