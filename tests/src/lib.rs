//! What the whole-daemon tests and the demo stand on: a daemon under control, a real Kafka, failures made
//! on purpose, and a strict reader of records. In comes the daemon's binary (`PROBE_DAEMON`) and Kafka's
//! jars (`KAFKA_LIBS`); out come records and ledgers to compare.
//!
//! Nothing here uses the daemon's library: the tests see what a user sees.

pub mod cgroup;
pub mod crash;
pub mod cri;
pub mod daemon;
pub mod death;
pub mod disk;
pub mod follow;
pub mod kafka;
pub mod ledger;
pub mod memory;
pub mod pins;
pub mod provoke;
pub mod record;
pub mod stall;
pub mod stay;
pub mod told;
pub mod wait;
