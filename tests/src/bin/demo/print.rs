//! What the demo prints: in come steps and records, out comes text for people, coloured on a terminal.

use std::env;
use std::io::{IsTerminal, stdout};

use serde_json::Value;
use tests::record::Record;

use crate::operation::Operation;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
const FATAL: &str = "1;35";

/// Prints to standard output.
pub struct Printer {
    colour: bool,
}

impl Printer {
    /// A printer that uses colours where standard output is a terminal and `NO_COLOR` is not set.
    pub fn new() -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: stdout().is_terminal() && !refused }
    }

    /// Says what is done next.
    pub fn step(&self, what: &str) {
        println!("\n{}", self.paint(BOLD, what));
    }

    /// Says how the step went.
    pub fn done(&self, how: &str) {
        println!("  {} {how}", self.paint(GREEN, "✓"));
    }

    /// Says what went wrong.
    pub fn failed(&self, what: &str) {
        println!("  {} {what}", self.paint(RED, "✗"));
    }

    /// Shows a command that has failed.
    pub fn operation(&self, operation: &Operation) {
        println!("  {} {}", self.paint(DIM, &format!("{:<40}", operation.story)), operation.typed);
    }

    /// Shows a record: severity, time and sentence, and below them what programs would look at.
    pub fn record(&self, record: &Record) {
        let text = |name: &str| record.top(name).as_str().unwrap_or("?").to_owned();
        let severity = text("SeverityText");
        let colour = match severity.as_str() {
            "INFO" => CYAN,
            "WARN" => YELLOW,
            "ERROR" => RED,
            _ => FATAL,
        };
        let severity = self.paint(colour, &format!("{severity:<5}"));
        let time = self.paint(DIM, &clock(record.time().unwrap_or_default()));
        println!("  {severity} {time}  {}", self.paint(BOLD, &text("Body")));
        let details = format!("{} {}", text("EventName"), details(record));
        println!("  {:>20} {}", "", self.paint(DIM, &details));
    }

    /// Shows the figures at the end.
    pub fn summary(&self, figures: &[(&str, String)]) {
        self.step("Summary");
        for (name, value) in figures {
            println!("  {name:<46} {}", self.paint(BOLD, &format!("{value:>4}")));
        }
        println!();
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// The attributes that matter most, in one line: who, then the arguments.
fn details(record: &Record) -> String {
    let who = |name: &str, key: &str| format!("· {name} {}", record.attribute(key));
    let mut words = vec![who("pid", "process.pid"), who("uid", "process.user.id")];
    if record.attribute("process.vpid") != record.attribute("process.pid") {
        words.push(who("pid in its container", "process.vpid"));
    }
    if let Some(arguments) = record.attribute("gala_gopher.syscall.args").as_object() {
        words.push("·".to_owned());
        let shown = arguments.iter().filter(|(_, value)| tells_something(value));
        words.extend(shown.map(|(name, value)| format!("{name}={}", brief(value))));
    }
    words.join(" ")
}

/// Whether an argument says something to people: addresses of memory and empty lists do not.
fn tells_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !(text.starts_with("0x") && text.len() > "0xffffffff".len()),
        _ => true,
    }
}

/// A value without the quotes and brackets of JSON where it is readable without them. What it says comes from
/// any program on the host, so control characters stay escaped.
fn brief(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains(char::is_whitespace) => text.escape_debug().to_string(),
        Value::Array(items) => items.iter().map(brief).collect::<Vec<_>>().join("|"),
        other => other.to_string(),
    }
}

/// The time of day in UTC, to the millisecond.
fn clock(nanoseconds: i128) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    let seconds = milliseconds / 1000;
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}Z", seconds % 60, milliseconds % 1000)
}
