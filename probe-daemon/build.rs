//! Embeds the BPF object into the daemon.
//!
//! In: `PROBE_EBPF_OBJECT`, the object that `cargo xtask build` made. Out: `bpf-object` in `OUT_DIR`, without its DWARF, which
//! is two thirds of it and which nobody reads: the verifier's log names lines by the BTF. An empty one where the variable is
//! not set, so that a plain `cargo build` needs no BPF tools. A daemon with the empty object refuses to run.

use std::{env, error::Error, fs, path::PathBuf};

use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=PROBE_EBPF_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("bpf-object");
    let Some(object) = env::var_os("PROBE_EBPF_OBJECT").map(PathBuf::from) else {
        return Ok(fs::write(out, b"")?);
    };
    println!("cargo::rerun-if-changed={}", object.display());
    Ok(fs::write(out, without_dwarf(&fs::read(object)?)?)?)
}

/// The same object without the sections of DWARF and their relocations.
fn without_dwarf(object: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut object = Builder::read(object)?;
    for section in &mut object.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    // Their symbols.
    object.delete_orphans();
    // LLVM has one table for the names of sections and of symbols, which `object` writes as two.
    let names = object.sections.add();
    names.name = ".shstrtab".into();
    (names.sh_type, names.data) = (SHT_STRTAB, SectionData::SectionString);
    let mut bytes = Vec::new();
    object.write(&mut bytes)?;
    Ok(bytes)
}
