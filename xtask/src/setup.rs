//! `cargo xtask setup`: makes this machine able to build and test. In: the machine as it is; out: each step
//! named, with what was installed or that it was there already. A step that is met costs milliseconds.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::apt::{self, Need, Probe};
use crate::toolchain::{self, BpfCompiler, Linker};
use crate::{cache, kafka, lint, run, vm};

/// For what the machine is set up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Building and the demo.
    Build,
    /// Building and the checks of `lint`.
    Lint,
    /// Building and the guests.
    Guests,
    /// Everything.
    Tests,
}

/// What a step finds.
pub enum Found {
    /// All is there; a word on what.
    Ready(String),
    /// What has to be installed, and how.
    Missing(String, Box<dyn FnOnce() -> Result<()>>),
}

/// A step: its name, and what looks after it.
type Step = (&'static str, fn() -> Result<Found>);

/// Goes through the steps of `scope` in order, and installs what is missing.
pub fn run(scope: Scope) -> Result<()> {
    let mut steps: Vec<Step> = vec![
        ("build tools", build_tools),
        ("BPF compiler", bpf_compiler),
        ("LLVM for the BPF linker", llvm),
        ("BPF linker", bpf_linker),
    ];
    if matches!(scope, Scope::Lint | Scope::Tests) {
        steps.extend([
            ("rustfmt and clippy", rustfmt_and_clippy as fn() -> _),
            ("clippy for BPF", bpf_clippy),
            ("cargo-deny", cargo_deny),
        ]);
    }
    if matches!(scope, Scope::Guests | Scope::Tests) {
        steps.extend([("guest tools", guest_tools as fn() -> _), ("guest kernels", vm::kernel::step)]);
    }
    if scope == Scope::Tests {
        steps.extend([("Java", java as fn() -> _), ("Apache Kafka", kafka::step)]);
    }

    let start = Instant::now();
    for (index, (name, find)) in steps.iter().enumerate() {
        let title = format!("[{}/{}] {name}", index + 1, steps.len());
        let found = find().with_context(|| format!("setup, {name}"))?;
        match found {
            Found::Ready(detail) => println!("{title}: ok ({detail})"),
            Found::Missing(what, install) => {
                println!("{title}: installing {what} …");
                let begun = Instant::now();
                install().with_context(|| format!("setup, {name}"))?;
                println!("{title}: done in {}", seconds(begun.elapsed()));
            }
        }
    }
    println!("setup: complete after {}", seconds(start.elapsed()));
    Ok(())
}

/// A duration for people.
pub fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        minutes @ 60.. => format!("{} min {} s", minutes / 60, minutes % 60),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

/// A step that is met by packages alone.
fn packages(needs: &[Need], detail: &str) -> Found {
    let missing = apt::missing(needs);
    if missing.is_empty() {
        return Found::Ready(detail.to_owned());
    }
    Found::Missing(format!("{} (apt)", missing.join(", ")), Box::new(move || apt::install(&missing)))
}

/// What building librdkafka, its libraries and the BPF linker takes.
fn build_tools() -> Result<Found> {
    let needs = [
        Need { package: "gcc", probe: Probe::Program("gcc") },
        Need { package: "g++", probe: Probe::Program("g++") },
        Need { package: "make", probe: Probe::Program("make") },
        Need { package: "pkg-config", probe: Probe::Program("pkg-config") },
        Need { package: "libssl-dev", probe: Probe::Library("openssl") },
        Need { package: "libzstd-dev", probe: Probe::Library("libzstd") },
        Need { package: "zlib1g-dev", probe: Probe::Library("zlib") },
    ];
    Ok(packages(&needs, "gcc, make, pkg-config, OpenSSL, zstd, zlib"))
}

fn bpf_compiler() -> Result<Found> {
    if let Some(compiler) = BpfCompiler::find() {
        return Ok(Found::Ready(compiler.describe()));
    }
    let debian = ["rustc-web", "libstd-rust-web-dev-bpf"].map(str::to_owned);
    if apt::program("apt-get").is_some() && apt::offers(&debian[1])? {
        let install = move || {
            apt::install(&debian)?;
            BpfCompiler::find().context(
                "Debian's rustc-web is installed but older than 1.95 or not at /usr/bin/rustc; \
                 switch Debian's security updates on and run `cargo xtask setup` again",
            )?;
            Ok(())
        };
        return Ok(Found::Missing("rustc-web, libstd-rust-web-dev-bpf (apt)".into(), Box::new(install)));
    }
    if apt::program("rustup").is_some() {
        let install = || {
            let mut rustup = Command::new("rustup");
            rustup.args(["toolchain", "install", "nightly", "--profile=minimal", "--component=rust-src"]);
            run::quietly(rustup)
        };
        return Ok(Found::Missing("nightly with rust-src (rustup)".into(), Box::new(install)));
    }
    bail!(
        "no BPF compiler can be installed here: apt offers no libstd-rust-web-dev-bpf (Debian 12 with its \
         security updates does), and there is no rustup to install nightly with rust-src"
    )
}

fn compiler() -> Result<BpfCompiler> {
    BpfCompiler::find().context("the BPF compiler is not there although its step is done")
}

fn llvm() -> Result<Found> {
    let version = compiler()?.version;
    let linker = Linker::of(&version)?;
    if linker.works() {
        return Ok(Found::Ready(format!("LLVM {}, in use by the linker", version.llvm)));
    }
    if linker.llvm_prefix().join("include/llvm-c/Core.h").is_file() {
        return Ok(Found::Ready(linker.llvm_prefix().display().to_string()));
    }
    let wanted = [format!("llvm-{}-dev", version.llvm), format!("libpolly-{}-dev", version.llvm)];
    if apt::program("apt-get").is_some() && !apt::offers(&wanted[0])? {
        bail!("apt offers no {}, which bpf-linker needs to link what this BPF compiler writes", wanted[0]);
    }
    Ok(Found::Missing(format!("{} (apt)", wanted.join(", ")), Box::new(move || apt::install(&wanted))))
}

fn bpf_linker() -> Result<Found> {
    let linker = Linker::of(&compiler()?.version)?;
    if linker.works() {
        return Ok(Found::Ready("bpf-linker".into()));
    }
    Ok(Found::Missing(
        "bpf-linker (cargo install, a minute or two)".into(),
        Box::new(move || linker.install()),
    ))
}

fn rustfmt_and_clippy() -> Result<Found> {
    let works = |tool: &str| {
        let mut cargo = toolchain::cargo();
        cargo.args([tool, "--version"]);
        run::succeeds(cargo)
    };
    if works("fmt") && works("clippy") {
        return Ok(Found::Ready("cargo fmt, cargo clippy".into()));
    }
    if apt::program("rustup").is_some() {
        let install = || {
            let mut rustup = Command::new("rustup");
            rustup.args(["component", "add", "rustfmt", "clippy"]);
            run::quietly(rustup)
        };
        return Ok(Found::Missing("rustfmt, clippy (rustup)".into(), Box::new(install)));
    }
    let wanted = ["rustfmt-web", "rust-web-clippy"].map(str::to_owned);
    Ok(Found::Missing(format!("{} (apt)", wanted.join(", ")), Box::new(move || apt::install(&wanted))))
}

fn bpf_clippy() -> Result<Found> {
    let compiler = compiler()?;
    if compiler.has_clippy() {
        return Ok(Found::Ready(format!("clippy of {}", compiler.describe())));
    }
    Ok(Found::Missing("clippy of the BPF compiler".into(), Box::new(move || compiler.install_clippy())))
}

fn cargo_deny() -> Result<Found> {
    let name = lint::deny::FOLDER;
    if cache::folder(name)?.is_dir() {
        return Ok(Found::Ready(name.to_owned()));
    }
    let install = || {
        let (tool, version) = lint::deny::TOOL;
        cache::fill(name, |folder| run::quietly(toolchain::cargo_install(tool, version, folder)))?;
        Ok(())
    };
    Ok(Found::Missing(format!("{name} (cargo install, a few minutes)"), Box::new(install)))
}

fn guest_tools() -> Result<Found> {
    let needs = [
        Need { package: "e2fsprogs", probe: Probe::Program("mkfs.ext4") },
        Need { package: "qemu-system-x86", probe: Probe::Program("qemu-system-x86_64") },
        Need { package: "cpio", probe: Probe::Program("cpio") },
        Need { package: "busybox-static", probe: Probe::Program("busybox") },
    ];
    Ok(packages(&needs, "qemu, cpio, busybox, mkfs.ext4"))
}

/// Maven is needed once, to fetch Kafka.
fn java() -> Result<Found> {
    let mut needs = vec![Need { package: "openjdk-17-jre-headless", probe: Probe::Program("java") }];
    if !kafka::is_here()? {
        needs.push(Need { package: "maven", probe: Probe::Program("mvn") });
    }
    Ok(packages(&needs, "java"))
}
