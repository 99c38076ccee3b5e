//! One file per hook.

mod sched_switch;
mod sys_exit;
mod task_iter;
