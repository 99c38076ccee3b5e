//! From the arguments of a call by name back to what was seen of it.
//!
//! In: a call, and its arguments as `decode` writes them. Out: registers and memory that decode to the very same, or which
//! argument the call cannot have had. A text that reads like an address, such as `0x7ffd12`, is taken for one whose memory
//! was not read.

use serde_json::Value;

use super::{
    Abi, Arg, Args, Captured, MAX_ARGS, SockAddr, Syscall, UnixName, decode,
    decode::{AT_FDCWD, RAW, fcntl_argument, option, protocol},
    flag::signal_number,
    kind::{Field, Flags, Kind, Names},
};

/// Registers, and the user memory behind them.
#[derive(Debug, Default)]
pub struct Restored {
    registers: [u64; MAX_ARGS],
    memory: [Option<Vec<u8>>; MAX_ARGS],
}

impl Restored {
    /// The same, as the kernel side would have seen it.
    pub fn captured(&self, abi: Abi) -> Captured<'_> {
        let memory = std::array::from_fn(|index| self.memory[index].as_deref());
        Captured { abi, registers: self.registers, memory, truncated: 0 }
    }
}

/// Takes the arguments of a call back; without a call, the registers of an unknown one.
///
/// # Errors
/// The argument that the call does not have, or cannot have had like this.
pub fn restore(call: Option<&Syscall>, args: &[(String, Value)]) -> Result<Restored, String> {
    let mut restored = Restored::default();
    let Some(call) = call else {
        for (name, value) in args {
            let index = RAW.iter().position(|known| known == name);
            let index = index.ok_or_else(|| format!("an unknown system call has no argument {name:?}"))?;
            restored.registers[index] = hex(value).ok_or_else(|| wrong(name, value))?;
        }
        return Ok(restored);
    };
    let mut given = Vec::new();
    for (name, value) in args {
        let known = (0..).zip(call.args).find(|(_, arg)| arg.name == name);
        let (index, arg): (usize, &Arg) =
            known.ok_or_else(|| format!("{} has no argument {name:?}", call.name))?;
        given.push((index, arg, value));
    }
    // What an argument means may depend on another one, which comes first therefore.
    given.sort_by_key(|(_, arg, _)| arg.kind.depends());
    for (index, arg, value) in &given {
        restored.put(arg.kind, *index, value).ok_or_else(|| wrong(arg.name, value))?;
    }
    let again = decode(call.number, &restored.captured(call.abi));
    differ(&again, args).map_or(Ok(restored), |(name, value)| Err(wrong(name, value)))
}

fn wrong(name: &str, value: &Value) -> String {
    let shown: String = value.to_string().chars().take(100).collect();
    format!("the argument {name:?} cannot be {shown}")
}

/// The first argument that is not as it was given.
fn differ<'a>(again: &Args, args: &'a [(String, Value)]) -> Option<(&'a str, &'a Value)> {
    let differs = args.iter().find(|(name, value)| again.get(name) != Some(value));
    differs.map(|(name, value)| (name.as_str(), value))
}

impl Kind {
    /// Whether what it means depends on another argument.
    fn depends(self) -> bool {
        matches!(
            self,
            Self::SocketProtocol { .. }
                | Self::SocketOption { .. }
                | Self::FcntlArg { .. }
                | Self::SockAddr { .. }
        )
    }
}

impl Restored {
    fn register(&self, index: u8) -> u64 {
        self.registers.get(usize::from(index)).copied().unwrap_or_default()
    }

    /// Puts one argument back. None where its kind has no such value.
    fn put(&mut self, kind: Kind, index: usize, value: &Value) -> Option<()> {
        let register = match kind {
            Kind::Int | Kind::Uint | Kind::Fd | Kind::Pid | Kind::Uid | Kind::Gid | Kind::Long => int(value)?,
            Kind::Split { high } => {
                let whole = int(value)?;
                *self.registers.get_mut(usize::from(high))? = whole >> 32;
                whole & u64::from(u32::MAX)
            }
            Kind::HighHalf => return None,
            Kind::Size => int(value).or_else(|| hex(value))?,
            Kind::Hex => hex(value)?,
            Kind::Pointer => pointer(value)?,
            Kind::DirFd if value == "AT_FDCWD" => from_int(AT_FDCWD.into()),
            Kind::DirFd => int(value)?,
            Kind::Path | Kind::Text => match pointer(value) {
                Some(address) => address,
                None => {
                    self.memory[index] = Some(value.as_str()?.as_bytes().to_vec());
                    0
                }
            },
            Kind::SockAddr { len } => match pointer(value) {
                Some(address) => address,
                None => {
                    let said = usize::try_from(self.register(len) as i32).unwrap_or_default();
                    self.memory[index] = Some(address(value.as_str()?, said)?);
                    0
                }
            },
            Kind::Mode | Kind::CreateMode { .. } => u64::from_str_radix(value.as_str()?, 8).ok()?,
            Kind::Signal => match value.as_str() {
                Some(name) => from_int(signal_number(name)?.into()),
                None => int(value)?,
            },
            Kind::Dev => device(value.as_str()?)?,
            Kind::Choice(names) => {
                value.as_str().map_or_else(|| int(value), |name| number_of(names, name))?
            }
            Kind::Request(names) => number_of(names, value.as_str()?).or_else(|| hex(value))?,
            Kind::Flags(flags) => bits(flags, value)?,
            Kind::SocketProtocol { domain } => {
                return self.put(protocol(self.register(domain)), index, value);
            }
            Kind::SocketOption { level } => return self.put(option(self.register(level)), index, value),
            Kind::FcntlArg { cmd } => return self.put(fcntl_argument(self.register(cmd))?, index, value),
        };
        self.registers[index] = register;
        Some(())
    }
}

/// A whole number, as a register holds it.
fn int(value: &Value) -> Option<u64> {
    value.as_i64().map(from_int).or_else(|| value.as_u64())
}

fn from_int(number: i64) -> u64 {
    number.cast_unsigned()
}

/// `0x` and digits.
fn hex(value: &Value) -> Option<u64> {
    hex_digits(value.as_str()?)
}

fn hex_digits(text: &str) -> Option<u64> {
    let digits =
        text.strip_prefix("0x").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u64::from_str_radix(digits, 16).ok()
}

/// An address, null for 0.
fn pointer(value: &Value) -> Option<u64> {
    if value.is_null() { Some(0) } else { hex(value).filter(|address| *address != 0) }
}

fn number_of(names: Names, name: &str) -> Option<u64> {
    names.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

/// The inverse of how the kernel packs a device number into 32 bits.
fn device(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    let (major, minor): (u64, u64) = (major.parse().ok()?, minor.parse().ok()?);
    Some((major & 0xfff) << 8 | minor & 0xff | (minor & 0xf_ff00) << 12)
}

/// A word of flags out of its names.
fn bits(flags: Flags, value: &Value) -> Option<u64> {
    let mut word = 0;
    for said in value.as_array()? {
        let said = said.as_str()?;
        let field = match flags.field {
            Field::Names(_, names) => number_of(names, said),
            Field::Signal(_) => signal_number(said).and_then(|number| u64::try_from(number).ok()),
            Field::Octal(_) => said.starts_with('0').then(|| u64::from_str_radix(said, 8).ok()).flatten(),
            Field::None => None,
        };
        word |= field.or_else(|| number_of(flags.names, said)).or_else(|| hex_digits(said))?;
    }
    Some(word)
}

/// The bytes of a socket address, of which the caller said that there are `said`.
fn address(text: &str, said: usize) -> Option<Vec<u8>> {
    SockAddr::from_text(text).map(|address| {
        let bytes = address.to_bytes();
        match address {
            // A single byte, too few even for a family, shows as family 0.
            SockAddr::Other { family: 0, data } if said < bytes.len() && data.len() == 1 => data,
            _ => bytes,
        }
    })
}

impl SockAddr {
    /// The inverse of how it is shown. A name that begins with `@` is an abstract one.
    fn from_text(text: &str) -> Option<Self> {
        let (family, rest) = text.split_once(':')?;
        let two = || rest.split_once(':');
        Some(match family {
            "ipv4" | "ipv6" => Self::Ip(rest.parse().ok()?),
            "unix" => Self::Unix(match rest.strip_prefix('@') {
                _ if rest.is_empty() => UnixName::Unnamed,
                Some(name) => UnixName::Abstract(name.as_bytes().to_vec()),
                None => UnixName::Path(rest.as_bytes().to_vec()),
            }),
            "netlink" => {
                let (pid, groups) = two()?;
                Self::Netlink { pid: pid.parse().ok()?, groups: groups.parse().ok()? }
            }
            "packet" => {
                let (ifindex, protocol) = two()?;
                let protocol = u16::try_from(hex_digits(protocol)?).ok()?;
                Self::Packet { ifindex: ifindex.parse().ok()?, protocol }
            }
            "vsock" => {
                let (cid, port) = two()?;
                Self::Vsock { cid: cid.parse().ok()?, port: port.parse().ok()? }
            }
            "family" => {
                let (family, data) = two()?;
                let pair = |at: usize| u8::from_str_radix(data.get(at..at + 2)?, 16).ok();
                let data: Option<Vec<u8>> = (0..data.len()).step_by(2).map(pair).collect();
                Self::Other { family: family.parse().ok()?, data: data? }
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syscall::{capture, lookup, peer, summary};

    fn given(args: &Args) -> Vec<(String, Value)> {
        args.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn what_a_call_cannot_have_had_is_told() {
        let restore = |name: &str, args: Value| {
            let args: Vec<_> = args.as_object().unwrap().clone().into_iter().collect();
            restore(crate::syscall::parse(name), &args).map(|_| ()).unwrap_err()
        };
        let json = |text: &str| serde_json::from_str(text).unwrap();
        assert_eq!(restore("openat", json(r#"{"colour": 1}"#)), "openat has no argument \"colour\"");
        for (name, args) in [
            ("openat", r#"{"dir_fd": "AT_NOWHERE"}"#),
            ("openat", r#"{"pathname": 7}"#),
            ("openat", r#"{"pathname": "a\u0000b"}"#),
            ("openat", r#"{"flags": ["O_NO_SUCH"]}"#),
            ("read", r#"{"fd": 4294967296}"#),
            ("connect", r#"{"addr": "ipv4:1.2.3", "addrlen": 16}"#),
            ("kill", r#"{"sig": "SIGNONE"}"#),
        ] {
            let error = restore(name, json(args));
            assert!(
                error.contains("cannot be") || error.contains("has no argument"),
                "{name} {args}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn b10_any_arguments_are_restored(
            i386: bool,
            number in 0u32..500,
            mut registers: [u64; MAX_ARGS],
            small in proptest::collection::vec(0u64..300, MAX_ARGS),
            which: u8,
            text in "[a-z/.@]{1,20}",
            family in prop::sample::select(vec![0_u16, 1, 2, 10, 16, 17, 40, 3]),
            data in proptest::collection::vec(any::<u8>(), 0..40),
            len in 0_u64..60,
        ) {
            let abi = if i386 { Abi::I386 } else { Abi::X86_64 };
            // Most registers hold small numbers in truth, which have names.
            for (index, small) in small.iter().enumerate() {
                if which & 1 << index != 0 {
                    registers[index] = *small;
                }
            }
            let plan = capture(abi, number);
            let mut bytes = family.to_ne_bytes().to_vec();
            // A name of a file is text, as restored bytes are.
            bytes.extend(if family == 1 { text.clone().into_bytes() } else { data });
            let mut captured = Captured { abi, registers, ..Captured::default() };
            for index in 0..MAX_ARGS {
                if plan.strings & 1 << index != 0 {
                    captured.memory[index] = Some(text.as_bytes());
                }
            }
            if let Some((at, size)) = plan.sockaddr {
                captured.registers[usize::from(size)] = len;
                captured.memory[usize::from(at)] = Some(&bytes);
            }
            let args = decode(number, &captured);
            let call = lookup(abi, number);
            let restored = restore(call, &given(&args)).map_err(TestCaseError::fail)?;
            let again = restored.captured(abi);
            prop_assert_eq!(decode(number, &again), args);
            prop_assert_eq!(peer(number, &again), peer(number, &captured));
            prop_assert_eq!(summary(number, &again), summary(number, &captured));
        }
    }
}
