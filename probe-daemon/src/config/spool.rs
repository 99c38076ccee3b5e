//! The section of the spool. In: values of the tree. Out: where records wait for Kafka, and how many.

use std::path::PathBuf;

use super::choice::SpoolMode;
use super::kind::{AbsolutePath, Maybe, Whole, one_of};
use super::schema::section;

section! {
    /// Records on disk that Kafka has not acknowledged: they outlive an outage and a restart of the daemon.
    pub struct Spool {
        /// `"always"` writes each record before it is sent, so that none is lost where the daemon is killed;
        /// `"outage"` only what Kafka does not acknowledge within a second, or what finds no room in memory; `"off"`
        /// nothing, so that an outage costs what finds no room in memory, and a stop during it all the rest.
        pub mode: SpoolMode = SpoolMode::Always, one_of::<SpoolMode>();
        /// Bytes on disk at most. Beyond that the oldest records go, counted as lost at the hop `spool`.
        pub max_bytes: u64 = 268_435_456, Whole(1_048_576..=1_099_511_627_776);
        /// Folder of the files; left out: `spool` below `event.state_dir`. Each daemon needs its own.
        pub dir: Option<PathBuf> = None, Maybe(AbsolutePath);
    }
}
