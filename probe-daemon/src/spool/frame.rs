//! How a record lies in a segment. In: an [`Entry`]. Out: a frame of bytes, and back, or that the bytes are no frame.
//!
//! A frame is a head of fixed size, then event name, encoding, media type, what it says to be lost where it says so, and the
//! document. Its checksum covers all but itself, so a frame is whole and as it was written, or it is damage.

use std::{mem::size_of, ops::AddAssign};

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

/// One record as the spool keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its place in the order of all records of this spool; each has a higher one than those before.
    pub number: u64,
    /// Events that it stands for.
    pub occurrences: u64,
    /// What it says to be lost.
    pub told: Told,
    /// What had been taken in with it.
    pub totals: Totals,
    /// The event's name.
    pub event_name: &'a str,
    /// What the encoding is called.
    pub encoding: &'a str,
    /// The encoding's media type.
    pub content_type: &'a str,
    /// The document.
    pub document: &'a [u8],
}

/// Events that records say to be lost, and from when to when, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How many; the times mean nothing where there is none.
    pub count: u64,
    /// From when on.
    pub since: u64,
    /// Up to when.
    pub until: u64,
}

impl AddAssign for Told {
    fn add_assign(&mut self, other: Self) {
        *self = match (self.count, other.count) {
            (_, 0) => *self,
            (0, _) => other,
            (own, others) => Self {
                count: own + others,
                since: self.since.min(other.since),
                until: self.until.max(other.until),
            },
        };
    }
}

/// Where the stream of records was when a record was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The kernel side that counted the events; 0 where that is not known.
    pub epoch: u64,
    /// Events of this epoch that records up to this one, itself included, stand for or say to be lost.
    pub reached: u64,
    /// The record's number in the host's stream; 0 where it has none.
    pub sequence: u64,
}

impl Totals {
    /// Events of this epoch in records that were taken in.
    pub fn reached(&self, epoch: u64) -> u64 {
        if self.epoch == epoch { self.reached } else { 0 }
    }
}

#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    /// CRC32C of everything behind it.
    crc: U32,
    /// Bytes behind the head.
    length: U32,
    number: U64,
    occurrences: U64,
    epoch: U64,
    reached: U64,
    sequence: U64,
    event_name: U16,
    encoding: U16,
    content_type: U16,
    /// Bytes of [`Told`]: three numbers, or none.
    told: U16,
}

/// Bytes of a frame before its texts.
pub const HEAD: usize = size_of::<Head>();
/// Bytes that its checksum takes, at its start.
const CRC: usize = size_of::<U32>();

/// Appends a frame. A name of more than 65,535 bytes, which nothing has, is left out.
pub fn write(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let texts = [entry.event_name, entry.encoding, entry.content_type];
    let texts = texts.map(|text| u16::try_from(text.len()).map_or((0, ""), |length| (length, text)));
    let Told { count, since, until } = entry.told;
    let told = [count, since, until].map(U64::new);
    let told: &[u8] = if count > 0 { told.as_bytes() } else { &[] };
    let length = texts.iter().map(|(_, text)| text.len()).sum::<usize>() + told.len() + entry.document.len();
    let [event_name, encoding, content_type] = texts.map(|(length, _)| U16::new(length));
    let head = Head {
        crc: U32::ZERO,
        length: U32::new(u32::try_from(length).unwrap_or(u32::MAX)),
        number: U64::new(entry.number),
        occurrences: U64::new(entry.occurrences),
        epoch: U64::new(entry.totals.epoch),
        reached: U64::new(entry.totals.reached),
        sequence: U64::new(entry.totals.sequence),
        event_name,
        encoding,
        content_type,
        told: U16::new(u16::try_from(told.len()).unwrap_or_default()),
    };
    out.extend_from_slice(head.as_bytes());
    texts.iter().for_each(|(_, text)| out.extend_from_slice(text.as_bytes()));
    out.extend_from_slice(told);
    out.extend_from_slice(entry.document);
    let crc = crc32c::crc32c(&out[start + CRC..]);
    out[start..start + CRC].copy_from_slice(&crc.to_le_bytes());
}

/// How long the frame at the start of these bytes says it is; none where not even its head is there.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let (head, _) = Head::ref_from_prefix(bytes).ok()?;
    HEAD.checked_add(head.length.get() as usize)
}

/// Reads a frame of exactly these bytes; none where they are not as they were written.
pub fn read(bytes: &[u8]) -> Option<Entry<'_>> {
    let (head, mut rest) = Head::ref_from_prefix(bytes).ok()?;
    if rest.len() != head.length.get() as usize || crc32c::crc32c(&bytes[CRC..]) != head.crc.get() {
        return None;
    }
    let mut part = |length: U16| {
        let (part, behind) = rest.split_at_checked(length.get().into())?;
        rest = behind;
        Some(part)
    };
    let texts = [part(head.event_name)?, part(head.encoding)?, part(head.content_type)?];
    let told = match part(head.told)? {
        [] => Told::default(),
        told => {
            let [count, since, until] = <[U64; 3]>::read_from_bytes(told).ok()?.map(U64::get);
            Told { count, since, until }
        }
    };
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let [event_name, encoding, content_type] = [text(texts[0])?, text(texts[1])?, text(texts[2])?];
    let totals =
        Totals { epoch: head.epoch.get(), reached: head.reached.get(), sequence: head.sequence.get() };
    let (number, occurrences) = (head.number.get(), head.occurrences.get());
    Some(Entry { number, occurrences, told, totals, event_name, encoding, content_type, document: rest })
}

/// Small blocks of fixed size with a checksum: the head of a segment, and the place up to which all is acknowledged.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Block {
    /// CRC32C of everything behind it.
    crc: U32,
    magic: [u8; 4],
    number: U64,
    epoch: U64,
    reached: U64,
    sequence: U64,
}

/// Bytes of a block.
pub const BLOCK: usize = size_of::<Block>();

/// A number and the totals that belong to it, under a mark that says what it is.
pub fn block(magic: [u8; 4], number: u64, totals: Totals) -> [u8; BLOCK] {
    let Totals { epoch, reached, sequence } = totals;
    let [number, epoch, reached, sequence] = [number, epoch, reached, sequence].map(U64::new);
    let mut block = Block { crc: U32::ZERO, magic, number, epoch, reached, sequence };
    block.crc = U32::new(crc32c::crc32c(&block.as_bytes()[CRC..]));
    let mut bytes = [0; BLOCK];
    bytes.copy_from_slice(block.as_bytes());
    bytes
}

/// What [`block`] wrote under this mark; none where the bytes are not as they were written.
pub fn read_block(magic: [u8; 4], bytes: &[u8; BLOCK]) -> Option<(u64, Totals)> {
    let block = Block::ref_from_bytes(bytes).ok()?;
    let whole = block.magic == magic && block.crc.get() == crc32c::crc32c(&bytes[CRC..]);
    let totals =
        Totals { epoch: block.epoch.get(), reached: block.reached.get(), sequence: block.sequence.get() };
    whole.then_some((block.number.get(), totals))
}
