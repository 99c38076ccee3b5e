//! Reads what the kernel side has folded.
//!
//! In: the fold table. Out: for each failure that repeated, its first occurrence and how many no ring record tells of.
//! Every sweep moves the programs on to the next bank, so that nobody adds to the one before any more; that one is read
//! now and once more a sweep later, before it is cleared, in case a program was held up in between.

use std::collections::HashMap;

use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use probe_common::{CONTROL, Control, FOLD, FOLD_BANKS, FOLD_FIRST, FoldFirst, FoldPage, Kind, PAGE_WAYS};
use tracing::warn;

use super::{Folding, KernelError, array, exits::Exits};
use crate::{
    clock::{Clock, boot_now},
    event::{Batch, Event, Observation},
    meter::Meter,
};

/// The fold table, and what was read of it.
pub struct Repeats {
    table: Array<MapData, FoldPage>,
    firsts: Array<MapData, FoldFirst>,
    control: Array<MapData, Control>,
    now: Control,
    /// What was told of ways that are not cleared yet.
    told: HashMap<u32, u64>,
    exits: Exits,
}

impl Folding {
    /// Pages of one bank: the entries share all banks.
    pub fn pages(self) -> u32 {
        self.entries.map_or(0, |entries| entries.div_ceil(FOLD_BANKS * PAGE_WAYS).max(1))
    }
}

impl Repeats {
    /// Takes the maps and switches folding on or off.
    pub fn new(bpf: &mut Ebpf, folding: Folding) -> Result<Self, KernelError> {
        let (table, firsts) = (array(bpf, FOLD)?, array(bpf, FOLD_FIRST)?);
        let mut control = array(bpf, CONTROL)?;
        let now = Control { bank: 0, pages: folding.pages() };
        control.set(0, now, 0).map_err(|e| KernelError::refused("switching folding", e))?;
        Ok(Self { table, firsts, control, now, told: HashMap::new(), exits: Exits::new(bpf)? })
    }

    /// From now on failures are counted in the next bank.
    pub fn next_bank(&mut self) {
        let now = Control { bank: (self.now.bank + 1) % FOLD_BANKS, ..self.now };
        match self.control.set(0, now, 0) {
            Ok(()) => self.now = now,
            Err(error) => warn!(%error, "repeats cannot be read; they are counted and reported later"),
        }
    }

    /// Takes what the other banks have counted. Call it when programs that still counted there have ended.
    pub fn harvest(&mut self, meter: &Meter) -> Batch {
        let mut repeats = Vec::new();
        let (before_last, last) = ((self.now.bank + 1) % FOLD_BANKS, (self.now.bank + 2) % FOLD_BANKS);
        self.read(before_last, true, meter, &mut repeats);
        self.read(last, false, meter, &mut repeats);
        self.exits.harvest([before_last, last], meter, &mut repeats);
        Batch::Repeats(repeats, boot_now())
    }

    /// Takes what one bank has counted since it was read last; `clear` makes it ready to be used again.
    fn read(&mut self, bank: u32, clear: bool, meter: &Meter, repeats: &mut Vec<(Observation, u64)>) {
        let clock = Clock::now();
        for index in bank * self.now.pages..(bank + 1) * self.now.pages {
            let page = match self.table.get(&index, 0) {
                Ok(page) => page,
                Err(error) => {
                    warn!(%error, "repeats cannot be read; they are reported later");
                    continue;
                }
            };
            let ways = page.sets.iter().flat_map(|set| set.keys.into_iter().zip(set.counts));
            let mut used = false;
            for (way, (key, count)) in (index * PAGE_WAYS..).zip(ways) {
                used |= key != 0;
                let fresh = count.saturating_sub(self.told.get(&way).copied().unwrap_or_default());
                if fresh == 0 {
                    continue;
                }
                match self.firsts.get(&way, 0) {
                    Ok(first) if first.key == key => {
                        meter.folded.add(fresh);
                        repeats.push((observation(&first, &clock), fresh));
                    }
                    // A program took the way and has been held up since.
                    _ if !clear => continue,
                    _ => {
                        meter.folded.add(fresh);
                        meter.lost_pipeline.add(fresh);
                    }
                }
                self.told.insert(way, count);
            }
            if clear && used {
                match self.table.set(index, FoldPage::default(), 0) {
                    Ok(()) => self.told.retain(|way, _| way / PAGE_WAYS != index),
                    Err(error) => warn!(%error, "folded failures cannot be forgotten"),
                }
            }
        }
    }
}

fn observation(first: &FoldFirst, clock: &Clock) -> Observation {
    let kind = Kind::try_from(first.header.tag).unwrap_or(Kind::Syscall);
    let event = Event::failure(kind, &first.header, &first.payload, [None; 6]);
    Observation { time: clock.wall(first.header.head.finish), event }
}
