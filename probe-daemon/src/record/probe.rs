//! The records of the daemon itself: it has started, it has lost events, it has stopped.

use super::{Attributes, Told};
use crate::{
    event::{Notice, Probe},
    losses::Loss,
};

/// `EventName` of the first record of a run.
pub const STARTED: &str = "gala_gopher.probe.started";
/// `EventName` of a loss.
pub const LOST: &str = "gala_gopher.probe.lost";
/// `EventName` of the last record of a run.
pub const STOPPED: &str = "gala_gopher.probe.stopped";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Says what the daemon has to tell.
pub fn say<'a>(event: &'a Probe, attributes: &mut Attributes<'a>) -> Told {
    attributes.subject(&event.subject);
    match &event.notice {
        Notice::Started(config) => {
            attributes.put("gala_gopher.probe.version", VERSION);
            attributes.put("gala_gopher.probe.config_hash", &**config);
            (STARTED, format!("probe-daemon {VERSION} captures"))
        }
        Notice::Lost(loss) => {
            let Loss { hop, of, count, since, until } = loss;
            attributes.put("gala_gopher.lost.hop", *hop);
            attributes.put("gala_gopher.lost.family", of.family.unwrap_or("all"));
            if let Some(sink) = of.sink {
                attributes.put("gala_gopher.lost.sink", sink);
            }
            attributes.put("gala_gopher.lost.count", *count);
            attributes.put("gala_gopher.lost.since", since.to_string());
            attributes.put("gala_gopher.lost.until", until.to_string());
            (LOST, sentence(loss))
        }
        Notice::Stopped(config, totals) => {
            attributes.put("gala_gopher.probe.version", VERSION);
            attributes.put("gala_gopher.probe.config_hash", &**config);
            attributes.put("gala_gopher.probe.matched", totals.matched);
            attributes.put("gala_gopher.probe.sent", totals.sent);
            attributes.put("gala_gopher.probe.folded", totals.folded);
            attributes.put("gala_gopher.probe.delivered", totals.delivered);
            attributes.put("gala_gopher.probe.lost", totals.lost);
            (STOPPED, format!("probe-daemon {VERSION} has stopped"))
        }
    }
}

/// `lost 1200 syscall events in the ring buffer within 5.0 s`
fn sentence(loss: &Loss) -> String {
    let Loss { hop, of, count, since, until } = loss;
    let family = of.family.map_or(String::new(), |family| format!("{family} "));
    let place = match (*hop, of.sink) {
        ("ring", _) => "in the ring buffer".to_owned(),
        ("pipeline", _) => "on the way to the records".to_owned(),
        ("spool", _) => "in the spool".to_owned(),
        ("restart", _) => "at the end of the daemon before".to_owned(),
        ("queue", Some(sink)) => format!("in the queue of {sink}"),
        (hop, Some(sink)) => format!("in the {hop} to {sink}"),
        (hop, _) => format!("at the hop {hop}"),
    };
    let seconds = until.saturating_sub(*since) as f64 / 1e9;
    let again = match (*hop, of.sink) {
        ("ring" | "pipeline", Some(sink)) => format!("; {sink} did not get the record of it"),
        _ => String::new(),
    };
    format!("lost {count} {family}events {place} within {seconds:.1} s{again}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::Of;

    #[test]
    fn a_loss_says_what_is_lost_where_and_who_was_not_told() {
        let one = Of { family: Some("syscall"), sink: Some("logs") };
        for (hop, of, text) in [
            ("ring", Of::family("syscall"), "lost 12 syscall events in the ring buffer within 5.0 s"),
            (
                "ring",
                one,
                "lost 12 syscall events in the ring buffer within 5.0 s; logs did not get the record of it",
            ),
            ("pipeline", Of::ALL, "lost 12 events on the way to the records within 5.0 s"),
            ("queue", Of::sink("kafka"), "lost 12 events in the queue of kafka within 5.0 s"),
            ("delivery", Of::sink("logs"), "lost 12 events in the delivery to logs within 5.0 s"),
            ("spool", Of::sink("kafka"), "lost 12 events in the spool within 5.0 s"),
            ("restart", Of::sink("kafka"), "lost 12 events at the end of the daemon before within 5.0 s"),
        ] {
            let loss = Loss { hop, of, count: 12, since: 1, until: 5_000_000_001 };
            assert_eq!(sentence(&loss), text);
        }
    }
}
