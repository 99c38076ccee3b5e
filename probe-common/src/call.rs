//! The payload of a failed call: its argument registers, and what was read of the user memory behind them.
//!
//! In: the bytes after a ring record's header. Out: [`CallPayload`] and [`Memory`], checked.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    raw::{ARG_COUNT, ARG_LEN, DecodeError},
    ring::RingHeader,
};

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

/// The captured user memory of each argument: a string without its NUL, or a socket address.
pub type Memory<'a> = [Option<&'a [u8]>; REGISTERS];

/// The fixed part of a failed call. The captured memory follows it, argument by argument, without gaps.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CallPayload {
    /// The argument registers.
    pub registers: [u64; REGISTERS],
    /// Captured bytes of each argument; 0 where nothing was captured.
    pub memory_len: [u16; REGISTERS],
    /// Bit i: the memory of argument i was captured (it may be empty).
    pub captured: u8,
    /// Bit i: the memory of argument i goes on past what was captured.
    pub truncated: u8,
    /// [`X86_64`] or [`I386`]: whose numbers the call's number is one of.
    pub abi: u8,
    /// One more than the capability whose refusal led to the error; 0 where none is known.
    pub capability: u8,
}

/// [`CallPayload::abi`] of a 64-bit system call, and of what is no system call.
pub const X86_64: u8 = 0;
/// [`CallPayload::abi`] of a 32-bit system call.
pub const I386: u8 = 1;

const _: () = assert!(size_of::<CallPayload>() == 64);

impl CallPayload {
    /// Takes the captured memory apart.
    ///
    /// # Errors
    /// [`DecodeError::Inconsistent`] where the lengths do not fit the bytes.
    pub fn memory<'a>(&self, mut rest: &'a [u8]) -> Result<Memory<'a>, DecodeError> {
        let mut memory = [None; REGISTERS];
        for (index, (slot, &len)) in memory.iter_mut().zip(&self.memory_len).enumerate() {
            let len = usize::from(len);
            if self.captured & (1 << index) == 0 {
                if len != 0 {
                    return Err(DecodeError::Inconsistent);
                }
                continue;
            }
            let (taken, left) = rest.split_at_checked(len).ok_or(DecodeError::Inconsistent)?;
            *slot = Some(taken);
            rest = left;
        }
        if rest.is_empty() { Ok(memory) } else { Err(DecodeError::Inconsistent) }
    }

    /// The arguments in the full form: five, each cut to 128 bytes.
    pub fn arguments(&self, memory: &Memory<'_>) -> [[u8; ARG_LEN]; ARG_COUNT] {
        let mut arguments = [[0; ARG_LEN]; ARG_COUNT];
        for ((argument, memory), register) in arguments.iter_mut().zip(memory).zip(self.registers) {
            let register = register.to_le_bytes();
            for (to, from) in argument.iter_mut().zip(memory.unwrap_or(&register)) {
                *to = *from;
            }
        }
        arguments
    }
}

/// A failed call without captured memory.
#[repr(C)]
pub struct CallRecord {
    /// Who and when.
    pub header: RingHeader,
    /// The call.
    pub payload: CallPayload,
}

/// Where the BPF side puts a failed call together, one per CPU, as it goes into the ring.
#[repr(C)]
pub struct CallScratch {
    /// Who, when and which call.
    pub record: CallRecord,
    /// The captured memory.
    pub memory: [u8; SCRATCH_MEMORY_LEN],
    /// The way of its set that the call took.
    pub way: u64,
}

// A per-CPU map's value may not be larger: PCPU_MIN_UNIT_SIZE of the kernel.
const _: () = assert!(size_of::<CallScratch>() <= 32 * 1024);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::FromZeros;

    use super::*;
    use crate::{
        raw::RawEvent,
        ring::{Kind, Payload, RingRecord},
    };

    const FIXED: usize = size_of::<RingHeader>() + size_of::<CallPayload>();

    fn record(memory: Memory<'_>) -> Vec<u8> {
        let mut header = RingHeader::new_zeroed();
        header.tag = Kind::Syscall.tag();
        let mut payload = CallPayload::new_zeroed();
        payload.registers = [1, 2, 3, 4, 5, 6];
        let mut tail = Vec::new();
        for (index, bytes) in memory.iter().enumerate() {
            if let Some(bytes) = bytes {
                payload.captured |= 1 << index;
                payload.memory_len[index] = u16::try_from(bytes.len()).unwrap();
                tail.extend_from_slice(bytes);
            }
        }
        header.length = u32::try_from(FIXED + tail.len()).unwrap();
        [header.as_bytes(), payload.as_bytes(), &tail].concat()
    }

    fn memory_of(bytes: &[u8]) -> Memory<'_> {
        let Payload::Call(_, memory) = RingRecord::parse(bytes).unwrap().payload else { panic!("no call") };
        memory
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
        assert_eq!(memory_of(&bytes)[0].map(<[u8]>::len), Some(PATH_LEN));
        assert_eq!(memory_of(&bytes)[1], Some(&b""[..]));
        assert_eq!(RingRecord::parse(&bytes).unwrap().to_raw().string(0).map(<[u8]>::len), Some(ARG_LEN));
    }

    #[test]
    fn unknown_kinds_and_lengths_that_do_not_fit_are_errors() {
        let good = record([Some(b"abc"), None, None, None, None, None]);
        let mut other_kind = good.clone();
        other_kind[0] = 0xff;
        assert!(matches!(RingRecord::parse(&other_kind), Err(DecodeError::Unknown { .. })));
        assert!(matches!(RingRecord::parse(&good[..good.len() - 1]), Err(DecodeError::Short { .. })));
        let lengths = size_of::<RingHeader>() + 48;
        let mut long_memory = good.clone();
        long_memory[lengths] = 4;
        assert_eq!(RingRecord::parse(&long_memory).unwrap_err(), DecodeError::Inconsistent);
        let mut not_captured = good;
        not_captured[lengths + 12] = 0;
        assert_eq!(RingRecord::parse(&not_captured).unwrap_err(), DecodeError::Inconsistent);
    }

    proptest! {
        #[test]
        fn any_bytes_after_a_valid_tag_decode_or_fail(
            kind in 0..Kind::ALL.len(),
            mut bytes in proptest::collection::vec(any::<u8>(), 4..600),
        ) {
            bytes[..4].copy_from_slice(&Kind::ALL[kind].tag().to_le_bytes());
            if let Ok(record) = RingRecord::parse(&bytes) {
                let _ = record.to_raw();
            }
        }

        #[test]
        fn any_change_of_one_byte_decodes_or_fails(at in 0usize..220, value: u8) {
            let mut bytes = record([Some(b"/a/path"), Some(b"other"), None, None, None, None]);
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(record) = RingRecord::parse(&bytes) {
                let Payload::Call(_, memory) = record.payload else { return Ok(()) };
                let total: usize = memory.iter().flatten().map(|memory| memory.len()).sum();
                prop_assert_eq!(total + FIXED, record.header.length as usize);
                let _ = record.to_raw();
            }
        }
    }
}
