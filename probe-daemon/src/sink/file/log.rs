//! A file of lines that rolls: `gopher_event`, and the older `gopher_event.1`, `gopher_event.2` and so on.
//!
//! In: lines. Out: files within their limits, each of whole lines. A file that was moved or deleted by others is noticed
//! before the next write, and a new one begun. What a crash left of a line is cut away when the file is opened.
//!
//! Our own, since crates that rotate files (file-rotate, rolling-file) end the process where a directory is missing, write
//! on into a file that was moved away, and leave a torn line where a crash or a full disk has torn it.

use std::{
    collections::BTreeMap,
    io::{self, SeekFrom},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};
use tracing::{error, info, warn};

use super::Encoded;
use crate::{config::Logs, sink};

/// The name of the file in `event_dir`.
pub const FILE_NAME: &str = "gopher_event";
/// Owner and group may read it.
const MODE: u32 = 0o640;
/// Bytes that the search for the end of the last whole line reads at once.
const STEP: u64 = 64 * 1024;

/// How large and how many the files may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a file.
    pub size: u64,
    /// Files, the current one included.
    pub files: u64,
    /// Bytes of all files.
    pub total: u64,
}

impl Limits {
    /// As configured. A total that has no room for two files of full size makes files smaller, so that a roll never
    /// throws away all there is.
    pub fn of(logs: &Logs) -> Self {
        let bytes = |mib: u64| mib.saturating_mul(1 << 20);
        let total = if logs.event_total_size == 0 { u64::MAX } else { bytes(logs.event_total_size) };
        let size = bytes(logs.max_size_mb);
        let size = if logs.max_files > 1 { size.min(total / 2) } else { size.min(total) };
        Self { size, files: logs.max_files, total }
    }
}

/// The current file.
pub struct EventLog {
    dir: PathBuf,
    path: PathBuf,
    limits: Limits,
    file: File,
    /// Device and inode of it.
    id: (u64, u64),
    /// Where the whole lines of a write that failed end, if what it left behind them could not be cut away.
    torn: Option<u64>,
    roll_fails: bool,
}

impl EventLog {
    /// Opens the file, and creates it and its directory where they are missing.
    ///
    /// # Errors
    /// What the system says of the directory or the file.
    pub async fn open(dir: &Path, limits: Limits) -> io::Result<Self> {
        let path = dir.join(FILE_NAME);
        let (file, id) = open(dir, &path).await?;
        Ok(Self { dir: dir.to_owned(), path, limits, file, id, torn: None, roll_fails: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the lines of as many of these records as the current file has room for, at least one. Returns how many
    /// that were, and how it went: all of them are there, or none. What a full disk has taken of them stays as far as lines are
    /// whole, since somebody may have read them.
    pub async fn append(&mut self, records: &[Encoded]) -> (usize, io::Result<()>) {
        let (len, count) = match self.prepare(records).await {
            Ok(ready) => ready,
            Err(error) => return (records.len(), Err(error)),
        };
        let records = records.get(..count).unwrap_or(records);
        let lines = sink::lines(records);
        let written = match self.file.write_all(&lines).await {
            Ok(()) => self.file.flush().await,
            failed => failed,
        };
        if written.is_err() {
            let end = self.file.metadata().await.map_or(len, |now| now.len());
            let whole = fit(records, end.saturating_sub(len));
            self.torn = Some(len + sink::length(records.get(..whole).unwrap_or_default()) as u64);
            let _ = self.mend().await;
            if whole > 0 {
                return (whole, Ok(()));
            }
        }
        (count, written)
    }

    /// Finds the file and room in it: its length, and how many of the records to write there.
    async fn prepare(&mut self, records: &[Encoded]) -> io::Result<(u64, usize)> {
        let in_place = self.follow().await?;
        self.mend().await?;
        let len = self.file.metadata().await?.len();
        let count = fit(records, self.limits.size.saturating_sub(len));
        if len == 0 || count > 0 {
            return Ok((len, count.max(1)));
        }
        if !in_place {
            return Ok((len, records.len()));
        }
        match self.roll(len).await {
            Ok(()) => {
                self.roll_fails = false;
                let len = self.file.metadata().await?.len();
                Ok((len, fit(records, self.limits.size.saturating_sub(len)).max(1)))
            }
            Err(error) => {
                if !std::mem::replace(&mut self.roll_fails, true) {
                    let path = self.path.display();
                    error!(%path, %error, "the event file cannot be rolled; it grows past its limit until it can");
                }
                Ok((len, records.len()))
            }
        }
    }

    /// Opens the file anew where it was moved or deleted. False where that failed, and the old one has another name.
    async fn follow(&mut self) -> io::Result<bool> {
        let there = fs::metadata(&self.path).await.is_ok_and(|found| id(&found) == self.id);
        if there {
            return Ok(true);
        }
        match open(&self.dir, &self.path).await {
            Ok((file, id)) => {
                info!(path = %self.path.display(), "the event file was moved or deleted; a new one begins");
                (self.file, self.id, self.torn) = (file, id, None);
                Ok(true)
            }
            // Under another name it still holds what is written to it.
            Err(_) if self.file.metadata().await.is_ok_and(|old| old.nlink() > 0) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Cuts away what a failed write left.
    async fn mend(&mut self) -> io::Result<()> {
        if let Some(len) = self.torn {
            // Whoever emptied the file meanwhile has cut away more than that.
            if self.file.metadata().await?.len() > len {
                self.file.set_len(len).await?;
            }
            self.torn = None;
        }
        Ok(())
    }

    /// Gives every file the next number, lets the oldest go, and begins a new one. `len` is that of the current one.
    async fn roll(&mut self, len: u64) -> io::Result<()> {
        let older = self.older().await?;
        let room = self.limits.total.saturating_sub(self.limits.size);
        let mut sum = len;
        let mut kept = Vec::new();
        for (number, size) in older {
            sum = sum.saturating_add(size);
            if sum <= room && number + 1 < self.limits.files {
                kept.push(number);
            } else {
                fs::remove_file(self.numbered(number)).await?;
            }
        }
        for number in kept.into_iter().rev() {
            fs::rename(self.numbered(number), self.numbered(number + 1)).await?;
        }
        if self.limits.files > 1 {
            fs::rename(&self.path, self.numbered(1)).await?;
        } else {
            fs::remove_file(&self.path).await?;
        }
        (self.file, self.id) = open(&self.dir, &self.path).await?;
        Ok(())
    }

    /// Numbers and sizes of the older files, the youngest first.
    async fn older(&self) -> io::Result<BTreeMap<u64, u64>> {
        let mut older = BTreeMap::new();
        let mut entries = fs::read_dir(&self.dir).await?;
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(FILE_NAME)?.strip_prefix('.'));
            // `gopher_event.1.gz` and `gopher_event.01` are somebody else's.
            let number =
                number.and_then(|text| text.parse().ok().filter(|number: &u64| number.to_string() == text));
            if let Some(number) = number.filter(|number| *number > 0) {
                older.insert(number, entry.metadata().await?.len());
            }
        }
        Ok(older)
    }

    fn numbered(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{FILE_NAME}.{number}"))
    }

    /// Waits until the disk has it.
    ///
    /// # Errors
    /// What the system says.
    pub async fn sync(&self) -> io::Result<()> {
        self.file.sync_all().await
    }
}

/// How many of the records fit into so many bytes.
fn fit(records: &[Encoded], room: u64) -> usize {
    let mut left = room;
    let fits = |record: &&Encoded| match left.checked_sub(record.bytes.len() as u64 + 1) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    records.iter().take_while(fits).count()
}

fn id(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Opens the file so that it ends with a whole line.
async fn open(dir: &Path, path: &Path) -> io::Result<(File, (u64, u64))> {
    DirBuilder::new().recursive(true).mode(0o750).create(dir).await?;
    let options = || OpenOptions::new().read(true).append(true).mode(MODE).to_owned();
    let mut file = match options().create_new(true).open(path).await {
        Ok(file) => {
            // The umask may have taken the group's right to read.
            file.set_permissions(std::fs::Permissions::from_mode(MODE)).await?;
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options().create(true).open(path).await?
        }
        Err(error) => return Err(error),
    };
    let metadata = file.metadata().await?;
    if metadata.is_file() {
        let whole = whole_lines(&mut file, metadata.len()).await?;
        if whole < metadata.len() {
            file.set_len(whole).await?;
            let (path, bytes) = (path.display(), metadata.len() - whole);
            warn!(%path, bytes, "the event file ended within a line, as after a crash; that line was cut away");
        }
    }
    Ok((file, id(&metadata)))
}

/// Length of the file up to the end of its last whole line.
async fn whole_lines(file: &mut File, len: u64) -> io::Result<u64> {
    let mut end = len;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start)).await?;
        chunk.clear();
        (&mut *file).take(end - start).read_to_end(&mut chunk).await?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
