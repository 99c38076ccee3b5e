//! OTLP/JSON: the protocol's types as its specification maps them to JSON.
//!
//! In: `LogsData`. Out: a serde value. 64-bit integers are strings, enums are numbers, keys are in lowerCamelCase, and
//! what is empty is left out. The types' own serialisation writes empty ids and lists, which strict readers refuse.
//! Source: opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding".

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::record::trace::hex;

/// Writes `LogsData`.
pub struct Data<'a>(pub &'a LogsData);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([("resourceLogs", List(&self.0.resource_logs, OfResource))])
    }
}

/// A list, each item of which is wrapped to be written.
struct List<'a, T, W>(&'a [T], fn(&'a T) -> W);

impl<T, W: Serialize> Serialize for List<'_, T, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

struct OfResource<'a>(&'a ResourceLogs);

impl Serialize for OfResource<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ResourceLogs { resource, scope_logs, schema_url } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if let Some(Resource { attributes, .. }) = resource {
            map.serialize_entry("resource", &One("attributes", List(attributes, Pair)))?;
        }
        map.serialize_entry("scopeLogs", &List(scope_logs, OfScope))?;
        map.serialize_entry("schemaUrl", schema_url)?;
        map.end()
    }
}

struct OfScope<'a>(&'a ScopeLogs);

impl Serialize for OfScope<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ScopeLogs { scope, log_records, schema_url } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if let Some(InstrumentationScope { name, version, .. }) = scope {
            map.serialize_entry("scope", &Scope { name, version })?;
        }
        map.serialize_entry("logRecords", &List(log_records, Record))?;
        map.serialize_entry("schemaUrl", schema_url)?;
        map.end()
    }
}

#[derive(Serialize)]
struct Scope<'a> {
    name: &'a str,
    version: &'a str,
}

struct Record<'a>(&'a LogRecord);

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timeUnixNano", &record.time_unix_nano.to_string())?;
        map.serialize_entry("observedTimeUnixNano", &record.observed_time_unix_nano.to_string())?;
        map.serialize_entry("severityNumber", &record.severity_number)?;
        map.serialize_entry("severityText", &record.severity_text)?;
        map.serialize_entry("eventName", &record.event_name)?;
        if let Some(body) = &record.body {
            map.serialize_entry("body", &Any(body))?;
        }
        map.serialize_entry("attributes", &List(&record.attributes, Pair))?;
        for (key, id) in [("traceId", &record.trace_id), ("spanId", &record.span_id)] {
            if !id.is_empty() {
                map.serialize_entry(key, &hex(id))?;
            }
        }
        map.end()
    }
}

struct Pair<'a>(&'a KeyValue);

impl Serialize for Pair<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", &self.0.key)?;
        if let Some(value) = &self.0.value {
            map.serialize_entry("value", &Any(value))?;
        }
        map.end()
    }
}

struct Any<'a>(&'a AnyValue);

impl Serialize for Any<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.value {
            None => serializer.serialize_map(Some(0))?.end(),
            Some(Value::StringValue(text)) => One("stringValue", text).serialize(serializer),
            Some(Value::BoolValue(truth)) => One("boolValue", truth).serialize(serializer),
            Some(Value::IntValue(number)) => One("intValue", number.to_string()).serialize(serializer),
            Some(Value::DoubleValue(number)) => One("doubleValue", number).serialize(serializer),
            Some(Value::ArrayValue(array)) => {
                One("arrayValue", One("values", List(&array.values, Any))).serialize(serializer)
            }
            Some(Value::KvlistValue(list)) => {
                One("kvlistValue", One("values", List(&list.values, Pair))).serialize(serializer)
            }
            // Records have neither bytes nor references into a dictionary of strings.
            Some(Value::BytesValue(_) | Value::StringValueStrindex(_)) => {
                Err(serde::ser::Error::custom("no attribute of a record has this type"))
            }
        }
    }
}

/// An object of one key.
struct One<V>(&'static str, V);

impl<V: Serialize> Serialize for One<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.0, &self.1)])
    }
}
