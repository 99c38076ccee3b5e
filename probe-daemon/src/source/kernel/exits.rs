//! Reads which ends of processes the kernel side has folded.
//!
//! In: the table of ends, and which of its banks nobody counts in any more. Out: for each end that repeated, its first
//! occurrence and how many no ring record tells of.

use std::collections::HashMap;

use aya::{
    Ebpf,
    maps::{HashMap as Table, MapData},
};
use probe_common::{EXITS, EXITS_LEN, ExitKey, FoldedExit};
use tracing::warn;

use super::{Folding, KernelError, take_map};
use crate::{
    clock::Clock,
    event::{Event, Exit, Observation},
    meter::Meter,
};

/// The table, and what was read of it.
pub struct Exits {
    table: Table<MapData, ExitKey, FoldedExit>,
    /// What was told of ends that are not forgotten yet.
    told: HashMap<ExitKey, u64>,
}

impl Folding {
    /// Ends that may repeat at the same time.
    pub fn exits(self) -> u32 {
        self.entries.map_or(1, |entries| entries.clamp(1, EXITS_LEN))
    }
}

impl Exits {
    /// Takes the map.
    pub fn new(bpf: &mut Ebpf) -> Result<Self, KernelError> {
        let table = Table::try_from(take_map(bpf, EXITS)?)
            .map_err(|e| KernelError::refused("opening the table of ends", e))?;
        Ok(Self { table, told: HashMap::new() })
    }

    /// Takes what these banks have counted since they were read last, and forgets what the first has.
    pub fn harvest(
        &mut self,
        [first, second]: [u32; 2],
        meter: &Meter,
        repeats: &mut Vec<(Observation, u64)>,
    ) {
        // Programs add to the third bank meanwhile, which moves nothing of the others.
        let keys: Vec<ExitKey> = self.table.keys().filter_map(Result::ok).collect();
        let clock = Clock::now();
        for key in keys.into_iter().filter(|key| [first, second].contains(&key.bank)) {
            let folded = match self.table.get(&key, 0) {
                Ok(folded) => folded,
                Err(error) => {
                    warn!(%error, "repeated ends of processes cannot be read; they are reported later");
                    continue;
                }
            };
            let fresh = folded.count.saturating_sub(self.told.get(&key).copied().unwrap_or_default());
            if fresh > 0 {
                meter.folded.add(fresh);
                repeats.push((observation(&folded, &clock), fresh));
                self.told.insert(key, folded.count);
            }
            if key.bank == first {
                match self.table.remove(&key) {
                    Ok(()) => drop(self.told.remove(&key)),
                    Err(error) => warn!(%error, "repeated ends of processes cannot be forgotten"),
                }
            }
        }
    }
}

fn observation(folded: &FoldedExit, clock: &Clock) -> Observation {
    let (header, payload) = (&folded.record.header, &folded.record.payload);
    Observation { time: clock.wall(header.head.finish), event: Event::Exit(Exit::new(header, payload)) }
}
