//! libconfig, the syntax of gala-gopher's own file. In: text. Out: the tree, or the first syntax error.
//!
//! ```text
//! file    = setting* | stanza ("," stanza)*     a bare stanza is an entry of `probes`
//! stanza  = group (";" | ",")?
//! setting = name ("=" | ":") value (";" | ",")?
//! value   = text+ | number | true | false | "[" scalars "]" | "(" values ")" | group
//! group   = "{" setting* "}"
//! ```
//!
//! `@include` is refused: a root daemon reads the one file it was given.

use crate::config::error::ConfigError;
use crate::config::tree::{Entry, Lines, Node, Table, Value};
use winnow::combinator::{alt, opt};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{AsChar, LocatingSlice, Location, Stateful, Stream};
use winnow::token::{one_of, take, take_till, take_until, take_while};

/// Groups and lists within each other: gala-gopher's file needs 3, and the parser must not run out of stack.
const MAX_DEPTH: usize = 32;

type Input<'a> = Stateful<LocatingSlice<&'a str>, &'a Lines>;
type Parsed<T> = ModalResult<T, Problem>;

/// What was expected, the offset it was expected at, and the setting it was expected for. No message quotes the file, because the value in
/// front of a mistake may be a password.
#[derive(Debug)]
struct Problem {
    offset: usize,
    key: String,
    message: String,
}

impl<'a> ParserError<Input<'a>> for Problem {
    type Inner = Self;

    fn from_input(input: &Input<'a>) -> Self {
        Self {
            offset: input.current_token_start(),
            key: String::new(),
            message: "unexpected text".to_owned(),
        }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

/// Reads a file. `note` says in an error why the file is taken for libconfig.
pub(crate) fn parse(text: &str, lines: &Lines, note: &str) -> Result<Table, Vec<ConfigError>> {
    let mut input = Input { input: LocatingSlice::new(text), state: lines };
    let table = file(&mut input).map_err(|error| {
        let problem = error.into_inner().unwrap_or_else(|_| Problem::from_input(&input));
        let column = lines.column(text, problem.offset);
        let message = format!("column {column}: {} ({note})", problem.message);
        vec![lines.place(problem.offset).error(&problem.key, message)]
    })?;
    let mut errors = Vec::new();
    duplicates("", &table, &mut errors);
    if errors.is_empty() { Ok(table) } else { Err(errors) }
}

fn file(input: &mut Input<'_>) -> Parsed<Table> {
    space(input)?;
    let place = input.state.place(0);
    if input.peek_token() != Some('{') {
        let table = settings(input, 0)?;
        return if input.peek_token().is_none() {
            Ok(table)
        } else {
            fail(input, "expected `name = value;`")
        };
    }
    let mut stanzas = Vec::new();
    while input.peek_token() == Some('{') {
        stanzas.push(value(input, 0)?);
        space(input)?;
        opt(one_of([';', ','])).parse_next(input)?;
        space(input)?;
    }
    if input.peek_token().is_some() {
        return fail(input, "expected nothing but further stanzas { ... } behind the first one");
    }
    let node = Node { value: Value::List(stanzas), place: place.clone() };
    Ok(vec![Entry { key: "probes".to_owned(), place, node }])
}

/// Settings up to a `}` or the end of the file.
fn settings(input: &mut Input<'_>, depth: usize) -> Parsed<Table> {
    let mut table = Table::new();
    loop {
        space(input)?;
        match input.peek_token() {
            None | Some('}') => return Ok(table),
            Some('@') => {
                return fail(input, "@include is not supported; write everything into this one file");
            }
            Some(_) => table.push(setting(input, depth)?),
        }
    }
}

fn setting(input: &mut Input<'_>, depth: usize) -> Parsed<Entry> {
    let place = input.state.place(input.current_token_start());
    let letter = |c: char| c.is_ascii_alphabetic() || c == '*';
    let further = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '-' | '_');
    let key: Option<&str> = opt((one_of(letter), take_while(0.., further)).take()).parse_next(input)?;
    let Some(key) = key else { return fail(input, "expected the name of a setting: `name = value;`") };
    space(input)?;
    if opt(one_of(['=', ':'])).parse_next(input)?.is_none() {
        return fail(input, "expected `=` or `:` behind the name of a setting");
    }
    space(input)?;
    let node = value(input, depth).map_err(|error| {
        error.map(|problem| {
            let inner = if problem.key.is_empty() { String::new() } else { format!(".{}", problem.key) };
            Problem { key: format!("{key}{inner}"), ..problem }
        })
    })?;
    space(input)?;
    opt(one_of([';', ','])).parse_next(input)?;
    Ok(Entry { key: key.to_owned(), place, node })
}

fn value(input: &mut Input<'_>, depth: usize) -> Parsed<Node> {
    let place = input.state.place(input.current_token_start());
    if depth >= MAX_DEPTH {
        return fail(input, &format!("more than {MAX_DEPTH} groups and lists within each other"));
    }
    let value = match input.peek_token() {
        Some('"') => Value::Text(texts(input)?),
        Some('{') => {
            take(1_usize).parse_next(input)?;
            let table = settings(input, depth + 1)?;
            close(input, '}', "`}`", place.line)?;
            Value::Table(table)
        }
        Some('(') => Value::List(values(input, ')', "`,` or `)`", depth + 1)?),
        Some('[') => {
            let items = values(input, ']', "`,` or `]`", depth + 1)?;
            if items.iter().any(|item| matches!(item.value, Value::List(_) | Value::Table(_))) {
                return fail(input, "an array [] holds plain values only; a list () holds groups and lists");
            }
            Value::List(items)
        }
        Some('0'..='9' | '+' | '-' | '.') => number(input)?,
        Some(c) if c.is_alpha() => word(input)?,
        _ => return fail(input, "expected a value: \"text\", a number, true, false, [...], (...) or {...}"),
    };
    Ok(Node { value, place })
}

/// Values between commas; one comma may follow the last of them.
fn values(input: &mut Input<'_>, end: char, expected: &str, depth: usize) -> Parsed<Vec<Node>> {
    let line = input.state.place(input.current_token_start()).line;
    take(1_usize).parse_next(input)?;
    let mut items = Vec::new();
    loop {
        space(input)?;
        if input.peek_token().is_none() || input.peek_token() == Some(end) {
            break;
        }
        items.push(value(input, depth)?);
        space(input)?;
        if opt(',').parse_next(input)?.is_none() {
            break;
        }
    }
    close(input, end, expected, line)?;
    Ok(items)
}

fn close(input: &mut Input<'_>, end: char, expected: &str, opened: usize) -> Parsed<()> {
    match opt(end).parse_next(input)? {
        Some(_) => Ok(()),
        None => fail(input, &format!("expected {expected} for what was opened in line {opened}")),
    }
}

fn word(input: &mut Input<'_>) -> Parsed<Value> {
    let start = input.checkpoint();
    let word = take_while(1.., AsChar::is_alphanum).parse_next(input)?;
    if word.eq_ignore_ascii_case("true") {
        return Ok(Value::Boolean(true));
    }
    if word.eq_ignore_ascii_case("false") {
        return Ok(Value::Boolean(false));
    }
    input.reset(&start);
    fail(input, "text must stand in double quotes")
}

fn number(input: &mut Input<'_>) -> Parsed<Value> {
    let start = input.checkpoint();
    let token: &str = take_while(1.., |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-'))
        .parse_next(input)?;
    let hex = token.strip_prefix("0x").or_else(|| token.strip_prefix("0X"));
    // Up to two L mark a 64-bit number, and every number here is one.
    let digits = hex.unwrap_or(token);
    let digits = digits.strip_suffix('L').unwrap_or(digits);
    let digits = digits.strip_suffix('L').unwrap_or(digits);
    let all_digits = |radix| {
        let digits = if hex.is_none() { digits.strip_prefix(['+', '-']).unwrap_or(digits) } else { digits };
        !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix))
    };
    let radix = if hex.is_some() { 16 } else { 10 };
    let value = if all_digits(radix) {
        i64::from_str_radix(digits, radix).map(Value::Integer).map_err(|_| "this number is too large")
    } else {
        // Rust takes words such as `inf` for numbers too; here a number has a digit and no other letters.
        let is_float = token.contains(|c: char| c.is_ascii_digit())
            && token.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E'));
        let float = token.parse().ok().filter(|_| is_float);
        float.map(Value::Float).ok_or("this is not a number; text must stand in double quotes")
    };
    value.or_else(|message| {
        input.reset(&start);
        fail(input, message)
    })
}

/// Texts in double quotes; adjacent ones are one text.
fn texts(input: &mut Input<'_>) -> Parsed<String> {
    let start = input.checkpoint();
    let mut bytes = Vec::new();
    while input.peek_token() == Some('"') {
        text(input, &mut bytes)?;
        space(input)?;
    }
    String::from_utf8(bytes).or_else(|_| {
        input.reset(&start);
        fail(input, "the \\x escapes of this text do not make valid UTF-8")
    })
}

fn text(input: &mut Input<'_>, bytes: &mut Vec<u8>) -> Parsed<()> {
    let start = input.checkpoint();
    take(1_usize).parse_next(input)?;
    loop {
        let plain: &str = take_till(0.., ['"', '\\']).parse_next(input)?;
        bytes.extend_from_slice(plain.as_bytes());
        match input.next_token() {
            Some('"') => return Ok(()),
            Some(_) => bytes.push(escape(input)?),
            None => {
                input.reset(&start);
                return fail(input, "this text has no closing quote");
            }
        }
    }
}

/// The byte behind a backslash. One that starts no known escape stands for itself, as `\|` in a command does.
fn escape(input: &mut Input<'_>) -> Parsed<u8> {
    let hex_digit = |c: char| c.is_ascii_hexdigit();
    let hex =
        ('x', take_while(2..=2, hex_digit)).map(|(_, digits)| u8::from_str_radix(digits, 16).unwrap_or(0));
    let single = one_of(['a', 'b', 't', 'n', 'v', 'f', 'r', '"', '\\']).map(|c| match c {
        'a' => 7,
        'b' => 8,
        't' => b'\t',
        'n' => b'\n',
        'v' => 11,
        'f' => 12,
        'r' => b'\r',
        '"' => b'"',
        _ => b'\\',
    });
    Ok(opt(alt((hex, single))).parse_next(input)?.unwrap_or(b'\\'))
}

/// White space and the three kinds of comment.
fn space(input: &mut Input<'_>) -> Parsed<()> {
    loop {
        take_while(0.., char::is_whitespace).parse_next(input)?;
        if opt(alt(("#", "//"))).parse_next(input)?.is_some() {
            take_till(0.., '\n').parse_next(input)?;
        } else if opt("/*").parse_next(input)?.is_some() {
            if opt((take_until(0.., "*/"), "*/")).parse_next(input)?.is_none() {
                return fail(input, "this comment has no end */");
            }
        } else {
            return Ok(());
        }
    }
}

fn fail<T>(input: &Input<'_>, message: &str) -> Parsed<T> {
    let problem =
        Problem { offset: input.current_token_start(), key: String::new(), message: message.to_owned() };
    Err(ErrMode::Cut(problem))
}

/// libconfig allows a name once in a group.
fn duplicates(path: &str, table: &[Entry], errors: &mut Vec<ConfigError>) {
    let mut first = std::collections::HashMap::new();
    for entry in table {
        let key = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        if let Some(line) = first.insert(&entry.key, entry.place.line) {
            errors.push(entry.place.error(&key, format!("is set twice, the first time in line {line}")));
        }
        nested_duplicates(&key, &entry.node, errors);
    }
}

fn nested_duplicates(path: &str, node: &Node, errors: &mut Vec<ConfigError>) {
    match &node.value {
        Value::Table(table) => duplicates(path, table, errors),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                nested_duplicates(&format!("{path}.{index}"), item, errors);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::inline;

    fn check(text: &str, expected: &str) {
        let lines = Lines::new("x".into(), text);
        match parse(text, &lines, "note") {
            Ok(table) => assert_eq!(inline(&Value::Table(table)), format!("{{ {expected} }}"), "{text}"),
            Err(errors) => panic!("{text}: {errors:?}"),
        }
    }

    fn check_error(text: &str, expected: &str) {
        let lines = Lines::new("x".into(), text);
        let errors = parse(text, &lines, "note").unwrap_err();
        assert!(errors[0].to_string().contains(expected), "{text}: {}", errors[0]);
    }

    #[test]
    fn every_kind_of_value() {
        check("a = 1; b : 2, c = 3 d=4", "a = 1, b = 2, c = 3, d = 4");
        check("a = 0x1fL; b = -7LL; c = +9; d = 0XFF;", "a = 31, b = -7, c = 9, d = 255");
        check("a = 1.5; b = .5; c = -1e3; d = 2.;", "a = 1.5, b = 0.5, c = -1000.0, d = 2.0");
        check("a = TRUE; b = False;", "a = true, b = false");
        check(
            "a = [1, 2,]; b = (); c = (1, (\"x\"), { d = [] });",
            "a = [1, 2], b = [], c = [1, [\"x\"], { d = [] }]",
        );
        check("a = \"x\" /* and */ \"y\"\n\"z\";", "a = \"xyz\"");
        check(r#"a = "\x41\x09\"\\ \| \xc3\xa4 \xZ";"#, "a = 'A\t\"\\ \\| ä \\xZ'");
        check("a = \"one\ntwo\";", "a = \"\"\"\none\ntwo\"\"\"");
        check("*x-y_1 = { };", "\"*x-y_1\" = {  }");
        check("# a\n// b\n/* c\n * d */", "");
    }

    #[test]
    fn what_is_wrong_and_where() {
        check_error("a = 1;\nb = ;", "x:2: b: column 5: expected a value");
        check_error("a = 1;\nb = yes;", "x:2: b: column 5: text must stand in double quotes");
        check_error("a = 12x;", "column 5: this is not a number");
        check_error("a = 1-2;", "this is not a number");
        check_error("a = 0x;", "this is not a number");
        check_error("a = .;", "this is not a number");
        check_error("a = 99999999999999999999;", "this number is too large");
        check_error("a = 0xffffffffffffffff;", "this number is too large");
        check_error("a = \"x\nb = 2;", "x:1: a: column 5: this text has no closing quote");
        check_error("a = \"\\xff\";", "valid UTF-8");
        check_error("a = { b = 1;\n", "x:2: a: column 1: expected `}` for what was opened in line 1");
        check_error("a = ( 1\n 2 );", "expected `,` or `)` for what was opened in line 1");
        check_error("a = ( { b = { c = yes; }; } );", "x:1: a.b.c: column 19: text must");
        check_error("a = [ { } ];", "an array [] holds plain values only");
        check_error("a 1;", "expected `=` or `:`");
        check_error("a = 1; }", "column 8: expected `name = value;` (note)");
        check_error("5 = a;", "expected the name of a setting");
        check_error("/* a", "this comment has no end");
        check_error("a = 1;\n@include \"b\"", "x:2: column 1: @include is not supported");
        check_error("{ a = 1; } b = 2;", "nothing but further stanzas");
        check_error("a = 1;\nb = { c = 1;\n c = 2; };", "x:3: b.c: is set twice, the first time in line 2");
    }

    #[test]
    fn nesting_is_bounded() {
        check_error(&format!("a = {}", "(".repeat(1_000_000)), "more than 32");
        check_error(&"{a=".repeat(1_000_000), "more than 32");
    }
}
