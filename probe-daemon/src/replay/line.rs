//! What a stored line is.
//!
//! In: the bytes of one. Out: the event or the record in it, or what is wrong with it.

use serde_json::value::RawValue;

use super::stored::Stored;
use crate::{
    event::{RawJson, TraceEvent},
    members::Members,
    record::resource::Resource,
};

/// One line.
pub enum Line {
    /// A trace event, or the full form of one.
    Event(Box<TraceEvent>),
    /// A record.
    Record(Box<Stored>),
}

impl Line {
    /// Reads a line; the keys tell what it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the line is not UTF-8".to_owned())?;
        let members: Members<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
        if members.get("Timestamp").is_some() {
            return Stored::parse(&members).map(|stored| Self::Record(Box::new(stored)));
        }
        let event = if members.get("syscall").is_some() {
            serde_json::from_str::<TraceEvent>(text).map_err(wrong)?
        } else if members.get("nr").is_some() {
            TraceEvent::from(&serde_json::from_str::<RawJson>(text).map_err(wrong)?.0)
        } else {
            return Err(
                "this is no event: a trace event has a \"syscall\", a full event an \"nr\", a record of \
                        encoding \"json\" a \"Timestamp\""
                    .to_owned(),
            );
        };
        Ok(Self::Event(Box::new(event)))
    }

    /// The host that it is of, where it says so.
    pub fn host(&self) -> Option<Resource> {
        match self {
            Self::Event(_) => None,
            Self::Record(stored) => {
                // What a record does not say of its host, this one knows of itself.
                let here = Some(Resource::detect()).filter(|here| here.host_id == stored.host.host_id);
                let (system_uuid, address) =
                    here.map_or((None, None), |here| (here.system_uuid, here.address));
                Some(Resource { system_uuid, address, ..stored.host.clone() })
            }
        }
    }
}

/// Each document is one line, so its number says nothing.
pub fn wrong(error: serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line 1 column ") {
        Some((message, column)) => format!("{message} (column {column})"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_event_is_told() {
        for (line, wanted) in [
            (&b"{\"a\":1}"[..], "this is no event"),
            (b"{\"nr\":1,\"nr\":2}", "\"nr\" is there twice"),
            (b"{\"nr\":1}", "missing field"),
            (b"[]", "expected an object"),
            (b"{", "(column 1)"),
            (b"{} {}", "trailing characters"),
            (b"\xff", "not UTF-8"),
            (b"{\"Timestamp\":5}", "Timestamp"),
            (b"{\"syscall\":null}", "missing field"),
        ] {
            let Err(error) = Line::parse(line) else { panic!("{line:?}") };
            assert!(error.contains(wanted), "{error}");
        }
    }
}
