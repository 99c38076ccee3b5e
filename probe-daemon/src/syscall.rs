//! The system calls of x86_64: in, a number, the argument registers and what was read of user memory;
//! out, names, typed arguments and the few words that a sentence about the call needs.
//!
//! Everything here is total: any number, any registers and any bytes give an answer.

mod class;
mod decode;
mod flag;
mod kind;
mod names;
mod sockaddr;
mod summary;
mod table;
#[cfg(test)]
mod tests;

pub use class::Class;
pub use decode::{Args, Captured, decode, path, peer};
pub use flag::signal_name;
pub use kind::{Field, Flags, Kind, Names};
pub use sockaddr::{SockAddr, UnixName};
pub use summary::summary;

/// The most arguments that a system call has.
pub const MAX_ARGS: usize = 6;

/// One system call.
#[derive(Debug, PartialEq, Eq)]
pub struct Syscall {
    /// Its number on x86_64.
    pub number: u32,
    /// Its name, without the kernel's `sys_`.
    pub name: &'static str,
    /// What it works on.
    pub class: Class,
    /// Its arguments, in the order of the registers.
    pub args: &'static [Arg],
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

/// Every system call, ascending by number.
pub fn all() -> impl Iterator<Item = &'static Syscall> {
    table::rows()
}

/// The system call with this number.
pub fn lookup(number: u32) -> Option<&'static Syscall> {
    table::row(number)
}

/// The system call with this name, with or without `sys_`, or with the C library's name for it.
pub fn parse(name: &str) -> Option<&'static Syscall> {
    let name = name.strip_prefix("sys_").unwrap_or(name);
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, kernel)| kernel);
    all().find(|call| call.name == name)
}

/// The name closest to a misspelt one, for "did you mean"; none if nothing is close.
pub fn nearest(name: &str) -> Option<&'static str> {
    crate::nearest::nearest(name.strip_prefix("sys_").unwrap_or(name), all().map(|call| call.name))
}

/// Every system call of a class, ascending by number.
pub fn class_members(class: Class) -> impl Iterator<Item = &'static Syscall> {
    all().filter(move |call| call.class == class)
}

/// What to read of user memory when this call fails; nothing for an unknown number.
pub fn capture(number: u32) -> Capture {
    let mut plan = Capture::default();
    let args = lookup(number).map_or(&[][..], |call| call.args);
    for (index, arg) in (0_u8..).zip(args) {
        match arg.kind {
            Kind::Path | Kind::Text => plan.strings |= 1 << index,
            Kind::SockAddr { len } => plan.sockaddr = Some((index, len)),
            _ => {}
        }
    }
    plan
}
