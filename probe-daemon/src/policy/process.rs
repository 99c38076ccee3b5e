//! Rules that ask who failed: by thread name, user or cgroup.
//!
//! In: a rule of the configuration, and a process. Out: whether the rule is about it. The kernel side knows calls
//! and errors only, so these rules are decided when an event has come out of the ring.

use crate::{
    config::{Rule, Spanned},
    glob::matches,
};

/// Who failed.
#[derive(Clone, Copy, Debug)]
pub struct Process<'a> {
    /// Name of the thread.
    pub comm: &'a str,
    /// Effective user id.
    pub uid: u32,
    /// Path of the cgroup, from the root of its hierarchy; none where unknown.
    pub cgroup: Option<&'a str>,
}

/// What a rule asks of a process; all that is asked must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    comms: Vec<String>,
    uids: Vec<u32>,
    cgroups: Vec<String>,
}

impl Conditions {
    /// What this rule asks; none where it is about every process.
    pub fn of(rule: &Rule) -> Option<Self> {
        let conditions = Self::new(&rule.comms, &rule.uids, &rule.cgroups);
        (conditions != Self::default()).then_some(conditions)
    }

    /// These lists; an empty one asks nothing.
    pub fn new(comms: &[Spanned<String>], uids: &[u64], cgroups: &[Spanned<String>]) -> Self {
        let texts = |names: &[Spanned<String>]| names.iter().map(|name| name.value.clone()).collect();
        let uids = uids.iter().map(|uid| u32::try_from(*uid).unwrap_or(u32::MAX)).collect();
        Self { comms: texts(comms), uids, cgroups: texts(cgroups) }
    }

    /// Whether they ask for the cgroup.
    pub fn ask_where(&self) -> bool {
        !self.cgroups.is_empty()
    }

    /// Whether the rule is about this process.
    pub fn hold(&self, process: &Process<'_>) -> bool {
        let named = |patterns: &[String], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
        (self.comms.is_empty() || named(&self.comms, process.comm))
            && (self.uids.is_empty() || self.uids.contains(&process.uid))
            && (self.cgroups.is_empty() || process.cgroup.is_some_and(|cgroup| named(&self.cgroups, cgroup)))
    }
}
