//! Which of the two syntaxes a file is written in. In: its text. Out: the syntax and the mark that told it.
//!
//! The first mark that only one of them knows decides, comments and texts aside. A `[section]` where a key
//! could stand is TOML. A `;`, a parenthesis, `//` or `/*`, an `@`, a `:` behind a name, and a `{` where a
//! key could stand are libconfig. A file with neither is TOML.

/// A syntax, and what it was told by, for the notes of its errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    Toml(String),
    Libconfig(String),
}

/// Tells the syntax of a file.
pub(crate) fn detect(text: &str) -> Syntax {
    let mut depth = 0_usize;
    // The last character that is neither white space nor part of a comment, and whether a line ended since.
    let mut last = None;
    let mut line = 1;
    let mut fresh = true;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let libconfig =
            |mark: &str| Syntax::Libconfig(format!("read as libconfig because of the {mark} in line {line}"));
        let behind = &rest[c.len_utf8()..];
        // A new key can start here: nothing is open, and no `=` waits for its value.
        let key_place = depth == 0 && !matches!(last, Some('=' | ':' | ','));
        match c {
            '#' => {
                rest = behind.trim_start_matches(|c| c != '\n');
                continue;
            }
            '"' | '\'' => {
                rest = behind_text(rest, c);
                line += lines_between(behind, rest);
                (last, fresh) = (Some(c), false);
                continue;
            }
            '\n' => {
                line += 1;
                fresh = true;
            }
            '[' if key_place && fresh => {
                return Syntax::Toml(format!("read as TOML because of the `[` in line {line}"));
            }
            ';' => return libconfig("`;`"),
            '(' | ')' => return libconfig("parenthesis"),
            '@' => return libconfig("`@`"),
            '/' if behind.starts_with(['/', '*']) => return libconfig("comment"),
            '{' if key_place => return libconfig("`{`"),
            // TOML has colons in times of day only.
            ':' if !last.is_some_and(|c: char| c.is_ascii_digit()) => return libconfig("`:`"),
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !c.is_whitespace() {
            (last, fresh) = (Some(c), false);
        }
        rest = behind;
    }
    Syntax::Toml("read as TOML because it has no mark of libconfig such as `;`".to_owned())
}

/// What follows a text. One that is not closed ends with its line, so that the mistake hides no mark after it.
fn behind_text(rest: &str, quote: char) -> &str {
    let long = if quote == '"' { "\"\"\"" } else { "'''" };
    if let Some(inner) = rest.strip_prefix(long) {
        return inner.find(long).map_or("", |end| &inner[end + long.len()..]);
    }
    let mut escaped = false;
    for (offset, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return &rest[offset..],
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return &rest[offset + 1..],
            _ => {}
        }
    }
    ""
}

fn lines_between(before: &str, after: &str) -> usize {
    before[..before.len() - after.len()].matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, libconfig: bool, note: &str) {
        let (is_libconfig, found) = match detect(text) {
            Syntax::Toml(note) => (false, note),
            Syntax::Libconfig(note) => (true, note),
        };
        assert_eq!(is_libconfig, libconfig, "{text:?}: {found}");
        assert!(found.contains(note), "{text:?}: {found}");
    }

    #[test]
    fn the_first_mark_decides() {
        check("[global]\nlog_level = \"info\";\n", false, "`[` in line 1");
        check("# a; comment\n\n[[probes]]\n", false, "`[` in line 3");
        check("global =\n{\n log_level = \"info\";\n};\n[x]", true, "`;` in line 3");
        check("probes =\n(\n", true, "parenthesis in line 2");
        check("{ name = \"event\" }", true, "`{` in line 1");
        check("// hello\n[x]", true, "comment in line 1");
        check("/* hello */ [x]", true, "comment in line 1");
        check("global: { }", true, "`:` in line 1");
        check("@include \"x\"", true, "`@` in line 1");
        check("a = [\n [1],\n [2] ]\n[b]", false, "`[` in line 4");
        check("x =\n[1, 2];", true, "`;` in line 2");
        check("a = 07:32:00\n", false, "no mark");
        check("", false, "no mark");
        check("global = { log_level = \"info\" }\n", false, "no mark");
    }

    #[test]
    fn marks_inside_texts_do_not_count() {
        check("a = \"x; (y) // {\"\n[b]", false, "`[` in line 2");
        check("a = 'x; \\'\n[b]", false, "`[` in line 2");
        check("a = \"\"\"\n;\n\"\"\"\n[b]", false, "`[` in line 4");
        check("a = \"quote \\\" ;\"\n[b]", false, "`[` in line 2");
        check("a = \"not closed\n[b]\n;", false, "`[` in line 2");
        check("a = \"", false, "no mark");
        check("a = \"\\", false, "no mark");
    }
}
