//! One file per hook.

mod cap_capable;
mod io_uring;
mod mark_victim;
mod sched_process_exit;
mod sched_switch;
mod signal_deliver;
mod signal_generate;
mod sys_exit;
mod task_iter;
