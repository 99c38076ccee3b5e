//! What the probe costs: in come a daemon and the empty BPF programs, or a broker; out comes a table of nanoseconds,
//! shares of a CPU and megabytes beside what they should be. It judges nothing: a busy machine has no bad exit code.
//!
//! In the kernel everything is measured in one run and in turns (no probe, empty programs, daemon, daemon without folding), so that
//! whatever else the machine does falls on all of them; the best of several rounds counts. What is measured runs on
//! CPU 1, the daemon on CPU 0.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser};
use rustix::thread::{CpuSet, sched_setaffinity};

#[path = "bench/auditd.rs"]
mod auditd;
#[path = "bench/daemon.rs"]
mod daemon;
#[path = "bench/load.rs"]
mod load;
#[path = "bench/mode.rs"]
mod mode;
#[path = "bench/peers.rs"]
mod peers;
#[path = "bench/pipeline.rs"]
mod pipeline;
#[path = "bench/report.rs"]
mod report;

/// Measures what the probe costs.
#[derive(Parser)]
enum Cli {
    /// In the kernel, and beside it.
    Kernel(Options),
    /// Behind the ring, up to the broker and the file.
    Pipeline(pipeline::Options),
}

#[derive(Args)]
struct Options {
    /// The BPF object with the empty programs.
    #[arg(long)]
    empty: PathBuf,
    /// How often every case is measured in every mode; the best counts.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds over which the idle daemon is watched.
    #[arg(long, default_value_t = 20)]
    idle: u64,
    /// Leave out the other tools.
    #[arg(long)]
    no_peers: bool,
    /// Also measure auditd. It makes system calls of every later task slower, which is undone at the end as far as
    /// it can be.
    #[arg(long)]
    auditd: bool,
}

fn main() -> Result<()> {
    match Cli::parse() {
        Cli::Kernel(options) => kernel(&options),
        Cli::Pipeline(options) => {
            report::machine();
            pipeline::run(&options)
        }
    }
}

fn kernel(cli: &Options) -> Result<()> {
    // The other tools are started on the daemon's CPU as well.
    pin(0)?;
    report::machine();
    let best = mode::measure(&cli.empty, cli.rounds)?;
    report::kernel(&best);
    let measured = daemon::measure(Duration::from_secs(cli.idle))?;
    report::daemon(&measured);
    if !cli.no_peers {
        report::peers(&peers::measure()?);
    }
    if cli.auditd {
        report::peers(&auditd::measure()?);
    }
    Ok(())
}

/// Keeps this thread, and what it starts from now on, on one CPU.
fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("CPU {cpu}: the benchmark needs two CPUs"))
}
