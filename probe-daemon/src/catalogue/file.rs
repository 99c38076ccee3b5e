//! The files that make the catalogue.
//!
//! In: TOML, the daemon's own and then the user's. Out: rows, each with its place, where the user's rows stand in for
//! those of the same id, as far as they say something.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Deserialize;
use toml::Spanned;

use super::condition::Conditions;
use crate::config::ConfigError;

/// Where a row was written.
#[derive(Clone, Debug)]
pub struct Place {
    pub file: Arc<str>,
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Place {
    /// An error that begins here.
    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.to_string(),
            line: self.line,
            key: String::new(),
            message: message.into(),
        }
    }
}

/// A row and its place.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    pub row: T,
    pub place: Place,
}

/// A range of ids and the beginning of names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryRow {
    pub name: String,
    pub ids: [u32; 2],
    pub about: String,
}

/// An attribute of records.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableRow {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub unit: Option<Unit>,
    pub example: toml::Value,
    pub about: String,
    #[serde(default = "unknown")]
    pub general: String,
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// What an attribute's value is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub enum Kind {
    #[serde(rename = "string")]
    Text,
    #[serde(rename = "int")]
    Int,
    #[serde(rename = "bool")]
    Bool,
    #[serde(rename = "string[]")]
    Texts,
    #[serde(rename = "map")]
    Map,
}

impl Kind {
    /// As OpenTelemetry calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Texts => "string[]",
            Self::Map => "map",
        }
    }

    pub fn fits(self, value: &toml::Value) -> bool {
        match self {
            Self::Text => value.is_str(),
            Self::Int => value.is_integer(),
            Self::Bool => value.is_bool(),
            Self::Texts => value.as_array().is_some_and(|values| values.iter().all(toml::Value::is_str)),
            Self::Map => value.is_table(),
        }
    }
}

/// What a number counts, so that a sentence can say it in words.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub enum Unit {
    #[serde(rename = "bytes")]
    Bytes,
    #[serde(rename = "kB")]
    Kilobytes,
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "ms")]
    Milliseconds,
}

/// Records of one `EventName`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyRow {
    pub event_name: String,
    pub about: String,
    pub variables: Vec<String>,
}

/// An event; what it leaves out is as the row of the same id before it has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventRow {
    pub id: u32,
    pub name: Option<String>,
    #[serde(default)]
    pub of: Vec<String>,
    pub when: Option<Conditions>,
    pub severity: Option<String>,
    #[serde(default)]
    pub graver: Vec<GraverRow>,
    pub message: Option<String>,
    pub cause: Option<String>,
    pub solution: Option<String>,
}

/// A severity for some of an event's records.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraverRow {
    pub severity: String,
    pub when: Conditions,
}

impl EventRow {
    fn over(self, before: Self) -> Self {
        let list = |own: Vec<_>, before| if own.is_empty() { before } else { own };
        Self {
            id: self.id,
            name: self.name.or(before.name),
            of: if self.of.is_empty() { before.of } else { self.of },
            // A severity of one's own is not to be made graver by someone else's conditions.
            graver: if self.severity.is_some() { self.graver } else { list(self.graver, before.graver) },
            when: self.when.or(before.when),
            severity: self.severity.or(before.severity),
            message: self.message.or(before.message),
            cause: self.cause.or(before.cause),
            solution: self.solution.or(before.solution),
        }
    }
}

/// A file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    common: Vec<String>,
    #[serde(default)]
    category: Vec<Spanned<CategoryRow>>,
    #[serde(default)]
    variable: Vec<Spanned<VariableRow>>,
    #[serde(default)]
    family: Vec<Spanned<FamilyRow>>,
    #[serde(default)]
    event: Vec<Spanned<EventRow>>,
}

/// All rows of all files.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Variables that the records of every family have.
    pub common: Vec<String>,
    pub categories: Vec<Placed<CategoryRow>>,
    pub variables: Vec<Placed<VariableRow>>,
    pub families: Vec<Placed<FamilyRow>>,
    pub events: Vec<Placed<EventRow>>,
}

impl Rows {
    /// Adds a file. Its events stand in for those of the same id in the files before it.
    ///
    /// # Errors
    /// Where it is no TOML, or has a key that is not known, or two events of one id.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), Vec<ConfigError>> {
        let file: Arc<str> = file.into();
        let line = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        let place = |offset: usize| Place { file: Arc::clone(&file), line: line(offset) };
        let document: Document = toml::from_str(text).map_err(|error| {
            let place = place(error.span().map_or(0, |span| span.start));
            vec![place.error(error.message().trim_end())]
        })?;
        self.common.extend(document.common);
        self.categories.extend(placed(document.category, place));
        self.variables.extend(placed(document.variable, place));
        self.families.extend(placed(document.family, place));
        let mut errors = Vec::new();
        let mut own: BTreeMap<u32, Place> = BTreeMap::new();
        for event in placed(document.event, place) {
            let Placed { row, place } = event;
            if let Some(first) = own.insert(row.id, place.clone()) {
                errors.push(
                    place.error(format!("two events have the id {}: this one and that at {first}", row.id)),
                );
                continue;
            }
            match self.events.iter_mut().find(|before| before.row.id == row.id) {
                Some(before) => *before = Placed { row: row.over(before.row.clone()), place },
                None => self.events.push(Placed { row, place }),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn placed<T>(rows: Vec<Spanned<T>>, place: impl Fn(usize) -> Place) -> Vec<Placed<T>> {
    rows.into_iter().map(|row| Placed { place: place(row.span().start), row: row.into_inner() }).collect()
}
