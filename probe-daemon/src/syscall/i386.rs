//! The system calls of 32-bit (i386) processes, whose numbers mean other calls than those of 64-bit ones.
//!
//! In: a number or a name. Out: rows like those of the 64-bit table, most of which lend their arguments. Ids of
//! `setuid` and its like have 16 bits there, which no program of this century uses: they are read as of 32.

mod rows;

use std::sync::LazyLock;

use probe_common::{SOCKETCALL, SOCKETCALLS};

use super::{Abi, Arg, Class, Syscall, by_number, table};

/// One line of the table.
struct Entry {
    number: u32,
    name: &'static str,
    /// The 64-bit call of which it is a form, where the names differ.
    base: Option<&'static str>,
    /// What it works on, where 64-bit processes have no such call.
    class: Option<Class>,
    /// Its arguments, where they are not those of the 64-bit call.
    args: Option<&'static [Arg]>,
}

macro_rules! optional {
    () => {
        None
    };
    ($($given:tt)+) => {
        Some($($given)+)
    };
}
use optional;

/// Turns lines into the table `ENTRIES`.
macro_rules! entries {
    ($($number:literal $name:ident $(= $base:ident)? $(: $class:ident)?
        $(($($arg:ident: $kind:expr),*))?;)*) => {
        pub(super) static ENTRIES: &[Entry] = &[$(Entry {
            number: $number,
            name: stringify!($name),
            base: super::optional!($(stringify!($base))?),
            class: super::optional!($(Class::$class)?),
            args: super::optional!($(&[$($crate::syscall::Arg {
                name: stringify!($arg),
                kind: $kind,
            }),*])?),
        }),*];
    };
}
use entries;

/// The 64-bit calls behind `socketcall`, by its first argument (include/uapi/linux/net.h).
const BEHIND_SOCKETCALL: [&str; SOCKETCALLS as usize] = [
    "",
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "sendto",
    "recvfrom",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// Which first arguments of `socketcall` stand for this call; all, for `socketcall` itself.
pub(super) fn behind_socketcall(call: &Syscall) -> impl Iterator<Item = u32> {
    let all = call.abi == Abi::I386 && call.number == SOCKETCALL;
    let of = move |name: &str| all || (call.abi == Abi::X86_64 && call.name == name);
    (0..).zip(BEHIND_SOCKETCALL).filter(move |(_, name)| of(name)).map(|(number, _)| number)
}

/// A 32-bit call, and the number of the 64-bit call of which it is a form.
struct Row {
    call: Syscall,
    form_of: Option<u32>,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| rows::ENTRIES.iter().map(Row::from).collect());

impl From<&Entry> for Row {
    fn from(entry: &Entry) -> Self {
        let base = entry.base.unwrap_or(entry.name);
        let base = table::rows().find(|call| call.name == base);
        let class = entry.class.or(base.map(|call| call.class)).unwrap_or(Class::System);
        let args = entry.args.or(base.map(|call| call.args)).unwrap_or_default();
        let call = Syscall { abi: Abi::I386, number: entry.number, name: entry.name, class, args };
        Self { call, form_of: base.map(|call| call.number) }
    }
}

/// Where each number has its row.
static BY_NUMBER: LazyLock<Vec<Option<&'static Syscall>>> = LazyLock::new(|| by_number(rows()));

/// Every row, ascending by number.
pub(super) fn rows() -> impl Iterator<Item = &'static Syscall> {
    ROWS.iter().map(|row| &row.call)
}

/// The row of a number.
pub(super) fn row(number: u32) -> Option<&'static Syscall> {
    BY_NUMBER.get(usize::try_from(number).ok()?).copied().flatten()
}

/// The 32-bit forms of a 64-bit call: `stat`, `stat64` and `oldstat` of `stat`.
pub(super) fn forms(call: &Syscall) -> impl Iterator<Item = &'static Syscall> {
    let number = call.number;
    ROWS.iter().filter(move |row| row.form_of == Some(number)).map(|row| &row.call)
}
