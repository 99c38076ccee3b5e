//! Rules about events that are no failed calls: ends of processes, OOM kills, stalls.
//!
//! In: the rules of a family's section, and an event. Out: whether it is reported, and how grave it is where a rule
//! says so. The first rule that matches decides, then the built-in table, which for ends of processes drops answers
//! that programs give by their exit code; what neither names is reported.

use super::process::{Conditions, Process};
use crate::{
    config::{Action, ConfigError, ExitRule, FamilyRule, Spanned},
    nearest::nearest,
    severity::Severity,
    syscall,
};

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// With an exit code.
    Code(u32),
    /// By a signal.
    Signal(u32),
}

/// An exit code by which a program answers.
pub struct Answer {
    /// Why it is ordinary.
    pub why: &'static str,
    /// Names of programs.
    pub comms: &'static [&'static str],
    /// Exit codes.
    pub codes: &'static [u32],
}

/// Answers of programs that every host's scripts ask.
pub const ANSWERS: [Answer; 8] = [
    Answer {
        why: "nothing was found",
        comms: &["grep", "egrep", "fgrep", "zgrep", "rg", "pgrep", "pidof", "which"],
        codes: &[1],
    },
    Answer { why: "there is a difference", comms: &["diff", "cmp", "git"], codes: &[1] },
    Answer { why: "the condition does not hold", comms: &["test", "[", "expr"], codes: &[1] },
    Answer { why: "no symbolic link, or no terminal", comms: &["readlink", "tty"], codes: &[1] },
    Answer { why: "no terminal, or messages are off", comms: &["mesg"], codes: &[1, 2] },
    Answer { why: "there is no such entry", comms: &["getent"], codes: &[2] },
    Answer { why: "the unit is not active, or unknown", comms: &["systemctl"], codes: &[3, 4] },
    Answer { why: "the time is over", comms: &["timeout"], codes: &[124] },
];

/// The rules of one family, in order.
#[derive(Clone, Debug, Default)]
pub struct FamilyRules(Vec<Ruled>);

#[derive(Clone, Debug)]
struct Ruled {
    /// The ends that it is about; none where it is about every event of the family.
    ends: Option<Ends>,
    conditions: Conditions,
    report: bool,
    severity: Option<Severity>,
}

/// Ends of processes.
#[derive(Clone, Debug)]
struct Ends {
    codes: Vec<u32>,
    signals: Vec<u32>,
}

impl Ends {
    fn contain(&self, end: Outcome) -> bool {
        match end {
            Outcome::Code(code) => self.codes.contains(&code),
            Outcome::Signal(number) => self.signals.contains(&number),
        }
    }
}

impl FamilyRules {
    /// Rules that ask who it was.
    pub fn about_processes(rules: &[FamilyRule]) -> Self {
        let ruled = |rule: &FamilyRule| {
            let conditions = Conditions::new(&rule.comms, &rule.uids, &rule.cgroups);
            Ruled {
                ends: None,
                conditions,
                report: rule.action == Action::Report,
                severity: severity(rule.severity),
            }
        };
        Self(rules.iter().map(ruled).collect())
    }

    /// Rules that also ask how a process ended.
    pub fn about_ends(rules: &[ExitRule], errors: &mut Vec<ConfigError>) -> Self {
        let ruled = |rule: &ExitRule| {
            let codes = rule.codes.iter().map(|code| u32::try_from(*code).unwrap_or(u32::MAX)).collect();
            let signals = rule.signals.iter().filter_map(|name| signal(name, errors)).collect();
            let ends =
                (!rule.codes.is_empty() || !rule.signals.is_empty()).then_some(Ends { codes, signals });
            let conditions = Conditions::new(&rule.comms, &rule.uids, &rule.cgroups);
            Ruled {
                ends,
                conditions,
                report: rule.action == Action::Report,
                severity: severity(rule.severity),
            }
        };
        Self(rules.iter().map(ruled).collect())
    }

    /// Whether a rule needs to know in which cgroup it happened.
    pub fn ask_where(&self) -> bool {
        self.0.iter().any(|rule| rule.conditions.ask_where())
    }

    /// Whether an event of this process is reported, and how grave it is where a rule says so. `end` is how the
    /// process ended, where that is the event.
    pub fn decide(&self, end: Option<Outcome>, process: &Process<'_>) -> (bool, Option<Severity>) {
        let about = |rule: &&Ruled| {
            rule.conditions.hold(process)
                && rule.ends.as_ref().is_none_or(|ends| end.is_some_and(|end| ends.contain(end)))
        };
        match self.0.iter().find(about) {
            Some(rule) => (rule.report, rule.severity),
            None => (!end.is_some_and(|end| is_answer(end, process.comm)), None),
        }
    }
}

fn is_answer(end: Outcome, comm: &str) -> bool {
    let Outcome::Code(code) = end else { return false };
    ANSWERS.iter().any(|answer| answer.comms.contains(&comm) && answer.codes.contains(&code))
}

fn severity(named: Option<crate::config::Severity>) -> Option<Severity> {
    named.and_then(|severity| Severity::parse(severity.as_str()))
}

/// The number of a signal; what is none goes to `errors`.
fn signal(name: &Spanned<String>, errors: &mut Vec<ConfigError>) -> Option<u32> {
    let known = || (1..=64).filter_map(|number| Some((number, syscall::signal_name(number)?)));
    if let Some((number, _)) = known().find(|(_, known)| *known == name.value) {
        return u32::try_from(number).ok();
    }
    let names: Vec<String> = known().map(|(_, name)| name.into_owned()).collect();
    let near = nearest(&name.value, names.iter().map(String::as_str));
    let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    errors.push(name.error(format!("{:?} is not a signal of Linux{hint}", name.value)));
    None
}

#[cfg(test)]
mod tests;
