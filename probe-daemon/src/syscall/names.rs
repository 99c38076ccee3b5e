//! Names of flag bits and numbered choices: in, the header constants; out, argument kinds for the table.

pub mod file;
pub mod ioctl;
pub mod memory;
pub mod net;
pub mod process;
pub mod system;

/// Turns `NAME kind { 0x1 FLAG_A, 0x2 FLAG_B }` into a constant argument kind, several names a line.
/// A kind with further parts writes them in parentheses: `NAME field(…) { … }`.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident $kind:ident $(($extra:expr))? { $($value:literal $label:ident),* })*) => {
        $($(#[$doc])* pub const $name: $crate::syscall::kind::Kind =
            $kind(&[$(($value, stringify!($label))),*] $(, $extra)?);)*
    };
}
use names;
