//! What an operator needs to know of each event: what it means, why it happens, what to do.
//!
//! In: `conf/events.toml`, which is compiled in, and the file that `event.catalogue` names, which may change and add
//! entries. Out: for the attributes of a record the [`Entry`] that fits best, and what it says with the record's own
//! values in it. All texts are taken apart when they are read; a record costs a few comparisons and one copy.

use std::{borrow::Cow, collections::HashMap, path::Path};

use crate::{
    config::ConfigError,
    record::{Value, cut},
    severity::Severity,
    text_file,
};

mod check;
mod condition;
mod docs;
mod file;
mod slots;
mod template;

use condition::Conditions;
use file::{Rows, Unit, VariableRow};
use slots::{Asked, Slots, Values as Record};
use template::{Template, Values};

pub use docs::docs;

/// The catalogue that is compiled in.
const BUILT_IN: &str = include_str!("../../conf/events.toml");
/// What its errors call it.
const BUILT_IN_NAME: &str = "conf/events.toml (compiled in)";
/// What an id or a text that is not there is called.
pub const NONE: &str = "none";
/// The id of a name that nobody knows, and of what is no event at all but a success.
const UNKNOWN_ID: i64 = -1000;
const SUCCESS: &str = "SUCCESS";
/// The longest value in a sentence, in bytes.
const SHOWN_LEN: usize = 256;
/// The attribute that most entries ask for, so that it chooses whom to look at.
const ERROR: &str = "error.type";

/// An event that the catalogue knows.
#[derive(Debug)]
pub struct Entry {
    /// Its number, unique and in the range of its category.
    pub id: u32,
    /// Its name, unique: category, event, cause.
    pub name: String,
    /// The `EventName` of its records, or several.
    of: Vec<String>,
    when: Conditions,
    severity: Severity,
    graver: Vec<(Severity, Conditions)>,
    message: Template,
    cause: Option<Template>,
    solution: Option<Template>,
}

/// What an entry says of one record.
#[derive(Debug, PartialEq)]
pub struct Explanation<'c> {
    /// The number of the event.
    pub id: u32,
    /// The name of the event.
    pub name: &'c str,
    /// How grave it is, where no rule says otherwise.
    pub severity: Severity,
    /// What it means.
    pub message: String,
    /// Why it happens.
    pub cause: String,
    /// What to do.
    pub solution: String,
}

/// All events that are known. The default knows none.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
    families: HashMap<String, Candidates>,
    /// A number for each attribute that any entry is about.
    slots: Slots,
    /// What each entry asks, by these numbers, in the order of the entries.
    asked: Vec<AskedOf>,
}

/// What an entry asks, by the numbers of attributes.
#[derive(Debug)]
struct AskedOf {
    when: Asked,
    graver: Vec<(Severity, Asked)>,
}

/// Entries of one family, those with the most conditions first; an entry is a place in [`Catalogue::entries`].
#[derive(Debug, Default)]
struct Candidates {
    by_error: HashMap<String, Vec<usize>>,
    /// Those that do not ask for certain errors.
    others: Vec<usize>,
}

impl Catalogue {
    /// Reads what is compiled in and then, where there is one, a file.
    ///
    /// # Errors
    /// All that is wrong with it, each with its file and line.
    pub fn load(path: Option<&Path>) -> Result<Self, Vec<ConfigError>> {
        let mut rows = Rows::default();
        rows.add(BUILT_IN_NAME, BUILT_IN)?;
        if let Some(path) = path {
            rows.add(&path.display().to_string(), &read(path)?)?;
        }
        check::build(rows)
    }

    /// What is compiled in.
    #[cfg(test)]
    pub fn built_in() -> Self {
        Self::load(None).unwrap()
    }

    fn new(mut entries: Vec<Entry>, variables: &HashMap<String, VariableRow>) -> Self {
        let mut slots = Slots::new([ERROR], variables);
        let mut asked = Vec::with_capacity(entries.len());
        for entry in &mut entries {
            let templates = [Some(&mut entry.message), entry.cause.as_mut(), entry.solution.as_mut()];
            templates
                .into_iter()
                .flatten()
                .for_each(|template| template.resolve(&mut |key| slots.number(key)));
            let graver = entry.graver.iter().map(|(severity, when)| (*severity, slots.asked(when)));
            let graver = graver.collect();
            asked.push(AskedOf { when: slots.asked(&entry.when), graver });
        }
        let mut families: HashMap<String, Candidates> = HashMap::new();
        let mut order: Vec<usize> = (0..entries.len()).collect();
        // The sort is stable: of those that ask for as much, the first in the file comes first.
        order.sort_by_key(|index| std::cmp::Reverse(entries[*index].when.len()));
        for index in order {
            let entry = &entries[index];
            for family in &entry.of {
                let candidates = families.entry(family.clone()).or_default();
                match entry.when.get(ERROR).and_then(condition::Test::texts) {
                    Some(errors) => {
                        for error in errors {
                            candidates.by_error.entry(error.to_owned()).or_default().push(index);
                        }
                    }
                    None => candidates.others.push(index),
                }
            }
        }
        Self { entries, families, slots, asked }
    }

    /// What is said of a record of that `EventName` with these attributes and this Resource; none where nothing is known of
    /// it.
    pub fn explain(
        &self,
        event_name: &str,
        attributes: &[(&'static str, Value<'_>)],
        resource: &[(Cow<'static, str>, String)],
    ) -> Option<Explanation<'_>> {
        let record = self.slots.values(attributes, resource);
        let index = self.find(event_name, &record)?;
        let (entry, asked) = (self.entries.get(index)?, self.asked.get(index)?);
        let graver = asked.graver.iter().find(|(_, when)| when.holds(&record));
        let shown = Shown { record: &record, slots: &self.slots };
        let text = |template: &Option<Template>| {
            template.as_ref().map_or_else(|| NONE.to_owned(), |template| template.render(&shown))
        };
        Some(Explanation {
            id: entry.id,
            name: &entry.name,
            severity: graver.map_or(entry.severity, |(severity, _)| *severity),
            message: entry.message.render(&shown),
            cause: text(&entry.cause),
            solution: text(&entry.solution),
        })
    }

    /// The entry that asks for most, of those whose conditions hold.
    fn find(&self, event_name: &str, record: &Record<'_>) -> Option<usize> {
        let family = self.families.get(event_name)?;
        let by_error = match record.get(self.slots.first()) {
            Some(Value::Text(error)) => family.by_error.get(error.as_ref()),
            _ => None,
        };
        let best =
            |indices: &[usize]| indices.iter().copied().find(|index| self.asked[*index].when.holds(record));
        let first = by_error.and_then(|indices| best(indices));
        let second = best(&family.others);
        match (first, second) {
            (Some(first), Some(second)) => {
                // More conditions first, then the order of the file.
                let rank = |index: usize| (std::cmp::Reverse(self.asked[index].when.len()), index);
                Some(if rank(first) < rank(second) { first } else { second })
            }
            (first, second) => first.or(second),
        }
    }

    /// Numbers and names of all events.
    pub fn events(&self) -> impl Iterator<Item = (u32, &str)> {
        self.entries.iter().map(|entry| (entry.id, entry.name.as_str()))
    }

    /// The name of an id; [`NONE`] for one that is not known.
    pub fn name(&self, id: i64) -> &str {
        let known = self.entries.iter().find(|entry| i64::from(entry.id) == id);
        known.map_or(NONE, |entry| &entry.name)
    }

    /// The id of a name: 0 for `SUCCESS`, −1000 for one that is not known.
    pub fn id(&self, name: &str) -> i64 {
        match self.entries.iter().find(|entry| entry.name == name) {
            Some(entry) => entry.id.into(),
            None if name == SUCCESS => 0,
            None => UNKNOWN_ID,
        }
    }
}

fn read(path: &Path) -> Result<String, Vec<ConfigError>> {
    let place = file::Place { file: path.display().to_string().into(), line: 0 };
    text_file::read(path, 4, "a catalogue").map_err(|why| {
        vec![
            place.error(format!(
                "{why}; event.catalogue names the file, and without it the built-in one serves"
            )),
        ]
    })
}

/// The attributes of a record, as sentences have them.
struct Shown<'r> {
    record: &'r Record<'r>,
    slots: &'r Slots,
}

impl Values for Shown<'_> {
    fn value(&self, slot: usize, raw: bool) -> Option<Cow<'_, str>> {
        let value = self.record.get(slot)?;
        let unit = self.slots.unit(slot).filter(|_| !raw);
        Some(match value {
            Value::Bool(truth) => Cow::Borrowed(if *truth { "yes" } else { "no" }),
            Value::Int(number) => {
                Cow::Owned(unit.map_or_else(|| number.to_string(), |unit| unit.say(*number)))
            }
            // A command must name the very file, so only sentences are shortened.
            Value::Text(text) if raw => Cow::Borrowed(text.as_ref()),
            Value::Text(text) => printable(text),
            Value::Texts(texts) => {
                let first: Vec<&str> = texts.iter().take(5).map(String::as_str).collect();
                Cow::Owned(printable(&first.join(", ")).into_owned())
            }
            Value::Args(_) => return None,
        })
    }

    fn general(&self, slot: usize) -> &str {
        self.slots.general(slot)
    }
}

/// A text without control characters and of bounded length.
fn printable(text: &str) -> Cow<'_, str> {
    let short = cut(text, SHOWN_LEN);
    if short.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return short;
    }
    if short.chars().any(char::is_control) { Cow::Owned(short.escape_debug().to_string()) } else { short }
}

impl Unit {
    /// A number with its unit, in the size that people use.
    fn say(self, number: i64) -> String {
        match self {
            Self::Bytes => bytes(number),
            Self::Kilobytes => bytes(number.saturating_mul(1024)),
            Self::Nanoseconds => milliseconds(number / 1_000_000),
            Self::Milliseconds => milliseconds(number),
        }
    }
}

fn bytes(number: i64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (number as f64, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    rounded(size, UNITS[unit])
}

fn milliseconds(number: i64) -> String {
    match number {
        ..1000 => format!("{number} ms"),
        1000..120_000 => rounded(number as f64 / 1000.0, "s"),
        _ => rounded(number as f64 / 60_000.0, "min"),
    }
}

fn rounded(size: f64, unit: &str) -> String {
    let text = format!("{size:.1}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests;
