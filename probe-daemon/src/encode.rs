//! A record becomes bytes, in one of the forms that its readers ask for.
//!
//! In: a [`LogRecord`]. Out: one document a record, without a newline inside or at its end where the form is a text.
//! Every form tells of the same record; `gala` has room for less.

use bytes::Bytes;

use crate::{
    config::Encoding,
    record::{LogRecord, resource::Resource},
};

pub mod gala;
pub mod json;
pub mod otlp;
pub mod text;

use gala::Gala;
use json::Json;
use otlp::{Form, Otlp};
use text::Text;

/// Writes records of one host in one form.
pub enum Encoder {
    /// `encoding = "json"`.
    Json(Json),
    /// `encoding = "gala"`.
    Gala(Gala),
    /// `encoding = "otlp_json"` and `"otlp_proto"`.
    Otlp(Otlp),
    /// `encoding = "text"` and `"color"`.
    Text(Text),
}

impl Encoder {
    /// The encoder of this form, for records of this host.
    ///
    /// # Errors
    /// None is known: a resource is made of texts.
    pub fn new(encoding: Encoding, resource: &Resource) -> serde_json::Result<Self> {
        Ok(match encoding {
            Encoding::Json => Self::Json(Json::new(resource)?),
            Encoding::Gala => Self::Gala(Gala::new(resource)),
            Encoding::OtlpJson => Self::Otlp(Otlp::new(Form::Json, resource)),
            Encoding::OtlpProto => Self::Otlp(Otlp::new(Form::Proto, resource)),
            Encoding::Text => Self::Text(Text::plain()),
            Encoding::Color => Self::Text(Text::color()),
        })
    }

    /// One document.
    ///
    /// # Errors
    /// None is known: every part of a record is a text, a number or made of those.
    pub fn encode(&self, record: &LogRecord<'_>) -> serde_json::Result<Bytes> {
        match self {
            Self::Json(json) => json.encode(record),
            Self::Gala(gala) => gala.encode(record),
            Self::Otlp(otlp) => otlp.encode(record),
            Self::Text(text) => Ok(text.encode(record)),
        }
    }
}

impl Encoding {
    /// The media type of one document, as IANA or OpenTelemetry registers it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::Gala | Self::OtlpJson => "application/json",
            Self::OtlpProto => "application/x-protobuf",
            Self::Text | Self::Color => "text/plain; charset=utf-8",
        }
    }

    /// Whether a document is a line of text, so that a file of lines can hold it.
    pub fn is_line(self) -> bool {
        self != Self::OtlpProto
    }
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
