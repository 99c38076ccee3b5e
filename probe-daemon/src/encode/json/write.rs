//! JSON as bytes. In: texts and numbers. Out: the same in JSON, appended.
//!
//! serde_json looks at each byte of a text by itself, and records are made of texts; here most of them are looked at in
//! blocks, copied whole, and only the others are left to it.

use serde::Serialize;

/// Bytes that are looked at in one go.
const BLOCK: usize = 32;

/// An object that is being written.
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    /// Begins one at the end of `out`.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Begins one at the end of `out` with all that this object has, which is whole.
    pub fn go_on(out: &'o mut Vec<u8>, object: &[u8]) -> Self {
        let open = object.strip_suffix(b"}").unwrap_or(b"{");
        out.extend_from_slice(open);
        Self { out, first: open.len() == 1 }
    }

    /// Writes a key of our own, which has nothing to be escaped, and returns where its value goes.
    pub fn key(&mut self, key: &'static str) -> &mut Vec<u8> {
        debug_assert!(is_plain(key.as_bytes()), "{key:?}");
        self.separate();
        self.out.reserve(key.len() + 3);
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// The same for a key of which nothing is known.
    pub fn any_key(&mut self, key: &str) -> &mut Vec<u8> {
        self.separate();
        text(self.out, key);
        self.out.push(b':');
        self.out
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
    }

    /// Ends it.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// A text.
pub fn text(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        value(out, text);
    }
}

/// Anything else. A writer into memory cannot fail, and neither can what records are made of: texts, numbers, lists and
/// maps with texts as keys.
pub fn value(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let length = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(length);
        out.extend_from_slice(b"null");
    }
}

/// Whether a text needs no escapes.
fn is_plain(text: &[u8]) -> bool {
    let escapes = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    // Without a way out inside a block, the compiler makes vector instructions of it.
    let plain = |block: &[u8]| !block.iter().fold(false, |found, byte| found | escapes(*byte));
    let blocks = text.chunks_exact(BLOCK);
    let rest = blocks.remainder();
    blocks.into_iter().all(plain) && plain(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_writes_it(shown in "\\PC{0,80}[\u{0}-\u{7f}]{0,3}\\PC{0,80}") {
            let mut own = Vec::new();
            text(&mut own, &shown);
            prop_assert_eq!(own, serde_json::to_vec(&shown).unwrap());
        }

        #[test]
        fn an_object_has_its_members_in_order(members in prop::collection::vec((".{0,40}", any::<i64>()), 0..9)) {
            let mut own = Vec::new();
            let (half, rest) = members.split_at(members.len() / 2);
            let mut object = Object::begin(&mut own);
            half.iter().for_each(|(key, number)| value(object.any_key(key), number));
            object.end();
            let mut whole = Vec::new();
            let mut object = Object::go_on(&mut whole, &own);
            rest.iter().for_each(|(key, number)| value(object.any_key(key), number));
            value(object.key("own.key"), &1);
            object.end();
            let wanted: Vec<String> =
                members.iter().map(|(key, number)| format!("{}:{number},", serde_json::to_string(key).unwrap())).collect();
            prop_assert_eq!(String::from_utf8(whole).unwrap(), format!("{{{}\"own.key\":1}}", wanted.concat()));
        }
    }
}
