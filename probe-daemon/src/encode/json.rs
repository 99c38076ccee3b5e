//! `encoding = "json"`: one object a record, keys as in OpenTelemetry's log data model.
//!
//! 64-bit times are strings, since many readers hold numbers as doubles. The resource carries the host under
//! OpenTelemetry's names and under gala-gopher's own (`host.hostname`, `host.machineid`).

mod cut;

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    encode::Form,
    record::{LogRecord, Value, resource::Resource},
};

/// More than most records need, so that few grow while they are written.
const CAPACITY: usize = 4096;

/// What it is called.
pub static FORM: Form = Form {
    name: Cow::Borrowed("json"),
    content_type: Cow::Borrowed("application/json"),
    cut: Some(cut::cut),
};

/// Encodes records of one host.
pub struct Json {
    /// The resource of the host, encoded once.
    resource: Box<RawValue>,
    /// Its parts, for records that add to it.
    parts: Vec<(&'static str, String)>,
}

impl Json {
    /// An encoder for records of this host.
    ///
    /// # Errors
    /// None is known: a resource is made of texts.
    pub fn new(resource: &Resource) -> serde_json::Result<Self> {
        let value =
            |wanted| resource.attributes.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value);
        let own = [("host.hostname", value("host.name")), ("host.machineid", value("host.id"))];
        let own = own.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let all = own.chain(resource.attributes.iter().map(|(key, value)| (*key, value)));
        let parts: Vec<_> = all.map(|(key, value)| (key, value.clone())).collect();
        Ok(Self { resource: to_raw_value(&Object(&parts, &[]))?, parts })
    }

    /// One line of JSON, without its newline.
    ///
    /// # Errors
    /// None is known: every part of a record is a text, a number or made of those.
    pub fn encode(&self, record: &LogRecord<'_>) -> serde_json::Result<Bytes> {
        let mut bytes = Vec::with_capacity(CAPACITY);
        serde_json::to_writer(&mut bytes, &Record { record, encoder: self })?;
        // It may wait for long, with many others.
        bytes.shrink_to_fit();
        Ok(bytes.into())
    }
}

struct Record<'a> {
    record: &'a LogRecord<'a>,
    encoder: &'a Json,
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.record;
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("Timestamp", &record.timestamp.to_string())?;
        out.serialize_entry("ObservedTimestamp", &record.observed.to_string())?;
        out.serialize_entry("SeverityText", record.said.severity.text())?;
        out.serialize_entry("SeverityNumber", &record.said.severity.number())?;
        out.serialize_entry("EventName", record.said.event_name)?;
        match record.resource {
            [] => out.serialize_entry("Resource", &self.encoder.resource)?,
            more => out.serialize_entry("Resource", &Object(&self.encoder.parts, more))?,
        }
        out.serialize_entry("Attributes", &Attributes(&record.attributes.list))?;
        out.serialize_entry("Body", &record.said.body)?;
        out.end()
    }
}

struct Attributes<'a>(&'a [(&'static str, Value<'a>)]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

struct Object<'a>(&'a [(&'static str, String)], &'a [(&'static str, String)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().chain(self.1).map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests;
