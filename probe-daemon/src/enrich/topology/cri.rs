//! The Container Runtime Interface of Kubernetes, version 1.
//!
//! In: a socket. Out: changes of the topology. Of the interface's messages this has the fields that are used here, under the
//! numbers that the interface gives them; others are skipped.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
};

use prost::Message;
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Change,
    grpc::{Answers, CallError, Client},
    labels,
    watch::{Socket, SocketError},
    with_pid,
};
use crate::event::Container;

/// `CONTAINER_RUNNING`
const RUNNING: i32 = 1;
/// What stands in place of its name for the process that only holds a pod's namespaces.
const SANDBOX: &str = "";

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct Version {
    #[prost(string, tag = "2")]
    runtime_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sandboxes {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Sandbox>,
}

/// A pod.
#[derive(Clone, PartialEq, Message)]
pub struct Sandbox {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    metadata: Option<SandboxMetadata>,
    #[prost(map = "string, string", tag = "5")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct Containers {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<Listed>,
}

/// A container in a list.
#[derive(Clone, PartialEq, Message)]
pub struct Listed {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    sandbox: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
    #[prost(int32, tag = "6")]
    state: i32,
    #[prost(map = "string, string", tag = "8")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(string, tag = "1")]
    image: String,
    #[prost(string, tag = "18")]
    asked_for: String,
}

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bool, tag = "2")]
    verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
    #[prost(map = "string, string", tag = "2")]
    info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, optional, tag = "8")]
    image: Option<Image>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(int32, tag = "2")]
    kind: i32,
}

/// What runtimes tell in JSON beside the status; the rest of it is not looked at.
#[derive(Deserialize)]
struct Info {
    pid: Option<i64>,
}

impl Sandbox {
    fn container(&self, runtime: Option<&'static str>) -> Container {
        let SandboxMetadata { name, uid, namespace } = self.metadata.clone().unwrap_or_default();
        Container {
            id: self.id.clone(),
            pod: name,
            sandbox_id: self.id.clone(),
            name: SANDBOX.to_owned(),
            namespace,
            runtime,
            pod_uid: uid,
            pod_labels: labels(self.labels.clone()),
            ..Container::default()
        }
    }
}

impl Listed {
    /// The same in our words, with its pod.
    fn container(self, pod: Option<&Sandbox>, runtime: Option<&'static str>) -> Container {
        let of_pod = pod.map(|pod| pod.container(runtime)).unwrap_or_default();
        let image = self.image.unwrap_or_default();
        Container {
            id: self.id,
            sandbox_id: self.sandbox,
            name: self.metadata.unwrap_or_default().name,
            image: image.name(),
            labels: labels(self.labels),
            runtime,
            ..of_pod
        }
    }
}

impl Image {
    /// As people call it, rather than by its checksum, where there is such a name.
    fn name(self) -> String {
        if self.asked_for.is_empty() { self.image } else { self.asked_for }
    }
}

/// Runtimes as records call them.
fn runtime(name: &str) -> Option<&'static str> {
    ["containerd", "cri-o", "docker", "podman"].into_iter().find(|known| *known == name)
}

/// Follows a socket until it fails.
pub async fn follow(socket: &Socket) -> Result<Infallible, SocketError> {
    let (client, driver) = Client::new(socket.connect().await?).await?;
    tokio::select! {
        ended = run(socket, &client) => ended,
        _ = driver => Err(SocketError::Ended),
    }
}

async fn run(socket: &Socket, client: &Client) -> Result<Infallible, SocketError> {
    let version: Version = client.call("Version", &Nothing {}).await?;
    let session = Session { socket, client, runtime: runtime(&version.runtime_name) };
    session.list().await?;
    // Old runtimes have no such method, others have it switched off and say so in their own words.
    let mut changes = Some(client.open("GetContainerEvents", &Nothing {}).await?);
    socket.answers(session.runtime);
    let mut listed = Instant::now();
    loop {
        let due = socket.due(listed, changes.is_some());
        let change = tokio::select! {
            change = next(&mut changes) => Some(change),
            () = due => None,
        };
        match change {
            Some(Ok(Some(Event { id, kind }))) if Change::of_cri(kind) == Ok(Change::Delete) => {
                let gone = Container { id, ..Container::default() };
                socket.topology.tell(socket.source, Change::Delete, gone);
            }
            // A change says less of a container than the list does.
            Some(Ok(Some(_))) | None => {
                session.list().await?;
                listed = Instant::now();
            }
            Some(Err(CallError::Socket(error))) => return Err(error),
            Some(Ok(None) | Err(CallError::Status(_))) => changes = None,
        }
    }
}

async fn next(changes: &mut Option<Answers>) -> Result<Option<Event>, CallError> {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

struct Session<'s> {
    socket: &'s Socket,
    client: &'s Client,
    runtime: Option<&'static str>,
}

impl Session<'_> {
    async fn list(&self) -> Result<(), SocketError> {
        let Sandboxes { items } = self.client.call("ListPodSandbox", &Nothing {}).await?;
        let Containers { containers } = self.client.call("ListContainers", &Nothing {}).await?;
        let pods: HashMap<&str, &Sandbox> = items.iter().map(|pod| (pod.id.as_str(), pod)).collect();
        let ids: HashSet<&str> =
            containers.iter().map(|it| it.id.as_str()).chain(pods.keys().copied()).collect();
        let (topology, source) = (&self.socket.topology, self.socket.source);
        topology.keep(source, |id| ids.contains(id));
        for pod in &items {
            topology.note_once(source, pod.container(self.runtime));
        }
        for listed in containers {
            let (running, pod) = (listed.state == RUNNING, pods.get(listed.sandbox.as_str()).copied());
            let container = listed.container(pod, self.runtime);
            if !running {
                topology.note_once(source, container);
            } else if !topology.runs(source, &container.id) {
                let container = self.with_status(container).await?;
                topology.tell(source, Change::Add, container);
            }
        }
        Ok(())
    }

    /// Adds what only the status tells; a container that is gone by now stays as it is.
    async fn with_status(&self, container: Container) -> Result<Container, SocketError> {
        let request = StatusRequest { id: container.id.clone(), verbose: true };
        let answer: StatusResponse = match self.client.call("ContainerStatus", &request).await {
            Ok(answer) => answer,
            Err(CallError::Socket(error)) => return Err(error),
            Err(_) => return Ok(container),
        };
        let image = answer.status.and_then(|status| status.image).unwrap_or_default().name();
        let image = if image.is_empty() { container.image.clone() } else { image };
        let info = answer.info.get("info").and_then(|text| serde_json::from_str::<Info>(text).ok());
        Ok(with_pid(Container { image, ..container }, info.and_then(|info| info.pid).unwrap_or_default()))
    }
}

/// Reads bytes as each message that a runtime sends.
#[cfg(test)]
pub fn decode_any(bytes: &[u8]) {
    let _ = (Version::decode(bytes), Sandboxes::decode(bytes), Containers::decode(bytes));
    let _ = (StatusResponse::decode(bytes), Event::decode(bytes));
}

/// What a runtime with one pod of so many containers answers; none to what it does not know.
#[cfg(test)]
pub fn fake_answer(method: &str, containers: usize) -> Option<Vec<u8>> {
    let label = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
    let image = || Some(Image { image: "nginx:1.27".into(), asked_for: String::new() });
    match method {
        "Version" => Some(Version { runtime_name: "containerd".into() }.encode_to_vec()),
        "ListPodSandbox" => {
            let metadata =
                SandboxMetadata { name: "shop-0".into(), uid: "9c2e".into(), namespace: "prod".into() };
            let pod =
                Sandbox { id: "sandbox".into(), metadata: Some(metadata), labels: label("app", "shop") };
            Some(Sandboxes { items: vec![pod] }.encode_to_vec())
        }
        "ListContainers" => {
            let listed = |number: usize| Listed {
                id: format!("{number:064x}"),
                sandbox: "sandbox".into(),
                metadata: Some(Metadata { name: "web".into() }),
                image: image(),
                state: RUNNING,
                labels: label("tier", "front"),
            };
            Some(Containers { containers: (0..containers).map(listed).collect() }.encode_to_vec())
        }
        "ContainerStatus" => {
            let info = label("info", &format!(r#"{{"pid":{},"sandboxID":"sandbox"}}"#, std::process::id()));
            Some(StatusResponse { status: Some(Status { image: image() }), info }.encode_to_vec())
        }
        _ => None,
    }
}
