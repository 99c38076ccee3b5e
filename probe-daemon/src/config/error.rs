//! What is wrong with a configuration. In: findings of the parsers, the reader and, for names of system
//! calls and errors, the policy. Out: one line for each, naming file, line, key and what would be right.

use std::fmt;
use std::sync::Arc;

/// Everything that is wrong with a configuration, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// The value where nothing was found wrong, else all the errors.
    pub fn or<T>(mut errors: Vec<ConfigError>, value: T) -> Result<T, Self> {
        if errors.is_empty() {
            return Ok(value);
        }
        // The sort is stable: several errors of one line stay in the order they were found in.
        errors.sort_by_key(|error| error.line);
        Err(Self(errors))
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing that is wrong, as `file:line: key: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.line_of_text())]
pub struct ConfigError {
    /// The file as it was named on the command line, or `--set KEY` for an override.
    pub file: String,
    /// Line in the file, from 1; 0 where there is none (an override, or the file as a whole).
    pub line: usize,
    /// The dotted key as `--set` would take it; empty where the error is not about a key.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ConfigError {
    /// An error about a key; `Config::load` adds the file and line that the key was written at.
    pub fn about(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: String::new(), line: 0, key: key.into(), message: message.into() }
    }

    fn line_of_text(&self) -> String {
        let mut text = self.file.clone();
        if self.line > 0 {
            text.push_str(&format!(":{}", self.line));
        }
        // An override names its key already.
        if !self.key.is_empty() && self.file != format!("{SET}{}", self.key) {
            text.push_str(&format!(": {}", self.key));
        }
        text.push_str(&format!(": {}", self.message));
        text
    }
}

/// What stands in place of a file's name for a value given on the command line.
pub(crate) const SET: &str = "--set ";

/// Where a value was written.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
}

impl Place {
    pub(crate) fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.to_string(),
            line: self.line,
            key: key.to_owned(),
            message: message.into(),
        }
    }
}

/// A value that is checked further by someone else, with the place it was written at.
///
/// Two of them are equal when their values are: where something was written changes nothing.
#[derive(Clone)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Line in the file, from 1; 0 for an override.
    pub line: usize,
    key: String,
    place: Place,
}

impl<T> Spanned<T> {
    pub(crate) fn new(value: T, key: &str, place: &Place) -> Self {
        Self { value, line: place.line, key: key.to_owned(), place: place.clone() }
    }

    /// An error about this value, with its file, line and key.
    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        self.place.error(&self.key, message)
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (line {})", self.value, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_names_its_key_once() {
        let place = Place { file: "--set event.timeout".into(), line: 0 };
        assert_eq!(place.error("event.timeout", "bad").to_string(), "--set event.timeout: bad");
        let place = Place { file: "a.conf".into(), line: 7 };
        assert_eq!(place.error("event.timeout", "bad").to_string(), "a.conf:7: event.timeout: bad");
        assert_eq!(place.error("", "bad").to_string(), "a.conf:7: bad");
    }
}
