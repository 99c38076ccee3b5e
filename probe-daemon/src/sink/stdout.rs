//! The stdout sink: one JSON document a line, for a look and for pipes.

use std::sync::Arc;

use tokio::io::{AsyncWriteExt, Stdout};
use tracing::error;

use super::{Encoded, Sink};
use crate::meter::SinkMeter;

/// Writes records to standard output.
pub struct StdoutSink {
    stdout: Stdout,
    meter: Arc<SinkMeter>,
    failing: bool,
}

impl StdoutSink {
    /// Takes standard output.
    pub fn new(meter: Arc<SinkMeter>) -> Self {
        Self { stdout: tokio::io::stdout(), meter, failing: false }
    }
}

impl Sink for StdoutSink {
    async fn deliver(&mut self, batch: &mut Vec<Encoded>) {
        let lines = super::lines(batch);
        let written = match self.stdout.write_all(&lines).await {
            Ok(()) => self.stdout.flush().await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => super::delivered(batch, 0, &self.meter),
            Err(error) => {
                super::lose(&*batch, &self.meter);
                if !std::mem::replace(&mut self.failing, true) {
                    error!(%error, "records are lost: standard output cannot be written");
                }
            }
        }
    }

    async fn close(self) {}
}
