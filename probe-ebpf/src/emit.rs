//! Puts events into the ring buffer and counts what became of them.
//!
//! In: a filled record. Out: a ring record, and one more in `sent` or `lost`. Per-CPU counters need no atomics where
//! no program interrupts another of the same kind on its CPU, as is so of tracepoints, which run with preemption off.
//! An iterator is interrupted; what counts the same kind as one uses [`stamp_shared`] and [`count_shared_lost`].
//!
//! Nothing here forces a wake-up: the kernel wakes the reader only when it had caught up, and the reader sleeps
//! a few milliseconds between drains, so that a flood costs a wake-up per drain and not one per event.

use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_ringbuf_output};
use probe_common::{Kind, RingHeader};

use crate::{
    atomic,
    map::{COUNTERS, RING},
};

/// What became of an event.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Fate {
    /// It is in the ring buffer.
    Sent,
    /// It is nowhere.
    Lost,
}

/// Counts one event.
#[inline(always)]
pub fn count(kind: Kind, fate: Fate) {
    let Some(counters) = COUNTERS.get_ptr_mut(kind as u32) else { return };
    // SAFETY: a value of the per-CPU map, which only this CPU writes.
    let counters = unsafe { &mut *counters };
    match fate {
        Fate::Sent => counters.sent += 1,
        Fate::Lost => counters.lost += 1,
    }
}

/// The stamp of a record that is about to be sent, and counted when it is: [`RingHeader::stamp`].
#[inline(always)]
pub fn stamp(kind: Kind) -> u64 {
    let Some(counters) = COUNTERS.get_ptr_mut(kind as u32) else { return 0 };
    // SAFETY: as above.
    with_cpu(unsafe { (*counters).sent })
}

/// As [`stamp`], of a kind that several programs send which interrupt each other. The record is sure to be sent, and
/// counted with this.
#[inline(always)]
pub fn stamp_shared(kind: Kind) -> u64 {
    let Some(counters) = COUNTERS.get_ptr_mut(kind as u32) else { return 0 };
    // SAFETY: a value of the map, valid while this program runs.
    with_cpu(unsafe { atomic::fetch_add(&raw mut (*counters).sent, 1) })
}

#[inline(always)]
fn with_cpu(before: u64) -> u64 {
    // SAFETY: takes no arguments and never fails.
    RingHeader::stamp_of(unsafe { bpf_get_smp_processor_id() } as u32, before + 1)
}

/// Counts as lost an event of such a kind.
#[inline(always)]
pub fn count_shared_lost(kind: Kind) {
    let Some(counters) = COUNTERS.get_ptr_mut(kind as u32) else { return };
    // SAFETY: a value of the map, valid while this program runs.
    unsafe { atomic::add(&raw mut (*counters).lost, 1) };
}

/// Sends a record of a fixed size; `fill` writes all of it, in place. Counts it.
#[inline(always)]
pub fn reserve<T: 'static>(kind: Kind, fill: impl FnOnce(&mut T)) {
    let Some(mut entry) = RING.reserve::<T>(0) else { return count(kind, Fate::Lost) };
    // SAFETY: `fill` writes every field; until then the entry holds old ring bytes, valid for its integers.
    fill(unsafe { &mut *entry.as_mut_ptr() });
    entry.submit(0);
    count(kind, Fate::Sent);
}

/// Sends `length` bytes. The caller counts it.
///
/// # Safety
/// So many bytes lie at `record`; the verifier must see it.
#[inline(always)]
pub unsafe fn output(record: *const u8, length: usize) -> Fate {
    // SAFETY: the caller's promise.
    let result = unsafe {
        bpf_ringbuf_output((&raw const RING).cast_mut().cast(), record.cast_mut().cast(), length as u64, 0)
    };
    if result == 0 { Fate::Sent } else { Fate::Lost }
}
