//! Gives unused heap back to the kernel. In: nothing. Out: fewer resident pages.
//!
//! It lives here because the daemon itself has no `unsafe`, not even the word that declares a C function.

/// Returns every free page of the heap. Without it the C library keeps what a start has needed for a moment, tens
/// of MiB, for as long as the process lives: it gives back only what lies at the very end of the heap.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the signature is that of malloc_trim(3), which may be called at any time from any thread.
        unsafe extern "C" {
            safe fn malloc_trim(pad: usize) -> core::ffi::c_int;
        }
        malloc_trim(0);
    }
}
