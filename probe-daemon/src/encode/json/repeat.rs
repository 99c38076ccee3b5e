//! A document that stands for several that tell the same. In: the document of the last of them, and how many there
//! were. Out: the same with their occurrences and their number in it; nothing else changes, not even the order.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::{RawValue, to_raw_value};

/// Events that a record stands for.
const OCCURRENCES: &str = "gala_gopher.occurrences";
/// Records that it stands for, beside the one before it.
const REPETITIONS: &str = "gala_gopher.repetitions";

/// Writes both numbers. None where the document is no record.
pub fn repeat(document: &[u8], occurrences: u64, repetitions: u64) -> Option<Bytes> {
    let mut record: Members = serde_json::from_slice(document).ok()?;
    let attributes = record.get("Attributes")?;
    let mut inner: Members = serde_json::from_str(attributes.get()).ok()?;
    *inner.get(OCCURRENCES)? = to_raw_value(&occurrences).ok()?;
    inner.0.push((REPETITIONS.to_owned(), to_raw_value(&repetitions).ok()?));
    *attributes = to_raw_value(&inner).ok()?;
    Some(serde_json::to_vec(&record).ok()?.into())
}

/// An object as it was written.
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    fn get(&mut self, key: &str) -> Option<&mut Box<RawValue>> {
        self.0.iter_mut().find(|(own, _)| own == key).map(|(_, value)| value)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_numbers_change() {
        let before =
            br#"{"Z":1,"Attributes":{"b":"\u00e4","gala_gopher.occurrences":1,"a":[1, 2]},"Body":"x"}"#;
        let after = r#"{"Z":1,"Attributes":{"b":"\u00e4","gala_gopher.occurrences":7,"a":[1, 2],"gala_gopher.repetitions":3},"Body":"x"}"#;
        assert_eq!(repeat(before, 7, 3).unwrap(), after);
        for other in ["[]", "{}", r#"{"Attributes":{}}"#, "no JSON"] {
            assert_eq!(repeat(other.as_bytes(), 7, 3), None, "{other}");
        }
    }
}
