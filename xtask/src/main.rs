//! `cargo xtask`: everything that is done with this repository besides plain `cargo build` and
//! `cargo test`. In: a subcommand; out: its progress on the terminal and its exit code.

mod apt;
mod bench;
mod build;
mod cache;
mod codegen;
mod demo;
mod imports;
mod kafka;
mod lint;
mod report;
mod run;
mod setup;
mod test;
mod toolchain;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Sets up, builds, demonstrates and tests the event probe.
///
/// A new machine needs nothing but a Rust toolchain: start with `cargo xtask demo`.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing on this machine: packages (needs root once), BPF compiler, BPF linker.
    ///
    /// Programs that are compiled or downloaded are kept in ~/.cache/gala-gopher-event-probe, so that
    /// a second clone finds them again. Running it again takes less than a second.
    Setup {
        /// Also what only `lint`, `vm` and `test` need: Java, Apache Kafka, qemu, kernels, cargo-deny.
        #[arg(long)]
        tests: bool,
    },
    /// Build the BPF object and the daemon that carries it; says where the daemon is.
    Build,
    /// Show it: start a Kafka broker and the daemon, let syscalls fail, print the records read from Kafka.
    Demo {
        /// Go on running and printing until Ctrl-C.
        #[arg(long)]
        keep: bool,
    },
    /// Measure what the probe costs on this machine.
    Bench {
        #[command(subcommand)]
        bench: bench::Bench,
    },
    /// Check form, lints, licences, file sizes and import directions; every finding is printed.
    Lint,
    /// Run every test there is: lints, unit tests, whole-daemon tests, guests with other kernels.
    Test,
    /// Run the kernel tests in guests under qemu, and print a table of tests and kernels.
    Vm {
        /// Kernel series to boot.
        #[arg(default_values_t = [String::from("6.1"), String::from("6.12")])]
        kernels: Vec<String>,
        /// Run only the tests whose name contains this.
        #[arg(long, default_value = vm::KERNEL_TESTS)]
        filter: String,
    },
    /// Rewrite the generated pages of docs/ from the code.
    Codegen {
        /// Change nothing; fail where a page differs from the code.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    // Printed as one chain of causes; the backtrace of a failed command helps nobody.
    run_task(Cli::parse().task).unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn run_task(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup { tests } => {
            setup::run(if tests { setup::Scope::Tests } else { setup::Scope::Build })?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Build => build::run(),
        Task::Demo { keep } => demo::run(keep),
        Task::Bench { bench } => bench::run(bench),
        Task::Lint => lint::run(),
        Task::Test => test::run(),
        Task::Vm { kernels, filter } => vm::run(&kernels, &filter),
        Task::Codegen { check } => codegen::run(check),
    }
}
