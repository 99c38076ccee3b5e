//! The compilers. In: what is on this machine; out: cargo commands for user space (the toolchain that runs
//! xtask) and for the BPF object (its own compiler, chosen explicitly), and the linker in between.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{apt, cache, run};

/// The target of the BPF object.
pub const BPF_TARGET: &str = "bpfel-unknown-none";
/// The oldest compiler that takes edition and dependencies of this workspace, as (major, minor).
const OLDEST: (u32, u32) = (1, 95);
/// Debian's compiler, by its full name: where rustup is there as well, `rustc` alone is rustup's.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CLIPPY: &str = "/usr/bin/cargo-clippy";
const LINKER_VERSION: &str = "0.13.0";

/// The repository's root.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Cargo for user space: the toolchain that runs xtask, in the repository.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(root()).env("CARGO_TARGET_DIR", target_dir());
    cargo
}

/// `cargo install` of a tool into `into`; what is set for this workspace does not reach it.
pub fn cargo_install(tool: &str, version: &str, into: &Path) -> Command {
    let mut cargo = cargo();
    cargo.args(["install", tool, "--version", version, "--locked", "--root"]).arg(into).current_dir(into);
    for name in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(name);
    }
    // These tools run for seconds and somebody waits for their compilation: less of it is better.
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_LTO", "off");
    cargo.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    cargo
}

/// What `rustc -vV` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// As in "1.96.0" or "1.97.0-nightly".
    pub release: String,
    /// The major version of the LLVM inside.
    pub llvm: u32,
}

impl Version {
    fn parse(text: &str) -> Result<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let release = field("release:").context("rustc -vV tells no release")?;
        let llvm = field("LLVM version:").and_then(|version| version.split('.').next()?.parse().ok());
        Ok(Self { release: release.to_owned(), llvm: llvm.context("rustc -vV tells no LLVM version")? })
    }

    fn is_new_enough(&self) -> bool {
        let mut numbers = self.release.split('.').map_while(|part| part.parse().ok());
        (numbers.next(), numbers.next()) >= (Some(OLDEST.0), Some(OLDEST.1))
    }
}

/// The compiler that builds the BPF object.
pub struct BpfCompiler {
    kind: Kind,
    pub version: Version,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Debian's rustc-web, whose core library for BPF comes compiled.
    Debian,
    /// rustup's nightly, which compiles the core library from rust-src.
    Nightly,
}

impl BpfCompiler {
    /// The one that is ready to use here, if any.
    pub fn find() -> Option<Self> {
        [Kind::Debian, Kind::Nightly].into_iter().find_map(|kind| {
            let version = Version::parse(&run::capture(rustc(kind, "-vV")).ok()?).ok()?;
            let sysroot = PathBuf::from(run::capture(rustc(kind, "--print=sysroot")).ok()?.trim());
            let core = sysroot.join(match kind {
                Kind::Debian => "lib/rustlib/bpfel-unknown-none/lib",
                Kind::Nightly => "lib/rustlib/src/rust/library/core",
            });
            (version.is_new_enough() && core.is_dir()).then_some(Self { kind, version })
        })
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        let origin = match self.kind {
            Kind::Debian => "Debian's rustc",
            Kind::Nightly => "rustup's nightly rustc",
        };
        format!("{origin} {}, LLVM {}", self.version.release, self.version.llvm)
    }

    /// Whether this compiler's own clippy is there: another compiler's cannot read its core library.
    pub fn has_clippy(&self) -> bool {
        match self.kind {
            Kind::Debian => Path::new(DEBIAN_CLIPPY).is_file(),
            Kind::Nightly => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", "nightly", "cargo-clippy", "--version"]);
                run::succeeds(rustup)
            }
        }
    }

    /// Installs this compiler's own clippy.
    pub fn install_clippy(&self) -> Result<()> {
        match self.kind {
            Kind::Debian => apt::install(&["rust-web-clippy".to_owned()]),
            Kind::Nightly => {
                let mut rustup = Command::new("rustup");
                rustup.args(["component", "add", "clippy", "--toolchain", "nightly"]);
                run::quietly(rustup)
            }
        }
    }

    /// Cargo with everything set so that `build` or `clippy` takes probe-ebpf, and takes it for BPF.
    pub fn cargo(&self, action: &str) -> Result<Command> {
        let mut cargo = match self.kind {
            Kind::Debian => {
                let mut cargo = cargo();
                if action == "clippy" {
                    // It runs cargo from the environment, with the clippy that lies beside itself.
                    let program = cargo.get_program().to_owned();
                    cargo = Command::new(DEBIAN_CLIPPY);
                    cargo.current_dir(root()).env("CARGO", program).env("CARGO_TARGET_DIR", target_dir());
                }
                // aya-ebpf uses a feature that rustc calls unstable; this switch allows it in a stable one.
                cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
                cargo.arg(action);
                cargo
            }
            Kind::Nightly => {
                let mut cargo = Command::new("rustup");
                cargo.current_dir(root()).env("CARGO_TARGET_DIR", target_dir()).env_remove("CARGO");
                cargo.args(["run", "nightly", "cargo", action, "-Z", "build-std=core"]);
                cargo
            }
        };
        // The user's own flags and wrappers are meant for the host's code.
        for name in ["RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
            cargo.env_remove(name);
        }
        cargo.env("RUSTFLAGS", "-C debuginfo=2 -C link-arg=--btf");
        let search = env::var_os("PATH").unwrap_or_default();
        let linker = Linker::of(&self.version)?.folder.join("bin");
        cargo.env("PATH", env::join_paths([linker].into_iter().chain(env::split_paths(&search)))?);
        cargo.args(["--release", "-p", "probe-ebpf", "--target", BPF_TARGET]);
        Ok(cargo)
    }
}

fn rustc(kind: Kind, argument: &str) -> Command {
    let mut rustc = match kind {
        Kind::Debian => Command::new(DEBIAN_RUSTC),
        Kind::Nightly => {
            let mut rustup = Command::new("rustup");
            rustup.args(["run", "nightly", "rustc"]);
            rustup
        }
    };
    rustc.arg(argument).env_remove("RUSTUP_TOOLCHAIN");
    rustc
}

/// bpf-linker, made with the LLVM of the compiler whose output it links.
pub struct Linker {
    llvm: u32,
    name: String,
    folder: PathBuf,
}

impl Linker {
    /// The linker for a compiler of this version; it may still have to be installed.
    pub fn of(compiler: &Version) -> Result<Self> {
        let name = format!("bpf-linker-{LINKER_VERSION}-llvm-{}", compiler.llvm);
        Ok(Self { llvm: compiler.llvm, folder: cache::folder(&name)?, name })
    }

    /// Whether it is there and starts: it needs LLVM's shared library, which another run of apt may have taken.
    pub fn works(&self) -> bool {
        let mut linker = Command::new(self.folder.join("bin/bpf-linker"));
        linker.arg("--version");
        run::succeeds(linker)
    }

    /// The folder of the LLVM development files it is made from.
    pub fn llvm_prefix(&self) -> PathBuf {
        PathBuf::from(format!("/usr/lib/llvm-{}", self.llvm))
    }

    /// Compiles it into the cache.
    pub fn install(&self) -> Result<()> {
        if self.folder.is_dir() {
            // It is there and does not start.
            fs::remove_dir_all(&self.folder)?;
        }
        cache::fill(&self.name, |folder| {
            let mut cargo = cargo_install("bpf-linker", LINKER_VERSION, folder);
            cargo.args(["--no-default-features", "--features", &format!("llvm-{}", self.llvm)]);
            // Without it the build script takes the wrong library folder.
            cargo.env("LLVM_PREFIX", self.llvm_prefix());
            run::quietly(cargo)
        })?;
        if !self.works() {
            bail!("bpf-linker was built but does not start; run {}/bin/bpf-linker", self.folder.display());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(release: &str, llvm: &str) -> String {
        format!("rustc {release} (0 2026-05-25)\nbinary: rustc\nrelease: {release}\nLLVM version: {llvm}\n")
    }

    #[test]
    fn versions_are_read() {
        let expect = Version { release: "1.96.0".into(), llvm: 22 };
        assert_eq!(Version::parse(&text("1.96.0", "22.1.8")).unwrap(), expect);
        assert_eq!(Version::parse(&text("1.97.0-nightly", "23")).unwrap().llvm, 23);
        assert!(Version::parse("rustc 1.96.0").is_err());
    }

    #[test]
    fn an_old_compiler_is_refused() {
        for (release, enough) in [
            ("1.63.0", false),
            ("1.94.9", false),
            ("1.95.0", true),
            ("1.100.0-nightly", true),
            ("2.0.0", true),
        ] {
            assert_eq!(Version::parse(&text(release, "22.1")).unwrap().is_new_enough(), enough, "{release}");
        }
    }
}
