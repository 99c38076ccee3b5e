//! The file sink, `out_channel = "logs"`: one JSON document a line, appended to `gopher_event` in `event_dir`.
//!
//! A batch is one write, so that a reader sees whole lines. A batch that cannot be written is lost and counted;
//! the next one is tried again.

use std::{io, path::PathBuf, sync::Arc};

use tokio::{
    fs::{DirBuilder, File, OpenOptions},
    io::AsyncWriteExt,
};
use tracing::{error, info};

use super::{Encoded, Sink};
use crate::meter::SinkMeter;

/// The name of the file in `event_dir`.
pub const FILE_NAME: &str = "gopher_event";

/// Appends records to a file.
pub struct FileSink {
    path: PathBuf,
    file: File,
    meter: Arc<SinkMeter>,
    failing: bool,
}

impl FileSink {
    /// Creates the directory and the file where they are missing; only root and its group may read them, since
    /// records name paths and addresses.
    ///
    /// # Errors
    /// What the system says of the directory or the file.
    pub async fn open(event_dir: &std::path::Path, meter: Arc<SinkMeter>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o750).create(event_dir).await?;
        let path = event_dir.join(FILE_NAME);
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&path).await?;
        Ok(Self { path, file, meter, failing: false })
    }

    async fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines).await?;
        self.file.flush().await
    }
}

impl Sink for FileSink {
    async fn deliver(&mut self, batch: &mut Vec<Encoded>) {
        let lines = super::lines(batch);
        let before = self.file.metadata().await.map(|metadata| metadata.len());
        match self.write(&lines).await {
            Ok(()) => {
                self.meter.delivered(batch.len() as u64, super::occurrences(batch));
                if std::mem::take(&mut self.failing) {
                    info!(path = %self.path.display(), "the event file can be written again");
                }
            }
            Err(error) => {
                self.meter.lost_delivery.add(super::occurrences(batch));
                // A full disk may have taken part of the batch: take it back, so that no line is torn.
                if let Ok(len) = before
                    && let Err(error) = self.file.set_len(len).await
                {
                    error!(path = %self.path.display(), %error, "the event file cannot be cut back");
                }
                if !std::mem::replace(&mut self.failing, true) {
                    error!(path = %self.path.display(), %error, "records are lost: the event file cannot be written");
                }
            }
        }
    }

    async fn close(self) {
        if let Err(error) = self.file.sync_all().await {
            error!(path = %self.path.display(), %error, "the event file cannot be synced");
        }
    }
}
