//! Debian's packages. In: what a step needs, and how to see that it is there; out: what is missing,
//! and its installation. Presence is probed by what the package brings, so that the same need
//! can also be met by another distribution's package or by hand.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::run;

/// One package and what shows that it is there.
pub struct Need {
    pub package: &'static str,
    pub probe: Probe,
}

/// What a package brings.
pub enum Probe {
    /// A program on the PATH.
    Program(&'static str),
    /// A library that pkg-config knows.
    Library(&'static str),
}

impl Probe {
    fn is_met(&self) -> bool {
        match self {
            Probe::Program(name) => program(name).is_some(),
            Probe::Library(name) => {
                let mut query = Command::new("pkg-config");
                query.args(["--exists", name]);
                run::succeeds(query)
            }
        }
    }
}

/// The packages among `needs` whose content is not there.
pub fn missing(needs: &[Need]) -> Vec<String> {
    needs.iter().filter(|need| !need.probe.is_met()).map(|need| need.package.to_owned()).collect()
}

/// Where a program is on the PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Installs `packages`.
pub fn install(packages: &[String]) -> Result<()> {
    update(&packages.join(" "))?;
    run::quietly(apt_get(&["install", "-y", "--no-install-recommends"], packages))
}

/// Whether apt can install `package`.
pub fn offers(package: &str) -> Result<bool> {
    update(package)?;
    let mut query = Command::new("apt-cache");
    query.args(["policy", package]);
    let policy = run::capture(query)?;
    Ok(policy.lines().filter_map(|line| line.trim().strip_prefix("Candidate: ")).any(|it| it != "(none)"))
}

/// The names of the packages whose name matches the regular expression `pattern`.
pub fn search(pattern: &str) -> Result<Vec<String>> {
    update(pattern)?;
    let mut query = Command::new("apt-cache");
    query.args(["search", "--names-only", pattern]);
    let found = run::capture(query)?;
    Ok(found.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Downloads `package` and unpacks the files under `folder` of it (as "./boot") into `into`.
pub fn unpack(package: &str, folder: &str, into: &Path) -> Result<()> {
    let mut download = apt_get(&["download"], &[package.to_owned()]);
    // The sandbox user of apt cannot write into a folder under root's home.
    download.args(["-o", "APT::Sandbox::User=root"]).current_dir(into);
    run::quietly(download)?;
    let is_archive = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let archive = fs::read_dir(into)?.flatten().map(|entry| entry.path()).find(is_archive);
    let archive = archive.with_context(|| format!("apt-get download brought no file for {package}"))?;
    let mut unpack = Command::new("sh");
    unpack.args(["-c", r#"dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" "$2""#]);
    run::quietly({
        unpack.arg(&archive).arg(into).arg(folder);
        unpack
    })?;
    Ok(fs::remove_file(archive)?)
}

/// Brings apt's lists up to date, once a run. `wanted` is what a refusal names.
fn update(wanted: &str) -> Result<()> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_some() {
        return Ok(());
    }
    if program("apt-get").is_none() {
        bail!(
            "missing here: {wanted} (names of Debian's packages); install them by hand, there is no apt-get"
        );
    }
    // /proc/self belongs to the effective user, which the standard library does not tell otherwise.
    if fs::metadata("/proc/self")?.uid() != 0 {
        bail!(
            "installing {wanted} needs root: run `cargo xtask setup` once as root, or `apt-get install {wanted}`"
        );
    }
    run::quietly(apt_get(&["update"], &[]))?;
    let _ = DONE.set(());
    Ok(())
}

fn apt_get(action: &[&str], packages: &[String]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // Somebody else's apt run is waited for instead of failed on.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(action).args(packages);
    command
}
