//! Reads what the kernel side has folded.
//!
//! In: the fold table. Out: for each failure that repeated, its first occurrence and how many no ring record tells of.
//! Every sweep moves the programs on to the next bank, so that nobody adds to the one before any more; that one is read
//! now and once more a sweep later, before it is cleared, in case a program was held up in between.
//!
//! What was taken is noted in a map before it is handed on, so that a daemon that is killed takes nothing twice, and the
//! next one knows how much was taken.

use aya::maps::{Array, MapData, MapError};
use probe_common::{
    CONTROL, Control, FOLD, FOLD_BANKS, FOLD_FIRST, FoldFirst, FoldPage, Kind, PAGE_WAYS, TOLD, ToldPage,
};
use tracing::warn;

use super::{
    Folding, KernelError,
    exits::Exits,
    ledger::Ledger,
    maps::{Maps, array},
};
use crate::{
    clock::{Clock, boot_now},
    event::{Batch, Event, Observation},
    meter::Meter,
};

/// The fold table, and what was read of it.
pub struct Repeats {
    table: Array<MapData, FoldPage>,
    firsts: Array<MapData, FoldFirst>,
    told: Array<MapData, ToldPage>,
    control: Array<MapData, Control>,
    now: Control,
    exits: Exits,
    ledger: Ledger,
}

impl Folding {
    /// Pages of one bank: the entries share all banks.
    pub fn pages(self) -> u32 {
        self.entries.map_or(0, |entries| entries.div_ceil(FOLD_BANKS * PAGE_WAYS).max(1))
    }
}

impl Repeats {
    /// Takes the maps, and goes on as they are.
    pub fn new(maps: &mut impl Maps, ledger: Ledger) -> Result<Self, KernelError> {
        let (table, firsts, told) = (array(maps, FOLD)?, array(maps, FOLD_FIRST)?, array(maps, TOLD)?);
        let control: Array<_, Control> = array(maps, CONTROL)?;
        let now = control.get(&0, 0).map_err(|e| KernelError::refused("reading a map", e))?;
        let exits = Exits::new(maps, ledger.clone())?;
        Ok(Self { table, firsts, told, control, now, exits, ledger })
    }

    /// Mends what an earlier daemon left half done; how many occurrences earlier daemons have taken.
    pub fn inherit(&mut self) -> Result<u64, KernelError> {
        let refused = |e| KernelError::refused("reading what was folded", e);
        if let Some(page) = self.ledger.get().clearing.checked_sub(1) {
            self.forget(u32::try_from(page).unwrap_or(u32::MAX)).map_err(refused)?;
            self.ledger.update(|ledger| ledger.clearing = 0).map_err(refused)?;
        }
        let ends = self.exits.inherit()?;
        let mut taken = ends + self.ledger.get().folded_cleared;
        for index in 0..FOLD_BANKS * self.now.pages {
            let (page, mut told) =
                (self.table.get(&index, 0).map_err(refused)?, self.told.get(&index, 0).map_err(refused)?);
            let counts = page.sets.iter().flat_map(|set| set.counts);
            let mut sound = true;
            for (told, count) in told.counts.iter_mut().zip(counts) {
                if *told > count {
                    (*told, sound) = (0, false);
                }
                taken += *told;
            }
            if !sound {
                self.told.set(index, told, 0).map_err(refused)?;
            }
        }
        Ok(taken)
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

    /// Takes what is left, when no program counts any more.
    pub fn rest(&mut self, meter: &Meter) -> Batch {
        let mut repeats = Vec::new();
        for bank in 0..FOLD_BANKS {
            self.read(bank, true, meter, &mut repeats);
            self.exits.harvest([bank, bank], meter, &mut repeats);
        }
        Batch::Repeats(repeats, boot_now())
    }

    /// Takes what one bank has counted since it was read last; `clear` makes it ready to be used again.
    fn read(&mut self, bank: u32, clear: bool, meter: &Meter, repeats: &mut Vec<(Observation, u64)>) {
        let clock = Clock::now();
        let mut cleared = false;
        for index in bank * self.now.pages..(bank + 1) * self.now.pages {
            let taken = match self.read_page(index, clear, &clock, meter, repeats) {
                Ok(Some(taken)) if clear => taken,
                Ok(_) => continue,
                Err(error) => {
                    warn!(%error, "repeats cannot be read; they are reported later");
                    continue;
                }
            };
            // A daemon that ends in between leaves word of what the next one has to do.
            let noted = self.ledger.update(|ledger| {
                ledger.folded_cleared += taken;
                ledger.clearing = u64::from(index) + 1;
            });
            match noted.and_then(|()| self.forget(index)) {
                Ok(()) => cleared = true,
                Err(error) => warn!(%error, "folded failures cannot be forgotten"),
            }
        }
        if cleared && let Err(error) = self.ledger.update(|ledger| ledger.clearing = 0) {
            warn!(%error, "folded failures cannot be forgotten");
        }
    }

    /// Takes what one page has counted; how many occurrences have been taken of it in all, none where it is unused.
    fn read_page(
        &mut self,
        index: u32,
        last: bool,
        clock: &Clock,
        meter: &Meter,
        repeats: &mut Vec<(Observation, u64)>,
    ) -> Result<Option<u64>, MapError> {
        let page = self.table.get(&index, 0)?;
        if page.sets.iter().all(|set| set.keys.iter().all(|key| *key == 0)) {
            return Ok(None);
        }
        let mut told = self.told.get(&index, 0)?;
        let before = repeats.len();
        let (mut folded, mut lost) = (0, 0);
        let ways = page.sets.iter().flat_map(|set| set.keys.into_iter().zip(set.counts));
        for ((way, (key, count)), told) in (index * PAGE_WAYS..).zip(ways).zip(&mut told.counts) {
            let fresh = count.saturating_sub(*told);
            if fresh == 0 {
                continue;
            }
            match self.firsts.get(&way, 0) {
                Ok(first) if first.key == key => repeats.push((observation(&first, clock), fresh)),
                // A program took the way and has been held up since.
                _ if !last => continue,
                _ => lost += fresh,
            }
            folded += fresh;
            *told = count;
        }
        if folded > 0
            && let Err(error) = self.told.set(index, told, 0)
        {
            repeats.truncate(before);
            return Err(error);
        }
        meter.folded.add(folded);
        meter.lost_pipeline.add(lost);
        Ok(Some(told.counts.iter().sum()))
    }

    fn forget(&mut self, index: u32) -> Result<(), MapError> {
        self.table.set(index, FoldPage::default(), 0)?;
        self.told.set(index, ToldPage { counts: [0; PAGE_WAYS as usize] }, 0)
    }
}

fn observation(first: &FoldFirst, clock: &Clock) -> Observation {
    let kind = Kind::try_from(first.header.tag).unwrap_or(Kind::Syscall);
    let event = Event::failure(kind, &first.header, &first.payload, [None; 6]);
    Observation { time: clock.wall(first.header.head.finish), event }
}
