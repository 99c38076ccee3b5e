//! The system calls of x86_64, in order of number; out: rows to look up and walk.

mod from_000;
mod from_100;
mod from_200;
mod from_300;

use std::sync::LazyLock;

use super::{Syscall, by_number};

/// Turns `1 write Io (fd: Fd, buf: Pointer, count: Size);` into a row of the table `ROWS`.
macro_rules! calls {
    ($($number:literal $name:ident $class:ident ($($arg:ident: $kind:expr),*);)*) => {
        pub(super) static ROWS: &[Syscall] = &[$(Syscall {
            abi: $crate::syscall::Abi::X86_64,
            number: $number,
            name: stringify!($name),
            class: $crate::syscall::Class::$class,
            args: &[$($crate::syscall::Arg { name: stringify!($arg), kind: $kind }),*],
        }),*];
    };
}
use calls;

/// The parts of the table, ascending.
static PARTS: [&[Syscall]; 4] = [from_000::ROWS, from_100::ROWS, from_200::ROWS, from_300::ROWS];

/// Where each number has its row.
static BY_NUMBER: LazyLock<Vec<Option<&'static Syscall>>> = LazyLock::new(|| by_number(rows()));

/// Every row, ascending by number.
pub(super) fn rows() -> impl Iterator<Item = &'static Syscall> {
    PARTS.into_iter().flatten()
}

/// The row of a number.
pub(super) fn row(number: u32) -> Option<&'static Syscall> {
    BY_NUMBER.get(usize::try_from(number).ok()?).copied().flatten()
}
