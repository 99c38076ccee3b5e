//! Instructions that the compiler does not offer for this target, or would leave out.

use core::arch::asm;

/// Adds to a number that several CPUs add to.
///
/// # Safety
/// `number` is valid and aligned; the verifier must see it.
#[inline(always)]
pub unsafe fn add(number: *mut u64, value: u64) {
    // SAFETY: the caller's promise. `core`'s atomics have no fetch_add here, since it returns the old value.
    unsafe { asm!("lock *(u64 *)({number} + 0) += {value}", number = in(reg) number, value = in(reg) value) };
}

/// As [`add`]; what the number was.
///
/// # Safety
/// `number` is valid and aligned; the verifier must see it.
#[inline(always)]
pub unsafe fn fetch_add(number: *mut u64, value: u64) -> u64 {
    let mut before = value;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "{value} = atomic_fetch_add((u64 *)({number} + 0), {value})",
            number = in(reg) number,
            value = inout(reg) before,
        )
    };
    before
}

/// As [`add`], for a number of 32 bits.
///
/// # Safety
/// `number` is valid and aligned; the verifier must see it.
#[inline(always)]
pub unsafe fn add_32(number: *mut u32, value: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("lock *(u32 *)({number} + 0) += {value}", number = in(reg) number, value = in(reg) u64::from(value))
    };
}

/// Sets a number to `new` where it is `old`; what it was.
///
/// # Safety
/// `number` is valid and aligned; the verifier must see it.
#[inline(always)]
pub unsafe fn replace(number: *mut u64, old: u64, new: u64) -> u64 {
    let before: u64;
    // SAFETY: the caller's promise. The instruction compares with r0, and leaves there what it found.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({number} + 0, r0, {new})",
            number = in(reg) number,
            new = in(reg) new,
            inout("r0") old => before,
        )
    };
    before
}

/// The low bits of a number, taken where this is called: the compiler can neither move nor drop it.
#[inline(always)]
pub fn low_bits<const MASK: u64>(mut number: u64) -> u64 {
    // SAFETY: one instruction on a register.
    unsafe {
        asm!("{number} &= {mask}", number = inout(reg) number, mask = const MASK, options(nomem, nostack))
    };
    number
}
