//! One file per hook.

mod sys_exit;
