//! A daemon under control: in comes a configuration, out come its log, its exit code and its ledger. The
//! daemon ends with the test, however the test ends.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::follow::Follower;
use crate::ledger::Ledger;
use crate::pins::PinDir;
use crate::wait;

/// The daemon's binary, from `PROBE_DAEMON`.
pub fn binary() -> Result<PathBuf> {
    let path = std::env::var_os("PROBE_DAEMON").context("PROBE_DAEMON must name the probe-daemon to test")?;
    fs::canonicalize(&path).with_context(|| format!("PROBE_DAEMON={}", path.display()))
}

/// A folder that any user may look into, which `tempfile` alone does not make.
pub fn open_dir() -> Result<TempDir> {
    let dir = tempfile::Builder::new().prefix("probe-test-").tempdir()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    Ok(dir)
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    /// Its own place for pins, where it has one.
    _pins: Option<PinDir>,
    /// Whether its log is shown when it is dropped; a test runner shows that only where a test failed.
    pub shows_log: bool,
}

/// What a daemon left behind.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none when a signal killed it.
    pub code: Option<i32>,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
    /// What it wrote to stderr.
    pub log: String,
}

impl Ended {
    /// The account it gave of itself.
    pub fn ledger(&self) -> Result<Ledger> {
        Ledger::parse(&self.log)
    }
}

impl Daemon {
    /// Starts `command`, which ends up being a daemon, and collects its stderr.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut stderr = process.stderr.take().context("no stderr")?;
        let log = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]);
                sink.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Ok(Self { process, log, reader: Some(reader), _pins: None, shows_log: true })
    }

    /// Starts the daemon with a configuration file and waits until it captures. Its state lies beside that file; what it
    /// pins goes with it, unless an argument says where.
    pub fn start(config: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        let state = format!("event.state_dir={}", config.with_file_name("state").display());
        command.arg("--config").arg(config).args(["--set", &state]).args(arguments).stdout(Stdio::null());
        let pins = match arguments.iter().any(|argument| argument.starts_with("event.pin_dir=")) {
            true => None,
            false => Some(PinDir::new()?),
        };
        if let Some(pins) = &pins {
            command.args(["--set", &pins.setting()]);
        }
        let mut daemon = Self::spawn(&mut command)?;
        daemon._pins = pins;
        daemon.wait_for_log("capturing", wait::PATIENCE)?;
        Ok(daemon)
    }

    /// The same, with single keys set on the command line, each as `KEY=VALUE`.
    pub fn start_with(config: &Path, keys: &[&str]) -> Result<Self> {
        Self::start(config, &keys.iter().flat_map(|key| ["--set", key]).collect::<Vec<_>>())
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        Pid::from_child(&self.process).as_raw_nonzero().get()
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// Waits for `text` in the log.
    pub fn wait_for_log(&mut self, text: &str, patience: Duration) -> Result<()> {
        wait::until(&format!("{text:?} in the daemon's log"), patience, || {
            // Asked before the log is read: a daemon that has ended writes nothing more.
            let alive = self.alive()?;
            if self.log().contains(text) {
                return Ok(Some(()));
            }
            if !alive {
                bail!("the daemon ended before it logged {text:?}");
            }
            Ok(None)
        })
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.process), signal)?)
    }

    /// Sends it a signal that ends it, and waits for that. Its log is still there.
    pub fn end(&mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        wait::until("the end of the daemon", wait::PATIENCE, || Ok((!self.alive()?).then_some(())))
    }

    /// Kills it, as a crash would.
    pub fn crash(self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.ended().map(drop)
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(self) -> Result<Ended> {
        self.signal(Signal::TERM)?;
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Result<Ended> {
        let status = wait::until("the end of the daemon", wait::PATIENCE, || Ok(self.process.try_wait()?))?;
        // Whoever inherited its stderr could hold it open; only the daemon's own words matter, and those
        // are in the pipe by now.
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
        Ok(Ended { code: status.code(), signal: status.signal(), log: self.log() })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A stopped process does not die of anything but SIGKILL.
        self.process.kill().ok();
        self.process.wait().ok();
        if self.shows_log {
            eprintln!("--- the daemon's log\n{}---", self.log());
        }
    }
}

/// A daemon that writes to files of its own, and the reader of these files.
#[derive(Debug)]
pub struct FileDaemon {
    /// The daemon.
    pub daemon: Daemon,
    /// The records that it writes.
    pub events: Follower,
    /// Everything of this run lies here.
    pub dir: TempDir,
}

impl FileDaemon {
    /// Starts a daemon whose only sink is the file channel; `more` is appended to its configuration.
    pub fn start(more: &str) -> Result<Self> {
        Self::start_with(more, &[])
    }

    /// The same, with single keys set on the command line, each as `KEY=VALUE`.
    pub fn start_with(more: &str, keys: &[&str]) -> Result<Self> {
        let dir = open_dir()?;
        let events = dir.path().join("events");
        let config = dir.path().join("gala-gopher.conf");
        fs::write(&config, file_config(&events, more))?;
        let daemon = Daemon::start_with(&config, keys)?;
        Ok(Self { daemon, events: Follower::new(&events), dir })
    }

    /// Stops the daemon, reads the rest of the records, and checks the exit code and the ledger.
    pub fn finish(mut self) -> Result<(Follower, Ledger)> {
        let ended = self.daemon.stop()?;
        anyhow::ensure!(ended.code == Some(0), "a clean stop exits with {:?}", ended.code);
        self.events.poll()?;
        let ledger = ended.ledger()?;
        ledger.check()?;
        Ok((self.events, ledger))
    }
}

/// A configuration with the file channel as its only sink. No file goes before it is read: the total is not bounded, and the
/// number of files is far beyond what the reader can be behind.
pub fn file_config(events: &Path, more: &str) -> String {
    format!(
        "[[probes]]\nname = \"event\"\nswitch = \"on\"\ninterval = 5\n\n[event]\nout_channel = \"logs\"\n\n\
         [logs]\nevent_dir = {:?}\nevent_total_size = 0\n\n{more}\n",
        OsString::from(events)
    )
}
