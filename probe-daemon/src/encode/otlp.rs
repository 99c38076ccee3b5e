//! `encoding = "otlp_proto"` and `"otlp_json"`: the `LogsData` of the OpenTelemetry protocol with one record in it.
//!
//! In: a record. Out: the protocol's own types, and their bytes as protobuf or as OTLP/JSON. The bytes of several
//! `LogsData` one after another are one `LogsData` of them all (protobuf merges repeated fields).

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    common::v1::{
        AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value as Any,
    },
    logs::v1::{LogRecord as OtlpRecord, LogsData, ResourceLogs, ScopeLogs},
    resource::v1::Resource as OtlpResource,
};
use prost::Message;
use serde_json::Value as Json;

use crate::record::{LogRecord, Value, resource::Resource};

mod json;

/// Names the emitter of a record, as OpenTelemetry's instrumentation scope.
pub const SCOPE: &str = "gala-gopher.event-probe";
/// The version of the semantic conventions that keys of records are from.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// How the protocol's types are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Syntax {
    /// Protobuf.
    Proto,
    /// JSON as the protocol's specification maps it.
    Json,
}

/// Encodes records of one host.
pub struct Otlp {
    syntax: Syntax,
    host: Vec<KeyValue>,
}

impl Otlp {
    /// An encoder for records of this host.
    pub fn new(syntax: Syntax, resource: &Resource) -> Self {
        let mut host: Vec<_> =
            resource.attributes.iter().map(|(key, value)| pair(key, text(value))).collect();
        if !resource.addresses.is_empty() {
            host.push(pair("host.ip", any(&Value::Texts(&resource.addresses))));
        }
        Self { syntax, host }
    }

    /// One `LogsData`.
    ///
    /// # Errors
    /// None is known: the protocol's types are made of texts and numbers.
    pub fn encode(&self, record: &LogRecord<'_>) -> serde_json::Result<Bytes> {
        let data = self.data(record);
        Ok(match self.syntax {
            Syntax::Proto => data.encode_to_vec().into(),
            Syntax::Json => serde_json::to_vec(&json::Data(&data))?.into(),
        })
    }

    fn data(&self, record: &LogRecord<'_>) -> LogsData {
        let more = record.resource.iter().map(|(key, value)| pair(key, text(value)));
        let attributes = self.host.iter().cloned().chain(more).collect();
        let trace = record.trace;
        let log_record = OtlpRecord {
            time_unix_nano: record.timestamp,
            observed_time_unix_nano: record.observed,
            severity_number: record.said.severity.number().into(),
            severity_text: record.said.severity.text().to_owned(),
            event_name: record.said.event_name.to_owned(),
            body: Some(text(&record.said.body)),
            attributes: record.attributes.list.iter().map(|(key, value)| pair(key, any(value))).collect(),
            trace_id: trace.map(|trace| trace.id.bytes().to_vec()).unwrap_or_default(),
            span_id: trace.and_then(|trace| trace.span).map(|span| span.bytes().to_vec()).unwrap_or_default(),
            ..OtlpRecord::default()
        };
        let scope = InstrumentationScope {
            name: SCOPE.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_logs = ScopeLogs {
            scope: Some(scope),
            log_records: vec![log_record],
            schema_url: SCHEMA_URL.to_owned(),
        };
        let resource_logs = ResourceLogs {
            resource: Some(OtlpResource { attributes, ..OtlpResource::default() }),
            scope_logs: vec![scope_logs],
            schema_url: SCHEMA_URL.to_owned(),
        };
        LogsData { resource_logs: vec![resource_logs] }
    }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(Any::StringValue(text.to_owned())) }
}

fn any(value: &Value<'_>) -> AnyValue {
    let value = match value {
        Value::Bool(truth) => Any::BoolValue(*truth),
        Value::Int(number) => Any::IntValue(*number),
        Value::Text(own) => return text(own),
        Value::Texts(texts) => {
            Any::ArrayValue(ArrayValue { values: texts.iter().map(|own| text(own)).collect() })
        }
        Value::Args(args) => {
            let values = args.0.iter().map(|(name, value)| pair(name, from_json(value))).collect();
            Any::KvlistValue(KeyValueList { values })
        }
    };
    AnyValue { value: Some(value) }
}

/// Decoded arguments are JSON values. A number that no `int64` holds is a text, since readers refuse it otherwise.
fn from_json(value: &Json) -> AnyValue {
    let value = match value {
        Json::Null => None,
        Json::Bool(truth) => Some(Any::BoolValue(*truth)),
        Json::Number(number) => Some(match (number.as_i64(), number.as_f64().filter(|_| number.is_f64())) {
            (Some(whole), _) => Any::IntValue(whole),
            (None, Some(real)) => Any::DoubleValue(real),
            (None, None) => Any::StringValue(number.to_string()),
        }),
        Json::String(own) => return text(own),
        Json::Array(values) => {
            Some(Any::ArrayValue(ArrayValue { values: values.iter().map(from_json).collect() }))
        }
        Json::Object(map) => {
            let values = map.iter().map(|(key, value)| pair(key, from_json(value))).collect();
            Some(Any::KvlistValue(KeyValueList { values }))
        }
    };
    AnyValue { value }
}
