//! `--set dotted.key=value`. In: the tree of the file and what the command line sets. Out: the tree with it.
//!
//! The value is read as TOML, and as text where it is none. Items of a list are named by their index from 0,
//! probes also by name: `probes.event.interval=1`.

use crate::config::error::{ConfigError, Place, SET};
use crate::config::tree::{Entry, Lines, Node, Table, Value, describe, get};

/// Applies one override to the tree.
pub(crate) fn apply(table: &mut Table, setting: &str) -> Result<(), ConfigError> {
    let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
    let key = key.trim();
    let place = Place { file: format!("{SET}{key}").into(), line: 0 };
    if !setting.contains('=') {
        return Err(place.error(key, format!("has no value; write {SET}{key}=VALUE")));
    }
    let path: Vec<&str> = key.split('.').collect();
    if path.iter().any(|name| name.is_empty()) {
        return Err(place.error(key, "is no dotted key; write one such as event.timeout"));
    }
    if path.len() > 20 {
        return Err(place.error(key, "has more parts than any key"));
    }
    let value = value.trim();
    let node = super::toml::parse_value(value, &Lines::new(place.file.clone(), value))
        .unwrap_or_else(|| Node { value: Value::Text(value.to_owned()), place: place.clone() });
    into_table(table, &path, at(node, &place), &place, key)
}

/// The same value with one place throughout: an override has no lines.
fn at(node: Node, place: &Place) -> Node {
    let value = match node.value {
        Value::List(items) => Value::List(items.into_iter().map(|item| at(item, place)).collect()),
        Value::Table(table) => {
            let entry =
                |entry: Entry| Entry { key: entry.key, place: place.clone(), node: at(entry.node, place) };
            Value::Table(table.into_iter().map(entry).collect())
        }
        other => other,
    };
    Node { value, place: place.clone() }
}

fn into_table(
    table: &mut Table,
    path: &[&str],
    node: Node,
    place: &Place,
    key: &str,
) -> Result<(), ConfigError> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    // A key of the file may have dots in it, as the properties of librdkafka do.
    let whole = path.join(".");
    if let Some(entry) = table.iter_mut().find(|entry| entry.key == whole) {
        *entry = Entry { key: whole, place: place.clone(), node };
        return Ok(());
    }
    if rest.is_empty() {
        table.push(Entry { key: whole, place: place.clone(), node });
        return Ok(());
    }
    if !table.iter().any(|entry| entry.key == *first) {
        let value = match rest.first() {
            Some(next) if *first == "probes" || is_index(next) => Value::List(Vec::new()),
            _ => Value::Table(Table::new()),
        };
        let node = Node { value, place: place.clone() };
        table.push(Entry { key: (*first).to_owned(), place: place.clone(), node });
    }
    match table.iter_mut().find(|entry| entry.key == *first) {
        Some(entry) => into_node(&mut entry.node, first, rest, node, place, key),
        None => Ok(()),
    }
}

fn into_node(
    target: &mut Node,
    name: &str,
    path: &[&str],
    node: Node,
    place: &Place,
    key: &str,
) -> Result<(), ConfigError> {
    match &mut target.value {
        Value::Table(table) => into_table(table, path, node, place, key),
        Value::List(items) => {
            let Some((first, rest)) = path.split_first() else { return Ok(()) };
            let index = position(items, name, first).map_err(|message| place.error(key, message))?;
            if index == items.len() {
                items.push(new_item(name, first, place));
            }
            match items.get_mut(index) {
                Some(item) if rest.is_empty() => *item = node,
                Some(item) => return into_node(item, first, rest, node, place, key),
                None => {}
            }
            Ok(())
        }
        other => Err(place.error(key, format!("{name} is {}, it has no keys", describe(other)))),
    }
}

/// The index of an item that is named by index or, for a probe, by name; one past the end adds an item.
fn position(items: &[Node], list: &str, name: &str) -> Result<usize, String> {
    let named = |item: &Node| match &item.value {
        Value::Table(table) => {
            matches!(get(table, "name"), Some(Node { value: Value::Text(text), .. }) if text == name)
        }
        _ => false,
    };
    if list == "probes" {
        if let Some(index) = items.iter().position(named) {
            return Ok(index);
        }
        if !is_index(name) {
            return Ok(items.len());
        }
    }
    match name.parse::<usize>() {
        Ok(index) if index <= items.len() => Ok(index),
        _ => Err(format!("{list} has {} items; name one by its index from 0", items.len())),
    }
}

fn new_item(list: &str, name: &str, place: &Place) -> Node {
    let mut table = Table::new();
    if list == "probes" && !is_index(name) {
        let node = Node { value: Value::Text(name.to_owned()), place: place.clone() };
        table.push(Entry { key: "name".to_owned(), place: place.clone(), node });
    }
    Node { value: Value::Table(table), place: place.clone() }
}

fn is_index(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_digit())
}
