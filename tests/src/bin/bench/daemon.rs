//! What the daemon itself takes: in comes nothing, out come its memory, its share of a CPU, and how long an event is
//! on its way.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::daemon::FileDaemon;
use tests::memory::kib;
use tests::provoke::{Flood, Pace};

use crate::{load, pin};

/// Failing calls in each millisecond of the paced flood.
const FLOOD: u64 = 200;
/// How long it takes.
const FLOOD_TIME: Duration = Duration::from_secs(10);
/// Events whose way is timed.
const TIMED: u32 = 200;

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// Share of one CPU, when nothing but the host's own failures happens.
    pub idle: f64,
    /// MiB resident, after that.
    pub resident: f64,
    /// MiB resident at most, which is during the start.
    pub peak: f64,
    /// Share of one CPU at 200,000 folded failures a second.
    pub flood: f64,
    /// Failures a second that were made.
    pub rate: f64,
    /// Milliseconds from the call to its record: median, most.
    pub delay: (f64, f64),
}

/// Measures all of it.
pub fn measure(idle: Duration) -> Result<Measured> {
    eprintln!("daemon at rest for {} s", idle.as_secs());
    let mut probe = FileDaemon::start("")?;
    probe.daemon.shows_log = false;
    let pid = probe.daemon.pid();
    // What a start leaves to do is not the daemon at rest.
    thread::sleep(Duration::from_secs(1));
    let at_rest = share(pid, || {
        thread::sleep(idle);
        Ok(())
    })?;
    let (resident, peak) = (memory(pid, "VmRSS")?, memory(pid, "VmHWM")?);

    eprintln!("daemon in a flood for {} s", FLOOD_TIME.as_secs());
    let mut rate = 0.0;
    let flood = share(pid, || {
        pin(1)?;
        let flood = Flood::start(Pace::PerMillisecond(FLOOD), u64::MAX)?;
        pin(0)?;
        let start = Instant::now();
        thread::sleep(FLOOD_TIME);
        rate = flood.calls() as f64 / start.elapsed().as_secs_f64();
        Ok(())
    })?;
    probe.daemon.stop()?;

    eprintln!("{TIMED} single events");
    let delay = delay()?;
    Ok(Measured { idle: at_rest, resident, peak, flood, rate, delay })
}

/// The share of one CPU that a process takes meanwhile.
pub fn share(pid: i32, meanwhile: impl FnOnce() -> Result<()>) -> Result<f64> {
    let (start, before) = (Instant::now(), cpu_time(pid)?);
    meanwhile()?;
    let (time, after) = (start.elapsed(), cpu_time(pid)?);
    Ok((after - before) as f64 / time.as_nanos() as f64)
}

/// Nanoseconds on a CPU, of all threads.
fn cpu_time(pid: i32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split_whitespace().next().context("schedstat is empty")?.parse::<u64>()?;
    }
    Ok(sum)
}

/// MiB, from a line of the process's status.
pub fn memory(pid: i32, line: &str) -> Result<f64> {
    Ok(kib(pid, line)? as f64 / 1024.0)
}

fn delay() -> Result<(f64, f64)> {
    let mut probe = FileDaemon::start_with("", &["event.fold=off"])?;
    probe.daemon.shows_log = false;
    for _ in 0..TIMED {
        load::calls(1, libc::SYS_close, [-1, 0, 0]);
        thread::sleep(Duration::from_millis(50));
    }
    let own = std::process::id().cast_signed();
    let (events, _) = probe.finish()?;
    let mut delays = Vec::new();
    for record in events.of(own).into_iter().filter(|record| record.syscall() == "close") {
        let observed = record.top("ObservedTimestamp").as_str().context("no ObservedTimestamp")?;
        delays.push((observed.parse::<i128>()? - record.time()?) as f64 / 1e6);
    }
    ensure!(delays.len() == TIMED as usize, "{} records of {TIMED} events", delays.len());
    delays.sort_by(f64::total_cmp);
    Ok((delays[delays.len() / 2], delays[delays.len() - 1]))
}
