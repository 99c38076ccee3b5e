//! The request that a record belongs to: the ids of a trace and of a span in it.
//!
//! In: hexadecimal digits, as who stores records writes them. Out: bytes, and the same digits in lower case. Nothing that
//! is captured has any: the kernel knows of no requests.

use std::fmt;

/// A trace, and where in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trace {
    /// Which trace it is.
    pub id: Id<16>,
    /// Which of its spans; none where only the trace is known.
    pub span: Option<Id<8>>,
}

/// An id of so many bytes, which are not all 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Id<const N: usize>([u8; N]);

impl<const N: usize> Id<N> {
    /// Reads digits of either case; none where they are no id.
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
        let mut bytes = [0; N];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        bytes.iter().any(|byte| *byte != 0).then_some(Self(bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Display for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

fn digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The digits of an id.
pub fn hex(id: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    id.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Any trace, or none, for the tests of whatever has to keep it.
#[cfg(test)]
pub fn any_trace() -> impl proptest::strategy::Strategy<Value = Option<Trace>> {
    use proptest::{option, prelude::*};
    let span = option::of(any::<[u8; 8]>().prop_filter("zero", |span| *span != [0; 8]).prop_map(Id));
    let id = any::<[u8; 16]>().prop_filter("zero", |id| *id != [0; 16]).prop_map(Id);
    option::of((id, span).prop_map(|(id, span)| Trace { id, span }))
}
