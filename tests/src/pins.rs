//! Places for daemons' pins: a directory of its own for each, in the BPF file system of the host. In: nothing; out: a path,
//! whose directory is removed with everything that a killed daemon has left running.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

/// Where Linux hosts have their BPF file system.
const BPFFS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of include/uapi/linux/magic.h.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// A directory for one daemon after another.
#[derive(Debug)]
pub struct PinDir(PathBuf);

impl PinDir {
    /// A directory that nobody uses. It is the daemon that makes it.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let kind = rustix::fs::statfs(BPFFS)?.f_type;
        if u64::from_ne_bytes(kind.to_ne_bytes()) != BPF_FS_MAGIC {
            mount("bpf", BPFFS, "bpf", MountFlags::empty(), None)
                .context("cannot mount a BPF file system")?;
        }
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Path::new(BPFFS).join(format!("probe-test-{}-{next}", std::process::id()))))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The argument that makes a daemon use it.
    pub fn setting(&self) -> String {
        format!("event.pin_dir={}", self.0.display())
    }
}

impl Drop for PinDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
