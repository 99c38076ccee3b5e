//! What a stored line is.
//!
//! In: the bytes of one. Out: the event or the record in it, or what is wrong with it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::stored::Stored;
use crate::{
    event::{RawJson, TraceEvent},
    members::Members,
    record::{
        resource::Resource,
        trace::{Id, Trace},
    },
};

/// What the ids of a trace are called in records, and in events, whose own keys are in lower case.
const TRACE: [&str; 2] = ["TraceId", "trace_id"];
const SPAN: [&str; 2] = ["SpanId", "span_id"];

/// One line.
pub enum Line {
    /// A trace event, or the full form of one, and the request that it belongs to.
    Event(Box<TraceEvent>, Option<Trace>),
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
        let mut members: Members<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
        if members.get("Timestamp").is_some() {
            let trace = trace(&mut members, 1)?;
            return Stored::parse(&members, trace).map(|stored| Self::Record(Box::new(stored)));
        }
        let trace = trace(&mut members, 2)?;
        // An event has no keys but its own.
        let text = match trace {
            Some(_) => Cow::Owned(serde_json::to_string(&members).map_err(wrong)?),
            None => Cow::Borrowed(text),
        };
        let event = if members.get("syscall").is_some() {
            serde_json::from_str::<TraceEvent>(&text).map_err(wrong)?
        } else if members.get("nr").is_some() {
            TraceEvent::from(&serde_json::from_str::<RawJson>(&text).map_err(wrong)?.0)
        } else {
            return Err(
                "this is no event: a trace event has a \"syscall\", a full event an \"nr\", a record of \
                        encoding \"json\" a \"Timestamp\""
                    .to_owned(),
            );
        };
        Ok(Self::Event(Box::new(event), trace))
    }

    /// The host that it is of, where it says so.
    pub fn host(&self) -> Option<Resource> {
        match self {
            Self::Event(..) => None,
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

/// Takes the ids of a trace out of a line that has them, under the first so many of their names.
fn trace(members: &mut Members<&RawValue>, names: usize) -> Result<Option<Trace>, String> {
    let id = take(members, &TRACE[..names])?;
    match (id, take(members, &SPAN[..names])?) {
        (Some(id), span) => Ok(Some(Trace { id, span })),
        (None, Some(_)) => Err("SpanId: a span without a TraceId belongs to nothing; give both".to_owned()),
        (None, None) => Ok(None),
    }
}

fn take<const N: usize>(members: &mut Members<&RawValue>, names: &[&str]) -> Result<Option<Id<N>>, String> {
    let mut found = None;
    for name in names {
        let Some(at) = members.0.iter().position(|(own, _)| own == name) else { continue };
        let (_, value) = members.0.remove(at);
        let text: String = serde_json::from_str(value.get()).map_err(|e| format!("{name}: {}", wrong(e)))?;
        let id = Id::parse(&text).ok_or_else(|| {
            format!("{name}: {text:?} is no id, which is {} hexadecimal digits that are not all 0", 2 * N)
        })?;
        if found.replace(id).is_some() {
            return Err(format!("{name}: the same is there as {}", names[0]));
        }
    }
    Ok(found)
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

    const EVENT: &str = r#""syscall":null,"pid":1,"tid":1,"container_pid":1,"uid":0,"gid":0,"comm":"a","session":0,
        "container":null,"error":"EPERM","return":-1,"pid_ns":1,"uts_ns":1,"mount_ns":1,"start":1,"finish":1,"args":{}"#;
    const ID: &str = "5b8efff798038103d269b633813fc60c";
    const SPAN_ID: &str = "eee19b7ec3c1b174";

    fn of(ids: &str) -> Result<Option<Trace>, String> {
        let line = format!("{{{EVENT}{ids}}}").replace('\n', " ");
        match Line::parse(line.as_bytes())? {
            Line::Event(_, trace) => Ok(trace),
            Line::Record(_) => Err("a record".to_owned()),
        }
    }

    #[test]
    fn an_event_may_belong_to_a_trace() {
        let known = Trace { id: Id::parse(ID).unwrap(), span: Id::parse(SPAN_ID) };
        for (names, upper) in [(["TraceId", "SpanId"], false), (["trace_id", "span_id"], true)] {
            let case = |id: &str| if upper { id.to_uppercase() } else { id.to_owned() };
            let (trace, span) = (case(ID), case(SPAN_ID));
            let ids = format!(",\"{}\":\"{trace}\",\"{}\":\"{span}\"", names[0], names[1]);
            assert_eq!(of(&ids), Ok(Some(known)));
        }
        assert_eq!(of(&format!(",\"trace_id\":\"{ID}\"")), Ok(Some(Trace { span: None, ..known })));
        assert_eq!(of(""), Ok(None));
    }

    #[test]
    fn an_id_that_is_none_is_told() {
        let (zero, short, twice) = ("0".repeat(32), &ID[1..], format!("{ID}{ID}"));
        let signed = format!("+{}", &ID[1..]);
        let alien = format!("{}ä", &ID[..30]);
        for id in [&zero, short, &twice, "", &signed, &alien] {
            let error = of(&format!(",\"TraceId\":\"{id}\"")).unwrap_err();
            assert!(error.starts_with(&format!("TraceId: {id:?} is no id, which is 32")), "{error}");
        }
        for (ids, wanted) in [
            (format!(",\"TraceId\":\"{ID}\",\"SpanId\":\"{ID}\""), "which is 16 hexadecimal digits"),
            (format!(",\"trace_id\":\"{ID}\",\"span_id\":\"{}\"", "0".repeat(16)), "span_id: \"00"),
            (format!(",\"span_id\":\"{SPAN_ID}\""), "a span without a TraceId"),
            (
                format!(",\"TraceId\":\"{ID}\",\"trace_id\":\"{ID}\""),
                "trace_id: the same is there as TraceId",
            ),
            (",\"TraceId\":null".to_owned(), "TraceId: invalid type: null"),
            (",\"TraceId\":7".to_owned(), "TraceId: invalid type: integer"),
        ] {
            let error = of(&ids).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
