//! What the daemon has to tell of itself.
//!
//! In: what was lost since it was told last, or the totals of a run. Out: a [`Probe`], an event like any other, whose
//! process is the daemon, but which stands for no event of the host.

use std::{fs, os::unix::fs::MetadataExt, process, sync::Arc};

use probe_common::RingHeader;
use zerocopy::FromZeros;

use super::Subject;
use crate::{clock::boot_now, losses::Loss, meter::Totals};

/// What the daemon tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The daemon.
    pub subject: Subject,
    /// What it tells.
    pub notice: Notice,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// It captures, with the configuration of this hash.
    Started(Arc<str>),
    /// It has lost events.
    Lost(Loss),
    /// It has stopped: the hash of its configuration, and the totals of its run.
    Stopped(Arc<str>, Totals),
}

impl Probe {
    /// Says `notice` now.
    pub fn new(notice: Notice) -> Self {
        Self { subject: own(), notice }
    }
}

/// This process.
fn own() -> Subject {
    let mut header = RingHeader::new_zeroed();
    let head = &mut header.head;
    let pid = process::id();
    (head.pid, head.tid, head.ns_pid) = (pid, pid, pid);
    (head.uid, head.gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    head.finish = boot_now();
    let namespace = |name: &str| {
        let inode = fs::metadata(format!("/proc/self/ns/{name}")).map(|file| file.ino()).unwrap_or_default();
        u32::try_from(inode).unwrap_or_default()
    };
    (head.pid_ns, head.uts_ns, head.mnt_ns) = (namespace("pid"), namespace("uts"), namespace("mnt"));
    (head.ipc_ns, head.cgr_ns) = (namespace("ipc"), namespace("cgroup"));
    header.euid = rustix::process::geteuid().as_raw();
    header.parent = rustix::process::getppid().map_or(0, |parent| parent.as_raw_pid().unsigned_abs());
    let mut subject = Subject::from(&header);
    subject.comm = env!("CARGO_PKG_NAME").to_owned();
    subject
}
