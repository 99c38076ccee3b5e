//! What rules about other events than failed calls come to.

use super::*;
use crate::config::Config;

const CODE: fn(u32) -> Outcome = Outcome::Code;

fn killed(number: u32) -> Outcome {
    Outcome::Signal(number)
}

fn exit(rules: &str) -> Result<FamilyRules, Vec<ConfigError>> {
    let text = format!("[[probes]]\nname = \"event\"\n{rules}");
    let config = Config::parse("test.conf", &text, &[], |_| Vec::new()).unwrap();
    let mut errors = Vec::new();
    let rules = FamilyRules::about_ends(&config.event.exit.rules, &mut errors);
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

fn who<'a>(comm: &'a str, uid: u32, cgroup: Option<&'a str>) -> Process<'a> {
    Process { comm, uid, cgroup }
}

#[test]
fn answers_of_programs_are_dropped_and_all_other_ends_are_reported() {
    let rules = FamilyRules::default();
    let reported = |comm, end| rules.decide(Some(end), &who(comm, 0, None)).0;
    for (comm, end, expect) in [
        ("grep", CODE(1), false),
        ("grep", CODE(2), true),
        ("grep", killed(11), true),
        ("systemctl", CODE(3), false),
        ("systemctl", CODE(1), true),
        ("false", CODE(1), true),
        ("sshd", CODE(255), true),
        ("yes", killed(13), true),
    ] {
        assert_eq!(reported(comm, end), expect, "{comm} {end:?}");
    }
    assert_eq!(rules.decide(None, &who("grep", 0, None)), (true, None), "no end");
}

#[test]
fn the_first_rule_that_matches_wins_over_the_built_in_table() {
    let rules = exit(
        r#"
        [[event.exit.rules]]
        comms = ["grep"]
        codes = [1, 2]
        severity = "INFO"
        [[event.exit.rules]]
        signals = ["SIGTERM", "SIGRTMIN+1"]
        codes = [143]
        action = "drop"
        [[event.exit.rules]]
        uids = [1000]
        cgroups = ["/batch/*"]
        action = "drop"
        "#,
    )
    .unwrap();
    let decide = |end, process| rules.decide(Some(end), &process);
    assert_eq!(decide(CODE(1), who("grep", 0, None)), (true, Some(Severity::Info)));
    assert!(!decide(killed(15), who("sshd", 0, None)).0 && !decide(killed(35), who("sshd", 0, None)).0);
    assert!(!decide(CODE(143), who("java", 0, None)).0);
    assert_eq!(decide(killed(9), who("sshd", 0, None)), (true, None));
    assert!(!decide(CODE(3), who("job", 1000, Some("/batch/7"))).0);
    assert!(decide(CODE(3), who("job", 0, Some("/batch/7"))).0);
    assert!(decide(CODE(3), who("job", 1000, None)).0);
}

#[test]
fn an_unknown_signal_is_an_error_with_the_nearest_right_one() {
    let errors = exit("[[event.exit.rules]]\nsignals = [\"SIGTREM\"]").unwrap_err();
    let text = errors[0].to_string();
    assert!(text.starts_with("test.conf:4: event.exit.rules") && text.contains("\"SIGTERM\""), "{text}");
}
