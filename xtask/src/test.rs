//! `cargo xtask test`: everything that can be tested. In: the sources; out: each stage with its duration, a
//! closing table, and as the last line how many tests passed and failed. A stage that fails does not hide
//! the results of the next.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::report::{self, Sum};
use crate::setup::{self, Scope};
use crate::{build, kafka, lint, run, toolchain, vm};

/// What a stage found.
struct Verdict {
    content: bool,
    sum: Sum,
}

/// A stage: its name, and what does it.
type Stage = (&'static str, fn() -> Result<Verdict>);

const STAGES: [Stage; 6] = [
    ("setup", || setup::run(Scope::Tests).map(|()| verdict(true))),
    ("build", || build::daemon().map(|_| verdict(true))),
    ("lint", || lint::check().map(verdict)),
    ("unit tests", unit),
    ("whole daemon", whole_daemon),
    ("guests", guests),
];

/// Runs all stages.
pub fn run() -> Result<ExitCode> {
    let mut rows = vec![["stage", "outcome", "passed", "failed", "time"].map(str::to_owned).to_vec()];
    let mut sum = Sum::default();
    let mut content = true;
    for (index, (name, stage)) in STAGES.iter().enumerate() {
        println!("\n=== test {}/{}: {name}", index + 1, STAGES.len());
        let start = Instant::now();
        let verdict = stage().unwrap_or_else(|error| {
            println!("test: {name}: {error:#}");
            verdict(false)
        });
        sum += verdict.sum;
        content &= verdict.content;
        let outcome = if verdict.content { "ok" } else { "FAILED" };
        let time = setup::seconds(start.elapsed());
        println!("=== {name}: {outcome} after {time}");
        rows.push(vec![
            (*name).to_owned(),
            outcome.to_owned(),
            verdict.sum.passed.to_string(),
            verdict.sum.failed.to_string(),
            time,
        ]);
    }
    println!("\n{}", report::table(&rows));
    println!("{} passed, {} failed", sum.passed, sum.failed);
    Ok(if content { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The verdict of a stage that counts no tests.
fn verdict(content: bool) -> Verdict {
    Verdict { content, sum: Sum::default() }
}

/// Among them the test that compares the generated pages of docs/ with the code.
fn unit() -> Result<Verdict> {
    let mut cargo = build::user_space("test");
    cargo.args(["--lib", "--bins", "--no-fail-fast"]);
    let mut verdict = counted(cargo)?;
    // Examples in documentation are tests as well, in a run of their own; there may be none.
    let mut cargo = build::user_space("test");
    cargo.arg("--doc");
    let (status, said) = run::tee(cargo, "", None)?;
    verdict.sum += report::sum(&said);
    verdict.content &= status.success();
    Ok(verdict)
}

fn whole_daemon() -> Result<Verdict> {
    let daemon = toolchain::target_dir().join("release/probe-daemon");
    if !daemon.is_file() {
        bail!("there is no {}: the build failed", daemon.display());
    }
    let mut cargo = build::user_space("test");
    cargo.args(["--test", "all", "--", "--test-threads=1"]);
    cargo.env("PROBE_DAEMON", daemon).env("KAFKA_LIBS", kafka::libs()?);
    counted(cargo)
}

fn guests() -> Result<Verdict> {
    let (sum, content) = vm::boot_all(&vm::KERNELS.map(str::to_owned), vm::KERNEL_TESTS)?;
    Ok(Verdict { content, sum })
}

/// Runs tests with their output on the terminal, and counts them. No test at all is a failure: it means
/// that the tests were not found.
fn counted(cargo: Command) -> Result<Verdict> {
    let (status, said) = run::tee(cargo, "", None)?;
    let sum = report::sum(&said);
    Ok(Verdict { content: status.success() && sum.failed == 0 && sum.passed > 0, sum })
}
