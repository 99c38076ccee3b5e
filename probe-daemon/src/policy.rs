//! Which failures are events, and how grave each is.
//!
//! In: the rules of the configuration. Out: a [`Policy`]: bits for the kernel, one per call and error number, and a
//! [`Decision`] for each event that comes out of it. The built-in table drops ordinary flow control; the
//! configuration's rules come on top of it, the first that matches wins; what neither names is reported.

use probe_common::{ERRNO_BITS, Kind, SYSCALL_OTHER, SYSCALL_SLOTS, SyscallPolicy};

use crate::{
    config::{Action, ConfigError, Rule, Spanned, SyscallEvents},
    errno,
    nearest::nearest,
    severity::Severity,
    syscall::{self, Class},
};

mod describe;
mod ordinary;
mod process;

use ordinary::ORDINARY;
use process::Conditions;
pub use process::Process;

/// The resolved rules.
#[derive(Clone, Debug)]
pub struct Policy {
    kernel: Vec<SyscallPolicy>,
    /// What rules about every process come to, by slot and error number.
    table: Vec<[Decision; ERRNO_BITS as usize]>,
    /// Rules about some processes, in order.
    conditional: Vec<Conditional>,
}

/// What becomes of a failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Whether it is an event.
    pub report: bool,
    /// How grave a rule says it is; none where that is left to the catalogue.
    pub severity: Option<Severity>,
    /// The place of the rule that says so; what has none comes after all rules.
    rule: usize,
}

/// A rule about some processes.
#[derive(Clone, Debug)]
struct Conditional {
    slots: Vec<u32>,
    errnos: Vec<u32>,
    conditions: Conditions,
    decision: Decision,
}

impl Policy {
    /// Resolves the rules.
    ///
    /// # Errors
    /// Every name that is no system call, error or class, with the nearest one that is.
    pub fn resolve(events: &SyscallEvents) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut policy = Self::built_in();
        // The first rule that matches wins, so the last is applied first.
        for (place, rule) in events.rules.iter().enumerate().rev() {
            policy.apply(place, rule, &mut errors);
        }
        policy.conditional.reverse();
        policy.resolve_kernel();
        if errors.is_empty() { Ok(policy) } else { Err(errors) }
    }

    /// The built-in table alone.
    pub fn built_in() -> Self {
        let row = |_| {
            std::array::from_fn(|errno| Decision { report: errno != 0, severity: None, rule: usize::MAX })
        };
        let kernel = (0..SYSCALL_SLOTS).map(capture).collect();
        let mut policy =
            Self { kernel, table: (0..SYSCALL_SLOTS).map(row).collect(), conditional: Vec::new() };
        for line in &ORDINARY {
            let named = line.syscalls.iter().filter_map(|name| Some(syscall::parse(name)?.number));
            let slots: Vec<u32> =
                if line.syscalls.is_empty() { (0..SYSCALL_SLOTS).collect() } else { named.collect() };
            let errnos = line.errnos.iter().filter_map(|name| errno::parse(name));
            for (slot, errno) in slots.iter().flat_map(|slot| errnos.clone().map(|errno| (*slot, errno))) {
                if let Some(decision) = policy.decided(slot, errno) {
                    decision.report = false;
                    // Whoever asks for an ordinary failure all the same only wants to know.
                    decision.severity = Some(Severity::Info);
                }
            }
        }
        policy.resolve_kernel();
        policy
    }

    fn apply(&mut self, place: usize, rule: &Rule, errors: &mut Vec<ConfigError>) {
        let slots = numbers(&rule.syscalls, 0..SYSCALL_SLOTS, "system call", errors, call_numbers);
        let errnos = numbers(&rule.errnos, 1..ERRNO_BITS, "error", errors, errno_numbers);
        let severity = rule.severity.and_then(|severity| Severity::parse(severity.as_str()));
        let report = rule.action == Action::Report;
        if let Some(conditions) = Conditions::of(rule) {
            let decision = Decision { report, severity, rule: place };
            self.conditional.push(Conditional { slots, errnos, conditions, decision });
            return;
        }
        for (slot, errno) in slots.iter().flat_map(|slot| errnos.iter().map(|errno| (*slot, *errno))) {
            if let Some(decision) = self.decided(slot, errno) {
                let severity = severity.or(decision.severity);
                *decision = Decision { report, severity, rule: place };
            }
        }
    }

    fn decided(&mut self, slot: u32, errno: u32) -> Option<&mut Decision> {
        self.table.get_mut(slot as usize)?.get_mut(errno as usize)
    }

    /// The kernel sends what any rule may report.
    fn resolve_kernel(&mut self) {
        for (policy, row) in self.kernel.iter_mut().zip(&self.table) {
            (0u32..).zip(row).for_each(|(errno, decision)| policy.set(errno, decision.report));
        }
        for rule in self.conditional.iter().filter(|rule| rule.decision.report) {
            for (slot, errno) in
                rule.slots.iter().flat_map(|slot| rule.errnos.iter().map(|errno| (*slot, *errno)))
            {
                let row = self.table.get(slot as usize);
                let decided = row.and_then(|row| row.get(errno as usize)).map(|decision| decision.rule);
                if decided.is_some_and(|place| rule.decision.rule < place)
                    && let Some(policy) = self.kernel.get_mut(slot as usize)
                {
                    policy.set(errno, true);
                }
            }
        }
    }

    /// What the kernel side needs to report these families: one entry for each system call number, the last for all
    /// unknown ones.
    pub fn kernel(&self, families: &[Kind]) -> Vec<SyscallPolicy> {
        let mut kernel = self.kernel.clone();
        for policy in &mut kernel {
            for errno in 1..ERRNO_BITS {
                if !families.contains(&Kind::of_call(policy.exec != 0, errno.into())) {
                    policy.set(errno, false);
                }
            }
        }
        kernel
    }

    /// Whether a decision needs to know who failed.
    pub fn asks_who(&self) -> bool {
        !self.conditional.is_empty()
    }

    /// What becomes of this failure of this process.
    pub fn decide(&self, number: u32, errno: u32, process: &Process<'_>) -> Decision {
        let slot = number.min(SYSCALL_OTHER);
        let row = self.table.get(slot as usize);
        let unknown = Decision { report: true, severity: None, rule: usize::MAX };
        let decision = row.and_then(|row| row.get(errno as usize)).copied().unwrap_or(unknown);
        let before = self.conditional.iter().filter(|rule| rule.decision.rule < decision.rule);
        let mut about = before.filter(|rule| rule.slots.contains(&slot) && rule.errnos.contains(&errno));
        match about.find(|rule| rule.conditions.hold(process)) {
            Some(Conditional { decision: ruled, .. }) => {
                Decision { severity: ruled.severity.or(decision.severity), ..*ruled }
            }
            None => decision,
        }
    }
}

/// What the kernel side captures of a call; no error is an event yet.
fn capture(number: u32) -> SyscallPolicy {
    let plan = syscall::capture(number);
    let (sockaddr, sockaddr_len) = plan.sockaddr.map_or((0, 0), |(at, len)| (at + 1, len));
    let executes = syscall::lookup(number).is_some_and(|call| ["execve", "execveat"].contains(&call.name));
    let exec = u8::from(executes);
    SyscallPolicy { strings: plan.strings, sockaddr, sockaddr_len, exec, ..Default::default() }
}

/// Starts the name of a class in a list of names.
const CLASS: &str = "class:";

/// The numbers of a system call or class, or the name that was nearest.
fn call_numbers(name: &str) -> Result<Vec<u32>, Option<String>> {
    match name.strip_prefix(CLASS) {
        Some(class) => match Class::parse(class) {
            Some(class) => Ok(syscall::class_members(class).map(|call| call.number).collect()),
            None => {
                let names = Class::ALL.map(Class::name);
                Err(nearest(class, names).map(|near| format!("{CLASS}{near}")))
            }
        },
        None => match syscall::parse(name) {
            Some(call) => Ok(vec![call.number]),
            None => Err(syscall::nearest(name).map(str::to_owned)),
        },
    }
}

/// The numbers of an error or class, or the name that was nearest.
fn errno_numbers(name: &str) -> Result<Vec<u32>, Option<String>> {
    match name.strip_prefix(CLASS) {
        Some(class) => match errno::CLASSES.iter().find(|(name, _)| *name == class) {
            Some((_, members)) => Ok(members.iter().filter_map(|name| errno::parse(name)).collect()),
            None => {
                let names = errno::CLASSES.iter().map(|(name, _)| *name);
                Err(nearest(class, names).map(|near| format!("{CLASS}{near}")))
            }
        },
        None => errno::parse(name)
            .map(|number| vec![number])
            .ok_or_else(|| errno::nearest(name).map(str::to_owned)),
    }
}

/// The numbers that names stand for, `all` where there is no name; unknown names go to `errors`.
fn numbers(
    names: &[Spanned<String>],
    all: std::ops::Range<u32>,
    what: &str,
    errors: &mut Vec<ConfigError>,
    parse: impl Fn(&str) -> Result<Vec<u32>, Option<String>>,
) -> Vec<u32> {
    if names.is_empty() {
        return all.collect();
    }
    let mut numbers = Vec::new();
    for name in names {
        match parse(&name.value) {
            Ok(found) => numbers.extend(found),
            Err(near) => {
                let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                errors.push(name.error(format!("{:?} is not a {what} of Linux{hint}", name.value)));
            }
        }
    }
    numbers
}

#[cfg(test)]
mod tests;
