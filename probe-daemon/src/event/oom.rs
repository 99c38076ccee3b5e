//! A process that the kernel kills for memory.
//!
//! In: the payload of a ring record. Out: [`OomKill`].

use probe_common::{OomPayload, RingHeader};

use super::Subject;

/// A process that the kernel kills for memory.
#[derive(Clone, Debug, PartialEq)]
pub struct OomKill {
    /// Who.
    pub subject: Subject,
}

impl OomKill {
    /// Decodes a payload.
    pub fn new(header: &RingHeader, _payload: &OomPayload) -> Self {
        Self { subject: header.into() }
    }
}
