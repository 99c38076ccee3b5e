//! The payload of a process that the kernel kills for memory.
//!
//! In: the bytes after a ring record's header, which says who. Out: [`OomPayload`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is known of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OomPayload {
    /// Padding, always 0.
    pub reserved: u64,
}
