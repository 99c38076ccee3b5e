//! The API of Docker, which podman speaks as well.
//!
//! In: a socket. Out: changes of the topology: first every container that there is, then what the runtime tells of, and
//! now and then a list again, for what it may have left out.

use std::{
    collections::{BTreeMap, HashSet},
    convert::Infallible,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Change,
    http::Client,
    labels,
    watch::{Socket, SocketError},
    with_pid,
};
use crate::{clock::wall_now, enrich::container::of_kubernetes, event::Container};

/// More than a message of a change has.
const MAX_MESSAGE: usize = 1 << 20;
/// More digits and letters than an id has.
const MAX_ID: usize = 128;

type Labels = Option<BTreeMap<String, String>>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Version {
    components: Option<Vec<Component>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: String,
}

/// A container in a list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    id: String,
    names: Option<Vec<String>>,
    #[serde(default)]
    image: String,
    labels: Labels,
    #[serde(default)]
    state: String,
}

/// A container by itself.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    id: String,
    #[serde(default)]
    name: String,
    state: State,
    config: Config,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    pid: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: Option<String>,
    labels: Labels,
}

/// What has happened to something.
#[derive(Deserialize)]
pub struct Message {
    #[serde(rename = "Type", default)]
    of: String,
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
}

impl Listed {
    /// The same in our words.
    pub fn container(self, runtime: &'static str) -> Container {
        let name = self.names.into_iter().flatten().next().unwrap_or_default();
        described(self.id, &name, self.image, self.labels, runtime)
    }
}

impl Inspected {
    /// The same in our words.
    pub fn container(self, runtime: &'static str) -> Container {
        let image = self.config.image.unwrap_or_default();
        let container = described(self.id, &self.name, image, self.config.labels, runtime);
        with_pid(container, self.state.pid.unwrap_or_default())
    }
}

fn described(id: String, name: &str, image: String, all: Labels, runtime: &'static str) -> Container {
    let mut all = all.unwrap_or_default();
    // What the kubelet writes on containers that it has Docker make.
    let known = of_kubernetes(|key| all.remove(key));
    let name = if known.name.is_empty() { name.trim_start_matches('/').to_owned() } else { known.name };
    Container { id, name, image, labels: labels(all), runtime: Some(runtime), ..known }
}

/// Takes whole messages from the beginning of what has come. They stand one after the other, with or without white space
/// between them.
///
/// # Errors
/// Where there is none, nor can be with more.
pub fn messages(buffer: &mut BytesMut) -> Result<Vec<Message>, SocketError> {
    let mut found = Vec::new();
    let mut stream = serde_json::Deserializer::from_slice(buffer).into_iter();
    let broken = loop {
        match stream.next() {
            Some(Ok(message)) => found.push(message),
            Some(Err(error)) if !error.is_eof() => break Some(error),
            _ => break None,
        }
    };
    let done = stream.byte_offset();
    drop(stream);
    let _ = buffer.split_to(done.min(buffer.len()));
    match broken {
        Some(error) => Err(SocketError::Answer(format!("a change is not understood: {error}"))),
        None if buffer.len() > MAX_MESSAGE => Err(SocketError::Answer("a change has no end".to_owned())),
        None => Ok(found),
    }
}

/// Follows a socket until it fails.
pub async fn follow(socket: &Socket) -> Result<Infallible, SocketError> {
    let (questions, first) = Client::new(socket.connect().await?).await?;
    let (changes, second) = Client::new(socket.connect().await?).await?;
    // Whether the end of a connection matters is for those to say who wait for something on it.
    let driven = async { tokio::join!(first, second) };
    let session = Session { socket, runtime: "docker", questions }.run(changes);
    tokio::select! {
        ended = session => ended,
        _ = driven => Err(SocketError::Ended),
    }
}

struct Session<'s> {
    socket: &'s Socket,
    runtime: &'static str,
    questions: Client,
}

impl Session<'_> {
    async fn run(mut self, mut changes: Client) -> Result<Infallible, SocketError> {
        let version: Version = self.questions.get("/version", "/version").await?;
        let mut components = version.components.into_iter().flatten();
        if components.any(|component| component.name.starts_with("Podman")) {
            self.runtime = "podman";
        }
        // What changes between the list and the first message is told again.
        let since = wall_now() / 1_000_000_000;
        self.list().await?;
        let path = format!("/events?since={since}&filters=%7B%22type%22%3A%5B%22container%22%5D%7D");
        let mut changes = match changes.open("/events", &path).await {
            Ok(response) => Some(response.into_body()),
            // Whoever has no changes to tell of at the time may not begin an answer.
            Err(SocketError::Hangs(_)) => None,
            Err(error) => return Err(error),
        };
        self.socket.answers(Some(self.runtime));
        let mut buffer = BytesMut::new();
        let mut listed = Instant::now();
        loop {
            let due = self.socket.due(listed, changes.is_some());
            let frame = tokio::select! {
                frame = next(&mut changes) => Some(frame?),
                () = due => None,
            };
            match frame {
                Some(bytes) => {
                    buffer.extend_from_slice(&bytes);
                    for message in messages(&mut buffer)? {
                        self.take(message).await?;
                    }
                }
                None => {
                    self.list().await?;
                    listed = Instant::now();
                }
            }
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), SocketError> {
        let Message { of, action, actor: Actor { id } } = message;
        // An action may have details behind a colon, as in `exec_create: sh`.
        let Ok(change) = Change::of_docker(action.split(':').next().unwrap_or_default()) else {
            return Ok(());
        };
        if of != "container" {
            return Ok(());
        }
        if change == Change::Delete {
            let (topology, source) = (&self.socket.topology, self.socket.source);
            topology.tell(source, change, Container { id, ..Container::default() });
            return Ok(());
        }
        self.look_at(&id).await
    }

    /// Takes over what a container is now; one that is gone is no error.
    async fn look_at(&mut self, id: &str) -> Result<(), SocketError> {
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(SocketError::Answer("a container has an id that is none".to_owned()));
        }
        match self
            .questions
            .get::<Inspected>("/containers/{id}/json", &format!("/containers/{id}/json"))
            .await
        {
            Ok(found) => {
                let container = found.container(self.runtime);
                self.socket.topology.tell(self.socket.source, Change::Add, container);
                Ok(())
            }
            Err(SocketError::Answer(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn list(&mut self) -> Result<(), SocketError> {
        let all: Vec<Listed> = self.questions.get("/containers/json", "/containers/json?all=true").await?;
        let ids: HashSet<String> = all.iter().map(|container| container.id.clone()).collect();
        let (topology, source) = (&self.socket.topology, self.socket.source);
        topology.keep(source, |id| ids.contains(id));
        let mut running = Vec::new();
        for container in all {
            if container.state == "running" || container.state == "paused" {
                if !topology.runs(source, &container.id) {
                    running.push(container.id);
                }
            } else {
                topology.note_once(source, container.container(self.runtime));
            }
        }
        for id in running {
            self.look_at(&id).await?;
        }
        Ok(())
    }
}

/// What comes next; never anything where there is nothing to come.
async fn next(changes: &mut Option<Incoming>) -> Result<Bytes, SocketError> {
    match changes {
        None => std::future::pending().await,
        Some(body) => match body.frame().await {
            Some(Ok(frame)) => Ok(frame.into_data().unwrap_or_default()),
            Some(Err(_)) | None => Err(SocketError::Ended),
        },
    }
}
