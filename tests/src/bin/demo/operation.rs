//! What the demo lets fail: in comes a folder, out come ordinary commands with the failure that each of them
//! runs into. All of them are failures that the default configuration reports.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use tests::provoke::{NOBODY, raise_loopback};
use tests::record::Record;

/// A command that fails.
pub struct Operation {
    /// What is wrong with it.
    pub story: &'static str,
    /// What one would type.
    pub typed: String,
    /// Whether its record has come back.
    pub received: bool,
    command: Command,
    pid: i64,
    syscalls: &'static [&'static str],
    error: &'static str,
}

impl Operation {
    /// Runs the command to its end, in silence.
    pub fn run(&mut self) -> Result<()> {
        let quiet = self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = quiet.spawn().with_context(|| format!("cannot run {}", self.typed))?;
        self.pid = child.id().into();
        child.wait()?;
        Ok(())
    }

    /// Whether a record is about this command's failure.
    pub fn is_about(&self, record: &Record) -> bool {
        record.pid() == self.pid
            && self.syscalls.contains(&record.syscall())
            && record.attribute("error.type") == self.error
    }
}

/// The commands, each with what it needs in `dir`.
pub fn operations(dir: &Path) -> Result<Vec<Operation>> {
    raise_loopback()?;
    let write = |name: &str, mode: u32| -> Result<()> {
        fs::write(dir.join(name), "demo\n")?;
        Ok(fs::set_permissions(dir.join(name), Permissions::from_mode(mode))?)
    };
    write("secret.key", 0o600)?;
    write("deploy", 0o644)?;
    fs::create_dir_all(dir.join("cache/objects"))?;
    // Nobody is given the port again while the demo runs.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();

    let mut list = Vec::new();
    let mut add = |story, nobody: bool, typed: &str, syscalls, error| {
        let mut command = Command::new("bash");
        // The shell makes way for a program, so that the process keeps its number.
        let builtin = ["exec ", "kill "].iter().any(|start| typed.starts_with(start));
        let script = if builtin { typed.to_owned() } else { format!("exec {typed}") };
        command.args(["-c", &script]).current_dir(dir);
        if nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        let typed = format!("{} {typed}", if nobody { "nobody$" } else { "root#" });
        list.push(Operation { story, typed, received: false, command, pid: 0, syscalls, error });
    };
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let open: &[&str] = &["openat", "open"];
    let execute: &[&str] = &["execve", "execveat"];
    let own: &[&str] = &["fchownat", "chown", "lchown"];
    let remove: &[&str] = &["rmdir", "unlinkat"];
    add("a service that does not listen", false, &connect, &["connect"], "ECONNREFUSED");
    add("a file for root's eyes only", true, "cat secret.key", open, "EACCES");
    add("a script that is not executable", false, "./deploy", execute, "EACCES");
    add("a full disk", false, "dd if=/dev/zero of=/dev/full bs=1 count=1", &["write"], "ENOSPC");
    add("a file that belongs to somebody else", true, "chown nobody deploy", own, "EPERM");
    add("a signal to process 1 from a stranger", true, "kill -TERM 1", &["kill"], "EPERM");
    add("a directory that is not empty", false, "rmdir cache", remove, "ENOTEMPTY");
    Ok(list)
}
