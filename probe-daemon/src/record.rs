//! An observation becomes a log record of OpenTelemetry's data model.
//!
//! In: a [`Folded`] observation, and its [`Background`]. Out: a [`LogRecord`]. Pure: the same input gives the same record,
//! but for its id and the time of observation.

use std::{
    borrow::Cow,
    time::{Duration, UNIX_EPOCH},
};

use serde::Serialize;
use ulid::Ulid;

use crate::{
    catalogue::Catalogue,
    cgroup::Cgroup,
    clock::Clock,
    event::{Event, Subject},
    fold::Folded,
    severity::Severity,
    syscall::Args,
};

mod call;
mod exit;
mod identity;
mod io_uring;
mod offcpu;
mod oom;
mod probe;
pub mod resource;
pub mod trace;

use trace::Trace;

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
    /// Several texts.
    Texts(&'a [String]),
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

impl From<u64> for Value<'_> {
    /// OpenTelemetry's integers are signed; what does not fit is the largest that does.
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// Attributes of a record, in order; no key twice.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    /// Keys and values.
    pub list: Vec<(&'static str, Value<'a>)>,
    clock: Clock,
}

impl<'a> Attributes<'a> {
    /// None yet. `clock` turns the kernel's times into wall time.
    pub fn new(clock: Clock) -> Self {
        Self { list: Vec::with_capacity(64), clock }
    }

    /// Adds one; never the same key twice.
    pub fn put(&mut self, key: &'static str, value: impl Into<Value<'a>>) {
        self.list.push((key, value.into()));
    }

    /// Adds a moment of `CLOCK_BOOTTIME`, given in nanoseconds, as wall time.
    pub fn put_time(&mut self, key: &'static str, boot: u64) {
        let wall = self.clock.wall(boot);
        self.put(key, rfc3339(wall));
    }

    /// Adds what the catalogue says of all that is here so far; its number and how grave it is, where that is known.
    fn explain(
        &mut self,
        event_name: &str,
        resource: &[(Cow<'static, str>, String)],
        catalogue: &Catalogue,
    ) -> Option<(u32, Severity)> {
        let explanation = catalogue.explain(event_name, &self.list, resource)?;
        self.put("event.id", explanation.id);
        self.put("gala_gopher.event.name", explanation.name.to_owned());
        self.put("gala_gopher.event.message", explanation.message);
        self.put("gala_gopher.event.cause", explanation.cause);
        self.put("gala_gopher.event.solution", explanation.solution);
        Some((explanation.id, explanation.severity))
    }

    /// Adds to whom it happened.
    pub fn subject(&mut self, subject: &'a Subject) {
        self.put("process.pid", subject.pid);
        self.put("process.vpid", subject.container_pid);
        if let Some(parent) = subject.parent_pid {
            self.put("process.parent_pid", parent);
        }
        if subject.session > 0 {
            self.put("process.session_leader.pid", i64::from(subject.session));
        }
        if let Some(start) = subject.process_start {
            self.put_time("process.creation.time", start);
        }
        self.put("process.user.id", subject.euid);
        if subject.euid != subject.uid {
            self.put("process.real_user.id", subject.uid);
        }
        self.put("thread.id", subject.tid);
        self.put("thread.name", subject.comm.as_str());
        self.put("gala_gopher.pid_ns", subject.pid_ns);
        identity::put(subject, self);
    }
}

/// What is known beside the event itself.
pub struct Background<'c> {
    /// How grave a rule says it is; none where that is left to the catalogue.
    pub ruled: Option<Severity>,
    /// What the host tells of it.
    pub facts: Vec<(&'static str, Value<'static>)>,
    /// What all such events have in common.
    pub catalogue: &'c Catalogue,
}

/// What makes a record one of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Unique everywhere, and later ones are larger.
    pub id: Ulid,
    /// One more than that of the record before it on this host.
    pub sequence: u64,
    /// When the daemon saw it: nanoseconds since the Unix epoch.
    pub observed: u64,
    /// Relates the kernel's times to wall time.
    pub clock: Clock,
}

/// What a family says of its event, beside attributes: its `EventName`, and one sentence.
type Told = (&'static str, String);

/// What a record says, beside attributes.
#[derive(Clone, Debug, Hash, PartialEq)]
pub struct Said {
    /// What kind of event it is.
    pub event_name: &'static str,
    /// Its number in the catalogue; none where that does not know it.
    pub event_id: Option<u32>,
    /// How grave it is.
    pub severity: Severity,
    /// One sentence for people.
    pub body: String,
}

/// A log record, before any encoding.
#[derive(Clone, Debug)]
pub struct LogRecord<'a> {
    /// When it happened: nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// When the daemon saw it: nanoseconds since the Unix epoch.
    pub observed: u64,
    /// One more than that of the record before it on this host; 0 where it has none.
    pub sequence: u64,
    /// Name, severity and sentence.
    pub said: Said,
    /// The same for programs.
    pub attributes: Attributes<'a>,
    /// What is observed, where that is less than the host: container and pod. It goes into the record's Resource, beside
    /// what describes the host.
    pub resource: &'a [(Cow<'static, str>, String)],
    /// The request that it belongs to, where that was given with it; the kernel knows of none.
    pub trace: Option<Trace>,
}

impl<'a> LogRecord<'a> {
    /// Makes the record of an event.
    pub fn new(folded: &'a Folded, background: Background<'_>, stamp: Stamp) -> Self {
        let Folded { seen, occurrences, window } = folded;
        let Stamp { id, sequence, observed, clock } = stamp;
        let mut attributes = Attributes::new(clock);
        attributes.put("log.record.uid", id.to_string());
        attributes.put("gala_gopher.sequence", sequence);
        // What the daemon has to say of itself stands for no event.
        if *occurrences > 0 {
            attributes.put("gala_gopher.occurrences", *occurrences);
        }
        if !window.is_zero() {
            attributes.put("gala_gopher.window_ms", u64::try_from(window.as_millis()).unwrap_or(u64::MAX));
        }
        let (event_name, body) = match &seen.event {
            Event::Call(event) => call::say(event, *occurrences, *window, &mut attributes),
            Event::IoUring(event) => io_uring::say(event, *occurrences, *window, &mut attributes),
            Event::Oom(event) => oom::say(event, &mut attributes),
            Event::Offcpu(event) => offcpu::say(event, &mut attributes),
            Event::Exit(event) => exit::say(event, *occurrences, *window, &mut attributes),
            Event::Probe(event) => probe::say(event, &mut attributes),
        };
        attributes.put("event.name", event_name);
        attributes.list.extend(background.facts);
        let resource = seen.event.subject().identity.as_deref().map_or(&[][..], |it| &it.resource);
        let (event_id, severity) = attributes.explain(event_name, resource, background.catalogue).unzip();
        let severity = background.ruled.or(severity).unwrap_or(Severity::Warn);
        let said = Said { event_name, event_id, severity, body };
        Self { timestamp: seen.time, observed, sequence, said, attributes, resource, trace: None }
    }

    /// The attribute of that key.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.attributes.list.iter().find(|(own, _)| *own == key).map(|(_, value)| value)
    }

    /// The attribute of that key as people read it; empty where there is none.
    pub fn shown(&self, key: &str) -> Cow<'_, str> {
        match self.get(key) {
            Some(Value::Text(text)) => Cow::Borrowed(text),
            Some(Value::Int(number)) => Cow::Owned(number.to_string()),
            Some(Value::Bool(truth)) => Cow::Owned(truth.to_string()),
            Some(Value::Texts(texts)) => Cow::Owned(texts.join(" ")),
            Some(Value::Args(args)) => Cow::Owned(args.to_string()),
            None => Cow::Borrowed(""),
        }
    }
}

/// A moment in UTC. Milliseconds: finer ones would differ from record to record, as the two clocks drift.
fn rfc3339(nanoseconds: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(nanoseconds)).to_string()
}

/// How often it happened, to put at the end of a sentence; nothing for once.
pub fn times(occurrences: u64, window: Duration) -> String {
    match (occurrences, window.as_secs_f64()) {
        (1, _) => String::new(),
        (times, 0.0) => format!(", {times} times"),
        (times, seconds) => format!(", {times} times in {seconds} s"),
    }
}

/// Adds the cgroup of the one to whom it happened, where it is known.
pub fn cgroup<'a>(cgroup: &'a Cgroup, attributes: &mut Attributes<'a>) {
    if cgroup.id != 0 {
        attributes.put("gala_gopher.cgroup.id", cgroup.id);
        if !cgroup.name.is_empty() {
            attributes.put("gala_gopher.cgroup.name", cgroup.name.as_str());
        }
        if let Some(path) = &cgroup.path {
            attributes.put("gala_gopher.cgroup.path", cut(path, VALUE_LEN));
        }
    }
}

/// At most `limit` bytes of a text, cut between characters, with an ellipsis where something is missing.
pub fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(limit.saturating_sub('…'.len_utf8()));
    Cow::Owned(format!("{}…", &text[..end]))
}
