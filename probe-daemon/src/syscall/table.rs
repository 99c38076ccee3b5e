//! The system calls of x86_64, in order of number; out: rows to look up and walk.

mod from_000;
mod from_100;
mod from_200;
mod from_300;

use super::Syscall;

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

/// Every row, ascending by number.
pub(super) fn rows() -> impl Iterator<Item = &'static Syscall> {
    PARTS.into_iter().flatten()
}

/// The row of a number.
pub(super) fn row(number: u32) -> Option<&'static Syscall> {
    let part =
        PARTS.into_iter().rev().find(|part| part.first().is_some_and(|first| first.number <= number))?;
    let at = part.binary_search_by_key(&number, |call| call.number).ok()?;
    part.get(at)
}
