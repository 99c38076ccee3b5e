//! HTTP/1.1 on a unix socket.
//!
//! In: a connection and a path. Out: the whole of an answer, of bounded length, or its body as it comes.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{Connection, SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::watch::{SocketError, timed};

/// A list of 8,192 containers with twenty labels each has 16 MiB.
const MAX_BYTES: usize = 32 << 20;

/// What drives a connection; somebody has to poll it.
pub type Driver = Connection<TokioIo<UnixStream>, Empty<Bytes>>;

/// One connection: a question at a time.
pub struct Client(SendRequest<Empty<Bytes>>);

impl Client {
    /// On this connection.
    pub async fn new(stream: UnixStream) -> Result<(Self, Driver), SocketError> {
        let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(answer)?;
        Ok((Self(sender), driver))
    }

    /// Asks for something; the answer's body is still to come.
    pub async fn open(&mut self, what: &'static str, path: &str) -> Result<Response<Incoming>, SocketError> {
        let request = Request::get(path).header("Host", "localhost").body(Empty::new());
        let request = request.map_err(|error| SocketError::Answer(error.to_string()))?;
        let asked = async {
            self.0.ready().await.map_err(answer)?;
            self.0.send_request(request).await.map_err(answer)
        };
        let response = timed(what, asked).await?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(SocketError::Answer(format!("{what} is answered with HTTP status {status}"))),
        }
    }

    /// Asks for a document.
    pub async fn get<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        path: &str,
    ) -> Result<T, SocketError> {
        let body = self.open(what, path).await?.into_body();
        let whole = async {
            let body = Limited::new(body, MAX_BYTES).collect().await;
            body.map_err(|error| SocketError::Answer(format!("the answer to {what} breaks off: {error}")))
        };
        let body = timed(what, whole).await?.to_bytes();
        serde_json::from_slice(&body)
            .map_err(|error| SocketError::Answer(format!("the answer to {what} is not understood: {error}")))
    }
}

fn answer(error: hyper::Error) -> SocketError {
    if error.is_closed() || error.is_canceled() || error.is_incomplete_message() {
        SocketError::Ended
    } else {
        SocketError::Answer(format!("this is not HTTP: {error}"))
    }
}
