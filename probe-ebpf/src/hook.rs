//! One file per hook.

mod cap_capable;
mod io_uring;
mod sys_exit;
