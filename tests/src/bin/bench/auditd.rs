//! What the audit system costs: in comes a host with auditctl, out come nanoseconds added to a call.
//!
//! Once it was switched on, every task that starts later makes its system calls on the slow path, also after it is
//! switched off again. A rule that takes every new task out undoes that; it stays until the host restarts.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::peers::{Added, beside};

/// Audits failing calls while it lives.
struct Audit;

const RULE: [&str; 6] = ["exit,always", "-S", "all", "-F", "success=0", "-k"];
const KEY: &str = "probe-bench";

/// Measures it.
pub fn measure() -> Result<Vec<Added>> {
    eprintln!("auditd");
    let cost = beside(|| {
        if !auditctl(&["-e", "1"]) {
            return Err("skipped: auditctl is not installed, or the kernel refuses it".to_owned());
        }
        let audit = Audit;
        let mut add = vec!["-a"];
        add.extend(RULE);
        add.push(KEY);
        if auditctl(&add) { Ok(audit) } else { Err("skipped: the rule is refused".to_owned()) }
    })?;
    Ok(vec![Added { name: "auditd, success=0".to_owned(), cost }])
}

impl Drop for Audit {
    fn drop(&mut self) {
        let mut delete = vec!["-d"];
        delete.extend(RULE);
        delete.push(KEY);
        auditctl(&delete);
        auditctl(&["-e", "0"]);
        auditctl(&["-a", "never,task"]);
    }
}

fn auditctl(arguments: &[&str]) -> bool {
    let mut command = Command::new("auditctl");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
