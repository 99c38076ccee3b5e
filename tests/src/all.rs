//! All whole-daemon tests, in one binary: in come `PROBE_DAEMON` and, for the tests with a real Kafka,
//! `KAFKA_LIBS`; out comes whether the daemon does what its documents say.
//!
//! `kernel::` needs a kernel and root alone, so it also runs in a guest that has nothing else. The tests look
//! at the whole host, so they run one after the other: `--test-threads=1`.

#[path = "all/cli.rs"]
mod cli;
#[path = "all/config.rs"]
mod config;
#[path = "all/expect.rs"]
mod expect;
#[path = "all/kafka.rs"]
mod kafka;
#[path = "all/kernel.rs"]
mod kernel;
#[path = "all/replay.rs"]
mod replay;
