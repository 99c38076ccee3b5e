//! Names of users and groups.
//!
//! In: numbers. Out: the names that `/etc/passwd` and `/etc/group` of this host give them. No name service is asked,
//! since one on the network may keep the caller waiting. The files are read again when they have changed.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

/// More than any real file has.
const MAX_BYTES: u64 = 16 << 20;

/// The names of this host.
pub struct Users {
    passwd: Names,
    group: Names,
}

impl Default for Users {
    fn default() -> Self {
        Self { passwd: Names::new("/etc/passwd"), group: Names::new("/etc/group") }
    }
}

impl Users {
    /// The name of a user.
    pub fn user(&mut self, uid: u32) -> Option<String> {
        self.passwd.name(uid)
    }

    /// The name of a group.
    pub fn group(&mut self, gid: u32) -> Option<String> {
        self.group.name(gid)
    }
}

/// One file: its names by number, and which state of the file they are of.
struct Names {
    path: PathBuf,
    read: Option<(u64, i64, i64, u64)>,
    names: HashMap<u32, String>,
}

impl Names {
    fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read: None, names: HashMap::new() }
    }

    fn name(&mut self, id: u32) -> Option<String> {
        let metadata = fs::metadata(&self.path).ok()?;
        let state = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len());
        if self.read != Some(state) {
            let mut bytes = Vec::new();
            let read = File::open(&self.path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
            self.names = read.map(|_| parse(&bytes)).unwrap_or_default();
            self.read = Some(state);
        }
        self.names.get(&id).cloned()
    }
}

/// passwd(5) and group(5): name, password and number come first, with colons in between. Of several names of one
/// number the first counts, as for getpwuid(3).
fn parse(bytes: &[u8]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let mut fields = line.split(':');
        let (name, id) = (fields.next(), fields.nth(1));
        if let (Some(name), Some(Ok(id))) = (name, id.map(str::parse))
            && !name.is_empty()
            && !name.starts_with(['#', '+', '-'])
        {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_that_name_nobody_are_passed_over() {
        let text = "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:\n# note:x:7:\n+nis:x:8::\n:x:9::\nx\nx:y:z\n\n\
                    nobody:*:65534:65534::/:\n";
        let names = parse(text.as_bytes());
        assert_eq!(names.len(), 2);
        assert_eq!((names[&0].as_str(), names[&65534].as_str()), ("root", "nobody"));
    }

    #[test]
    fn a_file_that_changes_is_read_again() {
        let path = std::env::temp_dir().join(format!("passwd-{}", std::process::id()));
        let mut names = Names::new(&path);
        assert_eq!(names.name(7), None);
        fs::write(&path, "a:x:7:\n").unwrap();
        assert_eq!(names.name(7).as_deref(), Some("a"));
        fs::write(&path, "longer:x:7:\n").unwrap();
        assert_eq!(names.name(7).as_deref(), Some("longer"));
        fs::remove_file(&path).unwrap();
        assert_eq!(names.name(7), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read(name in "[a-z_][a-z0-9_-]{0,30}", id in any::<u32>()) {
            let names = parse(format!("{name}:x:{id}:1:gecos:/:/bin/sh\n").as_bytes());
            prop_assert_eq!(names.get(&id), Some(&name));
        }
    }
}
