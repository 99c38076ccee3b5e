//! Files that roll, move away, tear and fail.

use super::*;
use crate::{encode::json::FORM, sink::Mark};

/// A folder of its own for a test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("event-log-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Self(dir)
    }

    async fn open(&self, size: u64, files: u64, total: u64) -> EventLog {
        EventLog::open(&self.0, Limits { size, files, total }).await.unwrap()
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join(name)).ok()
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn records(texts: &[&str]) -> Vec<Encoded> {
    let record = |text: &&str| Encoded {
        bytes: (*text).to_owned().into(),
        event_name: "x".into(),
        mark: Mark::default(),
        form: std::borrow::Cow::Borrowed(&FORM),
        occurrences: 1,
        sequence: 0,
        loss: None,
    };
    texts.iter().map(record).collect()
}

/// Appends all, as the sink does.
async fn append(log: &mut EventLog, texts: &[&str]) {
    let records = records(texts);
    let mut rest = &records[..];
    while !rest.is_empty() {
        let (count, written) = log.append(rest).await;
        written.unwrap();
        rest = &rest[count..];
    }
}

#[tokio::test]
async fn a11_a_full_file_becomes_the_first_of_the_older_ones() {
    let folder = Folder::new("roll");
    let mut log = folder.open(10, 3, u64::MAX).await;
    append(&mut log, &["aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg"]).await;
    assert_eq!(folder.names(), ["gopher_event", "gopher_event.1", "gopher_event.2"]);
    assert_eq!(folder.read("gopher_event").unwrap(), "gggg\n");
    assert_eq!(folder.read("gopher_event.1").unwrap(), "eeee\nffff\n");
    assert_eq!(folder.read("gopher_event.2").unwrap(), "cccc\ndddd\n");
    for name in folder.names() {
        let mode = std::fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}

#[tokio::test]
async fn a11_all_files_together_stay_within_their_total() {
    let folder = Folder::new("total");
    let mut log = folder.open(10, 100, 30).await;
    append(&mut log, &["aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg", "hhhh", "iiii"]).await;
    assert_eq!(folder.names(), ["gopher_event", "gopher_event.1", "gopher_event.2"]);
    assert_eq!(folder.read("gopher_event.2").unwrap(), "eeee\nffff\n");
}

#[tokio::test]
async fn a_line_larger_than_a_file_is_whole_and_one_file_alone_begins_anew() {
    let folder = Folder::new("large");
    let mut log = folder.open(3, 1, u64::MAX).await;
    append(&mut log, &["aaaa", "bbbb"]).await;
    assert_eq!(folder.names(), ["gopher_event"]);
    assert_eq!(folder.read("gopher_event").unwrap(), "bbbb\n");
}

#[tokio::test]
async fn files_beyond_a_smaller_limit_go_and_those_of_others_stay() {
    let folder = Folder::new("beyond");
    std::fs::create_dir_all(&folder.0).unwrap();
    for name in
        ["gopher_event.2", "gopher_event.7", "gopher_event.1.gz", "gopher_event.01", "gopher_eventful"]
    {
        std::fs::write(folder.0.join(name), "x\n").unwrap();
    }
    let mut log = folder.open(5, 4, u64::MAX).await;
    append(&mut log, &["aaaa", "bbbb"]).await;
    let left = ["gopher_event", "gopher_event.01", "gopher_event.1", "gopher_event.1.gz", "gopher_event.3"];
    assert_eq!(folder.names(), [&left[..], &["gopher_eventful"]].concat());
}

#[tokio::test]
async fn a_file_that_was_moved_or_deleted_begins_anew() {
    let folder = Folder::new("moved");
    let mut log = folder.open(1000, 3, u64::MAX).await;
    append(&mut log, &["a"]).await;
    std::fs::rename(folder.0.join(FILE_NAME), folder.0.join("moved")).unwrap();
    append(&mut log, &["b"]).await;
    assert_eq!(
        (folder.read("moved").unwrap(), folder.read(FILE_NAME).unwrap()),
        ("a\n".into(), "b\n".into())
    );
    std::fs::remove_dir_all(&folder.0).unwrap();
    append(&mut log, &["c"]).await;
    assert_eq!(folder.read(FILE_NAME).unwrap(), "c\n");
    // As logrotate's copytruncate does.
    std::fs::File::create(folder.0.join(FILE_NAME)).unwrap();
    append(&mut log, &["d"]).await;
    assert_eq!(folder.read(FILE_NAME).unwrap(), "d\n");
}

#[tokio::test]
async fn a_torn_line_is_cut_away_when_the_file_is_opened() {
    let folder = Folder::new("torn");
    std::fs::create_dir_all(&folder.0).unwrap();
    let long = "x".repeat(3 * STEP as usize);
    for (before, after) in [
        ("a\nb\n".to_owned(), "a\nb\n"),
        ("a\nb".to_owned(), "a\n"),
        ("torn".to_owned(), ""),
        (String::new(), ""),
        (format!("a\n{long}"), "a\n"),
        (format!("a\nb\n{}", "\0".repeat(5000)), "a\nb\n"),
        (long, ""),
    ] {
        std::fs::write(folder.0.join(FILE_NAME), before).unwrap();
        let mut log = folder.open(u64::MAX, 3, u64::MAX).await;
        assert_eq!(folder.read(FILE_NAME).unwrap(), after);
        append(&mut log, &["z"]).await;
        assert_eq!(folder.read(FILE_NAME).unwrap(), format!("{after}z\n"));
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_rolled_grows() {
    let folder = Folder::new("stuck");
    let mut log = folder.open(5, 3, u64::MAX).await;
    append(&mut log, &["aaaa"]).await;
    // Nothing can be given the name of a folder that is not empty.
    std::fs::create_dir_all(folder.0.join("gopher_event.1/full")).unwrap();
    std::fs::create_dir_all(folder.0.join("gopher_event.2/full")).unwrap();
    append(&mut log, &["bbbb", "cccc"]).await;
    assert_eq!(folder.read(FILE_NAME).unwrap(), "aaaa\nbbbb\ncccc\n");
    std::fs::remove_dir_all(folder.0.join("gopher_event.1")).unwrap();
    std::fs::remove_dir_all(folder.0.join("gopher_event.2")).unwrap();
    append(&mut log, &["dddd"]).await;
    assert_eq!(folder.read(FILE_NAME).unwrap(), "dddd\n");
    assert_eq!(folder.read("gopher_event.1").unwrap(), "aaaa\nbbbb\ncccc\n");
}

#[tokio::test]
async fn what_a_failed_write_left_is_cut_away_later() {
    let folder = Folder::new("mend");
    let mut log = folder.open(u64::MAX, 3, u64::MAX).await;
    append(&mut log, &["a"]).await;
    std::fs::write(folder.0.join(FILE_NAME), "a\nto").unwrap();
    log.torn = Some(2);
    append(&mut log, &["b"]).await;
    assert_eq!(folder.read(FILE_NAME).unwrap(), "a\nb\n");
}

#[test]
fn d11_limits_are_those_of_the_configuration() {
    let limits = |max_size_mb, max_files, event_total_size| {
        let limits = Limits::of(&Logs { max_size_mb, max_files, event_total_size, ..Logs::default() });
        (limits.size >> 20, limits.files)
    };
    assert_eq!(limits(50, 20, 100), (50, 20));
    assert_eq!(limits(50, 20, 60), (30, 20));
    assert_eq!(limits(50, 1, 60), (50, 1));
    assert_eq!(limits(2000, 2, 0), (2000, 2));
}
