//! A process that stays: in comes what it is to do, out comes its process, which lives until it is dropped. So it can be
//! looked at after what it did.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::ptr;

use anyhow::{Context, Result, bail, ensure};

/// A process that has done what it was to do.
#[derive(Debug)]
pub struct Staying {
    /// The process.
    pub pid: i32,
    /// What it came to.
    pub result: i32,
}

impl Staying {
    /// Forks a process that runs `act` and then stays; returns when `act` has.
    ///
    /// # Safety
    /// `act` makes only raw system calls on memory that was laid out before.
    pub unsafe fn start(act: impl FnOnce() -> i32) -> Result<Self> {
        let (mut reader, writer) = std::io::pipe()?;
        // SAFETY: the child runs `act`, writes to a pipe, sleeps, and never returns.
        let pid = match unsafe { libc::fork() } {
            -1 => bail!("cannot fork: {}", std::io::Error::last_os_error()),
            0 => {
                let result = act().to_ne_bytes();
                // SAFETY: the bytes are there; the rest touches no memory.
                unsafe {
                    libc::write(writer.as_raw_fd(), result.as_ptr().cast(), result.len());
                    loop {
                        libc::pause();
                    }
                }
            }
            pid => pid,
        };
        drop(writer);
        let mut staying = Self { pid, result: 0 };
        let mut result = [0; 4];
        reader.read_exact(&mut result).context("the process ended early")?;
        staying.result = i32::from_ne_bytes(result);
        Ok(staying)
    }

    /// Makes sure that it ended with this error.
    pub fn failed_with(&self, errno: i32) -> Result<()> {
        ensure!(self.result == errno, "it ended with error {}, not {errno}", self.result);
        Ok(())
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        // SAFETY: the process is ours and was not waited for.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, ptr::null_mut(), 0);
        }
    }
}

/// The error of the last call.
pub fn errno() -> i32 {
    // SAFETY: the address is that of this thread's own number.
    unsafe { *libc::__errno_location() }
}
