//! Memory that was freed, given back to the kernel.

/// Gives back what reading all objects at the start took and left: the C library keeps it, for a use
/// that does not come. A few milliseconds.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: releases free memory of the allocator only, and takes its locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
