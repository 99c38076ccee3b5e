//! The record of an io_uring request that failed.

use std::time::Duration;

use super::{Attributes, Told, identity::put_cgroup, times};
use crate::{errno, event::IoRequest, io_uring};

/// `EventName` of an io_uring request that failed.
pub const IO_URING_FAILURE: &str = "gala_gopher.io_uring.failure";

/// Says what happened.
pub fn say<'a>(
    event: &'a IoRequest,
    occurrences: u64,
    window: Duration,
    attributes: &mut Attributes<'a>,
) -> Told {
    attributes.subject(&event.subject);
    put_cgroup(&event.subject, attributes);
    attributes.put("error.type", errno::name(event.errno));
    attributes.put("gala_gopher.io_uring.opcode", io_uring::name(event.opcode));
    // As text: OpenTelemetry's integers are signed, and this is any 64 bits.
    attributes.put("gala_gopher.io_uring.user_data", format!("{:#x}", event.user_data));
    attributes.put("gala_gopher.syscall.errno", event.errno);
    (IO_URING_FAILURE, sentence(event, occurrences, window))
}

/// `nginx[42] io_uring openat failed: ENOENT (2), 12 times in 5 s`
fn sentence(event: &IoRequest, occurrences: u64, window: Duration) -> String {
    let (comm, pid) = (event.subject.comm.escape_debug(), event.subject.pid);
    let (operation, name) = (io_uring::name(event.opcode), errno::name(event.errno));
    let times = times(occurrences, window);
    format!("{comm}[{pid}] io_uring {operation} failed: {name} ({}){times}", event.errno)
}
