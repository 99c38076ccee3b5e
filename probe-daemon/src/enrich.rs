//! Adds to an event who it happened to.
//!
//! In: the subject of an event, as numbers. Out: the same with an [`Identity`]. It runs in the pipeline, so that the
//! reader of the ring waits for no look-up; it cannot fail, and what is unknown is absent. What was found is kept
//! and used again for as long as it is certain to be still so.

use std::sync::Arc;

use crate::{
    clock::boot_now,
    enrich::{
        cache::Cache,
        container::Containers,
        login::Logins,
        process::{Found, Processes, Table},
        topology::Topology,
        user::Users,
    },
    event::{Identity, Login, Subject},
};

mod cache;
pub mod container;
pub mod login;
pub mod process;
pub mod topology;
pub mod user;

/// Parents that a record names at most.
const ANCESTORS: usize = 4;

/// What an event tells of its process, and its process has kept: another value of any of these is another identity.
#[derive(Clone, Debug, PartialEq)]
struct Numbers {
    euid: u32,
    uid: u32,
    gid: u32,
    cgroup: Option<String>,
}

/// An identity, and from when to when it is certain.
struct Known {
    identity: Arc<Identity>,
    numbers: Numbers,
    /// When the process executed its program.
    since: u64,
    /// When that was looked up the last time.
    until: u64,
    /// What the container runtimes had told by then.
    changes: u64,
}

/// Finds out who is who.
pub struct Enricher {
    processes: Processes,
    users: Users,
    logins: Logins,
    containers: Containers,
    known: Cache<(u32, u64), Known>,
    command_line: bool,
    labels: bool,
}

impl Enricher {
    /// Asks `table`, where there is one, `topology`, and this host's files. `command_line` and `labels` (those of containers):
    /// whether records carry them.
    pub fn new(
        table: Option<Box<dyn Table>>,
        topology: Arc<Topology>,
        command_line: bool,
        labels: bool,
    ) -> Self {
        Self {
            processes: Processes::new(table),
            users: Users::default(),
            logins: Logins::default(),
            containers: Containers::new(topology),
            known: Cache::default(),
            command_line,
            labels,
        }
    }

    /// Says who `subject` is; `cgroup` is the path of its cgroup, where that is known.
    pub fn identify(&mut self, subject: &mut Subject, cgroup: Option<String>) {
        let key = (subject.pid, subject.process_start.unwrap_or_default());
        let numbers = Numbers { euid: subject.euid, uid: subject.uid, gid: subject.gid, cgroup };
        let changes = self.containers.changes();
        let fits = |known: &&mut Known| known.numbers == numbers && known.since <= subject.seen;
        let mut known = self.known.get(&key).filter(fits);
        if let Some(known) = &mut known
            && known.changes != changes
        {
            known.changes = changes;
            if let Some(new) = moved(&mut self.containers, &known.identity, subject.pid_ns, self.labels) {
                known.identity = Arc::new(new);
            }
        }
        if let Some(known) = &known
            && subject.seen <= known.until
        {
            subject.identity = Some(Arc::clone(&known.identity));
            return;
        }
        // Taken first: what changes while somebody looks is looked up again.
        let now = boot_now();
        let mut found = self.processes.find(subject);
        if let Some(known) = known
            && found.as_ref().is_none_or(|found| found.executed == known.since)
        {
            known.until = now;
            subject.identity = Some(Arc::clone(&known.identity));
            return;
        }
        if let Some(found) = &mut found {
            self.processes.late_login(subject.pid, found);
        }
        let identity = Arc::new(self.look_up(subject, &numbers, found.as_ref()));
        subject.identity = Some(Arc::clone(&identity));
        // What was true of an earlier program, or of a process that nobody knows, is not kept.
        if let Some(found) = found.filter(|found| found.current) {
            self.known.put(key, Known { identity, numbers, since: found.executed, until: now, changes });
        }
    }

    fn look_up(&mut self, subject: &Subject, numbers: &Numbers, found: Option<&Found>) -> Identity {
        let place = numbers.cgroup.as_deref().map(container::place).unwrap_or_default();
        let container = self.containers.find(&place, subject.pid_ns);
        let mut identity = Identity {
            user: self.users.user(subject.euid),
            real_user: self.users.user(subject.uid).filter(|_| subject.uid != subject.euid),
            group: self.users.group(subject.gid),
            cgroup: numbers.cgroup.clone(),
            resource: container::describe(&place, container.as_deref(), self.labels),
            container,
            unit: place.unit,
            ..Identity::default()
        };
        if let Some(found) = found {
            identity.executable = found.executable.clone();
            identity.ancestors = self.processes.ancestors(found, ANCESTORS);
            if self.command_line && found.current {
                identity.command = process::command_line(subject.pid, found.start);
            }
            identity.login = Login {
                uid: found.login_uid,
                user: found.login_uid.and_then(|uid| self.users.user(uid)),
                tty: found.tty.clone(),
                remote: self.logins.remote(found.tty.as_deref(), found.session),
            };
        }
        identity
    }
}

/// The same identity with what the runtimes have told of its container since; none where they tell nothing new. What is
/// known of a container that is gone stays.
fn moved(containers: &mut Containers, identity: &Identity, pid_ns: u32, labels: bool) -> Option<Identity> {
    let place = identity.cgroup.as_deref().map(container::place).unwrap_or_default();
    let container = containers.find(&place, pid_ns)?;
    if identity.container.as_ref() == Some(&container) {
        return None;
    }
    let resource = container::describe(&place, Some(&container), labels);
    Some(Identity { resource, container: Some(container), ..identity.clone() })
}
