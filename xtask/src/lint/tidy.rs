//! The form of source files. In: the repository; out: findings, one a line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A longer file holds more than one thing; it is split by meaning.
const LONGEST: usize = 500;

/// All findings in the repository at `root`.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in sources(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        findings.extend(file(&name, &text));
    }
    Ok(findings)
}

/// Every .rs file of the repository.
pub fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            if path.is_dir() {
                // Hidden folders are not ours to read, and target/ is what cargo made.
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn file(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST {
        findings.push(format!("{name}: {lines} lines, more than {LONGEST}: split it by meaning"));
    }
    if name.ends_with("/mod.rs") {
        findings.push(format!("{name}: name it after its module, foo.rs beside foo/"));
    }
    // Attributes of the crate may stand before its documentation.
    let opening = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    if !opening.is_some_and(|line| line.starts_with("//!")) {
        findings.push(format!("{name}: open it with //!, saying what comes in and what goes out"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_passes() {
        assert!(file("a/src/lib.rs", "#![no_std]\n\n//! In: x; out: y.\nfn f() {}\n").is_empty());
        assert!(file("a/src/b.rs", &("//! x\n".to_owned() + &"\n".repeat(LONGEST - 1))).is_empty());
    }

    #[test]
    fn each_fault_is_found() {
        assert!(file("a/src/b.rs", &("//! x\n".to_owned() + &"\n".repeat(LONGEST)))[0].contains("501 lines"));
        assert!(file("a/src/b/mod.rs", "//! x\n")[0].contains("mod.rs"));
        assert!(file("a/src/b.rs", "fn f() {}\n//! late\n")[0].contains("open it with"));
        assert!(file("a/src/b.rs", "")[0].contains("open it with"));
    }
}
