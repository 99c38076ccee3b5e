//! Floods: in comes a rate, out comes the number of failing calls that one process has made.

use std::sync::atomic::Ordering::SeqCst;

use anyhow::Result;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::child::{self, Slot};

/// How fast a flood runs.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many calls in each millisecond.
    PerMillisecond(u64),
    /// As fast as the machine can.
    Unpaced,
}

/// Calls that fail with EBADF when their first argument is -1 and the others are 0, and that hardly any other program
/// makes with a bad descriptor.
pub const RARE: [i64; 20] = [
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_syncfs,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_ftruncate,
    libc::SYS_fchdir,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_flistxattr,
    libc::SYS_listen,
];

/// A process that makes failing calls one after the other.
#[derive(Debug)]
pub struct Flood {
    pid: Pid,
    slot: Slot,
    ended: bool,
}

impl Flood {
    /// Starts a process that calls `close(-1)` `limit` times and then ends.
    pub fn start(pace: Pace, limit: u64) -> Result<Self> {
        Self::of(pace, limit, &[libc::SYS_close])
    }

    /// Starts a process that starts `processes` others, each of which makes the first of [`RARE`] `calls` times.
    pub fn bomb(processes: u64, calls: u64) -> Result<Self> {
        let slot = Slot::new()?;
        let pid = child::bomb(processes, calls, RARE[0], &slot)?;
        Ok(Self { pid, slot, ended: false })
    }

    /// Starts a process that makes `limit` calls, each of `numbers` in turn, with -1 as their first argument.
    pub fn of(pace: Pace, limit: u64, numbers: &'static [i64]) -> Result<Self> {
        let slot = Slot::new()?;
        let a_millisecond = match pace {
            Pace::PerMillisecond(calls) => Some(calls),
            Pace::Unpaced => None,
        };
        let pid = child::flood(a_millisecond, limit, numbers, &slot)?;
        Ok(Self { pid, slot, ended: false })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The calls that it has counted so far.
    pub fn calls(&self) -> u64 {
        self.slot.outcome().calls.load(SeqCst)
    }

    /// Whether it has made all its calls.
    pub fn ended(&mut self) -> Result<bool> {
        self.ended = self.ended || waitpid(Some(self.pid), WaitOptions::NOHANG)?.is_some();
        Ok(self.ended)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        if !self.ended {
            kill_process(self.pid, Signal::KILL).ok();
            waitpid(Some(self.pid), WaitOptions::empty()).ok();
        }
    }
}
