//! Protobuf by hand: in come numbers of fields and values, out come bytes, in the frames of gRPC.

use bytes::Bytes;

/// Before each message: a byte for compression, four for the length.
const PREFIX: usize = 5;

/// A message that is being written.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// Adds a text.
    pub fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// Adds a number, which may be an enumeration or a truth value.
    pub fn number(mut self, field: u64, number: u64) -> Self {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    /// Adds a message.
    pub fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// Adds a map of texts.
    pub fn map(self, field: u64, pairs: &[(String, String)]) -> Self {
        pairs.iter().fold(self, |message, (key, value)| {
            message.message(field, Self::default().text(1, key).text(2, value))
        })
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

/// A message in its frame.
pub fn frame(message: &Message) -> Bytes {
    let length = u32::try_from(message.0.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], &message.0].concat().into()
}

/// The message of a frame.
pub fn unframe(frame: &[u8]) -> &[u8] {
    frame.get(PREFIX..).unwrap_or_default()
}

/// A question that has an id of less than 128 bytes as its first field, and maybe a truth value as its second.
pub fn id_and_flag(question: &[u8]) -> Option<(&str, bool)> {
    let [0x0a, length @ 0..0x80, rest @ ..] = question else { return None };
    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(id).ok()?, rest == [0x10, 1]))
}
