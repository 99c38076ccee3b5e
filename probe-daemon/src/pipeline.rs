//! Observations become encoded records and go to every sink's queue.
//!
//! In: batches of observations from the sources. Out: each record, encoded once, offered to each queue. It ends
//! when all sources have closed their end, and closes the queues by dropping them.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::error;
use ulid::{Generator, Overflow};

use crate::{
    clock::{Clock, wall_now},
    encode::json::Json,
    event::Observation,
    meter::Meter,
    policy::Policy,
    record::LogRecord,
    sink::{Encoded, Queue},
};

/// Batches that wait for the pipeline at most.
pub const QUEUE: usize = 64;

/// What turns observations into records.
pub struct Pipeline {
    /// Says how grave each is.
    pub policy: Arc<Policy>,
    /// The encoder of the configured encoding.
    pub encoder: Json,
    /// One queue for each sink.
    pub queues: Vec<Queue>,
    /// Counts the records.
    pub meter: Arc<Meter>,
}

impl Pipeline {
    /// Works until the sources have closed.
    pub async fn run(self, mut observations: mpsc::Receiver<Vec<Observation>>) {
        let mut ids = Generator::new();
        while let Some(batch) = observations.recv().await {
            let (clock, observed) = (Clock::now(), wall_now());
            for observation in &batch {
                let event = &observation.event;
                let severity = self.policy.severity(event.nr, event.errno);
                let id = ids.generate().unwrap_or_else(Overflow::commit_overflow_increment);
                let record = LogRecord::new(observation, severity, id, observed, clock);
                match self.encoder.encode(&record) {
                    Ok(bytes) => {
                        self.meter.records.add(1);
                        self.offer(Encoded { bytes, event_name: record.event_name });
                    }
                    Err(error) => {
                        self.meter.malformed.add(1);
                        error!(%error, "an event is lost: its record cannot be encoded");
                    }
                }
            }
        }
    }

    fn offer(&self, record: Encoded) {
        let Some((last, others)) = self.queues.split_last() else { return };
        for queue in others {
            queue.offer(record.clone());
        }
        last.offer(record);
    }
}
