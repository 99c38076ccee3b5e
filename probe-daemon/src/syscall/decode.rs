//! From registers and captured memory to arguments by name, as typed JSON values.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::flag::{name_of, signal_name};
use super::kind::{Kind, Names};
use super::names::file::STATUS;
use super::names::net::{INET_PROTOCOL, IP_OPTION, IPV6_OPTION, NETLINK_PROTOCOL, SOCKET_OPTION, TCP_OPTION};
use super::{Abi, MAX_ARGS, SockAddr, capture, lookup};

/// The descriptor that stands for the working directory.
pub(super) const AT_FDCWD: i32 = -100;
/// `open` flags that make a file, so that its mode counts: `O_CREAT`, and the bit of `O_TMPFILE` alone.
const CREATES: u64 = 0x40 | 0x40_0000;

/// What was seen of a call's arguments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Captured<'a> {
    /// Whose call it is.
    pub abi: Abi,
    /// The argument registers.
    pub registers: [u64; MAX_ARGS],
    /// The user memory behind an argument, where it was asked for and could be read.
    pub memory: [Option<&'a [u8]>; MAX_ARGS],
    /// Bit i: the memory of argument i goes on past what was read.
    pub truncated: u8,
}

impl Captured<'_> {
    /// The register of an argument.
    pub(super) fn register(&self, index: usize) -> u64 {
        self.registers.get(index).copied().unwrap_or_default()
    }

    /// Whether the memory of an argument was cut short.
    pub(super) fn is_truncated(&self, index: usize) -> bool {
        index < MAX_ARGS && self.truncated & (1 << index) != 0
    }

    fn memory(&self, index: usize) -> Option<&[u8]> {
        self.memory.get(index).copied().flatten()
    }

    /// The string of an argument, up to its NUL. A character that was cut in half is left out, other bytes
    /// that are no UTF-8 become U+FFFD.
    pub(super) fn text(&self, index: usize) -> Option<Cow<'_, str>> {
        let memory = self.memory(index)?;
        let end = memory.iter().position(|byte| *byte == 0);
        let mut text = &memory[..end.unwrap_or(memory.len())];
        if end.is_none()
            && self.is_truncated(index)
            && let Some(last) = text.utf8_chunks().last()
            && std::str::from_utf8(last.invalid()).is_err_and(|error| error.error_len().is_none())
        {
            text = &text[..text.len() - last.invalid().len()];
        }
        Some(String::from_utf8_lossy(text))
    }

    /// The socket address of an argument, no longer than the caller said.
    pub(super) fn address(&self, index: usize, len: u8) -> Option<SockAddr> {
        let memory = self.memory(index).filter(|memory| !memory.is_empty())?;
        let said = usize::try_from(self.register(usize::from(len)) as i32).unwrap_or(memory.len());
        Some(SockAddr::parse(&memory[..said.min(memory.len())]))
    }
}

/// Names of the arguments of a call that is not known.
pub(super) const RAW: [&str; MAX_ARGS] = ["arg0", "arg1", "arg2", "arg3", "arg4", "arg5"];

/// The arguments of a call by name, in the order of the registers. Serialises to a JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args(pub Vec<(&'static str, Value)>);

impl Args {
    /// The argument of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// `dir_fd="AT_FDCWD", pathname="/etc/shadow", flags=["O_RDONLY"]`
impl fmt::Display for Args {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Decodes the arguments of a call; of an unknown call, the registers as `arg0` to `arg5`.
pub fn decode(number: u32, captured: &Captured<'_>) -> Args {
    let Some(call) = lookup(captured.abi, number) else {
        return Args(
            RAW.into_iter().zip(captured.registers).map(|(name, register)| (name, hex(register))).collect(),
        );
    };
    let args = call.args.iter().enumerate();
    Args(args.filter_map(|(index, arg)| Some((arg.name, value(arg.kind, index, captured)?))).collect())
}

/// The first path of a call that could be read.
pub fn path(number: u32, captured: &Captured<'_>) -> Option<String> {
    let args = lookup(captured.abi, number)?.args.iter().enumerate();
    let mut paths = args.filter(|(_, arg)| arg.kind == Kind::Path);
    paths.find_map(|(index, _)| captured.text(index)).map(Cow::into_owned)
}

/// The socket address that a call names.
pub fn peer(number: u32, captured: &Captured<'_>) -> Option<SockAddr> {
    let (index, len) = capture(captured.abi, number).sockaddr?;
    captured.address(usize::from(index), len)
}

/// The value of an argument; none if the call does not have it with these other arguments.
pub(super) fn value(kind: Kind, index: usize, captured: &Captured<'_>) -> Option<Value> {
    let register = captured.register(index);
    // Only the lower half of a 32-bit argument counts: the kernel ignores the other.
    let int = register as i32;
    let other = |index: u8| captured.register(usize::from(index));
    Some(match kind {
        Kind::Int | Kind::Fd | Kind::Pid => int.into(),
        Kind::Uint => (register as u32).into(),
        Kind::Long if captured.abi == Abi::I386 => int.into(),
        Kind::Long => (register as i64).into(),
        Kind::Split { high } => (other(high) << 32 | u64::from(register as u32)).cast_signed().into(),
        Kind::HighHalf => return None,
        Kind::Size => i64::try_from(register).map_or_else(|_| hex(register), Value::from),
        Kind::Hex => hex(register),
        Kind::Pointer => pointer(register),
        Kind::DirFd if int == AT_FDCWD => "AT_FDCWD".into(),
        Kind::DirFd => int.into(),
        Kind::Path | Kind::Text => captured.text(index).map_or_else(|| pointer(register), Value::from),
        Kind::SockAddr { len } => match captured.address(index, len) {
            Some(address) => address.to_string().into(),
            None => pointer(register),
        },
        Kind::Mode => format!("{:04o}", register as u16).into(),
        Kind::CreateMode { flags } if other(flags) & CREATES == 0 => return None,
        Kind::CreateMode { .. } => format!("{:04o}", register as u16).into(),
        Kind::Signal => signal_name(int).map_or_else(|| int.into(), Value::from),
        Kind::Uid | Kind::Gid if int == -1 => int.into(),
        Kind::Uid | Kind::Gid => (register as u32).into(),
        Kind::Dev => device(register as u32).into(),
        Kind::Choice(names) => named(names, register).map_or_else(|| int.into(), Value::from),
        Kind::Request(names) => {
            named(names, register).map_or_else(|| hex(u64::from(register as u32)), Value::from)
        }
        Kind::Flags(flags) => flags.names(register).into_iter().map(Value::from).collect(),
        Kind::SocketProtocol { domain } => return value(protocol(other(domain)), index, captured),
        Kind::SocketOption { level } => return value(option(other(level)), index, captured),
        Kind::FcntlArg { cmd } => return value(fcntl_argument(other(cmd))?, index, captured),
    })
}

/// What the headers call the number in a 32-bit argument.
fn named(names: Names, register: u64) -> Option<&'static str> {
    name_of(names, u64::from(register as u32))
}

/// The kind of a protocol number in an address family.
pub(super) fn protocol(domain: u64) -> Kind {
    match domain as u32 {
        2 | 10 => INET_PROTOCOL,
        16 => NETLINK_PROTOCOL,
        // A link-layer protocol is an Ethernet type in network byte order.
        17 => Kind::Hex,
        _ => Kind::Int,
    }
}

/// The kind of a socket option at a level.
pub(super) fn option(level: u64) -> Kind {
    match level as u32 {
        0 => IP_OPTION,
        1 => SOCKET_OPTION,
        6 => TCP_OPTION,
        41 => IPV6_OPTION,
        _ => Kind::Int,
    }
}

/// The kind of the argument that a `fcntl` command takes, if it takes one.
pub(super) fn fcntl_argument(cmd: u64) -> Option<Kind> {
    match cmd as u32 {
        // F_GETFD, F_GETFL, F_GETOWN, F_GETSIG, F_GETLEASE, F_CREATED_QUERY, F_GETPIPE_SZ, F_GET_SEALS.
        1 | 3 | 9 | 11 | 1025 | 1028 | 1032 | 1034 => None,
        // F_DUPFD, F_SETFD, F_SETOWN, F_SETLEASE, F_DUPFD_QUERY, F_DUPFD_CLOEXEC, F_SETPIPE_SZ.
        0 | 2 | 8 | 1024 | 1027 | 1030 | 1031 => Some(Kind::Int),
        // F_SETFL, F_SETSIG.
        4 => Some(STATUS),
        10 => Some(Kind::Signal),
        _ => Some(Kind::Hex),
    }
}

/// Major and minor number, as the kernel packs them into 32 bits.
fn device(dev: u32) -> String {
    format!("{}:{}", (dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xf_ff00))
}

fn hex(register: u64) -> Value {
    format!("{register:#x}").into()
}

/// An address, with NULL as JSON's null.
fn pointer(register: u64) -> Value {
    if register == 0 { Value::Null } else { hex(register) }
}
