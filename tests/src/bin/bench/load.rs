//! What is measured: in comes a case, out come nanoseconds for one operation of it, on CPU 1.

use std::io::{Read, Write, pipe};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::fs::{OFlags, fcntl_setfl};

use crate::pin;

/// One thing that programs do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Case {
    /// A system call that succeeds.
    Success,
    /// One that fails with an error that no rule asks for.
    Dropped,
    /// One that fails with an error that no rule asks for of this call, but of others.
    Ordinary,
    /// `close(-1)` over and over: folded where folding is on, sent where it is off.
    Failure,
    /// `rmdir("/")` over and over: a failure whose path is captured.
    Path,
    /// Two threads on one CPU that wake each other through pipes.
    Switch,
    /// Two threads on one CPU that yield to each other.
    Yield,
    /// A process that executes `/bin/true`.
    Exec,
}

/// Samples of each case.
const SAMPLES: usize = 20;
/// Processes that the case of a short life makes.
pub const EXECS: u32 = 4 * SAMPLES as u32;

impl Case {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::Dropped,
        Self::Ordinary,
        Self::Failure,
        Self::Path,
        Self::Switch,
        Self::Yield,
        Self::Exec,
    ];

    /// The program that it is about; none where it is about all.
    pub fn hook(self) -> Option<&'static str> {
        match self {
            Self::Success | Self::Dropped | Self::Ordinary | Self::Failure | Self::Path => Some("sys_exit"),
            Self::Switch | Self::Yield => Some("sched_switch"),
            Self::Exec => None,
        }
    }

    /// Nanoseconds for one operation, as fast as it goes. Failures are made in short bursts with pauses, so that
    /// the ring has room for those that are sent.
    pub fn time(self) -> Result<f64> {
        // A thread of its own, since the pinning stays with the thread.
        thread::scope(|scope| {
            let timed = scope.spawn(|| {
                pin(1)?;
                match self {
                    Self::Success => Ok(best(|| calls(10_000, libc::SYS_getppid, [0; 3]))),
                    Self::Dropped => dropped(libc::SYS_read, 1),
                    Self::Ordinary => dropped(libc::SYS_ioctl, libc::TCGETS as i64),
                    Self::Failure => Ok(bursts(2_000, libc::SYS_close, -1)),
                    Self::Path => Ok(bursts(1_000, libc::SYS_rmdir, c"/".as_ptr() as i64)),
                    Self::Switch => switches(),
                    Self::Yield => Ok(yields()),
                    Self::Exec => execs(),
                }
            });
            timed.join().map_err(|_| anyhow::anyhow!("{self:?} panicked"))?
        })
    }
}

/// The best of many short samples: a long one would hold what else the machine does.
fn best(sample: impl FnMut() -> f64) -> f64 {
    std::iter::repeat_with(sample).take(SAMPLES).fold(f64::INFINITY, f64::min)
}

/// One loop of system calls.
pub fn calls(count: u32, number: i64, [a, b, c]: [i64; 3]) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        // SAFETY: the callers make calls that fail or change nothing; a pointer among the arguments is valid or never used.
        unsafe { libc::syscall(number, a, b, c) };
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

/// On a pipe through which nothing ever comes: `EAGAIN` of a read, `ENOTTY` of a question to a terminal.
fn dropped(number: i64, argument: i64) -> Result<f64> {
    use std::os::fd::AsRawFd;

    let (reader, _writer) = pipe()?;
    fcntl_setfl(&reader, OFlags::NONBLOCK)?;
    let mut memory = [0u8; 128];
    let address = (&raw mut memory) as i64;
    let arguments = match number {
        libc::SYS_read => [reader.as_raw_fd().into(), address, argument],
        _ => [reader.as_raw_fd().into(), argument, address],
    };
    Ok(best(|| calls(10_000, number, arguments)))
}

fn bursts(count: u32, number: i64, first: i64) -> f64 {
    best(|| {
        thread::sleep(Duration::from_millis(10));
        calls(count, number, [first, 0, 0])
    })
}

fn switches() -> Result<f64> {
    let ((mut from_there, mut to_here), (mut from_here, mut to_there)) = (pipe()?, pipe()?);
    let rounds = 500;
    thread::scope(|scope| {
        // Inherits the CPU.
        let echo = scope.spawn(move || -> Result<()> {
            let mut byte = [0];
            for _ in 0..SAMPLES as u32 * rounds {
                from_here.read_exact(&mut byte)?;
                to_here.write_all(&byte)?;
            }
            Ok(())
        });
        let mut least = f64::INFINITY;
        let mut byte = [0];
        for _ in 0..SAMPLES {
            let start = Instant::now();
            for _ in 0..rounds {
                to_there.write_all(&byte)?;
                from_there.read_exact(&mut byte)?;
            }
            least = least.min(start.elapsed().as_nanos() as f64 / f64::from(2 * rounds));
        }
        ensure!(echo.join().is_ok_and(|echoed| echoed.is_ok()), "the other thread failed");
        Ok(least)
    })
}

fn yields() -> f64 {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                calls(1, libc::SYS_sched_yield, [0; 3]);
            }
        });
        // While both run, each call hands over to the other thread and comes back: two switches.
        let least = best(|| calls(1_000, libc::SYS_sched_yield, [0; 3]) / 2.0);
        done.store(true, Relaxed);
        least
    })
}

fn execs() -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..EXECS {
        let start = Instant::now();
        let status = Command::new("/bin/true").env_clear().stdin(Stdio::null()).status()?;
        least = least.min(start.elapsed().as_nanos() as f64);
        ensure!(status.success(), "/bin/true failed");
    }
    Ok(least)
}
