//! What of a file its writer did not live to account for.
//!
//! In: the number of the last record that is accounted for. Out: the records behind it, and of how many events they tell. A
//! daemon that is killed just after a write has written the lines and not the account; both are one batch at most.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::log::FILE_NAME;
use crate::encode::Form;

/// Bytes that are looked at first, and at most: more than a batch has.
const FIRST: u64 = 256 << 10;
const MOST: u64 = 16 << 20;

/// The end of the current file.
#[derive(Clone, Debug)]
pub struct Tail {
    path: PathBuf,
    form: &'static Form,
}

impl Tail {
    /// Of the file in this folder, whose documents have this form.
    pub fn new(dir: &Path, form: &'static Form) -> Self {
        Self { path: dir.join(FILE_NAME), form }
    }

    /// Events that records behind number `known` tell `sink` of, and the number of the last one. Nothing where documents of
    /// this form do not say such things, or the file is not there.
    pub fn behind(&self, known: u64, sink: &str) -> (u64, u64) {
        self.read(known, sink).unwrap_or((0, known))
    }

    fn read(&self, known: u64, sink: &str) -> io::Result<(u64, u64)> {
        let Some(says) = self.form.says else { return Ok((0, known)) };
        let file = File::open(&self.path)?;
        let len = file.metadata()?.len();
        let mut size = FIRST;
        loop {
            let start = len.saturating_sub(size);
            let mut bytes = vec![0; usize::try_from(len - start).unwrap_or_default()];
            file.read_exact_at(&mut bytes, start)?;
            let (mut events, mut newest, mut before, mut known_seen) = (0, known, u64::MAX, false);
            for line in bytes.strip_suffix(b"\n").unwrap_or(&bytes).rsplit(|byte| *byte == b'\n') {
                // The first line of what was read is not whole, and is none of ours where another's lines end.
                let Some(said) = says(line) else { break };
                // Where numbers have begun anew, what comes before the first of them is an earlier count's.
                known_seen = said.sequence <= known || said.sequence >= before;
                if known_seen {
                    break;
                }
                before = said.sequence;
                events += said.tells(sink);
                newest = newest.max(said.sequence);
            }
            if known_seen || start == 0 || size >= MOST {
                return Ok((events, newest));
            }
            size *= 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::encode::{json, text};

    fn line(sequence: u64, more: &str) -> String {
        let body = "x".repeat(3_000);
        format!("{{\"Attributes\":{{\"gala_gopher.sequence\":{sequence},{more}}},\"Body\":\"{body}\"}}\n")
    }

    #[test]
    fn records_behind_the_last_that_is_accounted_for_are_found_however_many() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let tail = Tail::new(dir.path(), &json::FORM);
        assert_eq!(tail.behind(7, "logs"), (0, 7), "no file");
        for (count, known) in [(1, 1), (1, 0), (5, 3), (900, 0), (900, 2), (900, 900), (900, 1_000)] {
            let lines: String = (1..=count).map(|at| line(at, "\"gala_gopher.occurrences\":2")).collect();
            fs::write(&path, lines).unwrap();
            let behind = u64::saturating_sub(count, known);
            assert_eq!(tail.behind(known, "logs"), (behind * 2, count.max(known)), "{count} {known}");
        }
        assert_eq!(Tail::new(dir.path(), &text::FORM).behind(3, "logs"), (0, 3));
    }

    #[test]
    fn records_of_a_count_that_began_anew_are_told_from_those_before() {
        let dir = tempfile::tempdir().unwrap();
        let lines: String =
            [7, 8, 9, 1, 2].into_iter().map(|at| line(at, "\"gala_gopher.occurrences\":2")).collect();
        fs::write(dir.path().join(FILE_NAME), lines).unwrap();
        assert_eq!(Tail::new(dir.path(), &json::FORM).behind(0, "logs"), (4, 2));
    }

    #[test]
    fn losses_count_for_the_sink_that_they_are_about() {
        let dir = tempfile::tempdir().unwrap();
        let mut lines = line(1, "\"gala_gopher.occurrences\":1");
        lines += &line(2, "\"gala_gopher.lost.count\":10");
        lines += &line(3, "\"gala_gopher.lost.count\":100,\"gala_gopher.lost.sink\":\"logs\"");
        lines += &line(4, "\"gala_gopher.lost.count\":1000,\"gala_gopher.lost.sink\":\"kafka\"");
        fs::write(dir.path().join(FILE_NAME), lines).unwrap();
        let tail = Tail::new(dir.path(), &json::FORM);
        assert_eq!(tail.behind(1, "logs"), (110, 4));
        assert_eq!(tail.behind(1, "kafka"), (1_010, 4));
    }
}
