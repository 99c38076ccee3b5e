//! The slots of the policy map that a name in a rule stands for.
//!
//! In: `openat`, `class:network`, `io_uring:openat`. Out: slots, or the nearest right name.

use probe_common::{IO_URING_FIRST, POLICY_SLOTS, SYSCALL_SLOTS, X86_64, io_uring_slot, syscall_slot};

use super::CLASS;
use crate::{
    io_uring::{self, OPERATIONS, Operation},
    nearest::nearest,
    syscall::{self, Class},
};

/// Starts the name of an io_uring operation that is not to mean the system call as well.
pub const OPERATION: &str = "io_uring:";
/// The class of every io_uring operation.
const ANY_OPERATION: &str = "io_uring";

/// Every slot that rules are about.
pub fn all() -> impl Iterator<Item = u32> {
    (0..SYSCALL_SLOTS).chain(IO_URING_FIRST..POLICY_SLOTS)
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
                let calls = syscall::class_members(class).map(|call| syscall_slot(X86_64, call.number));
                Ok(calls.chain(operations(|operation| operation.class == class)).collect())
            }
            None if class == ANY_OPERATION => Ok((IO_URING_FIRST..POLICY_SLOTS).collect()),
            None => {
                let names = Class::ALL.map(Class::name).into_iter().chain([ANY_OPERATION]);
                Err(nearest(class, names).map(|near| format!("{CLASS}{near}")))
            }
        };
    }
    let call = syscall::parse(name);
    let same = call.map_or(name, |call| call.name);
    let calls = call.into_iter().map(|call| syscall_slot(X86_64, call.number));
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
