//! What a guest boots into: a root file system with busybox, the test binary, the daemon, and the shared
//! libraries of both. In: the two programs; out: a cpio archive that the kernel unpacks.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{apt, run, toolchain};

/// What the first process does. The last line it prints is what `guest` looks for.
const INIT: &str = include_str!("init.sh");

/// Writes the archive for a guest that runs `tests` with `filter`.
pub fn pack(archive: &Path, tests: &Path, daemon: &Path, filter: &str) -> Result<()> {
    let root = archive.with_extension("root");
    let packed = fill(&root, tests, daemon, filter).and_then(|()| {
        let mut cpio = Command::new("sh");
        cpio.args(["-c", r#"find . | cpio --quiet -o -H newc > "$0""#]).arg(archive).current_dir(&root);
        run::capture(cpio).map(|_| ())
    });
    let _ = fs::remove_dir_all(&root);
    packed.context("making the guests' file system")
}

fn fill(root: &Path, tests: &Path, daemon: &Path, filter: &str) -> Result<()> {
    for folder in ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var/log", "test"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for alias in ["sbin", "usr/bin", "usr/sbin"] {
        symlink("/bin", root.join(alias))?;
    }
    let busybox =
        apt::program("busybox").context("busybox is not on the PATH; run `cargo xtask setup --tests`")?;
    copy(&busybox, &root.join("bin/busybox"))?;

    for (program, name) in [(tests, "all"), (daemon, "probe-daemon")] {
        let copied = root.join("test").join(name);
        copy(program, &copied)?;
        // Debug information is most of a program's size, and the guest unpacks it all into memory.
        let mut strip = Command::new("strip");
        strip.arg("--strip-debug").arg(&copied);
        run::capture(strip)?;
        for library in libraries(program)? {
            copy(&library, &inside(root, &library))?;
        }
    }
    // The tests may look at files of the repository where they were compiled.
    let conf = toolchain::root().join("conf");
    if conf.is_dir() {
        let into = inside(root, &toolchain::root());
        fs::create_dir_all(&into)?;
        let mut cp = Command::new("cp");
        cp.arg("-r").arg(&conf).arg(into);
        run::capture(cp)?;
    }

    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    fs::write(root.join("etc/machine-id"), "9c0f3a5be1d24b7f8a66d0c1e2f34a5b\n")?;
    fs::write(root.join("etc/os-release"), "ID=guest\nNAME=guest\nVERSION_ID=1\n")?;
    fs::write(root.join("test/filter"), filter)?;
    let init = root.join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(init, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Where `path` of this machine is below `root`.
fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// The shared libraries of `program` and the loader that finds them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program);
    parse_ldd(&run::capture(ldd)?)
}

fn parse_ldd(text: &str) -> Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in text.lines() {
        if line.contains("not found") {
            bail!("a shared library is missing: {}", line.trim());
        }
        // Lines read "name => /path (address)" or "/path (address)"; the kernel's own library has no path.
        libraries.extend(line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from));
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_found() {
        let text = "\tlinux-vdso.so.1 (0x00007fa7)\n\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x0000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expect = ["/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(parse_ldd(text).unwrap(), expect);
        assert!(parse_ldd("\tlibx.so.1 => not found\n").is_err());
        assert!(parse_ldd("\tstatically linked\n").unwrap().is_empty());
    }
}
