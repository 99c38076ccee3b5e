//! `cargo xtask build`: the BPF object, then the daemon that carries it. In: the sources; out: the daemon's
//! path on the terminal.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::run;
use crate::setup::{self, Scope};
use crate::toolchain::{self, BPF_TARGET, BpfCompiler};

/// Sets up, builds, and says where the daemon is.
pub fn run() -> Result<ExitCode> {
    setup::run(Scope::Build)?;
    let daemon = daemon()?;
    println!("The daemon is {}", daemon.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the BPF object and the daemon; the daemon's path.
pub fn daemon() -> Result<PathBuf> {
    let compiler = BpfCompiler::find().context("no BPF compiler; run `cargo xtask setup`")?;
    println!("build: BPF object ({})", compiler.describe());
    run::show(compiler.cargo("build")?)?;
    println!("build: probe-daemon");
    let mut cargo = user_space("build");
    cargo.args(["--bin", "probe-daemon"]);
    run::show(cargo)?;
    Ok(toolchain::target_dir().join("release/probe-daemon"))
}

/// Where the BPF object is when it is built.
fn object() -> PathBuf {
    toolchain::target_dir().join(BPF_TARGET).join("release/probe-ebpf")
}

/// Where the empty programs are when they are built, with the BPF object and in the same way.
pub fn empty_object() -> PathBuf {
    toolchain::target_dir().join(BPF_TARGET).join("release/probe-empty")
}

/// Cargo for user space: `action` on all crates but the kernel side's; the caller adds which targets.
///
/// Two things are the same in every run, or cargo would compile librdkafka and the daemon anew each time: where
/// the BPF object is, and the selection of crates, which decides the features that dependencies are built with.
pub fn user_space(action: &str) -> Command {
    let mut cargo = toolchain::cargo();
    let object = object();
    if object.is_file() {
        cargo.env("PROBE_EBPF_OBJECT", object);
    }
    cargo.args([action, "--release", "--workspace", "--exclude", "probe-ebpf"]);
    cargo
}
