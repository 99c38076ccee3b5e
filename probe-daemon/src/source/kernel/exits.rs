//! Reads which ends of processes the kernel side has folded.
//!
//! In: the table of ends, and which of its banks nobody counts in any more. Out: for each end that repeated, its first
//! occurrence and how many no ring record tells of.

use aya::maps::{HashMap, MapData, MapError};
use probe_common::{EXITS, EXITS_LEN, EXITS_TOLD, ExitKey, FoldedExit};
use tracing::warn;

use super::{Folding, KernelError, ledger::Ledger, maps::Maps};
use crate::{
    clock::Clock,
    event::{Event, Exit, Observation},
    meter::Meter,
};

/// The table, and what was read of it.
pub struct Exits {
    table: HashMap<MapData, ExitKey, FoldedExit>,
    /// What was taken of ends that are not forgotten yet.
    told: HashMap<MapData, ExitKey, u64>,
    ledger: Ledger,
}

impl Folding {
    /// Ends that may repeat at the same time.
    pub fn exits(self) -> u32 {
        self.entries.map_or(1, |entries| entries.clamp(1, EXITS_LEN))
    }
}

impl Exits {
    /// Takes the maps, and goes on as they are.
    pub fn new(maps: &mut impl Maps, ledger: Ledger) -> Result<Self, KernelError> {
        let refused = |e| KernelError::refused("opening the table of ends", e);
        let table = HashMap::try_from(maps.take(EXITS)?).map_err(refused)?;
        let told = HashMap::try_from(maps.take(EXITS_TOLD)?).map_err(refused)?;
        Ok(Self { table, told, ledger })
    }

    /// Mends what an earlier daemon left half done; how many occurrences earlier daemons have taken of ends that are not
    /// forgotten.
    pub fn inherit(&mut self) -> Result<u64, KernelError> {
        let refused = |e| KernelError::refused("reading what was folded", e);
        let told: Vec<(ExitKey, u64)> = self.told.iter().filter_map(Result::ok).collect();
        let (mut taken, mut gone, mut forgotten) = (0, 0, Vec::new());
        for (key, count) in told {
            match self.table.get(&key, 0) {
                Ok(folded) if folded.count >= count => taken += count,
                Ok(_) => self.told.remove(&key).map_err(refused)?,
                Err(MapError::KeyNotFound) => {
                    gone += count;
                    forgotten.push(key);
                }
                Err(error) => return Err(refused(error)),
            }
        }
        if self.ledger.get().forgetting == 1 {
            gone = 0;
        }
        self.forget(&forgotten, gone).map_err(refused)?;
        Ok(taken)
    }

    /// Forgets what was taken of ends that are in the table no more, so many occurrences. A daemon that is killed in between
    /// leaves word of whether they are in the account.
    fn forget(&mut self, keys: &[ExitKey], occurrences: u64) -> Result<(), MapError> {
        self.ledger.update(|ledger| {
            ledger.folded_cleared += occurrences;
            ledger.forgetting = 1;
        })?;
        for key in keys {
            // Where nothing repeated there is nothing to remove.
            let _ = self.told.remove(key);
        }
        self.ledger.update(|ledger| ledger.forgetting = 0)
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
        let (mut gone, mut forgotten) = (0, Vec::new());
        for key in keys.into_iter().filter(|key| [first, second].contains(&key.bank)) {
            let folded = match self.table.get(&key, 0) {
                Ok(folded) => folded,
                Err(error) => {
                    warn!(%error, "repeated ends of processes cannot be read; they are reported later");
                    continue;
                }
            };
            let fresh = folded.count.saturating_sub(self.told.get(&key, 0).unwrap_or_default());
            if fresh > 0 {
                if let Err(error) = self.told.insert(key, folded.count, 0) {
                    warn!(%error, "repeated ends of processes cannot be taken; they are reported later");
                    continue;
                }
                meter.folded.add(fresh);
                repeats.push((observation(&folded, &clock), fresh));
            }
            if key.bank == first {
                match self.table.remove(&key) {
                    Ok(()) => {
                        gone += folded.count;
                        forgotten.push(key);
                    }
                    Err(error) => warn!(%error, "repeated ends of processes cannot be forgotten"),
                }
            }
        }
        if gone > 0
            && let Err(error) = self.forget(&forgotten, gone)
        {
            warn!(%error, "the account of what was taken is not exact any more");
        }
    }
}

fn observation(folded: &FoldedExit, clock: &Clock) -> Observation {
    let (header, payload) = (&folded.record.header, &folded.record.payload);
    Observation { time: clock.wall(header.head.finish), event: Event::Exit(Exit::new(header, payload)) }
}
