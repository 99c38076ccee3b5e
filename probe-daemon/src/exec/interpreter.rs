//! Which program a file asks to be run by.
//!
//! In: the bytes of a file, by position. Out: the path of its interpreter, as the kernel would read it
//! (fs/binfmt_script.c, fs/binfmt_elf.c). Total: any bytes give an answer, and no more than 70 KiB of them are read.

/// What the kernel reads of a file before it decides what it is (`BINPRM_BUF_SIZE`).
const HEAD: usize = 256;
/// The longest path (`PATH_MAX`).
const PATH_MAX: usize = 4096;
/// The longest table of program headers that the kernel reads.
const TABLE_MAX: usize = 64 * 1024;
/// `PT_INTERP` of elf(5).
const PT_INTERP: u32 = 3;

/// The interpreter of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Interpreter {
    /// Of a script, which may again have one.
    Script(Vec<u8>),
    /// Of an ELF program: the dynamic loader. The kernel asks for no interpreter of it.
    Elf(Vec<u8>),
}

/// The interpreter of a file; none where it has none, or is nothing that the kernel knows. `read` gives the bytes from
/// a position on, at most as many as asked for.
pub fn of(read: impl Fn(u64, usize) -> Vec<u8>) -> Option<Interpreter> {
    let head = read(0, HEAD);
    match head.strip_prefix(b"#!") {
        Some(line) => script(line, head.len() == HEAD),
        None => elf(&head, read),
    }
}

/// The first word of the first line. A line that goes on past what the kernel reads counts only if the word does not.
fn script(rest: &[u8], cut: bool) -> Option<Interpreter> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = rest.iter().position(|byte| *byte == b'\n');
    let line = rest.get(..end.unwrap_or(rest.len()))?;
    let start = line.iter().position(|byte| !blank(byte))?;
    let word = line.get(start..)?;
    let length = word.iter().position(|byte| blank(byte) || *byte == 0);
    if length.is_none() && end.is_none() && cut {
        return None;
    }
    let word = word.get(..length.unwrap_or(word.len()))?;
    (!word.is_empty()).then(|| Interpreter::Script(word.to_vec()))
}

/// Where an ELF class keeps what is read of it.
struct Layout {
    /// `e_phoff`, `e_phentsize`; `e_phnum` follows.
    table: usize,
    entry: usize,
    entry_size: usize,
    /// In a program header: `p_offset`, `p_filesz`.
    offset: usize,
    size: usize,
    /// Whether these are eight bytes long, else four.
    wide: bool,
}

const ELF32: Layout = Layout { table: 28, entry: 42, entry_size: 32, offset: 4, size: 16, wide: false };
const ELF64: Layout = Layout { table: 32, entry: 54, entry_size: 56, offset: 8, size: 32, wide: true };

impl Layout {
    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.wide { number(bytes, at).map(u64::from_le_bytes) } else { u32_at(bytes, at).map(u64::from) }
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).map(u32::from_le_bytes)
}

fn elf(head: &[u8], read: impl Fn(u64, usize) -> Vec<u8>) -> Option<Interpreter> {
    let layout = match head.strip_prefix(b"\x7fELF")?.first()? {
        1 => ELF32,
        2 => ELF64,
        _ => return None,
    };
    let entry_size = usize::from(number(head, layout.entry).map(u16::from_le_bytes)?);
    let entries = usize::from(number(head, layout.entry + 2).map(u16::from_le_bytes)?);
    let length = entry_size.checked_mul(entries)?;
    if entry_size != layout.entry_size || length > TABLE_MAX {
        return None;
    }
    let table = read(layout.word(head, layout.table)?, length);
    let entry = table.chunks_exact(entry_size).find(|entry| u32_at(entry, 0) == Some(PT_INTERP))?;
    let length = usize::try_from(layout.word(entry, layout.size)?).ok().filter(|len| *len <= PATH_MAX)?;
    let path = read(layout.word(entry, layout.offset)?, length);
    // The kernel refuses a path that does not end where its segment says.
    let path = path.get(..length)?.strip_suffix(b"\0")?;
    let path = path.split(|byte| *byte == 0).next()?;
    (!path.is_empty()).then(|| Interpreter::Elf(path.to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn in_bytes(file: &[u8]) -> Option<Interpreter> {
        of(|at, length| {
            let from = usize::try_from(at).unwrap_or(usize::MAX).min(file.len());
            file[from..file.len().min(from.saturating_add(length))].to_vec()
        })
    }

    fn check_script(file: &[u8], expect: Option<&[u8]>) {
        let expect = expect.map(|path| Interpreter::Script(path.to_vec()));
        assert_eq!(in_bytes(file), expect, "{:?}", String::from_utf8_lossy(file));
    }

    #[test]
    fn a_script_names_its_interpreter_in_its_first_line() {
        check_script(b"#!/bin/sh\necho\n", Some(b"/bin/sh"));
        check_script(b"#! \t/usr/bin/env python\n", Some(b"/usr/bin/env"));
        check_script(b"#!/bin/sh", Some(b"/bin/sh"));
        check_script(b"#!relative\n", Some(b"relative"));
        // As it comes from another system: the carriage return is a part of the name.
        check_script(b"#!/bin/sh\r\necho\r\n", Some(b"/bin/sh\r"));
        check_script(b"#!/bin/sh\0rest", Some(b"/bin/sh"));
        check_script(b"#!\n/bin/sh\n", None);
        check_script(b"#!  ", None);
        check_script(b"", None);
        check_script(b"echo\n", None);
    }

    #[test]
    fn a_first_line_may_be_longer_than_what_the_kernel_reads_but_not_its_first_word() {
        let long = "a".repeat(300);
        check_script(format!("#!/bin/sh {long}\n").as_bytes(), Some(b"/bin/sh"));
        check_script(format!("#!/{long}\n").as_bytes(), None);
    }

    /// A program with one segment before the one that names `path`.
    fn program(wide: bool, path: &[u8]) -> Vec<u8> {
        let layout = if wide { ELF64 } else { ELF32 };
        let mut file = vec![0; 64];
        file[..4].copy_from_slice(b"\x7fELF");
        file[4] = 1 + u8::from(wide);
        file[layout.table] = 64;
        file[layout.entry] = layout.entry_size as u8;
        file[layout.entry + 2] = 2;
        let mut entries = vec![0; 2 * layout.entry_size];
        entries[0] = 1;
        let interpreter = &mut entries[layout.entry_size..];
        interpreter[0] = PT_INTERP as u8;
        let at = 64 + 2 * layout.entry_size;
        interpreter[layout.offset..layout.offset + 2].copy_from_slice(&(at as u16).to_le_bytes());
        let size = &mut interpreter[layout.size..layout.size + 2];
        size.copy_from_slice(&(path.len() as u16 + 1).to_le_bytes());
        [&file, &entries, path, b"\0"].concat()
    }

    #[test]
    fn a_program_of_either_class_names_its_loader() {
        for wide in [false, true] {
            let path = b"/lib/ld-musl-x86_64.so.1";
            assert_eq!(in_bytes(&program(wide, path)), Some(Interpreter::Elf(path.to_vec())), "{wide}");
            let mut cut = program(wide, path);
            cut.pop();
            assert_eq!(in_bytes(&cut), None);
        }
    }

    proptest! {
        #[test]
        fn the_loader_is_what_was_written(wide: bool, path in "/[a-z/.-]{1,300}") {
            let found = in_bytes(&program(wide, path.as_bytes()));
            prop_assert_eq!(found, Some(Interpreter::Elf(path.into_bytes())));
        }

        #[test]
        fn the_first_word_is_what_was_written(word in "/[a-z/.-]{1,200}", rest in "[ \t][ -~]{0,300}") {
            let found = in_bytes(format!("#!{word}{rest}\n").as_bytes());
            prop_assert_eq!(found, Some(Interpreter::Script(word.into_bytes())));
        }

        #[test]
        fn any_bytes_give_an_answer_that_is_in_them(
            start in prop_oneof![Just(&b"#!"[..]), Just(&b"\x7fELF\x01"[..]), Just(&b"\x7fELF\x02"[..])],
            rest in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let file = [start, &rest].concat();
            if let Some(Interpreter::Script(path) | Interpreter::Elf(path)) = in_bytes(&file) {
                prop_assert!(!path.is_empty() && file.windows(path.len()).any(|part| part == path));
            }
        }

        #[test]
        fn any_change_of_a_program_gives_an_answer(wide: bool, at in 0usize..200, value: u8) {
            let mut file = program(wide, b"/lib/ld.so");
            let at = at % file.len();
            file[at] = value;
            let _ = in_bytes(&file);
        }
    }
}
