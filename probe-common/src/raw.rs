//! The full form of an event: 736 bytes, little endian, without padding.
//!
//! In: at least 736 bytes of the full form, or one ring record. Out: a [`RawEvent`].

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ring::RingRecord;

/// Bytes of one argument in the full form.
pub const ARG_LEN: usize = 128;
/// Arguments in the full form; a system call's sixth is only in the ring form.
pub const ARG_COUNT: usize = 5;
/// `TASK_COMM_LEN` of the kernel: a thread's name, NUL included when it is shorter.
pub const COMM_LEN: usize = 16;
/// Bytes of a [`RawEvent`].
pub const RAW_EVENT_LEN: usize = 736;

/// Who did what and when: the first 96 bytes of the full form, and a part of every ring record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Head {
    /// Thread id, as the initial pid namespace numbers it (the low half of `bpf_get_current_pid_tgid`).
    pub pid: u32,
    /// Thread group id: what user space calls the process id.
    pub tid: u32,
    /// Real user id in the initial user namespace.
    pub uid: u32,
    /// Real group id in the initial user namespace.
    pub gid: u32,
    /// System call number.
    pub nr: u32,
    /// Process id (thread group id) in the process's own pid namespace.
    pub ns_pid: u32,
    /// Nanoseconds on `CLOCK_BOOTTIME`. The system call is seen when it returns, so this equals `finish`.
    pub start: u64,
    /// Nanoseconds on `CLOCK_BOOTTIME` when the system call returned.
    pub finish: u64,
    /// Session id in the initial pid namespace; 0 where unknown.
    pub sid: i32,
    /// Inode number of the pid namespace.
    pub pid_ns: u32,
    /// Inode number of the UTS namespace.
    pub uts_ns: u32,
    /// Inode number of the mount namespace.
    pub mnt_ns: u32,
    /// Inode number of the IPC namespace.
    pub ipc_ns: u32,
    /// Inode number of the cgroup namespace.
    pub cgr_ns: u32,
    /// Voluntary and involuntary context switches of the thread so far.
    pub context_sw: u64,
    /// Error number, 0 for success.
    pub errno: u32,
    /// Low 32 bits of the return value; a failure reads as a negative `i32`.
    pub ret: u32,
    /// Name of the thread, NUL-padded; not terminated when it takes all 16 bytes.
    pub comm: [u8; COMM_LEN],
}

/// One event in its full form.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RawEvent {
    /// Everything but the arguments.
    pub head: Head,
    /// Five arguments: a string or socket address as it stood in user memory, cut to 128 bytes, or else the
    /// argument register in the first eight bytes, little endian.
    pub arguments: [[u8; ARG_LEN]; ARG_COUNT],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Head>() == 96 && size_of::<RawEvent>() == RAW_EVENT_LEN);
    assert!(offset_of!(Head, pid) == 0 && offset_of!(Head, tid) == 4 && offset_of!(Head, uid) == 8);
    assert!(offset_of!(Head, gid) == 12 && offset_of!(Head, nr) == 16 && offset_of!(Head, ns_pid) == 20);
    assert!(offset_of!(Head, start) == 24 && offset_of!(Head, finish) == 32 && offset_of!(Head, sid) == 40);
    assert!(
        offset_of!(Head, pid_ns) == 44 && offset_of!(Head, uts_ns) == 48 && offset_of!(Head, mnt_ns) == 52
    );
    assert!(offset_of!(Head, ipc_ns) == 56 && offset_of!(Head, cgr_ns) == 60);
    assert!(
        offset_of!(Head, context_sw) == 64 && offset_of!(Head, errno) == 72 && offset_of!(Head, ret) == 76
    );
    assert!(offset_of!(Head, comm) == 80 && offset_of!(RawEvent, arguments) == 96);
};

/// Why bytes are not an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DecodeError {
    /// No bytes at all.
    Empty,
    /// Fewer bytes than the form needs.
    Short {
        /// Bytes that the form needs.
        needed: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// A ring record of a layout version, kind or size that this build does not know.
    Unknown {
        /// The record's first word.
        tag: u32,
    },
    /// A ring record whose own lengths do not fit together.
    Inconsistent,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "end of input: an event of no bytes"),
            Self::Short { needed, have } => write!(f, "unexpected end of input: {have} bytes of {needed}"),
            Self::Unknown { tag } => write!(f, "unknown ring record {tag:#010x}"),
            Self::Inconsistent => write!(f, "a ring record whose lengths do not fit together"),
        }
    }
}

impl core::error::Error for DecodeError {}

impl Head {
    /// The thread's name up to its first NUL, or all 16 bytes.
    pub fn comm(&self) -> &[u8] {
        until_nul(&self.comm)
    }

    /// The return value with its sign: −2 for ENOENT.
    pub fn signed_return(&self) -> i64 {
        i64::from(self.ret.cast_signed())
    }
}

impl RawEvent {
    /// Reads an event from either form. Bytes after the full form are ignored (a perf buffer pads there).
    ///
    /// # Errors
    /// [`DecodeError`] for fewer bytes than the form needs or a ring record that contradicts itself.
    pub fn ingest(bytes: &[u8]) -> Result<Self, DecodeError> {
        if RingRecord::is_ring_form(bytes) {
            return Ok(RingRecord::parse(bytes)?.to_raw());
        }
        if bytes.is_empty() {
            return Err(DecodeError::Empty);
        }
        Self::read_from_prefix(bytes)
            .map(|(event, _)| event)
            .map_err(|_| DecodeError::Short { needed: RAW_EVENT_LEN, have: bytes.len() })
    }

    /// The argument as a string: its bytes up to the first NUL, or all 128. `None` past the fifth argument.
    pub fn string(&self, index: usize) -> Option<&[u8]> {
        self.arguments.get(index).map(|argument| until_nul(argument))
    }

    /// The argument as a register value. `None` past the fifth argument.
    pub fn register(&self, index: usize) -> Option<u64> {
        let (value, _) = u64::read_from_prefix(self.arguments.get(index)?).ok()?;
        Some(value)
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn b1_layout_is_736_bytes_without_padding() {
        assert_eq!(size_of::<RawEvent>(), 736);
        let mut bytes = [0u8; RAW_EVENT_LEN];
        bytes[72..76].copy_from_slice(&2u32.to_le_bytes());
        bytes[76..80].copy_from_slice(&(-2i32).to_le_bytes());
        bytes[96 + 128..96 + 136].copy_from_slice(&7u64.to_le_bytes());
        let event = RawEvent::ingest(&bytes).unwrap();
        assert_eq!((event.head.errno, event.head.signed_return(), event.register(1)), (2, -2, Some(7)));
        assert_eq!(event.as_bytes(), bytes);
    }

    #[test]
    fn b2_short_input_is_an_error_and_trailing_bytes_are_ignored() {
        assert_eq!(RawEvent::ingest(&[]), Err(DecodeError::Empty));
        assert_eq!(RawEvent::ingest(&[0; 735]), Err(DecodeError::Short { needed: 736, have: 735 }));
        assert!(RawEvent::ingest(&[0; 740]).is_ok());
    }

    #[test]
    fn b4_a_name_without_nul_takes_its_full_width() {
        let mut bytes = [0u8; RAW_EVENT_LEN];
        bytes[80..96].fill(b'x');
        bytes[96..96 + 128].fill(b'p');
        bytes[96 + 128] = b'q';
        let event = RawEvent::ingest(&bytes).unwrap();
        assert_eq!(event.head.comm().len(), 16);
        assert_eq!(event.string(0).map(<[u8]>::len), Some(128));
        assert_eq!(event.string(1), Some(&b"q"[..]));
        assert_eq!(event.string(5), None);
    }

    proptest! {
        #[test]
        fn b3_any_bytes_decode_or_fail_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            if let Ok(event) = RawEvent::ingest(&bytes) {
                prop_assert!(event.head.comm().len() <= COMM_LEN);
                for index in 0..7 {
                    prop_assert_eq!(event.string(index).is_some(), index < ARG_COUNT);
                }
            }
        }
    }
}
