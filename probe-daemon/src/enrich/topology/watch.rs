//! One socket of a container runtime, for as long as the daemon runs.
//!
//! In: the path of a socket. Out: changes of the [`Topology`]. A socket that is not there costs a look at a path now and
//! then; one that hangs, ends, or answers what nobody understands is tried again, ever more rarely.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::UnixStream,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{Topology, cri, docker};

/// Where runtimes have their sockets.
pub const SOCKETS: [&str; 6] = [
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
];

/// How often it is looked whether a socket is there by now.
const ABSENT: Duration = Duration::from_secs(5);
/// The longest pause between attempts.
const LONGEST: Duration = Duration::from_secs(60);
/// What a runtime has for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often all containers are listed where the runtime tells of changes by itself, and where it does not.
const WITH_EVENTS: Duration = Duration::from_secs(60);
const WITHOUT_EVENTS: Duration = Duration::from_secs(5);
/// The shortest time between two lists, however many containers are asked for that are not known.
const LIST: Duration = Duration::from_secs(1);

/// Why a socket is of no use for now.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nobody listens.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// No answer.
    #[error("no answer to {0} within {PATIENCE:?}")]
    Hangs(&'static str),
    /// The other side has gone.
    #[error("the connection has ended")]
    Ended,
    /// An answer that is none.
    #[error("{0}")]
    Answer(String),
}

/// A socket, and where to tell of what it says.
pub struct Socket {
    /// Its path.
    pub path: PathBuf,
    /// Tells apart what the sockets have told of.
    pub source: usize,
    /// The table.
    pub topology: Arc<Topology>,
}

impl Socket {
    /// A new connection.
    pub async fn connect(&self) -> Result<UnixStream, SocketError> {
        timed("connect", async { UnixStream::connect(&self.path).await.map_err(SocketError::Connect) }).await
    }

    /// Says, once for each connection, who answers.
    pub fn answers(&self, runtime: Option<&str>) {
        let runtime = runtime.unwrap_or("unknown");
        info!(socket = %self.path.display(), runtime, "a container runtime tells of its containers");
    }

    /// Waits until all containers are to be listed again; the last time was `last`.
    pub async fn due(&self, last: Instant, events: bool) {
        let next = last + if events { WITH_EVENTS } else { WITHOUT_EVENTS };
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = self.topology.wanted() => tokio::time::sleep_until(next.min(last + LIST)).await,
        }
    }
}

/// An answer, if it comes in time.
pub async fn timed<T>(
    what: &'static str,
    answer: impl Future<Output = Result<T, SocketError>>,
) -> Result<T, SocketError> {
    timeout(PATIENCE, answer).await.map_err(|_| SocketError::Hangs(what))?
}

/// Follows what a socket tells; it never ends by itself.
pub async fn watch(path: PathBuf, source: usize, topology: Arc<Topology>) {
    let socket = Socket { path, source, topology };
    let (mut docker_first, mut pause, mut told) =
        (speaks_docker(&socket.path), Duration::ZERO, String::new());
    loop {
        if tokio::fs::metadata(&socket.path).await.is_err() {
            (pause, told) = (Duration::ZERO, String::new());
            sleep(ABSENT).await;
            continue;
        }
        let begun = Instant::now();
        // On the heap only while there is a connection.
        let ended = if docker_first {
            Box::pin(docker::follow(&socket)).await
        } else {
            Box::pin(cri::follow(&socket)).await
        };
        let Err(error) = ended;
        let (shown, error) = (socket.path.display(), error.to_string());
        if begun.elapsed() > LONGEST {
            (pause, told) = (Duration::ZERO, String::new());
        }
        if error == told {
            debug!(socket = %shown, error, "a container runtime's socket is still of no use");
        } else {
            warn!(
                socket = %shown, error,
                "a container runtime's socket is of no use for now; it is tried again, and containers.sockets says which there are"
            );
            told = error;
        }
        if begun.elapsed() < PATIENCE && name_says_nothing(&socket.path) {
            docker_first = !docker_first;
        }
        pause = (pause * 2).clamp(Duration::from_secs(1), LONGEST);
        sleep(pause).await;
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn speaks_docker(path: &Path) -> bool {
    matches!(file_name(path), "docker.sock" | "podman.sock")
}

fn name_says_nothing(path: &Path) -> bool {
    !SOCKETS.iter().any(|known| file_name(Path::new(known)) == file_name(path))
}
