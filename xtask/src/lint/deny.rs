//! The dependency tree. In: Cargo.lock and .deny.toml; out: cargo-deny's verdict on licences, bans and
//! sources, and on known vulnerabilities where their database can be reached.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{cache, run, toolchain};

/// The tool and its version.
pub const TOOL: (&str, &str) = ("cargo-deny", "0.20.2");
/// Its folder in the cache.
pub const FOLDER: &str = "cargo-deny-0.20.2";

/// What cargo-deny says where the database of advisories cannot be had.
const OUT_OF_REACH: &str = "failed to fetch advisory database";

/// Checks the tree.
pub fn check() -> Result<()> {
    let licences = run::show(deny(&["licenses", "bans", "sources"])?);

    // The database is a git repository elsewhere; a machine without a way there can still check the rest.
    let output = deny(&["advisories"])?.env("GIT_TERMINAL_PROMPT", "0").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        println!("advisories ok");
    } else if said.contains(OUT_OF_REACH) {
        println!("advisories: NOT checked, the database cannot be reached from this machine");
    } else {
        bail!("{}", said.trim_end());
    }
    licences
}

fn deny(checks: &[&str]) -> Result<Command> {
    let mut command = Command::new(cache::folder(FOLDER)?.join("bin/cargo-deny"));
    command.current_dir(toolchain::root()).args(["check"]).args(checks);
    Ok(command)
}
