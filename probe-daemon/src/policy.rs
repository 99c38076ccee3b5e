//! Which failures are events, and how grave each is.
//!
//! In: the rules of the configuration. Out: a [`Policy`]: bits for the kernel, one per call and error number, and a
//! [`Decision`] for each event that comes out of it. The built-in table drops ordinary flow control; the
//! configuration's rules come on top of it, the first that matches wins; what neither names is reported.

use probe_common::{ERRNO_BITS, Kind, Question, SYSCALL_OTHER, SYSCALL_SLOTS, SyscallPolicy};

use crate::{
    config::{self, Action, ConfigError, Rule, Spanned},
    errno,
    nearest::nearest,
    severity::Severity,
    syscall::{self, Class},
};

mod describe;
mod family;
mod ordinary;
mod process;

use family::FamilyRules;
pub use family::Outcome;
use ordinary::{ASKS, LOOKS, ORDINARY};
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
    exit: FamilyRules,
    oom: FamilyRules,
    offcpu: FamilyRules,
}

/// What becomes of a failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Whether it is an event.
    pub report: bool,
    /// How grave it is.
    pub severity: Severity,
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
    /// Whether the rule says how grave it is, or leaves that to the table.
    has_severity: bool,
}

impl Policy {
    /// Resolves the rules.
    ///
    /// # Errors
    /// Every name that is no system call, error or class, with the nearest one that is.
    pub fn resolve(events: &config::Event) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut policy = Self::built_in();
        policy.exit = FamilyRules::about_ends(&events.exit.rules, &mut errors);
        policy.oom = FamilyRules::about_processes(&events.oom.rules);
        policy.offcpu = FamilyRules::about_processes(&events.offcpu.rules);
        // The first rule that matches wins, so the last is applied first.
        for (place, rule) in events.syscall.rules.iter().enumerate().rev() {
            policy.apply(place, rule, &mut errors);
        }
        policy.conditional.reverse();
        policy.resolve_kernel();
        if errors.is_empty() { Ok(policy) } else { Err(errors) }
    }

    /// The built-in table alone.
    pub fn built_in() -> Self {
        let row = |_| {
            std::array::from_fn(|errno| Decision {
                report: errno != 0,
                severity: default_severity(errno as u32),
                rule: usize::MAX,
            })
        };
        let kernel = (0..SYSCALL_SLOTS).map(capture).collect();
        let mut policy = Self {
            kernel,
            table: (0..SYSCALL_SLOTS).map(row).collect(),
            conditional: Vec::new(),
            exit: FamilyRules::default(),
            oom: FamilyRules::default(),
            offcpu: FamilyRules::default(),
        };
        for line in &ORDINARY {
            let named = line.syscalls.iter().filter_map(|name| Some(syscall::parse(name)?.number));
            let slots: Vec<u32> =
                if line.syscalls.is_empty() { (0..SYSCALL_SLOTS).collect() } else { named.collect() };
            let errnos = line.errnos.iter().filter_map(|name| errno::parse(name));
            for (slot, errno) in slots.iter().flat_map(|slot| errnos.clone().map(|errno| (*slot, errno))) {
                if let Some(decision) = policy.decided(slot, errno) {
                    decision.report = false;
                    // Whoever asks for an ordinary failure all the same only wants to know.
                    decision.severity = Severity::Info;
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
            let decision = Decision { report, severity: severity.unwrap_or(Severity::Warn), rule: place };
            let has_severity = severity.is_some();
            self.conditional.push(Conditional { slots, errnos, conditions, decision, has_severity });
            return;
        }
        for (slot, errno) in slots.iter().flat_map(|slot| errnos.iter().map(|errno| (*slot, *errno))) {
            if let Some(decision) = self.decided(slot, errno) {
                let severity = severity.unwrap_or(decision.severity);
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
            let (Some(slot), Some(errno)) = (number_of(ask.syscall), errno::parse(ask.errno)) else {
                continue;
            };
            if self.ruled(slot, errno) {
                continue;
            }
            let free = self
                .kernel
                .get_mut(slot as usize)
                .and_then(|policy| policy.questions.iter_mut().find(|question| question.errno == 0));
            if let Some(free) = free {
                let (argument, value) = ask.argument;
                *free = Question { value, errno: u16::try_from(errno).unwrap_or_default(), argument };
            }
        }
        for look in &LOOKS {
            let Some(errno) = errno::parse(look.errno) else { continue };
            for slot in look.syscalls.iter().filter_map(|name| number_of(name)) {
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
        decided.is_some_and(|decision| decision.rule != usize::MAX)
            || self.conditional.iter().any(|rule| rule.slots.contains(&slot) && rule.errnos.contains(&errno))
    }

    /// Whether a failure is the answer to a question that only its captured memory tells: what a record would show as
    /// the call's object.
    pub fn answers(&self, number: u32, errno: u32, object: Option<&str>) -> bool {
        let asked = |look: &ordinary::Looks| {
            object == Some(look.object)
                && errno::parse(look.errno) == Some(errno)
                && look.syscalls.iter().any(|name| number_of(name) == Some(number))
        };
        LOOKS.iter().any(asked) && !self.ruled(number, errno)
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

    /// Whether a rule needs to know in which cgroup it happened.
    pub fn asks_where(&self) -> bool {
        self.conditional.iter().any(|rule| rule.conditions.ask_where())
            || [&self.exit, &self.oom, &self.offcpu].into_iter().any(FamilyRules::ask_where)
    }

    /// What becomes of this failure of this process.
    pub fn decide(&self, number: u32, errno: u32, process: &Process<'_>) -> Decision {
        let slot = number.min(SYSCALL_OTHER);
        let row = self.table.get(slot as usize);
        let unknown = Decision { report: true, severity: default_severity(errno), rule: usize::MAX };
        let decision = row.and_then(|row| row.get(errno as usize)).copied().unwrap_or(unknown);
        let before = self.conditional.iter().filter(|rule| rule.decision.rule < decision.rule);
        let mut about = before.filter(|rule| rule.slots.contains(&slot) && rule.errnos.contains(&errno));
        match about.find(|rule| rule.conditions.hold(process)) {
            Some(rule) if rule.has_severity => rule.decision,
            Some(rule) => Decision { severity: decision.severity, ..rule.decision },
            None => decision,
        }
    }
}

/// The number of a system call.
fn number_of(name: &str) -> Option<u32> {
    Some(syscall::parse(name)?.number)
}

/// What the kernel side captures of a call; no error is an event yet.
fn capture(number: u32) -> SyscallPolicy {
    let plan = syscall::capture(number);
    let (sockaddr, sockaddr_len) = plan.sockaddr.map_or((0, 0), |(at, len)| (at + 1, len));
    let executes = syscall::lookup(number).is_some_and(|call| ["execve", "execveat"].contains(&call.name));
    let exec = u8::from(executes);
    SyscallPolicy { strings: plan.strings, sockaddr, sockaddr_len, exec, ..Default::default() }
}

/// How grave a failure with this error is where no rule says otherwise: what the caller cannot mend is an error.
fn default_severity(errno: u32) -> Severity {
    match errno::name(errno) {
        "EIO" | "ENOSPC" | "EROFS" | "ENOMEM" | "EMFILE" | "ENFILE" | "EUCLEAN" => Severity::Error,
        _ => Severity::Warn,
    }
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
