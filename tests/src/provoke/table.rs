//! The failures that the tests know: in comes a world, out come calls of most families of system calls with
//! the errors that they must end with. Arguments that are paths, addresses or descriptors must be readable
//! in the record.

use std::path::Path;

use anyhow::Result;

use super::{Call, NOBODY, World};

/// `call!(SYS_name, ERRNO, argument, …)`: the numbers come from libc, so they are not the daemon's own.
macro_rules! call {
    ($name:ident, $errno:ident $(, $arg:expr)* $(,)?) => {
        $crate::provoke::Call::new(
            stringify!($name).trim_start_matches("SYS_"),
            libc::$name,
            vec![$($crate::provoke::Arg::from($arg)),*],
            (libc::$errno, stringify!($errno)),
        )
    };
}

mod file;
mod net;
mod path;
mod process;

/// Every failure, each with the error that it must end with.
pub fn table(world: &World) -> Result<Vec<Call>> {
    let mut calls = path::calls(world);
    calls.extend(file::calls(world));
    calls.extend(net::calls(world)?);
    calls.extend(process::calls());
    Ok(calls)
}

/// A descriptor that nobody has open.
const NO_FD: i32 = 9999;
/// A process that cannot exist.
const NO_PID: i32 = i32::MAX;

impl Call {
    /// Made by the user `nobody`.
    fn nobody(self) -> Self {
        self.uid(NOBODY)
    }

    /// Its record must show this further path.
    fn and(self, path: &Path) -> Self {
        self.shows(path.to_string_lossy())
    }
}
