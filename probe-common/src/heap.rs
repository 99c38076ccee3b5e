//! What the C library does with the heap. In: nothing. Out: fewer resident pages.
//!
//! It lives here because the daemon itself has no `unsafe`, not even the word that declares a C function.

/// Has all threads share two heaps. Without it each thread has its own, and since a record is made by one thread and freed
/// by another, each keeps pages for what the others hold. Call it before there are threads.
pub fn share() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the signature is that of mallopt(3), which may be called at any time.
        unsafe extern "C" {
            safe fn mallopt(param: core::ffi::c_int, value: core::ffi::c_int) -> core::ffi::c_int;
        }
        /// malloc.h.
        const M_ARENA_MAX: core::ffi::c_int = -8;
        mallopt(M_ARENA_MAX, 2);
    }
}

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
