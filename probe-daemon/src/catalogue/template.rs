//! Texts with variables.
//!
//! In: `The file system at {gala_gopher.mount.point} is full[ (it has {gala_gopher.mount.free_bytes} left)].` and a
//! record's attributes. Out: a sentence.
//!
//! - `{key}` is the attribute of that key; one that the record has not is called by the variable's general word, and in
//!   a command by its name in capitals.
//! - `[…]` is a clause that is left out as a whole where the record lacks one of its variables.
//! - Between backquotes stands what an operator copies into a shell, so values are quoted for it there: nobody's file
//!   name may become somebody's command.
//! - `{{`, `}}`, `[[`, `]]` are the characters themselves.

use std::{borrow::Cow, iter::Peekable, str::Chars};

/// A text, taken apart once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Variable(Variable),
    Clause(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq)]
struct Variable {
    key: String,
    /// The number of the key, once it has one.
    slot: usize,
    /// Whether it stands between backquotes.
    in_command: bool,
}

/// What gives values to variables, by the numbers of their keys.
pub trait Values {
    /// The value of a variable as people read it, or raw as a program wants it; none where there is none.
    fn value(&self, slot: usize, raw: bool) -> Option<Cow<'_, str>>;
    /// What to call a variable without a value.
    fn general(&self, slot: usize) -> &str;
}

impl Template {
    /// Takes a text apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: text.chars().peekable(), in_command: false };
        let parts = parser.parts(false)?;
        if parser.in_command {
            return Err("a backquote ` is not closed".to_owned());
        }
        Ok(Self(parts))
    }

    /// The keys of its variables, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        fn inner(parts: &[Part]) -> Vec<&str> {
            let keys = parts.iter().flat_map(|part| match part {
                Part::Text(_) => Vec::new(),
                Part::Variable(variable) => vec![variable.key.as_str()],
                Part::Clause(parts) => inner(parts),
            });
            keys.collect()
        }
        inner(&self.0).into_iter()
    }

    /// Gives each variable the number of its key.
    pub fn resolve(&mut self, number: &mut impl FnMut(&str) -> usize) {
        fn inner(parts: &mut [Part], number: &mut impl FnMut(&str) -> usize) {
            for part in parts {
                match part {
                    Part::Text(_) => {}
                    Part::Variable(variable) => variable.slot = number(&variable.key),
                    Part::Clause(parts) => inner(parts, number),
                }
            }
        }
        inner(&mut self.0, number);
    }

    /// The text with values in place of its variables.
    pub fn render(&self, values: &impl Values) -> String {
        let mut out = String::with_capacity(512);
        for part in &self.0 {
            match part {
                Part::Clause(parts) => {
                    let end = out.len();
                    if !parts.iter().all(|part| put(part, values, &mut out)) {
                        out.truncate(end);
                    }
                }
                part => {
                    if !put(part, values, &mut out)
                        && let Part::Variable(variable) = part
                    {
                        match variable.in_command {
                            true => out.push_str(&placeholder(&variable.key)),
                            false => out.push_str(values.general(variable.slot)),
                        }
                    }
                }
            }
        }
        // A clause that is left out may have stood at either end.
        match out.len() == out.trim().len() {
            true => out,
            false => out.trim().to_owned(),
        }
    }
}

/// Writes a part; whether there was anything to write.
fn put(part: &Part, values: &impl Values, out: &mut String) -> bool {
    match part {
        Part::Text(text) => out.push_str(text),
        Part::Variable(variable) => match values.value(variable.slot, variable.in_command) {
            Some(value) if variable.in_command => out.push_str(&shell_word(&value)),
            Some(value) => out.push_str(&value),
            None => return false,
        },
        // A clause holds no other: the parser refuses it.
        Part::Clause(_) => {}
    }
    true
}

/// What stands in a command for a variable without a value: `FILE_PATH`, for the operator to fill in.
fn placeholder(key: &str) -> String {
    let words: Vec<&str> = key.rsplitn(3, '.').take(2).collect();
    let words: Vec<&str> = words.into_iter().rev().collect();
    words.join("_").to_uppercase()
}

/// A value as one word of a shell.
fn shell_word(value: &str) -> Cow<'_, str> {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+'..=b'/' | b':' | b'@' | b'%' | b'=')
    };
    if !value.is_empty() && value.bytes().all(plain) {
        return value.into();
    }
    format!("'{}'", value.replace('\'', r"'\''")).into()
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    in_command: bool,
}

impl Parser<'_> {
    /// Parts up to the end of the text, or of a clause.
    fn parts(&mut self, in_clause: bool) -> Result<Vec<Part>, String> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        loop {
            let Some(character) = self.rest.next() else {
                if in_clause {
                    return Err("a [ is not closed".to_owned());
                }
                break;
            };
            match character {
                '{' | '}' | '[' | ']' if self.rest.next_if_eq(&character).is_some() => text.push(character),
                '{' => {
                    flush(&mut text, &mut parts);
                    parts.push(Part::Variable(Variable {
                        key: self.key()?,
                        slot: 0,
                        in_command: self.in_command,
                    }));
                }
                '[' if in_clause => return Err("a [ stands inside a […]".to_owned()),
                '[' => {
                    flush(&mut text, &mut parts);
                    let before = self.in_command;
                    let clause = self.parts(true)?;
                    if !clause.iter().any(|part| matches!(part, Part::Variable(_))) {
                        return Err("a […] has no variable, so it would always be there".to_owned());
                    }
                    if before != self.in_command {
                        return Err("a […] opens or closes a backquote ` that is not its own".to_owned());
                    }
                    parts.push(Part::Clause(clause));
                }
                ']' if in_clause => break,
                '}' | ']' => return Err(format!("a {character} closes nothing; write it twice to have one")),
                '`' => {
                    self.in_command = !self.in_command;
                    text.push(character);
                }
                character => text.push(character),
            }
        }
        flush(&mut text, &mut parts);
        Ok(parts)
    }

    /// The key of a variable, and its closing brace.
    fn key(&mut self) -> Result<String, String> {
        let mut key = String::new();
        loop {
            match self.rest.next() {
                Some('}') if key.is_empty() => return Err("{} names no variable".to_owned()),
                Some('}') => return Ok(key),
                Some(character @ ('a'..='z' | '0'..='9' | '_' | '.')) => key.push(character),
                Some(character) => {
                    return Err(format!("{character:?} cannot be in a variable's name, after {{{key}"));
                }
                None => return Err(format!("{{{key} is not closed")),
            }
        }
    }
}

fn flush(text: &mut String, parts: &mut Vec<Part>) {
    if !text.is_empty() {
        parts.push(Part::Text(std::mem::take(text)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Two<'a>(&'a str);

    impl Values for Two<'_> {
        fn value(&self, slot: usize, _raw: bool) -> Option<Cow<'_, str>> {
            (slot == 1).then_some(self.0.into())
        }

        fn general(&self, _slot: usize) -> &str {
            "something"
        }
    }

    fn parse(text: &str) -> Result<Template, String> {
        let mut template = Template::parse(text)?;
        template.resolve(&mut |key| usize::from(key == "path"));
        Ok(template)
    }

    fn check(text: &str, expect: &str) {
        assert_eq!(parse(text).unwrap().render(&Two("/a b")), expect, "{text}");
    }

    #[test]
    fn variables_get_values_and_clauses_without_one_go() {
        check("No variable.", "No variable.");
        check("At {path}.", "At /a b.");
        check("At {gone}.", "At something.");
        check("Full[ at {path}][, on {gone}].", "Full at /a b.");
        check("[{path} and {gone} are full.]", "");
        check(
            "Run `df {path}` and `df {mount.gone}`[, or `ls {path}`].",
            "Run `df '/a b'` and `df MOUNT_GONE`, or `ls '/a b'`.",
        );
        check("{{{path}}} [[x]]", "{/a b} [x]");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expect) in [
            ("{path", "not closed"),
            ("{}", "names no variable"),
            ("{Path}", "cannot be"),
            ("[{path}", "not closed"),
            ("[x]", "no variable"),
            ("[[{path}]", "closes nothing"),
            ("[{a}[{b}]]", "inside"),
            ("[{a} [{b}] ]", "inside"),
            ("path}", "closes nothing"),
            ("a `command", "backquote"),
            ("[`a {path}]`", "backquote"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
        }
    }

    #[test]
    fn a_value_in_a_command_is_one_word_of_a_shell() {
        for value in ["a b", "$(reboot)", "';reboot;'", "", "*", "a\nb"] {
            let text = parse("`printf %s {path}`").unwrap().render(&Two(value));
            let command = text.trim_matches('`');
            let output = std::process::Command::new("/bin/sh").args(["-c", command]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), value, "{command}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused(text in "[a{}\\[\\]` .\\PC]{0,40}", value in "\\PC{0,20}") {
            if let Ok(template) = parse(&text) {
                let _ = template.render(&Two(&value));
            }
        }

        #[test]
        fn a_text_without_signs_stays(text in "[^{}\\[\\]`]{0,60}") {
            prop_assert_eq!(parse(&text).unwrap().render(&Two("")), text.trim());
        }

        #[test]
        fn signs_written_twice_are_themselves(text in "[a{}\\[\\] ]{0,30}") {
            let twice: String = text.chars().flat_map(|c| if c == 'a' || c == ' ' { vec![c] } else { vec![c, c] }).collect();
            prop_assert_eq!(parse(&twice).unwrap().render(&Two("")), text.trim());
        }

        #[test]
        fn every_value_is_there_once(values in "[a-z/ ]{1,20}", before in "[a-z ]{0,9}", after in "[a-z ]{0,9}") {
            let template = parse(&format!("{before}{{path}}{after}[{{path}}][{{gone}}]")).unwrap();
            let expect = format!("{before}{values}{after}{values}");
            prop_assert_eq!(template.render(&Two(&values)), expect.trim());
            prop_assert_eq!(template.keys().collect::<Vec<_>>(), ["path", "path", "gone"]);
        }
    }
}
