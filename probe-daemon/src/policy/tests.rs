//! What rules come to, for every call, error and process.

use probe_common::{I386_FIRST, SYSCALL_OTHER, io_uring_slot};

use super::*;
use crate::{config::Config, io_uring, syscall::Abi};

const NOBODY: Process<'_> = Process { comm: "", uid: 0, cgroup: None };

/// The slot of a 64-bit call.
fn slot(call: &str) -> usize {
    syscall::parse(call).unwrap().slot() as usize
}

fn reports(policy: &Policy, call: &str, error: &str) -> bool {
    policy.kernel(&Kind::ALL)[slot(call)].reports(errno::parse(error).unwrap().into())
}

fn resolve(rules: &str) -> Result<Policy, Vec<ConfigError>> {
    let text = format!("[[probes]]\nname = \"event\"\n{rules}");
    Policy::resolve(&Config::parse("test.conf", &text, &[], |_| Vec::new()).unwrap().event)
}

#[test]
fn every_name_of_the_built_in_table_exists() {
    for line in &ORDINARY {
        line.syscalls.iter().for_each(|name| assert!(slots::parse(name).is_ok(), "{name}"));
        line.errnos.iter().for_each(|name| assert!(errno::parse(name).is_some(), "{name}"));
    }
}

#[test]
fn every_question_has_room_in_its_call_and_none_is_asked_where_a_rule_decides() {
    let policy = Policy::built_in();
    let of = |policy: &Policy, call: &str| {
        policy.kernel(&Kind::ALL)[syscall::parse(call).unwrap().slot() as usize]
    };
    for ask in &ASKS {
        let (argument, value) = ask.argument;
        let errno = u16::try_from(errno::parse(ask.errno).unwrap()).unwrap();
        let question = Question { value, errno, argument };
        assert!(of(&policy, ask.syscall).questions.contains(&question), "{} {}", ask.syscall, ask.errno);
        assert!(reports(&policy, ask.syscall, ask.errno), "{} {}", ask.syscall, ask.errno);
    }
    for look in &SHOWN {
        let errno = errno::parse(look.errno).unwrap();
        look.syscalls.iter().for_each(|call| assert_eq!(u32::from(of(&policy, call).alone), errno));
    }
    let ruled =
        resolve("[[event.syscall.rules]]\nsyscalls = [\"fcntl\", \"connect\"]\ncomms = [\"x\"]").unwrap();
    assert!(of(&ruled, "fcntl").questions.iter().all(|question| question.errno == 0));
    assert_eq!(of(&ruled, "connect").alone, 0);
    assert!(of(&ruled, "lseek").questions.iter().all(|question| question.errno != 0));
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
    for unknown in [SYSCALL_OTHER, I386_FIRST + SYSCALL_OTHER] {
        assert!(policy.kernel(&Kind::ALL)[unknown as usize].reports(38), "an unknown call's ENOSYS");
    }
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
    let openat = syscall::parse("openat").unwrap().slot();
    let severity = |number, errno| policy.decide(number, errno, &NOBODY).severity;
    assert_eq!(severity(openat, 2), Some(Severity::Info), "opted in");
    assert_eq!(severity(openat, 13), None, "the catalogue's");
    assert_eq!(severity(999, 28), None);
}

#[test]
fn misses_of_a_search_for_a_program_are_looked_into_unless_a_rule_is_about_them() {
    let execve = syscall::parse("execve").unwrap().number;
    let looks = |policy: &Policy| {
        let kernel = policy.kernel(&Kind::ALL);
        assert!(kernel.iter().all(|call| call.looks == 0 || call.exec == 1));
        kernel[execve as usize].looks
    };
    let ruled =
        |rule: &str| resolve(&format!("[[event.syscall.rules]]\nsyscalls = [\"execve\"]\n{rule}")).unwrap();
    assert!(
        reports(&Policy::built_in(), "execve", "ENOENT")
            && !reports(&Policy::built_in(), "execve", "ENOTDIR")
    );
    assert_eq!(looks(&Policy::built_in()), LOOKS);
    assert_eq!(looks(&ruled("errnos = [\"EACCES\"]")), LOOKS);
    assert_eq!(looks(&ruled("comms = [\"make\"]")), LOOKS_ALL);
    assert_eq!((looks(&ruled("errnos = [\"ENOENT\"]")), looks(&ruled(""))), (0, 0));
    assert!(!reports(&ruled("action = \"drop\""), "execve", "ENOENT"));
}

#[test]
fn a_family_that_is_off_is_not_sent() {
    let policy = Policy::built_in();
    let reports = |families: &[Kind], call: &str, error: &str| {
        policy.kernel(families)[slot(call)].reports(errno::parse(error).unwrap().into())
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
            policy.decide(syscall::parse(call).unwrap().slot(), errno::parse(error).unwrap(), &process);
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
    assert!(policy.asks_where() && !Policy::built_in().asks_where());
}

#[test]
fn names_and_classes_are_those_of_io_uring_operations_too() {
    let reports = |policy: &Policy, operation: &str, error: &str| {
        let opcode = io_uring::opcodes(|known| known.name == operation).next().unwrap();
        let slot = io_uring_slot(opcode) as usize;
        policy.kernel(&[Kind::IoUring])[slot].reports(errno::parse(error).unwrap().into())
    };
    let policy = Policy::built_in();
    for (operation, error, expect) in [
        ("openat", "ENOENT", false),
        ("openat", "EACCES", true),
        ("read", "ECANCELED", false),
        ("recv", "ENOBUFS", false),
        ("timeout", "ETIME", false),
        ("timeout", "EINVAL", true),
        ("poll_remove", "ENOENT", false),
        ("unlinkat", "ENOENT", true),
    ] {
        assert_eq!(reports(&policy, operation, error), expect, "{operation} {error}");
    }
    let policy = resolve(
        r#"
        [[event.syscall.rules]]
        syscalls = ["openat", "class:network"]
        errnos = ["EIO"]
        action = "drop"
        [[event.syscall.rules]]
        syscalls = ["io_uring:read", "msg_ring"]
        action = "drop"
        [[event.syscall.rules]]
        syscalls = ["class:io_uring"]
        errnos = ["ENOENT"]
        "#,
    )
    .unwrap();
    for (operation, error, expect) in [
        ("openat", "EIO", false),
        ("recv", "EIO", false),
        ("msg_ring", "EBADF", false),
        ("read", "EIO", false),
        ("write", "EIO", true),
        ("openat", "ENOENT", true),
    ] {
        assert_eq!(reports(&policy, operation, error), expect, "{operation} {error}");
    }
    assert!(
        super::tests::reports(&policy, "read", "EIO") && !super::tests::reports(&policy, "openat", "EIO")
    );
    assert!(!super::tests::reports(&policy, "openat", "ENOENT"), "the call is none of the operations");
    let off = policy.kernel(&[Kind::Syscall, Kind::Exec, Kind::Denial]);
    assert!(off[IO_URING_FIRST as usize..].iter().all(|policy| policy.errnos == [0; 4]));
    for (name, near) in [
        ("io_uring:opennat", "io_uring:openat"),
        ("async_cancle", "async_cancel"),
        ("class:io_urin", "class:io_uring"),
    ] {
        assert_eq!(slots::parse(name), Err(Some(near.to_owned())), "{name}");
    }
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

/// Of this 32-bit call.
fn reports_32(policy: &Policy, call: &str, error: &str) -> bool {
    let call = syscall::both().find(|row| row.abi == Abi::I386 && row.name == call).unwrap();
    policy.kernel(&Kind::ALL)[call.slot() as usize].reports(errno::parse(error).unwrap().into())
}

#[test]
fn the_built_in_table_is_about_32_bit_calls_too() {
    let policy = Policy::built_in();
    assert_eq!(policy.kernel(&Kind::ALL).len(), POLICY_SLOTS as usize);
    for (call, error) in [
        ("openat", "ENOENT"),
        ("stat64", "ENOENT"),
        ("fstatat64", "ENOTDIR"),
        ("waitpid", "ECHILD"),
        ("futex_time64", "ETIMEDOUT"),
        ("socketcall", "EAGAIN"),
        ("ipc", "EINTR"),
    ] {
        assert!(!reports_32(&policy, call, error), "{call} {error}");
    }
    for (call, error) in
        [("_llseek", "ESPIPE"), ("socketcall", "ECONNREFUSED"), ("unlink", "ENOENT"), ("chown32", "EPERM")]
    {
        assert!(reports_32(&policy, call, error), "{call} {error}");
    }
    let kernel = policy.kernel(&Kind::ALL);
    let execs: Vec<_> = syscall::both().filter(|call| kernel[call.slot() as usize].exec == 1).collect();
    let execs: Vec<_> = execs.iter().map(|call| (call.abi, call.name)).collect();
    let both = |abi| [(abi, "execve"), (abi, "execveat")];
    assert_eq!(execs[..2], both(Abi::X86_64));
    assert_eq!(execs[2..], both(Abi::I386));
}

#[test]
fn a_rule_is_about_the_32_bit_forms_of_a_call_and_a_32_bit_name_about_itself_alone() {
    let policy = resolve(
        r#"
        [[event.syscall.rules]]
        syscalls = ["fcntl", "mmap2", "class:network"]
        action = "drop"
        "#,
    )
    .unwrap();
    for (call, expect) in
        [("fcntl", false), ("fcntl64", false), ("mmap2", false), ("mmap", true), ("socketcall", false)]
    {
        assert_eq!(reports_32(&policy, call, "EBADF"), expect, "{call}");
    }
    assert!(reports(&policy, "mmap", "EBADF") && !reports(&policy, "fcntl", "EBADF"));
    // The same number is another call.
    assert!(reports_32(&policy, "lchown32", "EBADF") && reports_32(&policy, "readdir", "EBADF"));
    let text = policy.describe();
    assert!(text.contains("socketcall") && text.contains("64-bit and 32-bit"), "{text}");
    // A call behind socketcall is that call.
    let policy = resolve("[[event.syscall.rules]]\nsyscalls = [\"connect\"]\naction = \"drop\"").unwrap();
    let behind = |call| policy.kernel(&Kind::ALL)[probe_common::socketcall_slot(call) as usize].reports(111);
    assert!(!behind(3) && behind(2) && behind(9) && behind(99));
    assert!(
        !reports(&policy, "connect", "ECONNREFUSED") && reports_32(&policy, "socketcall", "ECONNREFUSED")
    );
}
