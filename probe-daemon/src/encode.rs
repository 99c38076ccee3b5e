//! Records become bytes, once per encoding; every sink shares them.
//!
//! In: a [`LogRecord`](crate::record::LogRecord) and the host's [`Resource`](crate::record::resource::Resource).
//! Out: [`Bytes`](bytes::Bytes).

use bytes::Bytes;

pub mod json;

/// Cuts a document to at most so many bytes and flags it; none where that cannot be done.
pub type Cut = fn(&[u8], usize) -> Option<Bytes>;

/// What an encoding is called where its documents go, and what can be done with a document without the record that
/// it was made of.
#[derive(Debug)]
pub struct Form {
    /// As in the configuration; the header `gg.encoding` of a Kafka message.
    pub name: &'static str,
    /// The media type; the header `content-type`.
    pub content_type: &'static str,
    /// Left out where documents of this encoding cannot be cut.
    pub cut: Option<Cut>,
}
