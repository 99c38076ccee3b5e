//! The account that outlives the daemon.
//!
//! In: what was taken out of the kernel side and handed on. Out: the same to the next daemon, which finds the map pinned.

use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{Array, MapData, MapError};
use probe_common::{LEDGER, Ledger as Entry};

use super::{
    KernelError,
    maps::{Maps, array},
};

/// A handle; clones write the same account.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<(Array<MapData, Entry>, Entry)>>);

impl Ledger {
    /// Opens the map, and goes on with what it has.
    pub fn new(maps: &mut impl Maps) -> Result<Self, KernelError> {
        let map: Array<_, Entry> = array(maps, LEDGER)?;
        let now = map.get(&0, 0).map_err(|e| KernelError::refused("reading a map", e))?;
        Ok(Self(Arc::new(Mutex::new((map, now)))))
    }

    /// The account as it is now.
    pub fn get(&self) -> Entry {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Changes it: one system call. Where that fails nothing has changed.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn update(&self, change: impl FnOnce(&mut Entry)) -> Result<(), MapError> {
        let (map, now) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = *now;
        change(&mut changed);
        map.set(0, changed, 0)?;
        *now = changed;
        Ok(())
    }
}
