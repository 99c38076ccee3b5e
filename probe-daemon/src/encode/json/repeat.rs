//! A document that stands for several that tell the same. In: the document of the last of them, and how many there
//! were. Out: the same with their occurrences and their number in it; nothing else changes, not even the order.

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};

use crate::members::Members;

/// Events that a record stands for.
const OCCURRENCES: &str = "gala_gopher.occurrences";
/// Records that it stands for, beside the one before it.
const REPETITIONS: &str = "gala_gopher.repetitions";

/// Writes both numbers. None where the document is no record.
pub fn repeat(document: &[u8], occurrences: u64, repetitions: u64) -> Option<Bytes> {
    let mut record: Members<Box<RawValue>> = serde_json::from_slice(document).ok()?;
    let attributes = record.get_mut("Attributes")?;
    let mut inner: Members<Box<RawValue>> = serde_json::from_str(attributes.get()).ok()?;
    *inner.get_mut(OCCURRENCES)? = to_raw_value(&occurrences).ok()?;
    inner.0.push((REPETITIONS.to_owned(), to_raw_value(&repetitions).ok()?));
    *attributes = to_raw_value(&inner).ok()?;
    Some(serde_json::to_vec(&record).ok()?.into())
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
