//! Crashes in numbers: in come how many, out comes when they are over. Programs that die at once, and processes that end
//! faster than anybody can read of them.

use std::ffi::c_void;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr;

use anyhow::{Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, getrlimit, setrlimit, waitpid};

/// What the program does: `kill(getpid(), SIGABRT)`, and `exit(99)` if it survives that.
const ABORT: [u8; 33] = [
    0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc7, 0xbe, 6, 0, 0, 0, 0xb8, 62, 0, 0, 0, 0x0f, 0x05, 0xbf, 99, 0,
    0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05,
];
/// Where it is loaded, and where in the file its code begins: behind the two headers.
const BASE: u64 = 0x40_0000;
const CODE: u64 = 64 + 56;

/// Writes a program that aborts: an executable of 153 bytes, which needs no library.
pub fn write_program(path: &Path) -> Result<()> {
    let length = CODE + ABORT.len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // An executable, for x86-64, in version 1.
    for half in [2u16, 0x3e, 1, 0] {
        file.extend(half.to_le_bytes());
    }
    for long in [BASE + CODE, 64, 0] {
        file.extend(long.to_le_bytes());
    }
    // No flags; sizes of the headers, of which there is one of each kind; no sections.
    for half in [0u16, 0, 64, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // To be loaded, readable and executable.
    for word in [1u32, 5] {
        file.extend(word.to_le_bytes());
    }
    for long in [0, BASE, BASE, length, length, 0x1000] {
        file.extend(long.to_le_bytes());
    }
    file.extend(ABORT);
    fs::write(path, file)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// Executes such a program over and over; each time it aborts, and no core is dumped.
pub fn crash(program: &Path, times: u32) -> Result<()> {
    // It stays so: several threads may be here, and whoever wants a core asks for it.
    setrlimit(Resource::Core, Rlimit { current: Some(0), ..getrlimit(Resource::Core) })?;
    for _ in 0..times {
        let status = Command::new(program).env_clear().stdin(Stdio::null()).status()?;
        ensure!(status.signal() == Some(libc::SIGABRT), "it ended with {status:?}");
    }
    Ok(())
}

/// So many parents at once, each of which makes so many children with `vfork`, one after the other, that exit with 1.
pub fn storm(parents: u32, children: u32) -> Result<()> {
    let mut started = Vec::new();
    let mut stack = vec![0u8; 1 << 16];
    let top = stack.as_mut_ptr_range().end;
    for _ in 0..parents {
        // SAFETY: the child runs `parent`, which makes only raw system calls and never returns.
        match unsafe { libc::fork() } {
            -1 => bail!("cannot fork: {}", std::io::Error::last_os_error()),
            0 => parent(children, top),
            pid => started.push(pid),
        }
    }
    for pid in started {
        let status = waitpid(Pid::from_raw(pid), WaitOptions::empty())?;
        ensure!(status.is_some_and(|(_, status)| status.exit_status() == Some(0)), "{pid}: {status:?}");
    }
    Ok(())
}

fn parent(children: u32, stack: *mut u8) -> ! {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    for _ in 0..children {
        // SAFETY: the stack is this process's own copy; the child uses it while its parent waits, and calls nothing but
        // the kernel.
        unsafe {
            let child = libc::clone(fails, stack.cast(), flags, ptr::null_mut());
            let mut status = 0;
            if child < 0 || libc::waitpid(child, &raw mut status, 0) != child {
                libc::_exit(2);
            }
        }
    }
    // SAFETY: ends the process.
    unsafe { libc::_exit(0) }
}

extern "C" fn fails(_: *mut c_void) -> i32 {
    // SAFETY: ends the process at once.
    unsafe { libc::syscall(libc::SYS_exit_group, 1) };
    1
}
