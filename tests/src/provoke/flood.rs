//! Floods: in comes a rate, out comes the number of failing calls that one process has made.

use std::sync::atomic::Ordering::SeqCst;

use anyhow::Result;
use rustix::io::Errno;
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

/// Calls that fail with EBADF when their first argument is -1, and that no other test and hardly any program makes so: sums are
/// exact only where nobody else does.
pub const ALONE: [i64; 12] = [
    libc::SYS_timerfd_gettime,
    libc::SYS_sync_file_range,
    libc::SYS_inotify_rm_watch,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_sendfile,
    libc::SYS_getdents,
    libc::SYS_accept4,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_shutdown,
    libc::SYS_setns,
];
/// Rules that leave nothing but [`ALONE`].
pub const ONLY_ALONE: &str = "[[event.syscall.rules]]\nerrnos = [\"EBADF\"]\naction = \"report\"\n\
    syscalls = [\"timerfd_gettime\", \"sync_file_range\", \"inotify_rm_watch\", \"preadv2\", \
    \"pwritev2\", \"sendfile\", \"getdents\", \"accept4\", \"getpeername\", \"getsockname\", \
    \"shutdown\", \"setns\"]\n\n\
    [[event.syscall.rules]]\naction = \"drop\"\n";
/// Settings under which only failed calls are events.
pub const NO_OTHERS: [&str; 4] =
    ["event.exec.switch=off", "event.oom.switch=off", "event.offcpu.switch=off", "event.exit.switch=off"];

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

    /// Whether all of them have made all their calls.
    pub fn all_ended(floods: &mut [Self]) -> Result<bool> {
        let ended = floods.iter_mut().map(Self::ended).collect::<Result<Vec<_>>>()?;
        Ok(ended.into_iter().all(|ended| ended))
    }

    /// Has all of them stand still, go on or die, but for those that have made all their calls.
    pub fn signal_all(floods: &[Self], signal: Signal) -> Result<()> {
        for flood in floods {
            match kill_process(flood.pid, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
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
