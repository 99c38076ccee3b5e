//! Cgroups as container runtimes make them: in comes a path, out come a cgroup and processes in it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// A cgroup that is gone with the test.
#[derive(Debug)]
pub struct Cgroup {
    /// What was made for it, outermost first.
    made: Vec<PathBuf>,
    procs: PathBuf,
}

impl Cgroup {
    /// Makes it with all that is above it, in the hierarchy in which the daemon looks.
    pub fn new(path: &str) -> Result<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let mut at = if v1.is_dir() { v1.to_owned() } else { PathBuf::from("/sys/fs/cgroup") };
        let mut cgroup = Self { made: Vec::new(), procs: PathBuf::new() };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = at.join(name);
            if !at.exists() {
                fs::create_dir(&at).with_context(|| format!("cannot make {}", at.display()))?;
                cgroup.made.push(at.clone());
            }
        }
        cgroup.procs = at.join("cgroup.procs");
        Ok(cgroup)
    }

    /// Has the process of a command begin in it.
    pub fn join(&self, command: &mut Command) -> Result<()> {
        let procs = OpenOptions::new().write(true).open(&self.procs)?;
        // Opened by root: nobody may write to it all the same.
        // SAFETY: one system call between fork and exec, on a descriptor that the closure holds.
        unsafe {
            command.pre_exec(move || match libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) {
                1 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            fs::remove_dir(path).ok();
        }
    }
}
