//! What the kernel side remembers of processes, so that one that is gone by the time its event is read still has a name.
//!
//! In: a value of [`LIVING`] or [`PAST`]. Out: [`ProcessEntry`]: what it executes, whose child it is, who logged in.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::raw::COMM_LEN;

/// Hash of thread group id to [`ProcessEntry`]: the processes that there are, as they are now.
pub const LIVING: &str = "LIVING";
/// LRU hash of [`PastKey`] to [`ProcessEntry`]: processes that have ended, and what others were before they executed
/// another program.
pub const PAST: &str = "PAST";

/// Bytes of one name of a path that are kept, its NUL included.
pub const COMPONENT_LEN: usize = 128;
/// A name of a path begins before this byte, or is left out.
pub const PATH_ROOM: usize = 256;
/// Bytes of [`ProcessEntry::path`].
pub const NAMES_LEN: usize = PATH_ROOM + COMPONENT_LEN;
/// Bytes of a terminal's name that are kept.
pub const TTY_LEN: usize = 16;
/// The login uid of whoever did not log in.
pub const NO_LOGIN: u32 = u32::MAX;

/// Which entry of [`PAST`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PastKey {
    /// Thread group id.
    pub tgid: u32,
    /// 0 for the end of the process, 1 for its last program but one.
    pub replaced: u32,
}

/// A process, from one `fork` or `execve` to the next.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ProcessEntry {
    /// Start of the process, on `CLOCK_BOOTTIME`; tells apart processes that had the same id.
    pub start: u64,
    /// When it executed its program, on `CLOCK_BOOTTIME`; 0 where it did not since its start, or nobody saw it.
    pub executed: u64,
    /// Start of the process that made it.
    pub parent_start: u64,
    /// Thread group id of the process that made it.
    pub parent: u32,
    /// Audit login uid; [`NO_LOGIN`] where nobody logged in.
    pub login_uid: u32,
    /// Audit session id; [`NO_LOGIN`] where nobody logged in.
    pub session: u32,
    /// Bytes of `path` in use.
    pub path_len: u32,
    /// 1 where the file has more folders than are kept.
    pub path_cut: u32,
    /// Device of the file system that the executable is on, as the kernel numbers it; 0 where unknown.
    pub device: u32,
    /// Inode number of the executable; 0 where unknown.
    pub inode: u64,
    /// Name of the first thread.
    pub comm: [u8; COMM_LEN],
    /// The kernel's name of the controlling terminal, such as `pts4`; empty where there is none.
    pub tty: [u8; TTY_LEN],
    /// The executable, as names that each end with NUL, the file's first and the topmost folder's last.
    pub path: [u8; NAMES_LEN],
}

impl ProcessEntry {
    /// The names of the executable's path, the file's first; none where it is not known.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let len = usize::try_from(self.path_len).unwrap_or(NAMES_LEN).min(NAMES_LEN);
        let used = self.path.get(..len).unwrap_or_default();
        used.split(|byte| *byte == 0).filter(|name| !name.is_empty())
    }
}

#[cfg(feature = "user")]
mod pod {
    use super::{PastKey, ProcessEntry};

    // SAFETY: `repr(C)`, made of integers only, without padding (zerocopy's `IntoBytes` derive checks it).
    unsafe impl aya::Pod for PastKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for ProcessEntry {}
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn names_come_out_whatever_the_length_claims() {
        let mut entry = ProcessEntry::new_zeroed();
        assert_eq!(entry.names().count(), 0);
        entry.path[..12].copy_from_slice(b"cat\0bin\0usr\0");
        entry.path_len = 12;
        assert!(entry.names().eq([b"cat".as_slice(), b"bin", b"usr"]));
        entry.path_len = u32::MAX;
        assert!(entry.names().eq([b"cat".as_slice(), b"bin", b"usr"]));
    }
}
