//! Who a process is, beyond its numbers: what the host's own files and the kernel's tables say of it.
//!
//! In: what was looked up, by `enrich`. Out: an [`Identity`]; what is unknown is absent.

use std::{borrow::Cow, sync::Arc};

use super::Container;

/// Who a process is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The file that it executes, as a path in its own mount namespace.
    pub executable: Option<String>,
    /// Its command line; empty where it is not asked for, or the process is gone.
    pub command: Vec<String>,
    /// Parent, grandparent and so on, the nearest first, each as `name[pid]`.
    pub ancestors: Vec<String>,
    /// Name of the effective user.
    pub user: Option<String>,
    /// Name of the real user, where that is another one.
    pub real_user: Option<String>,
    /// Name of the real group.
    pub group: Option<String>,
    /// Who logged in, and from where.
    pub login: Login,
    /// Path of its cgroup.
    pub cgroup: Option<String>,
    /// The systemd unit that it belongs to; none in a container.
    pub unit: Option<String>,
    /// Container and pod, under the names that they have in a record's Resource.
    pub resource: Vec<(Cow<'static, str>, String)>,
    /// The container itself; none where it is in none, or in one of which nothing is known.
    pub container: Option<Arc<Container>>,
}

impl Identity {
    /// The last part of the path of the executable.
    pub fn executable_name(&self) -> Option<&str> {
        self.executable.as_deref()?.rsplit('/').next().filter(|name| !name.is_empty())
    }
}

/// Where a login came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Login {
    /// Audit login uid: who logged in, whoever they are now.
    pub uid: Option<u32>,
    /// Their name.
    pub user: Option<String>,
    /// The controlling terminal, such as `pts/4`.
    pub tty: Option<String>,
    /// The address, or where there is none the name, of the host that they came from.
    pub remote: Option<String>,
}
