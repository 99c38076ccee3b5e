//! Who a process was, by tables that say so.

use std::{collections::HashMap, sync::Arc};

use probe_common::RingHeader;
use zerocopy::FromZeros;

use super::*;
use crate::enrich::Enricher;

#[derive(Clone, Default)]
struct Tables {
    living: HashMap<u32, ProcessEntry>,
    past: HashMap<(u32, bool), ProcessEntry>,
}

impl Table for Tables {
    fn living(&self, pid: u32) -> Option<ProcessEntry> {
        self.living.get(&pid).copied()
    }

    fn past(&self, pid: u32, replaced: bool) -> Option<ProcessEntry> {
        self.past.get(&(pid, replaced)).copied()
    }
}

/// No process of this host has such an id: they end at 4,194,304.
const PID: u32 = 5_000_000;

fn entry(comm: &str, start: u64, executed: u64, parent: (u32, u64), path: &[u8]) -> ProcessEntry {
    let mut entry = ProcessEntry::new_zeroed();
    (entry.start, entry.executed) = (start, executed);
    (entry.parent, entry.parent_start) = parent;
    (entry.login_uid, entry.session) = (NO_LOGIN, NO_LOGIN);
    entry.comm[..comm.len()].copy_from_slice(comm.as_bytes());
    entry.path[..path.len()].copy_from_slice(path);
    entry.path_len = u32::try_from(path.len()).unwrap();
    entry
}

fn subject(pid: u32, start: u64, seen: u64) -> Subject {
    let mut header = RingHeader::new_zeroed();
    (header.head.tid, header.start_time, header.head.finish) = (pid, start, seen);
    Subject::from(&header)
}

fn tables() -> Tables {
    let cat = entry("cat", 100, 150, (PID + 1, 50), b"cat\0bin\0usr\0");
    let sh = entry("sh", 100, 120, (PID + 1, 50), b"dash\0bin\0usr\0");
    let mut tables = Tables::default();
    tables.living.insert(PID, cat);
    tables.past.insert((PID, true), sh);
    tables.past.insert((PID + 1, false), entry("make", 50, 60, (PID + 2, 40), b"make\0"));
    tables.living.insert(PID + 2, entry("bash", 40, 41, (PID + 3, 30), b"bash\0"));
    tables.living.insert(PID + 3, entry("other", 31, 0, (0, 0), b""));
    tables
}

#[test]
fn an_event_belongs_to_the_program_that_ran_when_it_happened() {
    let processes = Processes::new(Some(Box::new(tables())));
    let executable = |seen| processes.find(&subject(PID, 100, seen)).and_then(|found| found.executable);
    assert_eq!(executable(160).as_deref(), Some("/usr/bin/cat"));
    assert_eq!(executable(130).as_deref(), Some("/usr/bin/dash"));
    assert_eq!(executable(110), None, "what it was before is not known any more");
    assert_eq!(processes.find(&subject(PID, 101, 160)), None, "another process of the same id");
}

#[test]
fn parents_are_named_up_to_one_that_is_not_known() {
    let processes = Processes::new(Some(Box::new(tables())));
    let found = processes.find(&subject(PID, 100, 160)).unwrap();
    let (make, bash) = (format!("make[{}]", PID + 1), format!("bash[{}]", PID + 2));
    // The process that now has the third one's id started later than the parent did.
    assert_eq!(processes.ancestors(&found, 4), [make.clone(), bash]);
    assert_eq!(processes.ancestors(&found, 1), [make]);
}

#[test]
fn an_identity_is_kept_until_another_program_runs_or_another_user() {
    let mut tables = tables();
    let mut enricher = Enricher::new(Some(Box::new(tables.clone())), Arc::default(), false, false);
    let identify = |enricher: &mut Enricher, seen, euid| {
        let mut subject = Subject { euid, ..subject(PID, 100, seen) };
        enricher.identify(&mut subject, None);
        subject.identity.unwrap()
    };
    let first = identify(&mut enricher, 160, 0);
    assert_eq!(first.executable_name(), Some("cat"));
    assert!(Arc::ptr_eq(&first, &identify(&mut enricher, 170, 0)));
    assert!(Arc::ptr_eq(&first, &identify(&mut enricher, u64::MAX, 0)), "looked up again, and the same");
    assert_eq!(identify(&mut enricher, 130, 0).executable_name(), Some("dash"), "an earlier one");
    assert_eq!(first.user.as_deref(), Some("root"));
    assert_ne!(identify(&mut enricher, 170, u32::MAX).user, first.user);

    tables.living.insert(PID, entry("true", 100, 200, (PID + 1, 50), b"true\0bin\0usr\0"));
    enricher.processes = Processes::new(Some(Box::new(tables)));
    assert_eq!(identify(&mut enricher, u64::MAX, 0).executable_name(), Some("true"));
}

#[test]
fn a_path_that_was_cut_says_so_and_one_of_no_folder_is_a_name() {
    let mut cut = entry("x", 1, 1, (0, 0), b"x\0deep\0");
    cut.path_cut = 1;
    assert_eq!(executable(&cut).as_deref(), Some("…/deep/x"));
    assert_eq!(executable(&entry("k", 1, 1, (0, 0), b"")), None);
    assert_eq!(executable(&entry("m", 1, 1, (0, 0), b"memfd:m\0")).as_deref(), Some("/memfd:m"));
    for (kernel, name) in
        [("pts4", Some("pts/4")), ("tty1", Some("tty1")), ("ptsx", Some("ptsx")), ("", None)]
    {
        assert_eq!(terminal(kernel).as_deref(), name);
    }
}
