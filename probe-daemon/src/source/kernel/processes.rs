//! The kernel side's tables of processes: filled once with those that there are, looked up later by whoever wants to know.
//!
//! In: ids of processes. Out: what fork and exec have noted of them.

use std::io::Read;

use aya::{
    Ebpf,
    maps::{HashMap, MapData},
    programs::{Iter, ProgramError},
};
use probe_common::{LIVING, PAST, PastKey, ProcessEntry};

use super::{KernelError, btf::Types, maps::Maps};
use crate::enrich::process::Table;

/// The program that visits every process.
const PROGRAM: &str = "process_iter";

/// The two tables.
pub struct Tables {
    living: HashMap<MapData, u32, ProcessEntry>,
    past: HashMap<MapData, PastKey, ProcessEntry>,
}

impl Tables {
    /// Takes the maps.
    pub fn new(bpf: &mut Ebpf) -> Result<Self, KernelError> {
        let refused = |e| KernelError::refused("opening a map", e);
        let living = HashMap::try_from(bpf.take(LIVING)?).map_err(refused)?;
        let past = HashMap::try_from(bpf.take(PAST)?).map_err(refused)?;
        Ok(Self { living, past })
    }
}

impl Table for Tables {
    fn living(&self, pid: u32) -> Option<ProcessEntry> {
        self.living.get(&pid, 0).ok()
    }

    fn past(&self, pid: u32, replaced: bool) -> Option<ProcessEntry> {
        self.past.get(&PastKey { tgid: pid, replaced: replaced.into() }, 0).ok()
    }
}

/// Notes the processes that there are. Begin when forks, execs and ends are noted already.
pub fn note(bpf: &mut Ebpf, types: &mut Types) -> Result<(), KernelError> {
    let missing = |e: ProgramError| KernelError::refused("the BPF object", e);
    let refused = |e: ProgramError| KernelError::refused("visiting the processes", e);
    let program: &mut Iter = bpf
        .program_mut(PROGRAM)
        .ok_or_else(|| missing(ProgramError::NotLoaded))?
        .try_into()
        .map_err(missing)?;
    if program.fd().is_err() {
        program.load("task", types.get()?).map_err(refused)?;
    }
    let link = program.attach().map_err(refused)?;
    let link = program.take_link(link).map_err(refused)?;
    let mut file = link.into_file().map_err(|e| KernelError::refused("visiting the processes", e))?;
    // The kernel visits them while the file is read; the program writes nothing into it.
    let mut nothing = [0; 8];
    while file.read(&mut nothing).map_err(|e| KernelError::refused("visiting the processes", e))? > 0 {}
    Ok(())
}
