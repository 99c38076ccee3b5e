//! Rules that ask who failed: by thread name, user or cgroup.
//!
//! In: a rule of the configuration, and a process. Out: whether the rule is about it. The kernel side knows calls
//! and errors only, so these rules are decided when an event has come out of the ring.

use crate::config::{Rule, Spanned};

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

/// Whether a text is like a pattern, in which `*` stands for any characters, also none.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, text: &str, expect: bool) {
        assert_eq!(matches(pattern, text), expect, "{pattern:?} {text:?}");
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        check("nginx", "nginx", true);
        check("nginx", "nginx2", false);
        check("*", "", true);
        check("kworker/*", "kworker/0:1", true);
        check("*/docker/*", "/system.slice/docker/abc", true);
        check("*.service", "/system.slice/sshd.service", true);
        check("a*b*c", "a--b--c", true);
        check("a*b*c", "a--c--b", false);
        check("ab*ba", "aba", false);
    }

    proptest! {
        #[test]
        fn whatever_a_star_stood_for_is_found(head in "[a-c]{0,4}", middle in ".{0,9}", tail in "[a-c]{0,4}") {
            let (pattern, text) = (format!("{head}*{tail}"), format!("{head}{middle}{tail}"));
            prop_assert!(matches(&pattern, &text));
        }

        #[test]
        fn no_pattern_and_no_text_panics(pattern in "[*ä\\w]{0,9}", text in ".{0,20}") {
            let _ = matches(&pattern, &text);
        }
    }
}
