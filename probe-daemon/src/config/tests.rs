//! Whole configurations: what is accepted, in both syntaxes, and what each mistake is answered with.

use crate::config::*;

mod properties;

fn load(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse("gala-gopher.conf", text, &[], |_| Vec::new())
}

fn errors(text: &str) -> Vec<String> {
    errors_with(text, &[])
}

fn errors_with(text: &str, set: &[&str]) -> Vec<String> {
    let set: Vec<String> = set.iter().map(|text| text.to_string()).collect();
    match Config::parse("gala-gopher.conf", text, &set, |_| Vec::new()) {
        Ok(config) => panic!("was accepted: {config:?}"),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

/// One error is expected, with all of these parts.
fn check(text: &str, parts: &[&str]) {
    let found = errors(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "{part:?} is missing in {:?}", found[0]);
    }
}

const EVENT: &str = "[[probes]]\nname = \"event\"\n";

fn with_event(text: &str) -> String {
    format!("{EVENT}{text}")
}

fn on() -> Config {
    let mut config = Config::default();
    config.probe.switch = Switch::On;
    config
}

#[test]
fn a12_the_seed_stanza_is_a_whole_file() {
    for text in [
        "{ name = \"event\"; switch = \"on\"; interval = 5; }",
        "{ name = \"event\"; switch = \"on\"; interval = 5 }",
        "{\n    name = \"event\";\n    switch = \"on\";\n    interval = 5;\n},\n",
        "# hello\n{ name : \"event\", switch : \"on\", interval : 5 };",
        "{ name = \"event\"; switch = \"on\"; }, { name = \"other\"; }",
        "[[probes]]\r\nname = \"event\"\r\nswitch = \"on\"\r\ninterval = 5\r\n",
        "// hello\r\nprobes = ( { name = \"event\"; // hello\r\n switch = \"on\"; } );\r\n",
        "\u{feff}{ name = \"event\" switch = \"on\" }",
    ] {
        let mut config = load(text).unwrap();
        config.foreign.clear();
        assert_eq!(config, on(), "{text}");
    }
}

#[test]
fn a12_a_missing_switch_is_off() {
    assert_eq!(load(EVENT).unwrap(), Config::default());
    assert_eq!(load(EVENT).unwrap().probe.switch, Switch::Off);
}

#[test]
fn the_sample_file_is_the_defaults_switched_on() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/gala-gopher.conf");
    assert_eq!(Config::load(Path::new(path), &[], |_| Vec::new()).unwrap(), on());
    // What is commented out must be right as well, once it is not.
    let text = std::fs::read_to_string(path).unwrap();
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.contains(" = ") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = load(&uncommented).unwrap();
    assert_eq!(config.event.syscall.rules.len(), 1);
    assert_eq!(config.kafka.librdkafka.0, [("socket.keepalive.enable".into(), "true".into())]);
    assert_eq!(config.kafka.username.as_deref(), Some("probe"));
}

/// The shape of gala-gopher's own file: its sections, keys that we do not know, a group without `;`, an
/// escape that is none, texts left empty.
const GALA: &str = r#"
global =
{
    log_file_name = "gopher.log";
    log_level = "debug";            # debug | info
    pin_path = "/sys/fs/bpf/probe";
};
metric = { out_channel = "web_server"; kafka_topic = "gala_gopher"; };
event =
{
    out_channel = "logs";
    kafka_topic = "gala_gopher_event";
    timeout = 300;                  // 5 min
    desc_language = "zh_CN";
};
meta = { out_channel = "kafka"; };
ingress = { interval = 5; };
egress = { interval = 5; time_range = 5; };
imdb = { max_tables_num = 1024; };
web_server = { port = 8888; };
rest_api_server = { port = 9999; ssl_auth = "off"; };
kafka =
{
    kafka_broker = "10.0.0.1:9092";
    batch_num_messages = 10000;
    compression_codec = "none";
    queue_buffering_max_messages = 100000;
    queue_buffering_max_kbytes = 1048576;
    queue_buffering_max_ms = 5;
    username = "";
    password = "";
};
logs =
{
    metric_dir = "/var/log/gala-gopher/metrics";
    event_dir = "/var/log/events";
    metric_total_size = 100;
};
probes =
(
    { name = "system_infos"; param = "-t 5"; switch = "on"; },
    { name = "event"; command = "x" param = ""; switch = "auto"; start_check = "ps | grep 'a\|b' | wc -l"; check_type = "count"; },
);
extend_probes = ( { name = "redis"; command = "python3 x.py"; switch = "off"; } );
"#;

#[test]
fn a_file_of_gala_gopher_works_unchanged() {
    let config = load(GALA).unwrap();
    assert_eq!(config.global.log_level, LogLevel::Debug);
    assert_eq!(config.probe.switch, Switch::Auto);
    assert_eq!(config.probe.start_check.as_deref(), Some("ps | grep 'a\\|b' | wc -l"));
    assert_eq!(config.event.out_channel, [Channel::Logs]);
    assert_eq!(config.event.timeout, Duration::from_secs(300));
    assert_eq!(config.kafka.queue_buffering_max_kbytes, 1_048_576);
    assert_eq!((config.kafka.username, config.kafka.password), (None, None));
    assert_eq!(config.logs.event_dir, Path::new("/var/log/events"));
    let foreign = [
        "global.log_file_name",
        "global.pin_path",
        "metric",
        "event.desc_language",
        "meta",
        "ingress",
        "egress",
        "imdb",
        "web_server",
        "rest_api_server",
        "logs.metric_dir",
        "logs.metric_total_size",
        "probes.system_infos",
        "probes.event.command",
        "probes.event.param",
        "extend_probes",
    ];
    assert_eq!(config.foreign, foreign);
}

#[test]
fn mistakes_in_toml_name_line_key_and_what_would_be_right() {
    let head = "[[probes]]\nname = \"event\"\nswitch = \"on\"\n";
    let check = |text: &str, parts: &[&str]| check(&format!("{head}{text}"), parts);
    check(
        "[event]\nout_channel = \"kafkaa\"",
        &[
            "gala-gopher.conf:5: event.out_channel: \"kafkaa\" is not a channel; did you mean \"kafka\"? (kafka, logs, \
           stdout, or a list of them, \"\" for none)",
        ],
    );
    check("[event]\nout_channel = [\"kafka\",\n\"kafka\"]", &[":6: event.out_channel: ", "twice"]);
    check("[event]\nout_channel = 3", &["event.out_channel: 3 is not a channel (kafka, logs,"]);
    check("interval = 0", &[":4: probes.event.interval: 0 is not a whole number of seconds from 1 to 3600"]);
    check("interval = -1", &["probes.event.interval: -1 is not"]);
    check("interval = 5.5", &["5.5 is not a whole number"]);
    check("interval = \"5\"", &["\"5\" is not a whole number", "; write the number without quotes"]);
    check("interval = 99999999999999999999", &[":4: ", "too large"]);
    check("interval = 2020-01-01", &["the date 2020-01-01 is not a whole number"]);
    check(
        "intervall = 5",
        &[":4: probes.event.intervall: there is no such key; did you mean \"interval\"? (name, switch"],
    );
    check("[evnet]", &[":4: evnet: there is no such section; did you mean \"event\"? (global, probes"]);
    check(
        "[kafka]\ntimeout = 5",
        &[":5: kafka.timeout: there is no such key; \"timeout\" belongs to [event] ("],
    );
    check("[global]\ninterval = 5", &["\"interval\" belongs to [[probes]]"]);
    check(
        "[event]\nencoding = \"xml\"",
        &[
            "\"xml\" is not an encoding that this build writes (json, gala, otlp_json, otlp_proto, text, color)",
        ],
    );
    check("[event.syscall]\nswitch = true", &["true is not a switch; did you mean \"on\"? (on, off)"]);
    check("[event.syscall]\nswitch = \"auto\"", &["\"auto\" is not a switch (on, off)"]);
    check("[event]\nkafka_topic = \"a/b\"", &["event.kafka_topic: '/' cannot be"]);
    check("[event]\nkafka_topic = 7", &["event.kafka_topic: 7 is not text; write \"7\""]);
    check("[event]\ntimeout = 86401", &["86401 is not", "0 to 86400"]);
    check(
        "[kafka]\nkafka_broker = \"localhost\"",
        &["kafka.kafka_broker: \"localhost\" has no port; write host:port"],
    );
    check("[kafka]\nkafka_broker = \"a:1,b:99999\"", &["\"b:99999\" has no valid port (1 to 65535)"]);
    check(
        "[kafka]\ncompression_codec = \"zip\"",
        &["\"zip\" is not a compression codec", "did you mean \"gzip\""],
    );
    check("[kafka]\nusername = \"x\"", &[":5: kafka.username: username is set without password"]);
    check("[kafka]\nprivate_key = \"/x\"", &["kafka.private_key: private_key is set without cert_file"]);
    check(
        "[kafka]\nca_file = \"x.pem\"",
        &["kafka.ca_file: \"x.pem\" is not an absolute path; begin it with /"],
    );
    check("[logs]\nevent_dir = \"\"", &["logs.event_dir: \"\" is not an absolute path"]);
    check("[logs]\nevent_dir = \"/a\\u0000b\"", &["logs.event_dir: text cannot hold a NUL byte"]);
    check("[[event.syscall.rules]]\nsyscalls = []", &["event.syscall.rules.0.syscalls: the list is empty"]);
    check("[[event.syscall.rules]]\nerrnos = [1]", &["event.syscall.rules.0.errnos: 1 is not text"]);
    check("[[event.syscall.rules]]\nseverity = \"warn\"", &["did you mean \"WARN\"?"]);
    check(
        "[event.syscall.rules]\naction = \"drop\"",
        &["event.syscall.rules: a section is not a list of sections; write [[event.syscall.rules]]"],
    );
    check("[kafka.librdkafka]\nx = 1.5", &["kafka.librdkafka.x: a property of librdkafka is text"]);
    check("[kafka.librdkafka]\n\"a.b\" = 1\na.b = 2", &["kafka.librdkafka.a.b: this property is set twice"]);
    check(
        "[[probes]]\nname = \"event\"",
        &[":4: probes.event: a second probe", "the first one is in line 1"],
    );
    check("[[probes]]\nswitch = \"on\"", &[":4: probes.1.name: missing; every probe has a name"]);
    check("[[probes]]\nname = \"\"", &[":5: probes.1.name: is empty"]);
    check(
        "switch = \"off\"",
        &[":4: probes.switch: column 1: is set twice in this section (read as TOML because"],
    );
    check("[event]\n[event]", &[":5: event: column 2: is set twice"]);
    check(
        "interval = # nothing",
        &[":4: probes.interval: column ", "has no value (read as TOML because of the `["],
    );
    check("interval =", &[":4: probes.interval: column ", "has no value"]);
    check(
        "[event]\nout_channel = kafka",
        &[":5: event.out_channel: column 15: text must stand in double quotes"],
    );
    check(
        "[event]\nkafka_topic = \"x",
        &[":5: event.kafka_topic: column 17: this text has no closing quote"],
    );
    check("[kafka", &[":4: kafka: column 7: unclosed table, expected `]`"]);
    check("[event]\ntimeout 5", &[":5: event: column 9: key with no value, expected `=`"]);
}

#[test]
fn files_that_are_wrong_as_a_whole() {
    check("", &["gala-gopher.conf: probes: no probe is named \"event\"; write [[probes]] with"]);
    check("event = 5\n[[probes]]\nname = \"event\"", &[":1: event: 5 is not a section; write [event]"]);
    check(
        "event = 5; probes = ({ name = \"event\"; })",
        &["event: 5 is not a section; write event = { ... };"],
    );
}

#[test]
fn no_probe_named_event() {
    check(
        "[[probes]]\nname = \"evnt\"",
        &[":1: probes: no probe is named \"event\"; did you mean it by \"evnt\"?"],
    );
    check("probes = ( { name = \"x\"; } );", &["write probes = ( { name = \"event\"; switch = \"on\"; } );"]);
    check("probes = ();", &["no probe is named \"event\""]);
    check("[probes]\nname = \"event\"", &["a section is not a list of sections; write [[probes]]"]);
    check("probes = 5", &["5 is not a list of sections"]);
    check("probes = [5]", &["probes.0: 5 is not a section"]);
}

#[test]
fn all_errors_come_at_once_in_the_order_of_the_lines() {
    let found = errors(
        "[event]\ntimeout = \"x\"\nout_channel = [\"kafka\", \"lgos\", \"x\"]\n[kafka]\npassword = 5\n[[probes]]\n\
         name = \"event\"\nswitch = \"maybe\"\n",
    );
    let starts = [
        "gala-gopher.conf:2: event.timeout:",
        "gala-gopher.conf:3: event.out_channel: \"lgos\" is not a channel; did you mean \"logs\"?",
        "gala-gopher.conf:3: event.out_channel: \"x\" is not a channel (",
        "gala-gopher.conf:5: kafka.password: password is set without username",
        "gala-gopher.conf:8: probes.event.switch: \"maybe\" is not a switch (on, off, auto)",
    ];
    let password = found.iter().position(|line| line.contains("kafka.password: what is written here"));
    assert!(password.is_some(), "{found:#?}");
    assert_eq!(found.len(), starts.len() + 1, "{found:#?}");
    for start in starts {
        assert!(found.iter().any(|line| line.starts_with(start)), "{start}: {found:#?}");
    }
    let syntax = errors("[event]\ntimeout = \n[kafka\nx = = 1\n[[probes]]\nname = \"event\"");
    assert!(syntax.len() >= 3, "{syntax:#?}");
}

#[test]
fn secrets_are_never_shown() {
    let text = with_event(
        "[kafka]\nusername = \"u\"\npassword = \"hunter2\"\n[kafka.librdkafka]\nssl.key.password = \"hunter2\"\n",
    );
    let config = load(&text).unwrap();
    assert_eq!(config.kafka.password.as_ref().map(Secret::expose), Some("hunter2"));
    assert!(!format!("{config:?}{config:#?}").contains("hunter2"));
    assert!(!config.render().contains("hunter2"));
    assert!(config.render().contains("password = \"***\""));
    // Not even by a mistake around it.
    for text in [
        "[kafka]\npassword = hunter2",
        "[kafka]\npassword = \"hunter2",
        "[kafka]\npassword = \"a\"hunter2",
        "[kafka]\npassword = [\"hunter2\"]",
        "[kafka]\npassword = \"hunter2\\u0000\"",
        "kafka = { password = hunter2; };",
        "kafka = { password = \"hunter2; };",
        "kafka = { password = \"a\"hunter2; };",
        "kafka = { password = 5hunter2; };",
        "kafka = { password = (\"hunter2\"); };",
    ] {
        let found = errors(text).join("\n");
        assert!(!found.contains("hunter2"), "{found}");
    }
}

#[test]
fn the_command_line_overrides_the_file() {
    let set = |set: &[&str]| {
        let set: Vec<String> = set.iter().map(|text| text.to_string()).collect();
        Config::parse("x.conf", GALA, &set, |_| Vec::new()).unwrap()
    };
    let config = set(&[
        "kafka.kafka_broker=127.0.0.1:1234",
        "probes.event.interval=1",
        "probes.1.switch=on",
        "event.out_channel=[\"logs\", \"stdout\"]",
        "event.syscall.switch = off",
        "event.syscall.rules.0.errnos=EPERM",
        "event.syscall.rules.0.action=drop",
        "kafka.librdkafka.socket.keepalive.enable=true",
        "kafka.librdkafka.message.timeout.ms=5000",
        "kafka.username=",
    ]);
    assert_eq!(config.kafka.kafka_broker, "127.0.0.1:1234");
    assert_eq!(config.probe.interval, Duration::from_secs(1));
    assert_eq!(config.probe.switch, Switch::On);
    assert_eq!(config.event.out_channel, [Channel::Logs, Channel::Stdout]);
    assert_eq!(config.event.syscall.switch, OnOff::Off);
    assert_eq!(config.event.syscall.rules[0].errnos[0].value, "EPERM");
    assert_eq!(config.event.syscall.rules[0].action, Action::Drop);
    let properties = [("socket.keepalive.enable", "true"), ("message.timeout.ms", "5000")];
    assert_eq!(
        config.kafka.librdkafka.0,
        properties.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(set(&["event.out_channel="]).event.out_channel, []);
    // A probe that the file does not have, and a property that it writes with its dots.
    let config = Config::parse("x.conf", "", &["probes.event.switch=on".to_owned()], |_| Vec::new()).unwrap();
    assert_eq!(config, on());
    let text = with_event("[kafka.librdkafka]\n\"a.b\" = 1\n");
    let config =
        Config::parse("x.conf", &text, &["kafka.librdkafka.a.b=2".to_owned()], |_| Vec::new()).unwrap();
    assert_eq!(config.kafka.librdkafka.0, [("a.b".to_owned(), "2".to_owned())]);
}

#[test]
fn overrides_that_are_wrong() {
    let check = |set: &str, start: &str| {
        let found = errors_with(EVENT, &[set]);
        assert!(found.iter().any(|line| line.starts_with(start)), "{found:#?}");
    };
    check("event.timeout", "--set event.timeout: has no value; write --set event.timeout=VALUE");
    check("event.timeout=x", "--set event.timeout: \"x\" is not a whole number of seconds");
    check("event.timout=5", "--set event.timout: there is no such key; did you mean \"timeout\"?");
    check("=5", "--set : is no dotted key");
    check("event..x=5", "--set event..x: is no dotted key");
    check("probes.event.name.x=5", "--set probes.event.name.x: name is \"event\", it has no keys");
    check("event.syscall.rules.7.action=drop", "--set event.syscall.rules.7.action: rules has 0 items");
    check(
        "event.syscall.rules.x.action=drop",
        "--set event.syscall.rules.x.action: event.syscall.rules: a section is not a list of sections",
    );
    check(
        "event.syscall.rules=[{action=\"bad\"}]",
        "--set event.syscall.rules: event.syscall.rules.0.action: \"bad\" is not an action",
    );
    check("event.out_channel=[\"kafka\"", "--set event.out_channel: \"[\\\"kafka\\\"\" is not a channel");
    check(&format!("{}x=1", "a.".repeat(100_000)), "--set a.a.a");
}

#[test]
fn names_for_the_policy_know_where_they_were_written() {
    let text =
        with_event("[[event.syscall.rules]]\nsyscalls = [\"openat\",\n \"opne\"]\nerrnos = \"ENOENT\"\n");
    let rule = &load(&text).unwrap().event.syscall.rules[0];
    let error = rule.syscalls[1]
        .error(format!("no such system call{}", crate::nearest::did_you_mean("opne", ["open", "read"])));
    assert_eq!(
        error.to_string(),
        "gala-gopher.conf:5: event.syscall.rules.0.syscalls: no such system call; did you mean \"open\"?"
    );
    assert_eq!((rule.errnos[0].value.as_str(), rule.errnos[0].line), ("ENOENT", 6));
}

#[test]
fn further_checks_are_reported_with_the_rest_at_the_line_of_their_key() {
    let text = with_event("[kafka.librdkafka]\nlinger.ms = -7\n\"a.b\" = 1\n[event]\ntimeout = -1\n");
    let set = ["kafka.username=x".to_owned(), "kafka.password=y".to_owned()];
    let found = Config::parse("x.conf", &text, &set, |config| {
        assert_eq!(config.kafka.librdkafka.0.len(), 2);
        let keys =
            ["kafka.librdkafka.a.b", "kafka.librdkafka.linger.ms", "kafka.username", "kafka.ca_file", "logs"];
        keys.map(|key| ConfigError::about(key, "refused")).to_vec()
    });
    let expected = "\
        --set kafka.username: refused\n\
        x.conf: logs: refused\n\
        x.conf:3: kafka.ca_file: refused\n\
        x.conf:4: kafka.librdkafka.linger.ms: refused\n\
        x.conf:5: kafka.librdkafka.a.b: refused\n\
        x.conf:7: event.timeout: -1 is not a whole number of seconds from 0 to 86400";
    assert_eq!(found.unwrap_err().to_string(), expected);
}

#[test]
fn files_that_cannot_be_read() {
    let dir = std::env::temp_dir().join(format!("config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let check = |name: &str, bytes: Option<&[u8]>, part: &str| {
        let path = dir.join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let found = Config::load(&path, &[], |_| Vec::new()).unwrap_err().to_string();
        assert!(found.contains(part) && found.starts_with(&path.display().to_string()), "{found}");
    };
    check("absent", None, ": cannot be read: No such file");
    check("", None, ": cannot be read: Is a directory");
    check("latin", Some(b"[global]\n# gr\xfc\xdfe\n"), "latin:2: is not UTF-8 here");
    check("large", Some(&[b'#'; (1 << 20) + 1]), "larger than 1 MiB");
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(
        Config::load(Path::new("/dev/zero"), &[], |_| Vec::new()).unwrap_err().to_string().contains("larger")
    );
}

#[test]
fn nesting_is_bounded_in_toml() {
    for text in ["a=[", "[[a]]\n[a.", "a.", "a={b=", "a=[{b=", "["] {
        errors(&text.repeat(200_000));
        errors(&format!("{}{}", &text[..1], text[1..].repeat(200_000)));
    }
}

#[test]
fn an_encoding_may_be_that_of_a_channel_and_gala_has_a_topic_of_its_own() {
    let parse = |text: &str| Config::parse("f", text, &[], Config::check_encodings);
    let stanza = "[[probes]]\nname = \"event\"\nswitch = \"on\"\n";
    let config =
        parse(&format!("{stanza}[event]\nencoding = \"gala\"\n[stdout]\nencoding = \"color\"\n")).unwrap();
    assert_eq!(config.encoding(Channel::Stdout), Encoding::Color);
    assert_eq!(config.encoding(Channel::Kafka), Encoding::Gala);
    assert_eq!(config.event.kafka_topic, "gala_gopher_event");
    let config = parse(&format!("{stanza}[event]\nencoding = \"gala\"\nkafka_topic = \"mine\"\n")).unwrap();
    assert_eq!(config.event.kafka_topic, "mine");
    let wrong = format!("{stanza}[event]\nout_channel = \"logs\"\nencoding = \"otlp_proto\"\n");
    let errors = parse(&wrong).unwrap_err().to_string();
    assert!(errors.contains("logs.encoding") && errors.contains("otlp_json"), "{errors}");
}

#[test]
fn more_sleepers_than_the_kernel_side_has_room_for() {
    let names: Vec<String> = (0..65).map(|number| format!("\"c{number}\"")).collect();
    let text = |names: &[String]| {
        let list = names.join(", ");
        format!("[[probes]]\nname = \"event\"\n[event.offcpu]\ninterruptible_comms = [{list}]\n")
    };
    assert!(Config::parse("f", &text(&names[..64]), &[], |_| Vec::new()).is_ok());
    let errors = Config::parse("f", &text(&names), &[], |_| Vec::new()).unwrap_err();
    let told = errors.to_string();
    assert!(told.contains("event.offcpu.interruptible_comms: has 65 items"), "{told}");
}
