//! Mounts, by mount namespace.
//!
//! In: `/proc/PID/mountinfo`. Out: the mount that holds a path.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use super::read;

/// How long what was read serves: a flood of failures reads once in that time.
const FRESH: Duration = Duration::from_secs(1);
/// Mount namespaces that are kept at most.
const CAPACITY: usize = 64;
/// File systems that answer from memory. Others, such as NFS and FUSE, may never answer.
const LOCAL: [&str; 13] = [
    "bcachefs", "btrfs", "devtmpfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "rootfs",
    "tmpfs", "xfs",
];

/// A mount.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    /// Where it is, as the processes of its namespace see it.
    pub point: String,
    /// What is mounted: a device, a server and its path, or the name of the file system.
    pub device: String,
    /// The file system's type.
    pub kind: String,
}

/// Mounts of each namespace, and when they were read.
#[derive(Debug, Default)]
pub struct Mounts {
    known: HashMap<u32, (Instant, Vec<Mount>)>,
    /// The daemon's own namespace.
    own: Option<u32>,
}

impl Mounts {
    /// The mounts of a namespace; `process` is the folder below `/proc` of one in it, where there is one left.
    pub fn of(&mut self, namespace: u32, process: Option<&Path>) -> Option<&[Mount]> {
        if self.known.get(&namespace).is_none_or(|(read, _)| read.elapsed() >= FRESH) {
            let own = *self.own.get_or_insert_with(|| own_namespace().unwrap_or_default());
            let folder = process.or((own == namespace).then_some(Path::new("/proc/self")));
            if let Some(text) = folder.and_then(|folder| read(&folder.join("mountinfo"))) {
                if self.known.len() >= CAPACITY {
                    self.known.clear();
                }
                self.known.insert(namespace, (Instant::now(), parse(&text)));
            }
        }
        // What was read before the last process of the namespace ended is better than nothing.
        self.known.get(&namespace).map(|(_, mounts)| mounts.as_slice())
    }
}

/// `mnt:[4026531832]`
fn own_namespace() -> Option<u32> {
    let link = Path::new("/proc/self/ns/mnt").read_link().ok()?;
    link.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok()
}

/// The mount that a path is on, going by its letters.
pub fn holder<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    // Of several on one point the last covers the others, and `max_by_key` takes the last of equals.
    mounts.iter().filter(|mount| path.starts_with(&mount.point)).max_by_key(|mount| mount.point.len())
}

/// Whether this mount and all that the way to it leads through answer from memory.
pub fn all_local(mounts: &[Mount], mount: &Mount) -> bool {
    let mut above = mounts.iter().filter(|above| Path::new(&mount.point).starts_with(&above.point));
    above.all(|mount| LOCAL.contains(&mount.kind.as_str()))
}

/// proc_pid_mountinfo(5): id, parent, device number, root, mount point, options, optional fields up to a `-`, then type,
/// source, options of the file system. A line that is none is left out.
fn parse(text: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let (head, tail) = line.split_once(" - ")?;
        let mut tail = tail.split(' ');
        let (kind, device) = (unescaped(tail.next()?), unescaped(tail.next()?));
        Some(Mount { point: unescaped(head.split(' ').nth(4)?), device, kind })
    };
    text.lines().filter_map(line).collect()
}

/// White space and backslashes are written as `\` and three octal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let octal = others
            .first_chunk::<3>()
            .filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match octal {
            Some(digits) => {
                let value = digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
                bytes.push(value as u8);
                rest = &others[3..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INFO: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n\
23 22 0:21 / /proc rw - proc proc rw\n\
40 22 8:1 / /mnt/my\\040disk rw master:3 propagate_from:2 - xfs /dev/sda1 rw\n\
41 40 0:50 / /mnt/my\\040disk/net rw - nfs4 server:/x rw\n\
42 40 0:51 /sub /mnt/my\\040disk/net/tmp rw - tmpfs tmpfs rw\n\
43 22 8:2 / /mnt/my\\040disk rw - ext4 /dev/sdb1 rw\n\
rubbish\n";

    #[test]
    fn the_longest_mount_point_holds_a_path_and_the_last_covers() {
        let mounts = parse(INFO);
        assert_eq!(mounts.len(), 6);
        for (path, expect) in [
            ("/etc/passwd", "/dev/vda1"),
            ("/", "/dev/vda1"),
            ("/mnt", "/dev/vda1"),
            ("/mnt/my disk", "/dev/sdb1"),
            ("/mnt/my disk2", "/dev/vda1"),
            ("/mnt/my disk/net/file", "server:/x"),
            ("/procfs", "/dev/vda1"),
        ] {
            assert_eq!(holder(&mounts, Path::new(path)).unwrap().device, expect, "{path}");
        }
        assert_eq!(holder(&mounts[1..2], Path::new("/etc")), None);
    }

    #[test]
    fn what_lies_behind_a_network_is_not_asked() {
        let mounts = parse(INFO);
        let local = |path: &str| all_local(&mounts, holder(&mounts, Path::new(path)).unwrap());
        assert!(local("/mnt/my disk/file") && local("/etc"));
        assert!(!local("/mnt/my disk/net/x") && !local("/mnt/my disk/net/tmp/x") && !local("/proc/1"));
    }

    #[test]
    fn the_own_namespace_is_read_without_a_process() {
        let own = own_namespace().unwrap();
        let mut mounts = Mounts::default();
        assert!(mounts.of(own, None).is_some_and(|mounts| mounts.iter().any(|mount| mount.point == "/")));
        assert!(mounts.of(own ^ 1, None).is_none());
        assert!(mounts.of(own ^ 1, Some(Path::new("/proc/self"))).is_some());
        assert!(mounts.of(own ^ 1, None).is_some(), "remembered");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[ -~\\n\\\\0-9]{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_escape_is_undone(point in "/[a-z \\t\\\\/ä]{0,20}") {
            let escaped: String = point.bytes().flat_map(|byte| match byte {
                b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
                byte => vec![byte],
            }).map(char::from).collect::<String>();
            let escaped: Vec<u8> = escaped.chars().map(|c| c as u8).collect();
            let escaped = String::from_utf8(escaped).unwrap();
            prop_assert_eq!(unescaped(&escaped), point);
        }
    }
}
