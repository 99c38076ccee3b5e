//! What a process executes, whose child it is, who logged in.
//!
//! In: a process id and when the process started. Out: [`Found`]. The kernel side has noted it at fork and exec, so a
//! process may be gone by now; one that it does not know is looked up in `/proc`, if it is still there. Start times tell
//! apart processes that had the same id.

use probe_common::{NO_LOGIN, ProcessEntry};

use crate::event::Subject;

mod proc;
pub use proc::{command_line, is_same};

/// The kernel side's tables of processes.
pub trait Table: Send {
    /// A process as it is now.
    fn living(&self, pid: u32) -> Option<ProcessEntry>;
    /// A process that has ended; with `replaced`, one as it was before it executed another program.
    fn past(&self, pid: u32, replaced: bool) -> Option<ProcessEntry>;
}

/// What is known of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its start on `CLOCK_BOOTTIME`, in nanoseconds.
    pub start: u64,
    /// When it executed its program; 0 where it did not since its start, or nobody saw it.
    pub executed: u64,
    /// Whether it still executes this program, or ended with it.
    pub current: bool,
    /// Its name.
    pub comm: String,
    /// The file that it executes.
    pub executable: Option<String>,
    /// The process that made it, and the start of that where it is known; 0 for none.
    pub parent: (u32, Option<u64>),
    /// Audit login uid.
    pub login_uid: Option<u32>,
    /// Audit session.
    pub session: Option<u32>,
    /// Controlling terminal.
    pub tty: Option<String>,
}

/// Looks processes up.
pub struct Processes(Option<Box<dyn Table>>);

impl Processes {
    /// Asks `table` first.
    pub fn new(table: Option<Box<dyn Table>>) -> Self {
        Self(table)
    }

    /// Who the subject of an event was when it happened.
    pub fn find(&self, subject: &Subject) -> Option<Found> {
        let start = subject.process_start?;
        let Some(now) = self.entry(subject.pid, start) else {
            return proc::find(subject.pid, Some(start));
        };
        if now.executed <= subject.seen {
            return Some(Found::new(&now, true));
        }
        let then = self.0.as_ref().and_then(|table| table.past(subject.pid, true));
        match then.filter(|then| then.start == start && then.executed <= subject.seen) {
            Some(then) => Some(Found::new(&then, false)),
            // Which program it was is not known any more; all else is the same.
            None => Some(Found { executable: None, ..Found::new(&now, false) }),
        }
    }

    /// Adds the login that a process got since its last fork or exec, if it is still there: whoever logs somebody in
    /// does so before there is a shell.
    pub fn late_login(&self, pid: u32, found: &mut Found) {
        if (found.tty.is_none() || found.login_uid.is_none())
            && let Some(proc) = proc::find(pid, Some(found.start))
        {
            found.tty = found.tty.take().or(proc.tty);
            if found.login_uid.is_none() {
                (found.login_uid, found.session) = (proc.login_uid, proc.session);
            }
        }
    }

    /// The processes above one, the nearest first, at most so many, each as `name[pid]`.
    pub fn ancestors(&self, child: &Found, most: usize) -> Vec<String> {
        let mut chain = Vec::new();
        let (mut pid, mut start) = child.parent;
        while pid != 0 && chain.len() < most {
            let entry = start.and_then(|start| self.entry(pid, start));
            let found = match entry {
                Some(entry) => Some(Found::new(&entry, true)),
                None => proc::find(pid, start),
            };
            let Some(found) = found else { break };
            chain.push(format!("{}[{pid}]", found.comm));
            (pid, start) = found.parent;
        }
        chain
    }

    /// The process of that id and start, as it is now or as it ended.
    fn entry(&self, pid: u32, start: u64) -> Option<ProcessEntry> {
        let table = self.0.as_ref()?;
        let same = |entry: &ProcessEntry| entry.start == start;
        table.living(pid).filter(same).or_else(|| table.past(pid, false).filter(same))
    }
}

impl Found {
    fn new(entry: &ProcessEntry, current: bool) -> Self {
        let logged_in = |number: u32| (number != NO_LOGIN).then_some(number);
        Self {
            start: entry.start,
            executed: entry.executed,
            current,
            comm: text(&entry.comm),
            executable: executable(entry),
            parent: (entry.parent, (entry.parent_start != 0).then_some(entry.parent_start)),
            login_uid: logged_in(entry.login_uid),
            session: logged_in(entry.session),
            tty: terminal(&text(&entry.tty)),
        }
    }
}

/// The path of the executable; it begins with `…` where folders are missing.
fn executable(entry: &ProcessEntry) -> Option<String> {
    let mut path = String::from(if entry.path_cut == 0 { "" } else { "…" });
    entry.names().next()?;
    for name in entry.names().rev() {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(name));
    }
    Some(path)
}

/// A terminal as it is called below `/dev`: the kernel says `pts4` of `pts/4`.
fn terminal(name: &str) -> Option<String> {
    match name.strip_prefix("pts") {
        Some(number) if number.starts_with(|first: char| first.is_ascii_digit()) => {
            Some(format!("pts/{number}"))
        }
        _ => (!name.is_empty()).then(|| name.to_owned()),
    }
}

fn text(bytes: &[u8]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests;
