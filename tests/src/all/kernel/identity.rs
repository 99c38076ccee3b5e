//! Who it was: processes that are gone before anybody reads of them, in namespaces, at terminals, in cgroups as container
//! runtimes make them.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::cgroup::Cgroup;
use tests::daemon::{FileDaemon, open_dir};
use tests::death::{Way, die};
use tests::provoke::NOBODY;
use tests::record::Record;
use tests::wait;

/// Where commands are.
const PATH: &str = "/usr/bin:/bin";

/// A file that only root may read, in a folder that anybody may look into.
struct Secret {
    dir: tempfile::TempDir,
}

impl Secret {
    fn new() -> Result<Self> {
        let dir = open_dir()?;
        let path = dir.path().join("secret");
        fs::write(&path, "secret")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { dir })
    }

    fn path(&self) -> String {
        self.dir.path().join("secret").display().to_string()
    }

    /// A shell of nobody that is told to do this, with the file as `$0`.
    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script, &self.path()]).uid(NOBODY).gid(NOBODY);
        // What cargo sets leads nobody to folders that it may not look into, and the secret would be a repeat of those.
        command.env_clear().env("PATH", PATH);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The records of those who were not let in.
    fn denials<'a>(&self, records: &'a [Record]) -> Vec<&'a Record> {
        let path = self.path();
        let mine = |record: &&Record| {
            record.top("EventName") == "gala_gopher.security.denied"
                && *record.attribute("file.path") == *path
        };
        records.iter().filter(mine).collect()
    }
}

/// The file that a command of that name executes, links followed.
fn executable(name: &str) -> Result<String> {
    let found = PATH.split(':').find_map(|folder| fs::canonicalize(Path::new(folder).join(name)).ok());
    Ok(found.with_context(|| format!("there is no {name}"))?.display().to_string())
}

/// The name of a user or a group, where this host has one.
fn name_of(file: &str, id: u32) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').nth(2) == Some(&id.to_string()))?;
    line.split(':').next().map(str::to_owned)
}

fn has(record: &Record, attributes: &[(&str, serde_json::Value)]) -> Result<()> {
    for (key, value) in attributes {
        ensure!(record.attribute(key) == value, "{key} is not {value}: {record:?}");
    }
    Ok(())
}

fn ancestors(record: &Record) -> Vec<&str> {
    let list = record.attribute("gala_gopher.process.ancestors").as_array();
    list.into_iter().flatten().filter_map(|name| name.as_str()).collect()
}

/// Stops the daemon; every record that there is, then.
fn all(probe: FileDaemon) -> Result<Vec<Record>> {
    let (events, _) = probe.finish()?;
    Ok(events.records)
}

#[test]
fn processes_that_live_for_a_moment_have_executable_parent_and_user() -> Result<()> {
    // 200 a second for 5 s, or what a slow guest makes of it.
    const MOST: usize = 1000;
    let secret = Secret::new()?;
    let probe = FileDaemon::start("")?;
    let (begun, mut made) = (Instant::now(), 0);
    let mut next = begun;
    while made < MOST && begun.elapsed() < Duration::from_secs(20) {
        made += 1;
        let mut child = secret.shell("cat $0").spawn()?;
        next += Duration::from_millis(5);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        child.wait()?;
    }
    let records = all(probe)?;
    let denials = secret.denials(&records);
    ensure!(denials.len() == made, "{} records", denials.len());
    let cat = executable("cat")?;
    let own = format!("[{}]", std::process::id());
    let user = name_of("/etc/passwd", NOBODY);
    let group = name_of("/etc/group", NOBODY);
    let known = denials.iter().filter(|record| {
        *record.attribute("process.executable.path") == *cat
            && ancestors(record).iter().any(|name| name.ends_with(&own))
            && record.attribute("process.user.name").as_str() == user.as_deref()
            && record.attribute("gala_gopher.process.group.name").as_str() == group.as_deref()
            && *record.attribute("process.user.id") == NOBODY
            && record.attribute("process.parent_pid").is_u64()
    });
    let known = known.count();
    eprintln!("{known} of {made} have all");
    ensure!(known * 100 >= made * 99, "{known} of {made}: {:?}", denials.last());
    Ok(())
}

#[test]
fn an_end_without_any_other_event_has_executable_and_ancestors() -> Result<()> {
    let probe = FileDaemon::start("")?;
    let forked = die("d-forked", &Way::Code(3))?;
    let executed = Command::new("/bin/sh").args(["-c", "exit 4"]).spawn()?;
    let shell = executed.id();
    executed.wait_with_output()?;
    // The shell that is told to go on after its child makes one; who ends is that.
    let nested = Command::new("/bin/sh").args(["-c", "sh -c 'sh -c \"exit 5\"; exit 6'; exit 7"]).spawn()?;
    let outer = nested.id();
    nested.wait_with_output()?;
    let records = all(probe)?;

    let end = |pid: i64| {
        let mut found = records
            .iter()
            .filter(|record| record.pid() == pid && !record.attribute("process.exit.code").is_null());
        found.next().with_context(|| format!("no end of {pid}"))
    };
    let own = fs::read_to_string("/proc/self/comm")?;
    let own = format!("{}[{}]", own.trim(), std::process::id());
    let record = end(forked.pid.into())?;
    let file = std::env::current_exe()?;
    has(
        record,
        &[
            ("process.executable.path", json!(file)),
            ("process.executable.name", json!(file.file_name().and_then(|name| name.to_str()))),
        ],
    )?;
    ensure!(ancestors(record)[0] == own, "{record:?}");
    let record = end(shell.into())?;
    has(record, &[("process.executable.path", json!(executable("sh")?))])?;
    ensure!(ancestors(record)[0] == own && ancestors(record).len() <= 4, "{record:?}");
    let inner = records.iter().find(|record| *record.attribute("process.exit.code") == 5);
    let inner = inner.context("no end with code 5")?;
    let chain = ancestors(inner);
    // What is between them may have another name: busybox executes itself as `exe`.
    ensure!(chain.len() >= 3 && chain[1] == format!("sh[{outer}]") && chain[2] == own, "{chain:?}");
    Ok(())
}

#[test]
fn namespaces_are_told_and_paths_are_of_their_own() -> Result<()> {
    let secret = Secret::new()?;
    let probe = FileDaemon::start("")?;
    let names = ["mnt", "uts", "ipc", "cgroup", "pid_for_children"];
    let links: Vec<String> = names.iter().map(|name| format!("/proc/self/ns/{name}")).collect();
    // The shell goes on after its child, so that this is the first process of a pid namespace.
    let mut command =
        secret.shell(&format!("for link in {}; do readlink $link; done; cat $0; exit 0", links.join(" ")));
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWCGROUP;
    // SAFETY: one system call between fork and exec.
    unsafe {
        command.pre_exec(move || match libc::unshare(flags) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    let output = command.stdout(Stdio::piped()).output()?;
    let output = String::from_utf8(output.stdout)?;
    let numbers: Vec<u64> =
        output.lines().filter_map(|line| line.rsplit_once('[')?.1.strip_suffix(']')?.parse().ok()).collect();
    ensure!(numbers.len() == names.len(), "{output}");
    let records = all(probe)?;
    let denials = secret.denials(&records);
    ensure!(denials.len() == 1, "{denials:?}");
    let cat = executable("cat")?;
    has(
        denials[0],
        &[
            ("gala_gopher.mnt_ns", json!(numbers[0])),
            ("gala_gopher.uts_ns", json!(numbers[1])),
            ("gala_gopher.ipc_ns", json!(numbers[2])),
            ("gala_gopher.cgroup_ns", json!(numbers[3])),
            ("gala_gopher.pid_ns", json!(numbers[4])),
            ("process.executable.path", json!(cat)),
            ("process.user.id", json!(NOBODY)),
        ],
    )?;
    let own = fs::read_link("/proc/self/ns/mnt")?.display().to_string();
    ensure!(own != format!("mnt:[{}]", numbers[0]), "no namespace of its own");
    Ok(())
}

#[test]
fn a_terminal_is_told() -> Result<()> {
    // SAFETY: system calls on descriptors that are checked; what was opened is owned from then on.
    let (leader, follower, number) = unsafe {
        let leader = libc::open(c"/dev/ptmx".as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        ensure!(leader >= 0, "no terminal: {}", io::Error::last_os_error());
        let (mut number, mut unlock) = (0, 0);
        ensure!(libc::ioctl(leader, libc::TIOCSPTLCK, &raw mut unlock) == 0, "cannot unlock the terminal");
        ensure!(libc::ioctl(leader, libc::TIOCGPTN, &raw mut number) == 0, "the terminal has no number");
        let follower = libc::ioctl(leader, libc::TIOCGPTPEER, libc::O_RDWR | libc::O_NOCTTY);
        ensure!(follower >= 0, "no other end: {}", io::Error::last_os_error());
        (OwnedFd::from_raw_fd(leader), OwnedFd::from_raw_fd(follower), number)
    };
    let secret = Secret::new()?;
    let probe = FileDaemon::start("")?;
    let mut command = secret.shell("cat $0; exit 0");
    let terminal = follower.as_raw_fd();
    // SAFETY: two system calls between fork and exec, on a descriptor that the parent holds.
    unsafe {
        command.pre_exec(move || {
            libc::setsid();
            match libc::ioctl(terminal, libc::TIOCSCTTY, 0) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
    command.status()?;
    drop(leader);
    let records = all(probe)?;
    let denials = secret.denials(&records);
    ensure!(denials.len() == 1, "{denials:?}");
    let number: i32 = number;
    has(denials[0], &[("gala_gopher.login.tty", json!(format!("pts/{number}")))])
}

#[test]
fn cgroups_of_container_runtimes_name_container_and_pod_in_the_resource() -> Result<()> {
    let id = "3b1d2c4e5f60718293a4b5c6d7e8f9000102030405060708090a0b0c0d0e0f10";
    let uid = "9c2e7d1a-0b4f-4c6e-8a55-1f2e3d4c5b6a";
    let slice = format!("kubepods.slice/kubepods-pod{}.slice", uid.replace('-', "_"));
    let shapes = [
        (format!("/docker/{id}"), Some("docker"), None),
        (format!("/system.slice/docker-{id}.scope"), Some("docker"), None),
        (format!("/{slice}/cri-containerd-{id}.scope"), Some("containerd"), Some(uid)),
        (format!("/{slice}/crio-{id}.scope"), Some("cri-o"), Some(uid)),
        (format!("/kubepods/burstable/pod{uid}/{id}"), None, Some(uid)),
        (format!("/machine.slice/libpod-{id}.scope/container"), Some("podman"), None),
    ];
    for (path, runtime, pod) in shapes {
        let cgroup = Cgroup::new(&path)?;
        let secret = Secret::new()?;
        let probe = FileDaemon::start("")?;
        let mut command = secret.shell("cat $0; exit 0");
        cgroup.join(&mut command)?;
        command.status().with_context(|| format!("in {path}"))?;
        let records = all(probe)?;
        let denials = secret.denials(&records);
        ensure!(denials.len() == 1, "{path}: {denials:?}");
        let resource = denials[0].top("Resource");
        let is = |key: &str, value: Option<&str>| resource[key].as_str() == value;
        ensure!(is("container.id", Some(id)) && is("k8s.pod.uid", pod), "{path}: {resource}");
        ensure!(
            is("container.runtime.name", runtime) && resource["host.name"].is_string(),
            "{path}: {resource}"
        );
        has(denials[0], &[("gala_gopher.cgroup.path", json!(path))])?;
        drop(cgroup);
    }
    Ok(())
}

#[test]
fn a_command_line_is_told_only_where_it_is_asked_for() -> Result<()> {
    let secret = Secret::new()?;
    for (asked, keys) in [(false, &[][..]), (true, &["event.command_line=on"][..])] {
        let mut probe = FileDaemon::start_with("", keys)?;
        // It stays until it has been told of, and ends when nobody writes to it any more.
        let mut shell = secret.shell("read line < $0; read line").stdin(Stdio::piped()).spawn()?;
        probe.events.wait_for(i32::try_from(shell.id())?, wait::PATIENCE)?;
        drop(shell.stdin.take());
        shell.wait()?;
        let records = all(probe)?;
        let denials = secret.denials(&records);
        let denial = denials.first().context("no denial")?;
        let expected = json!(["sh", "-c", "read line < $0; read line", secret.path()]);
        let expected = if asked { expected } else { serde_json::Value::Null };
        has(denial, &[("process.command_args", expected)])?;
    }
    Ok(())
}
