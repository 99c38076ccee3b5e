//! What an earlier run left. In: the files of a folder. Out: the segments, cut where they are damaged, and an account of
//! what waits and what is damaged.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Found, Tally,
    frame::{BLOCK, Totals},
    position::Position,
    segment::{self, Frames, Next, Segment},
};

/// Reads through all segments.
pub struct Finder<'a> {
    position: &'a Position,
    /// The number and the totals of the last record that is whole.
    last: u64,
    totals: Totals,
    found: Found,
}

impl<'a> Finder<'a> {
    /// Goes through the files, the oldest first.
    pub fn run(dir: &Path, position: &'a Position) -> io::Result<(Vec<Segment>, Found)> {
        let totals = Totals::default();
        let mut finder = Finder { position, last: 0, totals, found: Found::default() };
        let mut segments = Vec::new();
        for (first, path) in Segment::list(dir)? {
            // Only the newest stays open.
            if let Some(before) = segments.last_mut() {
                Segment::close(before);
            }
            let oldest = segments.is_empty().then_some(first);
            segments.push(finder.segment(path, oldest)?);
        }
        let Finder { last, totals, mut found, .. } = finder;
        let acknowledged = &position.totals;
        let newer = acknowledged.epoch != totals.epoch || acknowledged.reached > totals.reached;
        found.totals = if position.number >= last && newer { *acknowledged } else { totals };
        Ok((segments, found))
    }

    /// Reads through one. Of the oldest, its name tells the number of its first record: what is gone before that was
    /// acknowledged or counted.
    fn segment(&mut self, path: PathBuf, oldest: Option<u64>) -> io::Result<Segment> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        self.last = oldest.map_or(self.last, |first| first.saturating_sub(1));
        let mut before = (self.last, self.totals);
        match segment::start(&file) {
            Some(start) if oldest.is_some() => {
                before = start;
                (self.last, self.totals) = start;
            }
            Some((number, totals)) if number > self.last => {
                self.account(number, totals);
                // It is not to be counted again.
                segment::write_start(&file, before)?;
                (self.last, self.totals) = (number, totals);
            }
            Some(start) => before = start,
            None => {
                self.found.damaged_bytes += length.min(BLOCK as u64);
                segment::write_start(&file, before)?;
            }
        }
        let bytes = length.max(BLOCK as u64);
        let (mut read_to, mut unread) = (BLOCK as u64, Tally::default());
        let mut last = self.last;
        let mut frames = Frames::new(&file, read_to, bytes);
        let end = loop {
            match frames.next()? {
                Next::Frame(entry, size) if entry.number > self.last => {
                    (last, self.last, self.totals) = (entry.number, entry.number, entry.totals);
                    let waits = entry.number > self.position.number;
                    if waits {
                        unread.add(&entry);
                    }
                    frames.pass(size);
                    if !waits {
                        read_to = frames.place();
                    }
                }
                Next::End => break frames.place(),
                Next::Frame(..) | Next::Damage => {
                    let place = frames.place();
                    self.found.damaged_bytes += bytes - place;
                    file.set_len(place)?;
                    break place;
                }
            }
        };
        self.found.waiting += unread;
        let file = Some(Arc::new(file));
        Ok(Segment { path, before, last, bytes: end, read_to, unread, file, dirty: false })
    }

    /// Counts what is missing up to this record.
    fn account(&mut self, number: u64, totals: Totals) {
        let (mut last, mut before) = (self.last, self.totals);
        if self.position.number > last {
            (last, before) = (self.position.number, self.position.totals);
        }
        self.found.damaged.records += number.saturating_sub(last);
        // Before the first record of all there was no event. Of an epoch that ended meanwhile, nobody knows the rest.
        if number > last && (last == 0 || before.epoch != 0) {
            self.found.damaged.events += totals.reached.saturating_sub(before.reached(totals.epoch));
        }
    }
}
