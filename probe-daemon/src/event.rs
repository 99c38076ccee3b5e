//! Events as people read them.
//!
//! In: a checked ring record. Out: an [`Event`] of its family, and an [`Observation`], which is what every source
//! hands to the pipeline.

use std::sync::Arc;

use probe_common::{CallPayload, Kind, Memory, Payload, RingHeader, RingRecord};

mod call;
mod container;
mod exec;
mod exit;
mod identity;
mod io_uring;
mod json;
mod offcpu;
mod oom;
mod probe;
mod raw;

pub use call::TraceEvent;
pub use container::Container;
pub use exec::{Attempt, Hindrance, Reason};
pub use exit::{End, Exit, Fault, Refused};
pub use identity::{Identity, Login};
pub use io_uring::IoRequest;
pub use offcpu::Offcpu;
pub use oom::OomKill;
pub use probe::{Notice, Probe};
pub use raw::RawJson;

/// What happened, by family.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A call failed.
    Call(TraceEvent),
    /// An io_uring request failed.
    IoUring(IoRequest),
    /// A process is killed for memory.
    Oom(OomKill),
    /// A thread is kept off the CPU.
    Offcpu(Offcpu),
    /// A process ended, not as it should.
    Exit(Exit),
    /// The daemon has to tell something of itself.
    Probe(Probe),
}

impl Event {
    /// To whom it happened.
    pub fn subject(&self) -> &Subject {
        match self {
            Self::Call(event) => &event.subject,
            Self::IoUring(event) => &event.subject,
            Self::Oom(event) => &event.subject,
            Self::Offcpu(event) => &event.subject,
            Self::Exit(event) => &event.subject,
            Self::Probe(event) => &event.subject,
        }
    }

    /// The same, to add to it.
    pub fn subject_mut(&mut self) -> &mut Subject {
        match self {
            Self::Call(event) => &mut event.subject,
            Self::IoUring(event) => &mut event.subject,
            Self::Oom(event) => &mut event.subject,
            Self::Offcpu(event) => &mut event.subject,
            Self::Exit(event) => &mut event.subject,
            Self::Probe(event) => &mut event.subject,
        }
    }
}

/// To whom it happened, whatever it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// Process id in the process's own pid namespace.
    pub container_pid: u32,
    /// Process id of the parent; none where unknown.
    pub parent_pid: Option<u32>,
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Name of the thread; invalid UTF-8 is replaced by U+FFFD.
    pub comm: String,
    /// Session id; 0 where unknown.
    pub session: i32,
    /// Pid namespace.
    pub pid_ns: u32,
    /// UTS namespace.
    pub uts_ns: u32,
    /// Mount namespace.
    pub mnt_ns: u32,
    /// IPC namespace.
    pub ipc_ns: u32,
    /// Cgroup namespace.
    pub cgroup_ns: u32,
    /// Start of the process on `CLOCK_BOOTTIME` in nanoseconds; none where unknown.
    pub process_start: Option<u64>,
    /// Id of the cgroup; 0 where unknown.
    pub cgroup: u64,
    /// When the event happened, on `CLOCK_BOOTTIME` in nanoseconds.
    pub seen: u64,
    /// Who that is; none until somebody has looked it up.
    pub identity: Option<Arc<Identity>>,
}

impl From<&RingHeader> for Subject {
    fn from(header: &RingHeader) -> Self {
        let head = &header.head;
        Self {
            pid: head.tid,
            tid: head.pid,
            container_pid: head.ns_pid,
            parent_pid: (header.parent != 0).then_some(header.parent),
            uid: head.uid,
            euid: header.euid,
            gid: head.gid,
            comm: String::from_utf8_lossy(head.comm()).into_owned(),
            session: head.sid,
            pid_ns: head.pid_ns,
            uts_ns: head.uts_ns,
            mnt_ns: head.mnt_ns,
            ipc_ns: head.ipc_ns,
            cgroup_ns: head.cgr_ns,
            process_start: (header.start_time != 0).then_some(header.start_time),
            cgroup: header.cgroup,
            seen: head.finish,
            identity: None,
        }
    }
}

/// A name as the kernel keeps it, up to its NUL; invalid UTF-8 is replaced by U+FFFD.
fn text(bytes: &[u8]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

impl From<&RingRecord<'_>> for Event {
    fn from(record: &RingRecord<'_>) -> Self {
        let header = &record.header;
        match &record.payload {
            Payload::Call(payload, memory) => Self::failure(record.kind, header, payload, *memory),
            Payload::Oom(payload) => Self::Oom(OomKill::new(header, payload)),
            Payload::Offcpu(payload) => Self::Offcpu(Offcpu::new(header, payload)),
            Payload::Exit(payload) => Self::Exit(Exit::new(header, payload)),
        }
    }
}

impl Event {
    /// A failed call or request as the kernel side has it.
    pub fn failure(kind: Kind, header: &RingHeader, payload: &CallPayload, memory: Memory<'_>) -> Self {
        match kind {
            Kind::IoUring => Self::IoUring(IoRequest::new(header, payload)),
            _ => Self::Call(TraceEvent::from_call(kind, header, payload, memory)),
        }
    }
}

/// What a source hands to the pipeline at once.
#[derive(Clone, Debug)]
pub enum Batch {
    /// Events, each of which happened once.
    Events(Vec<Observation>),
    /// The end of an interval: what repeated in it, how often, and when it ended (`CLOCK_BOOTTIME`, nanoseconds).
    Repeats(Vec<(Observation, u64)>, u64),
}

impl Batch {
    /// Observations in it.
    pub fn len(&self) -> usize {
        match self {
            Self::Events(events) => events.len(),
            Self::Repeats(repeats, _) => repeats.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Occurrences in it.
    pub fn occurrences(&self) -> u64 {
        match self {
            Self::Events(events) => events.len() as u64,
            Self::Repeats(repeats, _) => repeats.iter().map(|(_, count)| count).sum(),
        }
    }
}

/// What a source saw, and when: nanoseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// When it happened.
    pub time: u64,
    /// What happened.
    pub event: Event,
}
