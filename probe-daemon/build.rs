//! Embeds the BPF object into the daemon.
//!
//! In: `PROBE_EBPF_OBJECT`, the object that `cargo xtask build` made. Out: `bpf-object` in `OUT_DIR`; an empty
//! one where the variable is not set, so that a plain `cargo build` needs no BPF tools. A daemon with the empty
//! object refuses to run.

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=PROBE_EBPF_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("bpf-object");
    match env::var_os("PROBE_EBPF_OBJECT") {
        Some(object) => {
            let object = PathBuf::from(object);
            println!("cargo::rerun-if-changed={}", object.display());
            fs::copy(&object, out).map(drop)
        }
        None => fs::write(out, b""),
    }
}
