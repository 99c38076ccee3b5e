//! Atomic operations that the compiler does not offer for this target.

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
