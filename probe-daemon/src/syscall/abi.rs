//! Whose numbers a call's number is one of: of 64-bit or of 32-bit processes. In: what the kernel side says.
//! Out: a name.

use probe_common::{I386, X86_64};

/// A table of system call numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Abi {
    /// That of 64-bit processes.
    #[default]
    X86_64,
    /// That of 32-bit processes, and of `int 0x80` in any.
    I386,
}

impl Abi {
    /// From `CallPayload::abi`.
    pub const fn of(code: u8) -> Self {
        if code == I386 { Self::I386 } else { Self::X86_64 }
    }

    /// As in `CallPayload::abi`.
    pub const fn code(self) -> u8 {
        match self {
            Self::X86_64 => X86_64,
            Self::I386 => I386,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
        }
    }
}
