//! What is known of a program that could not be executed, beside the call.
//!
//! In: the call's arguments. Out: an [`Attempt`] to look into, and the [`Hindrance`] that was found.

use probe_common::{CallPayload, Memory};

use crate::syscall::{self, Syscall};

/// The descriptor that stands for the working directory.
const AT_FDCWD: i32 = -100;

/// A file that was to be executed, as the process named it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// The descriptor of the directory from which a relative path goes out; none: the working directory.
    pub dir: Option<i32>,
    /// The path; empty for the file that `dir` itself is.
    pub path: Vec<u8>,
}

impl Attempt {
    /// The file that this call names; none where its path could not be read whole.
    pub fn of(call: &Syscall, payload: &CallPayload, memory: &Memory<'_>) -> Option<Self> {
        let at = syscall::capture(call.abi, call.number).strings.trailing_zeros() as usize;
        let path = memory.get(at).copied().flatten()?;
        if payload.truncated & 1 << at != 0 {
            return None;
        }
        // A descriptor is an `int`, whatever the upper half of its register holds.
        let dir = (at > 0).then(|| payload.registers[0] as u32 as i32).filter(|dir| *dir != AT_FDCWD);
        Some(Self { dir, path: path.to_vec() })
    }
}

/// Why a file that exists could not be executed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hindrance {
    /// What is in the way.
    pub reason: Reason,
    /// The interpreter that this is said of; none where it is the file itself.
    pub interpreter: Option<String>,
}

/// What is in the way of executing a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// It does not exist.
    Missing,
    /// It is a directory or a device.
    NoFile,
    /// Its mode lets nobody execute it.
    Mode,
    /// Its file system is mounted `noexec`.
    Mount,
}

impl Reason {
    /// As an attribute has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NoFile => "no_regular_file",
            Self::Mode => "no_execute_permission",
            Self::Mount => "noexec_mount",
        }
    }

    /// As a sentence goes on after what it is said of.
    pub fn text(self) -> &'static str {
        match self {
            Self::Missing => "does not exist",
            Self::NoFile => "is no regular file",
            Self::Mode => "has no execute permission",
            Self::Mount => "is on a file system mounted noexec",
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn check(name: &str, registers: [u64; 6], at: usize, path: &[u8], expect: Option<Option<i32>>) {
        let mut payload = CallPayload::new_zeroed();
        payload.registers = registers;
        let mut memory: Memory<'_> = [None; 6];
        memory[at] = Some(path);
        let attempt = Attempt::of(syscall::parse(name).unwrap(), &payload, &memory);
        assert_eq!(attempt, expect.map(|dir| Attempt { dir, path: path.to_vec() }), "{name} {registers:?}");
        payload.truncated = 1 << at;
        assert_eq!(Attempt::of(syscall::parse(name).unwrap(), &payload, &memory), None, "cut short");
    }

    #[test]
    fn both_calls_name_their_file_and_bytes_that_are_no_text_stay() {
        check("execve", [7, 8, 9, 0, 0, 0], 0, b"/opt/\xff", Some(None));
        check("execveat", [0xffff_ff9c, 8, 9, 0, 0, 0], 1, b"app", Some(None));
        check("execveat", [u64::MAX << 32 | 5, 8, 9, 0, 0, 0], 1, b"", Some(Some(5)));
        check("execve", [7, 8, 9, 0, 0, 0], 1, b"not captured", None);
    }
}
