//! Which failures are events, and how grave each is.
//!
//! In: the rules of the configuration. Out: a [`Policy`], resolved to one decision per system call and error
//! number: bits for the kernel, severities for the records. The built-in table drops ordinary flow control; the
//! configuration's rules come on top of it, the first that matches wins; what neither names is reported.

use probe_common::{ERRNO_BITS, SYSCALL_OTHER, SYSCALL_SLOTS, SyscallPolicy};

use crate::{
    config::{Action, ConfigError, OnOff, Spanned, SyscallEvents},
    errno,
    severity::Severity,
    syscall,
};

/// The resolved rules.
#[derive(Clone, Debug)]
pub struct Policy {
    kernel: Vec<SyscallPolicy>,
    severities: Vec<[Severity; ERRNO_BITS as usize]>,
}

/// One line of the built-in table: these errors of these system calls (all, where none is named) are dropped.
struct Ordinary {
    why: &'static str,
    syscalls: &'static [&'static str],
    errnos: &'static [&'static str],
}

/// What fails in the ordinary course of things.
const ORDINARY: [Ordinary; 7] = [
    Ordinary {
        why: "flow control: try again, interrupted, still going on",
        syscalls: &[],
        errnos: &["EAGAIN", "EINTR", "EINPROGRESS", "EALREADY"],
    },
    Ordinary {
        why: "a wait that ran out",
        syscalls: &[
            "futex",
            "futex_wait",
            "futex_waitv",
            "mq_timedsend",
            "mq_timedreceive",
            "io_uring_enter",
        ],
        errnos: &["ETIMEDOUT", "ETIME"],
    },
    Ordinary { why: "no child left to wait for", syscalls: &["wait4", "waitid"], errnos: &["ECHILD"] },
    Ordinary { why: "asking whether a file is a terminal", syscalls: &["ioctl"], errnos: &["ENOTTY"] },
    Ordinary {
        why: "a file or file system without extended attributes",
        syscalls: &[
            "setxattr",
            "lsetxattr",
            "fsetxattr",
            "setxattrat",
            "getxattr",
            "lgetxattr",
            "fgetxattr",
            "getxattrat",
            "listxattr",
            "llistxattr",
            "flistxattr",
            "listxattrat",
            "removexattr",
            "lremovexattr",
            "fremovexattr",
            "removexattrat",
        ],
        errnos: &["ENODATA", "EOPNOTSUPP"],
    },
    Ordinary {
        why: "a directory that is there already",
        syscalls: &["mkdir", "mkdirat"],
        errnos: &["EEXIST"],
    },
    Ordinary {
        why: "looking for a file in several places",
        syscalls: &[
            "open",
            "openat",
            "openat2",
            "stat",
            "lstat",
            "newfstatat",
            "statx",
            "statfs",
            "access",
            "faccessat",
            "faccessat2",
            "readlink",
            "readlinkat",
            "execve",
            "execveat",
            "getxattr",
            "lgetxattr",
            "listxattr",
            "llistxattr",
            "inotify_add_watch",
        ],
        errnos: &["ENOENT", "ENOTDIR"],
    },
];

impl Policy {
    /// Resolves the rules.
    ///
    /// # Errors
    /// Every name that is no system call or error, with the nearest one that is.
    pub fn resolve(events: &SyscallEvents) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut policy = Self::built_in();
        // The first rule that matches wins, so the last is applied first.
        for rule in events.rules.iter().rev() {
            let severity = rule.severity.and_then(|severity| Severity::parse(severity.as_str()));
            let slots = numbers(&rule.syscalls, SYSCALL_SLOTS, &mut errors, "system call", |name| {
                syscall::parse(name).map(|syscall| syscall.number).ok_or_else(|| syscall::nearest(name))
            });
            let errnos = numbers(&rule.errnos, ERRNO_BITS, &mut errors, "error", |name| {
                errno::parse(name).ok_or_else(|| errno::nearest(name))
            });
            for &slot in &slots {
                for &errno in &errnos {
                    policy.decide(slot, errno, rule.action == Action::Report, severity);
                }
            }
        }
        if events.switch == OnOff::Off {
            policy.kernel.iter_mut().for_each(|policy| policy.errnos = Default::default());
        }
        if errors.is_empty() { Ok(policy) } else { Err(errors) }
    }

    /// The built-in table alone.
    pub fn built_in() -> Self {
        let kernel = (0..SYSCALL_SLOTS)
            .map(|number| {
                let capture = syscall::capture(number);
                let (sockaddr, sockaddr_len) = capture.sockaddr.map_or((0, 0), |(at, len)| (at + 1, len));
                let executes = |name| syscall::parse(name).is_some_and(|call| call.number == number);
                let exec = u8::from(["execve", "execveat"].into_iter().any(executes));
                let mut policy = SyscallPolicy {
                    strings: capture.strings,
                    sockaddr,
                    sockaddr_len,
                    exec,
                    ..Default::default()
                };
                (1..ERRNO_BITS).for_each(|errno| policy.set(errno, true));
                policy
            })
            .collect();
        let severities = std::array::from_fn(|errno| default_severity(errno as u32));
        let mut policy = Self { kernel, severities: vec![severities; SYSCALL_SLOTS as usize] };
        for line in &ORDINARY {
            let named = line.syscalls.iter().filter_map(|name| Some(syscall::parse(name)?.number));
            let slots: Vec<u32> =
                if line.syscalls.is_empty() { (0..SYSCALL_SLOTS).collect() } else { named.collect() };
            for slot in slots {
                for errno in line.errnos.iter().filter_map(|name| errno::parse(name)) {
                    // Whoever asks for an ordinary failure all the same only wants to know.
                    policy.decide(slot, errno, false, Some(Severity::Info));
                }
            }
        }
        policy
    }

    fn decide(&mut self, slot: u32, errno: u32, report: bool, severity: Option<Severity>) {
        if let Some(policy) = self.kernel.get_mut(slot as usize) {
            policy.set(errno, report);
        }
        if let Some(severity) = severity
            && let Some(of_errno) =
                self.severities.get_mut(slot as usize).and_then(|slot| slot.get_mut(errno as usize))
        {
            *of_errno = severity;
        }
    }

    /// What the kernel side needs: one entry for each system call number, the last for all unknown ones.
    pub fn kernel(&self) -> &[SyscallPolicy] {
        &self.kernel
    }

    /// How grave this failure is: as a rule says, else as the built-in table or the error itself suggests.
    pub fn severity(&self, number: u32, errno: u32) -> Severity {
        let slot = self.severities.get(number.min(SYSCALL_OTHER) as usize);
        slot.and_then(|slot| slot.get(errno as usize)).copied().unwrap_or_else(|| default_severity(errno))
    }
}

/// How grave a failure with this error is where no rule says otherwise: what the caller cannot mend is an error.
fn default_severity(errno: u32) -> Severity {
    match errno::name(errno) {
        "EIO" | "ENOSPC" | "EROFS" | "ENOMEM" | "EMFILE" | "ENFILE" | "EUCLEAN" => Severity::Error,
        _ => Severity::Warn,
    }
}

/// The numbers that names stand for, all below `all` where there is no name; unknown names go to `errors`.
fn numbers<'a>(
    names: &'a [Spanned<String>],
    all: u32,
    errors: &mut Vec<ConfigError>,
    what: &str,
    parse: impl Fn(&'a str) -> Result<u32, Option<&'static str>>,
) -> Vec<u32> {
    if names.is_empty() {
        return (0..all).collect();
    }
    let mut numbers = Vec::new();
    for name in names {
        match parse(&name.value) {
            Ok(number) => numbers.push(number),
            Err(nearest) => {
                let hint = nearest.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                errors.push(name.error(format!("{:?} is not a {what} of Linux{hint}", name.value)));
            }
        }
    }
    numbers
}

/// The built-in table as text, for `probe-daemon check`.
pub fn describe() -> String {
    ORDINARY
        .iter()
        .map(|line| {
            let calls =
                if line.syscalls.is_empty() { "every call".to_owned() } else { line.syscalls.join(", ") };
            format!("# drop {} of {calls}: {}\n", line.errnos.join(", "), line.why)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn reports(policy: &Policy, call: &str, error: &str) -> bool {
        let number = syscall::parse(call).unwrap().number;
        policy.kernel()[number as usize].reports(errno::parse(error).unwrap().into())
    }

    fn resolve(rules: &str) -> Result<Policy, Vec<ConfigError>> {
        let text = format!("[[probes]]\nname = \"event\"\n{rules}");
        Policy::resolve(&Config::parse("test.conf", &text, &[], |_| Vec::new()).unwrap().event.syscall)
    }

    #[test]
    fn every_name_of_the_built_in_table_exists() {
        for line in &ORDINARY {
            line.syscalls.iter().for_each(|name| assert!(syscall::parse(name).is_some(), "{name}"));
            line.errnos.iter().for_each(|name| assert!(errno::parse(name).is_some(), "{name}"));
        }
    }

    #[test]
    fn flow_control_is_dropped_and_the_rest_is_reported() {
        let policy = Policy::built_in();
        for (call, error) in
            [("read", "EAGAIN"), ("openat", "ENOENT"), ("ioctl", "ENOTTY"), ("mkdir", "EEXIST")]
        {
            assert!(!reports(&policy, call, error), "{call} {error}");
        }
        for (call, error) in
            [("read", "EBADF"), ("unlink", "ENOENT"), ("connect", "ETIMEDOUT"), ("openat", "EACCES")]
        {
            assert!(reports(&policy, call, error), "{call} {error}");
        }
        assert!(policy.kernel()[SYSCALL_OTHER as usize].reports(38), "an unknown call's ENOSYS");
    }

    #[test]
    fn the_first_rule_wins_over_later_ones_and_over_the_built_in_table() {
        let policy = resolve(
            r#"
            [[event.syscall.rules]]
            syscalls = ["openat"]
            errnos = ["ENOENT"]
            [[event.syscall.rules]]
            syscalls = ["openat", "sys_read"]
            action = "drop"
            "#,
        )
        .unwrap();
        assert!(reports(&policy, "openat", "ENOENT"));
        assert!(!reports(&policy, "openat", "EACCES"));
        assert!(!reports(&policy, "read", "EBADF"));
        assert!(!reports(&policy, "open", "ENOENT"));
        let openat = syscall::parse("openat").unwrap().number;
        assert_eq!(policy.severity(openat, 2), Severity::Info, "opted in");
        assert_eq!(policy.severity(openat, 13), Severity::Warn);
        assert_eq!(policy.severity(999, 28), Severity::Error, "ENOSPC");
    }

    #[test]
    fn all_unknown_names_are_errors_with_the_nearest_right_one() {
        let rules = "[[event.syscall.rules]]\nsyscalls = [\"opennat\"]\nerrnos = [\"ENOENTT\"]";
        let errors = resolve(rules).unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 2, "{text:?}");
        assert!(text[0].starts_with("test.conf:4: event.syscall.rules"), "{text:?}");
        assert!(text[0].contains("did you mean \"openat\"") && text[1].contains("\"ENOENT\""), "{text:?}");
    }
}
