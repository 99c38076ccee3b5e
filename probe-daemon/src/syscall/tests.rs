//! Tests of the system call table, of decoding and of summaries.

mod any;
mod golden;
mod sockaddr;
mod table;

use super::{Captured, parse};

/// The number of a call by its name.
fn number(name: &str) -> u32 {
    parse(name).unwrap().number
}

/// A call's registers, with the memory behind some of them.
fn captured<'a>(registers: &[u64], memory: &[(usize, &'a [u8])]) -> Captured<'a> {
    let mut captured = Captured::default();
    captured.registers[..registers.len()].copy_from_slice(registers);
    for (index, bytes) in memory {
        captured.memory[*index] = Some(bytes);
    }
    captured
}
