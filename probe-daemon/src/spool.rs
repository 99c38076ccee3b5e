//! Records on disk until somebody has taken them: an append-only log of checksummed frames in segments, bounded.
//!
//! In: records with rising numbers. Out: the same, in order, also after the daemon was killed at any byte; and how many
//! are damaged, or went since there was no more room. A segment goes when all of it is acknowledged. The newest one never
//! goes, and begins with the totals that held then, so that these outlive the records.
//!
//! Everything here blocks and nothing knows what a record is for. It is our own since no crate that is looked after
//! does all of this: `yaque` and `queue-file` have neither a bound that the oldest give way to nor checksums by record,
//! `okaywal` and `raft-engine` are logs to recover from, which are not read while they grow, and `segment-buffer` keeps
//! in memory what a kill must not lose.

mod find;
mod frame;
mod position;
mod segment;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    ops::AddAssign,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

pub use frame::{Entry, Told, Totals};

use frame::BLOCK;
use position::Position;
use segment::{Frames, Next, Segment};

/// Bytes of a segment, where the bound leaves room for several.
const SEGMENT: u64 = 8 << 20;
/// A segment whose records are all acknowledged is emptied when it is larger than this.
const WORTH_EMPTYING: u64 = 64 << 10;
/// Memory that is kept between two writes.
const BUFFER: usize = 1 << 20;

/// Records, and the events of which they tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records.
    pub records: u64,
    /// Events that they stand for.
    pub events: u64,
    /// Events that they say to be lost.
    pub told: Told,
}

impl Tally {
    /// One more record.
    fn add(&mut self, entry: &Entry<'_>) {
        self.records += 1;
        self.events += entry.occurrences;
        self.told += entry.told;
    }

    /// One less.
    fn remove(&mut self, entry: &Entry<'_>) {
        self.records = self.records.saturating_sub(1);
        self.events = self.events.saturating_sub(entry.occurrences);
        self.told.count = self.told.count.saturating_sub(entry.told.count);
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.events += other.events;
        self.told += other.told;
    }
}

/// What a spool held when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What waits to be taken.
    pub waiting: Tally,
    /// What is damaged and did wait, as far as records behind it tell.
    pub damaged: Tally,
    /// Bytes that are no records any more.
    pub damaged_bytes: u64,
    /// The totals of the last record that was taken in.
    pub totals: Totals,
}

/// A folder of segments.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    max_bytes: u64,
    /// The oldest first; never empty.
    segments: VecDeque<Segment>,
    position: Position,
    /// The totals of the last record.
    totals: Totals,
    /// No record up to this number is on disk.
    gone: u64,
    buffer: Vec<u8>,
    /// Keeps other daemons out.
    _lock: File,
}

impl Spool {
    /// Opens the spool in this folder, which is made where it is missing, and reads all of it once.
    ///
    /// # Errors
    /// What the system says of the folder or a file of it, or that another process uses it.
    pub fn open(dir: &Path, max_bytes: u64) -> io::Result<(Self, Found)> {
        DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o640).open(dir.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process uses it"),
            TryLockError::Error(error) => error,
        })?;
        let position = Position::open(dir)?;
        let (segments, found) = find::Finder::run(dir, &position)?;
        let mut spool = Self {
            dir: dir.to_owned(),
            max_bytes,
            segments: segments.into(),
            position,
            totals: found.totals,
            gone: 0,
            buffer: Vec::new(),
            _lock: lock,
        };
        if spool.segments.is_empty() {
            let last = spool.position.number;
            let segment = Segment::create(dir, last + 1, (last, found.totals))?;
            spool.segments.push_back(segment);
        }
        spool.gone = spool.position.number;
        spool.tidy()?;
        Ok((spool, found))
    }

    /// The number of the last record that there ever was, here.
    pub fn last(&self) -> u64 {
        let newest = self.segments.back().map_or(0, |segment| segment.last);
        newest.max(self.position.number)
    }

    /// What is to be read.
    pub fn unread(&self) -> Tally {
        let mut sum = Tally::default();
        self.segments.iter().for_each(|segment| sum += segment.unread);
        sum
    }

    /// Whether the record with this number, which was appended and not acknowledged, is on disk.
    pub fn has(&self, number: u64) -> bool {
        number > self.gone && number <= self.last()
    }

    /// Appends records, whose numbers are higher than all before, with one write. Where the bound is reached, the oldest
    /// segments go that nobody has read, and `lose` hears of each at once. `known` records need not be read again; there may be
    /// none then that is to be read.
    ///
    /// # Errors
    /// What the system says; none of the records is appended then.
    pub fn append<'e>(
        &mut self,
        entries: impl IntoIterator<Item = Entry<'e>>,
        known: bool,
        lose: impl FnMut(Tally),
    ) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let (mut first, mut last, mut tally, mut totals) = (None, 0, Tally::default(), self.totals);
        for entry in entries {
            first.get_or_insert(entry.number);
            (last, totals) = (entry.number, entry.totals);
            tally.add(&entry);
            frame::write(&entry, &mut buffer);
        }
        let written = first.map_or(Ok(()), |first| self.write(&buffer, first, lose));
        self.buffer = buffer;
        written?;
        if let Some(newest) = self.segments.back_mut().filter(|_| first.is_some()) {
            newest.bytes += self.buffer.len() as u64;
            newest.last = last;
            newest.dirty = true;
            if known {
                newest.read_to = newest.bytes;
            } else {
                newest.unread += tally;
            }
            self.totals = totals;
        }
        self.buffer.shrink_to(BUFFER);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], first: u64, mut lose: impl FnMut(Tally)) -> io::Result<()> {
        let size = bytes.len() as u64;
        while self.bytes() + size > self.max_bytes && self.segments.len() > 1 {
            lose(self.drop_oldest()?);
        }
        let limit = (self.max_bytes / 8).min(SEGMENT);
        let full = |newest: &Segment| newest.bytes > BLOCK as u64 && newest.bytes + size > limit;
        if self.segments.back().is_none_or(full) {
            self.segments.push_back(Segment::create(&self.dir, first, (self.last(), self.totals))?);
        }
        let Some(newest) = self.segments.back() else { return Ok(()) };
        let file = newest.open()?;
        file.write_all_at(bytes, newest.bytes).inspect_err(|_| {
            // What a full disk took is taken back; where that fails too, the next write goes over it.
            drop(file.set_len(newest.bytes));
        })
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Removes the oldest segment that nobody has read, or the oldest of all; returns what is lost with it. Records that
    /// somebody has read are in memory, and nobody knows whether they are under way: where they are still on disk, whoever
    /// comes after a kill sends them again.
    fn drop_oldest(&mut self) -> io::Result<Tally> {
        let older = self.segments.len().saturating_sub(1);
        let untouched = |segment: &Segment| segment.read_to == BLOCK as u64;
        let index = self.segments.iter().take(older).position(untouched).unwrap_or(0);
        let Some(oldest) = self.segments.get(index) else { return Ok(Tally::default()) };
        let (path, last, lost, before) = (oldest.path.clone(), oldest.last, oldest.unread, oldest.before);
        if index == 0 {
            self.gone = self.gone.max(last);
        } else if let Some(next) = self.segments.get_mut(index + 1) {
            // What is missing in between is counted here, and not as damage when it is found.
            next.follow(before)?;
        }
        fs::remove_file(path)?;
        self.segments.remove(index);
        Ok(lost)
    }

    /// Reads the next records, of so many bytes in all or one, and hands them over in order.
    ///
    /// # Errors
    /// What the disk says of a segment; what was not read of it is lost, and `lose` hears of it.
    pub fn read(
        &mut self,
        most: usize,
        mut take: impl FnMut(Entry<'_>),
        lose: impl FnOnce(Tally),
    ) -> io::Result<()> {
        let Some(segment) = self.segments.iter_mut().find(|segment| segment.unread.records > 0) else {
            return Ok(());
        };
        let mut taken = 0;
        let whole = segment.open().and_then(|file| {
            let mut frames = Frames::new(&file, segment.read_to, segment.bytes);
            while segment.unread.records > 0 {
                let Next::Frame(entry, size) = frames.next()? else { return Ok(false) };
                if taken > 0 && taken + size > most {
                    break;
                }
                segment.unread.remove(&entry);
                segment.read_to += size as u64;
                taken += size;
                take(entry);
                frames.pass(size);
            }
            Ok(true)
        });
        if !matches!(whole, Ok(true)) {
            lose(std::mem::take(&mut segment.unread));
            segment.read_to = segment.bytes;
        }
        match whole? {
            true => Ok(()),
            false => Err(io::Error::other(format!("{} is damaged", segment.path.display()))),
        }
    }

    /// Notes that all records up to this one are done with, and removes what holds no other.
    ///
    /// # Errors
    /// What the system says; records may be read again after a restart then.
    pub fn acknowledge(&mut self, number: u64, totals: Totals) -> io::Result<()> {
        self.position.set(number, totals)?;
        self.gone = self.gone.max(number);
        self.tidy()
    }

    fn tidy(&mut self) -> io::Result<()> {
        let done = self.position.number;
        while self.segments.len() > 1 && self.segments.front().is_some_and(|oldest| oldest.last <= done) {
            if let Some(oldest) = self.segments.front() {
                fs::remove_file(&oldest.path)?;
            }
            self.segments.pop_front();
        }
        if let [only] = self.segments.make_contiguous()
            && only.last <= done
            && only.bytes > WORTH_EMPTYING
        {
            only.empty(self.totals)?;
        }
        Ok(())
    }

    /// The files that hold what may not be on the disk yet; whoever asks syncs them.
    pub fn to_sync(&mut self) -> Vec<Arc<File>> {
        let newest = self.segments.len() - 1;
        let mut files = Vec::new();
        for (index, segment) in self.segments.iter_mut().enumerate() {
            if std::mem::take(&mut segment.dirty)
                && let Some(file) = &segment.file
            {
                files.push(Arc::clone(file));
            }
            if index < newest {
                segment.close();
            }
        }
        // A new file is not there before its folder is.
        if let Ok(dir) = File::open(&self.dir).map(Arc::new)
            && !files.is_empty()
        {
            files.push(dir);
        }
        files
    }

    /// Whether something may not be on the disk.
    pub fn is_dirty(&self) -> bool {
        self.segments.iter().any(|segment| segment.dirty)
    }
}
