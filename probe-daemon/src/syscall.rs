//! The system calls of 64-bit and of 32-bit processes: in, a number, the argument registers and what was read of user memory;
//! out, names, typed arguments and the few words that a sentence about the call needs.
//!
//! Everything here is total: any number, any registers and any bytes give an answer.

mod abi;
mod class;
mod decode;
mod flag;
mod i386;
mod kind;
mod names;
mod restore;
mod sockaddr;
mod summary;
mod table;
#[cfg(test)]
mod tests;

pub use abi::Abi;
pub use class::Class;
pub use decode::{Args, Captured, decode, path, peer};
pub use flag::signal_name;
pub use kind::{Field, Flags, Kind, Names};
pub use restore::{Restored, restore};
pub use sockaddr::{SockAddr, UnixName};
pub use summary::summary;

use probe_common::socketcall_slot;

/// The most arguments that a system call has.
pub const MAX_ARGS: usize = 6;

/// One system call.
#[derive(Debug, PartialEq, Eq)]
pub struct Syscall {
    /// Whose call it is.
    pub abi: Abi,
    /// Its number there.
    pub number: u32,
    /// Its name, without the kernel's `sys_`.
    pub name: &'static str,
    /// What it works on.
    pub class: Class,
    /// Its arguments, in the order of the registers.
    pub args: &'static [Arg],
}

impl Syscall {
    /// Its slot in the policy of the kernel side.
    pub fn slot(&self) -> u32 {
        probe_common::syscall_slot(self.abi.code(), self.number, 0)
    }

    /// The slots of everything that rules about it are about: a 32-bit process may make the same call through
    /// `socketcall`, and a rule about that is about all calls behind it.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.slot()).chain(i386::behind_socketcall(self).map(socketcall_slot))
    }
}

/// One argument of a system call.
#[derive(Debug, PartialEq, Eq)]
pub struct Arg {
    /// Its name in the manual page, made alike across calls.
    pub name: &'static str,
    /// What its register means.
    pub kind: Kind,
}

/// Which arguments point to user memory that is worth reading when the call fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Bit i: argument i is a NUL-terminated string. At most three are set.
    pub strings: u8,
    /// The argument that points to a socket address which the caller filled in, and the one that holds its
    /// length.
    pub sockaddr: Option<(u8, u8)>,
}

/// Names that the C library gives to calls whose kernel name is another.
const ALIASES: [(&str, &str); 6] = [
    ("fstatat", "newfstatat"),
    ("pread", "pread64"),
    ("prlimit", "prlimit64"),
    ("pwrite", "pwrite64"),
    ("sendfile64", "sendfile"),
    ("umount", "umount2"),
];

/// Every system call of 64-bit processes, ascending by number.
pub fn all() -> impl Iterator<Item = &'static Syscall> {
    table::rows()
}

/// Every system call: those of 64-bit processes, then those of 32-bit ones.
pub fn both() -> impl Iterator<Item = &'static Syscall> {
    table::rows().chain(i386::rows())
}

/// The system call with this number.
pub fn lookup(abi: Abi, number: u32) -> Option<&'static Syscall> {
    match abi {
        Abi::X86_64 => table::row(number),
        Abi::I386 => i386::row(number),
    }
}

/// Rows by their numbers.
fn by_number(rows: impl Iterator<Item = &'static Syscall>) -> Vec<Option<&'static Syscall>> {
    let mut table = Vec::new();
    for row in rows {
        let at = row.number as usize;
        table.resize(table.len().max(at + 1), None);
        table[at] = Some(row);
    }
    table
}

/// The 64-bit system call with this name, with or without `sys_`, or with the C library's name for it.
pub fn parse(name: &str) -> Option<&'static Syscall> {
    let name = name.strip_prefix("sys_").unwrap_or(name);
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, kernel)| kernel);
    table::rows().find(|call| call.name == name)
}

/// The system calls that a name stands for: the 64-bit one, and all its 32-bit forms; or that of 32-bit processes alone.
/// None if there is no such name.
pub fn named(name: &str) -> Vec<&'static Syscall> {
    if let Some(call) = parse(name) {
        return std::iter::once(call).chain(i386::forms(call)).collect();
    }
    let name = name.strip_prefix("sys_").unwrap_or(name);
    i386::rows().filter(|call| call.name == name).collect()
}

/// The name closest to a misspelt one, for "did you mean"; none if nothing is close.
pub fn nearest(name: &str) -> Option<&'static str> {
    crate::nearest::nearest(name.strip_prefix("sys_").unwrap_or(name), both().map(|call| call.name))
}

/// Every system call of a class.
pub fn class_members(class: Class) -> impl Iterator<Item = &'static Syscall> {
    both().filter(move |call| call.class == class)
}

/// What to read of user memory when this call fails; nothing for an unknown number.
pub fn capture(abi: Abi, number: u32) -> Capture {
    let mut plan = Capture::default();
    let args = lookup(abi, number).map_or(&[][..], |call| call.args);
    for (index, arg) in (0_u8..).zip(args) {
        match arg.kind {
            Kind::Path | Kind::Text => plan.strings |= 1 << index,
            Kind::SockAddr { len } => plan.sockaddr = Some((index, len)),
            _ => {}
        }
    }
    plan
}
