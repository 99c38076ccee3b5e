//! Cutting a document that a sink refuses for its size. In: the document and the bytes that it may have. Out: the
//! same record with its largest texts cut, flagged as such.

use bytes::Bytes;
use serde_json::{Map, Value};

/// Says in a record that it was cut.
const FLAG: &str = "gala_gopher.record.cut";
/// Attributes that say which record and which event it is.
const KEPT: [&str; 4] = ["log.record.uid", "event.name", "process.pid", "gala_gopher.occurrences"];
/// A text is not cut below this many bytes.
const SHORT: usize = 64;

/// Cuts `document` to at most `most` bytes. None where what may be cut does not suffice.
pub fn cut(document: &[u8], most: usize) -> Option<Bytes> {
    let mut record: Map<String, Value> = serde_json::from_slice(document).ok()?;
    record.get_mut("Attributes")?.as_object_mut()?.insert(FLAG.to_owned(), Value::Bool(true));
    loop {
        let bytes = serde_json::to_vec(&record).ok()?;
        if bytes.len() <= most {
            return Some(bytes.into());
        }
        shrink(&mut record)?;
    }
}

/// Makes the largest of the body and the attributes smaller: half a text, or none of anything else.
fn shrink(record: &mut Map<String, Value>) -> Option<()> {
    let body = record.get("Body").map_or(0, size);
    let attributes = record.get("Attributes")?.as_object()?;
    let largest = attributes
        .iter()
        .filter(|(key, _)| !KEPT.contains(&key.as_str()) && *key != FLAG)
        .map(|(key, value)| (size(value), key.clone()))
        .max();
    let (value, name) = match largest {
        Some((size, key)) if size > body => (record.get_mut("Attributes")?.get_mut(&key)?, Some(key)),
        _ => (record.get_mut("Body")?, None),
    };
    match (value, name) {
        (Value::String(text), _) if text.len() > SHORT => {
            let end = text.floor_char_boundary(text.len() / 2);
            text.truncate(end);
            text.push('…');
        }
        (_, Some(name)) => {
            record.get_mut("Attributes")?.as_object_mut()?.remove(&name)?;
        }
        // A short body, and nothing left that is larger.
        (_, None) => return None,
    }
    Some(())
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        other => other.to_string().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn record(body: &str, path: &str, args: &[String]) -> Vec<u8> {
        let attributes = json!({
            "log.record.uid": "01K", "event.name": "x", "process.pid": 7, "file.path": path,
            "gala_gopher.syscall.args": args, "gala_gopher.occurrences": 3,
        });
        let whole =
            json!({"Timestamp": "1", "Body": body, "Attributes": attributes, "Resource": {"host.id": "h"}});
        serde_json::to_vec(&whole).unwrap()
    }

    #[test]
    fn the_largest_is_cut_first() {
        let document = record("short", &"p".repeat(4000), &["a".to_owned()]);
        let cut: Value = serde_json::from_slice(&cut(&document, 1000).unwrap()).unwrap();
        assert_eq!(cut["Body"], "short");
        assert_eq!(cut["Attributes"]["gala_gopher.syscall.args"], json!(["a"]));
        assert_eq!(cut["Attributes"][FLAG], true);
        assert!(cut["Attributes"]["file.path"].as_str().unwrap().ends_with("p…"));
    }

    #[test]
    fn what_cannot_be_cut_is_told() {
        assert_eq!(cut(&record("", "", &[]), 50), None);
        assert_eq!(cut(b"no JSON", 5), None);
        assert_eq!(cut(b"{\"Body\":\"x\"}", 5), None);
    }

    proptest! {
        #[test]
        fn a_cut_document_fits_and_is_the_same_record(
            body in ".{0,3000}",
            path in ".{0,3000}",
            args in prop::collection::vec(".{0,300}", 0..10),
            most in 400_usize..4000,
        ) {
            let whole = record(&body, &path, &args);
            let cut = cut(&whole, most).unwrap();
            prop_assert!(cut.len() <= most);
            let cut: Value = serde_json::from_slice(&cut).unwrap();
            for (key, value) in [("log.record.uid", json!("01K")), ("gala_gopher.occurrences", json!(3))] {
                prop_assert_eq!(&cut["Attributes"][key], &value);
            }
            prop_assert_eq!(&cut["Resource"], &json!({"host.id": "h"}));
        }
    }
}
