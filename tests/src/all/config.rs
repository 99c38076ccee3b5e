//! Configurations: in come good and broken files, out come the effective configuration, or every error with
//! its line, its key and what would be right.

use std::fs;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use tests::daemon::{binary, open_dir};

/// Runs `probe-daemon check` on a text.
fn check(text: &str, more: &[&str]) -> Result<Output> {
    run(&["check"], text, more)
}

fn run(before: &[&str], text: &str, more: &[&str]) -> Result<Output> {
    let dir = open_dir()?;
    let path = dir.path().join("gala-gopher.conf");
    fs::write(&path, text)?;
    Ok(Command::new(binary()?).args(before).arg("--config").arg(&path).args(more).output()?)
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A good stanza in three lines; what is broken follows it from line 4 on.
const GOOD: &str = "[[probes]]\nname = \"event\"\nswitch = \"on\"\n";

#[test]
fn every_broken_configuration_is_refused_with_line_key_and_hint() -> Result<()> {
    // What follows the good stanza; the line of the error; the key; a word of what would be right.
    let broken: [(&str, usize, &str, &str); 18] = [
        ("[event]\nout_channel = \"kafak\"\n", 5, "out_channel", "kafka"),
        ("[event]\nout_chanel = \"kafka\"\n", 5, "out_chanel", "out_channel"),
        ("[event]\ntimeout = \"long\"\n", 5, "timeout", "seconds"),
        ("[event]\ntimeout = -1\n", 5, "timeout", "0"),
        ("[event]\nencoding = \"xml\"\n", 5, "encoding", "json"),
        ("[event]\nkafka_topic = \"a topic\"\n", 5, "kafka_topic", "letters"),
        ("[kafka]\nbatch_num_messages = 0\n", 5, "batch_num_messages", "1"),
        ("[kafka]\ncompression_codec = \"rar\"\n", 5, "compression_codec", "zstd"),
        ("[kafka]\nkafka_broker = \"localhost:70000\"\n", 5, "kafka_broker", "port"),
        ("[kafka]\nkafka_broker = \"\"\n", 5, "kafka_broker", "host:port"),
        ("[logs]\nevent_dir = \"relative/folder\"\n", 5, "event_dir", "/"),
        ("[global]\nlog_level = \"loud\"\n", 5, "log_level", "info"),
        ("[[event.syscall.rules]]\nsyscalls = [\"opennat\"]\n", 5, "syscalls", "openat"),
        ("[[event.syscall.rules]]\nerrnos = [\"ENOENTT\"]\n", 5, "errnos", "ENOENT"),
        ("[[event.syscall.rules]]\naction = \"ignore\"\n", 5, "action", "drop"),
        ("[[event.syscall.rules]]\nseverity = \"BAD\"\n", 5, "severity", "WARN"),
        ("[evnet]\nout_channel = \"kafka\"\n", 4, "evnet", "event"),
        ("[event]\ntimeout = 600\ntimeout = 700\n", 6, "timeout", "twice"),
    ];
    let mut wrong = Vec::new();
    for (text, line, key, hint) in broken {
        let text = format!("{GOOD}{text}");
        for before in [["check"].as_slice(), &[]] {
            let output = run(before, &text, &[])?;
            let stderr = said(&output.stderr);
            let place = format!("gala-gopher.conf:{line}:");
            let errors: Vec<&str> = stderr.lines().filter(|line| line.contains(&place)).collect();
            let found = errors.iter().any(|line| line.contains(key) && line.contains(hint));
            // A TOML parser's own words for a key that is given twice are as good as ours.
            let found = found || (hint == "twice" && errors.iter().any(|line| line.contains("duplicate")));
            if output.status.code() != Some(78) || !found {
                let code = output.status.code();
                wrong.push(format!(
                    "{key} {before:?}: exit {code:?}, wanted {place} {key} … {hint}: {stderr}"
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn broken_stanzas_and_files_are_refused() -> Result<()> {
    let broken = [
        ("[[probes]]\nname = \"event\"\nswitch = \"maybe\"\n", 3, "switch"),
        ("[[probes]]\nname = \"event\"\nswitch = \"on\"\ninterval = 0\n", 4, "interval"),
        ("[[probes]]\nswitch = \"on\"\n", 1, "name"),
        ("[[probes]]\nname = \"event\nswitch = \"on\"\n", 2, "quote"),
        ("probes = (\n{ name = \"event\"; switch = \"on\"; interval = five; } );\n", 2, "interval"),
    ];
    for (text, line, word) in broken {
        let output = check(text, &[])?;
        let stderr = said(&output.stderr);
        ensure!(output.status.code() == Some(78), "{text}: {:?}: {stderr}", output.status);
        ensure!(stderr.contains(&format!("gala-gopher.conf:{line}:")), "{text}: no line {line}: {stderr}");
        ensure!(stderr.contains(word), "{text}: no {word}: {stderr}");
    }
    let missing =
        Command::new(binary()?).args(["check", "--config", "/nowhere/gala-gopher.conf"]).output()?;
    let stderr = said(&missing.stderr);
    ensure!(missing.status.code() == Some(78) && stderr.contains("/nowhere/gala-gopher.conf"), "{stderr}");
    Ok(())
}

#[test]
fn all_errors_are_told_at_once() -> Result<()> {
    let text = format!(
        "{GOOD}[event]\nout_channel = \"x\"\ntimeout = \"y\"\n[[event.syscall.rules]]\nsyscalls = [\"z\"]\n\
         [kafka]\nbatch_num_messages = 0\n"
    );
    let output = check(&text, &[])?;
    let stderr = said(&output.stderr);
    for line in [5, 6, 8, 10] {
        ensure!(stderr.contains(&format!("gala-gopher.conf:{line}:")), "line {line} is missing: {stderr}");
    }
    Ok(())
}

#[test]
fn check_prints_what_a_file_comes_to() -> Result<()> {
    let text = format!(
        "{GOOD}[event]\nout_channel = \"logs\"\n[kafka]\npassword = \"hidden\"\nusername = \"probe\"\n"
    );
    let output = check(&text, &["--set", "kafka.kafka_broker=10.0.0.5:9093", "--set", "event.timeout=60"])?;
    let stdout = said(&output.stdout);
    ensure!(output.status.code() == Some(0), "{output:?}");
    for line in [
        "kafka_broker = \"10.0.0.5:9093\"",
        "timeout = 60",
        "kafka_topic = \"gala-gopher-event\"",
        "interval = 5",
    ] {
        ensure!(stdout.contains(line), "no {line}: {stdout}");
    }
    ensure!(stdout.contains("EAGAIN"), "the built-in table is not told: {stdout}");
    ensure!(!stdout.contains("hidden"), "the password is told: {stdout}");
    // What it prints is a configuration of the same meaning.
    let again = check(&stdout, &["--set", "kafka.password=hidden"])?;
    ensure!(again.status.code() == Some(0), "its own output is refused: {}", said(&again.stderr));
    ensure!(said(&again.stdout) == stdout, "its own output means something else");
    Ok(())
}

#[test]
fn a12_the_stanza_of_gala_gophers_document_is_a_configuration() -> Result<()> {
    let stanza = "    {\n        name = \"event\";\n        switch = \"on\";\n        interval = 5;\n    }\n";
    let whole = format!("probes =\n(\n{stanza}    );\n");
    let toml = "[[probes]]\nname = \"event\"\nswitch = \"on\"\ninterval = 5\n";
    let outputs = [stanza, &whole, toml].map(|text| check(text, &[]));
    let mut effective = Vec::new();
    for output in outputs {
        let output = output?;
        ensure!(output.status.code() == Some(0), "{output:?}");
        effective.push(said(&output.stdout));
    }
    ensure!(
        effective[0].contains("switch = \"on\"") && effective[0].contains("interval = 5"),
        "{}",
        effective[0]
    );
    ensure!(effective[0] == effective[2] && effective[1] == effective[2], "the three differ: {effective:?}");
    Ok(())
}

#[test]
fn sections_of_other_probes_are_accepted_and_named() -> Result<()> {
    let text = format!(
        "{GOOD}[[probes]]\nname = \"tcp\"\nswitch = \"on\"\n[metric]\nout_channel = \"web_server\"\n"
    );
    let output = check(&text, &[])?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    ensure!(said(&output.stdout).contains("metric"), "metric is not named: {output:?}");
    Ok(())
}
