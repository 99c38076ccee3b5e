//! A system call that failed.
//!
//! In: a call's payload, or the full form of an event. Out: a [`TraceEvent`] with names for numbers and typed
//! arguments.

use std::borrow::Cow;

use probe_common::{CallPayload, Kind, Memory, RawEvent, RingHeader};
use zerocopy::FromZeros;

use super::{Attempt, Hindrance, Subject};
use crate::{
    capability,
    syscall::{self, Abi, Args, Captured, Class, SockAddr, Syscall},
};

/// The error of a file that is not there, and of one whose interpreter is not.
const ENOENT: u32 = 2;

/// A system call that failed.
///
/// Ids are what user space calls them: `pid` is the process (thread group), `tid` the thread. [`RawEvent`] has
/// the two the other way round.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceEvent {
    /// The system call; none where this build does not know its number.
    pub syscall: Option<&'static Syscall>,
    /// Whose call it is.
    pub abi: Abi,
    /// Its number there.
    pub nr: u32,
    /// Its slot in the policy; all unknown numbers share one.
    pub slot: u32,
    /// What kind of failure it is.
    pub kind: Kind,
    /// Who made it.
    pub subject: Subject,
    /// Error number.
    pub errno: u32,
    /// The return value: the negative error number.
    pub ret: i64,
    /// Context switches of the thread so far.
    pub context_switches: u64,
    /// Start of the system call on `CLOCK_BOOTTIME` in nanoseconds; the same as `finish`, since only the return
    /// is observed.
    pub start: u64,
    /// Return of the system call on `CLOCK_BOOTTIME` in nanoseconds.
    pub finish: u64,
    /// Decoded arguments by name, in order.
    pub args: Args,
    /// The argument that a sentence names, such as `"/etc/shadow"` or `10.0.0.5:443`.
    pub object: Option<String>,
    /// The first path among the arguments.
    pub path: Option<String>,
    /// The socket address among the arguments.
    pub peer: Option<SockAddr>,
    /// Whether an argument was longer than what was captured.
    pub truncated: bool,
    /// The capability whose refusal led to the error, where the kernel tells.
    pub capability: Option<&'static str>,
    /// For a program that could not be executed, which file it was.
    pub attempt: Option<Attempt>,
    /// What was found to be in the way of executing it.
    pub hindrance: Option<Hindrance>,
}

impl TraceEvent {
    /// The name of the system call, or its number where the name is not known.
    pub fn syscall_name(&self) -> Cow<'static, str> {
        match self.syscall {
            Some(syscall) => Cow::Borrowed(syscall.name),
            None => Cow::Owned(format!("syscall_{}", self.nr)),
        }
    }

    /// Whether a program was not found where it was looked for: nothing is there, as far as can be told.
    pub fn is_miss(&self) -> bool {
        self.kind == Kind::Exec && self.errno == ENOENT && self.hindrance.is_none()
    }

    /// A failed call as the kernel side has it: who and when, its registers, and the memory that was captured.
    pub fn from_call(kind: Kind, header: &RingHeader, payload: &CallPayload, memory: Memory<'_>) -> Self {
        let captured = Captured {
            abi: Abi::of(payload.abi),
            registers: payload.registers,
            memory,
            truncated: payload.truncated,
        };
        let mut event = Self::new(kind, header, &captured);
        // The kernel asks for CAP_SYS_ADMIN at every mapping, to learn how much memory it may promise; that
        // is never why a mapping is refused.
        let asked = |name: &&str| {
            *name != "CAP_SYS_ADMIN" || event.syscall.is_none_or(|call| call.class != Class::Memory)
        };
        event.capability = capability::name(payload.capability).filter(asked);
        if let (Kind::Exec, Some(call)) = (kind, event.syscall) {
            event.attempt = Attempt::of(call, payload, &memory);
        }
        event
    }

    pub(super) fn new(kind: Kind, header: &RingHeader, captured: &Captured<'_>) -> Self {
        let head = &header.head;
        Self {
            syscall: syscall::lookup(captured.abi, head.nr),
            abi: captured.abi,
            nr: head.nr,
            slot: probe_common::syscall_slot(captured.abi.code(), head.nr, captured.registers[0]),
            kind,
            subject: header.into(),
            errno: head.errno,
            ret: head.signed_return(),
            context_switches: head.context_sw,
            start: head.start,
            finish: head.finish,
            args: syscall::decode(head.nr, captured),
            object: syscall::summary(head.nr, captured),
            path: syscall::path(head.nr, captured),
            peer: syscall::peer(head.nr, captured),
            truncated: captured.truncated != 0,
            capability: None,
            attempt: None,
            hindrance: None,
        }
    }
}

impl From<&RawEvent> for TraceEvent {
    /// The full form does not say which arguments are strings: the system call's own description does. Nor does it
    /// say whose number it is: that of a 64-bit process.
    fn from(event: &RawEvent) -> Self {
        let plan = syscall::capture(Abi::X86_64, event.head.nr);
        let mut captured = Captured::default();
        for index in 0..probe_common::ARG_COUNT {
            captured.registers[index] = event.register(index).unwrap_or_default();
        }
        for index in 0..probe_common::ARG_COUNT {
            let string = event.string(index).unwrap_or_default();
            if plan.strings & 1 << index != 0 {
                captured.memory[index] = Some(string);
                captured.truncated |= u8::from(string.len() == probe_common::ARG_LEN) << index;
            } else if let Some((at, len)) = plan.sockaddr
                && usize::from(at) == index
            {
                let len = captured.registers.get(usize::from(len)).copied().unwrap_or_default();
                let address = &event.arguments[index];
                let len = usize::try_from(len).unwrap_or(address.len()).min(address.len());
                captured.memory[index] = address.get(..len);
            }
        }
        let header = RingHeader { head: event.head, euid: event.head.uid, ..RingHeader::new_zeroed() };
        Self::new(kind(syscall::lookup(Abi::X86_64, event.head.nr), event.head.errno), &header, &captured)
    }
}

/// What kind of failure of this call an error is.
pub(super) fn kind(call: Option<&Syscall>, errno: u32) -> Kind {
    Kind::of_call(call.is_some_and(|call| matches!(call.name, "execve" | "execveat")), errno.into())
}
