//! `encoding = "text"` and `"color"`: a line for people.
//!
//! In: a record. Out: plain, everything that the record says; in colour, what a glance needs. What comes from outside
//! is escaped, so that a name can neither break the line nor drive the terminal.

use std::fmt::Write as _;

use std::borrow::Cow;

use bytes::Bytes;
use jiff::{Timestamp, tz::TimeZone};

use crate::{encode::Form, errno, record::LogRecord, severity::Severity};

/// What the plain form is called.
pub static FORM: Form = Form {
    name: Cow::Borrowed("text"),
    content_type: Cow::Borrowed("text/plain; charset=utf-8"),
    cut: None,
    repeat: Some(repeat),
    says: None,
};

/// What the plain form says in places of its own.
const SAID: [&str; 6] = [
    "process.pid",
    "thread.id",
    "event.name",
    "event.id",
    "gala_gopher.event.cause",
    "gala_gopher.event.solution",
];

const BOLD: &str = "\x1b[1m";
const UNDERLINED: &str = "\x1b[4m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

/// Writes lines.
pub struct Text {
    color: bool,
    zone: TimeZone,
}

impl Text {
    /// Everything, without colour, in this host's time zone.
    pub fn plain() -> Self {
        Self { color: false, zone: TimeZone::system() }
    }

    /// A glance, in colour.
    pub fn color() -> Self {
        Self { color: true, zone: TimeZone::system() }
    }

    /// The same in UTC, whatever the host's time zone.
    #[cfg(test)]
    pub fn utc(self) -> Self {
        Self { zone: TimeZone::UTC, ..self }
    }

    /// One line.
    pub fn encode(&self, record: &LogRecord<'_>) -> Bytes {
        if self.color { glance(record) } else { self.line(record) }.into()
    }

    /// `[time][pid][tid][event id][ warn  ] name - body (cause: …, solution: …, variables: key:value, …), source: …`
    fn line(&self, record: &LogRecord<'_>) -> String {
        let time = local(record.timestamp, &self.zone);
        let shown = |key| escaped(&record.shown(key));
        let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
        let id = or_none(shown("event.id"));
        let mut line = format!(
            "[{time}][{}][{}][{id}][ {:<5} ] {} - {} (cause: {}, solution: {}, variables: ",
            shown("process.pid"),
            shown("thread.id"),
            record.said.severity.text().to_lowercase(),
            record.said.event_name,
            escaped(&record.said.body),
            or_none(shown("gala_gopher.event.cause")),
            or_none(shown("gala_gopher.event.solution")),
        );
        let variables = record.attributes.list.iter().map(|(key, _)| *key).filter(|key| !SAID.contains(key));
        let variables = variables.map(|key| format!("{key}:{}", shown(key)));
        let resource = record.resource.iter().map(|(key, value)| format!("{key}:{}", escaped(value)));
        line.push_str(&variables.chain(resource).collect::<Vec<_>>().join(", "));
        // Writing to a String cannot fail.
        let _ = write!(line, "), source: probe-daemon, version: {}", env!("CARGO_PKG_VERSION"));
        line
    }
}

/// Appends to a line how many it stands for.
fn repeat(line: &[u8], occurrences: u64, repetitions: u64) -> Option<Bytes> {
    let line = std::str::from_utf8(line).ok()?;
    Some(format!("{line}, repetitions: {repetitions}, occurrences of all: {occurrences}").into())
}

/// `container.pod.namespace: [comm] sys_openat(dir_fd="AT_FDCWD", pathname="/etc/shadow") err=EACCES ses=12`, and for what
/// is no call the body.
fn glance(record: &LogRecord<'_>) -> String {
    let place = |key: &str| match record.resource.iter().find(|(own, _)| *own == key) {
        Some((_, value)) => escaped(value),
        None => "-".to_owned(),
    };
    let (container, pod, namespace) =
        (place("container.name"), place("k8s.pod.name"), place("k8s.namespace.name"));
    let comm = escaped(&record.shown("thread.name"));
    let start = format!("{BOLD}<{container}.{pod}.{namespace}>:{RESET} [{UNDERLINED}{comm}{RESET}] ");
    let call = record.shown("gala_gopher.syscall.name");
    if call.is_empty() {
        let color = if record.said.severity < Severity::Error { YELLOW } else { RED };
        return format!("{start}{color}{}{RESET}", escaped(&record.said.body));
    }
    let args = escaped(&record.shown("gala_gopher.syscall.args"));
    let error = record.shown("error.type");
    let color = if error == errno::name(0) { GREEN } else { RED };
    let session = record.shown("process.session_leader.pid");
    let session = if session.is_empty() { "0" } else { &session };
    format!("{start}sys_{call}({args}) err={color}{error}{RESET} ses={session}")
}

fn local(nanoseconds: u64, zone: &TimeZone) -> String {
    let time = Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default().to_zoned(zone.clone());
    time.strftime("%Y-%m-%d %H:%M:%S.%9f").to_string()
}

/// Without control characters: a newline would end the line, an escape would drive a terminal.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}
