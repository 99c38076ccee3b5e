//! Reads the ring buffer.
//!
//! In: records. Out: observations in the [`Outbox`]. What that has no room for is counted as lost, and not decoded: under a
//! flood whoever throws away must not take the time of those who deliver.

use aya::maps::{MapData, RingBuf};
use probe_common::RingRecord;
use tracing::debug;

use super::{before::Before, outbox::Outbox};
use crate::{
    clock::Clock,
    event::{Event, Observation},
    meter::Meter,
};

/// Records that one drain takes at most before it lets others run.
const DRAIN: usize = 16 * 1024;

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
    outbox: &mut Outbox,
) -> Drained {
    let clock = Clock::now();
    let (mut taken, mut lost) = (0, 0);
    while taken < DRAIN {
        let Some(bytes) = ring.next() else { break };
        taken += 1;
        match RingRecord::parse(&bytes) {
            Ok(record) => {
                if let Some(before) = &mut before {
                    before.see(record.kind, &record.header);
                }
                if outbox.has_room(record.kind) {
                    let time = clock.wall(record.header.head.finish);
                    outbox.push(Observation { time, event: Event::from(&record) });
                } else {
                    lost += 1;
                }
            }
            Err(error) => {
                meter.malformed.add(1);
                debug!(%error, "a record of the ring buffer cannot be read");
            }
        }
    }
    meter.received.add(taken as u64);
    meter.lost_pipeline.add(lost);
    if taken < DRAIN { Drained::All } else { Drained::Some }
}
