//! What test programs say, made into numbers and tables. In: the text of a libtest run; out: each test's
//! outcome, sums, and an aligned table.

use std::collections::BTreeMap;

/// The outcome of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    Ignored,
}

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub passed: u64,
    pub failed: u64,
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Adds up the closing lines of all libtest runs in `text`.
pub fn sum(text: &str) -> Sum {
    let mut sum = Sum::default();
    for counts in text.lines().filter_map(|line| line.trim().strip_prefix("test result: ")) {
        let number_before = |word: &str| -> u64 {
            let before = counts.split(word).next().unwrap_or_default().trim_end();
            before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        sum += Sum { passed: number_before("passed"), failed: number_before("failed") };
    }
    sum
}

/// Each test's outcome in a run with `--test-threads=1`. A test's child may write between the test's name
/// and its outcome, which then stands at the start of a later line.
pub fn outcomes(text: &str) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    let mut running: Option<&str> = None;
    for line in text.lines().map(str::trim) {
        let word = match line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            Some((name, word)) => {
                running = Some(name.trim_end_matches(" - should panic"));
                word
            }
            None => match line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ...")) {
                Some(name) => {
                    running = Some(name);
                    continue;
                }
                None => line,
            },
        };
        let Some(outcome) = parse_outcome(word) else { continue };
        if let Some(name) = running.take() {
            outcomes.insert(name.to_owned(), outcome);
        }
    }
    // A test that was begun and has no outcome took the whole run down with it.
    if let Some(name) = running {
        outcomes.insert(name.to_owned(), Outcome::Failed);
    }
    outcomes
}

fn parse_outcome(word: &str) -> Option<Outcome> {
    match word.split([' ', ',']).next()? {
        "ok" => Some(Outcome::Passed),
        "FAILED" => Some(Outcome::Failed),
        "ignored" => Some(Outcome::Ignored),
        _ => None,
    }
}

/// Rows with every column as wide as its widest cell.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str("  ");
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_several_runs_add_up() {
        let text = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\nnoise\n\
                    6 passed is not a closing line\n\
                    test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(sum(text), Sum { passed: 13, failed: 2 });
    }

    #[test]
    fn an_outcome_is_found_behind_the_words_of_a_child() {
        let text = "running 3 tests\ntest kernel::a ... ok\r\n\
                    test kernel::b ... 2026-11-21 INFO capturing\nanother line\nFAILED\n\
                    test kernel::c ... ignored, no bpf\ntest kernel::d ...\nok\ntest kernel::e ... \n";
        let expect = [
            ("kernel::a", Outcome::Passed),
            ("kernel::b", Outcome::Failed),
            ("kernel::c", Outcome::Ignored),
            ("kernel::d", Outcome::Passed),
            ("kernel::e", Outcome::Failed),
        ];
        assert_eq!(outcomes(text), expect.map(|(name, outcome)| (name.to_owned(), outcome)).into());
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["test".into(), "6.1".into()], vec!["kernel::a".into(), "ok".into()]];
        assert_eq!(table(&rows), "  test       6.1\n  kernel::a  ok\n");
    }
}
