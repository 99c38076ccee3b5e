//! What a sentence about a failed call puts in brackets: in, the arguments; out, the few that tell most.

use serde_json::Value;

use super::decode::value;
use super::kind::Kind;
use super::{Arg, Captured, Class, SockAddr, Syscall, lookup};

/// The arguments worth naming in a sentence, as in `connect(10.0.0.5:443)`, `openat("/etc/shadow")` or
/// `read(fd 7)`: the address if the call has one, else its paths, else its descriptors, processes, operations
/// and names, else its flags.
pub fn summary(number: u32, captured: &Captured<'_>) -> Option<String> {
    let call = lookup(captured.abi, number)?;
    let mut words = [addresses, paths, operands, flags].into_iter().map(|words| words(call, captured));
    words.find(|words| !words.is_empty()).map(|words| words.join(", "))
}

/// Words for each argument that gives some.
fn each(call: &Syscall, words: impl Fn(usize, &Arg) -> Option<String>) -> Vec<String> {
    call.args.iter().enumerate().filter_map(|(index, arg)| words(index, arg)).collect()
}

fn addresses(call: &Syscall, captured: &Captured<'_>) -> Vec<String> {
    each(call, |index, arg| {
        let Kind::SockAddr { len } = arg.kind else { return None };
        Some(match captured.address(index, len)? {
            SockAddr::Ip(addr) => addr.to_string(),
            // A Unix path may hold anything, a line end or an escape sequence included.
            other => other.to_string().escape_debug().to_string(),
        })
    })
}

fn paths(call: &Syscall, captured: &Captured<'_>) -> Vec<String> {
    // No path, or an empty one, beside a descriptor stands for that descriptor, which then says more.
    let beside = |index, arg: &Arg| arg.kind == Kind::DirFd && captured.register(index) as i32 >= 0;
    let beside = call.args.iter().enumerate().any(|(index, arg)| beside(index, arg));
    each(call, |index, arg| {
        let path = (arg.kind == Kind::Path).then(|| quoted(index, captured))?;
        Some(path).filter(|path| !(beside && matches!(path.as_str(), "NULL" | "\"\"")))
    })
}

/// A string in quotes and escaped, with an ellipsis if it was cut; its address if it could not be read.
fn quoted(index: usize, captured: &Captured<'_>) -> String {
    match (captured.text(index), captured.register(index)) {
        (Some(text), _) => format!("{text:?}{}", if captured.is_truncated(index) { "..." } else { "" }),
        (None, 0) => "NULL".to_owned(),
        (None, address) => format!("{address:#x}"),
    }
}

fn operands(call: &Syscall, captured: &Captured<'_>) -> Vec<String> {
    let memory = call.class == Class::Memory;
    each(call, |index, arg| {
        let register = captured.register(index);
        let named = || value(arg.kind, index, captured);
        match arg.kind {
            // An anonymous mapping and a counter without a group have no descriptor.
            Kind::Fd if (memory || call.class == Class::Trace) && (register as i32) < 0 => None,
            Kind::Fd => Some(format!("fd {}", register as i32)),
            Kind::DirFd => match named()? {
                Value::String(name) => Some(name),
                fd => Some(format!("fd {fd}")),
            },
            Kind::Text => Some(quoted(index, captured)).filter(|text| text != "NULL"),
            Kind::Pid => Some(format!("pid {}", register as i32)),
            Kind::Uid => Some(format!("uid {}", named()?)),
            Kind::Gid => Some(format!("gid {}", named()?)),
            Kind::Signal | Kind::Choice(_) | Kind::Request(_) | Kind::SocketOption { .. } => match named()? {
                Value::String(name) => Some(name),
                number => Some(format!("{} {number}", arg.name)),
            },
            // Protocol 0 is the usual one of the type.
            Kind::SocketProtocol { .. } if register as u32 != 0 => match named()? {
                Value::String(name) => Some(name),
                number => Some(format!("{} {number}", arg.name)),
            },
            Kind::Flags(flags) if !memory => flags.operation(register).map(String::from),
            Kind::Size if memory => Some(format!("{} {register}", arg.name)),
            _ => None,
        }
    })
}

fn flags(call: &Syscall, captured: &Captured<'_>) -> Vec<String> {
    each(call, |index, arg| match arg.kind {
        Kind::Flags(flags) => {
            Some(flags.names(captured.register(index)).join("|")).filter(|said| !said.is_empty())
        }
        _ => None,
    })
}
