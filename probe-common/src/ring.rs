//! The ring form of an event: a header, the [`Head`], then only the user memory that was captured.
//!
//! In: one record of the ring buffer. Out: a [`RingRecord`] that borrows from it. The first word has its top
//! bit set, which no thread id has, so that the two forms cannot be taken for one another.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::raw::{ARG_COUNT, ARG_LEN, DecodeError, Head, RawEvent};

/// Marks a ring record: the top bit of its first word.
pub const RING_TAG: u32 = 0x8000_0000;
/// Layout version of the ring form, in bits 8 to 15 of the first word.
pub const RING_VERSION: u32 = 1;
/// Argument registers of a system call.
pub const REGISTERS: usize = 6;
/// The longest string that is captured, in bytes without its NUL: `PATH_MAX` of the kernel.
pub const PATH_LEN: usize = 4096;
/// The longest socket address: `sizeof(struct sockaddr_storage)`.
pub const SOCKADDR_LEN: usize = 128;
/// Room for one string while it is read: eight bytes more than the longest, so that a longer one shows.
pub const MEMORY_SLOT_LEN: usize = PATH_LEN + 8;
/// Room for all captured memory of one event while it is put together. The BPF side masks its write position
/// with `SCRATCH_MEMORY_LEN - MEMORY_SLOT_LEN - 1`, a power of two less one, which three strings never reach.
pub const SCRATCH_MEMORY_LEN: usize = 16384 + MEMORY_SLOT_LEN;

/// What an event is about; each kind has its own counters in the kernel.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A system call returned an error.
    Syscall = 0,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 1] = [Self::Syscall];

    /// The first word of this kind's ring records.
    pub const fn tag(self) -> u32 {
        RING_TAG | RING_VERSION << 8 | self as u32
    }

    /// The word that names this kind in logs, records and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syscall => "syscall",
        }
    }
}

impl TryFrom<u32> for Kind {
    type Error = DecodeError;

    fn try_from(tag: u32) -> Result<Self, DecodeError> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag).ok_or(DecodeError::Unknown { tag })
    }
}

/// The fixed part of a ring record. The captured memory follows it, argument by argument, without gaps.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RingHeader {
    /// [`Kind::tag`].
    pub tag: u32,
    /// Bytes of the record, this header and the captured memory included.
    pub length: u32,
    /// Effective user id in the initial user namespace.
    pub euid: u32,
    /// Thread group id of the parent; 0 where unknown.
    pub parent: u32,
    /// Captured bytes of each argument; 0 where nothing was captured.
    pub memory_len: [u16; REGISTERS],
    /// Bit i: the memory of argument i was captured (it may be empty).
    pub captured: u8,
    /// Bit i: the memory of argument i goes on past what was captured.
    pub truncated: u8,
    /// Padding, always 0.
    pub reserved: u16,
    /// Start of the process (its thread group leader), in nanoseconds on `CLOCK_BOOTTIME`; 0 where unknown.
    pub start_time: u64,
    /// The argument registers.
    pub registers: [u64; REGISTERS],
    /// Who, what and when.
    pub head: Head,
}

const _: () = assert!(size_of::<RingHeader>() == 184 && align_of::<RingHeader>() == 8);

/// Where the BPF side puts a record with captured memory together, one per CPU.
#[repr(C)]
pub struct Scratch {
    /// The fixed part.
    pub header: RingHeader,
    /// The captured memory.
    pub memory: [u8; SCRATCH_MEMORY_LEN],
}

// A per-CPU map's value may not be larger: PCPU_MIN_UNIT_SIZE of the kernel.
const _: () = assert!(size_of::<Scratch>() <= 32 * 1024);

/// One record of the ring buffer, checked.
#[derive(Clone, Copy, Debug)]
pub struct RingRecord<'a> {
    /// What it is about.
    pub kind: Kind,
    /// The fixed part.
    pub header: RingHeader,
    memory: [Option<&'a [u8]>; REGISTERS],
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
        let Ok((tag, _)) = u32::read_from_prefix(bytes) else {
            return Err(DecodeError::Short { needed: size_of::<RingHeader>(), have: bytes.len() });
        };
        let kind = Kind::try_from(tag)?;
        let short = |needed| DecodeError::Short { needed, have: bytes.len() };
        let (header, _) = RingHeader::read_from_prefix(bytes).map_err(|_| short(size_of::<RingHeader>()))?;
        let length = usize::try_from(header.length).map_err(|_| DecodeError::Inconsistent)?;
        let record = bytes.get(..length).ok_or_else(|| short(length))?;
        let mut rest = record.get(size_of::<RingHeader>()..).ok_or(DecodeError::Inconsistent)?;
        let mut memory = [None; REGISTERS];
        for (index, (slot, &len)) in memory.iter_mut().zip(&header.memory_len).enumerate() {
            let len = usize::from(len);
            if header.captured & (1 << index) == 0 {
                if len != 0 {
                    return Err(DecodeError::Inconsistent);
                }
                continue;
            }
            let (taken, left) = rest.split_at_checked(len).ok_or(DecodeError::Inconsistent)?;
            *slot = Some(taken);
            rest = left;
        }
        if rest.is_empty() { Ok(Self { kind, header, memory }) } else { Err(DecodeError::Inconsistent) }
    }

    /// The captured memory of each argument: a string without its NUL, or a socket address.
    pub fn memory(&self) -> [Option<&'a [u8]>; REGISTERS] {
        self.memory
    }

    /// The full form: five arguments, each cut to 128 bytes.
    pub fn to_raw(&self) -> RawEvent {
        let mut arguments = [[0; ARG_LEN]; ARG_COUNT];
        for ((argument, memory), register) in arguments.iter_mut().zip(self.memory).zip(self.header.registers)
        {
            let register = register.to_le_bytes();
            for (to, from) in argument.iter_mut().zip(memory.unwrap_or(&register)) {
                *to = *from;
            }
        }
        RawEvent { head: self.header.head, arguments }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::FromZeros;

    use super::*;

    fn record(memory: [Option<&[u8]>; REGISTERS]) -> Vec<u8> {
        let mut header = RingHeader::new_zeroed();
        header.tag = Kind::Syscall.tag();
        header.registers = [1, 2, 3, 4, 5, 6];
        let mut tail = Vec::new();
        for (index, bytes) in memory.iter().enumerate() {
            if let Some(bytes) = bytes {
                header.captured |= 1 << index;
                header.memory_len[index] = u16::try_from(bytes.len()).unwrap();
                tail.extend_from_slice(bytes);
            }
        }
        header.length = u32::try_from(size_of::<RingHeader>() + tail.len()).unwrap();
        [header.as_bytes(), &tail].concat()
    }

    #[test]
    fn both_forms_are_told_apart_and_give_the_same_event() {
        let bytes = record([None, Some(b"/etc/shadow"), None, None, None, None]);
        let event = RawEvent::ingest(&bytes).unwrap();
        assert_eq!(event.string(1), Some(&b"/etc/shadow"[..]));
        assert_eq!((event.register(0), event.register(2)), (Some(1), Some(3)));
        assert!(!RingRecord::is_ring_form(event.as_bytes()));
        assert_eq!(RawEvent::ingest(event.as_bytes()), Ok(event));
    }

    #[test]
    fn a_long_path_is_whole_in_the_ring_form_and_cut_in_the_full_form() {
        let path = [b'p'; PATH_LEN];
        let bytes = record([Some(&path), Some(b""), None, None, None, None]);
        let parsed = RingRecord::parse(&bytes).unwrap();
        assert_eq!(parsed.memory()[0].map(<[u8]>::len), Some(PATH_LEN));
        assert_eq!(parsed.memory()[1], Some(&b""[..]));
        assert_eq!(parsed.to_raw().string(0).map(<[u8]>::len), Some(ARG_LEN));
    }

    #[test]
    fn unknown_kinds_and_lengths_that_do_not_fit_are_errors() {
        let good = record([Some(b"abc"), None, None, None, None, None]);
        let mut other_kind = good.clone();
        other_kind[0] = 0xff;
        assert!(matches!(RingRecord::parse(&other_kind), Err(DecodeError::Unknown { .. })));
        assert!(matches!(RingRecord::parse(&good[..good.len() - 1]), Err(DecodeError::Short { .. })));
        let mut long_memory = good.clone();
        long_memory[16] = 4;
        assert_eq!(RingRecord::parse(&long_memory).unwrap_err(), DecodeError::Inconsistent);
        let mut not_captured = good;
        not_captured[28] = 0;
        assert_eq!(RingRecord::parse(&not_captured).unwrap_err(), DecodeError::Inconsistent);
    }

    proptest! {
        #[test]
        fn any_bytes_after_a_valid_tag_decode_or_fail(mut bytes in proptest::collection::vec(any::<u8>(), 4..600)) {
            bytes[..4].copy_from_slice(&Kind::Syscall.tag().to_le_bytes());
            if let Ok(record) = RingRecord::parse(&bytes) {
                let total: usize = record.memory().iter().flatten().map(|memory| memory.len()).sum();
                prop_assert_eq!(total + size_of::<RingHeader>(), record.header.length as usize);
            }
        }

        #[test]
        fn any_change_of_one_byte_decodes_or_fails(at in 0usize..200, value: u8) {
            let mut bytes = record([Some(b"/a/path"), Some(b"other"), None, None, None, None]);
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(record) = RingRecord::parse(&bytes) {
                let _ = record.to_raw();
            }
        }
    }
}
