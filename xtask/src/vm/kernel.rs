//! Kernels for the guests. In: a series as "6.12"; out: Debian's newest cloud kernel of it, in the cache.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{KERNELS, parse_series};
use crate::setup::Found;
use crate::{apt, cache};

/// The step of `setup`: the kernels that `cargo xtask test` boots.
pub fn step() -> Result<Found> {
    let mut missing = Vec::new();
    for series in KERNELS {
        if cached(series)?.is_none() {
            missing.push(series);
        }
    }
    if missing.is_empty() {
        return Ok(Found::Ready(KERNELS.join(", ")));
    }
    let what = format!("Linux {} (apt, into the cache)", missing.join(", "));
    let install = move || missing.into_iter().try_for_each(|series| image(series).map(|_| ()));
    Ok(Found::Missing(what, Box::new(install)))
}

/// The kernel image of `series`; downloaded where the cache has none.
pub fn image(series: &str) -> Result<PathBuf> {
    parse_series(series)?;
    if let Some(image) = cached(series)? {
        return Ok(image);
    }
    let offered = apt::search(&format!("^linux-image-{series}\\..*-cloud-amd64$"))?;
    let package = newest(&offered).with_context(|| {
        format!("apt offers no linux-image-{series}…-cloud-amd64; Debian 12 with its security updates does")
    })?;
    let folder = cache::fill(&format!("kernel-{series}"), |folder| {
        apt::unpack(package, "./boot", folder)?;
        fs::write(folder.join("package"), package)?;
        Ok(())
    })?;
    println!("      {package}");
    find(folder)?.with_context(|| format!("{package} holds no boot/vmlinuz-…"))
}

fn cached(series: &str) -> Result<Option<PathBuf>> {
    let folder = cache::folder(&format!("kernel-{series}"))?;
    if folder.is_dir() { find(folder) } else { Ok(None) }
}

fn find(folder: PathBuf) -> Result<Option<PathBuf>> {
    let files = fs::read_dir(folder.join("boot"))?.flatten();
    Ok(files
        .map(|file| file.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))))
}

/// The package with the highest version, number by number: "6.1.0-56" is newer than "6.1.0-9".
fn newest(packages: &[String]) -> Option<&String> {
    let numbers = |name: &str| -> Vec<u64> {
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    packages.iter().max_by_key(|name| numbers(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_chosen_by_number() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let old = names(&["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"]);
        assert_eq!(newest(&old).unwrap(), "linux-image-6.1.0-56-cloud-amd64");
        let new = names(&["linux-image-6.12.117+deb12-cloud-amd64", "linux-image-6.12.99+deb12-cloud-amd64"]);
        assert_eq!(newest(&new).unwrap(), "linux-image-6.12.117+deb12-cloud-amd64");
        assert_eq!(newest(&[]), None);
    }
}
