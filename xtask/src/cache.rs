//! The tool cache, outside the checkout so that every clone shares it. In: the name of a folder and how to
//! fill it; out: the folder, which is there either whole or not at all.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};

/// `$XDG_CACHE_HOME` or `~/.cache`, then our own folder.
pub fn root() -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match (absolute("XDG_CACHE_HOME"), absolute("HOME")) {
        (Some(cache), _) => cache,
        (None, Some(home)) => home.join(".cache"),
        (None, None) => bail!("no place for the tool cache: set HOME or XDG_CACHE_HOME"),
    };
    Ok(base.join("gala-gopher-event-probe"))
}

/// The folder `name` of the cache; it may be missing.
pub fn folder(name: &str) -> Result<PathBuf> {
    Ok(root()?.join(name))
}

/// Fills the folder `name` unless it is there. `fill` works in a folder beside it, which gets the name only
/// when all went well: what an interrupted run leaves behind is never taken for a finished one.
pub fn fill(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let done = folder(name)?;
    if done.is_dir() {
        return Ok(done);
    }
    sweep(name)?;
    let unfinished = folder(&format!(".{name}.{}", process::id()))?;
    fs::create_dir_all(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
    let filled = fill(&unfinished).and_then(|()| {
        // Another run may have finished first; its folder is as good as ours.
        fs::rename(&unfinished, &done).or_else(|error| if done.is_dir() { Ok(()) } else { Err(error) })?;
        Ok(())
    });
    if unfinished.is_dir() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    filled.map(|()| done)
}

/// Removes what runs that were killed left unfinished: each folder carries the id of the process that fills it.
fn sweep(name: &str) -> Result<()> {
    let Ok(entries) = fs::read_dir(root()?) else { return Ok(()) };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let owner =
            file_name.to_str().and_then(|it| it.strip_prefix('.')?.strip_prefix(name)?.strip_prefix('.'));
        let is_dead = |pid: &str| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists();
        if owner.is_some_and(is_dead) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fill_leaves_nothing_and_a_good_one_is_kept() {
        let name = format!("test-{}", process::id());
        assert!(fill(&name, |_| bail!("interrupted")).is_err());
        assert!(!folder(&name).unwrap().exists());
        let done = fill(&name, |folder| Ok(fs::write(folder.join("jar"), "x")?)).unwrap();
        assert!(done.join("jar").is_file());
        fill(&name, |_| bail!("filled twice")).unwrap();
        fs::remove_dir_all(done).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_a_live_one_is_not_disturbed() {
        let name = format!("sweep-{}", process::id());
        // No process has this id: it is past the largest that the kernel gives.
        let (dead, alive) =
            (folder(&format!(".{name}.4194305")).unwrap(), folder(&format!(".{name}.1")).unwrap());
        fs::create_dir_all(&dead).unwrap();
        fs::create_dir_all(&alive).unwrap();
        sweep(&name).unwrap();
        assert!(!dead.exists() && alive.exists());
        fs::remove_dir_all(alive).unwrap();
    }
}
