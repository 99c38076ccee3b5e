//! One file of the spool. In: bytes of frames. Out: the frames, one after the other, and where they stop to be any.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Tally,
    frame::{self, BLOCK, Entry, HEAD, Totals},
};

const MAGIC: [u8; 4] = *b"GGS1";
const SUFFIX: &str = ".seg";
/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// What is known of a file. It begins with the number and the totals of the last record before it, and frames follow.
#[derive(Debug)]
pub struct Segment {
    /// The file.
    pub path: PathBuf,
    /// The number and the totals of the last record before it, as it says at its start.
    pub before: (u64, Totals),
    /// The number of its last record; of the last one before, where it has none.
    pub last: u64,
    /// Its length.
    pub bytes: u64,
    /// Up to here it is read.
    pub read_to: u64,
    /// What is behind that.
    pub unread: Tally,
    /// The open file, of the newest segment and of those that are not on the disk for certain.
    pub file: Option<Arc<File>>,
    /// Whether something may not be on the disk.
    pub dirty: bool,
}

impl Segment {
    /// Makes a new file, over an old one of the same name, for records from this number on. `before` tells of the last
    /// record before them.
    pub fn create(dir: &Path, first: u64, before: (u64, Totals)) -> io::Result<Self> {
        let path = dir.join(format!("{first:020}{SUFFIX}"));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o640).open(&path)?;
        if let Err(error) = write_start(&file, before) {
            // A full disk still has room for an empty file; it would only be damage to count.
            drop(fs::remove_file(&path));
            return Err(error);
        }
        let bytes = BLOCK as u64;
        let (last, unread) = (before.0, Tally::default());
        let file = Some(Arc::new(file));
        Ok(Self { path, before, last, bytes, read_to: bytes, unread, file, dirty: true })
    }

    /// The files of a folder that are called as segments are, the oldest first, with the numbers in their names.
    pub fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let first = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20);
            if let Some(first) = first.and_then(|digits| digits.parse().ok()) {
                found.push((first, path));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The file, open.
    pub fn open(&self) -> io::Result<Arc<File>> {
        match &self.file {
            Some(file) => Ok(Arc::clone(file)),
            None => OpenOptions::new().read(true).write(true).open(&self.path).map(Arc::new),
        }
    }

    /// Closes the file until it is read.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Says that this one was the last before it: those in between are gone.
    pub fn follow(&mut self, before: (u64, Totals)) -> io::Result<()> {
        write_start(&*self.open()?, before)?;
        self.before = before;
        Ok(())
    }

    /// Takes all records out and says which totals hold now.
    pub fn empty(&mut self, totals: Totals) -> io::Result<()> {
        let file = self.open()?;
        // In this order, a daemon that is killed in between leaves records that are acknowledged.
        write_start(&file, (self.last, totals))?;
        self.before = (self.last, totals);
        file.set_len(BLOCK as u64)?;
        self.bytes = BLOCK as u64;
        self.read_to = self.bytes;
        Ok(())
    }
}

/// Writes the start of a file: the number and the totals of the last record before it.
pub fn write_start(file: &File, (number, totals): (u64, Totals)) -> io::Result<()> {
    file.write_all_at(&frame::block(MAGIC, number, totals), 0)
}

/// The start of a file; none where it is damaged.
pub fn start(file: &File) -> Option<(u64, Totals)> {
    let mut bytes = [0; BLOCK];
    file.read_exact_at(&mut bytes, 0).ok()?;
    frame::read_block(MAGIC, &bytes)
}

/// Goes through the frames of a file.
pub struct Frames<'a> {
    file: &'a File,
    /// Where in the file the buffer starts, and where frames end.
    offset: u64,
    end: u64,
    buffer: Vec<u8>,
    /// The place in the buffer.
    at: usize,
}

/// What is at a place of a file.
pub enum Next<'a> {
    /// A frame, and its length.
    Frame(Entry<'a>, usize),
    /// Nothing: the file ends here.
    End,
    /// Bytes that are no frame.
    Damage,
}

impl<'a> Frames<'a> {
    /// From one place of a file to another.
    pub fn new(file: &'a File, offset: u64, end: u64) -> Self {
        Self { file, offset, end, buffer: Vec::new(), at: 0 }
    }

    /// Where in the file the next frame starts.
    pub fn place(&self) -> u64 {
        self.offset + self.at as u64
    }

    /// Looks at the next frame.
    ///
    /// # Errors
    /// What the disk says.
    pub fn next(&mut self) -> io::Result<Next<'_>> {
        let left = self.end.saturating_sub(self.place());
        if left == 0 {
            return Ok(Next::End);
        }
        if left < HEAD as u64 || !self.fill(HEAD)? {
            return Ok(Next::Damage);
        }
        let length = frame::length(&self.buffer[self.at..]);
        let Some(length) = length.filter(|length| *length as u64 <= left) else { return Ok(Next::Damage) };
        if !self.fill(length)? {
            return Ok(Next::Damage);
        }
        Ok(match frame::read(&self.buffer[self.at..self.at + length]) {
            Some(entry) => Next::Frame(entry, length),
            None => Next::Damage,
        })
    }

    /// Goes past the frame.
    pub fn pass(&mut self, length: usize) {
        self.at += length;
    }

    /// Has so many bytes in the buffer; false where the file is shorter than it was.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.buffer.len() - self.at >= wanted {
            return Ok(true);
        }
        self.buffer.drain(..self.at);
        self.offset += self.at as u64;
        self.at = 0;
        let mut have = self.buffer.len();
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        self.buffer.resize(wanted.max(CHUNK).min(left), 0);
        while have < wanted {
            match self.file.read_at(&mut self.buffer[have..], self.offset + have as u64) {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.truncate(have);
        Ok(have >= wanted)
    }
}
