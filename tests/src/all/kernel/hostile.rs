//! Names that try to break a record: every record stays strict JSON, and still says what the name was.

use std::path::Path;

use anyhow::{Result, ensure};
use tests::daemon::FileDaemon;
use tests::provoke::{Arg, Call};
use tests::record::Record;

use super::{REPORT_ORDINARY, make, only};
use crate::expect::expect;

/// Texts that a careless writer stumbles over.
const HOSTILE: [&[u8]; 9] = [
    b"a\"b\\c",
    b"two\nlines\r\n",
    b"\xff\xfe\x80",
    b"tab\t\x01\x1b[31m\x7f",
    "ééééééé".as_bytes(),
    "日本語\u{2028}x".as_bytes(),
    b"half\xe6\x97",
    b"\",\"x\":{\"",
    b"${jndi}%s%n'",
];

fn open(path: &[u8], errno: (i32, &str)) -> Call {
    let args = vec![libc::AT_FDCWD.into(), Arg::from(path), libc::O_RDONLY.into(), 0.into()];
    Call::new("openat", libc::SYS_openat, args, errno)
}

#[test]
fn names_with_quotes_newlines_and_invalid_utf8_stay_readable() -> Result<()> {
    let mut calls: Vec<Call> = HOSTILE.into_iter().map(|comm| Call::fence().comm(comm)).collect();
    calls.push(Call::fence().comm(b""));
    for path in HOSTILE {
        let path = [b"/gone/", path].concat();
        calls.push(open(&path, (libc::ENOENT, "ENOENT")).about(Path::new(&*String::from_utf8_lossy(&path))));
    }
    let mut probe = FileDaemon::start(REPORT_ORDINARY)?;
    let made = make(&mut probe, &calls)?;
    for (call, made) in calls.iter().zip(&made) {
        expect(call, made, only(&probe, call, made)?)?;
    }
    probe.finish()?;
    Ok(())
}

#[test]
fn paths_up_to_the_kernels_limit_are_whole_and_longer_ones_are_flagged() -> Result<()> {
    let part = [b"/".as_slice(), &[b'x'; 249]].concat();
    let path = |length: usize| part.iter().copied().cycle().take(length).collect::<Vec<u8>>();
    let whole = open(&path(4095), (libc::ENOENT, "ENOENT"));
    let too_long = open(&path(4096), (libc::ENAMETOOLONG, "ENAMETOOLONG"));
    let far_too_long = open(&path(9000), (libc::ENAMETOOLONG, "ENAMETOOLONG"));
    let no_text = open(&[0xff; 4095], (libc::ENAMETOOLONG, "ENAMETOOLONG"));
    let calls = [whole, too_long, far_too_long, no_text];
    let mut probe = FileDaemon::start(REPORT_ORDINARY)?;
    let made = make(&mut probe, &calls)?;
    let mut records = Vec::new();
    for (call, made) in calls.iter().zip(&made) {
        let record = only(&probe, call, made)?;
        expect(call, made, record)?;
        records.push(record);
    }
    let is = |record: &Record, length: usize| {
        let path = String::from_utf8(path(length))?;
        ensure!(*record.attribute("file.path") == path, "a path of {length} bytes is not whole: {record:?}");
        Ok(())
    };
    is(records[0], 4095)?;
    is(records[1], 4096)?;
    for record in &records[..2] {
        ensure!(record.attribute("gala_gopher.syscall.args_truncated").is_null(), "{record:?}");
    }
    ensure!(*records[2].attribute("gala_gopher.syscall.args_truncated") == true, "{:?}", records[2]);
    let text = records[3].attribute("file.path").as_str().unwrap_or_default();
    ensure!(text.starts_with('\u{fffd}') && text.ends_with(['\u{fffd}', '…']), "{text:?}");
    probe.finish()?;
    Ok(())
}
