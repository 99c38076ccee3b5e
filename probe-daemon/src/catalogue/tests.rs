//! What the check finds, and what is said of records.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// The built-in catalogue and a file over it.
fn with(text: &str) -> Result<Catalogue, Vec<String>> {
    let said = |errors: Vec<ConfigError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut rows = Rows::default();
    rows.add("built-in", BUILT_IN).map_err(said)?;
    rows.add("mine.toml", text).map_err(said)?;
    check::build(rows).map_err(said)
}

fn explain<'c>(
    catalogue: &'c Catalogue,
    family: &str,
    record: &[(&'static str, Value<'_>)],
) -> Explanation<'c> {
    catalogue.explain(&format!("gala_gopher.{family}"), record, &[]).unwrap()
}

#[test]
fn d2_d14_the_built_in_catalogue_passes_its_check() {
    match with("") {
        Ok(catalogue) => assert!(catalogue.entries.len() > 100),
        Err(errors) => panic!("{}", errors.join("\n")),
    }
}

#[test]
fn the_event_that_asks_for_most_is_taken() {
    let catalogue = Catalogue::built_in();
    let call = |name: &'static str, class: &'static str, error: &'static str| {
        vec![
            ("thread.name", Value::from("app")),
            ("gala_gopher.syscall.name", name.into()),
            ("gala_gopher.syscall.class", class.into()),
            ("error.type", error.into()),
        ]
    };
    let name = |family: &str, record: &[(&'static str, Value<'_>)]| {
        let explanation = explain(&catalogue, family, record);
        (explanation.name.to_owned(), explanation.severity)
    };
    for (call, name_of, severity) in [
        (call("write", "io", "ENOSPC"), "FS_SPACE_EXHAUSTED", Severity::Error),
        (call("inotify_add_watch", "file", "ENOSPC"), "FS_WATCH_LIMIT", Severity::Error),
        (call("semget", "ipc", "ENOSPC"), "RESOURCE_IPC_LIMIT", Severity::Error),
        (call("openat", "file", "EMFILE"), "RESOURCE_FILES_PROCESSLIMIT", Severity::Error),
        (call("inotify_init1", "file", "EMFILE"), "RESOURCE_INOTIFY_USERLIMIT", Severity::Error),
        (call("mmap", "memory", "ENOMEM"), "RESOURCE_MAPPING_REFUSED", Severity::Error),
        (call("connect", "network", "EADDRNOTAVAIL"), "NET_PORTS_EXHAUSTED", Severity::Warn),
        (call("bind", "network", "EADDRNOTAVAIL"), "NET_ADDRESS_UNAVAILABLE", Severity::Warn),
        (call("connect", "network", "ETIMEDOUT"), "NET_CONNECT_TIMEOUT", Severity::Warn),
        (call("futex", "ipc", "ETIMEDOUT"), "CALL_LOCK_TIMEOUT", Severity::Info),
        (call("sendto", "network", "EPROTO"), "NET_CALL_FAILED", Severity::Warn),
        (call("syscall_999", "", "EPROTO"), "CALL_FAILURE_OTHER", Severity::Warn),
    ] {
        assert_eq!(name("syscall.failure", &call), (name_of.to_owned(), severity), "{call:?}");
    }
    let denied = |kind: &'static str, capability: &'static str, uid: i64| {
        let mut record = call("mount", "mount", "EPERM");
        record.extend([("gala_gopher.denial.kind", Value::from(kind)), ("process.user.id", uid.into())]);
        record.push(("gala_gopher.capability.name", capability.into()));
        name("security.denied", &record)
    };
    let whole_host = "DENIAL_CAPABILITY_WHOLEHOST".to_owned();
    assert_eq!(denied("capability", "CAP_SYS_ADMIN", 1000), (whole_host, Severity::Error));
    let exits = |record: &[(&'static str, Value<'_>)]| name("process.abnormal_exit", record).0;
    let killed = ("gala_gopher.exit.signal.name", Value::from("SIGKILL"));
    let code = ("process.exit.code", Value::Int(137));
    assert_eq!(exits(std::slice::from_ref(&code)), "PROCESS_EXIT_CHILDKILLED");
    assert_eq!(exits(&[code.clone(), killed.clone()]), "PROCESS_KILL_UNKNOWN");
    let cause = ("gala_gopher.exit.cause", Value::from("oom"));
    assert_eq!(exits(&[code, killed, cause]), "PROCESS_KILL_MEMORY");
    assert_eq!(exits(&[]), "PROCESS_EXIT_FAILURE");
}

#[test]
fn a_long_stall_is_graver() {
    let catalogue = Catalogue::built_in();
    let stall = |state: &'static str, seconds: i64, threshold: i64| {
        let record = [
            ("gala_gopher.offcpu.state", Value::from(state)),
            ("gala_gopher.offcpu.duration_ns", (seconds * 1_000_000_000).into()),
            ("gala_gopher.offcpu.threshold_ns", (threshold * 1_000_000_000).into()),
        ];
        explain(&catalogue, "sched.offcpu_stall", &record).severity
    };
    assert_eq!(stall("D", 9, 1), Severity::Warn);
    assert_eq!(stall("D", 10, 1), Severity::Error);
    assert_eq!(stall("D", 120, 100), Severity::Error);
    assert_eq!(stall("R", 120, 100), Severity::Warn);
}

#[test]
fn sentences_are_about_this_record() {
    let catalogue = Catalogue::built_in();
    let record = [
        ("thread.name", Value::from("curl")),
        ("error.type", "ECONNREFUSED".into()),
        ("network.peer.address", "10.0.0.5".into()),
        ("network.peer.port", 443_i64.into()),
    ];
    let refused = explain(&catalogue, "syscall.failure", &record);
    assert_eq!(refused.message, "Nobody accepts connections at 10.0.0.5:443: curl was turned away at once.");
    assert!(refused.cause.contains("behind 10.0.0.5:443 does not run"), "{}", refused.cause);
    assert!(refused.solution.contains("`nc -vz 10.0.0.5 443`"), "{}", refused.solution);
    let full = [
        ("thread.name", Value::from("rsyslogd")),
        ("error.type", "ENOSPC".into()),
        ("gala_gopher.mount.point", "/mnt/$(reboot)".into()),
        ("gala_gopher.mount.free_bytes", 4096_i64.into()),
    ];
    let full = explain(&catalogue, "syscall.failure", &full);
    assert_eq!(full.message, "No space is left on /mnt/$(reboot) for what rsyslogd wanted to store.");
    assert!(full.cause.starts_with("The file system at /mnt/$(reboot) has 4 KiB left"), "{}", full.cause);
    assert!(full.solution.contains("`df -i '/mnt/$(reboot)'`"), "{}", full.solution);
    let unknown = explain(&catalogue, "syscall.failure", &[("error.type", "ENOSPC".into())]);
    assert_eq!(unknown.message, "No space is left for what the process wanted to store.");
    assert!(unknown.cause.starts_with("Most likely first"), "{}", unknown.cause);
    assert!(unknown.solution.contains("`df -h MOUNT_POINT`"), "{}", unknown.solution);
}

#[test]
fn d1_d3_what_is_not_known_is_none() {
    let catalogue = Catalogue::built_in();
    assert_eq!(explain(&catalogue, "probe.started", &[]).cause, "none");
    assert_eq!(catalogue.explain("acme.event", &[], &[]), None);
    assert_eq!((catalogue.name(1001), catalogue.name(999)), ("FS_SPACE_EXHAUSTED", "none"));
    assert_eq!(catalogue.id("FS_SPACE_EXHAUSTED"), 1001);
    assert_eq!((catalogue.id("SUCCESS"), catalogue.id("FS_NOTHING_KNOWN")), (0, -1000));
}

#[test]
fn a_file_changes_entries_and_adds_some() {
    let catalogue = with(
        r#"
        [[category]]
        name = "ACME"
        ids = [20000, 20099]
        about = "Ours."
        [[event]]
        id = 1001
        severity = "FATAL"
        solution = "Call us about {gala_gopher.mount.point}."
        [[event]]
        id = 20001
        name = "ACME_BACKUP_REFUSED"
        of = ["gala_gopher.syscall.failure"]
        when = { "error.type" = "ECONNREFUSED", "network.peer.port" = 8200 }
        severity = "ERROR"
        message = "The backup server is away."
        "#,
    )
    .unwrap();
    let full = explain(&catalogue, "syscall.failure", &[("error.type", "ENOSPC".into())]);
    assert_eq!((full.name, full.severity), ("FS_SPACE_EXHAUSTED", Severity::Fatal));
    assert_eq!(full.solution, "Call us about the file system.");
    assert!(full.cause.contains("deleted file"), "{}", full.cause);
    let port = |port: i64| {
        let record = [("error.type", Value::from("ECONNREFUSED")), ("network.peer.port", port.into())];
        explain(&catalogue, "syscall.failure", &record).id
    };
    assert_eq!((port(8200), port(80)), (20001, 2001));
}

/// Each broken file, and words of what is said of it.
const BROKEN: [(&str, &[&str]); 14] = [
    ("[[event]]\nid = 1001\nseverity = 'BAD'", &["mine.toml:1:", "FS_SPACE_EXHAUSTED", "BAD", "WARN"]),
    ("[[event]]\nid = 1001\nseverty = 'INFO'", &["mine.toml:3:", "severty"]),
    ("[[event]]\nid = 1001\nmessage = 'no capital.'", &["message", "capital"]),
    ("[[event]]\nid = 1001\ncause = 'No period'", &["cause", "period"]),
    ("[[event]]\nid = 1001\nsolution = 'Look at {file.paht}.'", &["file.paht", "did you mean file.path"]),
    ("[[event]]\nid = 1001\nsolution = 'Look at {file path}.'", &["solution", "cannot be"]),
    (
        "[[event]]\nid = 1001\nname = 'FS_INODES_EXHAUSTED'",
        &["FS_INODES_EXHAUSTED", "same name", "1001", "1002"],
    ),
    ("[[event]]\nid = 1001\nname = 'FS_full'", &["FS_full", "CATEGORY_EVENT_CAUSE"]),
    ("[[event]]\nid = 1001\nname = 'FS_FULL'", &["says no cause"]),
    ("[[event]]\nid = 1001\nname = 'DISK_SPACE_FULL'", &["no category", "FS"]),
    ("[[event]]\nid = 1001\nname = 'NET_SPACE_FULL'", &["2000 to 2999", "NET", "built-in:"]),
    ("\n[[event]]\nid = 1001\n[[event]]\nid = 1001", &["mine.toml:4:", "two events", "mine.toml:2"]),
    (
        "[[category]]\nname = 'ACME'\nids = [1500, 2100]\nabout = ''",
        &["1500 to 2100", "1000 to 1999", "ACME", "FS"],
    ),
    (
        "[[event]]\nid = 1001\nwhen = { 'error.type' = 'EIO' }",
        &["asks the same", "FS_SPACE_EXHAUSTED", "FS_DEVICE_IOERROR", "mine.toml:1", "built-in:"],
    ),
];

#[test]
fn d2_what_is_wrong_is_said_with_both_offenders() {
    for (text, expect) in BROKEN {
        let errors = with(text).map(|_| ()).unwrap_err().join("\n");
        assert!(expect.iter().all(|word| errors.contains(word)), "{text}\n{errors}");
    }
}

#[test]
fn numbers_are_said_in_words() {
    for (unit, number, expect) in [
        (Unit::Bytes, 0, "0 bytes"),
        (Unit::Bytes, 268_435_456, "256 MiB"),
        (Unit::Bytes, 1600, "1.6 KiB"),
        (Unit::Kilobytes, 512_000, "500 MiB"),
        (Unit::Nanoseconds, 1_530_000_000, "1.5 s"),
        (Unit::Milliseconds, 302, "302 ms"),
        (Unit::Milliseconds, 86_400_000, "1440 min"),
    ] {
        assert_eq!(unit.say(number), expect);
    }
}

proptest! {
    #[test]
    fn no_record_and_no_value_breaks_a_sentence(
        family in proptest::sample::select(vec!["syscall.failure", "exec.failure", "security.denied", "io_uring.failure"]),
        errno in 1u32..140,
        text in "\\PC{0,300}|[\\x00-\\x1f`{}\\[\\]$]{0,20}",
        number: i64,
    ) {
        static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::built_in);
        let record = [
            ("error.type", Value::from(crate::errno::name(errno))),
            ("thread.name", text.as_str().into()),
            ("file.path", text.as_str().into()),
            ("gala_gopher.mount.free_bytes", number.into()),
        ];
        let said = explain(&CATALOGUE, family, &record);
        prop_assert!(!said.message.is_empty() && said.message.ends_with('.'), "{}", said.message);
        prop_assert!(!said.message.chars().any(char::is_control), "{:?}", said.message);
    }
}
