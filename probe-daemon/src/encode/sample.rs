//! Records for the tests of every form.

use std::{net::IpAddr, time::Duration};

use probe_common::{CallPayload, Kind, Payload, RingHeader, RingRecord};
use ulid::Ulid;
use zerocopy::{FromZeros, IntoBytes};

use crate::{
    catalogue::Catalogue,
    clock::Clock,
    event::{Event, Observation, TraceEvent},
    fold::Folded,
    policy::{Policy, Process},
    record::{Background, LogRecord, Stamp, resource::Resource},
};

const START: u64 = 5_000_000_000;

/// A ring record of a call, as the kernel side would write it.
pub fn ring_record(
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

pub fn host() -> Resource {
    let attributes =
        [("host.name", "hh131"), ("host.id", "3c4562092d9e4644b08905a2eaefa138"), ("os.type", "linux")];
    Resource {
        host_id: Some(attributes[1].1.to_owned()),
        system_uuid: Some("12c03ef1-4ab3-4ac8-8d3b-d6b6c1b5bd6c".to_owned()),
        address: Some(IpAddr::from([192, 0, 2, 1])),
        attributes: attributes.map(|(key, value)| (key, value.to_owned())).into(),
        addresses: Vec::new(),
    }
}

/// The call of such a ring record.
pub fn event(bytes: &[u8]) -> TraceEvent {
    let record = RingRecord::parse(bytes).unwrap();
    let Payload::Call(payload, memory) = &record.payload else { panic!("no call") };
    TraceEvent::from_call(record.kind, &record.header, payload, *memory)
}

/// One occurrence of it.
pub fn folded(event: Event) -> Folded {
    let seen = Observation { time: 1_763_661_600_123_456_789, event };
    Folded { seen, occurrences: 1, window: Duration::ZERO }
}

/// Its record, one second after boot time began at the Unix epoch.
pub fn record(folded: &Folded) -> LogRecord<'_> {
    let ruled = match &folded.seen.event {
        Event::Call(event) => {
            let process = Process { comm: &event.subject.comm, uid: event.subject.euid, cgroup: None };
            Policy::built_in().decide(event.slot, event.errno, &process).severity
        }
        _ => None,
    };
    let catalogue = Catalogue::built_in();
    let background = Background { ruled, facts: Vec::new(), catalogue: &catalogue };
    let (id, clock) = (Ulid(7), Clock::with_offset(0));
    LogRecord::new(folded, background, Stamp { id, sequence: 17, observed: 1_763_661_600_124_000_000, clock })
}
