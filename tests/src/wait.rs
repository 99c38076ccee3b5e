//! Waiting on conditions: in comes a question and a deadline, out comes its answer or an error that says
//! what was waited for.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take to come true. Guests without hardware virtualisation are some fifty times
/// slower than a host, and a deadline that is never reached costs nothing.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks `question` until it answers, at most for `patience`.
pub fn until<T>(
    what: &str,
    patience: Duration,
    mut question: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = question()? {
            return Ok(answer);
        }
        if start.elapsed() > patience {
            bail!("waited {} s in vain for {what}", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
