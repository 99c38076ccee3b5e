//! Looks at a file that could not be executed, as the process saw it.
//!
//! In: a [`Question`]. Out: what is in the way, where it can be told. Paths are resolved below the process's own root
//! directory, which no symbolic link leaves; only regular files are opened, and only their first bytes are read.

use std::os::{fd::OwnedFd, unix::ffi::OsStrExt, unix::fs::FileExt};

use rustix::{
    fs::{
        CWD, FileType, Mode, OFlags, ResolveFlags, StatVfsMountFlags, fstat, fstatvfs, open, openat2,
        readlinkat,
    },
    io::Errno,
};

use super::{
    Question,
    interpreter::{self, Interpreter},
};
use crate::event::{Attempt, Hindrance, Reason};

/// Interpreters of interpreters that the kernel follows (`exec_binprm` of fs/exec.c).
const INTERPRETERS: usize = 5;

/// What is in the way of this attempt; none where nothing is to be found, for one because the file does not exist.
pub fn look(question: &Question) -> Option<Hindrance> {
    let Question { attempt, mount_ns, .. } = question;
    let itself = || Place::of_process(&format!("/proc/{}/task/{}", question.pid, question.tid), *mount_ns);
    // Most processes are gone soon after such a failure. Who started them is at the same place, mostly.
    let parent = || Place::of_process(&format!("/proc/{}", question.parent?), *mount_ns);
    if let Some(place) = itself() {
        return place.find(attempt, question.errno);
    }
    if attempt.dir.is_some() {
        // Only the process itself could say what its descriptor was.
        return None;
    }
    let place = parent().or_else(|| Place::own(*mount_ns))?;
    place.find(attempt, question.errno)
}

/// Where a process looks for files.
struct Place {
    root: OwnedFd,
    /// Its directory in `/proc`; none for the daemon's own place, of which only the root is of use.
    process: Option<OwnedFd>,
}

/// What a path leads to.
enum Found {
    /// A file of any type, not opened yet.
    File(OwnedFd),
    Nothing,
    /// It cannot be told.
    Unknown,
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Place {
    /// The place of a process; none where it is gone, or is in another mount namespace (another one has its number now).
    fn of_process(folder: &str, mount_ns: u32) -> Option<Self> {
        let process = open(folder, DIRECTORY, Mode::empty()).ok()?;
        if !is_in(&process, mount_ns) {
            return None;
        }
        let root = rustix::fs::openat(&process, "root", DIRECTORY, Mode::empty()).ok()?;
        Some(Self { root, process: Some(process) })
    }

    /// The daemon's own place, if the mount namespace is the same.
    fn own(mount_ns: u32) -> Option<Self> {
        let own = open("/proc/self", DIRECTORY, Mode::empty()).ok()?;
        if !is_in(&own, mount_ns) {
            return None;
        }
        Some(Self { root: open("/", DIRECTORY, Mode::empty()).ok()?, process: None })
    }

    fn find(&self, attempt: &Attempt, errno: u32) -> Option<Hindrance> {
        let missing = errno == Errno::NOENT.raw_os_error().unsigned_abs();
        let mut path = self.absolute(attempt.dir, &attempt.path)?;
        let mut named: Option<Vec<u8>> = None;
        let mut last = false;
        for _ in 0..=INTERPRETERS {
            let hindrance = |reason| {
                let interpreter = named.as_ref().map(|name| String::from_utf8_lossy(name).into_owned());
                Some(Hindrance { reason, interpreter })
            };
            let file = match self.open(&path) {
                Found::File(file) => file,
                // The file itself was not there: a miss.
                Found::Nothing if missing && named.is_some() => return hindrance(Reason::Missing),
                Found::Nothing | Found::Unknown => return None,
            };
            let refused = refusal(&file);
            if let (false, Some(reason)) = (missing, refused) {
                return hindrance(reason);
            }
            if last || refused == Some(Reason::NoFile) {
                return None;
            }
            let name = match interpreter_of(&file)? {
                Interpreter::Script(name) => name,
                Interpreter::Elf(name) => {
                    last = true;
                    name
                }
            };
            path = self.absolute(None, &name)?;
            named = Some(name);
        }
        None
    }

    /// A path from the process's root; none where that cannot be told.
    fn absolute(&self, dir: Option<i32>, path: &[u8]) -> Option<Vec<u8>> {
        if path.starts_with(b"/") {
            return Some(path.to_vec());
        }
        let process = self.process.as_ref()?;
        let link = |name: &str| readlinkat(process, name, Vec::new()).ok().map(|to| to.into_bytes());
        let base = match dir {
            Some(dir) => link(&format!("fd/{dir}"))?,
            None => link("cwd")?,
        };
        // Both links are given as the daemon would reach them.
        let root = link("root")?;
        let below = base.strip_prefix(root.strip_suffix(b"/").unwrap_or(&root))?;
        if !below.is_empty() && !below.starts_with(b"/") {
            return None;
        }
        Some(if path.is_empty() { below.to_vec() } else { [below, b"/", path].concat() })
    }

    fn open(&self, path: &[u8]) -> Found {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = std::ffi::OsStr::from_bytes(path);
        match openat2(&self.root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Ok(file) => Found::File(file),
            Err(Errno::NOENT | Errno::NOTDIR) => Found::Nothing,
            Err(_) => Found::Unknown,
        }
    }
}

/// Whether a process, given by its directory in `/proc`, is in this mount namespace; 0 is any, as a kernel that does not
/// tell has it.
fn is_in(process: &OwnedFd, mount_ns: u32) -> bool {
    let link = readlinkat(process, "ns/mnt", Vec::new());
    mount_ns == 0 || link.is_ok_and(|link| link.as_bytes() == format!("mnt:[{mount_ns}]").as_bytes())
}

/// What keeps everybody from executing this file.
fn refusal(file: &OwnedFd) -> Option<Reason> {
    let stat = fstat(file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Some(Reason::NoFile);
    }
    if fstatvfs(file).is_ok_and(|host| host.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        return Some(Reason::Mount);
    }
    (stat.st_mode & 0o111 == 0).then_some(Reason::Mode)
}

/// The interpreter of a regular file.
fn interpreter_of(file: &OwnedFd) -> Option<Interpreter> {
    // The file is known to be a regular one, which is opened without effect; what it was opened as cannot be read.
    let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |flags| rustix::fs::openat(CWD, &*again, flags, Mode::empty());
    // Looking leaves no trace in the file's times, where the daemon may ask for that.
    let file = open(flags | OFlags::NOATIME).or_else(|_| open(flags)).ok()?;
    let file = std::fs::File::from(file);
    interpreter::of(|at, length| {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at.saturating_add(filled as u64)) {
                Ok(read @ 1..) => filled += read,
                _ => break,
            }
        }
        bytes.truncate(filled);
        bytes
    })
}
