//! A catalogue that changes under a running daemon: in come a file and a signal, out come the texts of the next record.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tests::daemon::{FileDaemon, open_dir};
use tests::provoke::{Arg, Call};
use tests::wait::{PATIENCE, until};

use super::{make, only};

/// The number of `CALL_DESCRIPTOR_INVALID`.
const ID: u32 = 4003;
const READ: &str = "the configuration was read again";
const REFUSED: &str = "the configuration is not valid; the old one stays in force";

/// A daemon whose catalogue has a file of the user's.
struct Reloaded {
    probe: FileDaemon,
    path: PathBuf,
    _dir: TempDir,
}

impl Reloaded {
    fn start(catalogue: &str) -> Result<Self> {
        let dir = open_dir()?;
        let path = dir.path().join("own events.toml");
        fs::write(&path, catalogue)?;
        let probe = FileDaemon::start_with("", &[&format!("event.catalogue={}", path.display())])?;
        Ok(Self { probe, path, _dir: dir })
    }

    /// Changes the file, and waits for what the daemon says of it; what it has logged meanwhile.
    fn change(&mut self, catalogue: &str, said: &str) -> Result<String> {
        // As an editor does it: never half.
        let new = self.path.with_extension("new");
        fs::write(&new, catalogue)?;
        fs::rename(&new, &self.path)?;
        self.reload(said)
    }

    fn reload(&mut self, said: &str) -> Result<String> {
        let before = self.probe.daemon.log().len();
        self.probe.daemon.signal(Signal::HUP)?;
        until(said, PATIENCE, || {
            ensure!(self.probe.daemon.alive()?, "the daemon died");
            let log = self.probe.daemon.log().split_off(before);
            Ok(log.contains(said).then_some(log))
        })
    }

    /// Makes the failure, and compares what is said of it.
    fn says(&mut self, message: &str, severity: &str) -> Result<()> {
        let call = Call::new("close", libc::SYS_close, vec![Arg::from(9999)], (libc::EBADF, "EBADF"));
        let made = make(&mut self.probe, std::slice::from_ref(&call))?;
        let record = only(&self.probe, &call, &made[0])?;
        ensure!(*record.attribute("event.id") == ID, "{record:?}");
        let text = record.attribute("gala_gopher.event.message").as_str().context("no message")?;
        ensure!(text.starts_with(message), "{text:?} instead of {message:?}");
        ensure!(*record.top("SeverityText") == *severity, "{record:?}");
        Ok(())
    }
}

fn catalogue(message: &str, severity: &str) -> String {
    format!("[[event]]\nid = {ID}\nseverity = \"{severity}\"\nmessage = \"{message}\"\n")
}

#[test]
fn sighup_reads_the_catalogue_again() -> Result<()> {
    let mut daemon = Reloaded::start(&catalogue("Call the database team.", "ERROR"))?;
    daemon.says("Call the database team.", "ERROR")?;
    daemon.change(&catalogue("Call the network team about {thread.name}.", "INFO"), READ)?;
    daemon.says("Call the network team about", "INFO")?;
    // What is not written any more is as it is built in.
    daemon.change("", READ)?;
    daemon.says("Process ", "WARN")?;
    daemon.probe.finish()?;
    Ok(())
}

#[test]
fn a_catalogue_that_is_broken_changes_nothing_and_is_told_by_line() -> Result<()> {
    let good = catalogue("Call the database team.", "ERROR");
    let mut daemon = Reloaded::start(&good)?;
    let file = |path: &Path, line: usize| format!("{}:{line}: ", path.display());
    let second = "[[event]]\nid = 2001\nmessage = \"Refused again.\"\n";
    for (broken, line, wanted) in [
        // No TOML; no severity; no attribute of such records; an id twice.
        (format!("{good}severity = \n"), 5, ""),
        (format!("{second}{}", catalogue("Call somebody.", "SEVERE")), 4, "SEVERE"),
        (format!("{second}{}", catalogue("Call {process.pidd}.", "WARN")), 4, "process.pidd"),
        (format!("{good}{good}"), 5, "two events have the id 4003"),
    ] {
        let log = daemon.change(&broken, REFUSED)?;
        let told = log.lines().find(|said| said.contains(&file(&daemon.path, line)));
        let told = told.with_context(|| format!("nothing is said of line {line}: {log}"))?;
        ensure!(told.contains(wanted), "{wanted:?} is missing: {told}");
        daemon.says("Call the database team.", "ERROR")?;
    }
    fs::remove_file(&daemon.path)?;
    let log = daemon.reload(REFUSED)?;
    ensure!(log.contains(&daemon.path.display().to_string()), "{log}");
    daemon.says("Call the database team.", "ERROR")?;

    // Put right, it is in force.
    daemon.change(&catalogue("Call nobody.", "INFO"), READ)?;
    daemon.says("Call nobody.", "INFO")?;
    daemon.probe.finish()?;
    Ok(())
}
