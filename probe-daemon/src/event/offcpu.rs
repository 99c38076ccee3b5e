//! A thread that is kept off the CPU.
//!
//! In: the payload of a ring record. Out: [`Offcpu`].

use probe_common::{OffcpuPayload, RingHeader};

use super::Subject;

/// A thread that is kept off the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Offcpu {
    /// Who.
    pub subject: Subject,
}

impl Offcpu {
    /// Decodes a payload.
    pub fn new(header: &RingHeader, _payload: &OffcpuPayload) -> Self {
        Self { subject: header.into() }
    }
}
