//! Postgres functions that pgrx does not bind, guarded as its own are.

use core::ffi::{c_char, c_int};

use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::pg_sys::{DestReceiver, MemoryContext, TupleDesc, Tuplestorestate};

macro_rules! guarded {
    ($($(#[$attribute:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        $(#[$attribute])*
        pub unsafe fn $name($($arg: $type),*) $(-> $result)? {
            unsafe extern "C-unwind" {
                fn $name($($arg: $type),*) $(-> $result)?;
            }
            // Plain values only: nothing needs dropping when Postgres leaves by longjmp.
            unsafe { pg_guard_ffi_boundary(|| $name($($arg),*)) }
        }
    )*};
}

#[allow(non_snake_case)]
mod functions {
    use super::*;

    guarded! {
        /// commands/async.h
        fn Async_Notify(channel: *const c_char, payload: *const c_char);

        /// replication/message.h
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        fn LogLogicalMessage(prefix: *const c_char, message: *const c_char, size: usize, transactional: bool) -> u64;
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        fn LogLogicalMessage(prefix: *const c_char, message: *const c_char, size: usize, transactional: bool, flush: bool) -> u64;

        /// executor/tstoreReceiver.h
        fn CreateTuplestoreDestReceiver() -> *mut DestReceiver;
        fn SetTuplestoreDestReceiverParams(
            receiver: *mut DestReceiver,
            store: *mut Tuplestorestate,
            context: MemoryContext,
            detoast: bool,
            target: TupleDesc,
            map_failure_message: *const c_char
        );

        /// common/hashfn.h
        fn hash_bytes_extended(key: *const u8, length: c_int, seed: u64) -> u64;
    }
}

pub use functions::*;
