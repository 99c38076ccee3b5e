//! The payload of a process that ended, and the table in which the kernel side counts ends that repeat.
//!
//! In: the bytes after a ring record's header, which says who; a value of [`EXITS`]. Out: [`ExitPayload`],
//! [`FoldedExit`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{raw::COMM_LEN, ring::RingHeader};

/// Hash of [`ExitKey`] to [`FoldedExit`]: ends that repeat.
pub const EXITS: &str = "EXITS";
/// Hash of [`ExitKey`] to what of its count the daemon has taken; only the daemon uses it.
pub const EXITS_TOLD: &str = "EXITS_TOLD";
/// Ends that [`EXITS`] has room for at most; memory is taken for those that there are.
pub const EXITS_LEN: u32 = 4096;
/// Bytes kept of a file's or a cgroup's name, its NUL included.
pub const NAME_LEN: usize = 64;

/// The whole ring record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ExitRecord {
    /// Who and when.
    pub header: RingHeader,
    /// What happened.
    pub payload: ExitPayload,
}

/// What is known of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ExitPayload {
    /// As wait(2) has it: the signal in bits 0 to 6, core dumped in bit 7, the exit code in bits 8 to 15.
    pub status: u32,
    /// Device of the file system that its executable is on, as the kernel numbers it; 0 where unknown.
    pub device: u32,
    /// Inode number of its executable; 0 where unknown.
    pub inode: u64,
    /// Who sent the signal that killed it.
    pub sender: Sender,
    /// The fault whose signal killed it.
    pub fault: Fault,
    /// The last name of the path of its cgroup.
    pub cgroup_name: [u8; NAME_LEN],
}

/// Who sent a signal; all 0 where nobody did or nobody knows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Sender {
    /// Start of the process that it was sent to, on `CLOCK_BOOTTIME`.
    pub receiver_start: u64,
    /// The sending process (thread group id).
    pub pid: u32,
    /// Real user id of the sender.
    pub uid: u32,
    /// Name of the sending thread.
    pub comm: [u8; COMM_LEN],
}

/// A signal that a thread's own instruction brought about; all 0 where there was none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Fault {
    /// Start of the process, on `CLOCK_BOOTTIME`.
    pub process_start: u64,
    /// The signal.
    pub signal: u32,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`: the address that could not be used; of a system call that seccomp refused, where it was made.
    pub address: u64,
    /// Address of the instruction.
    pub instruction: u64,
    /// First address of the mapping that holds the instruction; 0 where there is none.
    pub mapping_start: u64,
    /// Which page of its file the mapping begins with.
    pub mapping_page: u64,
    /// `si_syscall`, where the signal is SIGSYS.
    pub syscall: u32,
    /// `si_arch`, where the signal is SIGSYS.
    pub arch: u32,
    /// 1 where no handler could have caught it, which is how seccomp kills.
    pub immutable: u64,
    /// Name of the mapped file, without its folder; empty where the mapping has none.
    pub mapping: [u8; NAME_LEN],
}

/// Which ends are repeats of one another: those of one program, name, user and cgroup, that end in the same way. Name,
/// user and cgroup are what rules may ask for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ExitKey {
    /// [`ExitPayload::inode`].
    pub inode: u64,
    /// Id of the cgroup.
    pub cgroup: u64,
    /// [`ExitPayload::device`].
    pub device: u32,
    /// [`ExitPayload::status`].
    pub status: u32,
    /// Effective user id.
    pub euid: u32,
    /// [`Fault::syscall`].
    pub syscall: u32,
    /// [`Fault::arch`].
    pub arch: u32,
    /// The bank in which this is counted, as in [`crate::Control`].
    pub bank: u32,
    /// Name of the first thread.
    pub comm: [u8; COMM_LEN],
}

/// An end that may repeat.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FoldedExit {
    /// Occurrences that no ring record tells of.
    pub count: u64,
    /// The first.
    pub record: ExitRecord,
}

#[cfg(feature = "user")]
mod pod {
    use super::{ExitKey, FoldedExit};

    // SAFETY: `repr(C)`, made of integers only, without padding (zerocopy's `IntoBytes` derive checks it).
    unsafe impl aya::Pod for ExitKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for FoldedExit {}
}
