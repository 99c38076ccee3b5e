//! The one check of the catalogue.
//!
//! In: rows. Out: a catalogue, or everything that is wrong, each with its place and, where two rows do not go
//! together, both.

use std::collections::{HashMap, HashSet};

use super::{
    Catalogue, Entry,
    condition::Conditions,
    file::{CategoryRow, EventRow, GraverRow, Place, Placed, Rows, VariableRow},
    template::Template,
};
use crate::{config::ConfigError, nearest::nearest, severity::Severity};

/// Makes the catalogue of rows.
///
/// # Errors
/// All that is wrong, by file and line.
pub fn build(rows: Rows) -> Result<Catalogue, Vec<ConfigError>> {
    let mut errors = Vec::new();
    categories(&rows.categories, &mut errors);
    let variables = variables(&rows.variables, &mut errors);
    let families = families(&rows, &variables, &mut errors);
    let mut entries = Vec::new();
    for event in &rows.events {
        let found = errors.len();
        let checked = Checked { rows: &rows, families: &families, event, errors: &mut errors };
        if let Some(entry) = checked.entry()
            && errors.len() == found
        {
            entries.push((entry, &event.place));
        }
    }
    pairs(&entries, &mut errors);
    for (family, (place, _)) in &families {
        if !entries.iter().any(|(entry, _)| entry.when.is_empty() && entry.of.iter().any(|of| of == family)) {
            errors.push(place.error(format!(
                "the family {family} has no event without conditions, so some of its records would have none"
            )));
        }
    }
    if !errors.is_empty() {
        errors.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
        return Err(errors);
    }
    Ok(Catalogue::new(entries.into_iter().map(|(entry, _)| entry).collect(), &variables))
}

/// What a family's records have, and where that is written.
type Families<'r> = HashMap<&'r str, (&'r Place, HashSet<&'r str>)>;

fn is_upper_snake(name: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.split('_').all(word)
}

fn categories(categories: &[Placed<CategoryRow>], errors: &mut Vec<ConfigError>) {
    for (index, Placed { row, place }) in categories.iter().enumerate() {
        let CategoryRow { name, ids: [first, last], about: _ } = row;
        if !is_upper_snake(name) {
            errors.push(place.error(format!("the category {name:?} is not written as UPPER_SNAKE")));
        }
        if first > last || *first == 0 {
            errors.push(place.error(format!("the ids of category {name} go from {first} to {last}")));
        }
        for other in &categories[..index] {
            let [other_first, other_last] = other.row.ids;
            if other.row.name == *name {
                errors.push(place.error(format!(
                    "two categories are called {name}: this one and that at {}",
                    other.place
                )));
            }
            if *first <= other_last && other_first <= *last {
                errors.push(place.error(format!(
                    "the ids {first} to {last} of category {name} overlap {other_first} to {other_last} of category \
                     {} at {}",
                    other.row.name, other.place
                )));
            }
        }
    }
}

fn variables(rows: &[Placed<VariableRow>], errors: &mut Vec<ConfigError>) -> HashMap<String, VariableRow> {
    let mut places: HashMap<&str, &Place> = HashMap::new();
    let mut variables = HashMap::new();
    for Placed { row, place } in rows {
        if let Some(first) = places.insert(&row.name, place) {
            let name = &row.name;
            errors
                .push(place.error(format!("two variables are called {name}: this one and that at {first}")));
        }
        if !row.kind.fits(&row.example) {
            let (name, kind) = (&row.name, row.kind.name());
            errors.push(place.error(format!("the example of variable {name} is no {kind}: {}", row.example)));
        }
        variables.insert(row.name.clone(), row.clone());
    }
    variables
}

fn families<'r>(
    rows: &'r Rows,
    variables: &HashMap<String, VariableRow>,
    errors: &mut Vec<ConfigError>,
) -> Families<'r> {
    let mut families = Families::new();
    for Placed { row, place } in &rows.families {
        for name in row.variables.iter().chain(&rows.common).filter(|name| !variables.contains_key(*name)) {
            let near = hint(name, variables.keys().map(String::as_str));
            errors.push(
                place.error(format!("family {}: the variable {name} is not declared{near}", row.event_name)),
            );
        }
        let known = row.variables.iter().chain(&rows.common).map(String::as_str).collect();
        if let Some((first, _)) = families.insert(&row.event_name, (place, known)) {
            let name = &row.event_name;
            errors.push(place.error(format!("two families are called {name}: this one and that at {first}")));
        }
    }
    families
}

fn hint<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(name, names).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// One event under the check.
struct Checked<'r, 'e> {
    rows: &'r Rows,
    families: &'r Families<'r>,
    event: &'r Placed<EventRow>,
    errors: &'e mut Vec<ConfigError>,
}

impl Checked<'_, '_> {
    fn error(&mut self, message: String) {
        let row = &self.event.row;
        let name = row.name.as_deref().unwrap_or_default();
        self.errors.push(self.event.place.error(format!("event {} {name}: {message}", row.id)));
    }

    fn entry(mut self) -> Option<Entry> {
        let row = &self.event.row;
        let Some(name) = row.name.clone() else {
            self.error("has no name, and there is no event of this id to take it from".to_owned());
            return None;
        };
        self.name(&name);
        if row.of.is_empty() {
            self.error("`of` names no family".to_owned());
        }
        for family in row.of.iter().filter(|family| !self.families.contains_key(family.as_str())) {
            let near = hint(family, self.families.keys().copied());
            self.error(format!("the family {family} is not declared{near}"));
        }
        let when = row.when.clone().unwrap_or_default();
        self.conditions(&when);
        let severity = self.severity(row.severity.as_deref());
        let mut graver = Vec::new();
        for GraverRow { severity, when } in &row.graver {
            self.conditions(when);
            graver.extend(self.severity(Some(severity)).map(|severity| (severity, when.clone())));
        }
        let message = self.text("message", row.message.as_deref());
        if message.is_none() {
            self.error("has no message".to_owned());
        }
        let cause = self.text("cause", row.cause.as_deref());
        let solution = self.text("solution", row.solution.as_deref());
        let (id, of) = (row.id, row.of.clone());
        Some(Entry { id, name, of, when, severity: severity?, graver, message: message?, cause, solution })
    }

    /// Of its category, in its range, and saying what happened and why.
    fn name(&mut self, name: &str) {
        if !is_upper_snake(name) {
            self.error("its name is not written as CATEGORY_EVENT_CAUSE".to_owned());
        }
        let rest = |category: &CategoryRow| name.strip_prefix(&category.name)?.strip_prefix('_');
        let own = self.rows.categories.iter().filter(|category| rest(&category.row).is_some());
        let Some(category) = own.max_by_key(|category| category.row.name.len()) else {
            let names: Vec<&str> = self.rows.categories.iter().map(|row| row.row.name.as_str()).collect();
            self.error(format!("its name begins with no category ({})", names.join(", ")));
            return;
        };
        if rest(&category.row).is_none_or(|rest| !rest.contains('_')) {
            self.error("its name says no cause: it is CATEGORY_EVENT_CAUSE".to_owned());
        }
        let [first, last] = category.row.ids;
        if !(first..=last).contains(&self.event.row.id) {
            let (name, place) = (&category.row.name, &category.place);
            self.error(format!("its id is not of {first} to {last}, the ids of category {name} at {place}"));
        }
    }

    /// A declared variable of one of its families at least: a record of another has it not, and goes without.
    fn variable(&mut self, key: &str, what: &str) {
        let mut known = self.event.row.of.iter().filter_map(|family| self.families.get(family.as_str()));
        if !known.clone().any(|(_, variables)| variables.contains(key)) {
            let all = known.by_ref().flat_map(|(_, variables)| variables.iter().copied());
            let near = hint(key, all);
            self.error(format!("{what} has the variable {key}, which its records have not{near}"));
        }
    }

    fn conditions(&mut self, when: &Conditions) {
        for (key, test) in when {
            self.variable(key, "`when`");
            if let Some(other) = test.other() {
                self.variable(other, "`when`");
            }
        }
    }

    fn severity(&mut self, text: Option<&str>) -> Option<Severity> {
        let names = "INFO, WARN, ERROR, FATAL or FATAL2";
        let Some(text) = text else {
            self.error(format!("has no severity; it is {names}"));
            return None;
        };
        let known = if text == "FATAL2" { Some(Severity::Fatal2) } else { Severity::parse(text) };
        if known.is_none() {
            self.error(format!("the severity {text:?} is not {names}"));
        }
        known
    }

    /// A text of whole sentences with variables that its records have.
    fn text(&mut self, what: &str, text: Option<&str>) -> Option<Template> {
        // Lines are broken where it suits the file.
        let text = text?.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.trim_start_matches('[').starts_with(|c: char| c.is_uppercase()) {
            self.error(format!("{what} does not start with a capital letter"));
        }
        if !text.trim_end_matches(']').ends_with('.') {
            self.error(format!("{what} does not end with a period"));
        }
        match Template::parse(&text) {
            Ok(template) => {
                template.keys().for_each(|key| self.variable(key, what));
                Some(template)
            }
            Err(error) => {
                self.error(format!("{what}: {error}"));
                None
            }
        }
    }
}

/// Two events that cannot be told apart.
fn pairs(entries: &[(Entry, &Place)], errors: &mut Vec<ConfigError>) {
    for (index, (entry, place)) in entries.iter().enumerate() {
        for (other, other_place) in &entries[..index] {
            let said = |what: String| {
                place.error(format!(
                    "event {} {}: {what} as event {} {} at {other_place}",
                    entry.id, entry.name, other.id, other.name
                ))
            };
            if entry.name == other.name {
                errors.push(said("has the same name".to_owned()));
            }
            if let Some(family) = entry.of.iter().find(|family| other.of.contains(family))
                && entry.when == other.when
            {
                errors.push(said(format!("asks the same of records of {family}")));
            }
        }
    }
}
