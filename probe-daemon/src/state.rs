//! What a daemon hands to the one after it: the number of the next record, and losses that it could not tell of.
//!
//! In: the directory of `event.state_dir`. Out: numbers for records, each once on this host. The file is written at the end
//! of a run, and in between each time that [`BLOCK`] numbers are used up: a daemon that finds it unfinished begins after the
//! block that was open, so that a number is left out rather than given twice.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use crate::losses::{Loss, Untold};

const FILE_NAME: &str = "state.json";
/// Numbers for which the file is written once.
const BLOCK: u64 = 1 << 20;

/// The numbers of records, and the file that keeps them.
#[derive(Debug)]
pub struct State {
    /// None where it cannot be written: the numbers begin anew with each run then.
    path: Option<PathBuf>,
    next: u64,
    /// Numbers below this one are free to use.
    reserved: u64,
    /// Losses of which the daemon before has told nobody.
    pub untold: Vec<Untold>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Stored {
    /// The next number that nobody has used.
    sequence: u64,
    /// Losses that no record tells of.
    losses: Vec<Untold>,
}

impl State {
    /// Goes on where the daemon before has ended. `known` is the next number, where somebody knows better than the file.
    pub fn open(dir: &Path, known: Option<u64>) -> Self {
        let path = dir.join(FILE_NAME);
        let made = DirBuilder::new().recursive(true).mode(0o750).create(dir);
        let stored = made.and_then(|()| read(&path));
        let (path, stored) = match stored {
            Ok(stored) => (Some(path), stored),
            Err(error) => {
                warn!(
                    path = %path.display(), %error,
                    "the numbers of records begin anew: event.state_dir cannot be used; make it a directory that the \
                     daemon may write"
                );
                (None, Stored::default())
            }
        };
        // One that is before the block that was open last is of an older daemon than the file.
        let known = known.filter(|next| next.saturating_add(BLOCK) >= stored.sequence);
        let next = known.unwrap_or(stored.sequence).max(1);
        let mut state = Self { path, next, reserved: next, untold: stored.losses };
        // At once, so that a daemon that is killed is noticed, and its losses are told of only once.
        state.reserve(next);
        state
    }

    /// The first of `count` numbers in a row, which nobody else is given.
    pub fn take(&mut self, count: u64) -> u64 {
        let first = self.next;
        self.next += count;
        if self.next > self.reserved {
            self.reserve(self.next);
        }
        first
    }

    /// The number that would come next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Ends in order: `losses` are what no record tells of.
    pub fn close(mut self, losses: &[Loss]) {
        let losses = losses.iter().map(Untold::from).collect();
        self.write(&Stored { sequence: self.next, losses });
    }

    fn reserve(&mut self, from: u64) {
        self.reserved = from + BLOCK;
        self.write(&Stored { sequence: self.reserved, losses: Vec::new() });
    }

    fn write(&mut self, stored: &Stored) {
        let Some(path) = &self.path else { return };
        if let Err(error) = store(path, stored) {
            error!(
                path = %path.display(), %error,
                "the numbers of records cannot be kept: the next daemon may begin with a number that was used"
            );
        }
    }
}

/// What the file says; a file that is not there says nothing, one that is damaged is put aside.
fn read(path: &Path) -> io::Result<Stored> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::default()),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&text).or_else(|error| {
        let aside = path.with_extension("damaged");
        warn!(path = %path.display(), aside = %aside.display(), %error, "the state of the daemon before is damaged");
        fs::rename(path, aside)?;
        Ok(Stored::default())
    })
}

/// Writes the file as a whole or not at all.
fn store(path: &Path, stored: &Stored) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
    file.write_all(&serde_json::to_vec(stored)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::Of;

    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("state-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn a_clean_end_leaves_no_gap_and_a_crash_gives_no_number_twice() {
        let dir = dir("gap");
        let mut first = State::open(&dir, None);
        assert_eq!((first.take(3), first.take(1)), (1, 4));
        first.close(&[]);
        let mut second = State::open(&dir, None);
        assert_eq!(second.take(10), 5);
        drop(second);
        let mut third = State::open(&dir, None);
        let last = third.take(1);
        assert!(last >= 15);
        drop(third);
        let mut known = State::open(&dir, Some(last + 1));
        assert_eq!(known.take(1), last + 1);
        drop(known);
        // Pins of an older daemon, which were out of sight for a while.
        assert!(State::open(&dir, Some(7)).take(1) > last + 1);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn more_numbers_than_a_block_are_reserved_again() {
        let dir = dir("block");
        let mut state = State::open(&dir, None);
        let last = state.take(BLOCK * 3) + BLOCK * 3;
        drop(state);
        assert!(State::open(&dir, None).take(1) >= last);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn losses_are_handed_on_once() {
        let dir = dir("losses");
        let loss = Loss { hop: "delivery", of: Of::sink("kafka"), count: 7, since: 1, until: 2 };
        State::open(&dir, None).close(std::slice::from_ref(&loss));
        assert_eq!(State::open(&dir, None).untold, [Untold::from(&loss)]);
        assert_eq!(State::open(&dir, None).untold, []);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_damaged_file_is_put_aside() {
        let dir = dir("damaged");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(FILE_NAME), b"{\"sequence\": 1").unwrap();
        assert_eq!(State::open(&dir, None).take(1), 1);
        assert!(dir.join("state.damaged").exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn without_a_directory_there_are_numbers_all_the_same() {
        let mut state = State::open(Path::new("/proc/nowhere"), None);
        assert_eq!((state.take(1), state.take(1)), (1, 2));
    }
}
