//! The socket of a container runtime of Kubernetes: in come pods, containers and what happens to them, out come the
//! answers of a runtime to whoever asks, and the changes as it tells them.
//!
//! gRPC on HTTP/2. The messages are written by hand, by the field numbers of `runtime/v1/api.proto` of Kubernetes, with
//! some that nobody reads: what the daemon makes of them is not what another part of it has written.

mod message;

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::wait;
use message::{Message, frame, unframe};

/// Less than the minute after which everything is asked for again, whatever was told.
const SOON: Duration = Duration::from_secs(40);

/// A pod.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// The id of its sandbox.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its id in Kubernetes.
    pub uid: String,
    /// Its namespace in Kubernetes.
    pub namespace: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// A container that runs.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// The id of its pod's sandbox.
    pub pod: String,
    /// Its name in its pod.
    pub name: String,
    /// Its image as somebody has asked for it.
    pub image: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Its first process.
    pub pid: u32,
}

/// What happens to a container: `ContainerEventType`.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// `CONTAINER_STARTED_EVENT`
    Started = 1,
    /// `CONTAINER_DELETED_EVENT`
    Deleted = 3,
}

#[derive(Default)]
struct State {
    pods: Vec<Pod>,
    containers: Vec<Container>,
    /// Methods that were asked for, in order.
    asked: Vec<String>,
    /// Who is told of changes.
    streams: Vec<SendStream<Bytes>>,
}

/// A runtime, for as long as the test runs.
#[derive(Clone, Default)]
pub struct Cri(Arc<Mutex<State>>);

impl Cri {
    /// Serves a socket.
    pub fn listen(path: &Path) -> Result<Self> {
        let listener = UnixListener::bind(path);
        let listener = listener.with_context(|| format!("cannot listen at {}", path.display()))?;
        listener.set_nonblocking(true)?;
        let built = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let cri = Self::default();
        let state = cri.clone();
        std::thread::spawn(move || built.block_on(state.accept(listener)));
        Ok(cri)
    }

    /// Has a pod.
    pub fn add_pod(&self, pod: Pod) {
        self.state().pods.push(pod);
    }

    /// Has a container. Nobody is told of it.
    pub fn add(&self, container: Container) {
        self.state().containers.push(container);
    }

    /// Has it no more. Nobody is told of it.
    pub fn remove(&self, id: &str) {
        self.state().containers.retain(|container| container.id != id);
    }

    /// Tells of a change whoever listens.
    pub fn tell(&self, id: &str, change: Change) -> Result<()> {
        let event =
            Message::default().text(1, id).number(2, change as u64).number(3, 1_763_661_600_000_000_000);
        for stream in &mut self.state().streams {
            stream.send_data(frame(&event), false)?;
        }
        Ok(())
    }

    /// How often a method was asked for.
    pub fn asked(&self, method: &str) -> usize {
        self.state().asked.iter().filter(|asked| *asked == method).count()
    }

    /// Waits until a method was asked for so often.
    pub fn wait_for(&self, method: &str, times: usize) -> Result<()> {
        wait::until(&format!("{times} times {method}"), SOON, || {
            Ok((self.asked(method) >= times).then_some(()))
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(self, listener: UnixListener) -> io::Result<Infallible> {
        let listener = tokio::net::UnixListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(self.clone().serve(stream));
        }
    }

    async fn serve(self, stream: tokio::net::UnixStream) -> Result<()> {
        let mut connection = h2::server::handshake(stream).await?;
        while let Some(request) = connection.accept().await {
            let (request, respond) = request?;
            // A question is read, and answered, while the connection is driven here.
            tokio::spawn(self.clone().answer(request, respond));
        }
        Ok(())
    }

    async fn answer(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<()> {
        let header = |name: &str| request.headers().get(name).is_some_and(|value| !value.is_empty());
        let is_grpc = header("content-type") && header("te") && request.method() == "POST";
        let path = request.uri().path().to_owned();
        let mut body = request.into_body();
        let mut question = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            question.extend_from_slice(&chunk);
        }
        let mut state = self.state();
        let method = path.strip_prefix("/runtime.v1.RuntimeService/").filter(|_| is_grpc).unwrap_or_default();
        state.asked.push(method.to_owned());
        let headers = Response::builder().header("content-type", "application/grpc");
        let answer = match method {
            "GetContainerEvents" => {
                state.streams.push(respond.send_response(headers.body(())?, false)?);
                return Ok(());
            }
            _ => state.message(method, unframe(&question)),
        };
        let Some(answer) = answer else {
            let refused = headers.header("grpc-status", "12").header("grpc-message", "unknown method");
            respond.send_response(refused.body(())?, true)?;
            return Ok(());
        };
        let mut body = respond.send_response(headers.body(())?, false)?;
        body.send_data(frame(&answer), false)?;
        body.send_trailers(HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]))?;
        Ok(())
    }
}

impl State {
    /// The answer to a question; none to one that is unknown.
    fn message(&self, method: &str, question: &[u8]) -> Option<Message> {
        let message = Message::default();
        match method {
            "Version" => Some(message.text(1, "0.1.0").text(2, "containerd").text(3, "v2.1.0").text(4, "v1")),
            "ListPodSandbox" => Some(self.pods.iter().fold(message, |all, pod| all.message(1, pod.listed()))),
            "ListContainers" => Some(
                self.containers.iter().fold(message, |all, container| all.message(1, container.listed())),
            ),
            "ContainerStatus" => {
                let (id, verbose) = message::id_and_flag(question)?;
                let found = self.containers.iter().find(|container| container.id == id)?;
                Some(found.status(verbose))
            }
            _ => None,
        }
    }
}

impl Pod {
    fn listed(&self) -> Message {
        let metadata =
            Message::default().text(1, &self.name).text(2, &self.uid).text(3, &self.namespace).number(4, 1);
        let listed = Message::default().text(1, &self.id).message(2, metadata).number(4, 1);
        listed.map(5, &self.labels).text(7, "runc")
    }
}

impl Container {
    fn metadata(&self) -> Message {
        Message::default().text(1, &self.name).number(2, 3)
    }

    /// As runtimes list it: by the checksum of its image.
    fn listed(&self) -> Message {
        let checksum = "sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
        let listed = Message::default().text(1, &self.id).text(2, &self.pod).message(3, self.metadata());
        let listed = listed.message(4, Message::default().text(1, checksum)).text(5, checksum);
        let annotations = [("io.kubernetes.container.restartCount".to_owned(), "3".to_owned())];
        listed.number(6, 1).number(7, 1_763_661_600).map(8, &self.labels).map(9, &annotations)
    }

    fn status(&self, verbose: bool) -> Message {
        let status = Message::default().text(1, &self.id).message(2, self.metadata()).number(3, 1);
        let status = status.message(8, Message::default().text(1, &self.image)).map(12, &self.labels);
        let info = format!(r#"{{"sandboxID":"{}","pid":{},"removing":false}}"#, self.pod, self.pid);
        let info = if verbose { vec![("info".to_owned(), info)] } else { Vec::new() };
        Message::default().message(1, status).map(2, &info)
    }
}
