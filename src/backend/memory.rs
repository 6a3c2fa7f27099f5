//! Memory: Postgres' contexts and the C library's heap.

use core::ffi::c_int;

use pgrx::{PgMemoryContexts, pg_sys};

/// Runs `body` in a separate memory context for Postgres allocations, which is freed when `body` is done.
pub fn in_own_memory<R>(body: impl FnOnce() -> R) -> R {
    let mut memory = PgMemoryContexts::new("pg_versioned call");
    // SAFETY: the result of `body` belongs to Rust, or lives in the memory context of the call.
    unsafe { memory.switch_to(|_| body()) }
}

/// Makes the C library keep up to 4 MB of memory freed at the end of the heap. Each query allocates and frees some 30
/// KB for every index it scans, and by default glibc requests this from the kernel and returns it at every save, which
/// takes up to a fifth of its time. Freeing one large block raises both of glibc's thresholds (mallopt(3),
/// `M_MMAP_THRESHOLD`).
pub fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(2 << 20)));
}

/// Returns freed memory to the system when the transaction ends: by then, Postgres has also freed the memory used for a
/// large call's arguments and result.
pub fn give_memory_back() {
    unsafe extern "C-unwind" fn trim(_: *mut core::ffi::c_void) {
        #[cfg(target_env = "gnu")]
        {
            unsafe extern "C" {
                fn malloc_trim(pad: usize) -> c_int;
            }
            // SAFETY: a function of the C library without preconditions.
            unsafe { malloc_trim(0) };
        }
    }
    // SAFETY: the callback lives in the memory context whose end it waits for.
    unsafe {
        let context = pg_sys::TopTransactionContext;
        let callback: *mut pg_sys::MemoryContextCallback =
            pg_sys::MemoryContextAllocZero(context, size_of::<pg_sys::MemoryContextCallback>()).cast();
        (*callback).func = Some(trim);
        pg_sys::MemoryContextRegisterResetCallback(context, callback);
    }
}
