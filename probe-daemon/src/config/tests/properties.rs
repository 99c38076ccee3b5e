//! Properties of the parsers: nothing makes them panic, and both syntaxes say the same.

use super::load;
use crate::config::tree::{Entry, Value};
use crate::config::*;
use proptest::prelude::*;

/// A table in libconfig's syntax: the other half of `to_toml`.
fn to_libconfig(table: &[Entry]) -> String {
    fn value(text: &Value) -> String {
        match text {
            Value::Text(text) => {
                let escaped: String = text
                    .chars()
                    .map(|c| match c {
                        '"' | '\\' => format!("\\{c}"),
                        c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
                        c => c.to_string(),
                    })
                    .collect();
                format!("\"{escaped}\"")
            }
            Value::Integer(number) => number.to_string(),
            Value::Boolean(value) => value.to_string(),
            Value::List(items) => {
                format!("( {} )", items.iter().map(|item| value(&item.value)).collect::<Vec<_>>().join(", "))
            }
            Value::Table(table) => format!("{{ {} }}", to_libconfig(table)),
            other => panic!("no setting is {other:?}"),
        }
    }
    table.iter().map(|entry| format!("{} = {};\n", entry.key, value(&entry.node.value))).collect()
}

fn names() -> impl Strategy<Value = Vec<Spanned<String>>> {
    let place = Place { file: "x".into(), line: 1 };
    proptest::collection::vec("[a-z_0-9]{1,8}", 0..3)
        .prop_map(move |names| names.into_iter().map(|name| Spanned::new(name, "", &place)).collect())
}

fn any_of<T: kind::Choice + std::fmt::Debug>() -> impl Strategy<Value = T> {
    proptest::sample::select(T::ALL)
}

prop_compose! {
    fn rules()(syscalls in names(), errnos in names(), action in any_of(), severity in proptest::option::of(any_of()))
        -> Rule {
        Rule { syscalls, errnos, action, severity, ..Rule::default() }
    }
}

prop_compose! {
    fn configs()(
        (log_level, switch, interval) in (any_of(), any_of(), 1..=3600_u64),
        start_check in proptest::option::of("[^\0]*[^\0\\s]"),
        (out_channel, syscall_switch) in (proptest::sample::subsequence(kind::Choice::ALL.to_vec(), 0..=3), any_of()),
        (kafka_topic, timeout) in ("[a-zA-Z0-9_-]{1,249}", 0..=86400_u64),
        rules in proptest::collection::vec(rules(), 0..3),
        (host, port) in ("[a-z.-]{1,20}", 1..=65535_u16),
        (batch_num_messages, compression_codec) in (1..=1_000_000_u64, any_of()),
        credentials in proptest::option::of(("[^\0]*[^\0\\s]", "[^\0]{1,9}")),
        files in proptest::option::of(("/[^\0]*", "/[^\0]*")),
        event_dir in "/[^\0]*",
        properties in proptest::collection::btree_map("[a-z]{1,5}", "[^\0]*", 0..4),
    ) -> Config {
        let mut config = Config::default();
        config.global.log_level = log_level;
        config.probe = Probe { switch, interval: Duration::from_secs(interval), start_check, ..config.probe };
        config.event = Event { out_channel, kafka_topic, timeout: Duration::from_secs(timeout), ..config.event };
        config.event.syscall = SyscallEvents { switch: syscall_switch, rules };
        config.kafka.kafka_broker = format!("{host}:{port}");
        config.kafka.batch_num_messages = batch_num_messages;
        config.kafka.compression_codec = compression_codec;
        if let Some((username, password)) = credentials {
            config.kafka.username = Some(username);
            config.kafka.password = Some(Secret::new(password));
        }
        if let Some((cert, key)) = files {
            config.kafka.cert_file = Some(cert.into());
            config.kafka.private_key = Some(key.into());
        }
        config.kafka.librdkafka = Properties(properties.into_iter().collect());
        config.logs.event_dir = event_dir.into();
        config
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = load(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|[\\[\\](){}=:;,.\"'\\\\#/*@\n0-9xL+-]|name|event|probes|true){0,60}", set in "[a-z.0-9=\"\\[\\]{}]{0,30}") {
        let _ = load(&text);
        let _ = Config::parse("x", &text, std::slice::from_ref(&set), |_| Vec::new());
        let lines = Lines::new("x".into(), &text);
        let _ = libconfig::parse(&text, &lines, "");
        let _ = toml::parse(&text, &lines, "");
    }

    #[test]
    fn both_syntaxes_give_the_same_structs(config in configs()) {
        let mut expected = config.clone();
        expected.kafka.password = config.kafka.password.as_ref().map(|_| Secret::new("***"));
        let text = config.render();
        let loaded = load(&text);
        prop_assert_eq!(loaded.as_ref(), Ok(&expected), "{}", text);
        let text = to_libconfig(&config.show());
        let loaded = load(&text);
        prop_assert_eq!(loaded.as_ref(), Ok(&expected), "{}", text);
    }
}
