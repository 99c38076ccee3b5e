//! The processes that there were before anybody looked: `iter/task`, once at the start.
//!
//! In: one thread after the other. Out: an entry for each process, in place of one from a time when nobody looked at
//! forks and execs, between two configurations.
//!
//! Kernel context: as in `task_iter`.

use core::ffi::c_void;

use crate::{
    map::{LIVING, OFFSETS, global},
    process,
    task::Object,
};

/// Runs for every thread.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn process_iter(ctx: *mut c_void) -> i32 {
    // SAFETY: the second member of the context; the verifier checks it.
    let pointer = unsafe { ctx.cast::<u64>().add(1).read_volatile() } as *const u8;
    if pointer.is_null() {
        return 0;
    }
    let task = Object::new(pointer);
    let tgid: u32 = task.load(global(&OFFSETS.task_tgid));
    if tgid == task.load::<u32>(global(&OFFSETS.task_pid))
        && let Some(entry) = process::describe(task, 0, 1)
    {
        LIVING.insert(tgid, entry, 0).ok();
    }
    0
}
