//! Stored events become records again, for tests and for a look at what was.
//!
//! In: lines, each one event: a trace event or a full event as JSON, or a record as the file sink wrote it. Out: records,
//! on the channels of a configuration. Nothing is asked of the kernel, and nothing of this host but, where the lines do
//! not say it, who it is: what became of a process, a mount or a container since is no part of what was.
//!
//! An event goes through the rules and the catalogue as it did when it was captured. A record has been through them: it
//! keeps its time, its severity, its texts and its id, by which readers know it for the same.

use std::{
    io::{self, BufRead, Read},
    sync::Arc,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::block_in_place,
};
use tracing::warn;
use ulid::{Generator, Ulid};

use crate::{
    catalogue::Catalogue,
    clock::{Clock, wall_now},
    config::{Config, SpoolMode},
    event::{Event, Observation},
    filter::Filters,
    fold::Folded,
    meter::Meter,
    pipeline::{Context, Route, next},
    policy::Policy,
    record::{Background, LogRecord, Stamp, resource::Resource},
    run::{self, Outlets, PATIENCE, StartError},
    sink::Deadline,
};

mod line;
mod stored;

use line::Line;

/// The longest line, in bytes: several times what any event has.
const LINE_LEN: u64 = 4 << 20;

/// What is replayed, and how.
pub struct Replay {
    /// What errors call the lines.
    pub name: String,
    /// Rules that may drop events; none: each becomes a record.
    pub policy: Option<Policy>,
    /// What records say of events.
    pub catalogue: Catalogue,
    /// What channels leave out.
    pub filters: Filters,
    /// Who the host is said to be, instead of who it was.
    pub host: Host,
    /// `CLOCK_REALTIME` − `CLOCK_BOOTTIME` of the host that the events are of; none: as here and now.
    pub clock: Option<Clock>,
}

/// What replaces a host's own name and id.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// `host.id`, which is the key of Kafka's records, too.
    pub id: Option<String>,
    /// `host.name`.
    pub name: Option<String>,
}

impl Host {
    fn is_given(&self) -> bool {
        self.id.is_some() || self.name.is_some()
    }

    fn apply(&self, resource: &mut Resource) {
        if let Some(id) = &self.id {
            resource.host_id = Some(id.clone());
            resource.set("host.id", id);
        }
        if let Some(name) = &self.name {
            resource.set("host.name", name);
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Lines that are no events, or of another host.
    pub bad: u64,
    /// Events that rules drop.
    pub dismissed: u64,
    /// Records that were made.
    pub records: u64,
    /// Events that a channel could not deliver.
    pub lost: u64,
    /// Whether a signal ended it before the lines did.
    pub interrupted: bool,
}

impl Replay {
    /// Replays all lines. Each that is wrong is told on stderr, and the others go on.
    ///
    /// # Errors
    /// [`StartError`] where a channel cannot be opened.
    pub async fn run(self, config: &Config, mut lines: impl BufRead) -> Result<Summary, StartError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
        let (meter, deadline) = (Arc::new(Meter::default()), Deadline::default());
        let mut summary = Summary::default();
        let mut reader = Reader { number: 0, name: &self.name, summary: &mut summary };
        // The first line says whose records these are, which the channels must know.
        let mut line = block_in_place(|| reader.next(&mut lines));
        let mut resource = line.as_ref().and_then(Line::host).unwrap_or_else(Resource::detect);
        let host_id = resource.host_id.clone();
        self.host.apply(&mut resource);
        // The spool is the running daemon's, and a replay can be repeated.
        let mut config = config.clone();
        config.spool.mode = SpoolMode::Off;
        let outlets = run::open(&config, self.filters.clone(), &resource, &deadline, &meter).await?;
        let Outlets { mut routes, mut sinks, .. } = outlets;
        let mut maker =
            Maker { ids: Generator::new(), context: Context::unexplained(), sequence: 0, host_id };
        while let Some(now) = line {
            self.replay(&mut maker, now, &mut routes, &mut reader, &meter);
            let room = async {
                for route in &routes {
                    route.ready().await;
                }
            };
            tokio::select! {
                () = room => {}
                _ = terminate.recv() => reader.summary.interrupted = true,
                _ = interrupt.recv() => reader.summary.interrupted = true,
            }
            if reader.summary.interrupted {
                break;
            }
            line = block_in_place(|| reader.next(&mut lines));
        }
        drop(routes);
        deadline.start(PATIENCE);
        while let Some(ended) = sinks.join_next().await {
            if let Err(error) = ended {
                warn!(task = "sink", %error, "a task ended early; the ledger may not add up");
            }
        }
        meter.log_ledger();
        summary.lost = meter.lost();
        Ok(summary)
    }

    fn replay(
        &self,
        maker: &mut Maker,
        line: Line,
        routes: &mut [Route],
        reader: &mut Reader<'_>,
        meter: &Meter,
    ) {
        let clock = self.clock.unwrap_or_else(Clock::now);
        let observed = wall_now();
        let mut offer = |record: &LogRecord<'_>, occurrences| {
            meter.records.add(1);
            meter.events.add(occurrences);
            routes.iter_mut().for_each(|route| route.offer(record, occurrences, None));
        };
        match line {
            Line::Event(event, trace) => {
                let time = clock.wall(event.finish);
                let event = Event::Call(*event);
                let (report, ruled) = match &self.policy {
                    Some(policy) => maker.context.judge(policy, &event),
                    None => (true, None),
                };
                if !report {
                    meter.dismissed.add(1);
                    reader.summary.dismissed += 1;
                    return;
                }
                let folded =
                    Folded { seen: Observation { time, event }, occurrences: 1, window: Default::default() };
                let background = Background { ruled, facts: Vec::new(), catalogue: &self.catalogue };
                let (id, sequence) = maker.next();
                let stamp = Stamp { id, sequence, observed, clock };
                offer(&LogRecord { trace, ..LogRecord::new(&folded, background, stamp) }, 1);
            }
            Line::Record(mut stored) => {
                if !self.host.is_given() && stored.host.host_id != maker.host_id {
                    let of = stored.host.host_id.as_deref().unwrap_or("none");
                    return reader.bad(&format!(
                        "the record is of host {of}, and those before are of another; replay hosts one by one, or \
                         say with --host-id whose all of them are to be"
                    ));
                }
                if self.host.is_given() {
                    // The same record of two hosts is two records, and each host counts its own.
                    let (id, sequence) = maker.next();
                    stored.rename(id, sequence);
                }
                offer(&stored.record(observed, clock), stored.occurrences());
            }
        }
        reader.summary.records += 1;
    }
}

/// What makes records.
struct Maker {
    ids: Generator,
    context: Context,
    /// The number of the last record that was made of an event, or made another one.
    sequence: u64,
    /// Whose records are replayed.
    host_id: Option<String>,
}

impl Maker {
    /// The id and the number of a new record.
    fn next(&mut self) -> (Ulid, u64) {
        self.sequence += 1;
        (next(&mut self.ids), self.sequence)
    }
}

/// Takes lines one by one.
struct Reader<'a> {
    number: u64,
    name: &'a str,
    summary: &'a mut Summary,
}

impl Reader<'_> {
    /// The next line that is an event; those that are none are told and counted.
    fn next(&mut self, lines: &mut impl BufRead) -> Option<Line> {
        loop {
            self.number += 1;
            let mut bytes = Vec::new();
            match lines.by_ref().take(LINE_LEN).read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    self.bad(&format!("cannot be read: {error}"));
                    return None;
                }
            }
            if bytes.len() as u64 == LINE_LEN && !bytes.ends_with(b"\n") {
                self.bad("the line is longer than 4 MiB; no event is");
                if skip_line(lines).is_err() {
                    return None;
                }
                continue;
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            match Line::parse(&bytes) {
                Ok(line) => return Some(line),
                Err(message) => self.bad(&message),
            }
        }
    }

    fn bad(&mut self, message: &str) {
        self.summary.bad += 1;
        eprintln!("probe-daemon: {}:{}: {message}", self.name, self.number);
    }
}

/// Reads up to the end of a line, keeping nothing.
fn skip_line(lines: &mut impl BufRead) -> io::Result<()> {
    loop {
        let chunk = lines.fill_buf()?;
        let (length, ended) = match chunk.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (chunk.len(), chunk.is_empty()),
        };
        lines.consume(length);
        if ended {
            return Ok(());
        }
    }
}
