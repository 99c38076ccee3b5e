//! A process that ended by a signal or with a non-zero exit code.
//!
//! In: the payload of a ring record. Out: [`Exit`].

use probe_common::{ExitPayload, RingHeader};

use super::Subject;

/// A process that ended by a signal or with a non-zero exit code.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// Who.
    pub subject: Subject,
}

impl Exit {
    /// Decodes a payload.
    pub fn new(header: &RingHeader, _payload: &ExitPayload) -> Self {
        Self { subject: header.into() }
    }
}
