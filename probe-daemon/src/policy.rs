//! Which failures are events, and how grave each is.
//!
//! In: the rules of the configuration. Out: a [`Policy`]: bits for the kernel, one per call and error number, and a
//! [`Decision`] for each event that comes out of it. The built-in table drops ordinary flow control; the
//! configuration's rules come on top of it, the first that matches wins; what neither names is reported.

use std::sync::Arc;

use probe_common::{
    ERRNO_BITS, IO_URING_FIRST, Kind, LOOKS, LOOKS_ALL, POLICY_SLOTS, Question, SyscallPolicy,
};

use crate::{
    config::{self, Action, ConfigError, Rule, Spanned},
    errno,
    nearest::nearest,
    severity::Severity,
    syscall::{self, Syscall},
};

mod describe;
mod family;
mod ordinary;
mod process;
mod slots;

use family::FamilyRules;
pub use family::Outcome;
use ordinary::{ASKS, ORDINARY, SHOWN};
use process::Conditions;
pub use process::Process;

/// The resolved rules.
#[derive(Clone, Debug)]
pub struct Policy {
    kernel: Vec<SyscallPolicy>,
    /// What rules about every process come to, by slot and error number. Most calls have the same row, which is there once.
    table: Vec<Arc<[Decision; ERRNO_BITS as usize]>>,
    /// Rules about some processes, in order.
    conditional: Vec<Conditional>,
    exit: FamilyRules,
    oom: FamilyRules,
    offcpu: FamilyRules,
}

/// What becomes of a failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Whether it is an event.
    pub report: bool,
    /// How grave a rule says it is; none where that is left to the catalogue.
    pub severity: Option<Severity>,
    /// The place of the rule that says so, or [`NO_RULE`]. There are many decisions, so it is kept small.
    rule: u32,
}

/// What no rule says comes after all rules.
const NO_RULE: u32 = u32::MAX;

/// A rule about some processes.
#[derive(Clone, Debug)]
struct Conditional {
    slots: Vec<u32>,
    errnos: Vec<u32>,
    conditions: Conditions,
    decision: Decision,
}

impl Decision {
    /// Whether the built-in table decides, and no rule of the configuration.
    pub fn is_built_in(&self) -> bool {
        self.rule == NO_RULE
    }
}

impl Policy {
    /// Resolves the rules.
    ///
    /// # Errors
    /// Every name that is no system call, io_uring operation, error or class, with the nearest one that is.
    pub fn resolve(events: &config::Event) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut policy = Self::built_in();
        policy.exit = FamilyRules::about_ends(&events.exit.rules, &mut errors);
        policy.oom = FamilyRules::about_processes(&events.oom.rules);
        policy.offcpu = FamilyRules::about_processes(&events.offcpu.rules);
        // The first rule that matches wins, so the last is applied first.
        for (place, rule) in events.syscall.rules.iter().enumerate().rev() {
            policy.apply(u32::try_from(place).unwrap_or(NO_RULE - 1), rule, &mut errors);
        }
        policy.conditional.reverse();
        policy.resolve_kernel();
        policy.share_rows();
        if errors.is_empty() { Ok(policy) } else { Err(errors) }
    }

    /// The built-in table alone.
    pub fn built_in() -> Self {
        let row = |errno| Decision { report: errno != 0, severity: None, rule: NO_RULE };
        let row = Arc::new(std::array::from_fn(row));
        let mut kernel = vec![SyscallPolicy::default(); POLICY_SLOTS as usize];
        for call in syscall::both() {
            if let Some(policy) = kernel.get_mut(call.slot() as usize) {
                *policy = capture(call);
            }
        }
        let mut policy = Self {
            kernel,
            table: slots::all().map(|_| Arc::clone(&row)).collect(),
            conditional: Vec::new(),
            exit: FamilyRules::default(),
            oom: FamilyRules::default(),
            offcpu: FamilyRules::default(),
        };
        for line in &ORDINARY {
            let named = line.syscalls.iter().flat_map(|name| slots::parse(name).unwrap_or_default());
            let slots: Vec<u32> =
                if line.syscalls.is_empty() { slots::all().collect() } else { named.collect() };
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
        policy.share_rows();
        policy
    }

    fn apply(&mut self, place: u32, rule: &Rule, errors: &mut Vec<ConfigError>) {
        let slots = numbers(&rule.syscalls, slots::all(), "system call", errors, slots::parse);
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
        Arc::make_mut(self.table.get_mut(slot as usize)?).get_mut(errno as usize)
    }

    /// Rows that are alike become one.
    fn share_rows(&mut self) {
        let mut known: Vec<Arc<_>> = Vec::new();
        for row in &mut self.table {
            match known.iter().find(|known| *known == row) {
                Some(same) => *row = Arc::clone(same),
                None => known.push(Arc::clone(row)),
            }
        }
    }

    /// The kernel sends what any rule may report.
    fn resolve_kernel(&mut self) {
        for slot in slots::all() {
            if let (Some(policy), Some(row)) =
                (self.kernel.get_mut(slot as usize), self.table.get(slot as usize))
            {
                (0u32..).zip(row.iter()).for_each(|(errno, decision)| policy.set(errno, decision.report));
            }
        }
        self.resolve_questions();
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

    /// A question is none where a rule says what becomes of its error.
    fn resolve_questions(&mut self) {
        for policy in &mut self.kernel {
            (policy.questions, policy.alone) = Default::default();
        }
        for ask in &ASKS {
            let Some(errno) = errno::parse(ask.errno) else { continue };
            for slot in slots_of(&[ask.syscall]).filter(|slot| !self.ruled(*slot, errno)).collect::<Vec<_>>()
            {
                let free = self
                    .kernel
                    .get_mut(slot as usize)
                    .and_then(|policy| policy.questions.iter_mut().find(|question| question.errno == 0));
                if let Some(free) = free {
                    let (argument, value) = ask.argument;
                    *free = Question { value, errno: u16::try_from(errno).unwrap_or_default(), argument };
                }
            }
        }
        for shown in &SHOWN {
            let Some(errno) = errno::parse(shown.errno) else { continue };
            for slot in slots_of(shown.syscalls) {
                if !self.ruled(slot, errno)
                    && let Some(policy) = self.kernel.get_mut(slot as usize)
                {
                    policy.alone = u8::try_from(errno).unwrap_or_default();
                }
            }
        }
    }

    /// Whether a rule of the configuration may be about this error of this call.
    fn ruled(&self, slot: u32, errno: u32) -> bool {
        let decided = self.table.get(slot as usize).and_then(|row| row.get(errno as usize));
        decided.is_some_and(|decision| decision.rule != NO_RULE)
            || self.conditional.iter().any(|rule| rule.slots.contains(&slot) && rule.errnos.contains(&errno))
    }

    /// Whether a failure is the answer to a question that only its captured memory tells: what a record would show as
    /// the call's object.
    pub fn answers(&self, slot: u32, errno: u32, object: Option<&str>) -> bool {
        let asked = |shown: &ordinary::Shown| {
            object == Some(shown.object)
                && errno::parse(shown.errno) == Some(errno)
                && slots_of(shown.syscalls).any(|own| own == slot)
        };
        SHOWN.iter().any(asked) && !self.ruled(slot, errno)
    }

    /// What becomes of the end of a process, and how grave it is where a rule says so.
    pub fn decide_exit(&self, end: Outcome, process: &Process<'_>) -> (bool, Option<Severity>) {
        self.exit.decide(Some(end), process)
    }

    /// As [`Policy::decide_exit`], of a process killed for memory.
    pub fn decide_oom(&self, process: &Process<'_>) -> (bool, Option<Severity>) {
        self.oom.decide(None, process)
    }

    /// As [`Policy::decide_exit`], of a stall.
    pub fn decide_offcpu(&self, process: &Process<'_>) -> (bool, Option<Severity>) {
        self.offcpu.decide(None, process)
    }

    /// What the kernel side needs to report these families: one entry for each slot of the policy map.
    pub fn kernel(&self, families: &[Kind]) -> Vec<SyscallPolicy> {
        let mut kernel = self.kernel.clone();
        for (slot, policy) in (0u32..).zip(&mut kernel) {
            // A rule that is about every process has the misses of a search reported like any other failure.
            let missing = self.table.get(slot as usize).and_then(|row| row.get(ENOENT));
            let asked = |rule: &&Conditional| {
                let about = rule.errnos.contains(&(ENOENT as u32)) && rule.slots.contains(&slot);
                about && rule.decision.report
            };
            policy.looks = match missing {
                Some(decision) if policy.exec != 0 && decision.is_built_in() => {
                    if self.conditional.iter().any(|rule| asked(&rule)) { LOOKS_ALL } else { LOOKS }
                }
                _ => 0,
            };
            for errno in 1..ERRNO_BITS {
                let kind = match slot {
                    IO_URING_FIRST.. => Kind::IoUring,
                    _ => Kind::of_call(policy.exec != 0, errno.into()),
                };
                if !families.contains(&kind) {
                    policy.set(errno, false);
                }
            }
        }
        kernel
    }

    /// Whether a rule needs to know in which cgroup it happened.
    pub fn asks_where(&self) -> bool {
        self.conditional.iter().any(|rule| rule.conditions.ask_where())
            || [&self.exit, &self.oom, &self.offcpu].into_iter().any(FamilyRules::ask_where)
    }

    /// What becomes of this failure of this process; `slot` is that of the call or operation.
    pub fn decide(&self, slot: u32, errno: u32, process: &Process<'_>) -> Decision {
        let row = self.table.get(slot as usize);
        let unknown = Decision { report: true, severity: None, rule: NO_RULE };
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

/// The slots of the calls that have just these names, in either table: other forms of a call take other arguments.
fn slots_of<'a>(names: &'a [&str]) -> impl Iterator<Item = u32> + 'a {
    syscall::both().filter(|call| names.contains(&call.name)).map(Syscall::slot)
}

/// What the kernel side captures of a call; no error is an event yet.
fn capture(call: &Syscall) -> SyscallPolicy {
    let plan = syscall::capture(call.abi, call.number);
    let (sockaddr, sockaddr_len) = plan.sockaddr.map_or((0, 0), |(at, len)| (at + 1, len));
    let exec = u8::from(["execve", "execveat"].contains(&call.name));
    SyscallPolicy { strings: plan.strings, sockaddr, sockaddr_len, exec, ..Default::default() }
}

/// The error of a file that is not there, and of one whose interpreter is not.
const ENOENT: usize = 2;
/// Starts the name of a class in a list of names.
const CLASS: &str = "class:";

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
    all: impl Iterator<Item = u32>,
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
