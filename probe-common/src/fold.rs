//! The table in which the kernel side counts failures that repeat.
//!
//! In: which failure. Out: where in the table it is counted.
//!
//! The table is made of arrays, since on the hot path a look-up in a hash costs several times as much. It has three
//! banks of the same size. Programs count in one of them, which the daemon names; meanwhile it reads what is in the
//! other two and clears the older of them, so that it becomes the next. Within a bank a failure has one set of four
//! ways, a cache line, and takes the first way that is free; none is freed before the whole bank is cleared.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{call::CallPayload, ring::RingHeader};

/// Array of [`FoldPage`]: bank after bank.
pub const FOLD: &str = "FOLD";
/// Array of [`FoldFirst`], one for each way: page after page, set after set.
pub const FOLD_FIRST: &str = "FOLD_FIRST";
/// Global: one [`Control`].
pub const CONTROL: &str = ".data.control";
/// Array of [`ToldPage`], page after page as in [`FOLD`]; only the daemon uses it.
pub const TOLD: &str = "TOLD";
/// The symbol of [`CONTROL`].
pub const CONTROL_SYMBOL: &str = "CONTROL";
/// Banks of the table.
pub const FOLD_BANKS: u32 = 3;
/// Failures that one set holds.
pub const FOLD_WAYS: usize = 4;
/// Sets in a page, a power of two.
pub const FOLD_SETS: usize = 8;
/// Failures that one page holds.
pub const PAGE_WAYS: u32 = (FOLD_WAYS * FOLD_SETS) as u32;

/// What the daemon changes while programs run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Control {
    /// The bank in which failures are counted. It differs in no more than one byte from what it was before, so
    /// whoever reads it while it is written sees either.
    pub bank: u32,
    /// Pages of a bank; 0 sends each event.
    pub pages: u32,
    /// The daemon's thread group id, which is never observed; 0 is nobody's.
    pub own: u32,
    /// Padding, always 0.
    pub reserved: u32,
}

/// Which failures are repeats of one another; never 0.
#[inline(always)]
pub const fn fold_key(tgid: u32, slot: u32, errno: u32) -> u64 {
    (tgid as u64) << 32 | (slot as u64) << 16 | errno as u64
}

/// The page within its bank, and the set in that page, for a failure.
#[inline(always)]
pub const fn fold_place(key: u64, pages: u32) -> (u32, u32) {
    // The odd number next to 2⁶⁴ divided by the golden ratio spreads keys that differ little.
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let place = (hash >> 32) * pages as u64;
    ((place >> 32) as u32, (place as u32) >> (32 - FOLD_SETS.ilog2()))
}

/// Failures that share a place: their keys, 0 for a free way, and how many occurrences of each no ring record tells of.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FoldSet {
    /// [`fold_key`].
    pub keys: [u64; FOLD_WAYS],
    /// Occurrences.
    pub counts: [u64; FOLD_WAYS],
}

const _: () = assert!(size_of::<FoldSet>() == 64 && FOLD_SETS.is_power_of_two());

/// Sets that the daemon reads at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FoldPage {
    /// Its sets.
    pub sets: [FoldSet; FOLD_SETS],
}

/// Of the failures of one [`FoldPage`], how many occurrences the daemon has taken: it survives the daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ToldPage {
    /// Occurrences, way after way, set after set.
    pub counts: [u64; PAGE_WAYS as usize],
}

/// What is known of a failure that repeats.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FoldFirst {
    /// [`fold_key`]; written last.
    pub key: u64,
    /// Who and when, the first time.
    pub header: RingHeader,
    /// The call's registers, the first time. Its captured memory went only into the ring buffer.
    pub payload: CallPayload,
}

#[cfg(feature = "user")]
mod pod {
    use super::{Control, FoldFirst, FoldPage, ToldPage};

    // SAFETY: `repr(C)`, made of integers only, without padding (zerocopy's `IntoBytes` derive checks it).
    unsafe impl aya::Pod for Control {}
    // SAFETY: as above.
    unsafe impl aya::Pod for FoldPage {}
    // SAFETY: as above.
    unsafe impl aya::Pod for FoldFirst {}
    // SAFETY: as above.
    unsafe impl aya::Pod for ToldPage {}
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn similar_failures_spread_over_all_sets() {
        let pages = 170;
        let mut sets: HashMap<(u32, u32), usize> = HashMap::new();
        // As many as a quarter of the ways: processes in a row, a few calls, a few errors.
        for (tgid, slot, errno) in (0..68).flat_map(|tgid| {
            (0..5).flat_map(move |slot| [1, 2, 13, 22].map(|errno| (4_000 + tgid, slot, errno)))
        }) {
            let (page, set) = fold_place(fold_key(tgid, slot, errno), pages);
            *sets.entry((page, set)).or_default() += 1;
        }
        let full: usize = sets.values().map(|keys| keys.saturating_sub(FOLD_WAYS)).sum();
        assert!(full < 14, "{full} of 1360 keys find their set full");
    }

    proptest! {
        #[test]
        fn every_failure_has_a_key_of_its_own_and_a_page(
            a in (1u32..=4_194_304, 0u32..2048, 1u32..256),
            b in (1u32..=4_194_304, 0u32..2048, 1u32..256),
            pages in 1u32..40_000,
        ) {
            let (left, right) = (fold_key(a.0, a.1, a.2), fold_key(b.0, b.1, b.2));
            prop_assert_eq!(a == b, left == right);
            let (page, set) = fold_place(left, pages);
            prop_assert!(left != 0 && page < pages && set < FOLD_SETS as u32);
        }
    }
}
