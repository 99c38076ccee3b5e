//! The resolved rules as text, for `probe-daemon check`.
//!
//! In: a policy. Out: comment lines: what is no event and why, what each call's failures come to, and which rules are
//! decided when it is known who failed.

use std::collections::BTreeMap;

use probe_common::io_uring_slot;

use super::{
    ASKS, Decision, ORDINARY, Policy, SHOWN,
    family::{ANSWERS, Answer},
    ordinary::{Asks, Shown},
    slots::OPERATION,
};
use crate::{
    errno,
    io_uring::OPERATIONS,
    severity::Severity,
    syscall::{self, Abi, Syscall},
};

impl Policy {
    /// The table that the rules came to.
    pub fn describe(&self) -> String {
        let mut text = String::from("# Ordinary failures, dropped unless a rule reports them:\n");
        for line in &ORDINARY {
            let calls =
                if line.syscalls.is_empty() { "every call".to_owned() } else { line.syscalls.join(", ") };
            text.push_str(&format!("#   {} of {calls}: {}\n", line.errnos.join(", "), line.why));
        }
        text.push_str(
            "#   ENOENT of execve, execveat: looking for a program in several places, unless the file is there and \
             its interpreter is not\n",
        );
        text.push_str("# The same with certain arguments only:\n");
        for Asks { why, syscall, errno, argument: (index, value) } in &ASKS {
            text.push_str(&format!("#   {errno} of {syscall} with {value:#x} as argument {index}: {why}\n"));
        }
        for Shown { why, syscalls, errno, object } in &SHOWN {
            text.push_str(&format!("#   {errno} of {} with {object}: {why}\n", syscalls.join(", ")));
        }
        text.push_str("# Ordinary ends of processes, dropped likewise:\n");
        for Answer { why, comms, codes } in &ANSWERS {
            let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
            text.push_str(&format!("#   {} of {}: {why}\n", codes.join(", "), comms.join(", ")));
        }
        text.push_str(
            "# What it comes to with the rules of this file, for 64-bit and 32-bit (i386) calls alike:\n",
        );
        // A name that both tables have is treated alike in both.
        let told_once = |call: &&Syscall| call.abi == Abi::X86_64 || syscall::parse(call.name).is_none();
        let calls = syscall::both().filter(told_once).map(|call| (call.slot(), call.name.to_owned()));
        self.describe_some("calls", calls, &mut text);
        let operations = (0u32..).zip(&OPERATIONS);
        let operations = operations
            .map(|(opcode, operation)| (io_uring_slot(opcode), format!("{OPERATION}{}", operation.name)));
        self.describe_some("io_uring operations", operations, &mut text);
        for rule in &self.conditional {
            let place = rule.decision.rule;
            text.push_str(&format!(
                "#   event.syscall.rules.{place} is decided for each event: it asks who failed\n"
            ));
        }
        text
    }

    fn describe_some(&self, what: &str, some: impl Iterator<Item = (u32, String)>, text: &mut String) {
        let groups = self.groups(some);
        let most = groups.values().map(Vec::len).max();
        let (rest, some): (Vec<_>, Vec<_>) = groups.iter().partition(|(_, calls)| Some(calls.len()) == most);
        for (said, calls) in some {
            text.push_str(&format!("#   {}: {said}\n", calls.join(", ")));
        }
        for (said, _) in rest {
            text.push_str(&format!("#   all other {what}: {said}\n"));
        }
    }

    /// What is treated alike, by what is said of it.
    fn groups(&self, some: impl Iterator<Item = (u32, String)>) -> BTreeMap<String, Vec<String>> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (slot, name) in some {
            let Some(row) = self.table.get(slot as usize) else { continue };
            let said: Vec<(u32, &Decision)> = (1..=errno::LAST).zip(row.iter().skip(1)).collect();
            groups.entry(describe(&said)).or_default().push(name);
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
