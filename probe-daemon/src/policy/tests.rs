//! What rules come to, for every call, error and process.

use super::*;
use crate::config::Config;

const NOBODY: Process<'_> = Process { comm: "", uid: 0, cgroup: None };

fn reports(policy: &Policy, call: &str, error: &str) -> bool {
    let number = syscall::parse(call).unwrap().number;
    policy.kernel(&Kind::ALL)[number as usize].reports(errno::parse(error).unwrap().into())
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
    for (call, error) in [("read", "EAGAIN"), ("openat", "ENOENT"), ("ioctl", "ENOTTY"), ("mkdir", "EEXIST")]
    {
        assert!(!reports(&policy, call, error), "{call} {error}");
    }
    for (call, error) in
        [("read", "EBADF"), ("unlink", "ENOENT"), ("connect", "ETIMEDOUT"), ("openat", "EACCES")]
    {
        assert!(reports(&policy, call, error), "{call} {error}");
    }
    assert!(policy.kernel(&Kind::ALL)[SYSCALL_OTHER as usize].reports(38), "an unknown call's ENOSYS");
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
    let severity = |number, errno| policy.decide(number, errno, &NOBODY).severity;
    assert_eq!(severity(openat, 2), Some(Severity::Info), "opted in");
    assert_eq!(severity(openat, 13), None, "the catalogue's");
    assert_eq!(severity(999, 28), None);
}

#[test]
fn a_family_that_is_off_is_not_sent() {
    let policy = Policy::built_in();
    let reports = |families: &[Kind], call: &str, error: &str| {
        let number = syscall::parse(call).unwrap().number as usize;
        policy.kernel(families)[number].reports(errno::parse(error).unwrap().into())
    };
    assert!(reports(&[Kind::Denial], "openat", "EACCES") && !reports(&[Kind::Denial], "openat", "EIO"));
    assert!(reports(&[Kind::Exec], "execve", "EACCES") && !reports(&[Kind::Exec], "openat", "EACCES"));
    assert!(reports(&[Kind::Syscall], "read", "EIO") && !reports(&[Kind::Syscall], "execve", "EACCES"));
}

#[test]
fn classes_stand_for_their_members() {
    let policy = resolve(
        r#"
        [[event.syscall.rules]]
        syscalls = ["class:network", "read"]
        errnos = ["class:permission"]
        action = "drop"
        "#,
    )
    .unwrap();
    for (call, error, expect) in [
        ("connect", "EACCES", false),
        ("bind", "EPERM", false),
        ("read", "EPERM", false),
        ("connect", "ECONNREFUSED", true),
        ("openat", "EACCES", true),
    ] {
        assert_eq!(reports(&policy, call, error), expect, "{call} {error}");
    }
    for (class, members) in errno::CLASSES {
        members.iter().for_each(|name| assert!(errno::parse(name).is_some(), "{class} {name}"));
    }
}

#[test]
fn rules_about_processes_keep_their_place() {
    let policy = resolve(
        r#"
        [[event.syscall.rules]]
        syscalls = ["read"]
        errnos = ["EIO"]
        severity = "FATAL"
        [[event.syscall.rules]]
        comms = ["noisy*"]
        action = "drop"
        [[event.syscall.rules]]
        syscalls = ["openat"]
        errnos = ["ENOENT"]
        uids = [1000]
        severity = "ERROR"
        [[event.syscall.rules]]
        cgroups = ["/batch/*"]
        severity = "INFO"
        "#,
    )
    .unwrap();
    let who = |comm, uid, cgroup| Process { comm, uid, cgroup };
    let decide = |call: &str, error: &str, process: Process<'_>| {
        let decision =
            policy.decide(syscall::parse(call).unwrap().number, errno::parse(error).unwrap(), &process);
        (decision.report, decision.severity)
    };
    assert_eq!(
        decide("read", "EIO", who("noisy1", 0, None)),
        (true, Some(Severity::Fatal)),
        "the first rule wins"
    );
    assert!(!decide("read", "EBADF", who("noisy1", 0, None)).0);
    assert!(decide("read", "EBADF", who("calm", 0, None)).0);
    assert_eq!(decide("openat", "ENOENT", who("calm", 1000, None)), (true, Some(Severity::Error)));
    assert!(!decide("openat", "ENOENT", who("calm", 0, None)).0, "the built-in table");
    assert_eq!(decide("read", "EBADF", who("calm", 0, Some("/batch/1"))), (true, Some(Severity::Info)));
    assert!(reports(&policy, "openat", "ENOENT"), "the kernel sends what a rule may report");
    assert!(policy.asks_who() && !Policy::built_in().asks_who());
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
