//! The payload of a process that the kernel kills for memory.
//!
//! In: the bytes after a ring record's header, which says who. Out: [`OomPayload`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{exit::NAME_LEN, raw::COMM_LEN, ring::RingHeader};

/// The whole ring record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OomRecord {
    /// Who and when.
    pub header: RingHeader,
    /// What happened.
    pub payload: OomPayload,
}

/// What is known of it. Memory is in pages where nothing else is said.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OomPayload {
    /// Size of its address space.
    pub total_vm: u64,
    /// Resident memory without a file.
    pub anon: u64,
    /// Resident memory of files.
    pub file: u64,
    /// Resident shared memory.
    pub shmem: u64,
    /// Page tables, in bytes.
    pub pgtables: u64,
    /// Limit of the cgroup that had none left; 0 where the whole host was out of memory.
    pub limit: u64,
    /// Id of that cgroup.
    pub limit_cgroup: u64,
    /// Whoever asked for the memory that was not there (thread group id).
    pub trigger_pid: u32,
    /// `oom_score_adj`.
    pub score_adj: i32,
    /// Name of the thread that asked.
    pub trigger_comm: [u8; COMM_LEN],
    /// The last name of the path of the victim's cgroup.
    pub cgroup_name: [u8; NAME_LEN],
    /// The last name of the path of the cgroup whose limit was hit.
    pub limit_name: [u8; NAME_LEN],
}
