//! `encoding = "gala"`: what gala-gopher's own probes write, for programs that read theirs.
//!
//! In: a record. Out: one JSON object: time in milliseconds as a number, an entity and a metric, labels as texts. It has
//! room for less than the other forms, and its sentence is at most 511 bytes long.

use bytes::Bytes;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::record::{LogRecord, cut, resource::Resource};

/// Most bytes of a body.
const BODY_LEN: usize = 511;
/// Most bytes of the id of an entity.
const ENTITY_ID_LEN: usize = 254;
/// Hexadecimal digits of a container's id that its label has.
const CONTAINER_ID_LEN: usize = 12;

/// Encodes records of one host.
pub struct Gala {
    /// `<system uuid>-<address>`.
    host: String,
    zone: TimeZone,
}

impl Gala {
    /// An encoder for records of this host, with times in its time zone.
    pub fn new(resource: &Resource) -> Self {
        let uuid = resource.system_uuid.as_deref().or(resource.host_id.as_deref()).unwrap_or_default();
        let address = resource.address.map(|address| address.to_string()).unwrap_or_default();
        Self { host: format!("{uuid}-{address}"), zone: TimeZone::system() }
    }

    /// The same in UTC, whatever the host's time zone.
    #[cfg(test)]
    pub fn utc(self) -> Self {
        Self { zone: TimeZone::UTC, ..self }
    }

    /// One object.
    ///
    /// # Errors
    /// None is known: every part is a text or a number.
    pub fn encode(&self, record: &LogRecord<'_>) -> serde_json::Result<Bytes> {
        let milliseconds = record.timestamp / 1_000_000;
        let entity = Entity::of(record);
        let entity_id = clean(&format!("{}_{}_{}", self.host, entity.kind, entity.id));
        let event_id = format!("{milliseconds}_{entity_id}");
        let severity = record.said.severity;
        let time = Timestamp::from_nanosecond(record.timestamp.into()).unwrap_or_default();
        // As asctime(3) writes it, without its newline.
        let time = time.to_zoned(self.zone.clone()).strftime("%a %b %e %H:%M:%S %Y").to_string();
        let body = format!("{time} {} Entity({entity_id}) {}", severity.text(), entity.text);
        let resource =
            |key| record.resource.iter().find(|(own, _)| *own == key).map_or("", |(_, value)| value.as_str());
        let container = resource("container.id");
        let document = Document {
            timestamp: milliseconds,
            event_id: &event_id,
            attributes: Attributes { entity_id: &entity_id, event_id: &event_id, event_type: "sys" },
            resource: Labelled {
                metric: format!("gala_gopher_{}_{}", entity.kind, entity.metric),
                labels: Labels {
                    host: &self.host,
                    pid: &record.shown("process.pid"),
                    comm: &record.shown("thread.name"),
                    ip: "",
                    container_id: container.get(..CONTAINER_ID_LEN).unwrap_or(container),
                    pod: resource("k8s.pod.name"),
                    device: "",
                },
            },
            severity_text: severity.text(),
            severity_number: severity.number(),
            body: &cut(&body, BODY_LEN),
        };
        Ok(serde_json::to_vec(&document)?.into())
    }
}

/// What a record is about, in gala-gopher's words.
struct Entity {
    kind: &'static str,
    id: String,
    metric: &'static str,
    text: String,
}

impl Entity {
    fn of(record: &LogRecord<'_>) -> Self {
        let shown = |key| record.shown(key);
        let (pid, tid, comm) = (shown("process.pid"), shown("thread.id"), shown("thread.name"));
        let body = || record.said.body.clone();
        let process = |metric, text| Self { kind: "proc", id: pid.clone().into_owned(), metric, text };
        match record.said.event_name {
            "gala_gopher.sched.offcpu_stall" => {
                let by = (
                    shown("gala_gopher.offcpu.preempted_by.comm"),
                    shown("gala_gopher.offcpu.preempted_by.pid"),
                );
                let text = match by {
                    // Nobody took the CPU from one who waits for a disk.
                    (_, by) if by.is_empty() => body(),
                    (name, by) => format!(
                        "Process(COMM:{comm} TID:{tid}) is preempted(COMM:{name} PID:{by}) and off-CPU {} ns.",
                        shown("gala_gopher.offcpu.duration_ns")
                    ),
                };
                Self { kind: "thread", id: tid.clone().into_owned(), metric: "off_cpu_ns", text }
            }
            "gala_gopher.oom.kill" => process("oom_kill", body()),
            "gala_gopher.process.abnormal_exit" => process("abnormal_exit", body()),
            _ if record.get("gala_gopher.syscall.number").is_some() => {
                let text = format!(
                    "Process(COMM:{comm} PID:{pid}) syscall failed(SysCall-ID:{} RET:{} COUNT:{}).",
                    shown("gala_gopher.syscall.number"),
                    shown("gala_gopher.syscall.return"),
                    shown("gala_gopher.occurrences")
                );
                process("syscall_failed", text)
            }
            _ if pid.is_empty() => {
                Self { kind: "host", id: "event".to_owned(), metric: "event", text: body() }
            }
            _ => process("event", body()),
        }
    }
}

/// The characters that an id may have; every other one becomes `:`.
fn clean(id: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_:.@()+,=;$!*'%-".contains(c);
    id.chars().map(|c| if legal(c) { c } else { ':' }).take(ENTITY_ID_LEN).collect()
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "Timestamp")]
    timestamp: u64,
    event_id: &'a str,
    #[serde(rename = "Attributes")]
    attributes: Attributes<'a>,
    #[serde(rename = "Resource")]
    resource: Labelled<'a>,
    #[serde(rename = "SeverityText")]
    severity_text: &'a str,
    #[serde(rename = "SeverityNumber")]
    severity_number: u8,
    #[serde(rename = "Body")]
    body: &'a str,
}

#[derive(Serialize)]
struct Attributes<'a> {
    entity_id: &'a str,
    event_id: &'a str,
    event_type: &'a str,
}

#[derive(Serialize)]
struct Labelled<'a> {
    metric: String,
    labels: Labels<'a>,
}

#[derive(Serialize)]
struct Labels<'a> {
    #[serde(rename = "Host")]
    host: &'a str,
    #[serde(rename = "PID")]
    pid: &'a str,
    #[serde(rename = "COMM")]
    comm: &'a str,
    #[serde(rename = "IP")]
    ip: &'a str,
    #[serde(rename = "ContainerID")]
    container_id: &'a str,
    #[serde(rename = "POD")]
    pod: &'a str,
    #[serde(rename = "Device")]
    device: &'a str,
}
