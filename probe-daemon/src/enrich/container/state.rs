//! What container runtimes tell of a container, and what they keep on disk of it.
//!
//! In: its id. Out: the [`Container`]; what a runtime tells on its socket goes before. The answers are kept; where there is
//! none the files are looked for again later, since a runtime may write them after the container's first event.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Place, below, of_kubernetes};
use crate::{
    enrich::{cache::Cache, topology::Topology},
    event::Container,
};

/// More than any real file of one container has; the list of all of them is cut off here as well.
const MAX_BYTES: u64 = 4 << 20;
/// How long it is taken for granted that no runtime knows a container.
const MISS: Duration = Duration::from_secs(5);

/// Folders of containerd's tasks, with a folder for each of its own namespaces.
const TASKS: [&str; 2] =
    ["/run/containerd/io.containerd.runtime.v2.task", "/run/k3s/containerd/io.containerd.runtime.v2.task"];
/// Where CRI-O and podman keep containers.
const STORAGES: [&str; 2] =
    ["/run/containers/storage/overlay-containers", "/var/lib/containers/storage/overlay-containers"];

/// The containers of this host.
pub struct Containers {
    root: PathBuf,
    topology: Arc<Topology>,
    known: Cache<String, (Instant, Option<Arc<Container>>)>,
}

impl Containers {
    /// What the runtimes tell on their sockets is in `topology`.
    pub fn new(topology: Arc<Topology>) -> Self {
        Self::at("/".into(), topology)
    }

    pub(super) fn at(root: PathBuf, topology: Arc<Topology>) -> Self {
        Self { root, topology, known: Cache::default() }
    }

    /// Counts what the runtimes have told.
    pub fn changes(&self) -> u64 {
        self.topology.changes()
    }

    /// The container of a process in that place and pid namespace: that of its cgroup, or where that says nothing the one
    /// whose pid namespace it is.
    pub fn find(&mut self, place: &Place, pid_ns: u32) -> Option<Arc<Container>> {
        match &place.container {
            Some(id) => self.by_id(id),
            None => self.topology.by_pid_ns(pid_ns.into()),
        }
    }

    fn by_id(&mut self, id: &str) -> Option<Arc<Container>> {
        let key = id.to_owned();
        // Kept, since a process may be told of after its container is gone. No id is ever another container's.
        if let Some(container) = self.topology.by_id(id) {
            self.known.put(key, (Instant::now(), Some(Arc::clone(&container))));
            return Some(container);
        }
        if let Some((at, container)) = self.known.get(&key)
            && (container.is_some() || at.elapsed() < MISS)
        {
            return container.clone();
        }
        self.topology.want();
        let found = self.docker(id).or_else(|| self.containerd(id)).or_else(|| self.storage(id));
        let found = found.map(|container| Arc::new(Container { id: id.to_owned(), ..container }));
        self.known.put(key, (Instant::now(), found.clone()));
        found
    }

    fn docker(&self, id: &str) -> Option<Container> {
        let path = format!("/var/lib/docker/containers/{id}/config.v2.json");
        let config = json(&below(&self.root, &path))?;
        let name = text(&config["Name"])?;
        Some(Container {
            runtime: Some("docker"),
            name: name.trim_start_matches('/').to_owned(),
            image: text(&config["Config"]["Image"]).unwrap_or_default(),
            ..kubernetes(&config["Config"]["Labels"])
        })
    }

    fn containerd(&self, id: &str) -> Option<Container> {
        TASKS.into_iter().find_map(|tasks| {
            let spaces = fs::read_dir(below(&self.root, tasks)).ok()?;
            spaces.filter_map(Result::ok).find_map(|space| {
                let config = json(&space.path().join(id).join("config.json"))?;
                // Docker's own containers are in a namespace of containerd as well.
                let runtime = if space.file_name() == "moby" { "docker" } else { "containerd" };
                Some(Container { runtime: Some(runtime), ..kubernetes(&config["annotations"]) })
            })
        })
    }

    /// CRI-O writes annotations for Kubernetes, podman does not; the name and image of its containers are in a list.
    fn storage(&self, id: &str) -> Option<Container> {
        STORAGES.into_iter().find_map(|storage| {
            let folder = below(&self.root, storage);
            let config = json(&folder.join(id).join("userdata/config.json")).unwrap_or_default();
            let state = kubernetes(&config["annotations"]);
            if !state.name.is_empty() {
                return Some(Container { runtime: Some("cri-o"), ..state });
            }
            let list = json(&folder.join("containers.json"))?;
            let entry = list.as_array()?.iter().find(|entry| entry["id"] == id)?;
            let metadata =
                text(&entry["metadata"]).and_then(|text| serde_json::from_str::<Value>(&text).ok());
            let image = metadata.and_then(|metadata| text(&metadata["image-name"]));
            let (name, image) = (text(&entry["names"][0]).unwrap_or_default(), image.unwrap_or_default());
            Some(Container { runtime: Some("podman"), name, image, ..Container::default() })
        })
    }
}

/// What the labels or annotations of a runtime's file say.
fn kubernetes(labels: &Value) -> Container {
    of_kubernetes(|key| text(&labels[key]))
}

fn json(path: &Path) -> Option<Value> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
