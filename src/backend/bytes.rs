//! `bytea` values that are fetched and copied only when their bytes are needed.

use core::marker::PhantomData;

use pgrx::pg_sys;

use super::Call;

/// A `bytea` as stored in its tuple: the bytes themselves, or a pointer to where they are stored out of line.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    value: *mut pg_sys::varlena,
    tuple: PhantomData<&'a [u8]>,
}

impl<'a> Bytes<'a> {
    /// # Safety
    /// `datum` must be a `bytea` that lives for `'a`.
    pub(super) unsafe fn new(datum: pg_sys::Datum) -> Self {
        Bytes { value: datum.cast_mut_ptr(), tuple: PhantomData }
    }

    /// The image in the tuple. Equal images within one query are equal values.
    pub fn image(self) -> &'a [u8] {
        // SAFETY: by the contract of `new`.
        unsafe { core::slice::from_raw_parts(self.value.cast(), pgrx::varsize_any(self.value)) }
    }

    /// Number of bytes, determined without fetching them.
    pub fn len(self) -> usize {
        // SAFETY: by the contract of `new`.
        unsafe { pg_sys::toast_raw_datum_size(self.value.into()) - pg_sys::VARHDRSZ }
    }

    /// Fetches the bytes. A fetched copy lives as long as the current memory context, which always outlives the values
    /// of a call or a connection.
    pub fn fetch(self) -> &'a [u8] {
        // SAFETY: by the contract of `new`; see above for the lifetime of a copy.
        unsafe {
            let plain = pg_sys::pg_detoast_datum_packed(self.value);
            core::slice::from_raw_parts(pgrx::vardata_any(plain).cast(), pgrx::varsize_any_exhdr(plain))
        }
    }
}

impl Call {
    /// `bytea` argument number `index` (from 0).
    pub fn bytes_argument(&self, index: usize) -> Option<Bytes<'_>> {
        // SAFETY: the declaration in sql/ says bytea, and arguments live as long as their call.
        unsafe { pgrx::fcinfo::pg_getarg_datum(self.fcinfo, index).map(|datum| Bytes::new(datum)) }
    }
}
