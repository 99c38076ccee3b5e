//! Records that tell the same as the one before are counted instead of written.
//!
//! In: records, in order. Out: the first of a burst at once; of the others the last one, with their number and the
//! occurrences of all of them, when another record comes or the window ends. Nothing is left out of the count.

use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use super::Encoded;

/// The burst that is going on, if there is one.
pub struct Burst {
    window: Duration,
    last: Option<Last>,
}

/// The last record that was written.
struct Last {
    told: u64,
    written: Instant,
    held: Option<Held>,
}

/// What repeated it since: the last of these, with the occurrences of all, and how many they are.
struct Held {
    record: Encoded,
    repetitions: u64,
}

impl Burst {
    /// None is going on.
    pub fn new(window: Duration) -> Self {
        Self { window, last: None }
    }

    /// Takes a record that came at `now`, and puts out what is to be written.
    pub fn take(&mut self, mut record: Encoded, now: Instant, out: &mut Vec<Encoded>) {
        // Two that say the same of losses are of different losses.
        if record.loss.is_none()
            && let Some(last) = &mut self.last
            && last.told == record.mark.told
            && now < last.written + self.window
        {
            let (before, repetitions) =
                last.held.take().map_or((0, 0), |held| (held.record.occurrences, held.repetitions));
            record.occurrences += before;
            last.held = Some(Held { record, repetitions: repetitions + 1 });
            return;
        }
        out.extend(self.end());
        self.last = Some(Last { told: record.mark.told, written: now, held: None });
        out.push(record);
    }

    /// When the window ends; none where nothing is held.
    pub fn ends(&self) -> Option<Instant> {
        let last = self.last.as_ref()?;
        last.held.as_ref().map(|_| last.written + self.window)
    }

    /// Ends the burst, and hands over what is held.
    pub fn end(&mut self) -> Option<Encoded> {
        let Held { mut record, repetitions } = self.last.take()?.held?;
        match record.form.repeat.and_then(|repeat| repeat(&record.bytes, record.occurrences, repetitions)) {
            Some(bytes) => record.bytes = bytes,
            // The configuration asks for a form that can; a document of ours that cannot is still a record.
            None => {
                error!(form = %record.form.name, repetitions, "a repetition cannot be written into its record")
            }
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{encode::json::FORM, sink::Mark};

    fn record(told: u64, occurrences: u64) -> Encoded {
        let document = json!({"Body": told, "Attributes": {"gala_gopher.occurrences": occurrences}});
        Encoded {
            bytes: document.to_string().into(),
            event_name: "x".into(),
            mark: Mark { event_id: None, told },
            form: std::borrow::Cow::Borrowed(&FORM),
            occurrences,
            sequence: 0,
            loss: None,
        }
    }

    /// Who it is, how often it was repeated, and what it stands for.
    fn said(record: &Encoded) -> (u64, u64, u64) {
        let document: Value = serde_json::from_slice(&record.bytes).unwrap();
        let attribute = |key: &str| document["Attributes"][key].as_u64().unwrap_or(0);
        let occurrences = attribute("gala_gopher.occurrences");
        assert_eq!(occurrences, record.occurrences);
        (document["Body"].as_u64().unwrap(), attribute("gala_gopher.repetitions"), occurrences)
    }

    #[test]
    fn d10_five_of_one_and_one_of_another_are_three_lines() {
        let (mut burst, mut out, now) = (Burst::new(Duration::from_secs(1)), Vec::new(), Instant::now());
        for (told, occurrences) in [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 1)] {
            burst.take(record(told, occurrences), now, &mut out);
        }
        assert_eq!(burst.ends(), None);
        assert_eq!(out.iter().map(said).collect::<Vec<_>>(), [(1, 0, 1), (1, 4, 14), (2, 0, 1)]);
    }

    #[test]
    fn a_burst_ends_with_its_window() {
        let window = Duration::from_secs(1);
        let (mut burst, mut out, now) = (Burst::new(window), Vec::new(), Instant::now());
        burst.take(record(1, 1), now, &mut out);
        burst.take(record(1, 1), now, &mut out);
        assert_eq!(burst.ends(), Some(now + window));
        burst.take(record(1, 1), now + window, &mut out);
        assert_eq!(out.iter().map(said).collect::<Vec<_>>(), [(1, 0, 1), (1, 1, 1), (1, 0, 1)]);
        burst.take(record(1, 7), now + window, &mut out);
        assert_eq!(burst.end().as_ref().map(said), Some((1, 1, 7)));
        assert!(burst.end().is_none() && burst.ends().is_none());
    }

    proptest! {
        #[test]
        fn occurrences_add_up(records in prop::collection::vec((0_u64..3, 1_u64..9, 0_u64..400), 0..60)) {
            let mut burst = Burst::new(Duration::from_secs(1));
            let (mut out, mut now) = (Vec::new(), Instant::now());
            for (told, occurrences, pause) in &records {
                now += Duration::from_millis(*pause);
                burst.take(record(*told, *occurrences), now, &mut out);
            }
            out.extend(burst.end());
            let said: Vec<_> = out.iter().map(said).collect();
            let repeated: u64 = said.iter().map(|(_, repetitions, _)| repetitions).sum();
            let firsts = said.iter().filter(|(_, repetitions, _)| *repetitions == 0).count() as u64;
            prop_assert_eq!(firsts + repeated, records.len() as u64);
            let all: u64 = said.iter().map(|(_, _, occurrences)| occurrences).sum();
            prop_assert_eq!(all, records.iter().map(|(_, occurrences, _)| occurrences).sum::<u64>());
        }
    }
}
