//! What stands between a client and a broker. In: a port that the broker advertises as its own. Out: connections that are
//! cut in the middle of a request, and answers that come late.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// The kind of request that carries records.
const PRODUCE: [u8; 2] = [0, 0];

/// A forwarder of connections; it ends with the process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    /// So many requests with records are still to be cut.
    cuts: AtomicU64,
    /// Milliseconds that every second answer is late.
    delay: AtomicU64,
    answers: AtomicU64,
}

impl Proxy {
    /// A port to be advertised; what comes there before [`Proxy::run`] waits.
    pub fn bind() -> Result<(TcpListener, u16)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    }

    /// Forwards what comes to this address.
    pub fn run(listener: TcpListener, to: String) -> Result<Self> {
        let port = listener.local_addr()?.port();
        let faults = Arc::new(Faults::default());
        let shared = Arc::clone(&faults);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&to) else { continue };
                let (Ok(answers), Ok(back)) = (server.try_clone(), client.try_clone()) else { continue };
                let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
                thread::spawn(move || forward(client, server, |bytes| one.cuts(bytes)));
                thread::spawn(move || {
                    forward(answers, back, |_| {
                        other.wait();
                        None
                    })
                });
            }
        });
        Ok(Self { port, faults })
    }

    /// Where clients go.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Cuts the connections of the next requests with records, each in its middle.
    pub fn cut(&self, requests: u64) {
        self.faults.cuts.store(requests, SeqCst);
    }

    /// How many of them are still to come.
    pub fn cuts_left(&self) -> u64 {
        self.faults.cuts.load(SeqCst)
    }

    /// Has every second answer come late.
    pub fn delay(&self, delay: Duration) {
        self.faults.delay.store(delay.as_millis() as u64, SeqCst);
    }
}

impl Faults {
    /// After how many bytes of this request the connection ends.
    fn cuts(&self, request: &[u8]) -> Option<usize> {
        let one = |left: u64| left.checked_sub(1);
        let cut = request.starts_with(&PRODUCE) && self.cuts.fetch_update(SeqCst, SeqCst, one).is_ok();
        cut.then_some(request.len() / 2)
    }

    fn wait(&self) {
        let delay = self.delay.load(SeqCst);
        if delay > 0 && self.answers.fetch_add(1, SeqCst) % 2 == 1 {
            thread::sleep(Duration::from_millis(delay));
        }
    }
}

/// Forwards messages, each with its length before it, until one side ends or `fault` ends it.
fn forward(mut from: TcpStream, mut to: TcpStream, fault: impl Fn(&[u8]) -> Option<usize>) {
    let mut step = || -> std::io::Result<()> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        from.read_exact(&mut message)?;
        let cut = fault(&message);
        to.write_all(&length)?;
        to.write_all(&message[..cut.unwrap_or(message.len())])?;
        if cut.is_some() { Err(ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    };
    while step().is_ok() {}
    for stream in [&from, &to] {
        stream.shutdown(Shutdown::Both).ok();
    }
}
