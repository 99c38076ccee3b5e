//! A real Apache Kafka and an independent consumer: in come the jars (`KAFKA_LIBS`), out come a broker on
//! free ports with a folder of its own, and the messages of a topic as the Java client reads them.

pub mod certificate;
mod client;
pub mod proxy;
pub mod secured;

pub use client::{PlaceReader, Placed, Reader};

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait;

/// A formatted Kafka, running or not.
#[derive(Debug)]
pub struct Kafka {
    class_path: OsString,
    dir: TempDir,
    port: u16,
    /// Further listeners, by name.
    listeners: Vec<(String, u16)>,
    server: Option<Child>,
}

/// What a Kafka has beside its plain listener.
#[derive(Debug, Default)]
pub struct Setup {
    /// Names and security protocols of further listeners.
    pub listeners: Vec<(&'static str, &'static str)>,
    /// The port that clients of a listener are sent to, where it is not its own.
    pub advertised: Option<(&'static str, u16)>,
    /// Lines of `server.properties`, which win.
    pub properties: String,
    /// Users of SCRAM, as `kafka-storage format --add-scram` takes them.
    pub scram: Vec<String>,
}

/// One message as the Java client prints it.
#[derive(Debug, Clone)]
pub struct Message {
    /// The kind of time and the milliseconds since 1970, as in `CreateTime:1700000000000`.
    pub timestamp: String,
    /// The headers in their order.
    pub headers: Vec<(String, String)>,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
}

/// A running Java consumer of one topic, from its beginning.
#[derive(Debug)]
pub struct Consumer {
    client: Child,
    lines: Receiver<Vec<u8>>,
    /// What it has read so far.
    pub messages: Vec<Message>,
}

impl Kafka {
    /// Formats a new Kafka without running it. Its port is settled: a producer may be given it already.
    pub fn new() -> Result<Self> {
        Self::with(&Setup::default())
    }

    /// The same with more listeners, properties and users.
    pub fn with(setup: &Setup) -> Result<Self> {
        let libs = std::env::var_os("KAFKA_LIBS").context("KAFKA_LIBS must name a folder of Kafka's jars")?;
        let dir = tempfile::Builder::new().prefix("probe-kafka-").tempdir()?;
        let class_path = PathBuf::from(libs).join("*").into_os_string();
        // Both are bound at once, so that they differ.
        let broker = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = broker.local_addr()?.port();
        let controller = control.local_addr()?.port();
        let logs = dir.path().join("logs");
        let mut listeners = Vec::new();
        let (mut more, mut protocols) = (String::new(), String::new());
        let mut bound = Vec::new();
        let mut advertised = format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port}");
        for (name, protocol) in &setup.listeners {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = listener.local_addr()?.port();
            more.push_str(&format!(",{name}://127.0.0.1:{port}"));
            protocols.push_str(&format!(",{name}:{protocol}"));
            let told = setup.advertised.filter(|(other, _)| other == name).map_or(port, |(_, port)| port);
            advertised.push_str(&format!(",{name}://127.0.0.1:{told}"));
            listeners.push(((*name).to_owned(), port));
            bound.push(listener);
        }
        drop((broker, bound, control));
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{more}\n{advertised}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n\
             broker.session.timeout.ms=2000\nbroker.heartbeat.interval.ms=500\n{}",
            logs.display(),
            setup.properties
        );
        fs::write(dir.path().join("server.properties"), properties)?;
        let kafka = Self { class_path, dir, port, listeners, server: None };
        let output = kafka
            .java("256m", "kafka.tools.StorageTool")
            .args(["format", "-t", "cHJvYmUtdGVzdC1jbHVzdA", "-c"])
            .arg(kafka.dir.path().join("server.properties"))
            .args(setup.scram.iter().flat_map(|user| ["--add-scram", user]))
            .output()
            .context("cannot run java")?;
        ensure!(
            output.status.success(),
            "cannot format a Kafka: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(kafka)
    }

    /// A Kafka that runs.
    pub fn start() -> Result<Self> {
        let mut kafka = Self::new()?;
        kafka.run()?;
        Ok(kafka)
    }

    /// Runs the broker and waits until it answers.
    pub fn run(&mut self) -> Result<()> {
        let path = self.dir.path().join("server.log");
        let log = File::create(&path)?;
        let mut server = self
            .java("512m", "kafka.Kafka")
            .arg(self.dir.path().join("server.properties"))
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()
            .context("cannot run java")?;
        let answered = wait::until("Kafka to answer", wait::PATIENCE, || {
            if server.try_wait()?.is_some() {
                bail!("Kafka ended: {}", fs::read_to_string(&path)?);
            }
            Ok(self.answers().then_some(()))
        });
        self.server = Some(server);
        answered
    }

    /// Stops the broker and keeps its data.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            kill_process(Pid::from_child(&server), Signal::TERM)?;
            wait::until("the end of Kafka", wait::PATIENCE, || Ok(server.try_wait()?))?;
        }
        Ok(())
    }

    /// Kills the broker, which keeps its data.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
            server.wait()?;
        }
        Ok(())
    }

    /// Has the broker stand still, or go on.
    pub fn freeze(&self, still: bool) -> Result<()> {
        let server = self.server.as_ref().context("Kafka does not run")?;
        let signal = if still { Signal::STOP } else { Signal::CONT };
        Ok(kill_process(Pid::from_child(server), signal)?)
    }

    /// The address that clients start from.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of a listener by name.
    pub fn listener(&self, name: &str) -> Result<String> {
        let found = self.listeners.iter().find(|(listener, _)| listener == name);
        let (_, port) = found.with_context(|| format!("no listener {name}"))?;
        Ok(format!("127.0.0.1:{port}"))
    }

    /// The process id of the running broker.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Runs one of Kafka's own tools on this broker.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<()> {
        let mut tool = self.java("256m", class);
        tool.args(["--bootstrap-server", &self.address()]).args(arguments);
        let output = tool.output().context("cannot run java")?;
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // Some of them end with 0 whatever happens.
        let failed = !output.status.success() || said.contains("Error") || errors.contains("Exception");
        ensure!(!failed, "{class} {arguments:?}: {said}{errors}");
        Ok(())
    }

    /// Reads a topic with the Java client.
    pub fn consume(&self, topic: &str) -> Result<Consumer> {
        let properties = [
            "print.key=true",
            "print.headers=true",
            "print.timestamp=true",
            "key.separator=\t",
            "headers.separator=,",
            "null.literal=null",
        ];
        let mut command = self.java("256m", "org.apache.kafka.tools.consumer.ConsoleConsumer");
        command.args(["--bootstrap-server", &self.address(), "--topic", topic, "--from-beginning"]);
        // A topic that is not there yet is looked for twice a second, not every five minutes.
        command.args(["--consumer-property", "metadata.max.age.ms=500"]);
        command.args(properties.iter().flat_map(|property| ["--property", property]));
        let errors = File::create(self.dir.path().join("consumer.log"))?;
        let mut client = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .context("cannot run java")?;
        let output = client.stdout.take().context("the consumer has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n') {
                let Ok(line) = line else { break };
                // The options are those that every Kafka since 2.7 knows; newer ones say here that they have
                // other names now.
                let is_message = line.starts_with(b"CreateTime:") || line.starts_with(b"LogAppendTime:");
                if is_message && sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Consumer { client, lines, messages: Vec::new() })
    }

    /// Whether the broker answers a request for the versions that it speaks.
    fn answers(&self) -> bool {
        // Length, ApiVersions (18) version 0, correlation id 1, no client id.
        const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
        let mut answer = [0; 10];
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        let waits = stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok();
        let asked = waits && stream.write_all(&REQUEST).is_ok();
        // The error code follows length and correlation id.
        asked && std::io::Read::read_exact(&mut stream, &mut answer).is_ok() && answer[8..] == [0, 0]
    }

    fn java(&self, heap: &str, class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .arg(format!("-Xmx{heap}"))
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8", "-cp"])
            .arg(&self.class_path)
            .arg(class);
        command
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().ok();
            server.wait().ok();
        }
    }
}

impl Consumer {
    /// Takes over what has come since the last time.
    pub fn poll(&mut self) -> Result<()> {
        while let Ok(line) = self.lines.try_recv() {
            self.messages.push(Message::parse(&line)?);
        }
        Ok(())
    }

    /// Waits for a message that `wanted` takes.
    pub fn wait_for(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Result<()> {
        let mut asked = 0;
        wait::until(what, patience, || {
            self.poll()?;
            let found = self.messages[asked..].iter().any(&wanted);
            asked = self.messages.len();
            Ok(found.then_some(()))
        })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.client.kill().ok();
        self.client.wait().ok();
    }
}

impl Message {
    fn parse(line: &[u8]) -> Result<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b'\t');
        let mut part = || parts.next().with_context(|| format!("{:?}", String::from_utf8_lossy(line)));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (timestamp, headers, key, value) =
            (text(part()?), text(part()?), text(part()?), part()?.to_vec());
        let header = |header: &str| {
            let (name, value) = header.split_once(':')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let headers = headers.split(',').filter_map(header).collect();
        Ok(Self { timestamp, headers, key, value })
    }
}
