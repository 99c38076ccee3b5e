//! `cargo xtask lint`: every check that runs nothing of ours. In: the sources; out: all findings of all
//! checks, then one line for each check. A check that fails does not hide the next.

pub mod deny;
mod tidy;

pub use tidy::sources;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Scope};
use crate::toolchain::{self, BpfCompiler};
use crate::{build, imports, report, run};

/// A check: its name, and what does it.
type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 6] = [
    ("format", format),
    ("clippy", clippy),
    ("clippy for BPF", bpf_clippy),
    ("dependencies", deny::check),
    ("files", || findings(tidy::check(&toolchain::root())?)),
    ("imports", || findings(imports::check(&toolchain::root())?)),
];

/// Sets up and lints.
pub fn run() -> Result<ExitCode> {
    setup::run(Scope::Lint)?;
    Ok(if check()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs all checks on a machine that is set up; whether all are content.
pub fn check() -> Result<bool> {
    let mut rows = Vec::new();
    let mut content = true;
    for (name, check) in CHECKS {
        println!("lint: {name}");
        let start = Instant::now();
        let outcome = match check() {
            Ok(()) => "ok",
            Err(error) => {
                println!("lint: {name}: {error:#}");
                content = false;
                "FAILED"
            }
        };
        rows.push(vec![name.to_owned(), outcome.to_owned(), setup::seconds(start.elapsed())]);
    }
    print!("lint:\n{}", report::table(&rows));
    Ok(content)
}

fn format() -> Result<()> {
    let mut cargo = toolchain::cargo();
    cargo.args(["fmt", "--all", "--check"]);
    run::show(cargo).context("`cargo fmt --all` puts it right")
}

fn clippy() -> Result<()> {
    let mut cargo = build::user_space("clippy");
    cargo.args(["--all-targets", "--keep-going"]);
    deny_warnings(cargo)
}

fn bpf_clippy() -> Result<()> {
    let compiler = BpfCompiler::find().context("no BPF compiler; run `cargo xtask setup`")?;
    deny_warnings(compiler.cargo("clippy")?)
}

fn deny_warnings(mut cargo: Command) -> Result<()> {
    cargo.args(["--", "-D", "warnings"]);
    run::show(cargo)
}

fn findings(findings: Vec<String>) -> Result<()> {
    for finding in &findings {
        println!("  {finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} to put right"),
    }
}
