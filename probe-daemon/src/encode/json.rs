//! `encoding = "json"`: one object a record, keys as in OpenTelemetry's log data model.
//!
//! 64-bit times are strings, since many readers hold numbers as doubles. The resource carries the host under
//! OpenTelemetry's names and under gala-gopher's own (`host.hostname`, `host.machineid`).

mod cut;
mod repeat;
mod says;
mod write;

use std::borrow::Cow;

use bytes::Bytes;

use self::write::{Object, text, value};
use crate::{
    encode::Form,
    record::{LogRecord, Value, resource::Resource, trace::Trace},
};

/// What it is called.
pub static FORM: Form = Form {
    name: Cow::Borrowed("json"),
    content_type: Cow::Borrowed("application/json"),
    cut: Some(cut::cut),
    repeat: Some(repeat::repeat),
    says: Some(says::says),
};

/// Encodes records of one host.
pub struct Json {
    /// The resource of the host, encoded once.
    resource: Vec<u8>,
    /// Where a record is written before it is known how long it is. Records wait by thousands, and one that was shrunk would
    /// leave a hole that the next does not fit in.
    draft: Vec<u8>,
}

impl Json {
    /// An encoder for records of this host.
    pub fn new(resource: &Resource) -> Self {
        let known =
            |wanted| resource.attributes.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value);
        let own = [("host.hostname", known("host.name")), ("host.machineid", known("host.id"))];
        let own = own.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let all = own.chain(resource.attributes.iter().map(|(key, value)| (*key, value)));
        let mut encoded = Vec::new();
        let mut object = Object::begin(&mut encoded);
        all.for_each(|(key, own)| text(object.key(key), own));
        if !resource.addresses.is_empty() {
            value(object.key("host.ip"), &resource.addresses);
        }
        object.end();
        Self { resource: encoded, draft: Vec::new() }
    }

    /// One line of JSON, without its newline.
    pub fn encode(&mut self, record: &LogRecord<'_>) -> Bytes {
        let mut draft = std::mem::take(&mut self.draft);
        draft.clear();
        let mut out = Object::begin(&mut draft);
        number_as_text(out.key("Timestamp"), record.timestamp);
        number_as_text(out.key("ObservedTimestamp"), record.observed);
        text(out.key("SeverityText"), record.said.severity.text());
        value(out.key("SeverityNumber"), &record.said.severity.number());
        text(out.key("EventName"), record.said.event_name);
        self.resource(out.key("Resource"), record.resource);
        attributes(out.key("Attributes"), &record.attributes.list);
        if let Some(Trace { id, span }) = &record.trace {
            text(out.key("TraceId"), &id.to_string());
            span.iter().for_each(|span| text(out.key("SpanId"), &span.to_string()));
        }
        text(out.key("Body"), &record.said.body);
        out.end();
        let document = Bytes::copy_from_slice(&draft);
        self.draft = draft;
        document
    }

    /// The host, and what the record adds to it.
    fn resource(&self, out: &mut Vec<u8>, more: &[(Cow<'static, str>, String)]) {
        let mut object = Object::go_on(out, &self.resource);
        more.iter().for_each(|(key, own)| text(object.any_key(key), own));
        object.end();
    }
}

fn attributes(out: &mut Vec<u8>, list: &[(&'static str, Value<'_>)]) {
    let mut object = Object::begin(out);
    for (key, own) in list {
        let out = object.key(key);
        match own {
            Value::Text(own) => text(out, own),
            other => value(out, other),
        }
    }
    object.end();
}

/// Many readers hold numbers as doubles, which have no room for 64 bits.
fn number_as_text(out: &mut Vec<u8>, number: u64) {
    out.push(b'"');
    value(out, &number);
    out.push(b'"');
}

#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;
