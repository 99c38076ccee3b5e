//! Puts events into the ring buffer and counts what became of them.
//!
//! In: a filled header, and for system calls with captured memory a filled scratch. Out: a ring record, and one
//! more in `sent` or `lost`. Per-CPU counters need no atomics: tracing programs run with preemption off, and no
//! hook interrupts another of the same kind on its CPU.
//!
//! Nothing here forces a wake-up: the kernel wakes the reader only when it had caught up, and the reader sleeps
//! a few milliseconds between drains, so that a flood costs a wake-up per drain and not one per event.

use probe_common::{Counters, Kind, RingHeader};

use crate::map::{COUNTERS, RING};

/// Counts one event that the policy asked for, and sends it with `send`, which says whether there was room.
#[inline(always)]
pub fn counted(kind: Kind, send: impl FnOnce() -> bool) {
    let Some(counters) = COUNTERS.get_ptr_mut(kind as u32) else { return };
    // SAFETY: a value of the per-CPU map, which only this CPU writes.
    let counters: &mut Counters = unsafe { &mut *counters };
    counters.matched += 1;
    if send() {
        counters.sent += 1;
    } else {
        counters.lost += 1;
    }
}

/// Sends a record without captured memory; `fill` writes all of it, in place.
#[inline(always)]
pub fn reserve(fill: impl FnOnce(&mut RingHeader)) -> bool {
    let Some(mut entry) = RING.reserve::<RingHeader>(0) else { return false };
    // SAFETY: `fill` writes every field; until then the entry holds old ring bytes, valid for its integers.
    fill(unsafe { &mut *entry.as_mut_ptr() });
    entry.submit(0);
    true
}
