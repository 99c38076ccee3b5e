//! What outlives the daemon: maps and links, pinned in a BPF file system.
//!
//! In: a directory of `/sys/fs/bpf`. Out: the kernel sides that earlier daemons have left there, and a place for this one's.
//!
//! ```text
//! <event.pin_dir>/<layout>-<object>/maps/RING …    all maps but the read-only ones
//! <event.pin_dir>/<layout>-<object>/links/sys_exit …    a link for each program that is attached
//! ```
//!
//! `layout` is [`LAYOUT`]; `object` is a digest of everything that makes two kernel sides differ: programs, offsets, sizes. A
//! kernel side is put together under another name, and renamed when it is whole. Its ledger knows which maps belong to
//! it, so that one whose pins were touched is not taken for whole.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Map, MapData, MapInfo},
    programs::links::{FdLink, LinkType, PinnedLink},
};
use probe_common::{CONTROL, Control, LAYOUT, LEDGER, Ledger, digest, digest_of};
use tracing::{debug, info, warn};

use super::{
    KernelError,
    maps::{Maps, array},
};

/// `BPF_FS_MAGIC` of include/uapi/linux/magic.h.
const BPF_FS: u64 = 0xcafe_4a11;
/// A kernel side that is being put together.
const UNFINISHED: &str = "unfinished";
/// Read-only maps hold nothing but what the programs were loaded with.
const READ_ONLY: &str = ".rodata";

/// The directory, of which one daemon at a time has the lock.
pub struct Pins {
    root: PathBuf,
    keep: bool,
    _lock: File,
}

impl Pins {
    /// Opens the directory. None where there is no place for pins, or nobody wants them and none are there; a warning says
    /// what to do.
    ///
    /// # Errors
    /// [`KernelError::Busy`] where another daemon has it.
    pub fn open(root: &Path, keep: bool) -> Result<Option<Self>, KernelError> {
        if !keep && !root.exists() {
            return Ok(None);
        }
        match lock(root) {
            Ok(lock) => {
                let pins = Self { root: root.to_owned(), keep, _lock: lock };
                pins.exclude_self();
                Ok(Some(pins))
            }
            Err(TryLockError::WouldBlock) => Err(KernelError::Busy("unknown".to_owned())),
            Err(TryLockError::Error(error)) => {
                warn!(
                    dir = %root.display(),
                    "nothing is captured while this daemon is down after a crash: {error}; mount a BPF file system \
                     (`mount -t bpf bpf /sys/fs/bpf`) and let event.pin_dir be in it, without a dot in its path; \
                     event.pin = \"off\" does without"
                );
                Ok(None)
            }
        }
    }

    /// Takes down what a daemon that was killed has left, where nothing is to be captured any more.
    pub fn clear(root: &Path) {
        if let Ok(Some(pins)) = Self::open(root, false) {
            for side in pins.sides() {
                side.remove();
                info!("programs of an earlier daemon were taken down; what it had not delivered is lost");
            }
            pins.give_back();
        }
    }

    /// Whether this daemon's kernel side is to be pinned.
    pub fn keep(&self) -> bool {
        self.keep
    }

    /// All kernel sides that are there, whole or not. Nothing else in the directory is touched.
    pub fn sides(&self) -> Vec<Side> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.map(|entry| Side { dir: entry.path() }).filter(Side::is_one).collect()
    }

    /// Programs that run already exclude this process from now on, and not its predecessor.
    fn exclude_self(&self) {
        for mut side in self.sides().into_iter().filter(Side::has_this_layout) {
            let excluded = side.get::<Control>(CONTROL).and_then(|control| {
                let control = Control { own: std::process::id(), ..control };
                let mut map = array(&mut side, CONTROL)?;
                map.set(0, control, 0).map_err(|e| KernelError::refused("writing a map", e))
            });
            if let Err(error) = excluded {
                debug!(%error, "a kernel side that is not whole");
            }
        }
    }

    /// Pins the maps of an object that was just loaded, as a kernel side that is not whole yet.
    pub fn pin(&self, bpf: &Ebpf) -> io::Result<Side> {
        let side = Side { dir: self.root.join(UNFINISHED) };
        if side.dir.exists() {
            fs::remove_dir_all(&side.dir)?;
        }
        for dir in [side.maps(), side.links()] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        for (name, map) in bpf.maps().filter(|(name, _)| !name.starts_with(READ_ONLY)) {
            map.pin(side.path(name)).map_err(io::Error::other)?;
        }
        Ok(side)
    }

    /// Gives back a directory that is empty.
    pub fn give_back(&self) {
        if let Err(error) = fs::remove_dir(&self.root) {
            debug!(%error, dir = %self.root.display(), "not removed");
        }
    }
}

/// One kernel side, as it is pinned.
pub struct Side {
    dir: PathBuf,
}

impl Side {
    /// The name of a kernel side that these bytes make.
    pub fn name(parts: &[&[u8]]) -> String {
        let object = parts.iter().fold(digest_of(b"object"), |hash, part| digest(hash, part));
        format!("{LAYOUT:016x}-{object:016x}")
    }

    fn file_name(&self) -> &str {
        self.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    fn is_one(&self) -> bool {
        let is_digest = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let name = self.file_name();
        self.dir.is_dir()
            && (name == UNFINISHED
                || name
                    .split_once('-')
                    .is_some_and(|(layout, object)| is_digest(layout) && is_digest(object)))
    }

    /// Whether this is what `name` says, and whole.
    pub fn is(&mut self, name: &str) -> bool {
        self.file_name() == name && self.is_whole()
    }

    /// Whether its records and counts are laid out as this daemon reads them.
    pub fn has_this_layout(&self) -> bool {
        self.file_name().starts_with(&format!("{LAYOUT:016x}-"))
    }

    /// Whether all its maps are there, and no others. Ask only where the layout is this daemon's.
    pub fn is_whole(&mut self) -> bool {
        let ledger = self.get::<Ledger>(LEDGER);
        ledger.is_ok_and(|ledger| self.digest().is_ok_and(|digest| digest == ledger.maps))
    }

    /// Which maps these are.
    pub fn digest(&self) -> Result<u64, KernelError> {
        let mut hash = digest_of(b"maps");
        for (name, path) in self.pinned().map_err(|e| KernelError::refused("reading event.pin_dir", e))? {
            let map = MapInfo::from_pin(path).map_err(|e| KernelError::refused("opening a pinned map", e))?;
            hash = digest(digest(hash, name.as_bytes()), &map.id().to_le_bytes());
        }
        Ok(hash)
    }

    /// It is whole: from now on a daemon can go on with it.
    pub fn complete(&mut self, name: &str) -> io::Result<()> {
        let dir = self.dir.with_file_name(name);
        fs::rename(&self.dir, &dir)?;
        self.dir = dir;
        Ok(())
    }

    /// The first value of an array.
    pub fn get<V: Pod>(&mut self, name: &'static str) -> Result<V, KernelError> {
        array(self, name)?.get(&0, 0).map_err(|e| KernelError::refused("reading a map", e))
    }

    /// Lets a loader take these maps instead of making its own.
    pub fn lend<'a>(maps: &'a [(String, PathBuf)], loader: &mut EbpfLoader<'a>) {
        for (name, path) in maps {
            loader.map_pin_path(name.as_str(), path.as_path());
        }
    }

    /// Its maps, by name.
    pub fn pinned(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let mut maps = Vec::new();
        for entry in fs::read_dir(self.maps())? {
            let entry = entry?;
            // A BPF file system has no dots in names, and no map has a hyphen.
            maps.push((entry.file_name().to_string_lossy().replace('-', "."), entry.path()));
        }
        maps.sort();
        Ok(maps)
    }

    fn path(&self, map: &str) -> PathBuf {
        self.maps().join(map.replace('.', "-"))
    }

    fn maps(&self) -> PathBuf {
        self.dir.join("maps")
    }

    /// Where its links are.
    pub fn links(&self) -> PathBuf {
        self.dir.join("links")
    }

    /// Whether a program of it runs.
    pub fn runs(&self) -> bool {
        fs::read_dir(self.links())
            .is_ok_and(|mut links| links.any(|link| link.is_ok_and(|link| open_link(&link.path()).is_some())))
    }

    /// Detaches its programs; the ids of their links.
    pub fn detach(&self) -> Vec<u32> {
        let mut ids = Vec::new();
        for link in fs::read_dir(self.links()).into_iter().flatten().flatten() {
            ids.extend(open_link(&link.path()).and_then(|link| link.info().ok()).map(|info| info.id()));
            if let Err(error) = fs::remove_file(link.path()) {
                warn!(%error, link = %link.path().display(), "a program of an earlier daemon cannot be detached");
            }
        }
        ids
    }

    /// Removes it. What runs is detached, and what the maps hold is gone.
    pub fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            warn!(%error, dir = %self.dir.display(), "pins cannot be removed; remove the directory");
        }
    }
}

impl Maps for Side {
    fn take(&mut self, name: &'static str) -> Result<Map, KernelError> {
        let refused = |e| KernelError::refused("opening a pinned map", e);
        MapData::from_pin(self.path(name)).and_then(Map::from_map_data).map_err(refused)
    }
}

/// A pinned link; none where the file is something else. The kernel opens whatever it is, and tells of a map in the same
/// words.
pub fn open_link(path: &Path) -> Option<FdLink> {
    let link = FdLink::from(PinnedLink::from_pin(path).ok()?);
    link.info()
        .and_then(|info| info.link_type())
        .is_ok_and(|kind| kind == LinkType::RawTracePoint)
        .then_some(link)
}

fn lock(root: &Path) -> Result<File, TryLockError> {
    let there = root.ancestors().find(|dir| dir.exists()).unwrap_or(root);
    let kind = rustix::fs::statfs(there).map_err(|error| TryLockError::Error(error.into()))?.f_type;
    if u64::from_ne_bytes(kind.to_ne_bytes()) != BPF_FS {
        let error = io::Error::other(format!("{} is in no BPF file system", there.display()));
        return Err(TryLockError::Error(error));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(TryLockError::Error)?;
    let lock = File::open(root).map_err(TryLockError::Error)?;
    lock.try_lock()?;
    Ok(lock)
}
