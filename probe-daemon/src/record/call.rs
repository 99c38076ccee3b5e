//! The record of a call that failed.

use std::time::Duration;

use probe_common::Kind;

use super::{Attributes, SUBJECT_LEN, Said, VALUE_LEN, Value, cut, identity::put_cgroup, times};
use crate::{errno, event::TraceEvent, severity::Severity};

/// `EventName` of a system call that failed.
pub const SYSCALL_FAILURE: &str = "gala_gopher.syscall.failure";

/// `EventName` of a program that could not be executed.
pub const EXEC_FAILURE: &str = "gala_gopher.exec.failure";
/// `EventName` of a call that was not permitted.
pub const DENIED: &str = "gala_gopher.security.denied";

/// Says what happened.
pub fn say<'a>(
    event: &'a TraceEvent,
    severity: Severity,
    occurrences: u64,
    window: Duration,
    attributes: &mut Attributes<'a>,
) -> Said {
    attributes.subject(&event.subject);
    put_cgroup(&event.subject, attributes);
    attributes.put("error.type", errno::name(event.errno));
    attributes.put("gala_gopher.syscall.name", event.syscall_name());
    attributes.put("gala_gopher.syscall.number", event.nr);
    attributes.put("gala_gopher.syscall.errno", event.errno);
    attributes.put("gala_gopher.syscall.return", event.ret);
    attributes.put("gala_gopher.syscall.args", Value::Args(&event.args));
    if event.truncated {
        attributes.put("gala_gopher.syscall.args_truncated", true);
    }
    if let Some(path) = &event.path {
        attributes.put("file.path", cut(path, VALUE_LEN));
    }
    if let Some((address, port)) = event.peer.as_ref().and_then(|peer| Some((peer.ip()?, peer.port()?))) {
        attributes.put("network.peer.address", address.to_string());
        attributes.put("network.peer.port", u32::from(port));
    }
    let event_name = match event.kind {
        Kind::Exec => EXEC_FAILURE,
        Kind::Denial => {
            attributes.put(
                "gala_gopher.denial.kind",
                if event.capability.is_some() { "capability" } else { "errno" },
            );
            if let Some(capability) = event.capability {
                attributes.put("gala_gopher.capability.name", capability);
            }
            DENIED
        }
        _ => SYSCALL_FAILURE,
    };
    Said { event_name, severity, body: sentence(event, occurrences, window) }
}

/// `curl[4242] connect(10.0.0.5:443) failed: ECONNREFUSED (111), 12 times in 5 s`
fn sentence(event: &TraceEvent, occurrences: u64, window: Duration) -> String {
    // What is cut is the long argument, so that the end of the sentence stays.
    let object = cut(event.object.as_deref().unwrap_or_default(), SUBJECT_LEN);
    let (comm, call, name) =
        (event.subject.comm.escape_debug(), event.syscall_name(), errno::name(event.errno));
    let times = times(occurrences, window);
    let (pid, errno) = (event.subject.pid, event.errno);
    match event.kind {
        Kind::Exec if !object.is_empty() => {
            format!("{comm}[{pid}] could not execute {object}: {name} ({errno}){times}")
        }
        Kind::Denial => {
            let uid = event.subject.uid;
            format!("{comm}[{pid}] uid={uid} denied {call}({object}): {name}{times}")
        }
        _ => format!("{comm}[{pid}] {call}({object}) failed: {name} ({errno}){times}"),
    }
}
