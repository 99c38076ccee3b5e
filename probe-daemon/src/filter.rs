//! Which events a channel of lines writes, by their numbers in the catalogue.
//!
//! In: `include` and `exclude` of a channel, and the file that `logs.filter_file` names. Out: a [`Filter`] for each
//! channel, or all that is wrong, each with its file and line; a filter with a mistake in it is none.

use std::path::Path;

use crate::{
    catalogue::Catalogue,
    config::{Channel, Config, ConfigError, EventIds, Spanned, event_ids},
    text_file,
};

/// The key that names the file of a filter.
const KEY: &str = "logs.filter_file";

/// Which events pass. The default lets all of them pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    include: Vec<EventIds>,
    exclude: Vec<EventIds>,
}

impl Filter {
    /// Whether an event of this number passes. One that the catalogue does not know has none, and passes where not
    /// only certain ones do.
    pub fn passes(&self, id: Option<u32>) -> bool {
        let named = |list: &[EventIds]| id.is_some_and(|id| list.iter().any(|ids| ids.contains(&id)));
        (self.include.is_empty() || named(&self.include)) && !named(&self.exclude)
    }
}

/// The filters of all channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    logs: Filter,
    stdout: Filter,
}

impl Filters {
    /// Resolves what the configuration says.
    ///
    /// # Errors
    /// Numbers that no event has, a file that cannot be read, and lines in it that say nothing.
    pub fn load(config: &Config, catalogue: &Catalogue) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut resolve = |ids: &[Spanned<EventIds>]| -> Vec<EventIds> {
            errors.extend(ids.iter().filter_map(|ids| Some(ids.error(unknown(&ids.value, catalogue)?))));
            ids.iter().map(|ids| ids.value.clone()).collect()
        };
        let (logs, stdout) = (&config.logs, &config.stdout);
        let mut filters = Self {
            logs: Filter { include: resolve(&logs.include), exclude: resolve(&logs.exclude) },
            stdout: Filter { include: resolve(&stdout.include), exclude: resolve(&stdout.exclude) },
        };
        if let Some(path) = &logs.filter_file {
            match read(path) {
                Ok(text) => errors.extend(filters.logs.add(&path.display().to_string(), &text, catalogue)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(filters) } else { Err(errors) }
    }

    /// The filter of a channel; none where it takes everything, always.
    pub fn of(&self, channel: Channel) -> Option<&Filter> {
        match channel {
            Channel::Logs => Some(&self.logs),
            Channel::Stdout => Some(&self.stdout),
            Channel::Kafka => None,
        }
    }
}

impl Filter {
    /// Adds the lines of a file, and tells what is wrong with them.
    fn add(&mut self, file: &str, text: &str, catalogue: &Catalogue) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let mut wrong = |message: String| {
                let (file, key) = (file.to_owned(), KEY.to_owned());
                errors.push(ConfigError { file, line, key, message });
            };
            let text = text.split_once('#').map_or(text, |(text, _)| text).trim();
            if text.is_empty() {
                continue;
            }
            let (word, ids) = text.split_once(':').unwrap_or((text, ""));
            let list = match word.trim() {
                "include" if text.contains(':') => &mut self.include,
                "exclude" if text.contains(':') => &mut self.exclude,
                _ => {
                    let shown: String = text.chars().take(60).collect();
                    wrong(format!(
                        "{shown:?} is no line of a filter; write \"include: 1001,2001-2010\" or \"exclude: 3001\""
                    ));
                    continue;
                }
            };
            match event_ids(ids) {
                _ if ids.trim().is_empty() => {}
                Ok(found) => {
                    found.iter().filter_map(|ids| unknown(ids, catalogue)).for_each(&mut wrong);
                    list.extend(found);
                }
                Err(message) => wrong(message),
            }
        }
        errors
    }
}

/// What is wrong with numbers that no event has.
fn unknown(ids: &EventIds, catalogue: &Catalogue) -> Option<String> {
    if catalogue.events().any(|(id, _)| ids.contains(&id)) {
        return None;
    }
    let (first, last) = (*ids.start(), *ids.end());
    let distance = |id: u32| if id < first { first - id } else { id - last };
    let nearest = catalogue.events().min_by_key(|(id, _)| distance(*id));
    let nearest = nearest.map(|(id, name)| format!("; the nearest is {id} ({name})")).unwrap_or_default();
    Some(if first == last {
        format!("no event has the number {first}{nearest}")
    } else {
        format!("no event has a number from {first} to {last}{nearest}")
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    text_file::read(path, 1, "a filter").map_err(|why| ConfigError {
        file: path.display().to_string(),
        line: 0,
        key: KEY.to_owned(),
        message: format!("{why}; without {KEY} all events are written"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Filter, String> {
        let mut filter = Filter::default();
        match &filter.add("filter", text, &Catalogue::built_in())[..] {
            [] => Ok(filter),
            errors => Err(errors.iter().map(ConfigError::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    #[test]
    fn d9_only_what_is_included_and_not_excluded_passes() {
        let filter = parse("# all of it\n\ninclude: 1002-1003 # two\nexclude:\n").unwrap();
        assert_eq!([1001, 1002, 1003, 1004].map(|id| filter.passes(Some(id))), [false, true, true, false]);
        assert!(!filter.passes(None));
        let filter = parse("exclude: 1001,1003\ninclude:1001-1004").unwrap();
        assert_eq!([1001, 1002, 1003, 1004].map(|id| filter.passes(Some(id))), [false, true, false, true]);
        let filter = parse("exclude: 1001").unwrap();
        assert_eq!([Some(1001), Some(1002), None].map(|id| filter.passes(id)), [false, true, true]);
        assert!(parse("").unwrap().passes(None));
    }

    #[test]
    fn d9_a_bad_line_is_an_error_with_its_place_and_clears_nothing() {
        for (text, wanted) in [
            ("include: 1001\nbogus\n", "filter:2: logs.filter_file: \"bogus\" is no line"),
            ("include 1001", "filter:1: logs.filter_file: \"include 1001\" is no line"),
            ("\n\ninclude: 1001,x", "filter:3: logs.filter_file: \"x\" is no number"),
            ("include: 1001: 1002", "filter:1: logs.filter_file: \"1001: 1002\" is no number"),
            (
                "exclude: 999",
                "filter:1: logs.filter_file: no event has the number 999; the nearest is 1001 (",
            ),
            ("exclude: 1-5", "no event has a number from 1 to 5; the nearest is 1001 ("),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_place() {
        let text = "[[probes]]\nname = \"event\"\n[logs]\ninclude = \"1001,7\"\nfilter_file = \"/no/such\"\n\
                    [stdout]\nexclude = [4]\n";
        let catalogue = Catalogue::built_in();
        let further = |config: &Config| Filters::load(config, &catalogue).err().unwrap_or_default();
        let errors = Config::parse("a.conf", text, &[], further).unwrap_err().to_string();
        for wanted in
            ["a.conf:4: logs.include: no event has the number 7", "a.conf:7: stdout.exclude", "/no/such"]
        {
            assert!(errors.contains(wanted), "{wanted}: {errors}");
        }
    }
}
