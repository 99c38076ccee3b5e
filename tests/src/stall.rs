//! Threads kept off the CPU on purpose: in comes for how long, out comes the id of the thread that had to wait.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{WaitOptions, waitpid};
use tempfile::TempDir;

/// `FIFREEZE` and `FITHAW` of include/uapi/linux/fs.h.
const FREEZE: libc::Ioctl = 0xc004_5877u32 as libc::Ioctl;
const THAW: libc::Ioctl = 0xc004_5878u32 as libc::Ioctl;

/// A thread that waits, or will.
#[derive(Debug)]
pub struct Waiter {
    /// Its id.
    pub tid: i32,
    thread: JoinHandle<Result<()>>,
}

impl Waiter {
    /// Starts a thread of this name that does `work`.
    pub fn start(name: &str, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Self> {
        let (told, tid): (_, Receiver<i32>) = channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            told.send(rustix::thread::gettid().as_raw_nonzero().get())?;
            work()
        })?;
        Ok(Self { tid: tid.recv().context("the thread died")?, thread })
    }

    /// Waits for its end.
    pub fn join(self) -> Result<()> {
        self.thread.join().ok().context("the thread panicked")?
    }
}

/// A thread in interruptible sleep.
pub fn sleeper(name: &str, time: Duration) -> Result<Waiter> {
    Waiter::start(name, move || {
        std::thread::sleep(time);
        Ok(())
    })
}

/// A parent in `vfork()`, which is in state D until its child ends.
pub fn vfork_parent(time: Duration) -> Result<Waiter> {
    let time = libc::timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
    Waiter::start("parent", move || {
        let flags = libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: without CLONE_VM the child has memory of its own, and calls nothing but the kernel.
        let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        if child == 0 {
            // SAFETY: the time outlives both calls, of which the second does not return.
            unsafe {
                libc::nanosleep(&raw const time, std::ptr::null_mut());
                libc::_exit(0);
            }
        }
        ensure!(child > 0, "vfork: {}", std::io::Error::last_os_error());
        waitpid(rustix::process::Pid::from_raw(i32::try_from(child)?), WaitOptions::empty())?;
        Ok(())
    })
}

/// Processes whose ids are a multiple of `step` apart, each of which is in state D for so long: their ids. They have ended
/// by then.
pub fn blocked_at_once(count: i32, step: i32, time: Duration) -> Result<Vec<i32>> {
    let ids = |first: i32| (0..count).map(move |index| first + index * step);
    let last = fs::read_to_string("/proc/sys/kernel/pid_max")?.trim().parse::<i32>()? - 1;
    ensure!(count * step < last, "kernel.pid_max is too low for {count} ids that are {step} apart");
    let taken = |pid: &i32| Path::new(&format!("/proc/{pid}")).exists();
    let first = (2_000..step).rev().find(|first| !ids(*first).any(|pid| taken(&pid)));
    let pids: Vec<i32> = ids(first.context("all ids are taken")?).collect();
    let time = libc::timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
    for pid in &pids {
        // SAFETY: all zero is a value of this structure of numbers.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.exit_signal = libc::SIGCHLD as u64;
        arguments.set_tid = (&raw const *pid).addr() as u64;
        arguments.set_tid_size = 1;
        // SAFETY: without CLONE_VM the child has memory of its own, and calls nothing but the kernel.
        match unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of_val(&arguments)) } {
            0 => wait_for_child(&time),
            made => ensure!(made == i64::from(*pid), "clone3: {}", std::io::Error::last_os_error()),
        }
    }
    for pid in &pids {
        waitpid(rustix::process::Pid::from_raw(*pid), WaitOptions::empty())?;
    }
    Ok(pids)
}

/// In state D until a child has slept for so long; then this process ends.
fn wait_for_child(time: &libc::timespec) -> ! {
    let flags = libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: without CLONE_VM the child has memory of its own; the time outlives all calls.
    unsafe {
        if libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) == 0 {
            libc::nanosleep(time, std::ptr::null_mut());
        }
        libc::_exit(0)
    }
}

/// Keeps an ordinary thread from CPU 0 with one of real-time priority, for less than the 950 ms after which the kernel
/// takes the CPU away from such a thread. The first id is the one that has to wait, the second the one that does not.
pub fn starve(time: Duration) -> Result<(i32, i32)> {
    let ends = Instant::now() + time + Duration::from_millis(20);
    let victim = Waiter::start("victim", move || {
        pin()?;
        while Instant::now() < ends {
            std::hint::spin_loop();
        }
        Ok(())
    })?;
    std::thread::sleep(Duration::from_millis(20));
    let hog = Waiter::start("hog", move || {
        pin()?;
        let priority = libc::sched_param { sched_priority: 10 };
        // SAFETY: the parameter outlives the call.
        let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
        ensure!(result == 0, "SCHED_FIFO: {}", std::io::Error::last_os_error());
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
        Ok(())
    })?;
    let tids = (victim.tid, hog.tid);
    hog.join()?;
    victim.join()?;
    Ok(tids)
}

fn pin() -> Result<()> {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(0);
    Ok(rustix::thread::sched_setaffinity(None, &cpus)?)
}

/// A disk with a file system that may be frozen: that of a guest, which has no tool to make one.
const DISK: &str = "PROBE_TEST_DISK";

/// A file system of its own, on a loop device or on the disk that is made for it; it is unmounted with this.
#[derive(Debug)]
pub struct Freezer {
    dir: TempDir,
}

impl Freezer {
    /// Makes and mounts it; none where the host has neither a tool to make one nor a disk that has one.
    pub fn new() -> Result<Option<Self>> {
        let dir = crate::daemon::open_dir()?;
        if let Some(disk) = std::env::var_os(DISK) {
            return Self::mount(dir, &[OsStr::new("-t"), OsStr::new("ext4"), &disk]).map(Some);
        }
        let image = dir.path().join("image");
        std::fs::File::create(&image)?.set_len(16 << 20)?;
        match Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).env("PATH", "/usr/sbin:/sbin").status()
        {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            made => ensure!(made?.success(), "mkfs.ext4 failed"),
        }
        Self::mount(dir, &[OsStr::new("-o"), OsStr::new("loop"), image.as_os_str()]).map(Some)
    }

    fn mount(dir: TempDir, arguments: &[&OsStr]) -> Result<Self> {
        let freezer = Self { dir };
        std::fs::create_dir(freezer.root())?;
        let mounted = Command::new("mount").args(arguments).arg(freezer.root()).status()?;
        ensure!(mounted.success(), "mount failed");
        Ok(freezer)
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Lets a thread create a file while the file system is frozen for so long.
    pub fn freeze(&self, time: Duration) -> Result<i32> {
        control(&self.root(), FREEZE)?;
        let file = self.root().join("file");
        let writer = Waiter::start("writer", move || Ok(std::fs::write(file, "late")?));
        std::thread::sleep(time);
        control(&self.root(), THAW)?;
        let writer = writer?;
        let tid = writer.tid;
        writer.join()?;
        Ok(tid)
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        Command::new("umount").arg(self.root()).status().ok();
    }
}

fn control(root: &Path, request: libc::Ioctl) -> Result<()> {
    use std::os::fd::AsRawFd;
    let root = std::fs::File::open(root)?;
    // SAFETY: both requests ignore their argument.
    let result = unsafe { libc::ioctl(root.as_raw_fd(), request, 0) };
    ensure!(result == 0, "freezing or thawing: {}", std::io::Error::last_os_error());
    Ok(())
}
