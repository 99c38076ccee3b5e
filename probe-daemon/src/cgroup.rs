//! Paths of cgroups.
//!
//! In: the id of a cgroup, which is the inode number of its directory. Out: its path below the root of its
//! hierarchy: the memory controller's own on cgroup v1, else the unified one. Looking costs a walk through all
//! cgroups, so what was found is kept, and walks take no more than a given share of the time.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    os::unix::fs::{DirEntryExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::glob;

/// Where cgroups are mounted: the memory controller's hierarchy first, where it has its own, then the unified one
/// beside it or alone.
const ROOTS: [&str; 3] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
/// Paths that are kept at most, and directories that one walk looks at.
const CAPACITY: usize = 16 * 1024;
/// How many times as long as the last walk took no other begins: for an event that may be frequent, and for one that
/// is rare and grave.
pub const FREQUENT: u32 = 100;
/// As above.
pub const RARE: u32 = 1;

/// A cgroup, as the kernel names it and as it is found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cgroup {
    /// Its id; 0 where unknown.
    pub id: u64,
    /// The last name of its path; empty for the root.
    pub name: String,
    /// Its path; none where it is gone or was not looked for.
    pub path: Option<String>,
}

impl Cgroup {
    /// What to call it: the path, else the name alone, which a cgroup that is gone still has.
    pub fn shown(&self) -> &str {
        self.path.as_deref().unwrap_or(&self.name)
    }
}

/// Finds paths, and remembers them.
#[derive(Debug)]
pub struct Cgroups {
    root: PathBuf,
    known: HashMap<u64, String>,
    /// When the last walk ended, and how long it took.
    last_walk: Option<(Instant, Duration)>,
}

impl Cgroups {
    /// Looks at this host's mounts. None known yet.
    pub fn new() -> Self {
        let root = ROOTS.into_iter().find(|root| Path::new(root).is_dir()).unwrap_or_default();
        Self::below(PathBuf::from(root))
    }

    fn below(root: PathBuf) -> Self {
        Self { root, known: HashMap::new(), last_walk: None }
    }

    /// Sets the path of a cgroup, where it can be found. `pause` is [`FREQUENT`] or [`RARE`].
    pub fn find(&mut self, cgroup: &mut Cgroup, pause: u32) {
        if cgroup.id == 0 {
            return;
        }
        let walks = self.last_walk.is_none_or(|(ended, took)| ended.elapsed() >= took * pause);
        if !self.known.contains_key(&cgroup.id) && walks {
            let begun = Instant::now();
            self.walk();
            self.last_walk = Some((Instant::now(), begun.elapsed()));
        }
        cgroup.path = self.known.get(&cgroup.id).cloned();
    }

    /// The ids of cgroups whose paths are like one of these patterns, as they are now.
    pub fn like(&mut self, patterns: &[String]) -> Vec<u64> {
        self.known.clear();
        self.walk();
        let wanted = |path: &str| patterns.iter().any(|pattern| glob::matches(pattern, path));
        self.known.iter().filter(|(_, path)| wanted(path)).map(|(id, _)| *id).collect()
    }

    /// The path of a process's cgroup, where it can be found. That of a process which is still there costs no walk.
    pub fn find_of(&mut self, pid: u32, id: u64) -> Option<String> {
        if id != 0
            && !self.known.contains_key(&id)
            && let Some(path) = self.of_process(pid)
            && fs::metadata(self.root.join(path.trim_start_matches('/'))).is_ok_and(|found| found.ino() == id)
        {
            if self.known.len() >= CAPACITY {
                self.known.clear();
            }
            self.known.insert(id, path);
        }
        let mut cgroup = Cgroup { id, ..Cgroup::default() };
        self.find(&mut cgroup, FREQUENT);
        cgroup.path
    }

    /// What `/proc/PID/cgroup` says: lines of a hierarchy's number, its controllers and the path. The unified one has
    /// number 0 and no controllers.
    fn of_process(&self, pid: u32) -> Option<String> {
        let controller = if self.root.ends_with("memory") { "memory" } else { "" };
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        text.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|it| it == controller).then(|| path.to_owned())
        })
    }

    /// Takes down what there is. What is gone stays known as long as there is room, since an event may come after
    /// the end of its cgroup; the kernel does not use an id again soon.
    fn walk(&mut self) {
        let mut found = HashMap::new();
        if let Ok(metadata) = fs::metadata(&self.root) {
            found.insert(metadata.ino(), "/".to_owned());
        }
        let mut waiting = VecDeque::from([(self.root.clone(), String::new())]);
        while let Some((folder, path)) = waiting.pop_front() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.filter_map(Result::ok) {
                if found.len() >= CAPACITY || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let path = format!("{path}/{}", entry.file_name().to_string_lossy());
                found.insert(entry.ino(), path.clone());
                waiting.push_back((entry.path(), path));
            }
        }
        if self.known.len() + found.len() > CAPACITY {
            self.known.clear();
        }
        self.known.extend(found);
    }
}

impl Default for Cgroups {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroup(id: u64) -> Cgroup {
        Cgroup { id, name: "last".to_owned(), path: None }
    }

    #[test]
    fn a_path_is_found_by_its_inode_and_kept_when_it_is_gone() {
        let root = std::env::temp_dir().join(format!("cgroups-{}", std::process::id()));
        let inner = root.join("kubepods/pod 1");
        fs::create_dir_all(&inner).unwrap();
        let id = fs::metadata(&inner).unwrap().ino();
        let mut cgroups = Cgroups::below(root.clone());

        let mut found = cgroup(id);
        cgroups.find(&mut found, FREQUENT);
        assert_eq!(found.shown(), "/kubepods/pod 1");
        let mut top = cgroup(fs::metadata(&root).unwrap().ino());
        cgroups.find(&mut top, FREQUENT);
        assert_eq!(top.shown(), "/");

        fs::remove_dir_all(&root).unwrap();
        let mut gone = cgroup(id);
        cgroups.find(&mut gone, FREQUENT);
        assert_eq!(gone.shown(), "/kubepods/pod 1");
        for unknown in [0, u64::MAX] {
            let mut unknown = cgroup(unknown);
            cgroups.find(&mut unknown, FREQUENT);
            assert_eq!(unknown.shown(), "last");
        }
    }
}
