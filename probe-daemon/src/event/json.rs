//! A failed call as JSON, for whoever stores or exchanges events.
//!
//! In and out: a [`TraceEvent`]. What the JSON has no key for is not read back: the effective user, the parent, the
//! cgroup, context switches, the capability. A call that this build does not know is null, without its number.

use std::sync::Arc;

use probe_common::RingHeader;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::Error,
    ser::{SerializeMap, SerializeStruct},
};
use serde_json::Value;
use zerocopy::FromZeros;

use super::{Container, Identity, TraceEvent, call::kind};
use crate::{
    enrich::container::{Place, describe},
    errno,
    members::Members,
    nearest::did_you_mean,
    syscall::{self, Abi, Syscall},
};

/// The number of a call of which only that is known that nobody knows it.
const UNKNOWN: u32 = u32::MAX;
/// Characters of a thread's name, of which the kernel keeps 16 bytes.
const COMM_LEN: usize = 16;

impl Serialize for TraceEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let subject = &self.subject;
        let mut out = serializer.serialize_struct("TraceEvent", 17)?;
        out.serialize_field("syscall", &self.syscall.map(Call))?;
        out.serialize_field("pid", &subject.pid)?;
        out.serialize_field("tid", &subject.tid)?;
        out.serialize_field("container_pid", &subject.container_pid)?;
        out.serialize_field("uid", &subject.uid)?;
        out.serialize_field("gid", &subject.gid)?;
        out.serialize_field("comm", &subject.comm)?;
        out.serialize_field("session", &subject.session)?;
        // Null until somebody has looked it up, and where nobody knows it.
        let container = subject.identity.as_deref().and_then(|identity| identity.container.as_deref());
        out.serialize_field("container", &container)?;
        out.serialize_field("error", errno::name(self.errno))?;
        out.serialize_field("return", &self.ret)?;
        out.serialize_field("pid_ns", &subject.pid_ns)?;
        out.serialize_field("uts_ns", &subject.uts_ns)?;
        out.serialize_field("mount_ns", &subject.mnt_ns)?;
        out.serialize_field("start", &self.start)?;
        out.serialize_field("finish", &self.finish)?;
        out.serialize_field("args", &self.args)?;
        out.end()
    }
}

struct Call(&'static Syscall);

impl Serialize for Call {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(4))?;
        out.serialize_entry("nr", &self.0.number)?;
        out.serialize_entry("name", &format_args!("sys_{}", self.0.name))?;
        out.serialize_entry("class", self.0.class.name())?;
        out.serialize_entry("group", self.0.class.name())?;
        out.end()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    syscall: Option<Named>,
    pid: u32,
    tid: u32,
    container_pid: u32,
    uid: u32,
    gid: u32,
    comm: String,
    session: i32,
    container: Option<Container>,
    error: String,
    #[serde(rename = "return")]
    ret: i32,
    pid_ns: u32,
    uts_ns: u32,
    mount_ns: u32,
    start: u64,
    finish: u64,
    args: Members<Value>,
}

/// A call by number and name; how others class it does not matter.
#[derive(Deserialize)]
#[serde(expecting = "a call with nr and name")]
struct Named {
    nr: u32,
    name: String,
}

impl Named {
    /// The call of that number and name.
    fn find(&self) -> Result<&'static Syscall, String> {
        let name = self.name.strip_prefix("sys_").unwrap_or(&self.name);
        let known: Vec<_> =
            [Abi::X86_64, Abi::I386].into_iter().filter_map(|abi| syscall::lookup(abi, self.nr)).collect();
        known.iter().copied().find(|call| call.name == name).ok_or_else(|| match &known[..] {
            [] => format!("no system call has the number {}", self.nr),
            [call, ..] => {
                let hint = did_you_mean(name, known.iter().map(|call| call.name));
                let hint = if hint.is_empty() { format!(", which is {:?}", call.name) } else { hint };
                format!("{:?} is not the system call of number {}{hint}", self.name, self.nr)
            }
        })
    }
}

impl Wire {
    /// The number of the error: by its name, and where that says nothing, as the return value has it.
    fn errno(&self) -> u32 {
        let returned = self.ret.checked_neg().and_then(|errno| u32::try_from(errno).ok());
        let named = errno::parse(&self.error).or_else(|| (self.error == errno::name(0)).then_some(0));
        let unknown = returned.filter(|errno| *errno > 0 && errno::name(*errno) == self.error);
        named.or(unknown).unwrap_or(u32::MAX)
    }

    fn event(self) -> Result<TraceEvent, String> {
        let call = self.syscall.as_ref().map(Named::find).transpose()?;
        let abi = call.map_or(Abi::X86_64, |call| call.abi);
        let restored = syscall::restore(call, &self.args.0)?;
        let errno = self.errno();
        let mut header = RingHeader::new_zeroed();
        header.euid = self.uid;
        let head = &mut header.head;
        (head.pid, head.tid, head.ns_pid) = (self.tid, self.pid, self.container_pid);
        (head.uid, head.gid, head.sid) = (self.uid, self.gid, self.session);
        head.nr = call.map_or(UNKNOWN, |call| call.number);
        (head.errno, head.ret) = (errno, self.ret.cast_unsigned());
        (head.pid_ns, head.uts_ns, head.mnt_ns) = (self.pid_ns, self.uts_ns, self.mount_ns);
        (head.start, head.finish) = (self.start, self.finish);
        if self.comm.chars().count() > COMM_LEN {
            return Err(format!("the name of a thread has at most {COMM_LEN} characters"));
        }
        let mut event = TraceEvent::new(kind(call, errno), &header, &restored.captured(abi));
        event.subject.comm = self.comm;
        event.subject.identity = self.container.map(|container| {
            let resource = describe(&Place::default(), Some(&container), true);
            Arc::new(Identity { resource, container: Some(Arc::new(container)), ..Identity::default() })
        });
        Ok(event)
    }
}

impl<'de> Deserialize<'de> for TraceEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Wire::deserialize(deserializer)?.event().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use probe_common::{RAW_EVENT_LEN, RawEvent};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn openat() -> Value {
        json!({
            "syscall": {"nr": 257, "name": "sys_openat", "class": "file", "group": "file"},
            "pid": 4242, "tid": 4243, "container_pid": 7, "uid": 1000, "gid": 1000, "comm": "cat",
            "session": 4000, "container": null, "error": "ENOENT", "return": -2, "pid_ns": 1, "uts_ns": 2,
            "mount_ns": 3, "start": 10, "finish": 10,
            "args": {"dir_fd": "AT_FDCWD", "pathname": "README", "flags": ["O_RDONLY"]},
        })
    }

    fn parse(change: impl FnOnce(&mut Value)) -> Result<TraceEvent, String> {
        let mut json = openat();
        change(&mut json);
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn b10_an_event_is_read_back_with_what_follows_from_it() {
        let event = parse(|_| {}).unwrap();
        assert_eq!((event.errno, event.ret, event.nr), (2, -2, 257));
        assert_eq!((event.path.as_deref(), event.object.as_deref()), (Some("README"), Some("\"README\"")));
        assert_eq!(serde_json::to_value(&event).unwrap(), openat());
        let container =
            json!({"id": "3b1d", "pod": "web-0", "name": "web", "image": "nginx", "namespace": "shop"});
        let event = parse(|json| json["container"] = container.clone()).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap()["container"], container);
    }

    #[test]
    fn b10_what_is_no_event_is_refused() {
        for (change, wanted) in [
            (
                (|json| json["syscall"]["nr"] = 9999.into()) as fn(&mut Value),
                "no system call has the number 9999",
            ),
            (|json| json["syscall"]["nr"] = 0.into(), "is not the system call of number 0"),
            (|json| json["args"]["colour"] = 1.into(), "has no argument \"colour\""),
            (|json| json["args"]["flags"] = json!(["O_NOPE"]), "\"flags\" cannot be"),
            (|json| json["error"] = 2.into(), "string"),
            (|json| json["colour"] = 2.into(), "unknown field"),
            (|json| json["comm"] = "x".repeat(17).into(), "at most 16 characters"),
        ] {
            let error = parse(change).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn b7_errors_go_by_name() {
        let errno = |error: &str, ret: i32| {
            let (error, ret) = (Value::from(error), Value::from(ret));
            parse(|json| (json["error"], json["return"]) = (error, ret)).unwrap().errno
        };
        assert_eq!((errno("ENOENT", -2), errno("OK", 3), errno("UNK", -41)), (2, 0, 41));
        assert_eq!(errno("ENOSUCH", -2), u32::MAX);
    }

    proptest! {
        #[test]
        fn b10_any_event_is_read_back(
            mut bytes in prop::collection::vec(any::<u8>(), RAW_EVENT_LEN),
            number in 0_u32..460,
            errno in 1_u32..140,
            text in "[a-zA-Z /.]{1,40}",
        ) {
            // A full event, whose texts are texts.
            bytes[3] &= 0x7f;
            bytes[16..20].copy_from_slice(&number.to_le_bytes());
            bytes[72..76].copy_from_slice(&errno.to_le_bytes());
            bytes[76..80].copy_from_slice(&errno.wrapping_neg().to_le_bytes());
            let plan = syscall::capture(Abi::X86_64, number);
            for index in (0..5).filter(|index| plan.strings & 1 << index != 0) {
                let at = 96 + 128 * index;
                bytes[at..at + 128].fill(0);
                bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
            }
            let event = TraceEvent::from(&RawEvent::ingest(&bytes).unwrap());
            let text = serde_json::to_string(&event).unwrap();
            let again: TraceEvent = serde_json::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}: {text}")))?;
            prop_assert_eq!(serde_json::to_string(&again).unwrap(), text);
            // What the JSON has no key for.
            let subject = crate::event::Subject { ipc_ns: 0, cgroup_ns: 0, ..event.subject.clone() };
            let (nr, slot) = if event.syscall.is_some() { (event.nr, event.slot) } else { (UNKNOWN, again.slot) };
            // Bytes of a name of a socket that are no UTF-8 are replaced.
            let peer = again.peer.clone();
            let object = if event.peer.is_some() { again.object.clone() } else { event.object.clone() };
            prop_assert_eq!(again, TraceEvent { subject, nr, slot, context_switches: 0, peer, object, ..event });
        }
    }
}
