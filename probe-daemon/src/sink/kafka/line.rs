//! The one line of records that Kafka has not acknowledged. In: records, acknowledgements. Out: the next record to be
//! sent, in the order in which they came, whatever comes back.
//!
//! The oldest are in memory, up to a bound, with those that the producer has; what finds no room is in the spool only
//! and is read when there is. So a record is taken in where it fits in memory and nothing waits on disk, or where the
//! disk takes it. Where neither is so it stays with whoever offers it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tracing::{error, info};

use super::{Encoded, store::Store};
use crate::{
    config::{Config, SpoolMode},
    encode::Form,
    losses::{DELIVERY, Loss, Of},
    meter::SinkMeter,
    sink::{self, Mark},
    spool::{Entry, Totals},
};

/// What a record takes in memory beside its document, twice.
const OVERHEAD: usize = 512;
/// Bytes that are read from the disk at once.
const PORTION: usize = 256 * 1024;
/// In the mode "outage" a record goes to disk when it has waited for this time.
const OUTAGE: Duration = Duration::from_secs(1);
/// What has waited for this time is synced.
pub(super) const SYNC_AFTER: Duration = Duration::from_millis(500);

/// A record in memory.
pub(super) struct Ticket {
    /// Its place in the order of the stream.
    pub number: u64,
    /// The record.
    pub record: Encoded,
    totals: Totals,
    since: Instant,
    /// It is delivered or given up.
    done: bool,
}

pub(super) struct Line {
    /// The oldest records that are not done with; those that are wait for older ones.
    window: VecDeque<Ticket>,
    /// So many of them the producer has had.
    sent: usize,
    /// What they take.
    cost: usize,
    max_records: usize,
    max_bytes: usize,
    /// The number of the newest record, and the totals with it.
    newest: u64,
    totals: Totals,
    /// Records up to this number are in the spool, or were.
    stored: u64,
    /// All up to this one is done with.
    done: (u64, Totals),
    /// Whether `done` is to be written.
    undone: bool,
    /// Events of records of this run that are done with or on disk.
    safe: u64,
    /// What an earlier run had taken in, where there is a spool.
    pub found: Option<Totals>,
    store: Store,
    meter: Arc<SinkMeter>,
}

impl Line {
    /// Opens the spool. `epoch` tells which kernel side counts the events.
    pub fn new(config: &Config, epoch: u64, meter: Arc<SinkMeter>) -> Self {
        let (store, found) = Store::new(config, Arc::clone(&meter));
        let before = found.unwrap_or_default();
        let totals = Totals { epoch, reached: before.reached(epoch), ..before };
        let kafka = &config.kafka;
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let mut max_bytes = whole(kafka.queue_buffering_max_kbytes.saturating_mul(1024));
        if store.mode != SpoolMode::Off {
            // What is in memory keeps its place on disk; there must be other records that can go.
            max_bytes = max_bytes.min(whole(config.spool.max_bytes / 2));
        }
        Self {
            window: VecDeque::new(),
            sent: 0,
            cost: 0,
            max_records: whole(kafka.queue_buffering_max_messages),
            max_bytes,
            newest: store.last(),
            totals,
            stored: store.last(),
            done: (0, before),
            undone: false,
            safe: totals.reached,
            found,
            store,
            meter,
        }
    }

    /// Takes in as many as there is room for; the others stay.
    pub fn admit(&mut self, batch: &mut VecDeque<Encoded>) {
        if self.writes() && self.write_back() {
            self.admit_to_disk(batch);
        }
        if self.store.unread().records > 0 || self.writes_always() && self.store.is_well() {
            return;
        }
        while let Some(record) = batch.pop_front() {
            if self.is_full(&record, 0, 0) {
                batch.push_front(record);
                break;
            }
            self.newest += 1;
            self.totals = totals(self.totals, &record);
            self.enter(Ticket::new(self.newest, record, self.totals));
        }
    }

    /// Whether records are to be written before they are sent. Opens the spool where that has failed.
    fn writes(&mut self) -> bool {
        let oldest = self.window.front();
        let waits = oldest.is_some_and(|ticket| ticket.since.elapsed() >= OUTAGE);
        let stored = oldest.is_some_and(|ticket| ticket.number <= self.stored);
        let first = oldest.map(|ticket| ticket.number);
        let room = self.cost < self.max_bytes / 2 && self.window.len() < self.max_records / 2;
        let wanted = self.writes_always() || waits || stored || !room || self.store.unread().records > 0;
        let ready = wanted && self.store.ready(first);
        // It may have been opened only now.
        self.newest = self.newest.max(self.store.last());
        self.stored = self.stored.max(self.store.last());
        ready
    }

    fn writes_always(&self) -> bool {
        self.store.mode == SpoolMode::Always
    }

    /// Writes what is in memory only; whether all of it is on disk then.
    pub fn write_back(&mut self) -> bool {
        let first = self.window.front().map(|ticket| ticket.number);
        if !self.store.ready(first) {
            return false;
        }
        // What is done with needs no place on disk; what is behind it does.
        while let Some(first) = self.window.back().map(|newest| newest.number).filter(|n| *n > self.stored) {
            let missing = self.window.iter().filter(|ticket| ticket.number > self.stored && !ticket.done);
            let portion: Vec<&Ticket> = missing.take(PORTION / 1024).collect();
            let last = portion.last().map_or(first, |ticket| ticket.number);
            if !portion.is_empty() && !self.store.append(portion.into_iter().map(Ticket::entry), true) {
                return false;
            }
            self.stored = last;
        }
        self.account();
        true
    }

    fn admit_to_disk(&mut self, batch: &mut VecDeque<Encoded>) {
        let (mut records, mut bytes) = (0, 0);
        if self.store.unread().records == 0 {
            for record in batch.iter() {
                if self.is_full(record, records, bytes) {
                    break;
                }
                records += 1;
                bytes += cost(record);
            }
        }
        for (known, count) in [(true, records), (false, batch.len() - records)] {
            let (mut number, mut sum) = (self.newest, self.totals);
            let entries = batch.iter().take(count).map(|record| {
                number += 1;
                sum = totals(sum, record);
                entry(number, record, sum)
            });
            if count > 0 && !self.store.append(entries, known) {
                return;
            }
            for record in batch.drain(..count) {
                self.newest += 1;
                self.totals = totals(self.totals, &record);
                if known {
                    self.enter(Ticket::new(self.newest, record, self.totals));
                }
            }
            self.stored = self.newest;
        }
        self.account();
    }

    /// Says how far all is safe. Where each record is on disk before it is anything else, the spool itself says so, but for
    /// those whose place on disk others have needed.
    fn account(&mut self) {
        let by_spool = self.writes_always() && self.found.is_some();
        let stored = self.stored == self.newest;
        let safe = if stored { self.totals.reached } else { self.done.1.reached };
        let gone = |ticket: &&Ticket| ticket.number <= self.stored && !self.store.has(ticket.number);
        let at_risk = self.window.iter().take_while(gone).filter(|ticket| !ticket.done);
        let news = self.meter.risk(at_risk.map(|ticket| ticket.record.accounts_for()).sum());
        let fresh = if by_spool { 0 } else { safe.saturating_sub(self.safe) };
        if news || fresh > 0 {
            self.meter.reach(fresh, 0);
            self.safe += fresh;
        }
    }

    fn is_full(&self, record: &Encoded, records: usize, bytes: usize) -> bool {
        let (records, bytes) = (self.window.len() + records, self.cost + bytes);
        records > 0 && (records >= self.max_records || bytes + cost(record) > self.max_bytes)
    }

    fn enter(&mut self, ticket: Ticket) {
        self.cost += cost(&ticket.record);
        self.window.push_back(ticket);
    }

    /// Reads from the disk what there is room for.
    pub fn refill(&mut self) {
        if self.cost > self.max_bytes / 2 {
            return;
        }
        while self.store.unread().records > 0
            && self.cost < self.max_bytes
            && self.window.len() < self.max_records
        {
            let (window, cost) = (&mut self.window, &mut self.cost);
            self.store.read(PORTION.min(self.max_bytes - *cost), |entry| {
                let ticket = Ticket::read(&entry);
                *cost += self::cost(&ticket.record);
                window.push_back(ticket);
            });
        }
    }

    /// The next record to be sent.
    pub fn next(&mut self) -> Option<&Ticket> {
        while self.window.get(self.sent).is_some_and(|ticket| ticket.done) {
            self.sent += 1;
        }
        self.window.get(self.sent)
    }

    /// The producer has it.
    pub fn sent(&mut self) {
        self.sent += 1;
    }

    /// The producer is gone: all that is not acknowledged is to be sent again.
    pub fn rewind(&mut self) {
        self.sent = 0;
    }

    /// A record that is not done with.
    pub fn get(&mut self, number: u64) -> Option<&mut Ticket> {
        let index = self.window.binary_search_by_key(&number, |ticket| ticket.number).ok()?;
        self.window.get_mut(index).filter(|ticket| !ticket.done)
    }

    /// A smaller document takes the place of a record's own.
    pub fn replace(&mut self, number: u64, bytes: Bytes) {
        let Some(ticket) = self.get(number) else { return };
        let before = cost(&ticket.record);
        ticket.record.bytes = bytes;
        let after = cost(&ticket.record);
        self.cost = self.cost - before + after;
    }

    /// Kafka has these; returns how many that were not known of before.
    pub fn acknowledge(&mut self, numbers: &[u64]) -> u64 {
        let (mut records, mut events) = (0, 0);
        for number in numbers {
            if let Some(ticket) = self.get(*number) {
                ticket.done = true;
                records += 1;
                events += ticket.record.occurrences;
            }
        }
        self.meter.delivered(records, events);
        self.advance();
        records
    }

    /// Kafka never takes this one.
    pub fn give_up(&mut self, number: u64) {
        if let Some(ticket) = self.get(number) {
            ticket.done = true;
            let (occurrences, loss) = (ticket.record.occurrences, ticket.record.loss.take());
            self.meter.lost_delivery.add(occurrences);
            loss.iter().for_each(|loss| self.meter.tell_again_from_line(loss));
        }
        self.advance();
        self.meter.reach(0, 0);
    }

    fn advance(&mut self) {
        while let Some(ticket) = self.window.pop_front_if(|ticket| ticket.done) {
            self.cost -= cost(&ticket.record);
            self.sent = self.sent.saturating_sub(1);
            self.done = (ticket.number, ticket.totals);
            // In the mode "outage" nothing is written while nothing is in the spool.
            self.undone |= ticket.number <= self.stored || self.writes_always();
        }
        if std::mem::take(&mut self.undone) {
            self.store.acknowledge(self.done.0, self.done.1);
        }
        self.account();
    }

    /// Records that are not done with.
    pub fn len(&self) -> u64 {
        self.window.len() as u64 + self.store.unread().records
    }

    /// Whether everything is done with.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty() && self.store.unread().records == 0
    }

    /// Whether everything is on disk that is not done with.
    pub fn is_safe(&self) -> bool {
        self.store.is_well()
            && self.window.back().is_none_or(|newest| newest.number <= self.stored)
            && self.window.front().is_none_or(|oldest| self.store.has(oldest.number))
    }

    /// Whether something is to be synced soon.
    pub fn wants_sync(&self) -> bool {
        !self.window.is_empty() && self.store.is_dirty()
    }

    /// Syncs what has waited for long, and writes what has waited in memory.
    pub async fn care(&mut self) {
        if self.store.mode == SpoolMode::Outage && self.writes() {
            self.write_back();
        }
        if self.window.front().is_some_and(|oldest| oldest.since.elapsed() >= SYNC_AFTER)
            && self.store.is_dirty()
        {
            self.store.sync().await;
        }
    }

    /// Says what the spool keeps for the next run, and counts what nobody keeps.
    pub async fn close(mut self) {
        let unread = self.store.unread();
        if self.store.ready(self.window.front().map(|ticket| ticket.number)) && unread.records == 0 {
            self.write_back();
        }
        let left = self.window.iter().filter(|ticket| !ticket.done);
        let stored = |ticket: &&Ticket| ticket.number <= self.stored && self.store.has(ticket.number);
        let (stored, lost): (Vec<_>, Vec<_>) = left.partition(stored);
        let records = unread.records + stored.len() as u64;
        let events = unread.events + stored.iter().map(|ticket| ticket.record.occurrences).sum::<u64>();
        self.meter.risk(0);
        self.lose(lost.iter().map(|ticket| &ticket.record));
        if self.done.0 > 0 {
            self.store.acknowledge(self.done.0, self.done.1);
        }
        if records > 0 {
            self.store.sync_now().await;
            info!(records, "records stay in the spool for the next start");
            self.meter.kept.add(events);
        }
    }

    /// Counts as lost what could not be delivered before the deadline.
    pub fn lose<'e>(&self, lost: impl ExactSizeIterator<Item = &'e Encoded>) {
        if lost.len() > 0 {
            error!(records = lost.len(), "records are lost: Kafka did not acknowledge them in time");
        }
        sink::lose(lost, &self.meter);
    }
}

impl Ticket {
    fn new(number: u64, record: Encoded, totals: Totals) -> Self {
        Self { number, record, totals, since: Instant::now(), done: false }
    }

    fn read(entry: &Entry<'_>) -> Self {
        let record = Encoded {
            bytes: Bytes::copy_from_slice(entry.document),
            event_name: entry.event_name.to_owned().into(),
            mark: Mark::default(),
            form: Form::of(entry.encoding, entry.content_type),
            occurrences: entry.occurrences,
            sequence: entry.totals.sequence,
            loss: Loss::of_told(DELIVERY, Of::ALL, entry.told).map(Arc::new),
        };
        Self::new(entry.number, record, entry.totals)
    }

    fn entry(&self) -> Entry<'_> {
        entry(self.number, &self.record, self.totals)
    }
}

fn entry(number: u64, record: &Encoded, totals: Totals) -> Entry<'_> {
    Entry {
        number,
        occurrences: record.occurrences,
        told: record.loss.as_deref().map(Loss::told).unwrap_or_default(),
        totals,
        event_name: &record.event_name,
        encoding: &record.form.name,
        content_type: &record.form.content_type,
        document: &record.bytes,
    }
}

/// The totals with one more record.
fn totals(before: Totals, record: &Encoded) -> Totals {
    Totals { reached: before.reached + record.accounts_for(), sequence: record.sequence, ..before }
}

fn cost(record: &Encoded) -> usize {
    record.bytes.len() + OVERHEAD
}
