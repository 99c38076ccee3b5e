//! The ring form of an event: a header that says who and when, a payload of its kind, then only the user memory
//! that was captured.
//!
//! In: one record of the ring buffer. Out: a [`RingRecord`] that borrows from it. The first word has its top
//! bit set, which no thread id has, so that the ring form and the full form cannot be taken for one another.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    call::{CallPayload, Memory},
    exit::ExitPayload,
    offcpu::OffcpuPayload,
    oom::OomPayload,
    raw::{ARG_COUNT, ARG_LEN, DecodeError, Head, RawEvent},
};

/// Marks a ring record: the top bit of its first word.
pub const RING_TAG: u32 = 0x8000_0000;
/// Layout version of the ring form, in bits 8 to 15 of the first word.
pub const RING_VERSION: u32 = 4;
/// Low bits of a stamp that are the number; a CPU that sends a million records a second takes nine years to use them up.
const NUMBER_BITS: u32 = 48;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;

/// What an event is about; each kind has its own counters in the kernel.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A system call returned an error that is none of the two below.
    Syscall = 0,
    /// `execve` or `execveat` returned an error.
    Exec = 1,
    /// A system call returned `EACCES` or `EPERM`.
    Denial = 2,
    /// The kernel chose a process to kill for memory.
    Oom = 3,
    /// A thread was, or still is, kept off the CPU for too long.
    Offcpu = 4,
    /// A process ended by a signal or with a non-zero exit code.
    Exit = 5,
    /// An io_uring request ended with an error.
    IoUring = 6,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Syscall, Self::Exec, Self::Denial, Self::Oom, Self::Offcpu, Self::Exit, Self::IoUring];

    /// The kind of a failed system call; `exec` where it executes a program. The numbers are those of
    /// include/uapi/asm-generic/errno-base.h: EPERM and EACCES.
    #[inline(always)]
    pub const fn of_call(exec: bool, errno: u64) -> Self {
        match errno {
            _ if exec => Self::Exec,
            1 | 13 => Self::Denial,
            _ => Self::Syscall,
        }
    }

    /// The first word of this kind's ring records.
    pub const fn tag(self) -> u32 {
        RING_TAG | RING_VERSION << 8 | self as u32
    }

    /// The word that names this kind in logs, records and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syscall => "syscall",
            Self::Exec => "exec",
            Self::Denial => "denial",
            Self::Oom => "oom",
            Self::Offcpu => "offcpu",
            Self::Exit => "exit",
            Self::IoUring => "io_uring",
        }
    }
}

impl TryFrom<u32> for Kind {
    type Error = DecodeError;

    fn try_from(tag: u32) -> Result<Self, DecodeError> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag).ok_or(DecodeError::Unknown { tag })
    }
}

/// Who and when: the start of every ring record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RingHeader {
    /// [`Kind::tag`].
    pub tag: u32,
    /// Bytes of the record, this header and all that follows it included.
    pub length: u32,
    /// Effective user id in the initial user namespace.
    pub euid: u32,
    /// Thread group id of the parent; 0 where unknown.
    pub parent: u32,
    /// Start of the process (its thread group leader), in nanoseconds on `CLOCK_BOOTTIME`; 0 where unknown.
    pub start_time: u64,
    /// Id of the process's cgroup: of the memory controller's hierarchy on cgroup v1, else of the unified one; 0
    /// where unknown.
    pub cgroup: u64,
    /// [`RingHeader::stamp_of`].
    pub stamp: u64,
    /// Who, what and when, in the full form's layout.
    pub head: Head,
}

const _: () = assert!(size_of::<RingHeader>() == 136 && align_of::<RingHeader>() == 8);

impl RingHeader {
    /// The CPU that sent a record, and how many of its kind that CPU has sent with it: whoever reads a record knows how
    /// many were read before.
    #[inline(always)]
    pub const fn stamp_of(cpu: u32, number: u64) -> u64 {
        (cpu as u64) << NUMBER_BITS | (number & NUMBER)
    }

    /// The CPU that sent it.
    pub const fn cpu(&self) -> u32 {
        (self.stamp >> NUMBER_BITS) as u32
    }

    /// Its number among the records of its kind that this CPU has sent, from 1.
    pub const fn number(&self) -> u64 {
        self.stamp & NUMBER
    }
}

/// What happened, by kind.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// [`Kind::Syscall`], [`Kind::Exec`], [`Kind::Denial`] and [`Kind::IoUring`].
    Call(CallPayload, Memory<'a>),
    /// [`Kind::Oom`].
    Oom(OomPayload),
    /// [`Kind::Offcpu`].
    Offcpu(OffcpuPayload),
    /// [`Kind::Exit`].
    Exit(ExitPayload),
}

/// One record of the ring buffer, checked.
#[derive(Clone, Copy, Debug)]
pub struct RingRecord<'a> {
    /// What it is about.
    pub kind: Kind,
    /// Who and when.
    pub header: RingHeader,
    /// What happened.
    pub payload: Payload<'a>,
}

impl<'a> RingRecord<'a> {
    /// Whether these bytes claim to be a ring record; the full form never does.
    pub fn is_ring_form(bytes: &[u8]) -> bool {
        u32::read_from_prefix(bytes).is_ok_and(|(tag, _)| tag & RING_TAG != 0)
    }

    /// Reads one record. Bytes after its own length are ignored.
    ///
    /// # Errors
    /// [`DecodeError`] for an unknown kind or version, too few bytes, or lengths that contradict each other.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let short = |needed| DecodeError::Short { needed, have: bytes.len() };
        let (tag, _) = u32::read_from_prefix(bytes).map_err(|_| short(size_of::<RingHeader>()))?;
        let kind = Kind::try_from(tag)?;
        let (header, _) = RingHeader::read_from_prefix(bytes).map_err(|_| short(size_of::<RingHeader>()))?;
        let length = usize::try_from(header.length).map_err(|_| DecodeError::Inconsistent)?;
        let record = bytes.get(..length).ok_or_else(|| short(length))?;
        let rest = record.get(size_of::<RingHeader>()..).ok_or(DecodeError::Inconsistent)?;
        let payload = match kind {
            Kind::Syscall | Kind::Exec | Kind::Denial | Kind::IoUring => {
                let (payload, rest) =
                    CallPayload::read_from_prefix(rest).map_err(|_| DecodeError::Inconsistent)?;
                Payload::Call(payload, payload.memory(rest)?)
            }
            Kind::Oom => Payload::Oom(exactly(rest)?),
            Kind::Offcpu => Payload::Offcpu(exactly(rest)?),
            Kind::Exit => Payload::Exit(exactly(rest)?),
        };
        Ok(Self { kind, header, payload })
    }

    /// The full form. Only calls have arguments; of other kinds it says who and when.
    pub fn to_raw(&self) -> RawEvent {
        let arguments = match &self.payload {
            Payload::Call(payload, memory) => payload.arguments(memory),
            Payload::Oom(_) | Payload::Offcpu(_) | Payload::Exit(_) => [[0; ARG_LEN]; ARG_COUNT],
        };
        RawEvent { head: self.header.head, arguments }
    }
}

/// A payload of a fixed size that takes all the bytes there are.
fn exactly<T: FromBytes>(bytes: &[u8]) -> Result<T, DecodeError> {
    T::read_from_bytes(bytes).map_err(|_| DecodeError::Inconsistent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Kinds whose payload has one size, with that size.
    const FIXED: [(Kind, usize); 3] = [
        (Kind::Oom, size_of::<OomPayload>()),
        (Kind::Offcpu, size_of::<OffcpuPayload>()),
        (Kind::Exit, size_of::<ExitPayload>()),
    ];

    proptest! {
        #[test]
        fn a_payload_of_one_size_is_read_whatever_it_holds_and_refused_at_any_other(
            which in 0..FIXED.len(),
            mut bytes in proptest::collection::vec(any::<u8>(), 1024),
            more in -64isize..64,
        ) {
            let (kind, size) = FIXED[which];
            let length = (size_of::<RingHeader>() + size).saturating_add_signed(more);
            bytes[..4].copy_from_slice(&kind.tag().to_le_bytes());
            bytes[4..8].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
            let read = RingRecord::parse(&bytes);
            prop_assert_eq!(read.is_ok(), more == 0);
            if let Ok(record) = read {
                prop_assert_eq!(record.kind, kind);
                prop_assert_eq!(record.to_raw().arguments, [[0; ARG_LEN]; ARG_COUNT]);
            }
            prop_assert!(RingRecord::parse(&bytes[..length - 1]).is_err());
        }
    }
}
