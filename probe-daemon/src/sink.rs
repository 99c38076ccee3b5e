//! Where records go. Every sink has one bounded queue and one task, [`drive`]; none knows a source or another sink.
//!
//! In: encoded records. Out: bytes in Kafka, a file or on stdout, and a count of each record that got there or did
//! not. A sink that is slow or away fills its own queue only: what finds it full is lost for that sink, counted.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    time::Instant,
};

use crate::{encode::Form, filter::Filter, meter::SinkMeter};

pub mod file;
pub mod kafka;
pub mod stdout;

/// Records that wait for one sink at most.
const QUEUE: usize = 16 * 1024;
/// Records that a sink is given at once.
const BATCH: usize = 512;

/// One record, encoded.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The document, without a trailing newline.
    pub bytes: Bytes,
    /// What kind of event it is; a header of the Kafka record.
    pub event_name: &'static str,
    /// What filters go by.
    pub mark: Mark,
    /// What the document is.
    pub form: &'static Form,
    /// Events that it stands for.
    pub occurrences: u64,
}

/// What a record tells, as far as filters ask.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// The event's number in the catalogue; none where that does not know it.
    pub event_id: Option<u32>,
    /// The same for records that tell the same: of one number, with one body.
    pub told: u64,
}

/// When a stopping daemon gives up on what is not delivered. Unset while it runs.
#[derive(Clone, Debug, Default)]
pub struct Deadline(Arc<OnceLock<Instant>>);

impl Deadline {
    /// From now on, `patience` is left. Only the first call counts.
    pub fn start(&self, patience: Duration) {
        self.0.get_or_init(|| Instant::now() + patience);
    }

    /// Time left, or none where the daemon is not stopping.
    pub fn left(&self) -> Option<Duration> {
        self.0.get().map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether the time is up.
    pub fn passed(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }
}

/// What a sink does; [`drive`] does the rest.
pub trait Sink: Send + 'static {
    /// Takes all records out of the batch and delivers them in order. The sink counts each as delivered or lost,
    /// now or when it knows. It may wait for as long as it needs, but not past the deadline.
    fn deliver(&mut self, batch: &mut Vec<Encoded>) -> impl Future<Output = ()> + Send;

    /// Waits until there is something to do beside new records, such as one that came back. May be dropped at any
    /// time.
    fn wants_care(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Does it.
    fn care(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Finishes: returns when each record is counted, at the deadline at the latest.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// The pipeline's end of a sink's queue.
pub struct Queue {
    records: mpsc::Sender<Encoded>,
    meter: Arc<SinkMeter>,
    filter: Option<watch::Receiver<Filter>>,
}

impl Queue {
    /// A queue, and the end that [`drive`] takes.
    pub fn new(meter: Arc<SinkMeter>) -> (Self, mpsc::Receiver<Encoded>) {
        let (records, receiver) = mpsc::channel(QUEUE);
        (Self { records, meter, filter: None }, receiver)
    }

    /// From now on takes only what passes the filter, as it is at the time; the rest is counted.
    pub fn filtered(self, filter: watch::Receiver<Filter>) -> Self {
        Self { filter: Some(filter), ..self }
    }

    /// Whether there is room for a few more records.
    pub fn has_room(&self) -> bool {
        self.records.capacity() >= QUEUE / 16
    }

    /// Counts a record that has no form for the sink as lost.
    pub fn refuse(&self, occurrences: u64) {
        self.meter.lost_queue.add(occurrences);
    }

    /// Waits until there is room for a record, or the sink has ended.
    pub async fn ready(&self) {
        drop(self.records.reserve().await);
    }

    /// Gives the record to the sink, or counts it as lost when the queue is full. Never waits.
    pub fn offer(&self, record: Encoded) {
        if self.filter.as_ref().is_some_and(|filter| !filter.borrow().passes(record.mark.event_id)) {
            return self.meter.filtered.add(record.occurrences);
        }
        if let Err(TrySendError::Full(record) | TrySendError::Closed(record)) = self.records.try_send(record)
        {
            self.meter.lost_queue.add(record.occurrences);
        }
    }
}

/// Feeds a sink from its queue until the pipeline has closed it, then closes the sink.
pub async fn drive(mut sink: impl Sink, mut records: mpsc::Receiver<Encoded>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            count = records.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    break;
                }
                sink.deliver(&mut batch).await;
                batch.clear();
            }
            () = sink.wants_care() => sink.care().await,
        }
    }
    sink.close().await;
}

/// Events that a batch stands for.
fn occurrences(batch: &[Encoded]) -> u64 {
    batch.iter().map(|record| record.occurrences).sum()
}

/// The batch as lines, each with its newline.
fn lines(batch: &[Encoded]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(batch.iter().map(|record| record.bytes.len() + 1).sum());
    for record in batch {
        lines.extend_from_slice(&record.bytes);
        lines.push(b'\n');
    }
    lines
}
