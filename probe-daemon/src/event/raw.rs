//! The full form of an event as JSON: numbers throughout, names and arguments as arrays of bytes.

use probe_common::{ARG_COUNT, ARG_LEN, COMM_LEN, Head, RawEvent};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A full event that is written as JSON and read from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RawJson(pub RawEvent);

/// The form that is written and read, out of the fields of [`Head`]: each is named here once.
macro_rules! wire {
    ($($(#[$attribute:meta])* $field:ident: $kind:ty,)*) => {
        /// Keys in the order of the layout; `pid` is the thread and `tid` its process there.
        #[derive(Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            $($(#[$attribute])* $field: $kind,)*
            buf: Vec<u8>,
        }

        impl From<&RawEvent> for Wire {
            fn from(event: &RawEvent) -> Self {
                Self { $($field: event.head.$field,)* buf: event.arguments.concat() }
            }
        }

        impl Wire {
            fn head(&self) -> Head {
                Head { $($field: self.$field,)* }
            }
        }
    };
}

wire! {
    pid: u32,
    tid: u32,
    uid: u32,
    gid: u32,
    nr: u32,
    ns_pid: u32,
    start: u64,
    finish: u64,
    sid: i32,
    pid_ns: u32,
    uts_ns: u32,
    mnt_ns: u32,
    ipc_ns: u32,
    cgr_ns: u32,
    context_sw: u64,
    #[serde(rename = "error")]
    errno: u32,
    ret: u32,
    comm: [u8; COMM_LEN],
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire::from(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let (arguments, []) = wire.buf.as_chunks::<ARG_LEN>() else {
            return Err(D::Error::invalid_length(wire.buf.len(), &"640 bytes"));
        };
        let arguments: [[u8; ARG_LEN]; ARG_COUNT] =
            arguments.try_into().map_err(|_| D::Error::invalid_length(wire.buf.len(), &"640 bytes"))?;
        Ok(Self(RawEvent { head: wire.head(), arguments }))
    }
}

#[cfg(test)]
mod tests {
    use probe_common::RAW_EVENT_LEN;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn b5_names_and_arguments_are_arrays_of_numbers() {
        let mut bytes = [0; RAW_EVENT_LEN];
        bytes[80..83].copy_from_slice(b"cat");
        bytes[96] = 0xff;
        let text = serde_json::to_string(&RawJson(RawEvent::ingest(&bytes).unwrap())).unwrap();
        let start = r#"{"pid":0,"tid":0,"uid":0,"gid":0,"nr":0,"ns_pid":0,"start":0,"finish":0,"sid":0,"pid_ns":0,"uts_ns":0,"mnt_ns":0,"ipc_ns":0,"cgr_ns":0,"context_sw":0,"error":0,"ret":0,"comm":[99,97,116,0,"#;
        assert!(text.starts_with(start), "{text}");
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (json["comm"].as_array().unwrap().len(), json["buf"].as_array().unwrap().len()),
            (16, 640)
        );
        assert_eq!(json["buf"][0], 255);
    }

    #[test]
    fn b5_what_is_no_full_event_is_refused() {
        let good = serde_json::to_value(RawJson(RawEvent::ingest(&[0; RAW_EVENT_LEN]).unwrap())).unwrap();
        let refused = |change: fn(&mut Value)| {
            let mut json = good.clone();
            change(&mut json);
            serde_json::from_value::<RawJson>(json).is_err()
        };
        assert!(!refused(|_| {}));
        assert!(refused(|json| json["buf"] = vec![0; 639].into()));
        assert!(refused(|json| json["buf"] = vec![0; 768].into()));
        assert!(refused(|json| json["comm"] = vec![0; 15].into()));
        assert!(refused(|json| json["comm"][0] = 256.into()));
        assert!(refused(|json| json["comm"] = "cat".into()));
        assert!(refused(|json| json["errno"] = 2.into()));
        assert!(refused(|json| json["nr"] = (-1).into()));
    }

    proptest! {
        #[test]
        fn b5_any_full_event_is_read_back(bytes in prop::collection::vec(any::<u8>(), RAW_EVENT_LEN)) {
            if let Ok(event) = RawEvent::ingest(&bytes) {
                let text = serde_json::to_string(&RawJson(event)).unwrap();
                prop_assert_eq!(serde_json::from_str::<RawJson>(&text).unwrap(), RawJson(event));
            }
        }
    }
}
