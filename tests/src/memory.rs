//! What a process holds. In: its id. Out: figures of its `/proc/PID/status`.

use std::fs;

use anyhow::{Context, Result};

/// KiB, from a line such as `VmHWM`.
pub fn kib(pid: i32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let figure =
        |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.strip_suffix(" kB")?.trim().parse());
    Ok(status.lines().find_map(figure).with_context(|| format!("no {name} of process {pid}"))??)
}
