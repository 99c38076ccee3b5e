//! What container runtimes keep on disk of a container.
//!
//! In: its id, and what the path of its cgroup says. Out: the attributes of a record's Resource that tell of it. The
//! answers are kept; where there is none the files are looked for again later, since a runtime may write them after the
//! container's first event.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Place, below};
use crate::enrich::cache::Cache;

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

/// What a runtime tells.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    runtime: Option<&'static str>,
    name: Option<String>,
    image: Option<String>,
    pod_uid: Option<String>,
    kubernetes: [(&'static str, Option<String>); 3],
}

/// The containers of this host.
pub struct Containers {
    root: PathBuf,
    known: Cache<String, (Instant, Option<State>)>,
}

impl Default for Containers {
    fn default() -> Self {
        Self::at("/".into())
    }
}

impl Containers {
    pub(super) fn at(root: PathBuf) -> Self {
        Self { root, known: Cache::default() }
    }

    /// What is to stand in the Resource of records from this place.
    pub fn describe(&mut self, place: &Place) -> Vec<(&'static str, String)> {
        let state = place.container.as_ref().and_then(|id| self.state(id)).unwrap_or_default();
        let runtime = place.runtime.or(state.runtime).map(str::to_owned);
        let all = [
            ("container.id", place.container.clone()),
            ("container.runtime.name", runtime),
            ("k8s.pod.uid", place.pod.clone().or(state.pod_uid)),
            ("gala_gopher.k8s.static_pod.hash", place.static_pod.clone()),
            ("container.name", state.name),
            ("container.image.name", state.image),
        ];
        let all = all.into_iter().chain(state.kubernetes);
        all.filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?))).collect()
    }

    fn state(&mut self, id: &str) -> Option<State> {
        let key = id.to_owned();
        if let Some((at, state)) = self.known.get(&key)
            && (state.is_some() || at.elapsed() < MISS)
        {
            return state.clone();
        }
        let state = self.docker(id).or_else(|| self.containerd(id)).or_else(|| self.storage(id));
        self.known.put(key, (Instant::now(), state.clone()));
        state
    }

    fn docker(&self, id: &str) -> Option<State> {
        let path = format!("/var/lib/docker/containers/{id}/config.v2.json");
        let config = json(&below(&self.root, &path))?;
        let name = text(&config["Name"])?;
        Some(State {
            runtime: Some("docker"),
            name: Some(name.trim_start_matches('/').to_owned()),
            image: text(&config["Config"]["Image"]),
            ..kubernetes(&config["Config"]["Labels"])
        })
    }

    fn containerd(&self, id: &str) -> Option<State> {
        TASKS.into_iter().find_map(|tasks| {
            let spaces = fs::read_dir(below(&self.root, tasks)).ok()?;
            spaces.filter_map(Result::ok).find_map(|space| {
                let config = json(&space.path().join(id).join("config.json"))?;
                // Docker's own containers are in a namespace of containerd as well.
                let runtime = if space.file_name() == "moby" { "docker" } else { "containerd" };
                Some(State { runtime: Some(runtime), ..kubernetes(&config["annotations"]) })
            })
        })
    }

    /// CRI-O writes annotations for Kubernetes, podman does not; the name and image of its containers are in a list.
    fn storage(&self, id: &str) -> Option<State> {
        STORAGES.into_iter().find_map(|storage| {
            let folder = below(&self.root, storage);
            let config = json(&folder.join(id).join("userdata/config.json")).unwrap_or_default();
            let state = kubernetes(&config["annotations"]);
            if state.name.is_some() {
                return Some(State { runtime: Some("cri-o"), ..state });
            }
            let list = json(&folder.join("containers.json"))?;
            let entry = list.as_array()?.iter().find(|entry| entry["id"] == id)?;
            let metadata =
                text(&entry["metadata"]).and_then(|text| serde_json::from_str::<Value>(&text).ok());
            let image = metadata.and_then(|metadata| text(&metadata["image-name"]));
            Some(State { runtime: Some("podman"), name: text(&entry["names"][0]), image, ..State::default() })
        })
    }
}

/// What the kubelet's names for containers and pods stand for, in labels or in annotations.
fn kubernetes(labels: &Value) -> State {
    let first = |keys: [&str; 2]| keys.into_iter().find_map(|key| text(&labels[key]));
    let name = first(["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]);
    let image = ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"];
    State {
        runtime: None,
        name: name.clone(),
        image: first(image),
        pod_uid: first(["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
        kubernetes: [
            ("k8s.container.name", name),
            ("k8s.pod.name", first(["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"])),
            (
                "k8s.namespace.name",
                first(["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
            ),
        ],
    }
}

fn json(path: &Path) -> Option<Value> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
