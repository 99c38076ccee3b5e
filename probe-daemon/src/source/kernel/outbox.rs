//! What waits for the pipeline: events that arrive while it is busy are gathered into batches.
//!
//! In: events as they are read, and what repeated. Out: batches in the same order, full ones when the pipeline is slow. The
//! bound counts events, not batches, so that a trickle on a slow host does not fill it with batches of one.

use std::collections::VecDeque;

use probe_common::Kind;
use tokio::sync::mpsc;

use crate::{
    event::{Batch, Observation},
    meter::Meter,
};

/// Events that wait here at most.
const WAITING: usize = 4 * 1024;
/// So many of them may be failed calls: a flood of these leaves room for what is rare.
const CALLS: usize = WAITING / 8 * 7;
/// Events of one batch.
const BATCH: usize = 256;

/// Batches in the order in which they were read.
pub struct Outbox {
    batches: VecDeque<Batch>,
    events: usize,
    most: usize,
    most_calls: usize,
}

impl Outbox {
    /// One that is bounded, for a reader that does not wait.
    pub fn bounded() -> Self {
        Self { batches: VecDeque::new(), events: 0, most: WAITING, most_calls: CALLS }
    }

    /// One that has room for all that a ring buffer holds, for a reader that is followed by no other.
    pub fn endless() -> Self {
        Self { most: usize::MAX, most_calls: usize::MAX, ..Self::bounded() }
    }

    /// The same from now on as one that is endless.
    pub fn without_end(self) -> Self {
        Self { batches: self.batches, events: self.events, ..Self::endless() }
    }

    /// Whether there is room for an event of this kind.
    pub fn has_room(&self, kind: Kind) -> bool {
        let most = match kind {
            Kind::Syscall | Kind::Exec | Kind::Denial | Kind::IoUring => self.most_calls,
            Kind::Oom | Kind::Offcpu | Kind::Exit => self.most,
        };
        self.events < most
    }

    /// Takes an event over; ask first whether there is room.
    pub fn push(&mut self, seen: Observation) {
        self.events += 1;
        match self.batches.back_mut() {
            Some(Batch::Events(last)) if last.len() < BATCH => last.push(seen),
            _ => self.batches.push_back(Batch::Events(vec![seen])),
        }
    }

    /// Takes what repeated over, all of it where there is room for one more call, or counts it as lost.
    pub fn put(&mut self, repeats: Batch, meter: &Meter) {
        if !self.has_room(Kind::Syscall) {
            return meter.lost_pipeline.add(repeats.occurrences());
        }
        self.events += repeats.len();
        self.batches.push_back(repeats);
    }

    /// Hands over what the pipeline has room for now.
    pub fn flush(&mut self, pipeline: &mpsc::Sender<Batch>) {
        while !self.is_empty()
            && let Ok(room) = pipeline.try_reserve()
            && let Some(batch) = self.take()
        {
            room.send(batch);
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The oldest batch.
    pub fn take(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.events -= batch.len();
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use probe_common::{RAW_EVENT_LEN, RawEvent};

    use super::*;
    use crate::event::{Event, TraceEvent};

    fn seen(time: u64) -> Observation {
        let raw = RawEvent::ingest(&[0; RAW_EVENT_LEN]).unwrap();
        Observation { time, event: Event::Call(TraceEvent::from(&raw)) }
    }

    fn fill(outbox: &mut Outbox, kind: Kind) -> usize {
        (0..).take_while(|time| outbox.has_room(kind).then(|| outbox.push(seen(*time))).is_some()).count()
    }

    #[test]
    fn a_trickle_becomes_full_batches_in_order_with_what_repeated() {
        let (mut outbox, meter) = (Outbox::bounded(), Meter::default());
        (0..2 * BATCH as u64 + 1).for_each(|time| outbox.push(seen(time)));
        outbox.put(Batch::Repeats(vec![(seen(1_000), 7)], 0), &meter);
        outbox.push(seen(1_001));
        let lens: Vec<usize> = std::iter::from_fn(|| outbox.take()).map(|batch| batch.len()).collect();
        assert_eq!(lens, [BATCH, BATCH, 1, 1, 1]);
        assert!(outbox.is_empty());
        assert_eq!(meter.lost_pipeline.get(), 0);
    }

    #[test]
    fn a_flood_of_calls_leaves_room_for_what_is_rare() {
        let mut outbox = Outbox::bounded();
        assert_eq!(fill(&mut outbox, Kind::Denial), CALLS);
        assert!(!outbox.has_room(Kind::Syscall) && !outbox.has_room(Kind::IoUring));
        assert_eq!(fill(&mut outbox, Kind::Oom), WAITING - CALLS);
        outbox.take();
        assert!(outbox.has_room(Kind::Exit) && !outbox.has_room(Kind::Exec));
    }

    #[test]
    fn what_has_no_room_is_counted_in_occurrences() {
        let (mut outbox, meter) = (Outbox::bounded(), Meter::default());
        let many = (0..=WAITING as u64).map(|time| (seen(time), 1)).collect();
        outbox.put(Batch::Repeats(many, 0), &meter);
        outbox.put(Batch::Repeats(vec![(seen(0), 7)], 0), &meter);
        assert_eq!(meter.lost_pipeline.get(), 7);
        outbox.take();
        outbox.put(Batch::Repeats(vec![(seen(0), 7)], 0), &meter);
        assert_eq!(outbox.take().map(|batch| batch.len()), Some(1));
        assert_eq!(meter.lost_pipeline.get(), 7);
    }
}
