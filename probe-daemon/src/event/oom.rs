//! A process that the kernel kills for memory.
//!
//! In: the payload of a ring record. Out: [`OomKill`].

use probe_common::{OomPayload, RingHeader};
use ulid::Ulid;

use super::{Subject, text};
use crate::cgroup::Cgroup;

/// Bytes of a page on x86-64.
const PAGE: u64 = 4096;

/// A process that the kernel kills for memory. Its memory is in kB, as the kernel's own message has it.
#[derive(Clone, Debug, PartialEq)]
pub struct OomKill {
    /// Who.
    pub subject: Subject,
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// Size of its address space.
    pub total_vm: u64,
    /// Resident memory without a file.
    pub anon: u64,
    /// Resident memory of files.
    pub file: u64,
    /// Resident shared memory.
    pub shmem: u64,
    /// Page tables.
    pub pgtables: u64,
    /// `oom_score_adj`.
    pub score_adj: i32,
    /// The cgroup that has no memory left, and its limit in bytes; none where the host has no memory left.
    pub limit: Option<(Cgroup, u64)>,
    /// The process that asked for memory, and its name.
    pub trigger: (u32, String),
    /// The id that its record is going to have, as the end of the process refers to it.
    pub record: Option<Ulid>,
}

impl OomKill {
    /// Decodes a payload.
    pub fn new(header: &RingHeader, payload: &OomPayload) -> Self {
        let pages = |count: u64| count.saturating_mul(PAGE / 1024);
        let limit_cgroup = Cgroup { id: payload.limit_cgroup, name: text(&payload.limit_name), path: None };
        Self {
            subject: header.into(),
            cgroup: Cgroup { id: header.cgroup, name: text(&payload.cgroup_name), path: None },
            total_vm: pages(payload.total_vm),
            anon: pages(payload.anon),
            file: pages(payload.file),
            shmem: pages(payload.shmem),
            pgtables: payload.pgtables / 1024,
            score_adj: payload.score_adj,
            limit: (payload.limit != 0).then_some((limit_cgroup, payload.limit)),
            trigger: (payload.trigger_pid, text(&payload.trigger_comm)),
            record: None,
        }
    }
}
