//! Processes as `/proc` shows them: only those that are still there.
//!
//! In: a process id, and when the process started. Out: what its files say, where they are of that process.

use std::{
    fs::{self, File},
    io::Read,
};

use probe_common::NO_LOGIN;

use super::Found;

/// Nanoseconds of a clock tick of `/proc`: USER_HZ is 100 on x86-64, whatever the kernel's own is.
const TICK: u64 = 10_000_000;
/// Bytes of a command line that are read, and arguments that are kept.
const COMMAND: (u64, usize) = (4096, 64);

/// The process of that id, if it has that start; with none given, whatever its start.
pub fn find(pid: u32, start: Option<u64>) -> Option<Found> {
    let file = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let number = |name| file(name)?.trim().parse().ok().filter(|number| *number != NO_LOGIN);
    let link = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let executable = link.map(|link| {
        let link = link.to_string_lossy();
        link.strip_suffix(" (deleted)").unwrap_or(&link).to_owned()
    });
    let (login_uid, session) = (number("loginuid"), number("sessionid"));
    // Read last: it says that all of the above is of this process.
    let stat = Stat::of(pid).filter(|stat| stat.began(start))?;
    Some(Found {
        start: start.unwrap_or(stat.start.saturating_mul(TICK)),
        executed: 0,
        current: true,
        comm: stat.comm,
        executable,
        parent: (stat.parent, None),
        login_uid,
        session,
        tty: terminal(stat.tty),
    })
}

/// The arguments of a process that is still there.
pub fn command_line(pid: u32, start: u64) -> Vec<String> {
    let mut bytes = Vec::new();
    let read = File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(COMMAND.0).read_to_end(&mut bytes));
    if read.is_err() || !is_same(pid, Some(start)) {
        return Vec::new();
    }
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    let arguments = bytes.split(|byte| *byte == 0).take(COMMAND.1);
    arguments.map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// Whether the process of that id is there and has that start; with none given, whatever its start.
pub fn is_same(pid: u32, start: Option<u64>) -> bool {
    Stat::of(pid).is_some_and(|stat| stat.began(start))
}

/// What is used of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    comm: String,
    parent: u32,
    tty: u32,
    /// In clock ticks after boot.
    start: u64,
}

impl Stat {
    /// That of a process which is there.
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Whether the process has this start.
    fn began(&self, start: Option<u64>) -> bool {
        start.is_none_or(|start| start / TICK == self.start)
    }

    /// The name stands in parentheses and may hold any character, parentheses too.
    fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The third field of the file is the first here.
        let field = |number: usize| fields.get(number - 3);
        let tty: i32 = field(7)?.parse().ok()?;
        Some(Self {
            comm,
            parent: field(4)?.parse().ok()?,
            tty: tty.cast_unsigned(),
            start: field(22)?.parse().ok()?,
        })
    }
}

/// The name of a terminal by its device number, for those that people log in at (Documentation/admin-guide/
/// devices.txt).
fn terminal(device: u32) -> Option<String> {
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
    match (major, minor) {
        (4, 0..64) => Some(format!("tty{minor}")),
        (4, _) => Some(format!("ttyS{}", minor - 64)),
        (5, 1) => Some("console".to_owned()),
        (136..144, _) => Some(format!("pts/{}", (major - 136) * 256 + minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_spaces() {
        let text = "42 (a) b (c) S 7 42 42 34820 1 0 0 0 0 0 0 0 0 0 20 0 1 0 1234 0 0\n";
        let stat = Stat::parse(text.as_bytes()).unwrap();
        assert_eq!(stat, Stat { comm: "a) b (c".to_owned(), parent: 7, tty: 34820, start: 1234 });
        assert_eq!(terminal(stat.tty).as_deref(), Some("pts/4"));
    }

    #[test]
    fn terminals_have_the_names_that_they_have_below_dev() {
        for (device, name) in [
            (4 << 8 | 1, Some("tty1")),
            (4 << 8 | 64, Some("ttyS0")),
            (5 << 8 | 1, Some("console")),
            (137 << 8 | 3, Some("pts/259")),
            (136 << 8 | 1 << 20, Some("pts/256")),
            (0, None),
        ] {
            assert_eq!(terminal(device).as_deref(), name);
        }
    }

    #[test]
    fn this_process_is_found_and_no_other_of_its_id() {
        let own = find(std::process::id(), None).unwrap();
        assert_eq!(own.executable.as_deref(), std::env::current_exe().unwrap().to_str());
        assert_eq!(find(std::process::id(), Some(own.start)), Some(own.clone()));
        assert_eq!(find(std::process::id(), Some(own.start + TICK)), None);
        assert_eq!(command_line(std::process::id(), own.start), std::env::args().collect::<Vec<_>>());
        assert!(command_line(std::process::id(), own.start + TICK).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Stat::parse(&bytes);
        }

        #[test]
        fn any_fields_are_read_or_refused(text in "[0-9]{0,5}[()]{0,3}[-0-9 ()]{0,200}") {
            let _ = Stat::parse(text.as_bytes());
        }
    }
}
