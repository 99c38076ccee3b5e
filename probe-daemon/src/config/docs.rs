//! `docs/config.md`, made from the declarations of the sections. In: the schema. Out: Markdown.

use crate::config::schema::{FieldDoc, Section, SectionDoc};
use crate::config::tree::inline;
use crate::config::{Config, FOREIGN_SECTIONS};
use std::fmt::Write as _;

const HEAD: &str = "\
# Configuration

This page is made from the source; `UPDATE_DOCS=1 cargo test -p probe-daemon docs` writes it anew.

`probe-daemon --config FILE` reads one file, and `probe-daemon check --config FILE` prints what it comes to,
defaults included and passwords hidden. `conf/gala-gopher.conf` is a commented file to start from.

A file that is wrong starts nothing: every error is printed at once, with file, line, key and what would be
right, and the daemon ends with exit code 78.

## Syntax

A file is written in TOML or in libconfig, the syntax of gala-gopher's own file. Both have the same keys, and
the first mark that only one of them knows tells which it is: a `[section]` is TOML; a `;`, a parenthesis, a
`//` or `/*` comment, a `:` behind a name, or a `{` at the very start is libconfig. The three files below mean
the same, and the last one is a whole file, too.

```toml
[[probes]]
name = \"event\"
switch = \"on\"
interval = 5
```

```text
probes = ( { name = \"event\"; switch = \"on\"; interval = 5; } );
```

```text
{ name = \"event\"; switch = \"on\"; interval = 5; }
```

`@include` of libconfig is refused. A file has at most 1 MiB and is UTF-8.

## On the command line

`--set KEY=VALUE` sets one key over what the file says, as often as wanted. KEY is dotted, items of a list are
named by their index from 0 and probes also by their name. VALUE is read as TOML, and as text where it is none:

```sh
probe-daemon --config gala-gopher.conf --set kafka.kafka_broker=10.0.0.5:9092 \\
    --set probes.event.interval=1 --set 'event.out_channel=[\"kafka\", \"stdout\"]'
```
";

/// The whole page.
pub fn docs() -> String {
    let mut page = HEAD.to_owned();
    // The first one is the file itself: its keys are the sections that follow.
    for section in Config::docs("", false).iter().skip(1) {
        page.push_str(&section_page(section));
    }
    let sections = FOREIGN_SECTIONS.map(|name| format!("`{name}`")).join(", ");
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "\n## What belongs to other probes\n\nThese sections of gala-gopher's file are accepted, not read, and \
         named once when the daemon starts: {sections}.\nSo are probes with another name than `event`.\n"
    );
    page
}

fn section_page(section: &SectionDoc) -> String {
    let mut page = format!("\n## `{}`\n\n{}\n", section.header(), section.doc);
    if !section.fields.is_empty() {
        page.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    }
    for FieldDoc { key, accepts, default, doc } in &section.fields {
        let default = default.as_ref().map_or(String::new(), |value| format!("`{}`", inline(value)));
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{key}` | {accepts} | {default} | {doc} |");
    }
    if !section.others.is_empty() {
        let names: Vec<String> = section.others.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "\nOf other probes, accepted and not read: {}.", names.join(", "));
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_what_the_declarations_say() {
        crate::generated::assert_current("config.md", &super::docs());
    }
}
