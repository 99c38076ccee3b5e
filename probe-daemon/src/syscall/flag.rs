//! Words of flag bits and named numbers: in, a register; out, the names that it stands for.

use std::borrow::Cow;

use super::kind::{Field, Flags, Kind, Names};
use super::names::process::SIGNAL;

/// The first signal that the C library leaves to applications.
const SIGRTMIN: i32 = 34;
/// The last signal there is.
const SIGRTMAX: i32 = 64;

/// What the headers call a number.
pub(super) fn name_of(names: Names, value: u64) -> Option<&'static str> {
    names.iter().find(|(number, _)| *number == value).map(|(_, name)| *name)
}

/// The name of a signal; none for a number that is no signal, or that the C library keeps to itself.
pub fn signal_name(signal: i32) -> Option<Cow<'static, str>> {
    let Kind::Choice(names) = SIGNAL else { return None };
    match signal {
        SIGRTMIN..=SIGRTMAX => Some(match signal - SIGRTMIN {
            0 => "SIGRTMIN".into(),
            above => format!("SIGRTMIN+{above}").into(),
        }),
        _ => name_of(names, u64::try_from(signal).ok()?).map(Cow::Borrowed),
    }
}

/// The number of a signal by its name.
pub(super) fn signal_number(name: &str) -> Option<i32> {
    let all = 0..=SIGRTMAX;
    all.into_iter().find(|number| signal_name(*number).is_some_and(|known| known == name))
}

impl Flags {
    /// The bits of a register that belong to the argument.
    fn bits(&self, register: u64) -> u64 {
        if self.wide { register } else { register & u64::from(u32::MAX) }
    }

    /// What the number inside the word says, and which bits it takes.
    fn field(&self, register: u64) -> (u64, Option<Cow<'static, str>>) {
        let bits = self.bits(register);
        match self.field {
            Field::None => (0, None),
            Field::Names(mask, names) => match (bits & mask, name_of(names, bits & mask)) {
                (_, Some(name)) => (mask, Some(name.into())),
                (0, None) => (mask, None),
                (part, None) => (mask, Some(format!("{part:#x}").into())),
            },
            Field::Signal(mask) => match i32::try_from(bits & mask).ok().and_then(signal_name) {
                Some(name) => (mask, Some(name)),
                // What is no signal stays among the unknown bits.
                None => (0, None),
            },
            Field::Octal(mask) if bits & mask == 0 => (mask, None),
            Field::Octal(mask) => (mask, Some(format!("{:04o}", bits & mask).into())),
        }
    }

    /// The name of the operation that the word holds next to its flags, if it holds one.
    pub(super) fn operation(&self, register: u64) -> Option<Cow<'static, str>> {
        matches!(self.field, Field::Names(..)).then(|| self.field(register).1).flatten()
    }

    /// All that the word says: the number first, then the flags, then the bits without a name in hexadecimal.
    pub(super) fn names(&self, register: u64) -> Vec<Cow<'static, str>> {
        let bits = self.bits(register);
        let (mask, first) = self.field(register);
        let mut said: Vec<Cow<'static, str>> = first.into_iter().collect();
        let mut left = bits & !mask;
        for (flag, name) in self.names {
            let here = if *flag == 0 { bits == 0 } else { left & flag == *flag };
            if here {
                said.push((*name).into());
                left &= !flag;
            }
        }
        if left != 0 {
            said.push(format!("{left:#x}").into());
        }
        said
    }
}
