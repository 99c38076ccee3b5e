//! Calls by 32-bit processes: in come calls, out comes a 32-bit program that makes them, as a static ELF file put
//! together byte by byte, since no machine of today has a 32-bit C library. Beside it, one 32-bit call by a 64-bit
//! process.

use std::arch::asm;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::{Arg, Call, Made};

/// Where the program lies in memory.
const BASE: u32 = 0x0804_8000;
/// ELF header and one program header (elf(5)).
const HEADERS: u32 = 52 + 32;
/// `exit(1)`, where a call that does not fail as it should leads.
const FAIL: [u8; 12] = [0xb8, 1, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xcd, 0x80];
/// `exit(0)`.
const EXIT: [u8; 12] = [0xb8, 1, 0, 0, 0, 0xbb, 0, 0, 0, 0, 0xcd, 0x80];
/// Opcodes of `mov r32, imm32`: ebx, ecx, edx, esi, edi, ebp, which hold the arguments.
const REGISTERS: [u8; 6] = [0xbb, 0xb9, 0xba, 0xbe, 0xbf, 0xbd];

/// Whether a 32-bit program was executed.
#[derive(Debug)]
pub enum Ran {
    /// It made all its calls, and each failed as it should.
    Made(Made),
    /// The kernel has no 32-bit processes (`CONFIG_IA32_EMULATION`): `ENOEXEC`.
    NotSupported,
}

/// Writes a program to `path` that makes each call `times` times, one call after the other, and runs it. A number is
/// that of the 32-bit table.
pub fn run(path: &Path, calls: &[Call], times: u32) -> Result<Ran> {
    fs::write(path, program(calls, times)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    let before = now()?;
    let mut child = match Command::new(path).stdin(Stdio::null()).spawn() {
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => return Ok(Ran::NotSupported),
        child => child.with_context(|| format!("cannot execute {}", path.display()))?,
    };
    let pid = i32::try_from(child.id())?;
    let status = child.wait()?;
    ensure!(status.success(), "a call of {} did not fail as it should: {status}", path.display());
    Ok(Ran::Made(Made { pid, before, after: now()?, returned: 0 }))
}

/// The program as a file.
fn program(calls: &[Call], times: u32) -> Result<Vec<u8>> {
    // The length of the code does not depend on the addresses in it, so the second pass knows where the data lie.
    let length = assemble(calls, times, 0)?.0.len();
    let (code, data) = assemble(calls, times, BASE + HEADERS + u32::try_from(length)?)?;
    let size = HEADERS + u32::try_from(code.len() + data.len())?;
    let entry = BASE + HEADERS + u32::try_from(FAIL.len())?;
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1];
    file.resize(16, 0);
    // An executable for i386, its entry, its program headers after this header, no sections.
    for half in [2_u16, 3] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, entry, 52, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for half in [52_u16, 32, 1, 40, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // All of the file is loaded, to be read, written and executed.
    for word in [1, 0, BASE, BASE, size, size, 7, 4096] {
        file.extend(word.to_le_bytes());
    }
    Ok([file, code, data].concat())
}

/// Code, and the data behind it, which will lie at `at`.
fn assemble(calls: &[Call], times: u32, at: u32) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut code, mut data) = (FAIL.to_vec(), Vec::new());
    let mut lay = |bytes: &[u8]| -> Result<u32> {
        let address = at + u32::try_from(data.len())?;
        data.extend_from_slice(bytes);
        data.resize(data.len().next_multiple_of(4), 0);
        Ok(address)
    };
    for call in calls {
        let counter = lay(&times.to_le_bytes())?;
        let again = code.len();
        code.push(0xb8); // mov eax, number
        code.extend(u32::try_from(call.number)?.to_le_bytes());
        for (register, arg) in REGISTERS.into_iter().zip(&call.args) {
            let word = match arg {
                Arg::Number(number) => *number as u32,
                Arg::Memory(bytes) => lay(bytes)?,
            };
            code.push(register);
            code.extend(word.to_le_bytes());
        }
        code.extend([0xcd, 0x80, 0x3d]); // int 0x80; cmp eax, -errno
        code.extend((-call.errno.0).to_le_bytes());
        jump_if_not_equal(&mut code, 0)?;
        code.extend([0x83, 0x2d]); // sub dword [counter], 1
        code.extend(counter.to_le_bytes());
        code.push(1);
        jump_if_not_equal(&mut code, again)?;
    }
    code.extend(EXIT);
    Ok((code, data))
}

/// `jne` to an earlier place of the code.
fn jump_if_not_equal(code: &mut Vec<u8>, to: usize) -> Result<()> {
    let next = i32::try_from(code.len() + 6)?;
    code.extend([0x0f, 0x85]);
    code.extend((i32::try_from(to)? - next).to_le_bytes());
    Ok(())
}

/// Makes a 32-bit call from this 64-bit process, with -1 as its first argument and 0 as the next three.
///
/// # Errors
/// The call's own.
pub fn call(number: u32) -> io::Result<()> {
    let mut result = number;
    // SAFETY: the call gets no address of this process, and ebx, which the compiler keeps for itself, is put back.
    // A 32-bit call changes no register but eax, but before Linux 6.0 it may not keep r8 to r11.
    unsafe {
        asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) u64::from(u32::MAX) => _,
            inout("eax") result,
            in("ecx") 0,
            in("edx") 0,
            in("esi") 0,
            in("edi") 0,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    match result.cast_signed() {
        error @ -4095..0 => Err(io::Error::from_raw_os_error(-error)),
        _ => Ok(()),
    }
}

fn now() -> Result<i128> {
    Ok(i128::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}
