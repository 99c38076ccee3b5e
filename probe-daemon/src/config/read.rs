//! Walks over a tree of values. In: the tree. Out: settings, every error on the way, and the keys that
//! belong to other probes.

use crate::config::error::{ConfigError, Place};
use crate::config::schema::SectionDoc;
use crate::config::tree::{Entry, Node, Table, Value, describe};
use crate::nearest::did_you_mean;

/// Collects what a reading finds besides the settings themselves.
pub(crate) struct Reader {
    pub(crate) errors: Vec<ConfigError>,
    pub(crate) foreign: Vec<String>,
    /// What is no error, and yet not as it was written.
    pub(crate) warnings: Vec<ConfigError>,
    /// Every section with its keys, to tell where a misplaced key belongs.
    pub(crate) sections: Vec<SectionDoc>,
    /// The file as a whole.
    pub(crate) root: Place,
    /// Whether advice is given in libconfig's syntax.
    pub(crate) libconfig: bool,
}

impl Reader {
    pub(crate) fn error(&mut self, node: &Node, key: &str, message: impl Into<String>) {
        self.errors.push(node.place.error(key, message));
    }

    /// Notes a key that belongs to another probe, once.
    pub(crate) fn belongs_to_others(&mut self, key: String) {
        if !self.foreign.contains(&key) {
            self.foreign.push(key);
        }
    }

    /// How a section is opened in the syntax of the file.
    pub(crate) fn header(&self, key: &str, list: bool) -> String {
        match (self.libconfig, list) {
            (true, true) => format!("{key} = ( {{ ... }} );"),
            (true, false) => format!("{key} = {{ ... }};"),
            (false, true) => format!("[[{key}]]"),
            (false, false) => format!("[{key}]"),
        }
    }

    /// The keys of a section; anything else is an error.
    pub(crate) fn table<'a>(&mut self, node: &'a Node, key: &str) -> Option<&'a Table> {
        match &node.value {
            Value::Table(table) => Some(table),
            other => {
                let found = describe(other);
                let header = self.header(key, false);
                self.error(node, key, format!("{found} is not a section; write {header}"));
                None
            }
        }
    }

    /// A key that its section does not have: names the nearest one, or the section that has it.
    pub(crate) fn unknown(&mut self, entry: &Entry, section: &str, known: &[&str]) {
        let key = join(section, &entry.key);
        let kind = if section.is_empty() { "section" } else { "key" };
        let hint = did_you_mean(&entry.key, known.iter().copied());
        let owner = || {
            let owner = self.sections.iter().find(|section| section.has(&entry.key))?;
            Some(format!("; {:?} belongs to {}", entry.key, self.header(&owner.key, owner.list)))
        };
        let hint = if hint.is_empty() { owner().unwrap_or_default() } else { hint };
        let message = format!("there is no such {kind}{hint} ({})", known.join(", "));
        self.errors.push(entry.place.error(&key, message));
    }

    /// Text without a NUL byte, which no file name and no property of a C library can hold.
    pub(crate) fn text<'a>(&mut self, node: &'a Node, key: &str) -> Option<&'a str> {
        match &node.value {
            Value::Text(text) if text.contains('\0') => {
                self.error(node, key, "text cannot hold a NUL byte");
                None
            }
            Value::Text(text) => Some(text),
            Value::List(_) | Value::Table(_) => {
                let found = describe(&node.value);
                self.error(node, key, format!("{found} is not text; write \"...\""));
                None
            }
            other => {
                let found = describe(other);
                self.error(node, key, format!("{found} is not text; write \"{found}\""));
                None
            }
        }
    }
}

/// Dotted key of a key in a section.
pub(crate) fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}
