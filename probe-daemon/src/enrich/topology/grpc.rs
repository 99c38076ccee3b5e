//! gRPC on a unix socket, as much of it as asking a container runtime takes.
//!
//! In: a connection, a method, a message. Out: the answer, or answers as they come. A whole gRPC library costs more memory
//! than there is to spare for a few questions a minute, and starts tasks of its own.

use std::future::Future;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::{
    RecvStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::net::UnixStream;

use super::watch::{SocketError, timed};

/// Most bytes of a message; runtimes themselves send up to 16 MiB.
const MAX_BYTES: usize = 32 << 20;
/// A byte for compression and four for the length stand before each message.
const PREFIX: usize = 5;

/// A connection.
pub struct Client(SendRequest<Bytes>);

/// Messages as they come. Whoever has nothing to say for now may not even begin to answer.
pub struct Answers {
    beginning: Option<ResponseFuture>,
    body: Option<RecvStream>,
    buffer: BytesMut,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The other side says no.
    #[error("{0}")]
    Status(String),
    /// The connection is of no use.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl From<CallError> for SocketError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Socket(error) => error,
            other => Self::Answer(other.to_string()),
        }
    }
}

impl Client {
    /// On this connection; the other part of what comes out drives it and has to be polled.
    pub async fn new(
        stream: UnixStream,
    ) -> Result<(Self, impl Future<Output = Result<(), h2::Error>>), SocketError> {
        let handshake = async { h2::client::handshake(stream).await.map_err(ended) };
        let (sender, driver) = timed("the beginning of HTTP/2", handshake).await?;
        Ok((Self(sender), driver))
    }

    /// A question with one answer.
    pub async fn call<A: Message + Default>(
        &self,
        method: &'static str,
        question: &impl Message,
    ) -> Result<A, CallError> {
        let called = async {
            let mut answers = self.open(method, question).await?;
            let answer = match answers.next().await {
                Err(CallError::Socket(error)) => return Err(error),
                other => other,
            };
            Ok(answer.and_then(|answer| {
                answer.ok_or_else(|| CallError::Status(format!("{method} has no answer")))
            }))
        };
        timed(method, called).await?
    }

    /// A question with any number of answers.
    pub async fn open(&self, method: &'static str, question: &impl Message) -> Result<Answers, SocketError> {
        let request = Request::post(format!("http://localhost/runtime.v1.RuntimeService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(());
        let request = request.map_err(|error| SocketError::Answer(error.to_string()))?;
        let mut framed = BytesMut::with_capacity(PREFIX + question.encoded_len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(question.encoded_len()).unwrap_or(u32::MAX));
        framed.extend_from_slice(&question.encode_to_vec());
        let mut sender = self.0.clone().ready().await.map_err(ended)?;
        let (response, mut body) = sender.send_request(request, false).map_err(ended)?;
        body.send_data(framed.freeze(), true).map_err(ended)?;
        Ok(Answers { beginning: Some(response), body: None, buffer: BytesMut::new() })
    }
}

impl Answers {
    /// The next one; none after the last. What has come of it is kept where the caller gives up waiting.
    pub async fn next<A: Message + Default>(&mut self) -> Result<Option<A>, CallError> {
        loop {
            if let Some(message) = message(&mut self.buffer)? {
                let answer = A::decode(message);
                return answer
                    .map(Some)
                    .map_err(|error| CallError::Status(format!("an answer is no such message: {error}")));
            }
            let Some(body) = &mut self.body else {
                self.begin().await?;
                continue;
            };
            match body.data().await {
                Some(Ok(chunk)) => {
                    // What is not released the other side may not send again; the connection says if it ended.
                    let _ = body.flow_control().release_capacity(chunk.len());
                    self.buffer.extend_from_slice(&chunk);
                }
                Some(Err(error)) => return Err(ended(error).into()),
                None => {
                    if let Some(trailers) = body.trailers().await.map_err(ended)? {
                        check(&trailers)?;
                    }
                    return Ok(None);
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<(), CallError> {
        let Some(beginning) = &mut self.beginning else { return Err(SocketError::Ended.into()) };
        let response = beginning.await;
        self.beginning = None;
        let response = response.map_err(ended)?;
        if response.status() != 200 {
            return Err(CallError::Status(format!("HTTP status {}", response.status().as_u16())));
        }
        // Where there is nothing to say but that it failed, headers and trailers are one.
        check(response.headers())?;
        self.body = Some(response.into_body());
        Ok(())
    }
}

/// Takes one whole message from the beginning of what has come, if there is one.
///
/// # Errors
/// Where it is compressed, which nobody has asked for, or longer than any.
pub fn message(buffer: &mut BytesMut) -> Result<Option<Bytes>, SocketError> {
    let Some(prefix) = buffer.first_chunk::<PREFIX>() else { return Ok(None) };
    let [compressed, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if compressed != 0 || length > MAX_BYTES {
        return Err(SocketError::Answer("this is not gRPC as it was asked for".to_owned()));
    }
    if buffer.len() < PREFIX + length {
        return Ok(None);
    }
    buffer.advance(PREFIX);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// What the other side says of how it went; silence is consent.
fn check(headers: &HeaderMap) -> Result<(), CallError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").map(str::parse::<u32>) {
        None | Some(Ok(0)) => Ok(()),
        Some(code) => {
            let code = code.unwrap_or_default();
            let message = text("grpc-message").unwrap_or_default();
            let short = &message[..message.floor_char_boundary(256)];
            Err(CallError::Status(format!("gRPC status {code}: {short}")))
        }
    }
}

fn ended(error: h2::Error) -> SocketError {
    if error.is_io() || error.is_go_away() {
        SocketError::Ended
    } else {
        SocketError::Answer(format!("this is not HTTP/2: {error}"))
    }
}
