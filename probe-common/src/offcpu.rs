//! The payload of a thread that is kept off the CPU.
//!
//! In: the bytes after a ring record's header, which says who. Out: [`OffcpuPayload`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is known of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OffcpuPayload {
    /// Padding, always 0.
    pub reserved: u64,
}
