//! What records say to an operator: what it means, why it happens, what to do, about this very failure.

use std::ffi::CString;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::json;
use tests::daemon::{FileDaemon, open_dir};
use tests::provoke::{Arg, Call, World, inet};
use tests::record::Record;
use tests::wait::PATIENCE;

use super::{make, only};

/// A file system of 64 KiB; gone with the test.
struct Tiny(PathBuf);

impl Tiny {
    fn new(point: PathBuf) -> Result<Self> {
        fs::create_dir(&point)?;
        let options = CString::new("size=64k")?;
        mount("tiny", &point, "tmpfs", MountFlags::empty(), options.as_c_str())
            .with_context(|| format!("cannot mount {}", point.display()))?;
        Ok(Self(point))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).ok();
    }
}

/// A text of the catalogue in a record.
fn said<'a>(record: &'a Record, what: &str) -> Result<&'a str> {
    let key = format!("gala_gopher.event.{what}");
    record.attribute(&key).as_str().with_context(|| format!("no {key}: {record:?}"))
}

#[test]
fn a_refused_connection_names_the_peer_and_what_to_do() -> Result<()> {
    let world = World::new()?;
    let [_, _, _, _, tcp, ..] = world.descriptors();
    let port = world.free_port();
    let args = vec![tcp.into(), inet(Ipv4Addr::LOCALHOST, port).into(), 16.into()];
    let call = Call::new("connect", libc::SYS_connect, args, (libc::ECONNREFUSED, "ECONNREFUSED"));
    let mut probe = FileDaemon::start("")?;
    let made = make(&mut probe, std::slice::from_ref(&call))?;
    let record = only(&probe, &call, &made[0])?;
    ensure!(*record.attribute("gala_gopher.event.name") == "NET_CONNECT_REFUSED", "{record:?}");
    ensure!(*record.attribute("event.id") == 2001, "{record:?}");
    let peer = format!("127.0.0.1:{port}");
    ensure!(said(record, "message")?.contains(&peer) && said(record, "cause")?.contains(&peer), "{record:?}");
    ensure!(said(record, "solution")?.contains(&format!("`nc -vz 127.0.0.1 {port}`")), "{record:?}");
    probe.finish()?;
    Ok(())
}

#[test]
fn a_full_file_system_is_named_with_what_is_left() -> Result<()> {
    let dir = open_dir()?;
    let tiny = Tiny::new(dir.path().join("full disk"))?;
    let mut probe = FileDaemon::start("")?;
    // Of this process, which lives when the record is made: a call without a path has a descriptor only.
    let file = fs::File::create(tiny.0.join("data"))?;
    let block = vec![0_u8; 128 << 10];
    let mut errno = 0;
    while errno == 0 {
        // SAFETY: the block is as long as is said.
        if unsafe { libc::write(file.as_raw_fd(), block.as_ptr().cast(), block.len()) } < 0 {
            errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(-1);
        }
    }
    ensure!(errno == libc::ENOSPC, "write ended with {errno}");
    let own = i32::try_from(std::process::id())?;
    let full = |record: &&Record| *record.attribute("error.type") == "ENOSPC";
    tests::wait::until("the record of a full file system", PATIENCE, || {
        probe.events.poll()?;
        Ok(probe.events.of(own).iter().any(full).then_some(()))
    })?;
    let record = *probe.events.of(own).iter().find(|record| full(record)).context("no record")?;
    let point = tiny.0.to_str().context("path")?;
    for (key, value) in [
        ("gala_gopher.event.name", json!("FS_SPACE_EXHAUSTED")),
        ("gala_gopher.fd.path", json!(format!("{point}/data"))),
        ("gala_gopher.mount.point", json!(point)),
        ("gala_gopher.mount.device", json!("tiny")),
        ("gala_gopher.mount.type", json!("tmpfs")),
        ("gala_gopher.mount.free_bytes", json!(0)),
    ] {
        ensure!(*record.attribute(key) == value, "{key} is not {value}: {record:?}");
    }
    ensure!(said(record, "message")?.contains(point), "{record:?}");
    ensure!(said(record, "cause")?.contains(&format!("{point} has 0 bytes left")), "{record:?}");
    ensure!(said(record, "solution")?.contains(&format!("`df -i '{point}'`")), "{record:?}");
    ensure!(record.top("SeverityText") == "ERROR", "{record:?}");
    probe.finish()?;
    Ok(())
}

#[test]
fn a_catalogue_of_ones_own_is_used_and_a_broken_one_refused() -> Result<()> {
    let dir = open_dir()?;
    let path = dir.path().join("events.toml");
    fs::write(&path, "[[event]]\nid = 4003\nseverity = \"FATAL\"\nsolution = \"Ask {thread.name}.\"\n")?;
    let key = format!("event.catalogue={:?}", path.display().to_string());
    let call =
        Call::new("close", libc::SYS_close, vec![Arg::Number(9999)], (libc::EBADF, "EBADF")).comm(b"asked");
    let mut probe = FileDaemon::start_with("", &[&key])?;
    let made = make(&mut probe, std::slice::from_ref(&call))?;
    let record = only(&probe, &call, &made[0])?;
    ensure!(record.top("SeverityNumber") == 21 && said(record, "solution")? == "Ask asked.", "{record:?}");
    probe.finish()?;

    fs::write(&path, "[[event]]\nid = 4003\nname = \"CALL_ARGUMENT_INVALID\"\n")?;
    let config = dir.path().join("gala-gopher.conf");
    fs::write(&config, tests::daemon::file_config(&dir.path().join("events"), ""))?;
    for before in [["check"].as_slice(), &[]] {
        let mut command = std::process::Command::new(tests::daemon::binary()?);
        let output = command.args(before).arg("--config").arg(&config).args(["--set", &key]).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(78), "{stderr}");
        let both = ["events.toml:1:", "4003 CALL_ARGUMENT_INVALID", "4001 CALL_ARGUMENT_INVALID"];
        ensure!(both.iter().all(|word| stderr.contains(word)), "{stderr}");
    }
    Ok(())
}
