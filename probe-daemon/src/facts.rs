//! What the host itself tells of a failure: the mount that is full, the limit that was hit.
//!
//! In: an event whose record is about to be made. Out: attributes. What cannot be read is absent: the process may have
//! ended since, and nothing here fails, waits for a disk or a network, or reads more than a bounded amount. The same
//! process is told from a later one of its number by when it started.

use std::{
    fs::File,
    io::Read,
    path::{Component, Path, PathBuf},
};

use rustix::fs::statvfs;

use crate::{
    enrich::process,
    errno,
    event::{Event, Subject, TraceEvent},
    record::Value,
};

mod limits;
mod mounts;

use mounts::{Mount, Mounts};

/// Attributes.
pub type Found = Vec<(&'static str, Value<'static>)>;

/// More than a file below `/proc` has on any host that works.
const MAX_BYTES: u64 = 4 << 20;
/// Arguments that hold a descriptor of a file, the one that is written to first.
const DESCRIPTORS: [&str; 4] = ["fd", "out_fd", "fd_out", "oldfd"];
/// Arguments that hold the directory that a relative path starts from.
const FOLDERS: [&str; 4] = ["dir_fd", "old_dir_fd", "new_dir_fd", "from_dir_fd"];

/// Looks things up, and remembers mounts.
#[derive(Debug, Default)]
pub struct Facts {
    mounts: Mounts,
}

impl Facts {
    /// What is worth knowing of this event.
    pub fn of(&mut self, event: &Event) -> Found {
        let mut found = Found::new();
        if let Event::Call(call) = event {
            match errno::name(call.errno) {
                "ENOSPC" | "EDQUOT" => self.place(call, true, &mut found),
                "EROFS" | "EIO" | "EUCLEAN" | "ESTALE" | "ENODEV" | "ENXIO" | "EFBIG" => {
                    self.place(call, false, &mut found);
                }
                _ => {}
            }
            limits::find(call, &mut found);
        }
        found
    }

    /// The file and the mount that it is on, and with `space` what is left there.
    fn place(&mut self, call: &TraceEvent, space: bool, found: &mut Found) {
        let process = Process::of(&call.subject);
        let mut path = call.path.clone().map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
        if path.is_none()
            && let Some(target) = process.as_ref().and_then(|process| process.descriptor(call, &DESCRIPTORS))
        {
            found.push(("gala_gopher.fd.path", target.to_string_lossy().into_owned().into()));
            path = Some(target);
        }
        let Some(path) = path else { return };
        let absolute = if path.is_absolute() {
            Some(path)
        } else {
            process.as_ref().and_then(|process| Some(process.folder(call)?.join(path)))
        };
        let Some(path) = absolute.as_deref().and_then(normal) else { return };
        let root = process.as_ref().map(|process| process.folder.as_path());
        let Some(mounts) = self.mounts.of(call.subject.mnt_ns, root) else { return };
        let Some(mount) = mounts::holder(mounts, &path) else { return };
        found.push(("gala_gopher.mount.point", mount.point.clone().into()));
        found.push(("gala_gopher.mount.device", mount.device.clone().into()));
        found.push(("gala_gopher.mount.type", mount.kind.clone().into()));
        if space && mounts::all_local(mounts, mount) {
            free(mount, root, found);
        }
    }
}

/// What is left on a file system. The mount point and all folders above it are pinned in memory while it is mounted.
fn free(mount: &Mount, root: Option<&Path>, found: &mut Found) {
    let root = root.unwrap_or(Path::new("/proc/self")).join("root");
    let Ok(left) = statvfs(root.join(mount.point.trim_start_matches('/'))) else { return };
    found.push(("gala_gopher.mount.free_bytes", left.f_bavail.saturating_mul(left.f_frsize).into()));
    // Some file systems have no fixed number of inodes, and say 0 of 0.
    if left.f_files > 0 {
        found.push(("gala_gopher.mount.free_inodes", left.f_favail.into()));
    }
}

/// A process that still is the one of the event.
struct Process {
    /// Its folder below `/proc`.
    folder: PathBuf,
}

impl Process {
    fn of(subject: &Subject) -> Option<Self> {
        let folder = || Self { folder: PathBuf::from(format!("/proc/{}", subject.pid)) };
        process::is_same(subject.pid, subject.process_start).then(folder)
    }

    /// What the first descriptor among the call's arguments stands for.
    fn descriptor(&self, call: &TraceEvent, names: &[&str]) -> Option<PathBuf> {
        let number = names.iter().find_map(|name| call.args.get(name)?.as_i64())?;
        let target = self.folder.join(format!("fd/{number}")).read_link().ok()?;
        // A pipe or a socket is on no file system.
        target.is_absolute().then_some(target)
    }

    /// Where a relative path of the call starts.
    fn folder(&self, call: &TraceEvent) -> Option<PathBuf> {
        self.descriptor(call, &FOLDERS).or_else(|| self.folder.join("cwd").read_link().ok())
    }
}

/// A path without `.` and `..`, by its letters alone: looking at links would wait for the disk that failed.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal.is_absolute().then_some(normal)
}

/// A file below `/proc`, as far as it is of a sane length.
fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_normal_by_their_letters() {
        for (path, expect) in
            [("/a/./b//c", Some("/a/b/c")), ("/a/../../b", Some("/b")), ("/", Some("/")), ("a", None)]
        {
            assert_eq!(normal(Path::new(path)), expect.map(PathBuf::from), "{path}");
        }
    }
}
