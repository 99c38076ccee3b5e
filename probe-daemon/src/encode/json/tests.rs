//! Records of known events, and of any event.

use std::{sync::Arc, time::Duration};

use probe_common::{CallPayload, I386, Kind, RAW_EVENT_LEN, RawEvent, RingHeader, RingRecord};
use proptest::prelude::*;
use serde_json::Value as Document;
use ulid::Ulid;

use super::*;
use crate::{
    catalogue::Catalogue,
    clock::Clock,
    encode::sample::{self, event, host, ring_record},
    errno,
    event::{Event, Hindrance, Identity, Login, Observation, Reason, Subject, TraceEvent},
    fold::Folded,
    record::{Background, Stamp, cut},
    severity::Severity,
    syscall::Abi,
};

/// The same call by a 32-bit process.
fn narrow(mut record: Vec<u8>) -> Vec<u8> {
    record[size_of::<RingHeader>() + std::mem::offset_of!(CallPayload, abi)] = I386;
    record
}

/// The record of an event as it goes out, one second after boot time began at the Unix epoch.
fn encoded(event: TraceEvent) -> Document {
    encoded_as(Event::Call(event), 1, Duration::ZERO)
}

fn encoded_as(event: Event, occurrences: u64, window: Duration) -> Document {
    let folded = Folded { occurrences, window, ..sample::folded(event) };
    let record = sample::record(&folded);
    let bytes = Json::new(&host()).encode(&record);
    assert!(!bytes.contains(&b'\n'));
    let document = serde_json::from_slice(&bytes).unwrap();
    schema::check(&document);
    document
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
fn a_program_whose_interpreter_is_missing() {
    let bytes = ring_record(59, 2, b"bash", [0x7ffd_0000_1000, 0, 0, 0, 0, 0], &[(0, b"/opt/app")]);
    let mut event = event(&bytes);
    event.kind = Kind::Exec;
    let interpreter = Some("/lib/ld-musl-x86_64.so.1".to_owned());
    event.hindrance = Some(Hindrance { reason: Reason::Missing, interpreter });
    insta::assert_json_snapshot!(encoded(event));
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
        resource: vec![
            ("container.id".into(), "3b1d".to_owned()),
            ("container.name".into(), "web".to_owned()),
        ],
        container: None,
    }));
    insta::assert_json_snapshot!(encoded(event));
}

#[test]
fn a_program_that_nobody_can_execute_is_graver_than_one_that_is_not_there() {
    let severity = |number, errno| {
        let mut event = event(&ring_record(number, errno, b"bash", [0; 6], &[]));
        event.kind = if number == 59 { Kind::Exec } else { Kind::Syscall };
        encoded(event)["SeverityText"].clone()
    };
    for errno in ["ENOEXEC", "E2BIG", "ENOMEM"] {
        assert_eq!(severity(59, errno::parse(errno).unwrap()), "ERROR", "{errno}");
    }
    // semop, too, has an E2BIG.
    for (number, errno) in [(59, "EACCES"), (59, "ETXTBSY"), (59, "ELOOP"), (65, "E2BIG")] {
        assert_eq!(severity(number, errno::parse(errno).unwrap()), "WARN", "{number} {errno}");
    }
    assert_eq!(severity(59, errno::parse("ENOENT").unwrap()), "INFO");
}

#[test]
fn a_capability_that_was_refused() {
    let bytes = ring_record(161, 1, b"app", [0x7ffd_0000_1000, 0, 0, 0, 0, 0], &[(0, b"/srv")]);
    let mut event = event(&bytes);
    (event.kind, event.capability) = (Kind::Denial, Some("CAP_SYS_CHROOT"));
    insta::assert_json_snapshot!(encoded(event.clone()));
    event.capability = Some("CAP_SYS_ADMIN");
    assert_eq!(encoded(event.clone())["SeverityText"], "ERROR");
    event.subject.euid = 0;
    assert_eq!(encoded(event.clone())["SeverityText"], "WARN", "root, short of a capability");
    event.capability = Some("CAP_DAC_READ_SEARCH");
    let record = encoded(event);
    assert_eq!(record["Attributes"]["gala_gopher.denial.kind"], "errno", "a matter of the file's mode");
}

#[test]
fn b9_a_call_that_nobody_knows() {
    let bytes = ring_record(999, 38, b"odd", [1, 2, 3, 4, 5, u64::MAX], &[]);
    let event = event(&bytes);
    assert_eq!(event.syscall, None);
    insta::assert_json_snapshot!(encoded(event));
}

#[test]
fn an_io_uring_request_that_failed_twice() {
    let mut bytes = ring_record(18, 13, b"nginx", [u64::MAX, 0, 0, 0, 0, 0], &[]);
    bytes[..4].copy_from_slice(&Kind::IoUring.tag().to_le_bytes());
    let event = Event::from(&RingRecord::parse(&bytes).unwrap());
    insta::assert_json_snapshot!(encoded_as(event, 2, Duration::from_secs(5)));
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
fn a_call_of_a_32_bit_process_is_named_by_its_own_table() {
    let bytes = ring_record(195, 13, b"old", [0x804_9000, 0x9000, 0, 0, 0, 0], &[(0, b"/etc/shadow")]);
    let [wide, narrow] =
        [bytes.clone(), narrow(bytes)].map(|bytes| encoded(event(&bytes))["Attributes"].clone());
    let attribute = |of: &Document, name: &str| of[format!("gala_gopher.syscall.{name}")].clone();
    assert_eq!((attribute(&wide, "number"), attribute(&narrow, "number")), (195.into(), 195.into()));
    assert_eq!((attribute(&wide, "name"), attribute(&wide, "abi")), ("llistxattr".into(), Document::Null));
    assert_eq!((attribute(&narrow, "name"), attribute(&narrow, "abi")), ("stat64".into(), "i386".into()));
    assert_eq!(narrow["file.path"], "/etc/shadow");
}

#[test]
fn a3_severities_have_the_numbers_of_the_standard() {
    let numbers: Vec<_> = Severity::ALL.iter().map(|severity| (severity.text(), severity.number())).collect();
    assert_eq!(numbers, [("INFO", 9), ("WARN", 13), ("ERROR", 17), ("FATAL", 21)]);
}

#[test]
fn the_addresses_of_the_host_are_a_list() {
    let folded = sample::folded(Event::Call(event(&ring_record(3, 9, b"sh", [9, 0, 0, 0, 0, 0], &[]))));
    let host = Resource { addresses: vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()], ..host() };
    let bytes = Json::new(&host).encode(&sample::record(&folded));
    let document: Document = serde_json::from_slice(&bytes).unwrap();
    schema::check(&document);
    assert_eq!(document["Resource"]["host.ip"], serde_json::json!(["192.0.2.1", "2001:db8::1"]));
}

proptest! {
    #[test]
    fn any_event_makes_strict_json_with_no_key_twice(
        i386: bool,
        number in 0u32..500,
        errno in 1u32..140,
        comm in proptest::collection::vec(any::<u8>(), 0..=16),
        registers: [u64; 6],
        memory in proptest::collection::vec(any::<u8>(), 0..4097),
    ) {
        let plan = crate::syscall::capture(if i386 { Abi::I386 } else { Abi::X86_64 }, number);
        let strings: Vec<(usize, &[u8])> =
            (0..6).filter(|index| plan.strings & 1 << index != 0).map(|index| (index, &memory[..])).collect();
        let bytes = ring_record(number, errno, &comm, registers, &strings);
        let event = event(&if i386 { narrow(bytes) } else { bytes });
        let seen = Observation { time: 1, event: Event::Call(event) };
        let folded = Folded { seen, occurrences: 3, window: Duration::from_secs(5) };
        let catalogue = Catalogue::default();
        let background = Background { ruled: None, facts: Vec::new(), catalogue: &catalogue };
        let stamp = Stamp { id: Ulid(1), sequence: 1, observed: 2, clock: Clock::with_offset(0) };
        let record = LogRecord::new(&folded, background, stamp);
        let mut keys: Vec<_> = record.attributes.list.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        prop_assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));
        let bytes = Json::new(&host()).encode(&record);
        let parsed: Document = serde_json::from_slice(&bytes).unwrap();
        schema::check(&parsed);
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
