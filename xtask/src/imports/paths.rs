//! Which modules of its own crate a Rust file names. In: the file's text and its module path; out: top-level
//! module names with their lines. It reads tokens, not the whole language: enough for `use` trees and for
//! paths in expressions, with comments and strings left out.

/// The names by which a file reaches the root of the daemon's library.
const ROOTS: [&str; 2] = ["crate", "probe_daemon"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    /// `::`
    Path,
    Open,
    Close,
    Comma,
    Other,
}

/// The top-level modules that `text` names, with the line of each; `module` is the file's own path.
pub fn named(text: &str, module: &[&str]) -> Vec<(usize, String)> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let start = at;
        let depth = match tokens[at].1 {
            Token::Name(name) if ROOTS.contains(&name) => Some(0),
            // Out of an inline module `super` climbs less far than assumed here; then the name it leads to
            // is one of the file's own, which no rule forbids.
            Token::Name("super") => {
                let mut climbed = 1;
                while name_after(&tokens, at) == Some("super") {
                    at += 2;
                    climbed += 1;
                }
                Some(module.len().saturating_sub(climbed))
            }
            _ => None,
        };
        // A path that begins before this token has its root elsewhere.
        let is_first = start == 0 || tokens[start - 1].1 != Token::Path;
        at += 1;
        if depth == Some(0) && is_first && token(&tokens, at) == Some(Token::Path) {
            first_names(&tokens, at + 1, &mut found);
        }
    }
    found
}

/// The first name of every path of the `use` tree (or plain path) that begins at `at`.
fn first_names(tokens: &[(usize, Token<'_>)], at: usize, found: &mut Vec<(usize, String)>) {
    match tokens.get(at) {
        Some((line, Token::Name(name))) => found.push((*line, (*name).to_owned())),
        Some((_, Token::Open)) => {
            let (mut depth, mut fresh) = (0, true);
            for (line, token) in &tokens[at..] {
                match token {
                    Token::Open => depth += 1,
                    Token::Close => depth -= 1,
                    Token::Comma if depth == 1 => fresh = true,
                    Token::Name(name) if depth == 1 && fresh => {
                        found.push((*line, (*name).to_owned()));
                        fresh = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
        _ => {}
    }
}

fn token<'a>(tokens: &[(usize, Token<'a>)], at: usize) -> Option<Token<'a>> {
    tokens.get(at).map(|(_, token)| *token)
}

/// The name that follows `tokens[at]` behind a `::`.
fn name_after<'a>(tokens: &[(usize, Token<'a>)], at: usize) -> Option<&'a str> {
    match (token(tokens, at + 1), token(tokens, at + 2)) {
        (Some(Token::Path), Some(Token::Name(name))) => Some(name),
        _ => None,
    }
}

/// The tokens of `text`, each with its line.
fn tokens(text: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest);
        if length > 0 {
            line += rest[..length].matches('\n').count();
            rest = &rest[length..];
            continue;
        }
        let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (token, length) = match first {
            _ if name > 0 => (Token::Name(&rest[..name]), name),
            ':' if rest.starts_with("::") => (Token::Path, 2),
            '{' => (Token::Open, 1),
            '}' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            other => (Token::Other, other.len_utf8()),
        };
        tokens.push((line, token));
        rest = &rest[length..];
    }
    tokens
}

/// How many bytes at the start of `text` are space, a comment, or a string or character literal.
fn skipped(text: &str) -> usize {
    let until =
        |from: usize, end: &str| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    let space = text.len() - text.trim_start().len();
    if space > 0 {
        return space;
    }
    if text.starts_with("//") {
        return until(2, "\n");
    }
    if text.starts_with("/*") {
        return until(2, "*/");
    }
    let raw = text.strip_prefix('b').unwrap_or(text).strip_prefix('r');
    if let Some(after) = raw {
        let hashes = after.len() - after.trim_start_matches('#').len();
        if after[hashes..].starts_with('"') {
            let from = text.len() - after.len() + hashes + 1;
            return until(from, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    let plain = text.strip_prefix('b').unwrap_or(text);
    if let Some(body) = plain.strip_prefix('"') {
        return text.len() - body.len() + quoted(body, '"');
    }
    // A quote opens a character only where another closes it; else it begins a lifetime.
    match plain.strip_prefix('\'') {
        Some(body) if body.starts_with('\\') || body.chars().nth(1) == Some('\'') => {
            text.len() - body.len() + quoted(body, '\'')
        }
        _ => 0,
    }
}

/// The length of a literal's body and its closing `quote`.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, module: &[&str], expect: &[&str]) {
        let names: Vec<String> = named(text, module).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, expect, "{text}");
    }

    #[test]
    fn use_trees_are_read() {
        check("use crate::sink::Sink;", &["a"], &["sink"]);
        check(
            "pub(crate) use crate::{self, a::{b, source}, sink as s, encode::*};",
            &["x"],
            &["self", "a", "sink", "encode"],
        );
        check("use probe_daemon::run;", &[], &["run"]);
        check("use aya::{maps::RingBuf, sink};", &["a"], &[]);
    }

    #[test]
    fn paths_in_code_are_read() {
        check("fn f(x: &crate::sink::S) { crate::run::go(x) }", &["a"], &["sink", "run"]);
        check("fn f() { other::crate_::sink::x() }", &["a"], &[]);
    }

    #[test]
    fn super_climbs_to_the_root() {
        check("use super::sink;", &["record"], &["sink"]);
        check("use super::sink;", &["sink", "kafka"], &[]);
        check("use super::super::source;", &["sink", "kafka"], &["source"]);
    }

    #[test]
    fn comments_and_literals_name_nothing() {
        check(
            "// crate::sink\n/* crate::a */ \"crate::b \\\" crate::c\" r#\"crate::d\"# b\"crate::e\"",
            &["x"],
            &[],
        );
        check("let c = '\"'; let l: &'static str = crate::f::G; let q = '\\'';", &["x"], &["f"]);
    }

    #[test]
    fn lines_are_counted() {
        assert_eq!(named("//! x\n\n\"a\nb\";\nuse crate::{\n a,\n};", &["x"]), [(6, "a".to_owned())]);
    }
}
