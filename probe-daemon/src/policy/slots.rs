//! The slots of the policy map that a name in a rule stands for.
//!
//! In: `openat`, `class:network`, `io_uring:openat`. Out: slots, or the nearest right name.

use probe_common::{IO_URING_FIRST, POLICY_SLOTS, io_uring_slot};

use super::CLASS;
use crate::{
    io_uring::{self, OPERATIONS, Operation},
    nearest::nearest,
    syscall::{self, Class, Syscall},
};

/// Starts the name of an io_uring operation that is not to mean the system call as well.
pub const OPERATION: &str = "io_uring:";
/// The class of every io_uring operation.
const ANY_OPERATION: &str = "io_uring";

/// Every slot: of calls, known and unknown, of 64-bit and of 32-bit processes, and of operations.
pub fn all() -> impl Iterator<Item = u32> {
    0..POLICY_SLOTS
}

/// The slots of a system call and the operation of the same name, or of a class of them; else the name that was nearest.
pub fn parse(name: &str) -> Result<Vec<u32>, Option<String>> {
    if let Some(name) = name.strip_prefix(OPERATION) {
        let slots: Vec<u32> = operations(|operation| operation.name == name).collect();
        let near =
            || nearest(name, OPERATIONS.iter().map(|it| it.name)).map(|near| format!("{OPERATION}{near}"));
        return if slots.is_empty() { Err(near()) } else { Ok(slots) };
    }
    if let Some(class) = name.strip_prefix(CLASS) {
        return match Class::parse(class) {
            Some(class) => {
                let calls = syscall::class_members(class).flat_map(Syscall::slots);
                Ok(calls.chain(operations(|operation| operation.class == class)).collect())
            }
            None if class == ANY_OPERATION => Ok((IO_URING_FIRST..POLICY_SLOTS).collect()),
            None => {
                let names = Class::ALL.map(Class::name).into_iter().chain([ANY_OPERATION]);
                Err(nearest(class, names).map(|near| format!("{CLASS}{near}")))
            }
        };
    }
    // `sys_openat` means `openat`.
    let same = syscall::parse(name).map_or(name, |call| call.name);
    let calls = syscall::named(name).into_iter().flat_map(Syscall::slots);
    let slots: Vec<u32> = calls.chain(operations(|operation| operation.name == same)).collect();
    if slots.is_empty() { Err(near(name)) } else { Ok(slots) }
}

fn operations(wanted: impl Fn(&Operation) -> bool) -> impl Iterator<Item = u32> {
    io_uring::opcodes(wanted).map(io_uring_slot)
}

fn near(name: &str) -> Option<String> {
    let calls = syscall::nearest(name);
    // Of both, whichever is nearer.
    nearest(name, calls.into_iter().chain(OPERATIONS.iter().map(|operation| operation.name)))
        .map(str::to_owned)
}
