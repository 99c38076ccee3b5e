//! OOM kills: a process outgrows the limit of a cgroup, or is chosen for the whole host.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::cgroup;
use tests::daemon::FileDaemon;
use tests::death::{Alive, Dead, Way, die};
use tests::memory;
use tests::record::Record;

const LIMIT: u64 = 48 << 20;

/// A cgroup with a limit and one inside without; gone with the test.
struct Nested {
    outer: PathBuf,
    inner: PathBuf,
}

impl Nested {
    fn new(name: &str) -> Result<Self> {
        let root = cgroup::root();
        let outer = root.join(format!("{name}-{}", std::process::id()));
        let inner = outer.join("inner");
        let write = |path: PathBuf, text: &str| {
            fs::write(&path, text).with_context(|| format!("cannot write {text:?} to {}", path.display()))
        };
        // Only version 1 has a hierarchy of its own for memory.
        if root.ends_with("memory") {
            fs::create_dir_all(&inner)?;
            write(outer.join("memory.limit_in_bytes"), &LIMIT.to_string())?;
        } else {
            write(root.join("cgroup.subtree_control"), "+memory")?;
            fs::create_dir(&outer)?;
            write(outer.join("cgroup.subtree_control"), "+memory")?;
            write(outer.join("memory.max"), &LIMIT.to_string())?;
            fs::create_dir(&inner)?;
        }
        Ok(Self { outer, inner })
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        for path in [&self.inner, &self.outer] {
            fs::remove_dir(path).ok();
        }
    }
}

/// The record of the kill and that of the end, in their order.
fn both<'a>(records: &'a [Record], dead: &Dead) -> Result<(&'a Record, &'a Record)> {
    let of = |name: &str| {
        let mut found = records.iter().enumerate().filter(move |(_, record)| {
            record.pid() == i64::from(dead.pid) && record.top("EventName") == name
        });
        let first = found.next().with_context(|| format!("no {name} of {dead:?}"))?;
        ensure!(found.next().is_none(), "two {name} of {dead:?}");
        Ok(first)
    };
    let (kill, end) = (of("gala_gopher.oom.kill")?, of("gala_gopher.process.abnormal_exit")?);
    ensure!(kill.0 < end.0, "the end comes before the kill");
    Ok((kill.1, end.1))
}

/// The end says that it was an OOM kill, and which.
fn joined(kill: &Record, end: &Record) -> Result<()> {
    ensure!(*end.attribute("gala_gopher.exit.cause") == "oom", "{end:?}");
    let id = kill.attribute("log.record.uid");
    ensure!(id.is_string() && end.attribute("gala_gopher.exit.cause.record") == id, "{kill:?} {end:?}");
    ensure!(*end.attribute("gala_gopher.exit.signal.name") == "SIGKILL", "{end:?}");
    let start = "process.creation.time";
    ensure!(kill.attribute(start) == end.attribute(start), "{kill:?} {end:?}");
    Ok(())
}

#[test]
fn a_kill_for_the_limit_of_an_outer_cgroup_is_told_and_joined() -> Result<()> {
    let cgroup = Nested::new("oom")?;
    let probe = FileDaemon::start("")?;
    let procs = CString::new(cgroup.inner.join("cgroup.procs").to_str().context("path")?)?;
    // Two at once come of the same name and the same end, and are no repeats of one another.
    let way = Way::Fill(2 * LIMIT as usize, procs);
    let inherited = memory::kib(std::process::id().cast_signed(), "RssAnon")?;
    let dead = [die("d-oom", &way)?, die("d-oom", &way)?];
    let id = fs::metadata(&cgroup.outer)?.ino();
    let (events, _) = probe.finish()?;
    for dead in &dead {
        ensure!(libc::WTERMSIG(dead.status) == libc::SIGKILL, "{dead:?}");
        let (kill, end) = both(&events.records, dead)?;
        joined(kill, end)?;
        ensure!(kill.top("SeverityNumber") == 21 && kill.top("SeverityText") == "FATAL", "{kill:?}");
        let outer = format!("/oom-{}", std::process::id());
        for (key, value) in [
            ("thread.name", json!("d-oom")),
            ("gala_gopher.oom.constraint", json!("memcg")),
            ("gala_gopher.oom.limit.bytes", json!(LIMIT)),
            ("gala_gopher.oom.limit.cgroup", json!(outer)),
            ("gala_gopher.oom.limit.cgroup_id", json!(id)),
            ("gala_gopher.oom.trigger.pid", json!(dead.pid)),
            ("gala_gopher.oom.trigger.name", json!("d-oom")),
            ("gala_gopher.oom.score_adj", json!(own_score_adj()?)),
            ("gala_gopher.cgroup.name", json!("inner")),
        ] {
            ensure!(*kill.attribute(key) == value, "{key} is not {value}: {kill:?}");
        }
        let kb = |name: &str| kill.attribute(&format!("gala_gopher.oom.{name}_kb")).as_u64().unwrap_or(0);
        let limit = LIMIT / 1024;
        // It was filling twice the limit; what it holds beside comes of its parent and is not charged to it.
        ensure!(kb("total_vm") >= 2 * limit, "{kill:?}");
        let anon_rss = kb("anon_rss");
        ensure!(anon_rss * 10 >= limit * 8 && anon_rss < 2 * limit + inherited, "{inherited}: {kill:?}");
        ensure!(kb("pgtables") > 0 && kb("pgtables") < limit, "{kill:?}");
        let body = kill.top("Body").as_str().unwrap_or_default();
        let start = format!("OOM kill (memcg {outer}, limit {limit} kB): d-oom[{}] uid=0", dead.pid);
        ensure!(body.starts_with(&start), "{body}");
    }
    Ok(())
}

fn own_score_adj() -> Result<i64> {
    Ok(fs::read_to_string("/proc/self/oom_score_adj")?.trim().parse()?)
}

/// Asks the kernel to kill the process that it finds worst (sysrq `f`). That must be ours.
#[test]
fn a_kill_for_the_whole_host_is_told_as_such() -> Result<()> {
    if !Path::new("/proc/sysrq-trigger").exists() {
        eprintln!("this kernel has no sysrq: it cannot be asked for a global OOM kill");
        return Ok(());
    }
    let probe = FileDaemon::start("")?;
    let child = Alive::start("d-global", &Way::Killed(0))?;
    let score = |pid: &str| -> Option<i64> {
        fs::read_to_string(format!("/proc/{pid}/oom_score")).ok()?.trim().parse().ok()
    };
    fs::write(format!("/proc/{}/oom_score_adj", child.pid()), "1000")?;
    let own = child.pid().to_string();
    let ours = score(&own).context("no score")?;
    let others = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let worst = others.filter(|name| *name != own).filter_map(|name| score(&name)).max().unwrap_or(0);
    if worst >= ours {
        child.signal(libc::SIGKILL)?;
        child.wait()?;
        eprintln!("another process of this host would be killed: no global OOM kill is asked for");
        return Ok(());
    }
    fs::write("/proc/sysrq-trigger", "f")?;
    let dead = child.wait()?;
    let (events, _) = probe.finish()?;
    let (kill, end) = both(&events.records, &dead)?;
    joined(kill, end)?;
    ensure!(kill.top("SeverityNumber") == 22 && kill.top("SeverityText") == "FATAL", "{kill:?}");
    ensure!(*kill.attribute("gala_gopher.oom.constraint") == "global", "{kill:?}");
    ensure!(kill.attribute("gala_gopher.oom.limit.bytes").is_null(), "{kill:?}");
    ensure!(*kill.attribute("gala_gopher.oom.score_adj") == 1000, "{kill:?}");
    let body = kill.top("Body").as_str().unwrap_or_default();
    ensure!(
        body.starts_with("OOM kill (global): d-global[") && body.ends_with("oom_score_adj=1000"),
        "{body}"
    );
    Ok(())
}
