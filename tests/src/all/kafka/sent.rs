//! A daemon that sends failures made on purpose to one topic: in come the listener and the keys of the configuration,
//! out come the records in the topic, compared with what was made and with the daemon's own account.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tests::daemon::{Daemon, Ended, open_dir};
use tests::kafka::secured::Secured;
use tests::kafka::{Kafka, Reader};
use tests::ledger::Ledger;
use tests::provoke::{Call, Made};
use tests::wait::{self, PATIENCE};

/// Only what a test makes itself becomes a record, whatever else the host does.
const ONLY_OURS: &str = "[event.exec]\nswitch = \"off\"\n[event.denial]\nswitch = \"off\"\n\
    [event.oom]\nswitch = \"off\"\n[event.offcpu]\nswitch = \"off\"\n[event.exit]\nswitch = \"off\"\n\
    [[event.syscall.rules]]\nsyscalls = [\"kill\"]\nerrnos = [\"ESRCH\"]\n\
    [[event.syscall.rules]]\nsyscalls = [\"fsync\"]\nerrnos = [\"EBADF\"]\n\
    [[event.syscall.rules]]\nsyscalls = [\"openat\"]\nerrnos = [\"ENOTDIR\"]\n\
    [[event.syscall.rules]]\naction = \"drop\"\n";

/// A daemon, what it was given, and what became of it.
pub struct Sent {
    /// The daemon.
    pub daemon: Daemon,
    /// Its topic.
    pub reader: Reader,
    dir: TempDir,
    pids: BTreeSet<i64>,
    /// Whether there was a daemon before the present one.
    restarted: bool,
}

impl Sent {
    /// Starts a daemon on a listener; `kafka` are lines of its section, in which `DIR` is a folder for secrets.
    pub fn start(listener: &str, topic: &str, dir: TempDir, kafka: &str) -> Result<Self> {
        let secured = Secured::get()?;
        Self::start_on(&secured.kafka, &secured.kafka.listener(listener)?, topic, dir, kafka)
    }

    /// The same on an address of any Kafka.
    pub fn start_on(broker: &Kafka, address: &str, topic: &str, dir: TempDir, kafka: &str) -> Result<Self> {
        let path = dir.path().join("gala-gopher.conf");
        let kafka = kafka.replace("DIR", &dir.path().to_string_lossy());
        let text = format!(
            "[[probes]]\nname = \"event\"\nswitch = \"on\"\n[event]\nout_channel = \"kafka\"\nfold = \"off\"\nkafka_topic = \"{topic}\"\n\
             {ONLY_OURS}[kafka]\nkafka_broker = \"{address}\"\n{kafka}\n"
        );
        fs::write(&path, text)?;
        let reader = broker.read(topic)?;
        Ok(Self { daemon: Daemon::start(&path, &[])?, reader, dir, pids: BTreeSet::new(), restarted: false })
    }

    /// Kills the daemon.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.end(Signal::KILL)
    }

    /// Starts the next one where the last one has ended.
    pub fn restart(&mut self) -> Result<()> {
        let path = self.file("gala-gopher.conf");
        self.daemon = Daemon::start(&path, &[])?;
        self.restarted = true;
        Ok(())
    }

    /// Waits until all that was made is in the spool: of one process, and so of all before it.
    pub fn spooled(&mut self) -> Result<()> {
        let made = self.make(&Call::fence())?;
        let needle = format!("\"process.pid\":{},", made.pid).into_bytes();
        let dir = self.file("state/spool");
        wait::until("the last record in the spool", PATIENCE, || {
            for entry in fs::read_dir(&dir)? {
                // Files come and go.
                let bytes = fs::read(entry?.path()).unwrap_or_default();
                if bytes.windows(needle.len()).any(|window| window == needle) {
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
    }

    /// A file of the folder that this daemon's configuration calls `DIR`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes failures, each by a process of its own.
    pub fn fail(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.make(&Call::fence())?;
        }
        Ok(())
    }

    /// Makes one failure.
    pub fn make(&mut self, call: &Call) -> Result<Made> {
        let made = call.make()?;
        self.pids.insert(made.pid.into());
        Ok(made)
    }

    /// Waits for these words in the log.
    pub fn says(&mut self, words: &[&str]) -> Result<()> {
        words.iter().try_for_each(|word| self.daemon.wait_for_log(word, PATIENCE))
    }

    /// Waits until all that was made is in the topic.
    pub fn arrive(&mut self) -> Result<()> {
        wait::until("all records in the topic", PATIENCE, || {
            self.reader.poll()?;
            ensure!(self.daemon.alive()?, "the daemon died");
            let there: BTreeSet<i64> = self.reader.records.iter().map(|record| record.pid()).collect();
            Ok(self.pids.is_subset(&there).then_some(()))
        })
    }

    /// Stops the daemon; what was made is in the topic or counted as lost, once.
    pub fn finish(mut self) -> Result<(Ended, Ledger, Reader)> {
        let ended = self.daemon.stop()?;
        ensure!(ended.code == Some(0), "the daemon ended with {:?}", ended.code);
        let ledger = ended.ledger()?;
        ledger.check()?;
        // Each record is of one event.
        let delivered = ledger.of_sink("kafka", "delivered_events")? as usize;
        wait::until("all that was acknowledged", PATIENCE, || {
            self.reader.poll()?;
            Ok((self.reader.unique().len() >= delivered).then_some(()))
        })?;
        let (unique, lost) = (self.reader.unique().len(), ledger.lost() as usize);
        // What an earlier daemon left counts as made by this one; what it delivered itself is told by nobody.
        let resumed = ledger.of_sink("kafka", "resumed")? as usize;
        let made = ledger.of("events")? as usize + resumed;
        let kept = ledger.of_sink("kafka", "kept")? as usize;
        let sum = unique + lost + kept;
        let whole = if self.restarted { sum >= made } else { sum == made };
        ensure!(whole, "{unique} in the topic, {lost} lost and {kept} kept of {made} records");
        ensure!(sum >= self.pids.len(), "{sum} records of {} failures", self.pids.len());
        ordered(&self.reader)?;
        Ok((ended, ledger, self.reader))
    }

    /// The same where all of it must have arrived.
    pub fn finish_whole(mut self) -> Result<Ended> {
        self.arrive()?;
        let (ended, ledger, _) = self.finish()?;
        let kept = ledger.of_sink("kafka", "kept")?;
        ensure!(ledger.lost() == 0 && kept == 0, "something was lost or kept: {ledger:?}");
        Ok(ended)
    }
}

/// First sight of each record is in the order in which they were made.
fn ordered(reader: &Reader) -> Result<()> {
    let mut seen = BTreeSet::new();
    let mut before = String::new();
    for record in &reader.records {
        let id = record.attribute("log.record.uid").as_str().context("no log.record.uid")?;
        if seen.insert(id) {
            ensure!(*id > *before, "{id} comes after {before}");
            before = id.to_owned();
        }
    }
    Ok(())
}

/// A folder with a secret in it.
pub fn folder(name: &str, secret: &str) -> Result<TempDir> {
    let dir = open_dir()?;
    write_secret(&dir.path().join(name), secret)?;
    Ok(dir)
}

/// Writes a secret as an administrator does: for its owner only, and never half.
pub fn write_secret(path: &Path, secret: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    std::io::Write::write_all(&mut file, format!("{secret}\n").as_bytes())?;
    Ok(fs::rename(new, path)?)
}
