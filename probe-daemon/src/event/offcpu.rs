//! A thread that is kept off the CPU.
//!
//! In: the payload of a ring record. Out: [`Offcpu`].

use std::time::Duration;

use probe_common::{FRAMES, OffcpuPayload, RingHeader, Wait};

use super::Subject;

/// A thread that is, or was, kept off the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Offcpu {
    /// Who.
    pub subject: Subject,
    /// What for; none where this build does not know.
    pub wait: Option<Wait>,
    /// How long so far, or in all.
    pub duration: Duration,
    /// The threshold that it has passed.
    pub threshold: Duration,
    /// Whether it still lasts.
    pub ongoing: bool,
    /// Whether a record went out while it lasted.
    pub told: bool,
    /// When it began, on a clock of the kernel's own.
    pub since: u64,
    /// The CPU that the thread waits for, or runs on now.
    pub cpu: u32,
    /// Process and thread name of who had that CPU.
    pub taken_by: Option<(u32, String)>,
    /// Return addresses in the kernel, innermost first.
    pub stack: Vec<u64>,
    /// Their names, once somebody has looked them up.
    pub frames: Vec<String>,
}

impl Offcpu {
    /// Decodes a payload.
    pub fn new(header: &RingHeader, payload: &OffcpuPayload) -> Self {
        let frames = usize::try_from(payload.frames).unwrap_or(FRAMES).min(FRAMES);
        let comm = payload.other_comm.split(|byte| *byte == 0).next().unwrap_or_default();
        let taken_by =
            (payload.other != 0).then(|| (payload.other, String::from_utf8_lossy(comm).into_owned()));
        Self {
            subject: header.into(),
            wait: Wait::from_number(payload.wait),
            duration: Duration::from_nanos(payload.duration),
            threshold: Duration::from_nanos(payload.threshold),
            ongoing: payload.ongoing != 0,
            told: payload.told != 0,
            since: payload.since,
            cpu: payload.cpu,
            taken_by,
            stack: payload.stack[..frames].to_vec(),
            frames: Vec::new(),
        }
    }

    /// The same for all records of one stall, and for no other stall of this boot.
    pub fn stall_id(&self) -> String {
        format!("{:x}-{:x}", self.subject.tid, self.since)
    }
}
