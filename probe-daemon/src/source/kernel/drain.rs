//! Reads the ring buffer.
//!
//! In: records. Out: batches of observations.

use aya::maps::{MapData, RingBuf};
use probe_common::RingRecord;
use tracing::debug;

use super::before::Before;
use crate::{
    clock::Clock,
    event::{Batch, Event, Observation},
    meter::Meter,
};

/// Records that one drain takes at most before it lets others run.
const DRAIN: usize = 16 * 1024;
/// Observations that are sent to the pipeline at once.
const BATCH: usize = 256;

/// How far a drain has come.
#[derive(Eq, PartialEq)]
pub enum Drained {
    /// The ring buffer is empty.
    All,
    /// There may be more.
    Some,
}

/// Takes records out of the ring, until it is empty or [`DRAIN`] records are out.
pub fn drain(
    ring: &mut RingBuf<MapData>,
    meter: &Meter,
    mut before: Option<&mut Before>,
    mut deliver: impl FnMut(Batch),
) -> Drained {
    let clock = Clock::now();
    let mut batch = Vec::new();
    let mut taken = 0;
    while taken < DRAIN {
        let Some(bytes) = ring.next() else { break };
        taken += 1;
        match RingRecord::parse(&bytes) {
            Ok(record) => {
                if let Some(before) = &mut before {
                    before.see(record.kind, &record.header);
                }
                let time = clock.wall(record.header.head.finish);
                batch.push(Observation { time, event: Event::from(&record) });
            }
            Err(error) => {
                meter.malformed.add(1);
                debug!(%error, "a record of the ring buffer cannot be read");
            }
        }
        drop(bytes);
        if batch.len() == BATCH {
            deliver(Batch::Events(std::mem::take(&mut batch)));
        }
    }
    if !batch.is_empty() {
        deliver(Batch::Events(batch));
    }
    meter.received.add(taken as u64);
    if taken < DRAIN { Drained::All } else { Drained::Some }
}
