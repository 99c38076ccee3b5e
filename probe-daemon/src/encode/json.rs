//! `encoding = "json"`: one object a record, keys as in OpenTelemetry's log data model.
//!
//! 64-bit times are strings, since many readers hold numbers as doubles. The resource carries the host under
//! OpenTelemetry's names and under gala-gopher's own (`host.hostname`, `host.machineid`).

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use crate::record::{LogRecord, resource::Resource};

/// Encodes records of one host.
pub struct Json {
    /// The resource's attributes, with gala-gopher's spellings first.
    resource: Vec<(&'static str, Value)>,
}

impl Json {
    /// An encoder for records of this host.
    pub fn new(resource: &Resource) -> Self {
        let value = |wanted: &str| {
            resource.attributes.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.clone())
        };
        let spellings = [("host.hostname", value("host.name")), ("host.machineid", value("host.id"))];
        let own = spellings.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Self { resource: own.chain(resource.attributes.iter().cloned()).collect() }
    }

    /// One line of JSON, without its newline.
    ///
    /// # Errors
    /// None is known: every part of a record is a string, a number or made of those.
    pub fn encode(&self, record: &LogRecord) -> serde_json::Result<Bytes> {
        serde_json::to_vec(&Document { record, resource: &self.resource }).map(Bytes::from)
    }
}

struct Document<'a> {
    record: &'a LogRecord,
    resource: &'a [(&'static str, Value)],
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.record;
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("Timestamp", &record.timestamp.to_string())?;
        out.serialize_entry("ObservedTimestamp", &record.observed.to_string())?;
        out.serialize_entry("SeverityText", record.severity.text())?;
        out.serialize_entry("SeverityNumber", &record.severity.number())?;
        out.serialize_entry("EventName", record.event_name)?;
        out.serialize_entry("Resource", &Attributes(self.resource))?;
        out.serialize_entry("Attributes", &Attributes(&record.attributes))?;
        out.serialize_entry("Body", &record.body)?;
        out.end()
    }
}

struct Attributes<'a>(&'a [(&'static str, Value)]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
