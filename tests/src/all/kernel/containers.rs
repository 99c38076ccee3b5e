//! What container runtimes tell on their sockets: names in records, of processes in the container's cgroup and of those that
//! only its pid namespace tells of; runtimes that come late, and that hang.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::daemon::FileDaemon;
use tests::record::Record;
use tests::wait;

const ID: &str = "3b1d2c4e5f60718293a4b5c6d7e8f9000102030405060708090a0b0c0d0e0f10";

/// A process in a pid namespace of its own, which stands for a container's first one.
pub struct Init(Child);

impl Init {
    /// One that lives until it is dropped.
    pub fn new() -> Result<Self> {
        // The end of the pipe tells the shell to go.
        let mut command = Command::new("unshare");
        // The options of busybox, which is all that a guest has.
        command.args(["-f", "-p", "sh", "-c", "read line; exit 0"]);
        Ok(Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?))
    }

    /// The id of the first process of the namespace, once there is one.
    pub fn pid(&self) -> Result<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        wait::until("the first process of a pid namespace", wait::PATIENCE, || {
            let children = fs::read_to_string(&children)?;
            Ok(children.split_whitespace().next().and_then(|pid| pid.parse().ok()))
        })
    }

    /// Has a process of its pid namespace, in the test's own cgroup, end with this code.
    pub fn exit(&self, code: u8) -> Result<()> {
        let pid = self.pid()?.to_string();
        // The shell goes on after its child, so that the child is in the namespace.
        let script = format!("sh -c 'exit {code}'; exit 0");
        let ended = Command::new("nsenter").args(["-t", &pid, "-p", "sh", "-c", &script]).status()?;
        ensure!(ended.success(), "nsenter: {ended}");
        Ok(())
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Serves Docker's API with one container whose first process has that id.
fn docker(path: &Path, pid: u32) -> Result<()> {
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    let documents = Arc::new([
        ("/version", json!({"Components": [{"Name": "Engine"}]})),
        ("/containers/json", json!([{"Id": ID, "Names": ["/web"], "State": "running"}])),
        (
            "/containers/",
            json!({"Id": ID, "Name": "/web", "State": {"Pid": pid},
                "Config": {"Image": "nginx:1.27", "Labels": {"app": "shop"}}}),
        ),
    ]);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let documents = Arc::clone(&documents);
            std::thread::spawn(move || serve(stream, &*documents));
        }
    });
    Ok(())
}

fn serve(mut stream: UnixStream, documents: &[(&str, serde_json::Value)]) -> Result<()> {
    let mut question = [0; 4096];
    loop {
        let length = stream.read(&mut question)?;
        let question = String::from_utf8_lossy(&question[..length]).into_owned();
        let Some(path) = question.split(' ').nth(1) else { return Ok(()) };
        let found = documents.iter().find(|(beginning, _)| path.starts_with(beginning));
        match found {
            Some((_, document)) => {
                let body = document.to_string();
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
            }
            // Changes: none, for as long as anybody listens.
            None => stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?,
        }
    }
}

/// Asks these sockets.
pub fn configuration(sockets: &[&PathBuf]) -> String {
    format!("\n[containers]\nsockets = {}\n", json!(sockets))
}

/// The record of an end with this code.
pub fn end(records: &[Record], code: u8) -> Result<&Record> {
    let mut found = records.iter().filter(|record| *record.attribute("process.exit.code") == code);
    found.next().with_context(|| format!("no end with code {code}"))
}

#[test]
fn a_pid_namespace_names_the_container_that_no_cgroup_does() -> Result<()> {
    let (init, dir) = (Init::new()?, tempfile::tempdir()?);
    let (late, hangs, absent) =
        (dir.path().join("docker.sock"), dir.path().join("hangs.sock"), dir.path().join("none.sock"));
    let _hangs = UnixListener::bind(&hangs)?;
    let mut probe = FileDaemon::start(&configuration(&[&late, &hangs, &absent]))?;
    init.exit(71)?;
    docker(&late, init.pid()?)?;
    probe.daemon.wait_for_log("tells of its containers", wait::PATIENCE)?;
    init.exit(72)?;
    Command::new("sh").args(["-c", "exit 73"]).status()?;
    let (events, _) = probe.finish()?;
    let records = events.records;
    // Before anybody knew, and outside: no container, and a record all the same.
    for code in [71, 73] {
        ensure!(end(&records, code)?.top("Resource")["container.id"].is_null(), "{code}: {records:?}");
    }
    let resource = end(&records, 72)?.top("Resource");
    for (key, value) in [
        ("container.id", ID),
        ("container.name", "web"),
        ("container.runtime.name", "docker"),
        ("container.image.name", "nginx:1.27"),
        ("container.label.app", "shop"),
    ] {
        ensure!(resource[key] == value, "{key} is not {value}: {resource}");
    }
    Ok(())
}
