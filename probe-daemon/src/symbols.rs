//! Names for addresses of the kernel.
//!
//! In: `/proc/kallsyms`, read when the first address is asked for and forgotten when none has been for a minute.
//! Out: the name of the function around an address, or the address where the kernel does not tell its names.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    time::{Duration, Instant},
};

use tracing::debug;

/// Without a question for so long, the table is dropped.
const IDLE: Duration = Duration::from_secs(60);
/// A name that is longer is cut.
const NAME_LEN: usize = u8::MAX as usize;

/// A table of functions while it is needed, some 4 MiB; nothing else.
#[derive(Debug, Default)]
pub struct Symbols {
    table: Option<(Table, Instant)>,
}

impl Symbols {
    /// The names of these addresses.
    pub fn names(&mut self, addresses: &[u64]) -> Vec<String> {
        if addresses.is_empty() {
            return Vec::new();
        }
        let (table, asked) = self.table.get_or_insert_with(|| {
            let table = File::open("/proc/kallsyms").map(|file| Table::read(BufReader::new(file)));
            let table = table.unwrap_or_else(|error| {
                debug!(%error, "/proc/kallsyms cannot be read; kernel stacks show addresses");
                Table::default()
            });
            (table, Instant::now())
        });
        *asked = Instant::now();
        let name = |address| table.name(address).map_or_else(|| format!("{address:#x}"), str::to_owned);
        addresses.iter().map(|address| name(*address)).collect()
    }

    /// Forgets what nobody needs any more. Call it now and then.
    pub fn tidy(&mut self) {
        if self.table.as_ref().is_some_and(|(_, asked)| asked.elapsed() > IDLE) {
            self.table = None;
        }
    }
}

/// Functions in the order of their addresses.
#[derive(Debug, Default)]
struct Table {
    /// The lowest address.
    base: u64,
    /// Distance from `base`, where the name begins in `names`, and how long it is. The kernel's functions and its
    /// modules' lie within 4 GiB.
    functions: Vec<(u32, u32, u8)>,
    names: String,
}

impl Table {
    /// Reads lines such as `ffffffff81000000 T _text` or `ffffffffc0000000 t f\t[module]`.
    fn read(mut lines: impl BufRead) -> Self {
        let mut found: Vec<(u64, u32, u8)> = Vec::new();
        let mut names = String::new();
        let mut line = String::new();
        loop {
            line.clear();
            if !lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                break;
            }
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(class), Some(name)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let Ok(address @ 1..) = u64::from_str_radix(address, 16) else { continue };
            if !matches!(class, "t" | "T" | "w" | "W") {
                continue;
            }
            let name = &name[..name.floor_char_boundary(NAME_LEN)];
            let (Ok(start), Ok(len)) = (u32::try_from(names.len()), u8::try_from(name.len())) else { break };
            names.push_str(name);
            found.push((address, start, len));
        }
        // Of several names for one address, the first one stays first.
        found.sort_by_key(|(address, ..)| *address);
        let base = found.first().map_or(0, |(address, ..)| *address);
        let near = |(address, start, len)| Some((u32::try_from(address - base).ok()?, start, len));
        let mut functions: Vec<_> = found.into_iter().filter_map(near).collect();
        functions.shrink_to_fit();
        names.shrink_to_fit();
        Self { base, functions, names }
    }

    fn name(&self, address: u64) -> Option<&str> {
        let distance = u32::try_from(address.checked_sub(self.base)?).ok()?;
        let after = self.functions.partition_point(|(start, ..)| *start <= distance);
        let (at, ..) = self.functions.get(after.checked_sub(1)?)?;
        let first = self.functions.partition_point(|(start, ..)| start < at);
        let (_, start, len) = self.functions.get(first)?;
        let start = usize::try_from(*start).ok()?;
        self.names.get(start..start + usize::from(*len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_name_of_the_function_around_it() {
        let text = "ffffffffc0000000 t in_module\t[ext4]\nffffffff81000000 T _text\nffffffff81000000 T alias\n\
            ffffffff81000100 D data\nffffffff81000200 t second\nbroken\n0000000000000000 A zero\n";
        let table = Table::read(text.as_bytes());
        assert_eq!(table.name(0xffff_ffff_8100_0000), Some("_text"));
        assert_eq!(table.name(0xffff_ffff_8100_01ff), Some("_text"));
        assert_eq!(table.name(0xffff_ffff_8100_0200), Some("second"));
        assert_eq!(table.name(0xffff_ffff_c000_0010), Some("in_module"));
        assert_eq!(table.name(0xffff_ffff_80ff_ffff), None);
    }

    #[test]
    fn hidden_addresses_are_no_names() {
        let table = Table::read("0000000000000000 T _text\n0000000000000000 T second\n".as_bytes());
        assert_eq!(table.name(0xffff_ffff_8100_0000), None);
    }
}
