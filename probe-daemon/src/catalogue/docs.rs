//! `docs/events.md`, made from the catalogue that is compiled in. In: rows. Out: Markdown.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    BUILT_IN, BUILT_IN_NAME,
    condition::Conditions,
    file::{EventRow, FamilyRow, Placed, Rows, VariableRow},
    template::Template,
};

const HEAD: &str = "\
# Events

This page is made from `conf/events.toml`; `UPDATE_DOCS=1 cargo test -p probe-daemon docs` writes it anew.

Every record names its event: `event.id` is the number and `gala_gopher.event.name` the name below, beside the
`EventName` of its family. `gala_gopher.event.message`, `.cause` and `.solution` are the texts below with the record's
own values in them: `{key}` is the attribute of that key, and what stands in `[…]` is left out where the record has it
not. A value inside of a command is quoted for the shell.

Of several events whose conditions hold the one with the most conditions is taken, then the first in the file. The
severity is the one given here, unless a rule of the configuration gives one, or the built-in table of ordinary failures,
which are `INFO` where a rule asks for them.

`event.catalogue = \"/path/events.toml\"` changes events and adds some: an `[[event]]` with the id of one below replaces
of it what it says, and others are new. Everything is checked when the daemon starts and by `probe-daemon check`: ids and
names are unique, ids in the range of their category, names CATEGORY_EVENT_CAUSE, texts whole sentences, variables
declared.

```toml
[[event]]                 # another severity and another text for a full disk
id = 1001
severity = \"FATAL\"
solution = \"Call the storage team, and name {gala_gopher.mount.point}.\"
```
";

/// The whole page.
pub fn docs() -> String {
    let mut rows = Rows::default();
    let mut page = HEAD.to_owned();
    if let Err(errors) = rows.add(BUILT_IN_NAME, BUILT_IN) {
        errors.iter().for_each(|error| put(&mut page, &format!("\n{error}\n")));
    }
    page.push_str("\n## Categories\n\n| category | ids | what |\n|---|---|---|\n");
    for Placed { row, .. } in &rows.categories {
        let [first, last] = row.ids;
        put(
            &mut page,
            &format!(
                "| [{0}](#{1}) | {first}–{last} | {2} |\n",
                row.name,
                row.name.to_lowercase(),
                row.about
            ),
        );
    }
    for Placed { row: category, .. } in &rows.categories {
        put(&mut page, &format!("\n## {}\n\n{}\n", category.name, category.about));
        let [first, last] = category.ids;
        let mut events: Vec<&EventRow> = rows.events.iter().map(|event| &event.row).collect();
        events.retain(|event| (first..=last).contains(&event.id));
        events.sort_by_key(|event| event.id);
        for event in events {
            event_section(&mut page, event, &rows);
        }
    }
    page.push_str(
        "\n## Attributes\n\nWhat the records of each family may have; what is not known is not there.\n",
    );
    page.push_str("\n### Of every family\n\n");
    table(&mut page, &declared(&rows.common, &rows));
    for Placed { row, .. } in &rows.families {
        family_section(&mut page, row, &rows);
    }
    page
}

fn put(page: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = page.write_str(text);
}

fn event_section(page: &mut String, event: &EventRow, rows: &Rows) {
    let name = event.name.as_deref().unwrap_or_default();
    put(page, &format!("\n### {} {name}\n\n", event.id));
    let families: Vec<String> = event.of.iter().map(|of| format!("`{of}`")).collect();
    let when = event.when.as_ref().filter(|when| !when.is_empty());
    let when = when.map_or("in any other case".to_owned(), |when| format!("where {}", conditions(when)));
    put(page, &format!("{}, {when}. ", families.join(", ")));
    put(page, &format!("Severity: {}", event.severity.as_deref().unwrap_or_default()));
    for graver in &event.graver {
        put(page, &format!("; {} where {}", graver.severity, conditions(&graver.when)));
    }
    page.push_str(".\n\n");
    for (what, text) in
        [("What it means", &event.message), ("Why it happens", &event.cause), ("What to do", &event.solution)]
    {
        let text = text.as_deref().unwrap_or("None.").trim();
        let text: Vec<&str> = text.split_whitespace().collect();
        put(page, &format!("- **{what}**: {}\n", text.join(" ")));
    }
    let own = own_variables(event);
    let own: Vec<&VariableRow> =
        rows.variables.iter().map(|row| &row.row).filter(|row| own.contains(&row.name)).collect();
    if !own.is_empty() {
        page.push('\n');
        table(page, &own);
    }
}

fn conditions(when: &Conditions) -> String {
    let all: Vec<String> = when.iter().map(|(key, test)| format!("`{key}` {test}")).collect();
    all.join(" and ")
}

/// What its conditions and texts name.
fn own_variables(event: &EventRow) -> BTreeSet<String> {
    let texts = [&event.message, &event.cause, &event.solution];
    let templates = texts.into_iter().flatten().filter_map(|text| Template::parse(text).ok());
    let mut own: BTreeSet<String> =
        templates.flat_map(|template| template.keys().map(str::to_owned).collect::<Vec<_>>()).collect();
    let all = event.when.iter().chain(event.graver.iter().map(|graver| &graver.when));
    own.extend(all.flat_map(|when| when.keys().cloned()));
    own
}

fn family_section(page: &mut String, family: &FamilyRow, rows: &Rows) {
    put(page, &format!("\n### `{}`\n\n{}\n\n", family.event_name, family.about));
    table(page, &declared(&family.variables, rows));
}

fn declared<'r>(names: &[String], rows: &'r Rows) -> Vec<&'r VariableRow> {
    let variable = |name: &String| rows.variables.iter().map(|row| &row.row).find(|row| row.name == *name);
    names.iter().filter_map(variable).collect()
}

fn table(page: &mut String, variables: &[&VariableRow]) {
    page.push_str("| attribute | type | example | what |\n|---|---|---|---|\n");
    for row in variables {
        let example = match &row.example {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        put(page, &format!("| `{}` | {} | `{example}` | {} |\n", row.name, row.kind.name(), row.about));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_what_the_catalogue_says() {
        crate::generated::assert_current("events.md", &super::docs());
    }
}
