//! The byte layout that the BPF programs and the daemon share, and nothing else.
//!
//! In: bytes from the ring buffer or from a stored event. Out: types, or a [`DecodeError`]; decoding is
//! total, so no bytes panic. This is the only crate that knows how an event lies in memory; `probe-ebpf`
//! writes these types and `probe-daemon` reads them.

#![cfg_attr(not(test), no_std)]

mod map;
mod raw;
mod ring;

pub use map::{
    ABSENT, COUNTERS, Counters, ERRNO_BITS, KINDS, OFFSETS, Offsets, POLICY, RING, SCRATCH, SELF_TGID,
    SYSCALL_OTHER, SYSCALL_SLOTS, SyscallPolicy,
};
pub use raw::{ARG_COUNT, ARG_LEN, COMM_LEN, DecodeError, Head, RAW_EVENT_LEN, RawEvent};
pub use ring::{
    Kind, MEMORY_SLOT_LEN, PATH_LEN, REGISTERS, RING_TAG, RING_VERSION, RingHeader, RingRecord,
    SCRATCH_MEMORY_LEN, SOCKADDR_LEN, Scratch,
};
