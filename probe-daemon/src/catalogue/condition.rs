//! What an entry of the catalogue asks of a record.
//!
//! In: `"error.type" = ["ENOSPC", "EDQUOT"]`, `"process.user.id" = { not = 0 }`,
//! `"gala_gopher.offcpu.duration_ns" = { min = 10, of = "gala_gopher.offcpu.threshold_ns" }`, and a record's
//! attributes. Out: whether it holds.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

use crate::record::Value;

/// What a file says of one attribute.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Test {
    /// It is this.
    Is(Literal),
    /// It is one of these.
    AnyOf(Vec<Literal>),
    /// It is there, and something else than this.
    Not {
        /// What it is not.
        not: Literal,
    },
    /// It is there, or it is not.
    Present {
        /// Which of the two.
        present: bool,
    },
    /// It is a number of at least `min`, or `min` times another attribute.
    AtLeast {
        /// The number, or the factor.
        min: i64,
        /// The other attribute.
        of: Option<String>,
    },
}

/// A value as a file has it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Literal {
    /// A truth value.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
}

/// All that is asked, by attribute; every one must hold.
pub type Conditions = BTreeMap<String, Test>;

/// Whether a test holds of a value, and of the other one that it asks for.
pub fn holds(test: &Test, value: Option<&Value<'_>>, other: Option<&Value<'_>>) -> bool {
    match (test, value) {
        (Test::Present { present }, value) => value.is_some() == *present,
        (_, None) => false,
        (Test::Is(literal), Some(value)) => literal.is(value),
        (Test::AnyOf(literals), Some(value)) => literals.iter().any(|literal| literal.is(value)),
        (Test::Not { not }, Some(value)) => !not.is(value),
        (Test::AtLeast { min, of: None }, Some(value)) => int(value).is_some_and(|value| value >= *min),
        (Test::AtLeast { min, of: Some(_) }, Some(value)) => {
            let other = other.and_then(int);
            int(value).zip(other).is_some_and(|(value, other)| value >= min.saturating_mul(other))
        }
    }
}

fn int(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

impl Literal {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn is(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Bool(own), Value::Bool(other)) => own == other,
            (Self::Int(own), Value::Int(other)) => own == other,
            (Self::Text(own), Value::Text(other)) => own == other,
            _ => false,
        }
    }
}

impl Test {
    /// The other attribute that it asks for.
    pub fn other(&self) -> Option<&str> {
        match self {
            Self::AtLeast { of, .. } => of.as_deref(),
            _ => None,
        }
    }

    /// The texts that an attribute must be one of; none where other values do as well.
    pub fn texts(&self) -> Option<Vec<&str>> {
        let literals = match self {
            Self::Is(literal) => std::slice::from_ref(literal),
            Self::AnyOf(literals) => literals,
            _ => return None,
        };
        literals.iter().map(Literal::text).collect()
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// As a sentence about an attribute goes on.
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(literal) => write!(f, "is `{literal}`"),
            Self::AnyOf(literals) => {
                let all: Vec<String> = literals.iter().map(|literal| format!("`{literal}`")).collect();
                write!(f, "is one of {}", all.join(", "))
            }
            Self::Not { not } => write!(f, "is not `{not}`"),
            Self::Present { present: true } => f.write_str("is there"),
            Self::Present { present: false } => f.write_str("is not there"),
            Self::AtLeast { min, of: None } => write!(f, "is at least {min}"),
            Self::AtLeast { min, of: Some(other) } => write!(f, "is at least {min} times `{other}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(condition: &str, expect: bool) {
        let conditions: Conditions = toml::from_str(condition).unwrap();
        let record = [
            ("error.type", Value::from("ENOSPC")),
            ("uid", Value::Int(0)),
            ("took", Value::Int(30)),
            ("limit", Value::Int(3)),
            ("ongoing", Value::Bool(true)),
        ];
        let get = |key: &str| record.iter().find(|(own, _)| *own == key).map(|(_, value)| value);
        let hold = |(key, test): (&String, &Test)| holds(test, get(key), test.other().and_then(get));
        assert_eq!(conditions.iter().all(hold), expect, "{condition}");
    }

    #[test]
    fn conditions_hold_or_not() {
        check("", true);
        check("'error.type' = 'ENOSPC'", true);
        check("'error.type' = 'EIO'", false);
        check("'error.type' = ['EIO', 'ENOSPC']", true);
        check("'error.type' = 'ENOSPC'\nuid = 1", false);
        check("uid = 0", true);
        check("uid = '0'", false);
        check("uid = { not = 0 }", false);
        check("uid = { not = 7 }", true);
        check("gone = { not = 7 }", false);
        check("uid = { present = true }", true);
        check("gone = { present = false }", true);
        check("gone = 1", false);
        check("ongoing = true", true);
        check("took = { min = 30 }", true);
        check("took = { min = 31 }", false);
        check("took = { min = 10, of = 'limit' }", true);
        check("took = { min = 11, of = 'limit' }", false);
        check("took = { min = 11, of = 'gone' }", false);
        check("'error.type' = { min = 1 }", false);
    }
}
