//! A record becomes bytes, in one of the forms that its readers ask for.
//!
//! In: a [`LogRecord`]. Out: one document a record, without a newline inside or at its end where the form is a text.
//! Every form tells of the same record; `gala` has room for less.

use std::borrow::Cow;

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
use otlp::{Otlp, Syntax};
use text::Text;

/// Cuts a document to at most so many bytes and flags it; none where that cannot be done.
pub type Cut = fn(&[u8], usize) -> Option<Bytes>;

/// Says in a document how many that tell the same it stands for: its occurrences, and its repetitions; none where it
/// cannot.
pub type Repeat = fn(&[u8], u64, u64) -> Option<Bytes>;

/// Reads in a document where it stands in the stream; none where it does not say so.
pub type Says = fn(&[u8]) -> Option<Said>;

/// What a document says of its place in the stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Said {
    /// Its number.
    pub sequence: u64,
    /// Events that it stands for.
    pub occurrences: u64,
    /// Events of which it says that they are lost.
    pub lost: u64,
    /// The one sink that it says this of; none where it is about all.
    pub sink: Option<String>,
}

impl Said {
    /// Events that this sink needs no other record of.
    pub fn tells(&self, sink: &str) -> u64 {
        let concerns = self.sink.as_deref().is_none_or(|own| own == sink);
        self.occurrences + if concerns { self.lost } else { 0 }
    }
}

/// What an encoding is called where its documents go, and what can be done with a document without the record that
/// it was made of.
#[derive(Clone, Debug)]
pub struct Form {
    /// As in the configuration; the header `gg.encoding` of a Kafka message.
    pub name: Cow<'static, str>,
    /// The media type; the header `content-type`.
    pub content_type: Cow<'static, str>,
    /// Left out where documents of this encoding cannot be cut.
    pub cut: Option<Cut>,
    /// Left out where documents of this encoding have no place for it.
    pub repeat: Option<Repeat>,
    /// Left out where documents of this encoding do not say that.
    pub says: Option<Says>,
}

impl Form {
    /// A form whose documents cannot be cut.
    const fn whole(name: &'static str, content_type: &'static str) -> Self {
        let (name, content_type) = (Cow::Borrowed(name), Cow::Borrowed(content_type));
        Self { name, content_type, cut: None, repeat: None, says: None }
    }

    /// The form of a document that another run has encoded, maybe of another version.
    pub fn of(name: &str, content_type: &str) -> Cow<'static, Self> {
        let known = Encoding::all().iter().map(|encoding| encoding.form());
        match known.into_iter().find(|form| form.name == name && form.content_type == content_type) {
            Some(form) => Cow::Borrowed(form),
            None => Cow::Owned(Self {
                name: Cow::Owned(name.to_owned()),
                content_type: Cow::Owned(content_type.to_owned()),
                cut: None,
                repeat: None,
                says: None,
            }),
        }
    }
}

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
            Encoding::Json => Self::Json(Json::new(resource)),
            Encoding::Gala => Self::Gala(Gala::new(resource)),
            Encoding::OtlpJson => Self::Otlp(Otlp::new(Syntax::Json, resource)),
            Encoding::OtlpProto => Self::Otlp(Otlp::new(Syntax::Proto, resource)),
            Encoding::Text => Self::Text(Text::plain()),
            Encoding::Color => Self::Text(Text::color()),
        })
    }

    /// One document.
    ///
    /// # Errors
    /// None is known: every part of a record is a text, a number or made of those.
    pub fn encode(&mut self, record: &LogRecord<'_>) -> serde_json::Result<Bytes> {
        match self {
            Self::Json(json) => Ok(json.encode(record)),
            Self::Gala(gala) => gala.encode(record),
            Self::Otlp(otlp) => otlp.encode(record),
            Self::Text(text) => Ok(text.encode(record)),
        }
    }
}

static GALA: Form = Form::whole("gala", "application/json");
static OTLP_JSON: Form = Form::whole("otlp_json", "application/json");
static OTLP_PROTO: Form = Form::whole("otlp_proto", "application/x-protobuf");
static COLOR: Form = Form::whole("color", "text/plain; charset=utf-8");

impl Encoding {
    /// What it is called where its documents go.
    pub fn form(self) -> &'static Form {
        match self {
            Self::Json => &json::FORM,
            Self::Gala => &GALA,
            Self::OtlpJson => &OTLP_JSON,
            Self::OtlpProto => &OTLP_PROTO,
            Self::Text => &text::FORM,
            Self::Color => &COLOR,
        }
    }

    /// Whether a document is a line of text, so that a file of lines can hold it.
    pub fn is_line(self) -> bool {
        self != Self::OtlpProto
    }
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
