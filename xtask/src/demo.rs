//! `cargo xtask demo`: from a fresh clone to failed syscalls read back from Kafka. In: nothing;
//! out: the demo's own output and exit code.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::setup::{self, Scope};
use crate::{build, run, toolchain};

/// Sets up, builds, and becomes the demo.
pub fn run(keep: bool) -> Result<ExitCode> {
    setup::run(Scope::Build)?;
    let daemon = build::daemon()?;
    println!("build: demo");
    let mut cargo = build::user_space("build");
    cargo.args(["--bin", "demo"]);
    run::show(cargo)?;

    let mut demo = Command::new(toolchain::target_dir().join("release/demo"));
    demo.current_dir(toolchain::root()).arg("--daemon").arg(daemon);
    demo.arg("--config").arg(toolchain::root().join("conf/gala-gopher.conf"));
    if keep {
        demo.arg("--keep");
    }
    // `cargo run` adds its own folders, which every program of the demo would be seen searching for libraries.
    demo.env_remove("LD_LIBRARY_PATH");
    // Becoming the demo leaves nobody between it and the user's Ctrl-C.
    Err(demo.exec()).context("cannot start the demo")
}
