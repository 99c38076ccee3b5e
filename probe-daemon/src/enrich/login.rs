//! Where somebody who is logged in came from.
//!
//! In: a terminal, and the audit session. Out: the remote address, from utmp(5), or where a host has none any more from
//! logind's file of the session.

use std::{
    fs::{self, File},
    io::Read,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Where login records are.
const UTMP: &str = "/run/utmp";
/// Where logind keeps a file for each session, which has the number of the audit session where there is one.
const SESSIONS: &str = "/run/systemd/sessions";
/// Bytes of a record of utmp on x86-64, and what is looked at of it, from `bits/utmp.h`.
const RECORD: usize = 384;
const USER_PROCESS: u16 = 7;
/// More than any real file has.
const MAX_BYTES: u64 = 4 << 20;

/// The logins of this host.
pub struct Logins {
    utmp: PathBuf,
    sessions: PathBuf,
    read: Option<(SystemTime, u64)>,
    logins: Vec<Session>,
}

impl Default for Logins {
    fn default() -> Self {
        Self::at(UTMP.into(), SESSIONS.into())
    }
}

/// Somebody at a terminal.
#[derive(Debug, PartialEq)]
struct Session {
    /// Such as `pts/4`.
    line: String,
    remote: Option<String>,
}

impl Logins {
    fn at(utmp: PathBuf, sessions: PathBuf) -> Self {
        Self { utmp, sessions, read: None, logins: Vec::new() }
    }

    /// Where who works at `tty`, or belongs to that session, came from.
    pub fn remote(&mut self, tty: Option<&str>, session: Option<u32>) -> Option<String> {
        tty.and_then(|tty| self.at_terminal(tty)).or_else(|| self.of_session(session?))
    }

    fn at_terminal(&mut self, tty: &str) -> Option<String> {
        let metadata = fs::metadata(&self.utmp).ok()?;
        let state = (metadata.modified().ok()?, metadata.len());
        if self.read != Some(state) {
            self.logins = parse(&read(&self.utmp)?);
            self.read = Some(state);
        }
        self.logins.iter().rev().find(|login| login.line == tty)?.remote.clone()
    }

    fn of_session(&self, session: u32) -> Option<String> {
        let text = read(&self.sessions.join(session.to_string()))?;
        let text = String::from_utf8_lossy(&text);
        let host = text.lines().find_map(|line| line.strip_prefix("REMOTE_HOST="))?.trim();
        (!host.is_empty()).then(|| host.to_owned())
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The logins of a utmp file; a part of a record at its end is left out.
fn parse(bytes: &[u8]) -> Vec<Session> {
    let (records, _) = bytes.as_chunks::<RECORD>();
    let logged_in = |record: &&[u8; RECORD]| u16::from_le_bytes([record[0], record[1]]) == USER_PROCESS;
    let login = |record: &[u8; RECORD]| {
        let (line, host, address) = (text(&record[8..40]), text(&record[76..332]), &record[348..364]);
        let remote = remote_address(address).or_else(|| {
            // A display of this host is no remote one.
            (!host.is_empty() && !host.starts_with(':')).then_some(host)
        });
        Session { line, remote }
    };
    records.iter().filter(logged_in).map(login).collect()
}

/// An IPv4 address fills the first of four words, an IPv6 address all of them.
fn remote_address(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    if rest.iter().any(|byte| *byte != 0) {
        Some(Ipv6Addr::from(bytes).to_string())
    } else {
        (*first != [0; 4]).then(|| Ipv4Addr::from(*first).to_string())
    }
}

fn text(bytes: &[u8]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u16, line: &str, host: &str, address: &[u8]) -> Vec<u8> {
        let mut record = vec![0; RECORD];
        record[..2].copy_from_slice(&kind.to_le_bytes());
        record[8..8 + line.len()].copy_from_slice(line.as_bytes());
        record[76..76 + host.len()].copy_from_slice(host.as_bytes());
        record[348..348 + address.len()].copy_from_slice(address);
        record
    }

    #[test]
    fn a_terminal_leads_to_the_address_that_its_login_came_from() {
        let folder = std::env::temp_dir().join(format!("utmp-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = [
            record(2, "~", "6.1.0", &[]),
            record(7, "pts/4", "old.example", &[]),
            record(7, "pts/4", "a.example", &[10, 136, 119, 3]),
            record(7, "pts/5", "b.example", &[]),
            record(7, "tty2", ":0", &[]),
            record(8, "pts/6", "gone.example", &[]),
            record(7, "pts/7", "", &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            vec![7; 100],
        ];
        fs::write(folder.join("utmp"), file.concat()).unwrap();
        fs::write(folder.join("12"), "# logind\nUID=0\nTTY=pts/9\nREMOTE_HOST=10.0.0.9\n").unwrap();
        fs::write(folder.join("13"), "UID=0\nREMOTE_HOST=\n").unwrap();
        let mut logins = Logins::at(folder.join("utmp"), folder.clone());
        for (tty, remote) in [
            ("pts/4", Some("10.136.119.3")),
            ("pts/5", Some("b.example")),
            ("tty2", None),
            ("pts/6", None),
            ("pts/7", Some("2001:db8::1")),
            ("pts/8", None),
        ] {
            assert_eq!(logins.remote(Some(tty), None).as_deref(), remote, "{tty}");
        }
        assert_eq!(logins.remote(Some("pts/9"), Some(12)).as_deref(), Some("10.0.0.9"));
        assert_eq!(logins.remote(None, Some(13)), None);
        fs::write(folder.join("utmp"), record(7, "pts/8", "c.example", &[])).unwrap();
        assert_eq!(logins.remote(Some("pts/8"), None).as_deref(), Some("c.example"));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(logins.remote(Some("pts/8"), Some(12)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
            prop_assert!(parse(&bytes).len() <= bytes.len() / RECORD);
        }
    }
}
