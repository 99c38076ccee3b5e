//! The payload of a process that ended.
//!
//! In: the bytes after a ring record's header, which says who. Out: [`ExitPayload`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is known of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ExitPayload {
    /// Padding, always 0.
    pub reserved: u64,
}
