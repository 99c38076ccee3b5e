//! The record of a call that failed.
//!
//! A denial's kind is `capability` where a capability decides, and `errno` else. The kernel also asks for
//! `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH` before it refuses a file whose mode or owner refuses it; that is a matter
//! of the file's permissions, so its kind is `errno`, and the capability is named as a hint only.

use std::time::Duration;

use probe_common::Kind;

use super::{Attributes, SUBJECT_LEN, Told, VALUE_LEN, Value, cut, identity::put_cgroup, times};
use crate::{
    errno,
    event::TraceEvent,
    syscall::{Abi, SockAddr, UnixName},
};

/// `EventName` of a system call that failed.
pub const SYSCALL_FAILURE: &str = "gala_gopher.syscall.failure";

/// `EventName` of a program that could not be executed.
pub const EXEC_FAILURE: &str = "gala_gopher.exec.failure";
/// `EventName` of a call that was not permitted.
pub const DENIED: &str = "gala_gopher.security.denied";

/// Capabilities that stand above the permissions of files.
const FILE_PERMISSIONS: [&str; 2] = ["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"];
/// Attributes of an address and its port: of the other side, and of this one.
const PEER: [&str; 2] = ["network.peer.address", "network.peer.port"];
const LOCAL: [&str; 2] = ["network.local.address", "network.local.port"];

/// Says what happened.
pub fn say<'a>(
    event: &'a TraceEvent,
    occurrences: u64,
    window: Duration,
    attributes: &mut Attributes<'a>,
) -> Told {
    attributes.subject(&event.subject);
    put_cgroup(&event.subject, attributes);
    attributes.put("error.type", errno::name(event.errno));
    attributes.put("gala_gopher.syscall.name", event.syscall_name());
    attributes.put("gala_gopher.syscall.number", event.nr);
    if event.abi != Abi::X86_64 {
        attributes.put("gala_gopher.syscall.abi", event.abi.name());
    }
    if let Some(call) = event.syscall {
        attributes.put("gala_gopher.syscall.class", call.class.name());
    }
    attributes.put("gala_gopher.syscall.errno", event.errno);
    attributes.put("gala_gopher.syscall.return", event.ret);
    attributes.put("gala_gopher.syscall.args", Value::Args(&event.args));
    if event.truncated {
        attributes.put("gala_gopher.syscall.args_truncated", true);
    }
    if let Some(path) = &event.path {
        attributes.put("file.path", cut(path, VALUE_LEN));
    }
    if let Some(peer) = &event.peer {
        // What a socket is bound to is its own address.
        let own = event.syscall.is_some_and(|call| call.name == "bind");
        say_address(peer, if own { LOCAL } else { PEER }, attributes);
    }
    let event_name = match event.kind {
        Kind::Exec => {
            if let Some(hindrance) = &event.hindrance {
                attributes.put("gala_gopher.exec.reason", hindrance.reason.name());
                if let Some(interpreter) = &hindrance.interpreter {
                    attributes.put("gala_gopher.exec.interpreter", cut(interpreter, VALUE_LEN));
                }
            }
            EXEC_FAILURE
        }
        Kind::Denial => {
            let decides = event.capability.is_some_and(|name| !FILE_PERMISSIONS.contains(&name));
            attributes.put("gala_gopher.denial.kind", if decides { "capability" } else { "errno" });
            if let Some(capability) = event.capability {
                attributes.put("gala_gopher.capability.name", capability);
            }
            DENIED
        }
        _ => SYSCALL_FAILURE,
    };
    (event_name, sentence(event, occurrences, window))
}

fn say_address(address: &SockAddr, [ip, port]: [&'static str; 2], attributes: &mut Attributes<'_>) {
    match address {
        SockAddr::Ip(address) => {
            attributes.put(ip, address.ip().to_canonical().to_string());
            attributes.put(port, u32::from(address.port()));
        }
        SockAddr::Unix(UnixName::Path(path)) => {
            attributes.put(ip, cut(&String::from_utf8_lossy(path), VALUE_LEN).into_owned());
        }
        _ => {}
    }
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
            let why = why(event);
            format!("{comm}[{pid}] could not execute {object}{why}: {name} ({errno}){times}")
        }
        Kind::Denial => {
            let uid = event.subject.uid;
            format!("{comm}[{pid}] uid={uid} denied {call}({object}): {name}{times}")
        }
        _ => format!("{comm}[{pid}] {call}({object}) failed: {name} ({errno}){times}"),
    }
}

/// `: its interpreter "/lib/ld-musl-x86_64.so.1" does not exist`
fn why(event: &TraceEvent) -> String {
    let Some(hindrance) = &event.hindrance else { return String::new() };
    let text = hindrance.reason.text();
    match &hindrance.interpreter {
        Some(interpreter) => format!(": its interpreter {:?} {text}", cut(interpreter, SUBJECT_LEN)),
        None => format!(": it {text}"),
    }
}
