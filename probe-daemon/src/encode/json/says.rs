//! What a document says of its place in the stream. In: the document. Out: its number, and the events that it tells of.

use std::borrow::Cow;

use serde::Deserialize;

use crate::encode::Said;

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(rename = "Attributes", borrow)]
    attributes: Attributes<'a>,
}

#[derive(Deserialize)]
struct Attributes<'a> {
    #[serde(rename = "gala_gopher.sequence")]
    sequence: u64,
    #[serde(rename = "gala_gopher.occurrences", default)]
    occurrences: u64,
    #[serde(rename = "gala_gopher.lost.count", default)]
    lost: u64,
    #[serde(rename = "gala_gopher.lost.sink", borrow, default)]
    sink: Option<Cow<'a, str>>,
}

/// See [`crate::encode::Says`].
pub fn says(document: &[u8]) -> Option<Said> {
    let Document { attributes } = serde_json::from_slice(document).ok()?;
    let Attributes { sequence, occurrences, lost, sink } = attributes;
    Some(Said { sequence, occurrences, lost, sink: sink.map(Cow::into_owned) })
}
