//! Checks of texts and of keys that need each other. In: what was written. Out: it, tidied up, or what would
//! be right.

use crate::config::read::{Reader, join};
use crate::config::tree::{Node, Table, Value, get};

/// Anything that is not empty.
pub(crate) fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The name of a Kafka topic: Kafka itself takes no other.
pub(crate) fn topic(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() {
        Err("is empty; write the name of a Kafka topic such as \"gala-gopher-event\"".to_owned())
    } else if text.len() > 249 {
        Err(format!("a Kafka topic has at most 249 characters, this one has {}", text.len()))
    } else if let Some(c) = text.chars().find(|c| !legal(*c)) {
        Err(format!(
            "{c:?} cannot be in the name of a Kafka topic; use letters, digits, \".\", \"_\" and \"-\""
        ))
    } else if text == "." || text == ".." {
        Err(format!("{text:?} is not the name of a Kafka topic"))
    } else {
        Ok(text.to_owned())
    }
}

/// Brokers as `host:port` between commas; white space around them goes.
pub(crate) fn brokers(text: &str) -> Result<String, String> {
    let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
    for broker in &brokers {
        let shown: String = broker.chars().take(60).collect();
        let wrong = |why: &str| Err(format!("{shown:?} {why}; write host:port, several separated by commas"));
        let Some((host, port)) = broker.rsplit_once(':') else {
            return wrong(if broker.is_empty() { "is no broker" } else { "has no port" });
        };
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_ipv6 = inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !is_ipv6 && (host.is_empty() || host.len() > 253 || !host.chars().all(in_name)) {
            return wrong("has no valid host (a name, an IPv4 address, or an IPv6 address in [])");
        }
        let digits = port.chars().all(|c| c.is_ascii_digit());
        if !digits || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return wrong("has no valid port (1 to 65535)");
        }
    }
    Ok(brokers.join(","))
}

/// A list that the kernel side has room for.
pub(crate) fn at_most(reader: &mut Reader, section: &str, table: &Table, name: &str, most: usize) {
    if let Some(node) = get(table, name)
        && let Value::List(items) = &node.value
        && items.len() > most
    {
        let message = format!("has {} items; there is room for {most}", items.len());
        reader.error(node, &join(section, name), message);
    }
}

/// A key as it was written; an empty text counts as left out.
fn given<'a>(table: &'a Table, key: &str) -> Option<&'a Node> {
    get(table, key).filter(|node| !matches!(&node.value, Value::Text(text) if text.is_empty()))
}

/// Two settings of which neither is of use without the other; each may be written under any of its keys.
pub(crate) fn together(reader: &mut Reader, section: &str, table: &Table, one: &[&str], other: &[&str]) {
    for (keys, missing) in [(one, other), (other, one)] {
        if missing.iter().any(|key| given(table, key).is_some()) {
            continue;
        }
        for key in keys {
            if let Some(node) = given(table, key) {
                let missing = missing.join(" or ");
                reader.error(
                    node,
                    &join(section, key),
                    format!("{key} is set without {missing}; set both or neither"),
                );
            }
        }
    }
}

/// Two keys that say the same thing in two ways.
pub(crate) fn one_at_most(reader: &mut Reader, section: &str, table: &Table, [one, other]: [&str; 2]) {
    if let (Some(_), Some(node)) = (given(table, one), given(table, other)) {
        reader.error(node, &join(section, other), format!("{other} is set beside {one}; set one of them"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_host_and_port() {
        let long = "b".repeat(254) + ":1";
        for bad in [
            "",
            "localhost",
            ":9092",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:+1",
            "a:1,,b:2",
            "a:1,",
            "a b:1",
            "::1:9092",
            "[::1]",
            "[x]:1",
            "a:1;b:2",
            &long,
        ] {
            assert!(brokers(bad).is_err(), "{bad:?}");
        }
        assert_eq!(brokers("localhost:9092").unwrap(), "localhost:9092");
        assert_eq!(
            brokers(" a.b-c_d:1 , [::1]:65535,10.0.0.1:9092").unwrap(),
            "a.b-c_d:1,[::1]:65535,10.0.0.1:9092"
        );
    }

    #[test]
    fn topics_are_what_kafka_takes() {
        for bad in ["", ".", "..", "a b", "a/b", "ä", &"t".repeat(250)] {
            assert!(topic(bad).is_err(), "{bad:?}");
        }
        for good in ["gala_gopher-event.1", "...", &"t".repeat(249)] {
            assert_eq!(topic(good).unwrap(), good);
        }
    }
}
