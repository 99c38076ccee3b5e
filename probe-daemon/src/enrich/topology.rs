//! Which containers there are, and in which pid namespaces.
//!
//! In: what the runtimes tell on their sockets, as changes. Out: the container of an id, or of a pid namespace, out of
//! memory. The tasks that ask the runtimes write, the pipeline reads; neither waits for the other longer than a look into
//! a map takes. The table is bounded.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::event::Container;

mod cri;
mod docker;
mod grpc;
mod http;
mod watch;

pub use watch::{SOCKETS, watch};

/// More containers than any host is known to run; further ones are not told of.
const MOST: usize = 8192;
/// The pid namespace that a kernel begins with, `PROC_PID_INIT_INO` of linux/proc_ns.h.
const INITIAL_PID_NS: i64 = 0xEFFF_FFFC;
/// Labels that are kept of a container and of a pod, each.
const MOST_LABELS: usize = 16;
/// The longest key and value of a label, in bytes. Docker has no bound; Kubernetes' keys have up to 317, values up to 63.
const LABEL_LEN: usize = 256;

/// What has become of a container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// It runs, in a pid namespace that is known.
    Add,
    /// It is there; its pid namespace is not known, or is no more.
    Note,
    /// It is gone.
    Delete,
}

/// What a change lacks.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum TopologyError {
    /// It is about no container.
    #[error("a change names no container")]
    NoContainer,
    /// No pid namespace has such a number.
    #[error("{0} is the number of no pid namespace")]
    PidNamespace(i64),
    /// It is of a kind that says nothing of whether a container is there.
    #[error("a change of the unknown kind {0:?}")]
    UnknownKind(String),
    /// There is no room.
    #[error("there are more than {MOST} containers")]
    Full,
}

impl Change {
    /// What Docker and podman call it.
    ///
    /// # Errors
    /// [`TopologyError::UnknownKind`]
    pub fn of_docker(action: &str) -> Result<Self, TopologyError> {
        match action {
            "start" | "restart" | "rename" | "update" => Ok(Self::Add),
            "create" | "init" | "die" | "died" | "stop" | "kill" | "oom" => Ok(Self::Note),
            "destroy" | "remove" => Ok(Self::Delete),
            other => Err(TopologyError::UnknownKind(other.to_owned())),
        }
    }

    /// `ContainerEventType` of the CRI.
    ///
    /// # Errors
    /// [`TopologyError::UnknownKind`]
    pub fn of_cri(kind: i32) -> Result<Self, TopologyError> {
        match kind {
            0 | 2 => Ok(Self::Note),
            1 => Ok(Self::Add),
            3 => Ok(Self::Delete),
            other => Err(TopologyError::UnknownKind(other.to_string())),
        }
    }
}

/// A container, and the socket that told of it.
struct Entry {
    container: Arc<Container>,
    source: usize,
    /// Whether it ran when it was looked at.
    running: bool,
}

#[derive(Default)]
struct Tables {
    by_id: HashMap<String, Entry>,
    /// Ids of those who share a pid namespace, as containers of one pod may.
    by_pid_ns: HashMap<i64, Vec<String>>,
}

/// The containers of this host.
pub struct Topology {
    tables: RwLock<Tables>,
    /// The daemon's own pid namespace, which is the host's: who shares it is in no container because of that.
    own_pid_ns: i64,
    changes: AtomicU64,
    wanted: Notify,
    /// Whether it was said that there is no room.
    full: AtomicBool,
}

impl Default for Topology {
    fn default() -> Self {
        let own_pid_ns = pid_ns(Path::new("/proc/self")).unwrap_or(INITIAL_PID_NS);
        Self {
            tables: RwLock::default(),
            own_pid_ns,
            changes: AtomicU64::new(0),
            wanted: Notify::new(),
            full: AtomicBool::new(false),
        }
    }
}

impl Topology {
    /// Takes a change over; `source` is the socket that told of it.
    ///
    /// # Errors
    /// What the change lacks; then nothing has changed.
    pub fn apply(&self, source: usize, change: Change, container: Container) -> Result<(), TopologyError> {
        if change == Change::Add && container.pid_namespace <= 0 {
            return Err(TopologyError::PidNamespace(container.pid_namespace));
        }
        self.put(source, change, container, change == Change::Add)
    }

    fn put(
        &self,
        source: usize,
        change: Change,
        container: Container,
        running: bool,
    ) -> Result<(), TopologyError> {
        if container.id.is_empty() {
            return Err(TopologyError::NoContainer);
        }
        let mut tables = self.write();
        let before = tables.by_id.get(&container.id);
        // A pod's container is known to Docker as well, without its pod.
        let poorer = |before: &Entry| {
            before.source != source && !before.container.pod.is_empty() && container.pod.is_empty()
        };
        if before.is_some_and(poorer) {
            return Ok(());
        }
        if before.is_none() && change != Change::Delete && tables.by_id.len() >= MOST {
            return Err(TopologyError::Full);
        }
        tables.forget(&container.id);
        if change != Change::Delete {
            let pid_ns = container.pid_namespace;
            if change == Change::Add && pid_ns > 0 && pid_ns != INITIAL_PID_NS && pid_ns != self.own_pid_ns {
                tables.by_pid_ns.entry(pid_ns).or_default().push(container.id.clone());
            }
            tables
                .by_id
                .insert(container.id.clone(), Entry { container: Arc::new(container), source, running });
        }
        drop(tables);
        self.changes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The container of an id.
    pub fn by_id(&self, id: &str) -> Option<Arc<Container>> {
        self.read().by_id.get(id).map(|entry| Arc::clone(&entry.container))
    }

    /// The container whose processes live in that pid namespace. Of those who share one, what they have in common: their
    /// pod.
    pub fn by_pid_ns(&self, pid_ns: i64) -> Option<Arc<Container>> {
        let tables = self.read();
        let ids = tables.by_pid_ns.get(&pid_ns)?;
        let entry = tables.by_id.get(ids.first()?)?;
        if ids.len() == 1 {
            return Some(Arc::clone(&entry.container));
        }
        let Container { pod, sandbox_id, namespace, pod_uid, pod_labels, .. } =
            Container::clone(&entry.container);
        Some(Arc::new(Container { pod, sandbox_id, namespace, pod_uid, pod_labels, ..Container::default() }))
    }

    /// Counts changes, so that others see whether there was one.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Says that somebody has asked for a container that is not known.
    pub fn want(&self) {
        self.wanted.notify_waiters();
    }

    /// Waits until somebody has.
    async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether this socket has told that the container runs.
    fn runs(&self, source: usize, id: &str) -> bool {
        let tables = self.read();
        tables.by_id.get(id).is_some_and(|entry| entry.source == source && entry.running)
    }

    /// Forgets what a socket has told of and does not tell of any more.
    fn keep(&self, source: usize, still: impl Fn(&str) -> bool) {
        let mut tables = self.write();
        let gone =
            |(id, entry): (&String, &Entry)| (entry.source == source && !still(id)).then(|| id.clone());
        let gone: Vec<String> = tables.by_id.iter().filter_map(gone).collect();
        gone.iter().for_each(|id| tables.forget(id));
    }

    /// Takes over what a runtime says; what is wrong with it is the runtime's fault and changes nothing.
    fn tell(&self, source: usize, change: Change, container: Container) {
        // One whose first process has ended since, or cannot be looked at, is in no namespace that is known.
        match self.put(source, change, container, change == Change::Add) {
            Err(error @ TopologyError::Full) if !self.full.swap(true, Ordering::Relaxed) => {
                warn!("{error}; records tell less of those for which there is no room");
            }
            Err(error) => debug!(%error, "a container runtime told of a change that is none"),
            Ok(()) => {}
        }
    }

    /// The same of a container that does not run, unless this socket has said so before.
    fn note_once(&self, source: usize, container: Container) {
        let same = |entry: &Entry| entry.source == source && !entry.running;
        if !self.read().by_id.get(&container.id).is_some_and(same) {
            self.tell(source, Change::Note, container);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn forget(&mut self, id: &str) {
        let Some(before) = self.by_id.remove(id) else { return };
        let pid_ns = before.container.pid_namespace;
        if let Some(ids) = self.by_pid_ns.get_mut(&pid_ns) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.by_pid_ns.remove(&pid_ns);
            }
        }
    }
}

/// The pid namespace of the processes that a process, given by its folder of `/proc`, makes.
fn pid_ns(process: &Path) -> Option<i64> {
    i64::try_from(fs::metadata(process.join("ns/pid_for_children")).ok()?.ino()).ok()
}

/// Adds to a container which process is its first.
fn with_pid(container: Container, pid: i64) -> Container {
    if pid <= 0 {
        return container;
    }
    let pid_namespace = pid_ns(&Path::new("/proc").join(pid.to_string())).unwrap_or_default();
    Container { pid, pid_namespace, ..container }
}

/// Labels, as far as there is room for them, without those that say what a record has anyway.
fn labels(all: impl IntoIterator<Item = (String, String)>) -> std::collections::BTreeMap<String, String> {
    let said = |key: &str| {
        ["io.kubernetes.", "io.cri-containerd.", "io.container.manager"].iter().any(|it| key.starts_with(it))
    };
    let mut all: Vec<(String, String)> =
        all.into_iter().filter(|(key, _)| !said(key) && key.len() <= LABEL_LEN).collect();
    // Which ones there is room for does not depend on the order in which they come.
    all.sort();
    let short = |value: String| {
        if value.len() <= LABEL_LEN {
            value
        } else {
            value[..value.floor_char_boundary(LABEL_LEN)].to_owned()
        }
    };
    all.into_iter().take(MOST_LABELS).map(|(key, value)| (key, short(value))).collect()
}

#[cfg(test)]
mod tests;
