//! A record of encoding `json` as the file sink wrote it.
//!
//! In: the members of its document. Out: the same record, of a host that it names itself.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use serde_json::{Value as Json, value::RawValue};
use ulid::Ulid;

use super::line::wrong;
use crate::{
    clock::Clock,
    members::Members,
    record::{Attributes, LogRecord, Said, Value, resource::Resource, trace::Trace},
    severity::Severity,
    syscall::Args,
};

/// Everything that a record has beside the ids of its trace, in the form's own order.
const KEYS: [&str; 8] = [
    "Timestamp",
    "ObservedTimestamp",
    "SeverityText",
    "SeverityNumber",
    "EventName",
    "Resource",
    "Attributes",
    "Body",
];
/// Attributes that say which record it is, the how many-th of its host, which event, and how many it stands for.
const UID: &str = "log.record.uid";
const SEQUENCE: &str = "gala_gopher.sequence";
const ID: &str = "event.id";
const OCCURRENCES: &str = "gala_gopher.occurrences";
/// Keys of the host that the encoding adds itself.
const DOUBLED: [&str; 2] = ["host.hostname", "host.machineid"];

/// A record, owned.
pub struct Stored {
    /// The host that it is of.
    pub host: Resource,
    timestamp: u64,
    said: Said,
    attributes: Vec<(&'static str, Owned)>,
    resource: Vec<(Cow<'static, str>, String)>,
    trace: Option<Trace>,
}

enum Owned {
    Bool(bool),
    Int(i64),
    Text(String),
    Texts(Vec<String>),
    Args(Args),
}

impl Stored {
    /// Reads a record, of which the ids of a trace have been taken.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(members: &Members<&RawValue>, trace: Option<Trace>) -> Result<Self, String> {
        if let Some((key, _)) = members.0.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
            return Err(format!("a record has no key {key:?} ({})", KEYS.join(", ")));
        }
        let timestamp = nanoseconds(members, "Timestamp")?;
        nanoseconds(members, "ObservedTimestamp")?;
        let number: u8 = read(members, "SeverityNumber")?;
        let mut severities = Severity::ALL.into_iter().chain([Severity::Fatal2]);
        let severity = severities
            .find(|severity| severity.number() == number)
            .ok_or_else(|| format!("SeverityNumber: {number} is none that a record has"))?;
        if read::<String>(members, "SeverityText")? != severity.text() {
            return Err(format!("SeverityText: {number} is {:?}", severity.text()));
        }
        let (mut host, mut resource) = (Resource::default(), Vec::new());
        for (key, value) in read::<Members<Json>>(members, "Resource")?.0 {
            let place = key.starts_with("container.") || key.starts_with("k8s.") && key != "k8s.node.name";
            match value {
                Json::String(text) if place => resource.push((key.into(), text)),
                Json::String(text) if !DOUBLED.contains(&key.as_str()) => {
                    host.attributes.push((intern(key), text))
                }
                Json::String(_) => {}
                Json::Array(texts) if key == "host.ip" => host.addresses = strings(texts, &key)?,
                _ => return Err(format!("Resource: {key:?} is no text")),
            }
        }
        host.host_id = host.attributes.iter().find(|(key, _)| *key == "host.id").map(|(_, id)| id.clone());
        let attributes: Result<Vec<_>, String> = read::<Members<&RawValue>>(members, "Attributes")?
            .0
            .into_iter()
            .map(|(key, value)| {
                let value = Owned::read(&key, value)?;
                Ok((intern(key), value))
            })
            .collect();
        let attributes = attributes?;
        let event_id = attributes.iter().find_map(|(key, value)| match value {
            Owned::Int(id) if *key == ID => u32::try_from(*id).ok(),
            _ => None,
        });
        let event_name = intern(read(members, "EventName")?);
        let said = Said { event_name, event_id, severity, body: read(members, "Body")? };
        Ok(Self { host, timestamp, said, attributes, resource, trace })
    }

    /// Makes it another record, the next one of its host.
    pub fn rename(&mut self, id: Ulid, sequence: u64) {
        for (key, value) in &mut self.attributes {
            match *key {
                UID => *value = Owned::Text(id.to_string()),
                SEQUENCE => *value = Owned::Int(i64::try_from(sequence).unwrap_or(i64::MAX)),
                _ => {}
            }
        }
    }

    /// Events that it stands for.
    pub fn occurrences(&self) -> u64 {
        let said = self.attributes.iter().find_map(|(key, value)| match value {
            Owned::Int(number) if *key == OCCURRENCES => u64::try_from(*number).ok(),
            _ => None,
        });
        said.unwrap_or(1)
    }

    /// The record, as of now.
    pub fn record(&self, observed: u64, clock: Clock) -> LogRecord<'_> {
        let mut attributes = Attributes::new(clock);
        attributes.list.extend(self.attributes.iter().map(|(key, value)| (*key, value.borrowed())));
        let (timestamp, said, trace) = (self.timestamp, self.said.clone(), self.trace);
        LogRecord { timestamp, observed, sequence: 0, said, attributes, resource: &self.resource, trace }
    }
}

impl Owned {
    fn read(key: &str, value: &RawValue) -> Result<Self, String> {
        let json = |error| format!("Attributes: {key:?}: {}", wrong(error));
        if value.get().starts_with('{') {
            // Arguments are in the order of the call.
            let args: Members<Json> = serde_json::from_str(value.get()).map_err(json)?;
            return Ok(Self::Args(Args(
                args.0.into_iter().map(|(name, value)| (intern(name), value)).collect(),
            )));
        }
        Ok(match serde_json::from_str(value.get()).map_err(json)? {
            Json::Bool(truth) => Self::Bool(truth),
            Json::Number(number) => {
                let whole = number.as_i64();
                Self::Int(whole.ok_or_else(|| format!("Attributes: {key:?} is no whole number of 64 bits"))?)
            }
            Json::String(text) => Self::Text(text),
            Json::Array(texts) => Self::Texts(strings(texts, key)?),
            Json::Null | Json::Object(_) => {
                return Err(format!("Attributes: {key:?} is null; what is unknown is left out"));
            }
        })
    }

    fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text.as_str().into()),
            Self::Texts(texts) => Value::Texts(texts),
            Self::Args(args) => Value::Args(args),
        }
    }
}

fn strings(texts: Vec<Json>, key: &str) -> Result<Vec<String>, String> {
    let text = |value| match value {
        Json::String(text) => Ok(text),
        _ => Err(format!("{key:?} is no list of texts")),
    };
    texts.into_iter().map(text).collect()
}

fn read<'a, T: serde::Deserialize<'a>>(members: &Members<&'a RawValue>, key: &str) -> Result<T, String> {
    let value = members.get(key).ok_or_else(|| format!("a record has a {key}, and this line has none"))?;
    serde_json::from_str(value.get()).map_err(|error| format!("{key}: {}", wrong(error)))
}

fn nanoseconds(members: &Members<&RawValue>, key: &str) -> Result<u64, String> {
    let text: String = read(members, key)?;
    text.parse().map_err(|_| format!("{key}: {text:?} is no number of nanoseconds"))
}

/// A key as records have it. Each is kept once and for as long as the process, which ends when all is replayed.
fn intern(key: String) -> &'static str {
    static KEYS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = keys.get(key.as_str()) {
        return known;
    }
    let kept: &'static str = key.leak();
    keys.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        encode::{
            json,
            sample::{event, folded, host, record, ring_record},
        },
        event::Event,
        record::trace::any_trace,
        replay::line::Line,
    };

    fn parse(document: &[u8]) -> Result<Stored, String> {
        match Line::parse(document)? {
            Line::Record(stored) => Ok(*stored),
            Line::Event(..) => Err("an event".to_owned()),
        }
    }

    fn documents(
        number: u32,
        errno: u32,
        registers: [u64; 6],
        memory: &[u8],
        trace: Option<Trace>,
    ) -> (Vec<u8>, Vec<u8>) {
        let plan = crate::syscall::capture(crate::syscall::Abi::X86_64, number);
        let strings = (0..6).filter(|index| plan.strings & 1 << index != 0);
        let strings: Vec<(usize, &[u8])> = strings.map(|index| (index, memory)).collect();
        let folded = folded(Event::Call(event(&ring_record(number, errno, b"cat", registers, &strings))));
        let place = [("container.id", "3b1d"), ("k8s.pod.name", "web-0")]
            .map(|(key, value)| (key.into(), value.to_owned()));
        let record = LogRecord { resource: &place, trace, ..record(&folded) };
        let host = Resource { addresses: vec!["192.0.2.1".to_owned()], ..host() };
        let before = json::Json::new(&host).encode(&record);
        let stored = parse(&before).unwrap();
        let again = stored.record(record.observed, Clock::with_offset(0));
        let after = json::Json::new(&stored.host).encode(&again);
        assert_eq!((&stored.said, stored.occurrences()), (&record.said, 1));
        (before.to_vec(), after.to_vec())
    }

    #[test]
    fn what_is_no_record_is_told() {
        let (good, _) = documents(257, 13, [0; 6], b"/etc/shadow", None);
        let good: Json = serde_json::from_slice(&good).unwrap();
        for (place, value, wanted) in [
            ("/Timestamp", "x".into(), "Timestamp: \"x\" is no number of nanoseconds"),
            ("/SeverityNumber", 14.into(), "SeverityNumber: 14"),
            ("/SeverityText", "INFO".into(), "SeverityText: 13 is \"WARN\""),
            ("/trace_id", "5b8e".into(), "a record has no key \"trace_id\""),
            ("/TraceId", "5b8e".into(), "TraceId: \"5b8e\" is no id"),
            ("/SpanId", "eee19b7ec3c1b174".into(), "SpanId: a span without a TraceId"),
            ("/Attributes/process.pid", 1.5.into(), "\"process.pid\" is no whole number"),
            ("/Attributes/process.pid", Json::Null, "\"process.pid\" is null"),
            ("/Resource/host.id", 7.into(), "\"host.id\" is no text"),
            ("/Body", 7.into(), "Body: invalid type"),
        ] {
            let mut record = good.clone();
            let (parent, key) = place.rsplit_once('/').unwrap();
            record.pointer_mut(parent).unwrap()[key] = value;
            let Err(error) = parse(record.to_string().as_bytes()) else { panic!("{place}") };
            assert!(error.contains(wanted), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_record_is_read_back_to_the_byte(
            number in 0u32..460,
            errno in 1u32..134,
            registers: [u64; 6],
            memory in prop::collection::vec(any::<u8>(), 0..300),
            trace in any_trace(),
        ) {
            let (before, after) = documents(number, errno, registers, &memory, trace);
            prop_assert_eq!(String::from_utf8(before).unwrap(), String::from_utf8(after).unwrap());
        }
    }
}
