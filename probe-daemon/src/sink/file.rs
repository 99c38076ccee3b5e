//! The file sink, `out_channel = "logs"`: one document a line, appended to `gopher_event` in `event_dir`.
//!
//! In: encoded records. Out: whole lines, in files of bounded size and number ([`log`]), with repeats counted where that
//! is asked for ([`burst`]). Records that cannot be written are lost and counted; the next ones are tried again.

use std::{io, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tracing::{error, info};

use super::{Encoded, Sink};
use crate::{
    config::{Logs, OnOff},
    meter::SinkMeter,
};

mod burst;
mod log;
mod tail;

use burst::Burst;
use log::{EventLog, Limits};
pub use tail::Tail;

/// Appends records to a file.
pub struct FileSink {
    log: EventLog,
    burst: Option<Burst>,
    meter: Arc<SinkMeter>,
    failing: bool,
}

impl FileSink {
    /// Creates the directory and the file where they are missing; only root and its group may read them, since
    /// records name paths and addresses.
    ///
    /// # Errors
    /// What the system says of the directory or the file.
    pub async fn open(logs: &Logs, meter: Arc<SinkMeter>) -> io::Result<Self> {
        let log = EventLog::open(&logs.event_dir, Limits::of(logs)).await?;
        let burst = logs.burst_filter == OnOff::On;
        let burst = burst.then(|| Burst::new(Duration::from_millis(logs.burst_window_ms)));
        Ok(Self { log, burst, meter, failing: false })
    }

    async fn write(&mut self, records: &[Encoded]) {
        let (mut rest, mut fails) = (records, false);
        while !rest.is_empty() {
            let (count, written) = self.log.append(rest).await;
            let (done, left) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            let path = self.log.path().display();
            match written {
                Ok(()) => {
                    let newest = done.last().map_or(0, |record| record.sequence);
                    super::delivered(done, newest, &self.meter);
                }
                Err(error) => {
                    fails = true;
                    super::lose(done, &self.meter);
                    if !std::mem::replace(&mut self.failing, true) {
                        error!(%path, %error, "records are lost: the event file cannot be written");
                    }
                }
            }
            rest = left;
        }
        if !fails && !records.is_empty() && std::mem::take(&mut self.failing) {
            info!(path = %self.log.path().display(), "the event file can be written again");
        }
    }
}

impl Sink for FileSink {
    async fn deliver(&mut self, batch: &mut Vec<Encoded>) {
        match &mut self.burst {
            None => self.write(batch).await,
            Some(burst) => {
                let now = Instant::now();
                let mut out = Vec::with_capacity(batch.len());
                batch.drain(..).for_each(|record| burst.take(record, now, &mut out));
                self.write(&out).await;
            }
        }
    }

    async fn wants_care(&self) {
        match self.burst.as_ref().and_then(Burst::ends) {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    async fn care(&mut self) {
        if let Some(held) = self.burst.as_mut().and_then(Burst::end) {
            self.write(&[held]).await;
        }
    }

    async fn close(mut self) {
        self.care().await;
        if let Err(error) = self.log.sync().await {
            error!(path = %self.log.path().display(), %error, "the event file cannot be synced");
        }
    }
}
