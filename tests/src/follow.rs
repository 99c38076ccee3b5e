//! Following the daemon's file channel: in comes its folder, out come the lines as they are written, across
//! every roll from one file to the next.

use std::collections::BTreeMap;
use std::fs::{File, read_dir};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FallocateFlags, fallocate};

use crate::record::Record;
use crate::wait;

/// Bytes at the end of a file that stay as they are: a daemon looks there for what a killed one did not account for.
const KEPT: u64 = 16 << 20;

/// Reads a folder of event files from their beginning.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    files: BTreeMap<u64, Followed>,
    /// Every record that was read so far, by [`Follower::poll`].
    pub records: Vec<Record>,
}

/// One file that is being read; the open file outlives its name.
#[derive(Debug)]
struct Followed {
    file: File,
    /// Up to here it was read: the end of a line.
    read: u64,
}

impl Follower {
    /// Follows the files of `dir`, which need not exist yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), files: BTreeMap::new(), records: Vec::new() }
    }

    /// Hands every line that is new since the last time to `take`, and gives the space of older ones on the disk back:
    /// the flood tests write more than a small guest can hold.
    pub fn lines(&mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        // Files whose names may be gone are read before the new ones are looked for, so that no line is
        // taken ahead of an older one.
        for followed in self.files.values_mut() {
            followed.lines(&mut take)?;
        }
        let entries = match read_dir(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.with_context(|| format!("cannot list {}", self.dir.display()))?,
        };
        for entry in entries {
            let path = entry?.path();
            let Ok(file) = File::options().read(true).write(true).open(&path) else { continue };
            let metadata = file.metadata()?;
            if metadata.is_file() && !self.files.contains_key(&metadata.ino()) {
                let mut followed = Followed { file, read: 0 };
                followed.lines(&mut take)?;
                self.files.insert(metadata.ino(), followed);
            }
        }
        Ok(())
    }

    /// Parses every new line strictly into [`Follower::records`].
    pub fn poll(&mut self) -> Result<()> {
        let mut lines = Vec::new();
        self.lines(|line| lines.push(line.to_vec()))?;
        for line in lines {
            self.records.push(Record::parse(&line)?);
        }
        Ok(())
    }

    /// Waits for a record of process `pid`.
    pub fn wait_for(&mut self, pid: i32, patience: Duration) -> Result<()> {
        wait::until(&format!("a record of process {pid}"), patience, || {
            self.poll()?;
            Ok(self.records.iter().rev().any(|record| record.pid() == i64::from(pid)).then_some(()))
        })
    }

    /// The records of one process, in their order.
    pub fn of(&self, pid: i32) -> Vec<&Record> {
        self.records.iter().filter(|record| record.pid() == i64::from(pid)).collect()
    }
}

impl Followed {
    /// Takes whole lines only: what a killed daemon has left of one may be cut away, and another come in its place.
    fn lines(&mut self, take: &mut impl FnMut(&[u8])) -> Result<()> {
        let (read, length) = (self.read, self.file.metadata()?.len());
        ensure!(length >= read, "lines were taken back: {read} bytes were read of a file that has {length}");
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = self.file.read_at(&mut buffer, self.read)?;
            let Some(end) = buffer[..count].iter().rposition(|byte| *byte == b'\n') else {
                if count < buffer.len() {
                    return Ok(());
                }
                buffer.resize(buffer.len() * 2, 0);
                continue;
            };
            buffer[..end].split(|byte| *byte == b'\n').for_each(&mut *take);
            self.read += end as u64 + 1;
            if self.read > KEPT {
                // Not every file system can do this; those that cannot keep the file whole.
                let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let _ = fallocate(&self.file, punch, 0, self.read - KEPT);
            }
        }
    }
}
