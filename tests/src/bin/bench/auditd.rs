//! What the audit system costs: in comes a host with auditd, out come nanoseconds added to a call.
//!
//! Once it was switched on, every task that starts later makes its system calls on the slow path, also after it is
//! switched off again. A rule that takes every new task out undoes that; it stays until the host restarts. Where auditing
//! is in use it is left as it is, and nothing is measured.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::peers::{Added, beside};

const RULE: [&str; 6] = ["exit,always", "-S", "all", "-F", "success=0", "-k"];
const KEY: &str = "probe-bench";
/// Takes every new task out.
const NEVER: &str = "never,task";
/// Records that may wait for auditd. With the kernel's own 64 a caller would mostly wait for it.
const BACKLOG: &str = "8192";

/// Measures it.
pub fn measure() -> Result<Vec<Added>> {
    eprintln!("auditd");
    let cost = beside(Audit::start)?;
    Ok(vec![Added { name: "auditd, success=0".to_owned(), cost }])
}

/// Audits failing calls while it lives.
struct Audit {
    auditd: Child,
    backlog: String,
    _dir: TempDir,
}

impl Audit {
    fn start() -> Result<Self, String> {
        let state = auditctl(&["-s"])?;
        let figure = |name: &str| {
            let line = state.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned()).unwrap_or_default()
        };
        let rules = auditctl(&["-l"])?;
        // The rule that an earlier run left has no fields to be told by, but stands alone.
        let own = ["No rules", "-a never,task"].contains(&rules.trim());
        if figure("enabled") != "0" || figure("pid ") != "0" || !own {
            return Err("skipped: auditing is in use here, and is left as it is".to_owned());
        }
        let (auditd, dir) = auditd()?;
        let audit = Self { auditd, backlog: figure("backlog_limit"), _dir: dir };
        auditctl(&["-d", NEVER]).ok();
        auditctl(&["-b", BACKLOG])?;
        auditctl(&["-e", "1"])?;
        auditctl(&[&["-a"], &RULE[..], &[KEY]].concat())?;
        Ok(audit)
    }

    /// All of it, whatever of it is refused.
    fn undo(&self) -> Result<(), String> {
        let undone = [
            auditctl(&[&["-d"], &RULE[..], &[KEY]].concat()),
            auditctl(&["-e", "0"]),
            auditctl(&["-b", &self.backlog]),
            auditctl(&["-a", NEVER]),
        ];
        undone.into_iter().try_for_each(|done| done.map(|_| ()))
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            eprintln!("bench: auditing is not as it was, see auditctl -s and -l: {error}");
        }
        kill_process(Pid::from_child(&self.auditd), Signal::TERM).ok();
        for _ in 0..50 {
            if matches!(self.auditd.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        self.auditd.kill().ok();
        self.auditd.wait().ok();
    }
}

/// Starts auditd with a log of its own, without a limit.
fn auditd() -> Result<(Child, TempDir), String> {
    let told = |error: &dyn std::fmt::Display| format!("skipped: {error}");
    let dir = tempfile::tempdir().map_err(|e| told(&e))?;
    let at = dir.path().display();
    let never = ["space_left", "admin_space_left", "disk_full", "disk_error", "max_log_file"]
        .map(|event| format!("{event}_action = IGNORE\n"))
        .concat();
    let config = format!(
        "log_file = {at}/audit.log\nlog_format = RAW\nflush = INCREMENTAL_ASYNC\nfreq = 50\nmax_log_file = 1024\n\
         space_left = 75\nadmin_space_left = 50\nplugin_dir = {at}/plugins.d\n{never}"
    );
    fs::create_dir(dir.path().join("plugins.d")).map_err(|e| told(&e))?;
    fs::write(dir.path().join("auditd.conf"), config).map_err(|e| told(&e))?;
    let mut command = Command::new("auditd");
    command.args(["-n", "-s", "nochange", "-c"]).arg(dir.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut auditd = command.spawn().map_err(|_| "skipped: auditd is not installed".to_owned())?;
    thread::sleep(Duration::from_secs(2));
    match auditd.try_wait() {
        Ok(None) => Ok((auditd, dir)),
        ended => Err(format!("skipped: auditd does not run here ({ended:?})")),
    }
}

/// What auditctl says.
fn auditctl(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("auditctl");
    let said = command.args(arguments).stdin(Stdio::null()).output();
    let said = said.map_err(|_| "skipped: auditctl is not installed".to_owned())?;
    if said.status.success() {
        return Ok(String::from_utf8_lossy(&said.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&said.stderr);
    Err(format!("skipped: auditctl {} is refused: {}", arguments.join(" "), error.trim()))
}
