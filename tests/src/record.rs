//! Strict reading of records: in comes one line, out comes a document whose names are unique and whose
//! text is valid UTF-8, or an error.

use std::fmt;
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow, ensure};
use jsonschema::Validator;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What readers are promised, `docs/record.schema.json`.
static SCHEMA: LazyLock<Result<Validator, String>> = LazyLock::new(|| {
    let schema = serde_json::from_str(include_str!("../../docs/record.schema.json"));
    let schema: Value = schema.map_err(|error| error.to_string())?;
    jsonschema::validator_for(&schema).map_err(|error| error.to_string())
});

/// A number of a record's line by its key, for lines that are too many to be read strictly.
pub fn number(line: &str, key: &str) -> Option<u64> {
    let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
    rest.split([',', '}']).next()?.parse().ok()
}

/// One record as a consumer reads it.
#[derive(Debug, Clone)]
pub struct Record(pub Value);

impl Record {
    /// Parses one line. Duplicate names, invalid UTF-8, anything after the document and what the schema does not
    /// allow are errors.
    pub fn parse(line: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(line).context("the record is not valid UTF-8")?;
        let Strict(value) = serde_json::from_str(text).with_context(|| format!("not strict JSON: {text}"))?;
        ensure!(value.is_object(), "the record is not an object: {text}");
        let schema = SCHEMA.as_ref().map_err(|error| anyhow!("docs/record.schema.json: {error}"))?;
        let errors: Vec<String> =
            schema.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        ensure!(errors.is_empty(), "not as docs/record.schema.json has it: {}: {text}", errors.join("; "));
        Ok(Self(value))
    }

    /// Whether the daemon says something of itself. Such a record stands for no event.
    pub fn is_of_probe(&self) -> bool {
        self.top("EventName").as_str().is_some_and(|name| name.starts_with("gala_gopher.probe."))
    }

    /// A member of the document, null where there is none.
    pub fn top(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// An attribute, null where there is none.
    pub fn attribute(&self, name: &str) -> &Value {
        &self.0["Attributes"][name]
    }

    /// A decoded argument of the system call, null where there is none.
    pub fn argument(&self, name: &str) -> &Value {
        &self.attribute("gala_gopher.syscall.args")[name]
    }

    /// The process that the record is about.
    pub fn pid(&self) -> i64 {
        self.attribute("process.pid").as_i64().unwrap_or(-1)
    }

    /// The name of the system call, empty where there is none.
    pub fn syscall(&self) -> &str {
        self.attribute("gala_gopher.syscall.name").as_str().unwrap_or_default()
    }

    /// The event's own time, in nanoseconds since 1970.
    pub fn time(&self) -> Result<i128> {
        let text = self.top("Timestamp").as_str().context("Timestamp is not a string")?;
        text.parse().with_context(|| format!("Timestamp {text:?} is no number of nanoseconds"))
    }
}

/// A JSON value read by a parser that refuses a name given twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format!("the name {name:?} is there twice")));
            }
        }
        Ok(Value::Object(object))
    }
}
