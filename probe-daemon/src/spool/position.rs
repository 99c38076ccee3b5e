//! Up to where everything is acknowledged. In: a number and the totals that belong to it. Out: the same after a
//! restart, or nothing where the file is damaged: then records are sent again, and none is left out.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use super::frame::{self, BLOCK, Totals};

const MAGIC: [u8; 4] = *b"GGA1";

/// The file of this place, which is written over.
#[derive(Debug)]
pub struct Position {
    file: File,
    /// All records up to this number are acknowledged, lost or damaged.
    pub number: u64,
    /// The totals of the last of them.
    pub totals: Totals,
}

impl Position {
    /// Opens the file in this folder, and makes it where it is missing.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o640);
        let file = file.open(dir.join("acknowledged"))?;
        let mut bytes = [0; BLOCK];
        let whole = file.read_exact_at(&mut bytes, 0).is_ok();
        let found = if whole { frame::read_block(MAGIC, &bytes) } else { None };
        let (number, totals) = found.unwrap_or_default();
        let position = Self { file, number, totals };
        // What a full disk has no room for shows now.
        position.write()?;
        Ok(position)
    }

    /// Notes a new place.
    pub fn set(&mut self, number: u64, totals: Totals) -> io::Result<()> {
        (self.number, self.totals) = (number, totals);
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        self.file.write_all_at(&frame::block(MAGIC, self.number, self.totals), 0)
    }
}
