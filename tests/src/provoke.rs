//! Failures made on purpose: in comes a system call that is to fail and who is to make it, out comes when,
//! by which process and with what result it failed. Each call is made by a process of its own, so that a
//! process id stands for one call.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{WaitOptions, waitpid};

mod child;
mod flood;
pub mod i386;
mod table;
mod world;

use child::Slot;
pub use flood::{ALONE, Flood, NO_OTHERS, ONLY_ALONE, Pace, RARE};
pub use table::table;
pub use world::{World, inet};

/// The user `nobody`.
pub const NOBODY: u32 = 65534;

/// One argument of a call.
#[derive(Debug, Clone)]
pub enum Arg {
    /// A number as it is.
    Number(i64),
    /// The address of these bytes.
    Memory(Vec<u8>),
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<&Path> for Arg {
    fn from(path: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Self::from(path.as_os_str().as_bytes())
    }
}

impl From<Vec<u8>> for Arg {
    fn from(memory: Vec<u8>) -> Self {
        Self::Memory(memory)
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<&[u8]> for Arg {
    fn from(text: &[u8]) -> Self {
        Self::Memory([text, b"\0"].concat())
    }
}

/// A system call that is to fail, and what is to be read in its record.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub args: Vec<Arg>,
    /// The number of the error that it is to end with, and its name.
    pub errno: (i32, String),
    /// Who makes it.
    pub who: Identity,
    /// Values that the record's decoded arguments must show, under whatever name.
    pub shown: Vec<serde_json::Value>,
    /// The path in the record's `file.path`.
    pub path: Option<String>,
    /// The address and port in the record's `network.peer.*`.
    pub peer: Option<(String, u16)>,
}

/// Who makes a call.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The thread's name; none keeps the name of the test.
    pub comm: Option<Vec<u8>>,
    /// In a process id namespace of its own: as which process of it, 1 or 2.
    pub vpid: Option<i32>,
}

/// A call that was made.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// The process that made it, as the host sees it.
    pub pid: i32,
    /// The wall clock just before it, in nanoseconds since 1970.
    pub before: i128,
    /// The wall clock just after it.
    pub after: i128,
    /// What the kernel returned: the negative number of the error.
    pub returned: i64,
}

impl Call {
    /// A call that the table does not have.
    pub fn new(name: &str, number: i64, args: Vec<Arg>, errno: (i32, &str)) -> Self {
        let errno = (errno.0, errno.1.to_owned());
        Self {
            name: name.to_owned(),
            number,
            args,
            errno,
            who: Identity::default(),
            shown: Vec::new(),
            path: None,
            peer: None,
        }
    }

    /// A call that every configuration reports: a signal to a process that cannot exist.
    pub fn fence() -> Self {
        let args = vec![i32::MAX.into(), 0.into()];
        Self::new("kill", libc::SYS_kill, args, (libc::ESRCH, "ESRCH"))
    }

    /// Its record must show this value among the decoded arguments.
    pub fn shows(mut self, value: impl Into<serde_json::Value>) -> Self {
        self.shown.push(value.into());
        self
    }

    /// Its record must name this path in `file.path`, and among the decoded arguments.
    pub fn about(mut self, path: &Path) -> Self {
        let path = path.to_string_lossy().into_owned();
        self.path = Some(path.clone());
        self.shows(path)
    }

    /// Its record must name this address as the peer.
    pub fn peer(mut self, address: &str, port: u16) -> Self {
        self.peer = Some((address.to_owned(), port));
        self
    }

    /// Made as this user.
    pub fn uid(mut self, uid: u32) -> Self {
        self.who.uid = uid;
        self
    }

    /// Made under this name.
    pub fn comm(mut self, comm: &[u8]) -> Self {
        self.who.comm = Some(comm.to_owned());
        self
    }

    /// Made as process `vpid`, 1 or 2, of a new process id namespace.
    pub fn in_namespace(mut self, vpid: i32) -> Self {
        self.who.vpid = Some(vpid);
        self
    }

    /// Makes the call in a new process and waits for the end of that process. A call that does not fail as
    /// it should is an error.
    pub fn make(&self) -> Result<Made> {
        let slot = Slot::new()?;
        let pid = child::fork(self, &slot)?;
        waitpid(Some(pid), WaitOptions::empty()).context("cannot wait for the child")?;
        let made = slot.made().with_context(|| format!("the child never made {}", self.name))?;
        ensure!(
            made.returned == -i64::from(self.errno.0),
            "{} returned {}, it should fail with {}",
            self.name,
            made.returned,
            self.errno.1
        );
        Ok(made)
    }
}

/// Takes the loopback interface up where nobody did yet, as in a guest that is nothing but a kernel.
pub fn raise_loopback() -> Result<()> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    child::raise_loopback(&any)
}
