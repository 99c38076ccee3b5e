//! TOML. In: text. Out: the tree, or every syntax error of it (the toml crate goes on after the first).

use crate::config::error::ConfigError;
use crate::config::read::join;
use crate::config::tree::{Entry, Lines, Node, Table, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file that is no TOML at all has a mistake in every line of it; nobody reads them all.
const MAX_ERRORS: usize = 50;

/// Reads a document. `note` says in an error why the file is taken for TOML.
pub(crate) fn parse(text: &str, lines: &Lines, note: &str) -> Result<Table, Vec<ConfigError>> {
    let (document, problems) = DeTable::parse_recoverable(text);
    let mut errors: Vec<ConfigError> = problems
        .iter()
        .take(MAX_ERRORS)
        .map(|problem| {
            let offset = problem.span().map_or(text.len(), |span| span.start);
            let (key, unset) = key_at(text, offset);
            let message = match problem.message() {
                "duplicate key" => "is set twice in this section",
                _ if unset => "has no value",
                other if other.starts_with("string values must be quoted") => {
                    "text must stand in double quotes"
                }
                other if other.starts_with("invalid basic string, expected `\"`") => {
                    "this text has no closing quote, or a backslash that escapes nothing"
                }
                other => other,
            };
            let column = lines.column(text, offset);
            lines.place(offset).error(&key, format!("column {column}: {message} ({note})"))
        })
        .collect();
    let table = table(document.get_ref(), lines, &mut errors);
    if errors.is_empty() { Ok(table) } else { Err(errors) }
}

/// The key that a line with a mistake sets, as well as the text alone tells it, and whether its value is missing.
fn key_at(text: &str, offset: usize) -> (String, bool) {
    let start = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    if let Some(section) = header(line) {
        return (section, false);
    }
    let above = text.get(..start).unwrap_or_default();
    let section = above.lines().rev().find_map(header).unwrap_or_default();
    let bare = |key: &str| {
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    match line.split_once('=') {
        Some((key, value)) if bare(key.trim()) => {
            (join(&section, key.trim()), value.split('#').next().unwrap_or_default().trim().is_empty())
        }
        _ => (section, false),
    }
}

/// The section that a line opens, if it does.
fn header(line: &str) -> Option<String> {
    let name = line.trim_start().strip_prefix('[')?;
    let name = name.strip_prefix('[').unwrap_or(name).trim_start();
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'));
    let name = name.get(..end.unwrap_or(name.len()))?;
    name.starts_with(|c: char| c.is_ascii_alphabetic()).then(|| name.to_owned())
}

/// Reads one value, as it stands behind `=`; `None` where it is none.
pub(crate) fn parse_value(text: &str, lines: &Lines) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let mut errors = Vec::new();
    let node = node(&value, lines, &mut errors);
    errors.is_empty().then_some(node)
}

fn table(table: &DeTable<'_>, lines: &Lines, errors: &mut Vec<ConfigError>) -> Table {
    let mut entries: Vec<_> = table.iter().collect();
    // The crate may sort its keys by name; errors and sections are better in the order of the file.
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
        .into_iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            place: lines.place(key.span().start),
            node: node(value, lines, errors),
        })
        .collect()
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines, errors: &mut Vec<ConfigError>) -> Node {
    let place = lines.place(value.span().start);
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                errors.push(place.error("", format!("{number} is too large a number")));
                Value::Integer(0)
            }
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, lines, errors)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, lines, errors)),
    };
    Node { value, place }
}
