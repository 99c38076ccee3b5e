//! The sections of the channels that write lines: files and standard output. In: values of the tree. Out: where, how
//! much and which events.
//!
//! Two traditions meet in the limits of files. gala-gopher rolls at 50 MiB and keeps 100 MiB in total
//! (`event_total_size`, whose key is read as it stands there); others bound the size of a file and their number (50 MiB,
//! 20 files). All three limits hold here, each with its own default, and the one that is reached first counts.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::choice::{Encoding, OnOff};
use super::error::Spanned;
use super::kind::{AbsolutePath, Maybe, Whole, list, one_of};
use super::read::Reader;
use super::schema::{Kind, section};
use super::tree::{Node, Value, describe};

section! {
    /// Where the channel `"logs"` writes, and how much it keeps.
    pub struct Logs {
        /// Folder of the files of records: `gopher_event`, and the older `gopher_event.1`, `gopher_event.2` and so on.
        pub event_dir: PathBuf = PathBuf::from("/var/log/gala-gopher/event"), AbsolutePath;
        /// The form of a record here; left out: `event.encoding`. Files hold lines, so `"otlp_proto"` is none of them.
        pub encoding: Option<Encoding> = None, Maybe(one_of::<Encoding>());
        /// Size in MiB at which the file becomes `gopher_event.1` and a new one begins. A number out of range stands
        /// for the default, with a warning.
        pub max_size_mb: u64 = 50, OrDefault { range: 1..=2000, default: 50 };
        /// The most files, the current one included; the oldest go. A number out of range stands for the default, with a
        /// warning. `event_total_size` may leave room for fewer.
        pub max_files: u64 = 20, OrDefault { range: 1..=100, default: 20 };
        /// The most MiB that all files take together; the oldest go. 0 leaves it to `max_files`. The current file is kept
        /// whatever its size.
        pub event_total_size: u64 = 100, Whole(0..=1_048_576);
        /// Numbers of the only events that are written, single ones and ranges; left out: all.
        pub include: Vec<Spanned<EventIds>> = Vec::new(), EventIdList;
        /// Numbers of events that are not written, though `include` may name them.
        pub exclude: Vec<Spanned<EventIds>> = Vec::new(), EventIdList;
        /// File with more of both: lines such as `include: 1001,2001-2010` and `exclude: 3001`, and `#` for comments.
        pub filter_file: Option<PathBuf> = None, Maybe(AbsolutePath);
        /// Whether records that tell the same as the one before are counted instead of written. How many there were is
        /// written when another record comes, or the window ends: the last of them, with `gala_gopher.repetitions` and
        /// the occurrences of all. Their numbers `gala_gopher.sequence` are missing from the file then.
        pub burst_filter: OnOff = OnOff::Off, one_of::<OnOff>();
        /// How many milliseconds such records are counted into one.
        pub burst_window_ms: u64 = 1000, Whole(1..=3_600_000);
    }
    others ["metric_dir", "meta_dir", "debug_dir", "metric_total_size", "meta_total_size", "debug_total_size"];
}

section! {
    /// What the channel `"stdout"` writes.
    pub struct Stdout {
        /// The form of a record here; left out: `event.encoding`. `"text"` and `"color"` are for people.
        pub encoding: Option<Encoding> = None, Maybe(one_of::<Encoding>());
        /// Numbers of the only events that are written, single ones and ranges; left out: all.
        pub include: Vec<Spanned<EventIds>> = Vec::new(), EventIdList;
        /// Numbers of events that are not written, though `include` may name them.
        pub exclude: Vec<Spanned<EventIds>> = Vec::new(), EventIdList;
    }
}

/// A number of an event, or a range of them.
pub type EventIds = RangeInclusive<u32>;

/// Reads `1001,2001-2010`.
///
/// # Errors
/// Which part is wrong, and what would be right.
pub fn event_ids(text: &str) -> Result<Vec<EventIds>, String> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|_| !text.contains('+'));
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => Some(number(first)?..=number(last)?),
        None => number(part).map(|id| id..=id),
    };
    text.split(',')
        .map(|part| match range(part) {
            Some(range) if range.is_empty() => Err(format!("{:?} ends before it begins", part.trim())),
            Some(range) => Ok(range),
            None => Err(format!(
                "{:?} is no number of an event and no range of them, such as 1001 or 2001-2010",
                part.trim().chars().take(40).collect::<String>()
            )),
        })
        .collect()
}

/// A list of numbers of events; several may stand in one text, as in `"1001,2001-2010"`.
struct EventIdList;

impl Kind for EventIdList {
    type Value = Vec<Spanned<EventIds>>;

    fn accepts(&self) -> String {
        "numbers and ranges such as `\"1001,2001-2010\"` or `[1001, \"2001-2010\"]`".to_owned()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Self::Value> {
        let items = match &node.value {
            Value::Text(text) if text.is_empty() => return Some(Vec::new()),
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut all = Some(Vec::new());
        for item in items {
            let found = match &item.value {
                Value::Integer(number) => event_ids(&number.to_string()),
                Value::Text(text) => event_ids(text),
                other => Err(format!("{} is no number of an event", describe(other))),
            };
            match (found, &mut all) {
                (Ok(ids), Some(all)) => {
                    all.extend(ids.into_iter().map(|ids| Spanned::new(ids, key, &item.place)))
                }
                (Ok(_), None) => {}
                // Each wrong one is told.
                (Err(message), _) => {
                    reader.error(item, key, message);
                    all = None;
                }
            }
        }
        all
    }

    fn show(&self, value: &Self::Value) -> Option<Value> {
        let text = |ids: &EventIds| match (ids.start(), ids.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let texts = value.iter().map(|ids| Value::Text(text(&ids.value)));
        (!value.is_empty()).then(|| list(texts))
    }
}

/// A whole number of which one out of range means the default.
struct OrDefault {
    range: RangeInclusive<u64>,
    default: u64,
}

impl Kind for OrDefault {
    type Value = u64;

    fn accepts(&self) -> String {
        Whole(self.range.clone()).accepts()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<u64> {
        match node.value {
            Value::Integer(number)
                if !u64::try_from(number).is_ok_and(|number| self.range.contains(&number)) =>
            {
                let (low, high) = (self.range.start(), self.range.end());
                let message =
                    format!("{number} is not from {low} to {high}; {} is taken instead", self.default);
                reader.warnings.push(node.place.error(key, message));
                Some(self.default)
            }
            _ => Whole(self.range.clone()).read(reader, key, node),
        }
    }

    fn show(&self, value: &u64) -> Option<Value> {
        Whole(self.range.clone()).show(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn logs(text: &str) -> Result<Config, String> {
        let text = format!("[[probes]]\nname = \"event\"\n{text}");
        Config::parse("a.conf", &text, &[], |_| Vec::new()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn d9_numbers_and_ranges() {
        assert_eq!(event_ids("1, 5-9").unwrap(), [1..=1, 5..=9]);
        for bad in ["", "1,", "a", "1-", "-1", "9-5", "1--2", "+1", "1-2-3", "99999999999", "1;2"] {
            assert!(event_ids(bad).is_err(), "{bad:?}");
        }
        let config = logs("[logs]\ninclude = [1001, \"2001-2010,7\"]\nexclude = \"3001\"\n").unwrap();
        let values: Vec<_> = config.logs.include.iter().map(|ids| ids.value.clone()).collect();
        assert_eq!(values, [1001..=1001, 2001..=2010, 7..=7]);
        let shown = config.render();
        assert!(shown.contains("include = [\"1001\", \"2001-2010\", \"7\"]"), "{shown}");
        assert!(shown.contains("exclude = [\"3001\"]"), "{shown}");
        let error = logs("[logs]\ninclude = [\n\"1\",\n\"x\", true]\n").unwrap_err();
        assert!(error.contains("a.conf:6: logs.include: \"x\"") && error.contains("true"), "{error}");
    }

    #[test]
    fn d11_a_limit_out_of_range_is_the_default_with_a_warning() {
        for (key, value, default) in
            [("max_size_mb", 0, 50), ("max_size_mb", 2001, 50), ("max_files", -1, 20), ("max_files", 101, 20)]
        {
            let config = logs(&format!("[logs]\n{key} = {value}\n")).unwrap();
            assert!(config.render().contains(&format!("{key} = {default}\n")));
            let [warning] = &config.warnings[..] else { panic!("{:?}", config.warnings) };
            assert!(warning.contains(&format!("a.conf:4: logs.{key}: {value} is not")), "{warning}");
        }
        let config = logs("[logs]\nmax_size_mb = 2000\nmax_files = 1\n").unwrap();
        assert_eq!((config.logs.max_size_mb, config.logs.max_files), (2000, 1));
        assert!(config.warnings.is_empty());
        assert!(logs("[logs]\nmax_files = \"many\"\n").is_err());
    }
}
