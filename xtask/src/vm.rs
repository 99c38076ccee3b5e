//! `cargo xtask vm`: the kernel tests on other kernels. In: kernel series and a filter; out: the guests'
//! output as it comes, and a table of tests and kernels.

mod guest;
mod initramfs;
pub mod kernel;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::report::{self, Outcome, Sum};
use crate::setup::{self, Scope};
use crate::{build, cache, run};

/// The kernel series that are tested.
pub const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// The tests that need a kernel and nothing else, no broker: a filter for their names.
pub const KERNEL_TESTS: &str = "kernel::";

/// What one guest found.
struct Run {
    kernel: String,
    outcomes: BTreeMap<String, Outcome>,
    /// Why there is less than a whole run, if so.
    fault: Option<String>,
}

impl Run {
    /// A run of which nothing is known.
    fn broken(kernel: &str, fault: &str) -> Self {
        Self { kernel: kernel.to_owned(), outcomes: BTreeMap::new(), fault: Some(fault.to_owned()) }
    }
}

/// Sets up, builds, boots each kernel.
pub fn run(kernels: &[String], filter: &str) -> Result<ExitCode> {
    Ok(if boot_all(kernels, filter)?.1 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Like `run`; how many tests passed and failed in all guests together, and whether all is well.
pub fn boot_all(kernels: &[String], filter: &str) -> Result<(Sum, bool)> {
    setup::run(Scope::Guests)?;
    // A wrong name is better told before the build than after it.
    let images = kernels.iter().map(|series| kernel::image(series)).collect::<Result<Vec<_>>>()?;
    let daemon = build::daemon()?;
    let tests = test_binary()?;

    let initramfs = cache::root()?.join(format!("initramfs-{}.cpio", std::process::id()));
    let disk = initramfs.with_extension("disk");
    let packed = initramfs::pack(&initramfs, &tests, &daemon, filter).and_then(|()| guest::disk(&disk));
    let runs = packed.map(|()| {
        // Each guest takes one CPU of this machine, so they run at the same time.
        thread::scope(|scope| {
            let boots = kernels.iter().zip(&images).map(|(series, image)| {
                let (initramfs, disk) = (&initramfs, &disk);
                (series, scope.spawn(move || boot(series, image, initramfs, disk)))
            });
            // All are started before the first is waited for.
            let boots: Vec<_> = boots.collect();
            let ended = |(series, boot): (&String, thread::ScopedJoinHandle<'_, Run>)| {
                boot.join().unwrap_or_else(|_| Run::broken(series, "its thread of xtask panicked"))
            };
            boots.into_iter().map(ended).collect::<Vec<_>>()
        })
    });
    let _ = std::fs::remove_file(&initramfs);
    let _ = std::fs::remove_file(&disk);
    let runs = runs?;

    print!("\nvm:\n{}", report::table(&rows(&runs)));
    let count = |wanted: Outcome| {
        runs.iter().flat_map(|run| run.outcomes.values()).filter(|it| **it == wanted).count()
    };
    let sum = Sum { passed: count(Outcome::Passed) as u64, failed: count(Outcome::Failed) as u64 };
    Ok((sum, sum.failed == 0 && runs.iter().all(|run| run.fault.is_none())))
}

fn boot(series: &str, image: &Path, initramfs: &Path, disk: &Path) -> Run {
    println!("\nvm: booting Linux {series}");
    let (said, mut fault) = match guest::boot(series, image, initramfs, disk) {
        Ok((exit, said)) => (said, (exit != 0).then(|| format!("the tests ended with exit code {exit}"))),
        Err(error) => (String::new(), Some(format!("{error:#}"))),
    };
    let outcomes = report::outcomes(&said);
    if fault.is_none() && outcomes.is_empty() {
        fault = Some("no test has this name".to_owned());
    }
    if let Some(fault) = &fault {
        println!("vm: Linux {series}: {fault}");
    }
    Run { kernel: series.to_owned(), outcomes, fault }
}

/// The table: a row for each test, a column for each kernel.
fn rows(runs: &[Run]) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["test".to_owned()]];
    rows[0].extend(runs.iter().map(|run| run.kernel.clone()));
    let mut names: Vec<&String> = runs.iter().flat_map(|run| run.outcomes.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let mut row = vec![name.clone()];
        row.extend(runs.iter().map(|run| word(run.outcomes.get(name)).to_owned()));
        rows.push(row);
    }
    let mut whole = vec!["whole run".to_owned()];
    whole.extend(runs.iter().map(|run| if run.fault.is_none() { "passed" } else { "FAILED" }.to_owned()));
    rows.push(whole);
    rows
}

fn word(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Passed) => "passed",
        Some(Outcome::Failed) => "FAILED",
        Some(Outcome::Ignored) => "ignored",
        None => "not run",
    }
}

/// Builds the one test binary of the crate `tests`; its path, as cargo tells it.
fn test_binary() -> Result<PathBuf> {
    println!("build: tests");
    let build = |extra: &[&str]| {
        let mut cargo = build::user_space("test");
        cargo.args(["--test", "all", "--no-run"]).args(extra);
        cargo
    };
    run::show(build(&[]))?;
    let cargo = build(&["--message-format=json"]);
    let messages = run::capture(cargo)?;
    // The crate's programs are built along with it and have executables of their own.
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_test = message["profile"]["test"] == true && message["target"]["name"] == "all";
        message["executable"].as_str().filter(|_| is_test).map(PathBuf::from)
    });
    executables.next().context("cargo names no test binary for `-p tests --test all`")
}

/// The kernel series `series` as (major, minor), as in "6.12".
fn parse_series(series: &str) -> Result<(u64, u64)> {
    let numbers =
        series.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    match numbers {
        Some(numbers) => Ok(numbers),
        None => bail!("{series:?} is no kernel series; one looks like 6.12"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_one_kernel_did_not_reach_is_shown_as_such() {
        let run = |kernel: &str, tests: &[(&str, Outcome)], fault: Option<&str>| Run {
            kernel: kernel.into(),
            outcomes: tests.iter().map(|(name, outcome)| ((*name).to_owned(), *outcome)).collect(),
            fault: fault.map(str::to_owned),
        };
        let runs = [
            run("6.1", &[("a", Outcome::Passed), ("b", Outcome::Failed)], Some("exit code 101")),
            run("6.12", &[("a", Outcome::Passed)], None),
        ];
        let expect = "  test       6.1     6.12\n  a          passed  passed\n  b          FAILED  not run\n  \
                      whole run  FAILED  passed\n";
        assert_eq!(report::table(&rows(&runs)), expect);
    }

    #[test]
    fn series_are_read() {
        assert_eq!(parse_series("6.12").unwrap(), (6, 12));
        assert!(parse_series("6").is_err() && parse_series("v6.1").is_err());
    }
}
