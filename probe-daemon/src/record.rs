//! An observation becomes a log record of OpenTelemetry's data model.
//!
//! In: an [`Observation`] and the severity that the policy gives it. Out: a [`LogRecord`]. Pure: the same input
//! gives the same record, but for its id and the time of observation.

use std::{
    borrow::Cow,
    time::{Duration, UNIX_EPOCH},
};

use serde::Serialize;
use ulid::Ulid;

use crate::{
    clock::Clock,
    errno,
    event::{Observation, TraceEvent},
    severity::Severity,
    syscall::Args,
};

pub mod resource;

/// `EventName` of a system call that failed.
pub const SYSCALL_FAILURE: &str = "gala_gopher.syscall.failure";

/// The longest text of one attribute, in bytes.
pub const VALUE_LEN: usize = 4096;
/// The longest argument in a body, in bytes; what stands around it needs a few hundred more.
pub const SUBJECT_LEN: usize = 4096;

/// The value of an attribute. Borrows from the event, since most records are encoded at once and forgotten.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value<'a> {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(Cow<'a, str>),
    /// The arguments of a system call, by name.
    Args(&'a Args),
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

/// A log record, before any encoding.
#[derive(Clone, Debug)]
pub struct LogRecord<'a> {
    /// When it happened: nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// When the daemon saw it: nanoseconds since the Unix epoch.
    pub observed: u64,
    /// How grave it is.
    pub severity: Severity,
    /// What kind of event it is.
    pub event_name: &'static str,
    /// One sentence for people.
    pub body: String,
    /// The same for programs; no key twice.
    pub attributes: Vec<(&'static str, Value<'a>)>,
}

impl<'a> LogRecord<'a> {
    /// Makes the record of one failed system call. `id` is unique, `clock` relates process start to wall time.
    pub fn new(seen: &'a Observation, severity: Severity, id: Ulid, observed: u64, clock: Clock) -> Self {
        let event = &seen.event;
        let mut attributes = Vec::with_capacity(24);
        let mut put = |key, value: Value<'a>| attributes.push((key, value));
        put("event.name", SYSCALL_FAILURE.into());
        put("log.record.uid", id.to_string().into());
        put("process.pid", event.pid.into());
        put("process.vpid", event.container_pid.into());
        if let Some(parent) = event.parent_pid {
            put("process.parent_pid", parent.into());
        }
        if event.session > 0 {
            put("process.session_leader.pid", Value::Int(event.session.into()));
        }
        if let Some(start) = event.process_start {
            put("process.creation.time", rfc3339(clock.wall(start)).into());
        }
        put("process.user.id", event.euid.unwrap_or(event.uid).into());
        if event.euid.is_some_and(|euid| euid != event.uid) {
            put("process.real_user.id", event.uid.into());
        }
        put("thread.id", event.tid.into());
        put("thread.name", event.comm.as_str().into());
        put("error.type", errno::name(event.errno).into());
        put("gala_gopher.syscall.name", event.syscall_name().into());
        put("gala_gopher.syscall.number", event.nr.into());
        put("gala_gopher.syscall.errno", event.errno.into());
        put("gala_gopher.syscall.return", Value::Int(event.ret));
        put("gala_gopher.syscall.args", Value::Args(&event.args));
        if event.truncated {
            put("gala_gopher.syscall.args_truncated", Value::Bool(true));
        }
        if let Some(path) = &event.path {
            put("file.path", cut(path, VALUE_LEN).into());
        }
        if let Some((address, port)) = event.peer.as_ref().and_then(|peer| Some((peer.ip()?, peer.port()?))) {
            put("network.peer.address", address.to_string().into());
            put("network.peer.port", u32::from(port).into());
        }
        put("gala_gopher.pid_ns", event.pid_ns.into());
        put("gala_gopher.occurrences", Value::Int(1));
        Self {
            timestamp: seen.time,
            observed,
            severity,
            event_name: SYSCALL_FAILURE,
            body: sentence(event),
            attributes,
        }
    }
}

/// `curl[4242] connect(10.0.0.5:443) failed: ECONNREFUSED (111)`
fn sentence(event: &TraceEvent) -> String {
    // What is cut is the long argument, so that the end of the sentence stays.
    let subject = cut(event.subject.as_deref().unwrap_or_default(), SUBJECT_LEN);
    let (comm, call, name) = (event.comm.escape_debug(), event.syscall_name(), errno::name(event.errno));
    format!("{comm}[{}] {call}({subject}) failed: {name} ({})", event.pid, event.errno)
}

/// A moment in UTC. Milliseconds: finer ones would differ from record to record, as the two clocks drift.
fn rfc3339(nanoseconds: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(nanoseconds)).to_string()
}

/// At most `limit` bytes of a text, cut between characters, with an ellipsis where something is missing.
pub fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(limit.saturating_sub('…'.len_utf8()));
    Cow::Owned(format!("{}…", &text[..end]))
}
