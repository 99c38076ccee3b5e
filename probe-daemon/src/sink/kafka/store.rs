//! The spool as the Kafka sink uses it. In: records. Out: records on disk, for as long as the disk takes them; one error
//! when it does not any more, and a line when it does again. It waits for the disk where it writes and reads; the sink's
//! thread is its own.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{error, info, warn};

use crate::{
    config::{Config, SpoolMode},
    losses::{Loss, Of, SPOOL},
    meter::SinkMeter,
    spool::{Entry, Spool, Tally, Totals},
};

/// Pause between two attempts to write to a disk that took nothing, and to open a spool.
const RETRY: Duration = Duration::from_secs(1);
const OPEN_RETRY: Duration = Duration::from_secs(10);
/// What is wrong is said again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Time between two syncs.
const SYNC: Duration = Duration::from_millis(500);

/// The spool, where there is one.
pub(super) struct Store {
    pub mode: SpoolMode,
    dir: PathBuf,
    max_bytes: u64,
    meter: Arc<SinkMeter>,
    spool: Option<Spool>,
    /// When the disk is tried again, while it takes nothing.
    retry: Option<Instant>,
    /// When it was last said that it takes nothing, and whether nothing else was said since.
    said: Option<Instant>,
    failing: bool,
    /// It was said that the oldest records go.
    full: bool,
    syncing: Option<JoinHandle<io::Result<()>>>,
    synced: Instant,
}

impl Store {
    /// Opens the spool, unless the configuration wants none. Also returns the totals of the last record in it, where it is
    /// open.
    pub fn new(config: &Config, meter: Arc<SinkMeter>) -> (Self, Option<Totals>) {
        let mut store = Self {
            mode: config.spool.mode,
            dir: config.spool_dir(),
            max_bytes: config.spool.max_bytes,
            meter,
            spool: None,
            retry: None,
            said: None,
            failing: false,
            full: false,
            syncing: None,
            synced: Instant::now(),
        };
        let totals = match store.mode {
            SpoolMode::Off => None,
            SpoolMode::Always | SpoolMode::Outage => store.open(None),
        };
        (store, totals)
    }

    /// Opens the spool. Where there are records in memory, the first of which has the number that is given, it must hold
    /// none that come before them.
    fn open(&mut self, first: Option<u64>) -> Option<Totals> {
        let opened = Spool::open(&self.dir, self.max_bytes);
        let (spool, found) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.trouble(&error, OPEN_RETRY);
                return None;
            }
        };
        if first.is_some_and(|first| spool.last() >= first || spool.unread().records > 0) {
            self.retry = Some(Instant::now() + OPEN_RETRY);
            return None;
        }
        let path = self.dir.display();
        if found.damaged_bytes > 0 || found.damaged.records > 0 {
            warn!(
                bytes = found.damaged_bytes,
                records = found.damaged.records,
                events = found.damaged.events,
                "the spool in {path} was damaged, as by a kill or a loss of power; what is whole is sent"
            );
        }
        let Tally { records, events, .. } = found.waiting;
        if records > 0 {
            info!(
                records,
                events, "the spool in {path} holds records of an earlier run; they are sent first"
            );
        }
        self.meter.resumed.add(events + found.damaged.events);
        self.meter.lost_spool.add(found.damaged.events);
        self.spool = Some(spool);
        self.well();
        Some(found.totals)
    }

    /// Whether records can be written, as far as is known. Tries to open a spool that could not be opened before.
    pub fn ready(&mut self, first: Option<u64>) -> bool {
        let due = self.retry.is_none_or(|when| when <= Instant::now());
        if self.mode != SpoolMode::Off && self.spool.is_none() && due {
            self.open(first);
        }
        self.spool.is_some() && due
    }

    /// Whether the disk takes what it is given.
    pub fn is_well(&self) -> bool {
        self.spool.is_some() && self.retry.is_none()
    }

    /// Writes records; false where the disk does not take them.
    pub fn append<'e>(&mut self, entries: impl Iterator<Item = Entry<'e>>, known: bool) -> bool {
        let Some(spool) = &mut self.spool else { return false };
        let mut some = false;
        let lose = |lost: Tally| {
            some |= lost.records > 0;
            lose(lost, &self.meter);
        };
        match spool.append(entries, known, lose) {
            Ok(()) => self.well(),
            Err(error) => self.trouble(&error, RETRY),
        }
        if some && !std::mem::replace(&mut self.full, true) {
            error!(
                max_bytes = self.max_bytes,
                "records are lost: the spool in {} is full, and the oldest go; raise spool.max_bytes",
                self.dir.display()
            );
        }
        self.retry.is_none()
    }

    /// What is on disk only.
    pub fn unread(&self) -> Tally {
        self.spool.as_ref().map(Spool::unread).unwrap_or_default()
    }

    /// Reads so many bytes of it.
    pub fn read(&mut self, most: usize, take: impl FnMut(Entry<'_>)) {
        let Some(spool) = &mut self.spool else { return };
        if let Err(error) = spool.read(most, take, |lost| lose(lost, &self.meter)) {
            error!(%error, "records are lost: a part of the spool cannot be read");
        }
    }

    /// Notes that all up to this number is done with.
    pub fn acknowledge(&mut self, number: u64, totals: Totals) {
        let Some(spool) = &mut self.spool else { return };
        match spool.acknowledge(number, totals) {
            Ok(()) => self.full &= spool.unread().records > 0,
            Err(error) => self.trouble(&error, RETRY),
        }
    }

    /// Whether a record is on disk.
    pub fn has(&self, number: u64) -> bool {
        self.spool.as_ref().is_some_and(|spool| spool.has(number))
    }

    /// The number of the last record that was ever written.
    pub fn last(&self) -> u64 {
        self.spool.as_ref().map_or(0, Spool::last)
    }

    /// Whether something is to be synced.
    pub fn is_dirty(&self) -> bool {
        self.syncing.is_some() || self.spool.as_ref().is_some_and(Spool::is_dirty)
    }

    /// Has the disk hold what was written, in the background.
    pub async fn sync(&mut self) {
        if let Some(syncing) = self.syncing.take_if(|syncing| syncing.is_finished()) {
            self.synced(syncing.await);
        }
        if self.syncing.is_none() && self.synced.elapsed() >= SYNC {
            self.syncing = self.start_sync();
        }
    }

    /// The same, and waits for it.
    pub async fn sync_now(&mut self) {
        for syncing in [self.syncing.take(), self.start_sync()].into_iter().flatten() {
            self.synced(syncing.await);
        }
    }

    fn start_sync(&mut self) -> Option<JoinHandle<io::Result<()>>> {
        let files = self.spool.as_mut().map(Spool::to_sync).unwrap_or_default();
        self.synced = Instant::now();
        let sync = |files: Vec<Arc<File>>| files.iter().try_for_each(|file| file.sync_data());
        (!files.is_empty()).then(|| spawn_blocking(move || sync(files)))
    }

    fn synced(&mut self, synced: Result<io::Result<()>, tokio::task::JoinError>) {
        match synced {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.trouble(&error, RETRY),
            Err(error) => warn!(%error, "the spool is not synced"),
        }
    }

    fn trouble(&mut self, error: &io::Error, pause: Duration) {
        self.retry = Some(Instant::now() + pause);
        if self.said.is_none_or(|when| when.elapsed() >= SAY_AGAIN) {
            self.said = Some(Instant::now());
            self.failing = true;
            error!(
                %error,
                "the spool in {} cannot be written: records wait in memory, what finds no room there is lost, and a \
                 restart loses all of it; free the disk or change spool.dir",
                self.dir.display()
            );
        }
    }

    fn well(&mut self) {
        self.retry = None;
        if std::mem::take(&mut self.failing) {
            info!("the spool in {} is written again", self.dir.display());
        }
    }
}

/// Counts what the spool has lost; what its records told of losses is to be told again.
fn lose(lost: Tally, meter: &SinkMeter) {
    meter.lost_spool.add(lost.events);
    if let Some(loss) = Loss::of_told(SPOOL, Of::ALL, lost.told) {
        meter.tell_again_from_line(&loss);
    }
    meter.reach(0, 0);
}
