//! Replays: in come stored events, out come records, errors by line, and exit codes. But for what is captured first, none
//! of it needs a kernel or root.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tests::daemon::{FileDaemon, binary, file_config, open_dir};
use tests::follow::Follower;
use tests::provoke::Call;
use tests::record::Record;
use tests::wait::PATIENCE;

/// Replays a text from standard input.
fn replay(text: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    command.args(["replay", "-"]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    // A replay that ended before it had read everything is told of by its exit code.
    writer.join().ok();
    Ok(output)
}

fn records(output: &Output) -> Result<Vec<Record>> {
    output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(Record::parse).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn openat() -> Value {
    json!({
        "syscall": {"nr": 257, "name": "sys_openat", "class": "file", "group": "file"},
        "pid": 4242, "tid": 4243, "container_pid": 7, "uid": 1000, "gid": 1000, "comm": "cat",
        "session": 4000, "container": null, "error": "ENOENT", "return": -2, "pid_ns": 1, "uts_ns": 2,
        "mount_ns": 3, "start": 5_000_000_000_u64, "finish": 5_000_000_000_u64,
        "args": {"dir_fd": "AT_FDCWD", "pathname": "README", "flags": ["O_RDONLY"]},
    })
}

fn raw() -> Value {
    let mut comm = b"kill".to_vec();
    comm.resize(16, 0);
    let mut buf = vec![0_u8; 640];
    (buf[0], buf[128]) = (77, 9);
    json!({
        "pid": 4243, "tid": 4242, "uid": 0, "gid": 0, "nr": 62, "ns_pid": 7, "start": 1, "finish": 1, "sid": 0,
        "pid_ns": 1, "uts_ns": 2, "mnt_ns": 3, "ipc_ns": 4, "cgr_ns": 5, "context_sw": 6, "error": 1,
        "ret": 4_294_967_295_u32, "comm": comm, "buf": buf,
    })
}

#[test]
fn stored_events_become_records_and_bad_lines_are_told() -> Result<()> {
    let text = format!("{}\n\n{{\"a\":1}}\n{}\nno JSON\n{}", openat(), raw(), openat());
    let output = replay(&text, &["--boot-time", "2026-11-20T18:00:00Z"])?;
    ensure!(output.status.code() == Some(65), "{output:?}");
    let (records, errors) = (records(&output)?, said(&output));
    ensure!(records.len() == 3, "{records:?}");
    for wanted in
        ["stdin:3: this is no event", "stdin:5: ", "3 records, 0 events dropped by rules, 2 bad lines"]
    {
        ensure!(errors.contains(wanted), "{wanted}: {errors}");
    }
    let first = &records[0];
    ensure!(*first.top("Timestamp") == "1795197605000000000", "{first:?}");
    ensure!(*first.top("EventName") == "gala_gopher.syscall.failure", "{first:?}");
    ensure!(
        *first.attribute("file.path") == "README" && *first.attribute("error.type") == "ENOENT",
        "{first:?}"
    );
    ensure!(first.pid() == 4242 && *first.attribute("thread.id") == 4243, "{first:?}");
    let second = &records[1];
    ensure!(*second.top("EventName") == "gala_gopher.security.denied", "{second:?}");
    ensure!(*second.argument("sig") == "SIGKILL" && *second.argument("pid") == 77, "{second:?}");
    Ok(())
}

#[test]
fn ids_of_a_trace_are_kept_and_wrong_ones_are_told() -> Result<()> {
    let (trace, span) = ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174");
    let with = |mut line: Value, names: [&str; 2], span: &str| {
        (line[names[0]], line[names[1]]) = (trace.into(), span.into());
        line
    };
    let upper = ["TraceId", "SpanId"];
    let none = replay(&openat().to_string(), &[])?;
    ensure!(records(&none)?[0].top("TraceId").is_null(), "a trace that nobody has given: {none:?}");
    let stored = records(&none)?.remove(0).0;
    let good =
        [with(openat(), ["trace_id", "span_id"], span), with(raw(), upper, span), with(stored, upper, span)];
    let bad = [with(openat(), upper, "eee19b7e"), with(good[2].clone(), upper, &"0".repeat(16))];
    let text: String = good.iter().chain(&bad).map(|line| format!("{line}\n")).collect();
    let output = replay(&text, &[])?;
    ensure!(output.status.code() == Some(65), "{output:?}");
    for line in ["stdin:4: SpanId: \"eee19b7e\" is no id", "stdin:5: SpanId: \"0000000000000000\" is no id"] {
        ensure!(said(&output).contains(line), "{line}: {}", said(&output));
    }
    let records = records(&output)?;
    ensure!(records.len() == good.len(), "{records:?}");
    for record in records {
        ensure!(*record.top("TraceId") == *trace && *record.top("SpanId") == *span, "{record:?}");
    }
    let otlp = replay(&good[2].to_string(), &["--encoding", "otlp_json"])?;
    let otlp: Value = serde_json::from_slice(&otlp.stdout)?;
    let otlp = &otlp["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    ensure!(otlp["traceId"] == *trace && otlp["spanId"] == *span, "{otlp}");
    Ok(())
}

#[test]
fn rules_and_filters_of_a_configuration_hold_for_a_replay() -> Result<()> {
    let dir = open_dir()?;
    let config = dir.path().join("gala-gopher.conf");
    let events = dir.path().join("events");
    let id = {
        let output = replay(&raw().to_string(), &[])?;
        records(&output)?[0].attribute("event.id").clone()
    };
    fs::write(
        &config,
        file_config(&events, "[[event.syscall.rules]]\nerrnos = \"ENOENT\"\naction = \"drop\"\n"),
    )?;
    let config = config.to_str().context("a path")?;
    let text = format!("{}\n{}\n", openat(), raw());
    let output = replay(&text, &["--config", config])?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    ensure!(said(&output).contains("1 records, 1 events dropped by rules"), "{}", said(&output));
    let exclude = format!("logs.exclude={id}");
    let output = replay(&text, &["--config", config, "--set", &exclude])?;
    ensure!(output.status.code() == Some(0) && said(&output).contains("filtered=1"), "{output:?}");
    let mut follower = Follower::new(&events);
    follower.poll()?;
    ensure!(follower.records.len() == 1, "{:?}", follower.records);
    let output = replay(&text, &["--config", config, "--set", "logs.include=7"])?;
    ensure!(
        output.status.code() == Some(78) && said(&output).contains("no event has the number 7"),
        "{output:?}"
    );
    Ok(())
}

#[test]
fn a_program_that_was_not_found_is_no_miss_where_nobody_knows_why() -> Result<()> {
    let dir = open_dir()?;
    let mut exec = openat();
    exec["syscall"] = json!({"nr": 59, "name": "sys_execve", "class": "process", "group": "process"});
    exec["args"] = json!({"filename": "/opt/app", "argv": null, "envp": null});
    let text = exec.to_string();
    to_files(&text, dir.path(), &[])?;
    let records = file(dir.path(), "gopher_event")?;
    let [record] = &records[..] else { bail!("{records:?}") };
    ensure!(*record.top("EventName") == "gala_gopher.exec.failure", "{record:?}");
    ensure!(
        *record.attribute("file.path") == "/opt/app" && *record.attribute("error.type") == "ENOENT",
        "{record:?}"
    );
    // A rule still drops it.
    let output = to_files_with(
        &text,
        dir.path(),
        "[[event.syscall.rules]]\nsyscalls = [\"execve\"]\naction = \"drop\"\n",
        &[],
    )?;
    ensure!(said(&output).contains("0 records, 1 events dropped by rules"), "{}", said(&output));
    Ok(())
}

#[test]
fn a_record_that_was_captured_stored_and_replayed_is_the_same() -> Result<()> {
    let mut probe = FileDaemon::start("")?;
    let made = Call::fence().make()?;
    probe.events.wait_for(made.pid, PATIENCE)?;
    let stored = probe.dir.path().join("events").join("gopher_event");
    probe.daemon.stop()?;
    // The follower gives space back as it reads: it has the records, and the file no longer has all of them.
    let stored_records = probe.events.records.clone();
    ensure!(stored.exists(), "no file");
    let text: String = stored_records.iter().map(|record| format!("{}\n", record.0)).collect();
    let again = replay(&text, &[])?;
    ensure!(again.status.code() == Some(0), "{again:?}");
    let without_observed = |record: &Record| {
        let mut document = record.0.clone();
        document["ObservedTimestamp"] = Value::Null;
        document
    };
    let before: Vec<_> = stored_records.iter().map(without_observed).collect();
    let after: Vec<_> = records(&again)?.iter().map(without_observed).collect();
    ensure!(before == after, "{before:?}\n{after:?}");
    // Of another host it is another record.
    let other = replay(&text, &["--host-id", "h24", "--host-name", "node24"])?;
    for (before, after) in stored_records.iter().zip(records(&other)?) {
        ensure!(after.top("Resource")["host.id"] == "h24", "{after:?}");
        ensure!(after.top("Resource")["host.hostname"] == "node24", "{after:?}");
        ensure!(after.attribute("log.record.uid") != before.attribute("log.record.uid"), "{after:?}");
        ensure!(after.top("Body") == before.top("Body"), "{after:?}");
    }
    Ok(())
}

/// Replays into files, with these settings over the defaults of `[logs]`.
fn to_files(text: &str, dir: &Path, keys: &[&str]) -> Result<Output> {
    to_files_with(text, dir, "", keys)
}

/// The same with more in the configuration.
fn to_files_with(text: &str, dir: &Path, more: &str, keys: &[&str]) -> Result<Output> {
    let config = dir.join("gala-gopher.conf");
    fs::write(&config, file_config(&dir.join("events"), more))?;
    let keys = keys.iter().flat_map(|key| ["--set", key]);
    let arguments: Vec<&str> =
        ["--config", config.to_str().context("a path")?].into_iter().chain(keys).collect();
    let output = replay(text, &arguments)?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    Ok(output)
}

/// The records of a file, the oldest first.
fn file(dir: &Path, name: &str) -> Result<Vec<Record>> {
    let bytes = fs::read(dir.join("events").join(name)).with_context(|| name.to_owned())?;
    ensure!(bytes.ends_with(b"\n"), "{name} ends within a line");
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(Record::parse).collect()
}

#[test]
fn a11_a_full_file_rolls_and_a_torn_line_is_cut_away() -> Result<()> {
    let dir = open_dir()?;
    fs::create_dir(dir.path().join("events"))?;
    fs::write(dir.path().join("events/gopher_event"), "{\"torn\":")?;
    let count = 3000;
    let text = format!("{}\n", raw()).repeat(count);
    let output = to_files(&text, dir.path(), &["logs.max_size_mb=1", "logs.max_files=3"])?;
    ensure!(said(&output).contains("ended within a line"), "{}", said(&output));
    let mut names: Vec<_> = Vec::new();
    for entry in fs::read_dir(dir.path().join("events"))? {
        let entry = entry?;
        names.push(entry.file_name().into_string().unwrap_or_default());
        let metadata = entry.metadata()?;
        ensure!(metadata.len() <= 1 << 20, "{metadata:?}");
    }
    names.sort();
    ensure!(names == ["gopher_event", "gopher_event.1", "gopher_event.2"], "{names:?}");
    for name in &names {
        file(dir.path(), name)?;
    }
    Ok(())
}

#[test]
fn d10_a_burst_is_its_first_record_and_one_for_the_rest() -> Result<()> {
    let dir = open_dir()?;
    // One that the built-in rules report.
    let mut denied = openat();
    (denied["error"], denied["return"]) = ("EACCES".into(), (-13).into());
    let text = format!("{}{}\n", format!("{denied}\n").repeat(5), raw());
    let keys = ["logs.burst_filter=on", "logs.burst_window_ms=3600000"];
    let output = to_files(&text, dir.path(), &keys)?;
    let records = file(dir.path(), "gopher_event")?;
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            let number = |name: &str| record.attribute(name).as_u64().unwrap_or(0);
            (record.syscall(), number("gala_gopher.repetitions"), number("gala_gopher.occurrences"))
        })
        .collect();
    ensure!(told == [("openat", 0, 1), ("openat", 4, 4), ("kill", 0, 1)], "{told:?}");
    ensure!(said(&output).contains("delivered=3 delivered_events=6"), "{}", said(&output));
    Ok(())
}

#[test]
fn what_cannot_be_replayed_is_told() -> Result<()> {
    let output = Command::new(binary()?).args(["replay", "/no/such/file"]).output()?;
    ensure!(output.status.code() == Some(66) && said(&output).contains("/no/such/file"), "{output:?}");
    let output = replay("", &["--encoding", "xml"])?;
    ensure!(output.status.code() == Some(78) && said(&output).contains("event.encoding"), "{output:?}");
    let output = replay("", &[])?;
    ensure!(output.status.code() == Some(0) && output.stdout.is_empty(), "{output:?}");
    for encoding in ["gala", "otlp_json", "text", "color"] {
        let output = replay(&openat().to_string(), &["--encoding", encoding])?;
        ensure!(output.status.code() == Some(0) && output.stdout.ends_with(b"\n"), "{encoding}: {output:?}");
    }
    Ok(())
}
