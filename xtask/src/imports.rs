//! Import direction. In: the sources; out: findings, one a line. The tables here are the architecture in a
//! form that a machine checks: what may not know what, and why.

mod paths;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::lint;
use crate::toolchain;

/// In the daemon: a module (and all below it), the modules it may not name, and why.
struct Rule {
    from: &'static str,
    never: &'static [&'static str],
    because: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        from: "source",
        never: &["sink", "encode", "record", "pipeline", "run"],
        because: "left of the pipeline nobody knows what becomes of an observation",
    },
    Rule {
        from: "sink",
        never: &["source", "event", "pipeline", "run"],
        because: "right of the pipeline nobody knows where a record comes from",
    },
    Rule {
        from: "encode",
        never: &["source", "sink", "pipeline", "run"],
        because: "an encoding turns a record into bytes, whoever made it and whoever sends it",
    },
    Rule {
        from: "record",
        never: &["source", "sink", "encode", "pipeline", "run"],
        because: "a record is a pure function of an event",
    },
    Rule {
        from: "event",
        never: &["source", "sink", "encode", "record", "pipeline", "run"],
        because: "every stage speaks of events, so an event can know none of them",
    },
    Rule {
        from: "enrich",
        never: &["source", "sink", "encode", "record", "pipeline", "run"],
        because: "who a process is does not depend on who asks",
    },
    Rule {
        from: "config",
        never: &["source", "sink", "encode", "record", "event", "pipeline", "run"],
        because: "the configuration is read before there is a flow, also where none ever starts (check)",
    },
    Rule {
        from: "catalogue",
        never: &["source", "sink", "encode", "event", "pipeline", "run"],
        because: "what is said of a record follows from its attributes alone",
    },
    Rule {
        from: "pipeline",
        never: &["source", "run"],
        because: "it takes observations out of a channel, whoever put them in",
    },
    Rule {
        from: "policy",
        never: &["source", "sink", "encode", "record", "event", "pipeline", "run"],
        because: "what is captured follows from the configuration alone",
    },
    Rule {
        from: "syscall",
        never: &["source", "sink", "encode", "record", "event", "pipeline", "run", "config"],
        because: "names and numbers of the kernel's interface depend on nothing of ours",
    },
    Rule {
        from: "spool",
        never: &["source", "sink", "encode", "record", "event", "pipeline", "run", "config", "meter"],
        because: "it keeps bytes for whoever asks, and is tested without any of them",
    },
    Rule {
        from: "meter",
        never: &["source", "sink", "encode", "record", "event", "pipeline", "run"],
        because: "counters are written by every stage and know none",
    },
];

/// Each crate, and the crates of this workspace it may depend on.
const CRATES: &[(&str, &[&str])] = &[
    ("probe-common", &[]),
    ("probe-ebpf", &["probe-common"]),
    ("probe-daemon", &["probe-common"]),
    // The whole-daemon tests see what a user sees: a program, not a library.
    ("tests", &[]),
    ("xtask", &[]),
];

/// Crates that lay out no bytes for the kernel side or the user side: probe-common alone does.
const NO_LAYOUT: &[&str] = &["probe-ebpf", "probe-daemon"];

/// All findings in the repository at `root`.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = crates(&metadata()?)?;
    for path in lint::sources(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        findings.extend(file(&name, &text));
    }
    Ok(findings)
}

fn metadata() -> Result<String> {
    let mut cargo = toolchain::cargo();
    cargo.args(["metadata", "--format-version", "1", "--no-deps"]);
    crate::run::capture(cargo)
}

/// Findings in the output of `cargo metadata`.
fn crates(metadata: &str) -> Result<Vec<String>> {
    let metadata: serde_json::Value = serde_json::from_str(metadata).context("cargo metadata is no JSON")?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let mut findings = Vec::new();
    for package in list(&metadata["packages"]) {
        let name = text(&package["name"]);
        let Some((_, allowed)) = CRATES.iter().find(|(known, _)| *known == name) else {
            findings.push(format!("{name}: a new crate; say in xtask/src/imports.rs what it may depend on"));
            continue;
        };
        // Only the crates of this workspace are depended on by path.
        let ours = list(&package["dependencies"]).into_iter().filter(|it| it["path"].is_string());
        for dependency in ours.map(|it| text(&it["name"])).filter(|it| !allowed.contains(&it.as_str())) {
            findings.push(format!("{name}: may not depend on {dependency}"));
        }
    }
    Ok(findings)
}

/// Findings in one file; `name` is its path from the repository's root.
fn file(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let Some((package, inside)) = name.split_once("/src/") else { return findings };
    // The spool lays out bytes for the disk, which is no kernel's business.
    if NO_LAYOUT.contains(&package) && !inside.starts_with("spool/") {
        let layouts = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("#[repr(C"));
        findings.extend(layouts.map(|(index, _)| {
            format!("{name}:{}: only probe-common lays out bytes for kernel and user space", index + 1)
        }));
    }
    if package != "probe-daemon" {
        return findings;
    }
    let module: Vec<&str> = match inside.trim_end_matches(".rs") {
        "lib" | "main" => Vec::new(),
        path => path.split('/').collect(),
    };
    for rule in RULES.iter().filter(|rule| module.first() == Some(&rule.from)) {
        for (line, target) in paths::named(text, &module) {
            if rule.never.contains(&target.as_str()) {
                let (from, because) = (rule.from, rule.because);
                findings.push(format!("{name}:{line}: {from} may not name {target}: {because}"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_names_a_source_is_found() {
        let found = file("probe-daemon/src/sink/kafka.rs", "//! x\nuse crate::{meter::M, source::kernel};\n");
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("probe-daemon/src/sink/kafka.rs:2: sink may not name source"),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_allowed_is_let_through() {
        assert!(file("probe-daemon/src/run.rs", "use crate::{sink, source};").is_empty());
        assert!(file("probe-daemon/src/sink/file.rs", "use super::Sink; // crate::source\n").is_empty());
        assert!(file("tests/src/lib.rs", "use crate::source;\n#[repr(C)]\nstruct A;").is_empty());
    }

    #[test]
    fn layout_outside_probe_common_is_found() {
        assert!(
            file("probe-ebpf/src/emit.rs", "//! x\n#[repr(C, packed)]\nstruct A;")[0].contains("emit.rs:2")
        );
        assert!(file("probe-common/src/raw.rs", "#[repr(C)]\nstruct A;").is_empty());
    }

    #[test]
    fn crates_depend_in_one_direction() {
        let metadata = r#"{"packages": [
            {"name": "probe-ebpf", "dependencies": [{"name": "probe-common", "path": "/x"}, {"name": "aya-ebpf"}]},
            {"name": "probe-common", "dependencies": [{"name": "probe-daemon", "path": "/x"}]},
            {"name": "novelty", "dependencies": []}]}"#;
        let found = crates(metadata).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], "probe-common: may not depend on probe-daemon");
        assert!(found[1].starts_with("novelty:"));
    }
}
