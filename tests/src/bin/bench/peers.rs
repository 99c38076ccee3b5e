//! What other tools cost that see the same failures: in come those that are installed, out come nanoseconds added to
//! a successful and to a failing call.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tests::daemon::FileDaemon;

use crate::load::{Case, calls};
use crate::pin;

/// How long a tool takes to start, at most.
const START: Duration = Duration::from_secs(4);

/// One tool on the job of the daemon.
struct Peer {
    name: &'static str,
    command: &'static str,
    arguments: &'static [&'static str],
}

/// Every failing call with its error number, out to a file; or, with those that can only count, their number.
const PEERS: [Peer; 5] = [
    Peer { name: "syscount -x (counts only)", command: "syscount", arguments: &["-x", "-P", "-i", "5"] },
    Peer {
        name: "bpftrace count() (counts only)",
        command: "bpftrace",
        arguments: &[
            "-e",
            "tracepoint:raw_syscalls:sys_exit /args->ret < 0/ { @[pid, args->id, args->ret] = count(); }",
        ],
    },
    Peer {
        name: "perf record, ret < 0",
        command: "perf",
        arguments: &[
            "record",
            "-q",
            "-a",
            "-o",
            "perf.data",
            "-e",
            "raw_syscalls:sys_exit",
            "--filter",
            "ret < 0",
        ],
    },
    Peer {
        name: "bpftrace printf",
        command: "bpftrace",
        arguments: &[
            "-e",
            "tracepoint:raw_syscalls:sys_exit /args->ret < 0/ { printf(\"%d %d %d\\n\", pid, args->id, args->ret); }",
        ],
    },
    Peer {
        name: "perf trace --failure",
        command: "perf",
        arguments: &["trace", "-a", "--failure", "-o", "trace"],
    },
];

/// What one tool adds.
#[derive(Debug)]
pub struct Added {
    /// The tool.
    pub name: String,
    /// Nanoseconds added to a call that succeeds, to one that fails; or why there are none.
    pub cost: Result<(f64, f64), String>,
}

/// Measures every tool that is installed, each beside a base of its own.
pub fn measure() -> Result<Vec<Added>> {
    let mut added = Vec::new();
    for (name, keys) in [("probe-daemon, folded", &[][..]), ("probe-daemon, sent", &["event.fold=off"][..])] {
        eprintln!("{name}");
        let start = || {
            let mut probe =
                FileDaemon::start_with("", keys).map_err(|error| format!("skipped: {error:#}"))?;
            probe.daemon.shows_log = false;
            Ok(probe)
        };
        added.push(Added { name: name.to_owned(), cost: beside(start)? });
    }
    for peer in &PEERS {
        eprintln!("{}", peer.name);
        let cost = beside(|| start(peer))?;
        added.push(Added { name: peer.name.to_owned(), cost });
    }
    Ok(added)
}

/// A running tool and the folder it writes to.
struct Running {
    process: Child,
    _dir: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Interrupted, it still tidies up; one that does not end is killed.
        kill_process(Pid::from_child(&self.process), Signal::INT).ok();
        for _ in 0..50 {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn start(peer: &Peer) -> Result<Running, String> {
    let told = |error: &dyn std::fmt::Display| format!("skipped: {error}");
    let dir = tempfile::tempdir().map_err(|e| told(&e))?;
    let out = File::create(dir.path().join("out")).map_err(|e| told(&e))?;
    let mut command = Command::new(peer.command);
    command.args(peer.arguments).current_dir(dir.path());
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    let mut process = command.spawn().map_err(|_| format!("skipped: {} is not installed", peer.command))?;
    thread::sleep(START);
    match process.try_wait() {
        Ok(None) => Ok(Running { process, _dir: dir }),
        ended => Err(format!("skipped: it does not run here ({ended:?})")),
    }
}

/// The cost of what `start` starts: measured with it, and before and after without it.
pub fn beside<T>(start: impl FnOnce() -> Result<T, String>) -> Result<Result<(f64, f64), String>> {
    let before = slow_pair()?;
    let running = match start() {
        Ok(running) => running,
        Err(why) => return Ok(Err(why)),
    };
    let with = slow_pair()?;
    drop(running);
    let after = slow_pair()?;
    Ok(Ok((with.0 - before.0.min(after.0), with.1 - before.1.min(after.1))))
}

/// A successful and a failing call; fewer of them than elsewhere, since some tools take microseconds for each.
fn slow_pair() -> Result<(f64, f64)> {
    let pair = thread::spawn(|| -> Result<(f64, f64)> {
        pin(1)?;
        let best = |number, first| {
            let sample = |_| {
                // Whoever reports each failure gets time to do so.
                thread::sleep(Duration::from_millis(10));
                calls(2_000, number, [first, 0, 0])
            };
            (0..10).map(sample).fold(f64::INFINITY, f64::min)
        };
        Ok((best(libc::SYS_getppid, 0), best(libc::SYS_close, -1)))
    });
    pair.join().map_err(|_| anyhow::anyhow!("{:?} panicked", Case::Failure))?
}
