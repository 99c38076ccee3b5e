//! Every form tells of the same record, and nothing from outside breaks any of them.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value as Any},
    logs::v1::LogsData,
};
use proptest::prelude::*;
use prost::Message;
use serde_json::{Map, Value, json};

use super::{
    Encoder,
    gala::Gala,
    sample::{event, folded, host, record, ring_record},
    text::Text,
};
use crate::{
    config::Encoding,
    event::Event,
    fold::Folded,
    record::{
        LogRecord,
        trace::{self, Id, Trace},
    },
    syscall::Abi,
};

/// `cat` may not open `/etc/shadow`.
fn denied() -> Folded {
    let registers = [0xffff_ff9c, 0x7ffd_0000_1000, 0, 0, 0, 0];
    folded(Event::Call(event(&ring_record(257, 13, b"cat", registers, &[(1, b"/etc/shadow")]))))
}

fn in_container(folded: &Folded) -> LogRecord<'_> {
    let id = "0123456789abcdef".repeat(4);
    let resource = vec![
        ("container.id".into(), id),
        ("container.name".into(), "web".to_owned()),
        ("k8s.pod.name".into(), "web-0".to_owned()),
    ];
    LogRecord { resource: resource.leak(), ..record(folded) }
}

fn encode(encoding: Encoding, record: &LogRecord<'_>) -> Vec<u8> {
    Encoder::new(encoding, &host()).unwrap().encode(record).unwrap().to_vec()
}

fn plain(value: &AnyValue) -> Value {
    match &value.value {
        None => Value::Null,
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(truth)) => json!(truth),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) => json!(number),
        Some(Any::ArrayValue(array)) => array.values.iter().map(plain).collect(),
        Some(Any::KvlistValue(list)) => plain_map(&list.values),
        Some(other) => panic!("{other:?}"),
    }
}

fn plain_map(pairs: &[KeyValue]) -> Value {
    let map: Map<String, Value> =
        pairs.iter().map(|pair| (pair.key.clone(), plain(pair.value.as_ref().unwrap()))).collect();
    assert_eq!(map.len(), pairs.len(), "a key twice");
    map.into()
}

/// The record of OTLP in the shape of `encoding = "json"`.
fn as_seed(data: &LogsData) -> Value {
    let [resource_logs] = &data.resource_logs[..] else { panic!("{data:?}") };
    let [scope_logs] = &resource_logs.scope_logs[..] else { panic!("{data:?}") };
    let [record] = &scope_logs.log_records[..] else { panic!("{data:?}") };
    let mut seed = json!({
        "Timestamp": record.time_unix_nano.to_string(),
        "ObservedTimestamp": record.observed_time_unix_nano.to_string(),
        "SeverityText": record.severity_text,
        "SeverityNumber": record.severity_number,
        "EventName": record.event_name,
        "Resource": plain_map(&resource_logs.resource.as_ref().unwrap().attributes),
        "Attributes": plain_map(&record.attributes),
        "Body": plain(record.body.as_ref().unwrap()),
    });
    for (key, id) in [("TraceId", &record.trace_id), ("SpanId", &record.span_id)] {
        if !id.is_empty() {
            seed[key] = id.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        }
    }
    seed
}

fn seed(record: &LogRecord<'_>) -> Value {
    let mut seed: Value = serde_json::from_slice(&encode(Encoding::Json, record)).unwrap();
    let resource = seed["Resource"].as_object_mut().unwrap();
    assert_eq!(resource.remove("host.hostname"), resource.get("host.name").cloned());
    assert_eq!(resource.remove("host.machineid"), resource.get("host.id").cloned());
    seed
}

/// A number that JSON has and OTLP's `int64` has not is a text there.
fn fits(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_i64().is_none() && !number.is_f64() => {
            *value = json!(number.to_string())
        }
        Value::Array(values) => values.iter_mut().for_each(fits),
        Value::Object(map) => map.values_mut().for_each(fits),
        _ => {}
    }
}

fn check_all_forms(record: &LogRecord<'_>) {
    let mut seed = seed(record);
    fits(&mut seed);
    let proto = LogsData::decode(&encode(Encoding::OtlpProto, record)[..]).unwrap();
    assert_eq!(as_seed(&proto), seed);
    // The reader of OTLP/JSON is the library's, the writer is ours.
    let json: LogsData = serde_json::from_slice(&encode(Encoding::OtlpJson, record)).unwrap();
    assert_eq!(json, proto);
    let gala: Value = serde_json::from_slice(&encode(Encoding::Gala, record)).unwrap();
    assert_eq!(gala["SeverityNumber"], seed["SeverityNumber"]);
    assert_eq!(gala["Resource"]["labels"]["COMM"], seed["Attributes"]["thread.name"]);
    assert!(gala["Body"].as_str().unwrap().len() <= 511);
    for encoding in [Encoding::Json, Encoding::OtlpJson, Encoding::Gala, Encoding::Text] {
        let line = encode(encoding, record);
        assert!(line.iter().all(|byte| *byte >= 0x20), "{}", String::from_utf8_lossy(&line));
    }
    let colored = encode(Encoding::Color, record);
    assert!(colored.iter().all(|byte| *byte >= 0x20 || *byte == 0x1b));
}

#[test]
fn otlp_json_has_strings_for_64_bits_and_nothing_empty() {
    let folded = denied();
    let text = String::from_utf8(encode(Encoding::OtlpJson, &in_container(&folded))).unwrap();
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&serde_json::from_str::<Value>(&text).unwrap()).unwrap()
    );
    assert!(!text.contains("traceId") && !text.contains("_nano") && !text.contains("\":[]"), "{text}");
}

#[test]
fn the_ids_of_a_trace_are_hexadecimal_in_json_and_bytes_in_protobuf() {
    let (id, span) = ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174");
    let trace = Trace { id: Id::parse(id).unwrap(), span: Id::parse(span) };
    let folded = denied();
    let record = LogRecord { trace: Some(trace), ..record(&folded) };
    let json = |encoding| serde_json::from_slice::<Value>(&encode(encoding, &record)).unwrap();
    let seed = json(Encoding::Json);
    assert_eq!((&seed["TraceId"], &seed["SpanId"]), (&json!(id), &json!(span)));
    let otlp = &json(Encoding::OtlpJson)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!((&otlp["traceId"], &otlp["spanId"]), (&json!(id), &json!(span)));
    let proto = LogsData::decode(&encode(Encoding::OtlpProto, &record)[..]).unwrap();
    let proto = &proto.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(proto.trace_id, 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c_u128.to_be_bytes());
    assert_eq!(proto.span_id, 0xeee1_9b7e_c3c1_b174_u64.to_be_bytes());
    // These forms have no place for them.
    let plain = LogRecord { trace: None, ..record.clone() };
    for encoding in [Encoding::Gala, Encoding::Text, Encoding::Color] {
        assert_eq!(encode(encoding, &record), encode(encoding, &plain));
    }
}

#[test]
fn protobuf_of_two_records_is_one_of_both() {
    let folded = denied();
    let one = encode(Encoding::OtlpProto, &record(&folded));
    let both = LogsData::decode(&[&one[..], &one[..]].concat()[..]).unwrap();
    assert_eq!(both.resource_logs.len(), 2);
}

#[test]
fn a4_the_gala_form_has_exactly_its_keys_in_order() {
    let folded = denied();
    let bytes = Gala::new(&host()).utc().encode(&in_container(&folded)).unwrap();
    insta::assert_snapshot!(String::from_utf8(bytes.to_vec()).unwrap());
}

#[test]
fn d5_the_plain_line() {
    let folded = denied();
    let line = Text::plain().utc().encode(&in_container(&folded));
    insta::assert_snapshot!(String::from_utf8(line.to_vec()).unwrap());
}

#[test]
fn b14_the_coloured_line() {
    let folded = denied();
    let line = |record: &LogRecord<'_>| String::from_utf8(encode(Encoding::Color, record)).unwrap();
    let args = "dir_fd=\"AT_FDCWD\", pathname=\"/etc/shadow\", flags=[\"O_RDONLY\"]";
    let call = format!("[\x1b[4mcat\x1b[0m] sys_openat({args}) err=\x1b[31mEACCES\x1b[0m ses=4000");
    assert_eq!(line(&record(&folded)), format!("\x1b[1m<-.-.->:\x1b[0m {call}"));
    assert_eq!(line(&in_container(&folded)), format!("\x1b[1m<web.web-0.->:\x1b[0m {call}"));
}

proptest! {
    #[test]
    fn any_record_is_the_same_in_every_form(
        number in 0u32..500,
        errno in 1u32..140,
        comm in proptest::collection::vec(any::<u8>(), 0..=16),
        registers: [u64; 6],
        memory in proptest::collection::vec(any::<u8>(), 0..600),
        trace in trace::any_trace(),
    ) {
        let plan = crate::syscall::capture(Abi::X86_64, number);
        let strings: Vec<(usize, &[u8])> =
            (0..6).filter(|index| plan.strings & 1 << index != 0).map(|index| (index, &memory[..])).collect();
        let folded = folded(Event::Call(event(&ring_record(number, errno, &comm, registers, &strings))));
        check_all_forms(&record(&folded));
        check_all_forms(&LogRecord { trace, ..in_container(&folded) });
    }
}
