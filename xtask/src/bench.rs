//! `cargo xtask bench kernel` and `bench pipeline`: what the probe costs on this machine. In: the sources; out: the benchmark's own tables.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::setup::{self, Scope};
use crate::{build, kafka, run, toolchain};

/// What is measured.
#[derive(Subcommand)]
pub enum Bench {
    /// The hooks in the kernel, the daemon's CPU and memory, and other tools on the same job.
    Kernel {
        /// Options of the benchmark: --rounds, --idle, --no-peers, --auditd; --help tells more.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// From the ring to Kafka and into the file, beside librdkafka alone.
    Pipeline {
        /// Options of the benchmark: --rounds, --turn, --pace, --steady, --flood; --help tells more.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

/// Sets up, builds, and becomes the benchmark.
pub fn run(kind: Bench) -> Result<ExitCode> {
    let (scope, options) = match &kind {
        Bench::Kernel { options } => (Scope::Build, options),
        Bench::Pipeline { options } => (Scope::Tests, options),
    };
    setup::run(scope)?;
    let daemon = build::daemon()?;
    println!("build: bench");
    let mut cargo = build::user_space("build");
    cargo.args(["--bin", "bench"]);
    run::show(cargo)?;

    let mut bench = Command::new(toolchain::target_dir().join("release/bench"));
    bench.current_dir(toolchain::root()).env("PROBE_DAEMON", daemon);
    match kind {
        Bench::Kernel { .. } => bench.args(["kernel", "--empty"]).arg(build::empty_object()),
        Bench::Pipeline { .. } => bench.arg("pipeline").env("KAFKA_LIBS", kafka::libs()?),
    };
    bench.args(options);
    // `cargo run` adds its own folders, which every program that is measured would search for libraries.
    bench.env_remove("LD_LIBRARY_PATH");
    Err(bench.exec()).context("cannot start the benchmark")
}
