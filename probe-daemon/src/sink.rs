//! Where records go. Every sink has one bounded queue and one task, [`drive`]; none knows a source or another sink.
//!
//! In: encoded records. Out: bytes in Kafka, a file or on stdout, and a count of each record that got there or did
//! not. A sink that is slow or away fills its own queue only: what finds it full is lost for that sink, counted.

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};

use crate::{encode::Form, filter::Filter, losses::Loss, meter::SinkMeter};

pub mod file;
pub mod kafka;
pub mod stdout;

/// Records that wait for one sink at most.
const QUEUE: usize = 16 * 1024;
/// Bytes that they have at most, all together.
const QUEUE_BYTES: usize = 4 << 20;
/// Pause before a full queue is looked at again by somebody who waits for it.
const READY_PAUSE: Duration = Duration::from_millis(1);
/// Records that a sink is given at once.
const BATCH: usize = 256;

/// One record, encoded.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The document, without a trailing newline.
    pub bytes: Bytes,
    /// What kind of event it is; a header of the Kafka record.
    pub event_name: Cow<'static, str>,
    /// What filters go by.
    pub mark: Mark,
    /// What the document is.
    pub form: Cow<'static, Form>,
    /// Events that it stands for.
    pub occurrences: u64,
    /// Its number in the host's stream; 0 where it has none.
    pub sequence: u64,
    /// The loss that it tells its sink of.
    pub loss: Option<Arc<Loss>>,
}

impl Encoded {
    /// Events of which nobody needs to tell its sink where it is there: those that it stands for or says to be lost.
    pub fn accounts_for(&self) -> u64 {
        self.occurrences + self.loss.as_ref().map_or(0, |loss| loss.count)
    }

    /// Bytes of memory that it takes.
    fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
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
    /// Bytes in the queue.
    bytes: Arc<AtomicUsize>,
    meter: Arc<SinkMeter>,
    filter: Option<watch::Receiver<Filter>>,
}

/// The sink's end of its queue.
pub struct Records {
    records: mpsc::Receiver<Encoded>,
    bytes: Arc<AtomicUsize>,
}

impl Records {
    /// Takes some, or none where the pipeline has closed its end.
    async fn take(&mut self, batch: &mut Vec<Encoded>) -> usize {
        let count = self.records.recv_many(batch, BATCH).await;
        self.bytes.fetch_sub(batch.iter().map(Encoded::size).sum(), Ordering::Relaxed);
        count
    }
}

impl Queue {
    /// A queue, and the end that [`drive`] takes.
    pub fn new(meter: Arc<SinkMeter>) -> (Self, Records) {
        let (sender, records) = mpsc::channel(QUEUE);
        let bytes = Arc::new(AtomicUsize::new(0));
        let queue = Self { records: sender, bytes: Arc::clone(&bytes), meter, filter: None };
        (queue, Records { records, bytes })
    }

    /// From now on takes only what passes the filter, as it is at the time; the rest is counted.
    pub fn filtered(self, filter: watch::Receiver<Filter>) -> Self {
        Self { filter: Some(filter), ..self }
    }

    /// Whether something waits in it.
    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > 0
    }

    /// Whether there is room for a few more records.
    pub fn has_room(&self) -> bool {
        self.records.capacity() >= QUEUE / 16 && self.bytes.load(Ordering::Relaxed) < QUEUE_BYTES / 16 * 15
    }

    /// The sink's name.
    pub fn sink(&self) -> &'static str {
        self.meter.name
    }

    /// Counts a record that has no form for the sink as lost.
    pub fn refuse(&self, occurrences: u64) {
        self.meter.lost_queue.add(occurrences);
    }

    /// Waits until there is room for a few more records, or the sink has ended.
    pub async fn ready(&self) {
        while !self.has_room() && !self.records.is_closed() {
            time::sleep(READY_PAUSE).await;
        }
    }

    /// Gives the record to the sink, or counts it as lost when the queue is full. What it tells of losses is to be told again
    /// then. Never waits.
    pub fn offer(&self, record: Encoded) {
        if self.filter.as_ref().is_some_and(|filter| !filter.borrow().passes(record.mark.event_id)) {
            self.meter.reached.add(record.accounts_for());
            return self.meter.filtered.add(record.occurrences);
        }
        let (size, occurrences, loss) = (record.size(), record.occurrences, record.loss.clone());
        // Only the pipeline adds, so nothing can come in between.
        let room = self.bytes.load(Ordering::Relaxed) + size <= QUEUE_BYTES;
        self.bytes.fetch_add(size, Ordering::Relaxed);
        if !room || self.records.try_send(record).is_err() {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            self.meter.lost_queue.add(occurrences);
            loss.iter().for_each(|loss| self.meter.tell_again(loss));
        }
    }
}

/// Feeds a sink from its queue until the pipeline has closed it, then closes the sink.
pub async fn drive(mut sink: impl Sink, mut records: Records) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            count = records.take(&mut batch) => {
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

/// Counts a batch as what the sink has for certain. `newest` is the number of its last record, where that can be found again.
fn delivered(batch: &[Encoded], newest: u64, meter: &SinkMeter) {
    meter.delivered(batch.len() as u64, occurrences(batch));
    meter.reach(batch.iter().map(Encoded::accounts_for).sum(), newest);
}

/// Counts records as lost; what they tell of losses is to be told again.
fn lose<'e>(records: impl IntoIterator<Item = &'e Encoded>, meter: &SinkMeter) {
    for record in records {
        meter.lost_delivery.add(record.occurrences);
        record.loss.iter().for_each(|loss| meter.tell_again(loss));
    }
}

/// Events that a batch stands for.
fn occurrences(batch: &[Encoded]) -> u64 {
    batch.iter().map(|record| record.occurrences).sum()
}

/// Bytes of the batch as [`lines`].
fn length(batch: &[Encoded]) -> usize {
    batch.iter().map(|record| record.bytes.len() + 1).sum()
}

/// The batch as lines, each with its newline.
fn lines(batch: &[Encoded]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(length(batch));
    for record in batch {
        lines.extend_from_slice(&record.bytes);
        lines.push(b'\n');
    }
    lines
}
