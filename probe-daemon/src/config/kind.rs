//! The kinds of settings: how each is read, checked, shown and described. In: values of the tree. Out: typed
//! settings, or errors that say what would be right.

use crate::config::error::Spanned;
use crate::config::read::Reader;
use crate::config::schema::{Kind, Section, SectionDoc, entry};
use crate::config::secret::{HIDDEN, Properties, Secret};
use crate::config::tree::{Node, Table, Value, describe};
use crate::nearest::did_you_mean;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// A setting with a fixed list of names, made by `choice!`.
pub(crate) trait Choice: Copy + Eq + 'static {
    const ALL: &'static [Self];
    const WHAT: &'static str;
    fn name(self) -> &'static str;

    fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|choice| choice.name()).collect()
    }
}

/// One of the names of a choice.
pub(crate) struct OneOf<T>(pub(crate) PhantomData<T>);

pub(crate) fn one_of<T: Choice>() -> OneOf<T> {
    OneOf(PhantomData)
}

/// Finds a choice by name; `tail` ends the list of the right names.
fn choose<T: Choice>(reader: &mut Reader, key: &str, node: &Node, tail: &str) -> Option<T> {
    // `switch = true` is no name, and what it meant is plain.
    let near = match &node.value {
        Value::Text(text) => {
            if let Some(found) = T::ALL.iter().find(|choice| choice.name() == text) {
                return Some(*found);
            }
            did_you_mean(text, T::names())
        }
        Value::Boolean(true) => did_you_mean("on", T::names()),
        Value::Boolean(false) => did_you_mean("off", T::names()),
        _ => String::new(),
    };
    let found = describe(&node.value);
    let names = T::names().join(", ");
    reader.error(node, key, format!("{found} is not {}{near} ({names}{tail})", T::WHAT));
    None
}

impl<T: Choice> Kind for OneOf<T> {
    type Value = T;

    fn accepts(&self) -> String {
        T::names().iter().map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(", ")
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<T> {
        choose(reader, key, node, "")
    }

    fn show(&self, value: &T) -> Option<Value> {
        Some(Value::Text(value.name().to_owned()))
    }
}

/// One name, a list of names, or `""` for none of them.
pub(crate) struct AnyOf<T>(pub(crate) PhantomData<T>);

impl<T: Choice> Kind for AnyOf<T> {
    type Value = Vec<T>;

    fn accepts(&self) -> String {
        format!("{}, a list of them, or `\"\"` for none", one_of::<T>().accepts())
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Vec<T>> {
        let tail = ", or a list of them, \"\" for none";
        let items = match &node.value {
            Value::Text(text) if text.is_empty() => return Some(Vec::new()),
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut found = Vec::new();
        let mut complete = true;
        for item in items {
            match choose::<T>(reader, key, item, tail) {
                Some(choice) if found.contains(&choice) => {
                    reader.error(item, key, format!("{:?} is in the list twice", choice.name()));
                    complete = false;
                }
                Some(choice) => found.push(choice),
                None => complete = false,
            }
        }
        complete.then_some(found)
    }

    fn show(&self, value: &Vec<T>) -> Option<Value> {
        let text = |choice: &T| Value::Text(choice.name().to_owned());
        Some(match value.as_slice() {
            [] => Value::Text(String::new()),
            [one] => text(one),
            several => list(several.iter().map(text)),
        })
    }
}

/// A whole number in a range.
pub(crate) struct Whole(pub(crate) RangeInclusive<u64>);

fn whole(
    reader: &mut Reader,
    key: &str,
    node: &Node,
    range: &RangeInclusive<u64>,
    unit: &str,
) -> Option<u64> {
    if let Value::Integer(number) = node.value
        && let Ok(number) = u64::try_from(number)
        && range.contains(&number)
    {
        return Some(number);
    }
    let found = describe(&node.value);
    let quotes = match &node.value {
        Value::Text(text) if text.parse::<u64>().is_ok() => "; write the number without quotes",
        _ => "",
    };
    let (low, high) = (range.start(), range.end());
    reader.error(node, key, format!("{found} is not a whole number{unit} from {low} to {high}{quotes}"));
    None
}

impl Kind for Whole {
    type Value = u64;

    fn accepts(&self) -> String {
        format!("{} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<u64> {
        whole(reader, key, node, &self.0, "")
    }

    fn show(&self, value: &u64) -> Option<Value> {
        Some(Value::Integer(i64::try_from(*value).unwrap_or(i64::MAX)))
    }
}

/// A whole number of seconds in a range.
pub(crate) struct Seconds(pub(crate) RangeInclusive<u64>);

impl Kind for Seconds {
    type Value = Duration;

    fn accepts(&self) -> String {
        format!("{} to {} seconds", self.0.start(), self.0.end())
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Duration> {
        whole(reader, key, node, &self.0, " of seconds").map(Duration::from_secs)
    }

    fn show(&self, value: &Duration) -> Option<Value> {
        Whole(self.0.clone()).show(&value.as_secs())
    }
}

/// Text that a function checks and may tidy up; `what` describes it in the documentation.
pub(crate) struct Text {
    pub(crate) what: &'static str,
    pub(crate) check: fn(&str) -> Result<String, String>,
}

impl Kind for Text {
    type Value = String;

    fn accepts(&self) -> String {
        self.what.to_owned()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<String> {
        let text = reader.text(node, key)?;
        (self.check)(text).map_err(|message| reader.error(node, key, message)).ok()
    }

    fn show(&self, value: &String) -> Option<Value> {
        Some(Value::Text(value.clone()))
    }
}

/// The absolute path of a file or folder.
pub(crate) struct AbsolutePath;

impl Kind for AbsolutePath {
    type Value = PathBuf;

    fn accepts(&self) -> String {
        "absolute path".to_owned()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<PathBuf> {
        let text = reader.text(node, key)?;
        if text.starts_with('/') {
            return Some(PathBuf::from(text));
        }
        // A service manager starts the daemon in a folder of its own choice.
        let found = describe(&node.value);
        reader.error(node, key, format!("{found} is not an absolute path; begin it with /"));
        None
    }

    fn show(&self, value: &PathBuf) -> Option<Value> {
        value.to_str().map(|path| Value::Text(path.to_owned()))
    }
}

/// Sockets of container runtimes.
#[derive(Clone, Debug, PartialEq)]
pub enum Sockets {
    /// Those that are where they usually are.
    Auto,
    /// These; none is none.
    These(Vec<PathBuf>),
}

/// `"auto"`, `"off"`, or paths.
pub(crate) struct RuntimeSockets;

impl Kind for RuntimeSockets {
    type Value = Sockets;

    fn accepts(&self) -> String {
        "`\"auto\"`, `\"off\"`, or absolute paths such as `[\"/run/docker.sock\"]`".to_owned()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Sockets> {
        let items = match &node.value {
            Value::Text(text) if text == "auto" => return Some(Sockets::Auto),
            Value::Text(text) if text == "off" || text.is_empty() => return Some(Sockets::These(Vec::new())),
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        // Each wrong one is told, so no `?` before the last.
        let read: Vec<Option<PathBuf>> =
            items.iter().map(|item| AbsolutePath.read(reader, key, item)).collect();
        read.into_iter().collect::<Option<Vec<PathBuf>>>().map(Sockets::These)
    }

    fn show(&self, value: &Sockets) -> Option<Value> {
        Some(match value {
            Sockets::Auto => Value::Text("auto".to_owned()),
            Sockets::These(paths) if paths.is_empty() => Value::Text("off".to_owned()),
            Sockets::These(paths) => list(paths.iter().filter_map(|path| AbsolutePath.show(path))),
        })
    }
}

/// A setting that may be left out; gala-gopher's own file leaves texts out by writing `""`.
pub(crate) struct Maybe<K>(pub(crate) K);

impl<K: Kind> Kind for Maybe<K> {
    type Value = Option<K::Value>;

    fn accepts(&self) -> String {
        self.0.accepts()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Option<K::Value>> {
        match &node.value {
            Value::Text(text) if text.is_empty() => Some(None),
            _ => self.0.read(reader, key, node).map(Some),
        }
    }

    fn show(&self, value: &Option<K::Value>) -> Option<Value> {
        value.as_ref().and_then(|value| self.0.show(value))
    }
}

/// A password: never shown, not even in an error about it.
pub(crate) struct Password;

impl Kind for Password {
    type Value = Secret;

    fn accepts(&self) -> String {
        "text; shown as `***`".to_owned()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Secret> {
        match &node.value {
            Value::Text(_) => reader.text(node, key).map(Secret::new),
            _ => {
                reader.error(node, key, "what is written here is not text; put it in double quotes");
                None
            }
        }
    }

    fn show(&self, _value: &Secret) -> Option<Value> {
        Some(Value::Text(HIDDEN.to_owned()))
    }
}

/// A list of names that the policy looks up; a single name needs no list.
pub(crate) struct Names(pub(crate) &'static str);

impl Kind for Names {
    type Value = Vec<Spanned<String>>;

    fn accepts(&self) -> String {
        self.0.to_owned()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Self::Value> {
        let items = match &node.value {
            Value::List(items) if items.is_empty() => {
                reader.error(node, key, "the list is empty; leave the key out to match everything");
                return None;
            }
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut names = Vec::new();
        for item in items {
            match reader.text(item, key)? {
                "" => reader.error(item, key, "a name is empty"),
                name => names.push(Spanned::new(name.to_owned(), key, &item.place)),
            }
        }
        Some(names)
    }

    fn show(&self, value: &Self::Value) -> Option<Value> {
        let names = value.iter().map(|name| Value::Text(name.value.clone()));
        (!value.is_empty()).then(|| list(names))
    }
}

/// A list of whole numbers in a range; a single one needs no list.
pub(crate) struct Numbers(pub(crate) RangeInclusive<u64>);

impl Kind for Numbers {
    type Value = Vec<u64>;

    fn accepts(&self) -> String {
        format!("whole numbers, {} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Self::Value> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        // Each wrong one is told, so no `?` before the last.
        let read: Vec<Option<u64>> = items.iter().map(|item| whole(reader, key, item, &self.0, "")).collect();
        read.into_iter().collect()
    }

    fn show(&self, value: &Self::Value) -> Option<Value> {
        let numbers = value.iter().map(|number| Value::Integer(i64::try_from(*number).unwrap_or(i64::MAX)));
        (!value.is_empty()).then(|| list(numbers))
    }
}

/// Properties of any name; dots in a name may also be written as sections within each other.
pub(crate) struct AnyProperty;

impl AnyProperty {
    fn collect(reader: &mut Reader, key: &str, name: &str, table: &Table, found: &mut Vec<(String, String)>) {
        for entry in table {
            let name = crate::config::read::join(name, &entry.key);
            let path = crate::config::read::join(key, &name);
            let value = match &entry.node.value {
                Value::Table(table) => {
                    Self::collect(reader, key, &name, table, found);
                    continue;
                }
                Value::Integer(number) => number.to_string(),
                Value::Boolean(value) => value.to_string(),
                Value::Text(_) => match reader.text(&entry.node, &path) {
                    Some(text) => text.to_owned(),
                    None => continue,
                },
                _ => {
                    reader.error(
                        &entry.node,
                        &path,
                        "a property of librdkafka is text, a whole number, true or false",
                    );
                    continue;
                }
            };
            if name.is_empty() || name.contains('\0') {
                reader.error(&entry.node, &path, "a property of librdkafka needs a name");
            } else if found.iter().any(|(other, _)| *other == name) {
                reader.error(&entry.node, &path, "this property is set twice");
            } else {
                found.push((name, value));
            }
        }
    }
}

impl Kind for AnyProperty {
    type Value = Properties;

    fn accepts(&self) -> String {
        "a section of librdkafka's own properties, such as `\"socket.keepalive.enable\" = true`".to_owned()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Properties> {
        let table = reader.table(node, key)?;
        let mut found = Vec::new();
        Self::collect(reader, key, "", table, &mut found);
        Some(Properties(found))
    }

    fn show(&self, value: &Properties) -> Option<Value> {
        let property = |(name, value): &(String, String)| {
            entry(name, Value::Text(Properties::shown(name, value).to_owned()))
        };
        (!value.0.is_empty()).then(|| Value::Table(value.0.iter().map(property).collect()))
    }
}

/// A section below another one.
pub(crate) struct Nested<S>(pub(crate) PhantomData<S>);

impl<S: Section> Kind for Nested<S> {
    type Value = S;

    fn accepts(&self) -> String {
        "section".to_owned()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<S> {
        let table = reader.table(node, key)?;
        Some(S::read(reader, key, table))
    }

    fn show(&self, value: &S) -> Option<Value> {
        Some(Value::Table(value.show()))
    }

    fn sections(&self, key: &str) -> Vec<SectionDoc> {
        S::docs(key, false)
    }
}

/// A list of sections.
pub(crate) struct Sections<S>(pub(crate) PhantomData<S>);

/// The items of a list of sections.
pub(crate) fn items<'a>(reader: &mut Reader, key: &str, node: &'a Node) -> Option<&'a [Node]> {
    if let Value::List(items) = &node.value {
        return Some(items);
    }
    let (found, header) = (describe(&node.value), reader.header(key, true));
    reader.error(node, key, format!("{found} is not a list of sections; write {header}"));
    None
}

impl<S: Section> Kind for Sections<S> {
    type Value = Vec<S>;

    fn accepts(&self) -> String {
        "list of sections".to_owned()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Vec<S>> {
        let mut sections = Vec::new();
        for (index, item) in items(reader, key, node)?.iter().enumerate() {
            let key = format!("{key}.{index}");
            if let Some(table) = reader.table(item, &key) {
                sections.push(S::read(reader, &key, table));
            }
        }
        Some(sections)
    }

    fn show(&self, value: &Vec<S>) -> Option<Value> {
        (!value.is_empty()).then(|| list(value.iter().map(|section| Value::Table(section.show()))))
    }

    fn sections(&self, key: &str) -> Vec<SectionDoc> {
        S::docs(key, true)
    }
}

/// A list that was not written anywhere.
pub(crate) fn list(values: impl Iterator<Item = Value>) -> Value {
    Value::List(values.map(|value| entry("", value).node).collect())
}
