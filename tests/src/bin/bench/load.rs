//! What is measured: in comes a case, out come nanoseconds for one operation of it, on CPU 1.

use std::io::{Read, Write, pipe};
use std::process::{Command, Stdio};
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
    /// One that fails in an ordinary way, which no rule asks for.
    Dropped,
    /// `close(-1)` over and over: folded where folding is on, sent where it is off.
    Failure,
    /// Two threads on one CPU that wake each other through pipes.
    Switch,
    /// Two threads on one CPU that yield to each other.
    Yield,
    /// A process that executes `/bin/true`.
    Exec,
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::Dropped, Self::Failure, Self::Switch, Self::Yield, Self::Exec];

    /// Nanoseconds for one operation, as fast as it goes. Failures are made in short bursts with pauses, so that
    /// the ring has room for those that are sent.
    pub fn time(self) -> Result<f64> {
        // A thread of its own, since the pinning stays with the thread.
        thread::scope(|scope| {
            let timed = scope.spawn(|| {
                pin(1)?;
                match self {
                    Self::Success => Ok(calls(200_000, libc::SYS_getppid, [0; 3])),
                    Self::Dropped => dropped(),
                    Self::Failure => Ok(bursts()),
                    Self::Switch => switches(),
                    Self::Yield => yields(),
                    Self::Exec => execs(),
                }
            });
            timed.join().map_err(|_| anyhow::anyhow!("{self:?} panicked"))?
        })
    }
}

/// One loop of system calls.
pub fn calls(count: u32, number: i64, [a, b, c]: [i64; 3]) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        // SAFETY: the callers make calls that fail or change nothing; a pointer among the arguments is never used.
        unsafe { libc::syscall(number, a, b, c) };
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

fn dropped() -> Result<f64> {
    use std::os::fd::AsRawFd;

    let (reader, _writer) = pipe()?;
    fcntl_setfl(&reader, OFlags::NONBLOCK)?;
    let mut byte = 0u8;
    let address = (&raw mut byte) as i64;
    // Nothing ever comes through the pipe: EAGAIN.
    Ok(calls(200_000, libc::SYS_read, [reader.as_raw_fd().into(), address, 1]))
}

fn bursts() -> f64 {
    let (bursts, length) = (20, 2_000);
    let mut best = f64::INFINITY;
    for _ in 0..bursts {
        best = best.min(calls(length, libc::SYS_close, [-1, 0, 0]));
        thread::sleep(Duration::from_millis(10));
    }
    best
}

fn switches() -> Result<f64> {
    let rounds = 10_000u32;
    let (mut here, mut there) = (pipe()?, pipe()?);
    thread::scope(|scope| {
        // Inherits the CPU.
        let echo = scope.spawn(|| -> Result<()> {
            let mut byte = [0];
            for _ in 0..rounds {
                there.0.read_exact(&mut byte)?;
                here.1.write_all(&byte)?;
            }
            Ok(())
        });
        let start = Instant::now();
        let mut byte = [0];
        for _ in 0..rounds {
            there.1.write_all(&byte)?;
            here.0.read_exact(&mut byte)?;
        }
        let time = start.elapsed();
        ensure!(echo.join().is_ok_and(|echoed| echoed.is_ok()), "the other thread failed");
        Ok(time.as_nanos() as f64 / f64::from(2 * rounds))
    })
}

fn yields() -> Result<f64> {
    let count = 30_000;
    let yields = || calls(count, libc::SYS_sched_yield, [0; 3]);
    thread::scope(|scope| {
        let other = scope.spawn(yields);
        // While both run each call hands over to the other, so that one thread's loop holds both threads' switches.
        let here = yields();
        let there = other.join().unwrap_or(here);
        Ok((here + there) / 4.0)
    })
}

fn execs() -> Result<f64> {
    let count = 50;
    let start = Instant::now();
    for _ in 0..count {
        let status = Command::new("/bin/true").env_clear().stdin(Stdio::null()).status()?;
        ensure!(status.success(), "/bin/true failed");
    }
    Ok(start.elapsed().as_nanos() as f64 / f64::from(count))
}
