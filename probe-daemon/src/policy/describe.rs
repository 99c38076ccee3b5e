//! The resolved rules as text, for `probe-daemon check`.
//!
//! In: a policy. Out: comment lines: what is no event and why, what each call's failures come to, and which rules are
//! decided when it is known who failed.

use std::collections::BTreeMap;

use super::{Decision, ORDINARY, Policy};
use crate::{errno, severity::Severity, syscall};

impl Policy {
    /// The table that the rules came to.
    pub fn describe(&self) -> String {
        let mut text = String::from("# Ordinary failures, dropped unless a rule reports them:\n");
        for line in &ORDINARY {
            let calls =
                if line.syscalls.is_empty() { "every call".to_owned() } else { line.syscalls.join(", ") };
            text.push_str(&format!("#   {} of {calls}: {}\n", line.errnos.join(", "), line.why));
        }
        text.push_str("# What it comes to with the rules of this file:\n");
        let groups = self.groups();
        let most = groups.values().map(Vec::len).max();
        let (rest, some): (Vec<_>, Vec<_>) = groups.iter().partition(|(_, calls)| Some(calls.len()) == most);
        for (said, calls) in some {
            text.push_str(&format!("#   {}: {said}\n", calls.join(", ")));
        }
        for (said, _) in rest {
            text.push_str(&format!("#   all other calls: {said}\n"));
        }
        for rule in &self.conditional {
            let place = rule.decision.rule;
            text.push_str(&format!(
                "#   event.syscall.rules.{place} is decided for each event: it asks who failed\n"
            ));
        }
        text
    }

    /// Calls that are treated alike, by what is said of them.
    fn groups(&self) -> BTreeMap<String, Vec<&'static str>> {
        let mut groups: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
        for call in syscall::all() {
            let Some(row) = self.table.get(call.number as usize) else { continue };
            let said: Vec<(u32, &Decision)> = (1..=errno::LAST).zip(row.iter().skip(1)).collect();
            groups.entry(describe(&said)).or_default().push(call.name);
        }
        groups
    }
}

fn describe(row: &[(u32, &Decision)]) -> String {
    let names = |wanted: &dyn Fn(&Decision) -> bool| {
        let all = row.iter().filter(|(_, decision)| wanted(decision)).map(|(errno, _)| errno::name(*errno));
        all.filter(|name| *name != "UNK").collect::<Vec<_>>()
    };
    let dropped = names(&|decision| !decision.report);
    let reported = names(&|decision| decision.report);
    let mut said = match (dropped.len(), reported.len()) {
        (0, _) => "reports all".to_owned(),
        (_, 0) => return "drops all".to_owned(),
        (dropped_len, reported_len) if dropped_len > reported_len => {
            format!("reports {}", reported.join(", "))
        }
        _ => format!("reports all but {}", dropped.join(", ")),
    };
    for severity in Severity::ALL {
        let ruled = names(&|decision| decision.report && decision.severity == Some(severity));
        if !ruled.is_empty() {
            said.push_str(&format!("; {} as {}", ruled.join(", "), severity.text()));
        }
    }
    said
}
