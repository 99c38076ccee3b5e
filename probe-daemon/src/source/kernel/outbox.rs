//! What waits for the pipeline: events that arrive while it is busy are gathered into one batch.
//!
//! In: batches as they are read. Out: batches in the same order, few and large when the pipeline is slow. The bound
//! counts events, not batches, so that a trickle on a slow host does not fill it with batches of one.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::{event::Batch, meter::Meter};

/// Events that wait here at most. The first batch is taken whatever its size.
const WAITING: usize = 8 * 1024;

/// Batches in the order in which they were read.
#[derive(Default)]
pub struct Outbox {
    batches: VecDeque<Batch>,
    events: usize,
}

impl Outbox {
    /// Takes a batch over, or counts it as lost where there is no room.
    pub fn put(&mut self, batch: Batch, meter: &Meter) {
        if self.events > 0 && self.events + batch.len() > WAITING {
            return meter.lost_pipeline.add(batch.occurrences());
        }
        self.events += batch.len();
        match (self.batches.back_mut(), batch) {
            (Some(Batch::Events(last)), Batch::Events(mut more)) => last.append(&mut more),
            (_, batch) => self.batches.push_back(batch),
        }
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
    use crate::event::{Event, Observation, TraceEvent};

    fn seen(time: u64) -> Observation {
        let raw = RawEvent::ingest(&[0; RAW_EVENT_LEN]).unwrap();
        Observation { time, event: Event::Call(TraceEvent::from(&raw)) }
    }

    #[test]
    fn a_trickle_becomes_one_batch_in_order_with_what_repeated() {
        let (mut outbox, meter) = (Outbox::default(), Meter::default());
        for time in 0..1_000 {
            outbox.put(Batch::Events(vec![seen(time)]), &meter);
        }
        outbox.put(Batch::Repeats(vec![(seen(1_000), 7)], 0), &meter);
        outbox.put(Batch::Events(vec![seen(1_001)]), &meter);
        let lens: Vec<usize> = std::iter::from_fn(|| outbox.take()).map(|batch| batch.len()).collect();
        assert_eq!(lens, [1_000, 1, 1]);
        assert!(outbox.is_empty());
        assert_eq!(meter.lost_pipeline.get(), 0);
    }

    #[test]
    fn what_has_no_room_is_counted_in_occurrences() {
        let (mut outbox, meter) = (Outbox::default(), Meter::default());
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
