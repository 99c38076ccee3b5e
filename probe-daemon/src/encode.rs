//! Records become bytes, once per encoding; every sink shares them.
//!
//! In: a [`LogRecord`](crate::record::LogRecord) and the host's [`Resource`](crate::record::resource::Resource).
//! Out: [`Bytes`](bytes::Bytes).

pub mod json;
