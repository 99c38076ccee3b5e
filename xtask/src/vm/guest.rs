//! One guest. In: a kernel, an initramfs and a disk; out: what it printed, and the exit code of its tests.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::run;

/// How long a guest may take from power on to power off.
const LIMIT: Duration = Duration::from_secs(3600);
/// What its first process says at the end, before the exit code.
const MARKER: &str = "guest: tests ended with ";

/// Makes the disk of the guests, with a file system that a test may freeze: that of the initramfs cannot be. The kernels
/// have drivers for both built in.
pub fn disk(image: &Path) -> Result<()> {
    fs::File::create(image)?.set_len(16 << 20)?;
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F"]).arg(image);
    run::capture(mkfs).map(|_| ())
}

/// Boots and waits. The guest's processors are emulated: that works on every machine, also in a guest.
pub fn boot(series: &str, kernel: &Path, initramfs: &Path, disk: &Path) -> Result<(i32, String)> {
    let mut qemu = Command::new("qemu-system-x86_64");
    // Both CPUs in one thread: with a thread each, one may still run an instruction that the other has patched when a
    // tracepoint is attached, and the guest dies of an int3 that is no longer there.
    qemu.args(["-accel", "tcg,thread=single", "-cpu", "max", "-m", "1024", "-smp", "2"]);
    qemu.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nodefaults"]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    // What a guest writes to the disk is forgotten, so that all guests can share it.
    let drive = format!("if=none,id=disk,format=raw,snapshot=on,file={}", disk.display());
    qemu.args(["-drive", &drive, "-device", "nvme,drive=disk,serial=disk"]);
    // After a panic it ends at once, as `-no-reboot` turns the reboot into an end.
    qemu.args(["-append", "console=ttyS0 quiet panic=-1"]);
    let (_, said) = run::tee(qemu, &format!("{series} | "), Some(LIMIT))?;
    let said = said.replace('\r', "");
    let exit = exit_code(&said).context("the guest ended without a result: its kernel or its init failed")?;
    Ok((exit, said))
}

fn exit_code(said: &str) -> Option<i32> {
    said.lines().rev().find_map(|line| line.split_once(MARKER)?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_is_found_behind_other_words() {
        assert_eq!(
            exit_code("x\nlast wordguest: tests ended with 101\n[ 5.1] reboot: Power down\n"),
            Some(101)
        );
        assert_eq!(exit_code("Kernel panic"), None);
    }
}
