//! The schema that readers of the form have, `docs/record.schema.json`: what goes out follows it, what is broken does not.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../../../docs/record.schema.json");

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap());

/// Fails with all that is wrong with a record.
pub fn check(record: &Value) {
    let errors: Vec<String> =
        VALIDATOR.iter_errors(record).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{}\n{record:#}", errors.join("\n"));
}

fn record() -> Value {
    json!({
        "Timestamp": "1763661600123456789", "ObservedTimestamp": "1763661600124000000",
        "SeverityText": "WARN", "SeverityNumber": 13, "EventName": "gala_gopher.syscall.failure",
        "Resource": {"host.hostname": "h", "host.machineid": "3c", "host.name": "h", "host.id": "3c"},
        "Attributes": {
            "log.record.uid": "01K9ZZZZZZZZZZZZZZZZZZZZZZ", "event.name": "gala_gopher.syscall.failure",
            "gala_gopher.occurrences": 1, "process.pid": 4242, "process.command_args": ["a"],
            "gala_gopher.syscall.name": "openat", "gala_gopher.syscall.args": {"flags": ["O_RDONLY"], "fd": null},
        },
        "TraceId": "5b8efff798038103d269b633813fc60c", "SpanId": "eee19b7ec3c1b174", "Body": "text",
    })
}

#[test]
fn the_schema_is_one_and_refuses_what_is_broken() {
    assert!(jsonschema::draft202012::meta::is_valid(&serde_json::from_str(SCHEMA).unwrap()));
    check(&record());
    let broken: [(&str, Value); 28] = [
        ("/Timestamp", json!(1_763_661_600_123_u64)),
        ("/Timestamp", json!("2026-11-20T18:00:00Z")),
        ("/Timestamp", json!("-1")),
        ("/Timestamp", json!("0123")),
        ("/ObservedTimestamp", Value::Null),
        ("/SeverityText", json!("ERROR")),
        ("/SeverityText", json!("warn")),
        ("/SeverityNumber", json!(17)),
        ("/SeverityNumber", json!("13")),
        ("/SeverityNumber", json!(13.5)),
        ("/EventName", json!("")),
        ("/Resource", json!({})),
        ("/Resource/host.id", json!(7)),
        ("/Resource/host.ip", json!("10.0.0.1")),
        ("/Resource/host.machineid", Value::Null),
        ("/Attributes/log.record.uid", json!("01K")),
        ("/Attributes/log.record.uid", json!("01k9zzzzzzzzzzzzzzzzzzzzzz")),
        ("/Attributes/gala_gopher.occurrences", json!(0)),
        ("/Attributes/process.pid", json!("4242")),
        ("/Attributes/process.pid", json!(-1)),
        ("/Attributes/process.command_args", json!([1])),
        ("/Attributes/gala_gopher.other", json!(null)),
        ("/Attributes/gala_gopher.other", json!(1.5)),
        ("/Attributes/gala_gopher.syscall.args", json!("text")),
        ("/Attributes/No Key", json!(1)),
        ("/TraceId", json!("00000000000000000000000000000000")),
        ("/SpanId", json!("eee19b7ec3c1b17")),
        ("/Other", json!(1)),
    ];
    for (place, value) in broken {
        let mut record = record();
        let (parent, key) = place.rsplit_once('/').unwrap();
        record.pointer_mut(parent).unwrap()[key] = value.clone();
        assert!(!VALIDATOR.is_valid(&record), "{place} = {value}");
    }
    for key in ["Timestamp", "Body", "Attributes", "Resource", "EventName", "TraceId"] {
        let mut record = record();
        record.as_object_mut().unwrap().remove(key);
        assert!(!VALIDATOR.is_valid(&record), "without {key}");
    }
}
