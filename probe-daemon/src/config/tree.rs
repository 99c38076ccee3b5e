//! The tree that both syntaxes are read into: values with the place each was written at. In: a parser's
//! findings. Out: what the reader walks over, and, the other way, a tree as TOML text.

use crate::config::error::Place;
use std::fmt::Write as _;
use std::sync::Arc;

/// A value of either syntax; dates exist in TOML only and no key takes one.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Date(String),
    List(Vec<Node>),
    Table(Table),
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// A key and what it was set to.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// Keys in the order they were written in.
pub(crate) type Table = Vec<Entry>;

/// The last setting of a key in a table.
pub(crate) fn get<'a>(table: &'a [Entry], key: &str) -> Option<&'a Node> {
    table.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.node)
}

/// Where a dotted key was written, or else the nearest section around it.
pub(crate) fn find<'a>(table: &'a [Entry], key: &str) -> Option<&'a Place> {
    table.iter().rev().find_map(|entry| match (key.strip_prefix(&entry.key)?, &entry.node.value) {
        ("", _) => Some(&entry.place),
        (rest, Value::Table(inner)) => Some(find(inner, rest.strip_prefix('.')?).unwrap_or(&entry.place)),
        _ => None,
    })
}

/// Whether a dotted key was written.
pub(crate) fn has(table: &[Entry], key: &str) -> bool {
    match key.split_once('.') {
        Some((section, rest)) => {
            matches!(get(table, section), Some(Node { value: Value::Table(inner), .. }) if has(inner, rest))
        }
        None => get(table, key).is_some(),
    }
}

/// Turns offsets into a text into its lines.
#[derive(Debug)]
pub(crate) struct Lines {
    file: Arc<str>,
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn new(file: Arc<str>, text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { file, starts: std::iter::once(0).chain(breaks.map(|(offset, _)| offset + 1)).collect() }
    }

    pub(crate) fn place(&self, offset: usize) -> Place {
        Place { file: self.file.clone(), line: self.starts.partition_point(|start| *start <= offset) }
    }

    /// Column of an offset in the line it is in, from 1, in characters.
    pub(crate) fn column(&self, text: &str, offset: usize) -> usize {
        let start = self.starts[self.starts.partition_point(|start| *start <= offset) - 1];
        text.get(start..offset).map_or(1, |before| before.chars().count() + 1)
    }
}

/// A value in a few words for a message: what it is, and as much of it as helps to find it.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Text(text) if text.chars().count() > 60 => {
            format!("{:?}...", text.chars().take(60).collect::<String>())
        }
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(value) => value.to_string(),
        Value::Date(date) => format!("the date {date}"),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a section".to_owned(),
    }
}

/// A table as a TOML document: plain keys first, then a header for each section.
pub(crate) fn to_toml(table: &[Entry]) -> String {
    let mut text = String::new();
    section(&mut text, "", table);
    text
}

fn section(text: &mut String, path: &str, table: &[Entry]) {
    let is_section = |value: &Value| match value {
        Value::Table(_) => true,
        Value::List(items) => {
            !items.is_empty() && items.iter().all(|item| matches!(item.value, Value::Table(_)))
        }
        _ => false,
    };
    for entry in table.iter().filter(|entry| !is_section(&entry.node.value)) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} = {}", toml_key(&entry.key), inline(&entry.node.value));
    }
    for entry in table.iter().filter(|entry| is_section(&entry.node.value)) {
        let key = toml_key(&entry.key);
        let path = if path.is_empty() { key } else { format!("{path}.{key}") };
        let (tables, header): (Vec<&Table>, _) = match &entry.node.value {
            Value::Table(table) => (vec![table], format!("[{path}]")),
            Value::List(items) => (items.iter().filter_map(as_table).collect(), format!("[[{path}]]")),
            _ => continue,
        };
        for table in tables {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{header}");
            section(text, &path, table);
        }
    }
}

fn as_table(node: &Node) -> Option<&Table> {
    match &node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn toml_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A value on one line of TOML.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => toml::Value::Float(*number).to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Date(date) => date.clone(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(|item| inline(&item.value)).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) => {
            let pair = |entry: &Entry| format!("{} = {}", toml_key(&entry.key), inline(&entry.node.value));
            format!("{{ {} }}", table.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}
