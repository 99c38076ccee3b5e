//! Reads what the kernel side has folded.
//!
//! In: the fold map. Out: for each failure that repeated, one of its occurrences and how many no ring record tells
//! of. Every sweep begins a new generation, so that nobody adds to older entries any more; an older entry is read
//! now and once more a sweep later, before it is removed, in case a program was held up in between.

use std::collections::HashMap;

use aya::{
    Ebpf,
    maps::{Array, HashMap as Hash, MapData},
};
use probe_common::{CONTROL, Control, FOLD, FoldEntry, FoldKey, Kind};
use tracing::warn;

use super::{Folding, KernelError, array, take_map};
use crate::{
    clock::{Clock, boot_now},
    event::{Batch, Event, Observation},
    meter::Meter,
};

/// The fold map, and what was read of it.
pub struct Repeats {
    entries: Hash<MapData, FoldKey, FoldEntry>,
    control: Array<MapData, Control>,
    now: Control,
    /// What was told of entries that are still there.
    told: HashMap<FoldKey, u64>,
}

impl Repeats {
    /// Takes the maps and switches folding on or off.
    pub fn new(bpf: &mut Ebpf, folding: Folding) -> Result<Self, KernelError> {
        let entries =
            Hash::try_from(take_map(bpf, FOLD)?).map_err(|e| KernelError::refused("opening a map", e))?;
        let mut control = array(bpf, CONTROL)?;
        let now = Control { generation: 0, fold: u32::from(folding.entries.is_some()) };
        control.set(0, now, 0).map_err(|e| KernelError::refused("switching folding", e))?;
        Ok(Self { entries, control, now, told: HashMap::new() })
    }

    /// From now on failures are counted in new entries.
    pub fn begin_generation(&mut self) {
        self.now.generation = self.now.generation.wrapping_add(1);
        if let Err(error) = self.control.set(0, self.now, 0) {
            warn!(%error, "repeats cannot be read; they are counted and reported later");
        }
    }

    /// Takes what older generations have counted. Call it when programs that ran at their end have ended.
    pub fn harvest(&mut self, meter: &Meter) -> Batch {
        let clock = Clock::now();
        let mut repeats = Vec::new();
        let keys: Vec<FoldKey> = self.entries.keys().filter_map(Result::ok).collect();
        for key in keys.into_iter().filter(|key| key.generation != self.now.generation) {
            let Ok(entry) = self.entries.get(&key, 0) else { continue };
            let told = self.told.get(&key).copied();
            let fresh = entry.folded().saturating_sub(told.unwrap_or_default());
            if fresh > 0 {
                meter.folded.add(fresh);
                let kind = Kind::try_from(entry.header.tag).unwrap_or(Kind::Syscall);
                let event = Event::failure(kind, &entry.header, &entry.payload, [None; 6]);
                let time = clock.wall(entry.header.head.finish);
                repeats.push((Observation { time, event }, fresh));
            }
            if told.is_none() {
                self.told.insert(key, fresh);
                continue;
            }
            self.told.remove(&key);
            if let Err(error) = self.entries.remove(&key) {
                warn!(%error, "a folded failure cannot be forgotten");
            }
        }
        Batch::Repeats(repeats, boot_now())
    }
}
