//! What a record must say about a call: in come the call, how it went, and the record; out comes the first
//! difference.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::provoke::{Call, Made};
use tests::record::Record;
use tests::wait::PATIENCE;

/// How far the time of a record may be off the wall clock.
const CLOCK_ERROR: i128 = 10_000_000;

/// Makes a call and lets `arrives` wait for its record: what happened before it has arrived by then, or never
/// will. A busy host may lose that very record, so it is made again some times.
pub fn fence(mut arrives: impl FnMut(&Made, Duration) -> Result<()>) -> Result<()> {
    let mut last = Ok(());
    for _ in 0..6 {
        let made = Call::fence().make()?;
        last = arrives(&made, PATIENCE / 6);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Checks one record against the call that it is about.
pub fn expect(call: &Call, made: &Made, record: &Record) -> Result<()> {
    compare(call, made, record).with_context(|| format!("{} {}: {}", call.name, call.errno.1, record.0))
}

fn compare(call: &Call, made: &Made, record: &Record) -> Result<()> {
    let (errno, error) = (call.errno.0, call.errno.1.as_str());
    // A number without a name is shown as such.
    let name = if call.name.is_empty() { format!("syscall_{}", call.number) } else { call.name.clone() };
    let is = |key: &str, value: Value| {
        ensure!(*record.attribute(key) == value, "{key} is {}, not {value}", record.attribute(key));
        Ok(())
    };
    is("gala_gopher.syscall.name", name.clone().into())?;
    is("gala_gopher.syscall.number", call.number.into())?;
    is("gala_gopher.syscall.errno", errno.into())?;
    is("gala_gopher.syscall.return", (-errno).into())?;
    is("error.type", error.into())?;
    is("process.pid", made.pid.into())?;
    is("process.vpid", call.who.vpid.unwrap_or(made.pid).into())?;
    is("process.user.id", call.who.uid.into())?;
    is("thread.id", made.pid.into())?;
    if let Some(comm) = &call.who.comm {
        is("thread.name", String::from_utf8_lossy(&comm[..comm.len().min(15)]).into())?;
    }
    is("event.name", record.top("EventName").clone())?;
    is("event.name", event_name(call).into())?;
    arguments(call, record)?;

    let time = record.time()?;
    ensure!(
        time >= made.before - CLOCK_ERROR && time <= made.after + CLOCK_ERROR,
        "its time is {time}, the call was made between {} and {}",
        made.before,
        made.after
    );
    let severity = [record.top("SeverityText"), record.top("SeverityNumber")];
    let wanted = wanted(call, record);
    ensure!(severity == [&json!(wanted.0), &json!(wanted.1)], "its severity is {severity:?}");
    for key in ["message", "cause", "solution"] {
        let text = record.attribute(&format!("gala_gopher.event.{key}")).as_str().unwrap_or_default();
        ensure!(text.len() > 10, "its {key} is {text:?}");
    }
    ensure!(record.attribute("event.id").is_u64(), "it has no event.id");
    let body = record.top("Body").as_str().context("Body is no text")?;
    ensure!(
        (call.name.starts_with("exec") || body.contains(&name)) && body.contains(error),
        "its Body is {body:?}"
    );
    shape(record)
}

fn arguments(call: &Call, record: &Record) -> Result<()> {
    let arguments = record.attribute("gala_gopher.syscall.args").as_object().context("no arguments")?;
    for shown in &call.shown {
        ensure!(arguments.values().any(|value| value == shown), "no argument is {shown}");
    }
    if let Some(path) = &call.path {
        let shown = record.attribute("file.path");
        ensure!(shown == path, "file.path is {shown}, not {path}");
    }
    if let Some((address, port)) = &call.peer {
        let shown = [record.attribute("network.peer.address"), record.attribute("network.peer.port")];
        ensure!(shown == [&json!(address), &json!(port)], "the peer is {shown:?}");
    }
    Ok(())
}

/// The family decides the name.
fn event_name(call: &Call) -> &'static str {
    match (call.name.as_str(), call.errno.1.as_str()) {
        ("execve" | "execveat", _) => "gala_gopher.exec.failure",
        (_, "EACCES" | "EPERM") => "gala_gopher.security.denied",
        _ => "gala_gopher.syscall.failure",
    }
}

/// Text and number of the severity.
fn wanted(call: &Call, record: &Record) -> (&'static str, i32) {
    let capability = record.attribute("gala_gopher.capability.name");
    let whole_host = ["CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_BPF"];
    match (call.name.as_str(), call.errno.1.as_str()) {
        (_, "EACCES" | "EPERM") if call.who.uid != 0 && whole_host.iter().any(|name| capability == name) => {
            ("ERROR", 17)
        }
        ("execve" | "execveat", "ENOEXEC" | "E2BIG") => ("ERROR", 17),
        ("execve", "ENOENT") if !record.attribute("gala_gopher.exec.interpreter").is_null() => ("WARN", 13),
        (_, "EIO" | "ENOSPC" | "EROFS" | "ENOMEM" | "EMFILE" | "ENFILE" | "EUCLEAN") => ("ERROR", 17),
        // What the built-in table leaves out, and a rule asked for all the same.
        ("openat" | "execve", "ENOENT" | "ENOTDIR") | ("ioctl", "ENOTTY") => ("INFO", 9),
        _ => ("WARN", 13),
    }
}

/// The members that gala-gopher's own documentation shows, with their types.
pub fn shape(record: &Record) -> Result<()> {
    for name in ["Timestamp", "SeverityText", "Body"] {
        ensure!(record.top(name).is_string(), "{name} is no text");
    }
    record.time()?;
    ensure!(record.top("SeverityNumber").is_u64(), "SeverityNumber is no number");
    let resource = record.top("Resource");
    let machine_id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    for name in ["host.machineid", "host.id"] {
        // A guest has no machine id, and then the record has none either.
        let wanted = match machine_id.trim() {
            "" => Value::Null,
            id => id.into(),
        };
        ensure!(resource[name] == wanted, "{name} is {}, not {wanted}", resource[name]);
    }
    ensure!(resource["host.hostname"].is_string() && resource["host.name"] == resource["host.hostname"]);
    ensure!(record.top("Attributes").is_object(), "Attributes is no object");
    let identifier = |name: &str, digits: usize| match record.top(name) {
        Value::Null => true,
        Value::String(hex) => hex.len() == digits && hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        _ => false,
    };
    ensure!(identifier("TraceId", 32) && identifier("SpanId", 16), "a trace identifier is not hexadecimal");
    Ok(())
}
