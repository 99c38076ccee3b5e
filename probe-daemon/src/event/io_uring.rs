//! An io_uring request that failed.
//!
//! In: a call's payload, whose first register is the request's `user_data`. Out: an [`IoRequest`].

use probe_common::{CallPayload, RingHeader};

use super::Subject;

/// An io_uring request that ended with an error.
#[derive(Clone, Debug, PartialEq)]
pub struct IoRequest {
    /// Who made it; `tid` is the thread that ended it, which may be one of the kernel's workers for that process.
    pub subject: Subject,
    /// What was to be done.
    pub opcode: u32,
    /// Error number.
    pub errno: u32,
    /// What the process calls the request by; often an address.
    pub user_data: u64,
}

impl IoRequest {
    /// A failed request as the kernel side has it.
    pub fn new(header: &RingHeader, payload: &CallPayload) -> Self {
        let [user_data, ..] = payload.registers;
        Self { subject: header.into(), opcode: header.head.nr, errno: header.head.errno, user_data }
    }
}
