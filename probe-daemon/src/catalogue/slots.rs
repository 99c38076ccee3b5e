//! Attributes by number, so that a record is searched once and not for every condition and every variable.
//!
//! In: the keys that a catalogue is about, then a record's attributes. Out: [`Values`], where a look-up is an index.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::{
    condition::{Conditions, Test, holds},
    file::{Unit, VariableRow},
};
use crate::record::Value;

/// Numbers of keys.
#[derive(Debug, Default)]
pub struct Slots {
    numbers: HashMap<String, usize, BuildHasherDefault<KeyHasher>>,
    /// What the catalogue says of each: what it counts, and its general word.
    about: Vec<(Option<Unit>, String)>,
    variables: HashMap<String, (Option<Unit>, String)>,
}

/// What a record has, by number.
pub struct Values<'r>(Vec<Option<Cow<'r, Value<'r>>>>);

/// Conditions, by number.
#[derive(Debug)]
pub struct Asked(Vec<(usize, Test, Option<usize>)>);

impl Slots {
    /// With numbers for these keys first.
    pub fn new<const N: usize>(first: [&str; N], variables: &HashMap<String, VariableRow>) -> Self {
        let variables =
            variables.iter().map(|(key, row)| (key.clone(), (row.unit, row.general.clone()))).collect();
        let mut slots = Self { variables, ..Self::default() };
        for key in first {
            slots.number(key);
        }
        slots
    }

    /// The number of the first key of all.
    pub fn first(&self) -> usize {
        0
    }

    /// The number of a key, which gets one where it has none.
    pub fn number(&mut self, key: &str) -> usize {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.about.len();
        self.numbers.insert(key.to_owned(), number);
        self.about.push(self.variables.get(key).cloned().unwrap_or((None, "unknown".to_owned())));
        number
    }

    /// The same conditions by number.
    pub fn asked(&mut self, conditions: &Conditions) -> Asked {
        let asked = conditions.iter().map(|(key, test)| {
            let other = test.other().map(|other| self.number(other));
            (self.number(key), test.clone(), other)
        });
        Asked(asked.collect())
    }

    /// What a number counts.
    pub fn unit(&self, slot: usize) -> Option<Unit> {
        self.about.get(slot)?.0
    }

    /// What to call what a record has not.
    pub fn general(&self, slot: usize) -> &str {
        self.about.get(slot).map_or("unknown", |(_, general)| general)
    }

    /// A record's attributes by number; what no entry is about is left out.
    pub fn values<'r>(
        &self,
        attributes: &'r [(&'static str, Value<'r>)],
        resource: &'r [(Cow<'static, str>, String)],
    ) -> Values<'r> {
        let mut values = vec![None; self.about.len()];
        let attributes = attributes.iter().map(|(key, value)| (*key, Cow::Borrowed(value)));
        let resource =
            resource.iter().map(|(key, text)| (key.as_ref(), Cow::Owned(Value::from(text.as_str()))));
        for (key, value) in attributes.chain(resource) {
            if let Some(slot) = self.numbers.get(key).and_then(|number| values.get_mut(*number)) {
                *slot = Some(value);
            }
        }
        Values(values)
    }
}

impl Values<'_> {
    /// What a record has under this number.
    pub fn get(&self, slot: usize) -> Option<&Value<'_>> {
        self.0.get(slot)?.as_deref()
    }
}

impl Asked {
    /// Whether all of it holds of a record.
    pub fn holds(&self, record: &Values<'_>) -> bool {
        self.0.iter().all(|(slot, test, other)| {
            holds(test, record.get(*slot), other.and_then(|other| record.get(other)))
        })
    }

    /// How much it asks.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Hashes keys that are the daemon's own, so nobody can make them collide: eight bytes at a time, the last eight with some that
/// came before.
#[derive(Default)]
struct KeyHasher(u64);

impl KeyHasher {
    fn add(&mut self, word: [u8; 8]) {
        self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.add(*word));
        match bytes.last_chunk() {
            Some(_) if rest.is_empty() => {}
            Some(last) => self.add(*last),
            None => rest.iter().for_each(|byte| self.add([*byte; 8])),
        }
    }
}
