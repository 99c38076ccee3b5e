//! One Kafka with every kind of listener, shared by all tests that need one: TLS with good and bad certificates, client
//! certificates, PLAIN and both SCRAMs, permissions, and no topics on demand.

use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use super::certificate::{Authority, Ends, keystore};
use super::{Kafka, Setup};

/// Kafka and the files that belong to it.
#[derive(Debug)]
pub struct Secured {
    /// The broker.
    pub kafka: Kafka,
    /// The certificate of the authority that signs for the broker and its clients.
    pub authority: PathBuf,
    /// A certificate and a key that a client may show.
    pub client: (PathBuf, PathBuf),
    _dir: TempDir,
    _guard: Guard,
}

/// The user that may do everything.
pub const USER: &str = "probe";
/// The password of both users.
pub const PASSWORD: &str = "p4ss-w#rd_x";
/// The user that may do nothing until it is allowed to.
pub const GUEST: &str = "guest";
/// The user whose password changes.
pub const ROTATED: &str = "rotated";

/// Ends the broker when the tests end: what is shared by all of them is dropped by none.
#[derive(Debug)]
pub struct Guard {
    _shell: Child,
    _pipe: ChildStdin,
}

impl Guard {
    /// Ends the process with this one.
    pub fn new(pid: u32) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$0\""])
            .arg(pid.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = shell.stdin.take().context("no pipe")?;
        Ok(Self { _shell: shell, _pipe: pipe })
    }
}

impl Secured {
    /// The one of this run.
    pub fn get() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Secured, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}")));
        shared.as_ref().map_err(|error| anyhow!("{error}"))
    }

    fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("probe-tls-").tempdir()?;
        let authority = Authority::new(dir.path(), "authority")?;
        let here = "IP:127.0.0.1,DNS:localhost";
        let store = |name: &str, hosts: &str, ends: Ends| -> Result<PathBuf> {
            let (certificate, key) = authority.sign(name, hosts, ends)?;
            keystore(&certificate, &key)
        };
        let good = store("broker", here, Ends::Later)?;
        let expired = store("expired", here, Ends::Before)?;
        let elsewhere = store("elsewhere", "DNS:other.example", Ends::Later)?;
        let client = authority.sign("client", "DNS:client", Ends::Later)?;
        let authority = authority.certificate();

        let quoted = PASSWORD;
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
        let mut properties = format!(
            "auto.create.topics.enable=false\nnum.partitions=1\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:{USER};User:{ROTATED};User:CN=client\n\
             ssl.truststore.type=PEM\nssl.truststore.location={}\nssl.keystore.type=PEM\n\
             listener.name.mutual.ssl.client.auth=required\n",
            authority.display()
        );
        for (listener, store) in
            [("login", &good), ("mutual", &good), ("expired", &expired), ("elsewhere", &elsewhere)]
        {
            properties.push_str(&format!(
                "listener.name.{listener}.ssl.keystore.type=PEM\n\
                 listener.name.{listener}.ssl.keystore.location={}\n",
                store.display()
            ));
        }
        for listener in ["login", "open"] {
            properties.push_str(&format!(
                "listener.name.{listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
                 listener.name.{listener}.plain.sasl.jaas.config={plain} required user_{USER}=\"{quoted}\" \
                 user_{GUEST}=\"{quoted}\";\n\
                 listener.name.{listener}.scram-sha-256.sasl.jaas.config={scram} required;\n\
                 listener.name.{listener}.scram-sha-512.sasl.jaas.config={scram} required;\n\
                 listener.name.{listener}.scram-sha-512.connections.max.reauth.ms=2000\n"
            ));
        }
        let users = [USER, ROTATED].map(|user| {
            ["256", "512"].map(|sha| format!("SCRAM-SHA-{sha}=[name={user},password={PASSWORD}]"))
        });
        let setup = Setup {
            listeners: vec![
                ("LOGIN", "SASL_SSL"),
                ("OPEN", "SASL_PLAINTEXT"),
                ("MUTUAL", "SSL"),
                ("EXPIRED", "SSL"),
                ("ELSEWHERE", "SSL"),
            ],
            advertised: None,
            properties,
            scram: users.concat(),
        };
        let mut kafka = Kafka::with(&setup)?;
        kafka.run()?;
        let guard = Guard::new(kafka.pid().context("Kafka does not run")?)?;
        Ok(Self { kafka, authority, client, _dir: dir, _guard: guard })
    }
}
