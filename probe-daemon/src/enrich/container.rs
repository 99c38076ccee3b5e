//! Container, pod and systemd unit.
//!
//! In: the path of a cgroup. Out: [`place`] reads what it says by itself; [`Containers`] finds what the container runtimes
//! say of the container; [`describe`] makes both the attributes of a record's Resource. A path of a shape that no runtime
//! makes says nothing.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::event::Container;

mod state;
pub use state::Containers;

/// What the path of a cgroup says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Id of the innermost container.
    pub container: Option<String>,
    /// Which runtime made it, where the path tells.
    pub runtime: Option<&'static str>,
    /// Id of its pod.
    pub pod: Option<String>,
    /// Hash of the configuration of a static pod, which stands where others have the id.
    pub static_pod: Option<String>,
    /// The systemd unit of a process that is in no container.
    pub unit: Option<String>,
}

/// What runtimes put before the id of a container, and which they are.
const PREFIXES: [(&str, &str); 4] =
    [("docker-", "docker"), ("cri-containerd-", "containerd"), ("crio-", "cri-o"), ("libpod-", "podman")];
/// Folders, and parts of names between colons, that tell the runtime of the id that follows.
const MARKS: [(&str, &str); 5] = [
    ("docker", "docker"),
    ("cri-containerd", "containerd"),
    ("crio", "cri-o"),
    ("libpod", "podman"),
    ("libpod_parent", "podman"),
];
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
/// Hexadecimal digits of a container's id.
const ID: usize = 64;

/// Reads the path of a cgroup, whichever version it is of.
pub fn place(path: &str) -> Place {
    let mut place = Place::default();
    let mut mark = None;
    for name in path.split('/') {
        if let Some((id, runtime)) = container(name, mark) {
            (place.container, place.runtime, place.unit) = (Some(id.to_owned()), runtime, None);
        } else if let Some(pod) = pod(name) {
            place.static_pod = (pod.len() == 32).then(|| pod.clone());
            place.pod = (pod.len() != 32).then_some(pod);
        } else if place.container.is_none() && UNITS.iter().any(|unit| name.ends_with(unit)) {
            place.unit = Some(unescaped(name).to_owned());
        }
        mark = MARKS.into_iter().find(|(mark, _)| *mark == name).map(|(_, runtime)| runtime);
    }
    place
}

/// The id of a container, and its runtime; `mark` is what the folder above tells.
fn container<'a>(name: &'a str, mark: Option<&'static str>) -> Option<(&'a str, Option<&'static str>)> {
    // With a driver that does not fit its runtime a name reads `slice:runtime:id`.
    let mut parts = name.rsplit(':');
    let last = parts.next().unwrap_or_default();
    let mark = match parts.next() {
        Some(part) => MARKS.into_iter().find(|(mark, _)| *mark == part).map(|(_, runtime)| runtime),
        None => mark,
    };
    let last = last.strip_suffix(".scope").unwrap_or(last);
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = last.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some((id, Some(runtime)));
        }
    }
    is_id(last).then_some((last, mark))
}

fn is_id(text: &str) -> bool {
    text.len() == ID && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The id of a pod as Kubernetes has it, or the hash of a static one: `podUID` below kubepods, `kubepods-…-podU_I_D.slice`
/// where systemd makes the cgroups.
fn pod(name: &str) -> Option<String> {
    // A runtime that does not fit its driver appends `:runtime:id` to the slice.
    let name = name.split(':').next()?;
    let (name, by_systemd) = match name.strip_suffix(".slice") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let start =
        if by_systemd { name.find("-pod")? + "-pod".len() } else { name.starts_with("pod").then_some(3)? };
    let id = name.get(start..)?.replace('_', "-");
    let groups: Vec<&str> = id.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    (matches!(lengths.as_slice(), [8, 4, 4, 4, 12] | [32]) && groups.iter().all(|group| is_hex(group)))
        .then_some(id)
}

/// systemd puts `_` before names that the kernel would take for files of its own.
fn unescaped(name: &str) -> &str {
    name.strip_prefix('_').unwrap_or(name)
}

/// What is to stand in the Resource of records from this place; with `labels`, those of container and pod as well.
pub fn describe(
    place: &Place,
    container: Option<&Container>,
    labels: bool,
) -> Vec<(Cow<'static, str>, String)> {
    let nothing = Container::default();
    let container = container.unwrap_or(&nothing);
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let in_pod = !container.pod.is_empty();
    let all = [
        ("container.id", place.container.clone().or_else(|| text(&container.id))),
        ("container.runtime.name", place.runtime.or(container.runtime).map(str::to_owned)),
        ("k8s.pod.uid", place.pod.clone().or_else(|| text(&container.pod_uid))),
        ("gala_gopher.k8s.static_pod.hash", place.static_pod.clone()),
        ("container.name", text(&container.name)),
        ("container.image.name", text(&container.image)),
        ("k8s.container.name", text(&container.name).filter(|_| in_pod)),
        ("k8s.pod.name", text(&container.pod)),
        ("k8s.namespace.name", text(&container.namespace)),
    ];
    let all = all.into_iter().filter_map(|(key, value)| Some((Cow::Borrowed(key), value?)));
    let labelled = |prefix: &'static str, labels: &BTreeMap<String, String>| -> Vec<_> {
        labels.iter().map(|(key, value)| (Cow::Owned(format!("{prefix}{key}")), value.clone())).collect()
    };
    let (own, pods) = match labels {
        true => (
            labelled("container.label.", &container.labels),
            labelled("k8s.pod.label.", &container.pod_labels),
        ),
        false => (Vec::new(), Vec::new()),
    };
    all.chain(own).chain(pods).collect()
}

/// A path below another root than `/`, for tests.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// What the kubelet's names for containers and pods stand for; `value` has the value of a label or an annotation.
pub(super) fn of_kubernetes(mut value: impl FnMut(&str) -> Option<String>) -> Container {
    let mut first = |keys: [&str; 2]| keys.into_iter().find_map(&mut value).unwrap_or_default();
    Container {
        name: first(["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]),
        image: first(["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
        pod: first(["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        namespace: first(["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        pod_uid: first(["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
        sandbox_id: first(["io.kubernetes.cri.sandbox-id", "io.kubernetes.sandbox.id"]),
        ..Container::default()
    }
}

#[cfg(test)]
mod tests;
