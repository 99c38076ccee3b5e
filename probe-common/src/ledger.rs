//! What has become of events, kept where the daemon that counts it may end and the next one go on.
//!
//! In: what the daemon has taken out of the kernel side and handed on. Out: the same, to its successor.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Array of one [`Ledger`]; only the daemon uses it.
pub const LEDGER: &str = "LEDGER";
/// Sinks that a [`Ledger`] has room for.
pub const LEDGER_SINKS: usize = 4;

/// The account of one kernel side: of its programs and maps, from when they were made until they are taken down.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Ledger {
    /// Which kernel side it is: a random number; never 0.
    pub epoch: u64,
    /// Which maps belong to it: a digest of their names and ids.
    pub maps: u64,
    /// Occurrences taken from ways of the fold table that have been cleared since; [`crate::TOLD`] has the others.
    pub folded_cleared: u64,
    /// One more than the page of the fold table that is being cleared, and whose occurrences are in `folded_cleared`
    /// already; 0 for none. Whoever finds one clears it.
    pub clearing: u64,
    /// When the daemon that writes this was started, in nanoseconds since the Unix epoch.
    pub started: u64,
    /// Events dismissed.
    pub dismissed: u64,
    /// The number of the next record.
    pub sequence: u64,
    /// How far each sink has come.
    pub reached: [Reached; LEDGER_SINKS],
}

/// How far a sink has come.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Reached {
    /// 1 where a daemon has such a sink, in the order of the configuration's channels: Kafka, files, standard output.
    pub active: u64,
    /// Events that it has for good; of Kafka's spool, what it had when this kernel side was made.
    pub events: u64,
}

#[cfg(feature = "user")]
mod pod {
    use super::Ledger;

    // SAFETY: `repr(C)`, made of integers only, without padding (zerocopy's `IntoBytes` derive checks it).
    unsafe impl aya::Pod for Ledger {}
}
