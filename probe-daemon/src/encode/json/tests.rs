//! Records of known events, and of any event.

use std::{sync::Arc, time::Duration};

use probe_common::{CallPayload, Kind, Payload, RAW_EVENT_LEN, RawEvent, RingHeader, RingRecord};
use proptest::prelude::*;
use serde_json::Value as Document;
use ulid::Ulid;
use zerocopy::{FromZeros, IntoBytes};

use super::*;
use crate::{
    clock::Clock,
    event::{Event, Identity, Login, Observation, Subject, TraceEvent},
    fold::Folded,
    policy::{Policy, Process},
    record::cut,
    severity::Severity,
};

const START: u64 = 5_000_000_000;

/// A ring record of a call, as the kernel side would write it.
fn ring_record(
    number: u32,
    errno: u32,
    comm: &[u8],
    registers: [u64; 6],
    memory: &[(usize, &[u8])],
) -> Vec<u8> {
    let mut header = RingHeader::new_zeroed();
    header.tag = Kind::Syscall.tag();
    (header.euid, header.parent, header.start_time) = (1000, 4000, START);
    let head = &mut header.head;
    (head.pid, head.tid, head.ns_pid) = (4243, 4242, 7);
    (head.uid, head.gid, head.nr, head.errno) = (1000, 1000, number, errno);
    (head.ret, head.sid, head.pid_ns) = (errno.wrapping_neg(), 4000, 4_026_531_836);
    (head.start, head.finish) = (START + 10, START + 10);
    head.comm[..comm.len()].copy_from_slice(comm);
    let mut payload = CallPayload::new_zeroed();
    payload.registers = registers;
    let mut tail = Vec::new();
    for &(index, bytes) in memory {
        payload.captured |= 1 << index;
        payload.memory_len[index] = u16::try_from(bytes.len()).unwrap();
        tail.extend_from_slice(bytes);
    }
    header.length = u32::try_from(size_of::<RingHeader>() + size_of::<CallPayload>() + tail.len()).unwrap();
    [header.as_bytes(), payload.as_bytes(), &tail].concat()
}

fn host() -> Resource {
    let attributes =
        [("host.name", "hh131"), ("host.id", "3c4562092d9e4644b08905a2eaefa138"), ("os.type", "linux")];
    Resource {
        host_id: Some(attributes[1].1.to_owned()),
        attributes: attributes.map(|(key, value)| (key, value.to_owned())).into(),
    }
}

/// The record of an event as it goes out, one second after boot time began at the Unix epoch.
fn encoded(event: TraceEvent) -> Document {
    let process = Process { comm: &event.subject.comm, uid: event.subject.euid, cgroup: None };
    let severity = Policy::built_in().decide(event.nr, event.errno, &process).severity;
    let seen = Observation { time: 1_763_661_600_123_456_789, event: Event::Call(event) };
    let folded = Folded { seen, occurrences: 1, window: Duration::ZERO };
    let record = LogRecord::new(&folded, severity, Ulid(7), 1_763_661_600_124_000_000, Clock::with_offset(0));
    let bytes = Json::new(&host()).unwrap().encode(&record).unwrap();
    assert!(!bytes.contains(&b'\n'));
    serde_json::from_slice(&bytes).unwrap()
}

fn event(bytes: &[u8]) -> TraceEvent {
    let record = RingRecord::parse(bytes).unwrap();
    let Payload::Call(payload, memory) = &record.payload else { panic!("no call") };
    TraceEvent::from_call(record.kind, &record.header, payload, *memory)
}

#[test]
fn a_refused_connection() {
    let address = [2, 0, 1, 0xbb, 10, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];
    let bytes = ring_record(42, 111, b"curl", [3, 0x7ffd_0000_1000, 16, 0, 0, 0], &[(1, &address)]);
    insta::assert_json_snapshot!(encoded(event(&bytes)));
}

#[test]
fn a_file_that_may_not_be_opened() {
    let bytes =
        ring_record(257, 13, b"cat", [0xffff_ff9c, 0x7ffd_0000_1000, 0, 0, 0, 0], &[(1, b"/etc/shadow")]);
    insta::assert_json_snapshot!(encoded(event(&bytes)));
}

#[test]
fn a_process_that_is_known_down_to_its_container() {
    let bytes =
        ring_record(257, 13, b"cat", [0xffff_ff9c, 0x7ffd_0000_1000, 0, 0, 0, 0], &[(1, b"/etc/shadow")]);
    let mut event = event(&bytes);
    let text = |text: &str| Some(text.to_owned());
    event.subject.cgroup = 77;
    event.subject.identity = Some(Arc::new(Identity {
        executable: text("/usr/bin/cat"),
        command: vec!["cat".to_owned(), "/etc/shadow".to_owned()],
        ancestors: vec!["bash[4000]".to_owned(), "sshd[3990]".to_owned()],
        user: text("alice"),
        real_user: None,
        group: text("users"),
        login: Login {
            uid: Some(1000),
            user: text("alice"),
            tty: text("pts/4"),
            remote: text("10.136.119.3"),
        },
        cgroup: text("/system.slice/docker-3b1d.scope"),
        unit: text("nginx.service"),
        resource: vec![("container.id", "3b1d".to_owned()), ("container.name", "web".to_owned())],
    }));
    insta::assert_json_snapshot!(encoded(event));
}

#[test]
fn b9_a_call_that_nobody_knows() {
    let bytes = ring_record(999, 38, b"odd", [1, 2, 3, 4, 5, u64::MAX], &[]);
    let event = event(&bytes);
    assert_eq!(event.syscall, None);
    insta::assert_json_snapshot!(encoded(event));
}

#[test]
fn b6_b8_a_trace_event_has_its_documented_shape() {
    let bytes = ring_record(257, 2, b"cat", [0xffff_ff9c, 0x7ffd_0000_1000, 0, 0, 0, 0], &[(1, b"README")]);
    let event = event(&bytes);
    assert_eq!((event.subject.pid, event.subject.tid, event.ret), (4242, 4243, -2));
    insta::assert_snapshot!(serde_json::to_string_pretty(&event).unwrap());
}

#[test]
fn both_forms_of_an_event_tell_the_same() {
    let address = [2, 0, 1, 0xbb, 10, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];
    for bytes in [
        ring_record(257, 2, b"cat", [0xffff_ff9c, 0, 0x80000, 0, 0, 0], &[(1, b"README")]),
        ring_record(42, 111, b"curl", [3, 0, 16, 0, 0, 0], &[(1, &address)]),
        ring_record(82, 2, b"mv", [0, 0, 0, 0, 0, 0], &[(0, b"a"), (1, b"b")]),
    ] {
        let ring = event(&bytes);
        let full = TraceEvent::from(&RawEvent::ingest(&bytes).unwrap());
        let subject = Subject { parent_pid: None, process_start: None, ..ring.subject.clone() };
        assert_eq!(full, TraceEvent { subject, ..ring });
    }
}

#[test]
fn a_long_text_is_cut_between_characters_and_says_so() {
    assert_eq!(cut("short", 5), "short");
    let text = "ä".repeat(100);
    let short = cut(&text, 20);
    assert!(short.len() <= 20 && short.ends_with("ä…"), "{short}");
}

/// The top-level keys of a record, as gala-gopher documents them for its readers.
#[test]
fn a2_the_keys_are_those_of_the_documented_samples() {
    let samples = [
        vec!["Timestamp", "SeverityText", "Resource", "Body"],
        vec!["Timestamp", "Attributes", "Resource", "SeverityText", "SeverityNumber", "Body"],
    ];
    let record = encoded(event(&ring_record(3, 9, b"sh", [9, 0, 0, 0, 0, 0], &[])));
    for key in samples.iter().flatten() {
        assert!(record.get(key).is_some(), "{key}");
    }
    for (key, is_right) in [
        (
            "Timestamp",
            record["Timestamp"].as_str().is_some_and(|ns| ns.parse::<u64>().is_ok_and(|ns| ns > 1 << 60)),
        ),
        (
            "SeverityText",
            ["INFO", "WARN", "ERROR", "FATAL"].contains(&record["SeverityText"].as_str().unwrap()),
        ),
        ("SeverityNumber", record["SeverityNumber"].is_u64()),
        ("host.hostname", record["Resource"]["host.hostname"] == "hh131"),
        ("host.machineid", record["Resource"]["host.machineid"] == "3c4562092d9e4644b08905a2eaefa138"),
        ("Body", record["Body"].is_string()),
    ] {
        assert!(is_right, "{key}: {record}");
    }
}

#[test]
fn a3_severities_have_the_numbers_of_the_standard() {
    let numbers: Vec<_> = Severity::ALL.iter().map(|severity| (severity.text(), severity.number())).collect();
    assert_eq!(numbers, [("INFO", 9), ("WARN", 13), ("ERROR", 17), ("FATAL", 21)]);
}

proptest! {
    #[test]
    fn any_event_makes_strict_json_with_no_key_twice(
        number in 0u32..500,
        errno in 1u32..140,
        comm in proptest::collection::vec(any::<u8>(), 0..=16),
        registers: [u64; 6],
        memory in proptest::collection::vec(any::<u8>(), 0..4097),
    ) {
        let plan = crate::syscall::capture(number);
        let strings: Vec<(usize, &[u8])> =
            (0..6).filter(|index| plan.strings & 1 << index != 0).map(|index| (index, &memory[..])).collect();
        let event = event(&ring_record(number, errno, &comm, registers, &strings));
        let seen = Observation { time: 1, event: Event::Call(event) };
        let folded = Folded { seen, occurrences: 3, window: Duration::from_secs(5) };
        let record = LogRecord::new(&folded, Severity::Warn, Ulid(1), 2, Clock::with_offset(0));
        let mut keys: Vec<_> = record.attributes.list.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        prop_assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));
        let bytes = Json::new(&host()).unwrap().encode(&record).unwrap();
        let parsed: Document = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(&parsed["Attributes"]["process.pid"], 4242);
        prop_assert!(bytes.iter().all(|byte| *byte >= 0x20));
    }

    #[test]
    fn any_full_form_becomes_a_trace_event(bytes in proptest::collection::vec(any::<u8>(), RAW_EVENT_LEN)) {
        if let Ok(raw) = RawEvent::ingest(&bytes) {
            let event = TraceEvent::from(&raw);
            prop_assert!(serde_json::from_str::<Document>(&serde_json::to_string(&event).unwrap()).is_ok());
        }
    }
}
