//! What has become of events, kept where the daemon that counts it may end and the next one go on.
//!
//! In: what the daemon has taken out of the kernel side and handed on. Out: the same, to its successor.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Kind;

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
    /// 1 while ends of processes are being forgotten whose occurrences are in `folded_cleared` already: those of
    /// [`crate::EXITS_TOLD`] that [`crate::EXITS`] does not have any more.
    pub forgetting: u64,
    /// When the daemon that writes this was started, in nanoseconds since the Unix epoch.
    pub started: u64,
    /// Events dismissed.
    pub dismissed: u64,
    /// The number of the next record.
    pub sequence: u64,
    /// Events lost in the ring buffer of which a record was made, for each kind.
    pub ring: [u64; Kind::ALL.len()],
    /// How far each sink has come, in the order of the configuration's channels: Kafka, files, standard output.
    pub reached: [Reached; LEDGER_SINKS],
}

/// How far a sink has come: the events that its records tell of, those among them that say what was lost.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Reached {
    /// [`Reached::NONE`], [`Reached::HERE`] or [`Reached::SPOOL`].
    pub how: u64,
    /// The events; less than none where it is owed some of an earlier kernel side. With [`Reached::SPOOL`] what is to be
    /// taken from the total of its spool to know them.
    pub events: i64,
    /// The number of the last record that it has; 0 where it has none.
    pub sequence: u64,
}

impl Reached {
    /// There is no such sink, or nobody knows how far it has come.
    pub const NONE: u64 = 0;
    /// The events are counted here, after the sink has their records.
    pub const HERE: u64 = 1;
    /// The sink's spool has the total, in one write with the records.
    pub const SPOOL: u64 = 2;
}

#[cfg(feature = "user")]
mod pod {
    use super::Ledger;

    // SAFETY: `repr(C)`, made of integers only, without padding (zerocopy's `IntoBytes` derive checks it).
    unsafe impl aya::Pod for Ledger {}
}
