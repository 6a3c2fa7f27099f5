//! Values passed to statements, rows and results, and the types in which they can be read back.

use core::marker::PhantomData;

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::Interval;
use pgrx::{FromDatum, IntoDatum, Uuid};

use super::Bytes;

/// Microseconds since 2000-01-01 00:00 UTC, the representation of `timestamptz` in Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Later than every other one.
    pub const INFINITY: Timestamp = Timestamp(i64::MAX);
}

/// A typed value, used as a parameter of a statement or a column of a row; `NULL` has a type, too.
///
/// It lives as long as the object it is part of; a value created from Rust data lives in the current memory context.
#[derive(Clone, Copy)]
pub struct Value<'v> {
    oid: Oid,
    datum: Option<pg_sys::Datum>,
    lifetime: PhantomData<&'v ()>,
}

impl Value<'_> {
    /// # Safety
    /// The datum must be of the type, and live for the value's lifetime.
    pub(super) unsafe fn new(oid: Oid, datum: Option<pg_sys::Datum>) -> Self {
        Value { oid, datum, lifetime: PhantomData }
    }

    /// Its type.
    pub(super) fn oid(self) -> Oid {
        self.oid
    }

    /// The datum; `None` is NULL.
    pub(super) fn datum(self) -> Option<pg_sys::Datum> {
        self.datum
    }

    /// NULL of a type.
    pub fn null(of_type: Oid) -> Self {
        Value { oid: of_type, datum: None, lifetime: PhantomData }
    }

    pub fn is_null(self) -> bool {
        self.datum.is_none()
    }

    /// A value of any integer type; `None` if it is NULL, or of another type.
    pub fn as_integer(self) -> Option<i64> {
        let datum = self.datum?;
        // SAFETY: the datum is of the type.
        unsafe {
            match self.oid {
                pg_sys::INT2OID => i16::from_datum(datum, false).map(i64::from),
                pg_sys::INT4OID => i32::from_datum(datum, false).map(i64::from),
                pg_sys::INT8OID => i64::from_datum(datum, false),
                _ => None,
            }
        }
    }

    /// A boolean; `None` if it is NULL, or of another type.
    pub fn as_bool(self) -> Option<bool> {
        // SAFETY: as above.
        self.datum.filter(|_| self.oid == pg_sys::BOOLOID).and_then(|datum| unsafe { bool::from_datum(datum, false) })
    }

    /// A value of any type as Postgres writes it.
    pub fn to_text(self) -> Option<String> {
        let datum = self.datum?;
        // SAFETY: every type has an output function, whose result is a string in the current memory context.
        unsafe {
            let (mut function, mut is_varlena) = (pg_sys::InvalidOid, false);
            pg_sys::getTypeOutputInfo(self.oid, &mut function, &mut is_varlena);
            let text = pg_sys::OidOutputFunctionCall(function, datum);
            Some(core::ffi::CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }

    /// A 64-bit transaction id.
    pub fn xid8(xid: u64) -> Self {
        Value { oid: pg_sys::XID8OID, datum: Some(pg_sys::Datum::from(xid)), lifetime: PhantomData }
    }

    /// An OID.
    pub fn oid_of(oid: Oid) -> Self {
        Value { oid: pg_sys::OIDOID, datum: oid.into_datum(), lifetime: PhantomData }
    }

    /// The datum and its null flag.
    pub(super) fn parts(self) -> (pg_sys::Datum, bool) {
        (self.datum.unwrap_or(pg_sys::Datum::null()), self.datum.is_none())
    }
}

macro_rules! value_from {
    ($($type:ty => $oid:ident, $v:ident -> $datum:expr;)*) => {$(
        impl From<$type> for Value<'_> {
            fn from($v: $type) -> Self {
                Value { oid: pg_sys::$oid, datum: $datum, lifetime: PhantomData }
            }
        }
        impl From<Option<$type>> for Value<'_> {
            fn from(v: Option<$type>) -> Self {
                v.map_or(Value { oid: pg_sys::$oid, datum: None, lifetime: PhantomData }, Value::from)
            }
        }
    )*};
}

value_from! {
    Uuid => UUIDOID, v -> v.into_datum();
    &str => TEXTOID, v -> v.into_datum();
    &[u8] => BYTEAOID, v -> v.into_datum();
    i16 => INT2OID, v -> v.into_datum();
    i32 => INT4OID, v -> v.into_datum();
    i64 => INT8OID, v -> v.into_datum();
    f64 => FLOAT8OID, v -> v.into_datum();
    Interval => INTERVALOID, v -> v.into_datum();
    bool => BOOLOID, v -> v.into_datum();
    &[i32] => INT4ARRAYOID, v -> v.into_datum();
    Vec<String> => TEXTARRAYOID, v -> v.into_datum();
    Vec<Oid> => OIDARRAYOID, v -> v.into_datum();
    Timestamp => TIMESTAMPTZOID, v -> v.0.into_datum();
}

/// A type that a column can be read as. Reading a column of another type is an error, because its bytes would be
/// garbage.
pub trait Column<'r>: Sized {
    const TYPE: Oid;

    /// # Safety
    /// `datum` must be a value of [`Column::TYPE`] that is not NULL and lives for `'r`.
    unsafe fn read(datum: pg_sys::Datum) -> Self;
}

macro_rules! column_is {
    ($($type:ty => $oid:ident;)*) => {$(
        impl Column<'_> for $type {
            const TYPE: Oid = pg_sys::$oid;

            unsafe fn read(datum: pg_sys::Datum) -> Self {
                // SAFETY: by the trait's contract.
                unsafe { <$type>::from_datum(datum, false).expect("the datum is not null") }
            }
        }
    )*};
}

column_is! {
    Uuid => UUIDOID;
    Oid => OIDOID;
    String => TEXTOID;
    Vec<u8> => BYTEAOID;
    i16 => INT2OID;
    i32 => INT4OID;
    i64 => INT8OID;
    bool => BOOLOID;
    Vec<i16> => INT2ARRAYOID;
    Vec<String> => TEXTARRAYOID;
}

impl Column<'_> for Timestamp {
    const TYPE: Oid = pg_sys::TIMESTAMPTZOID;

    unsafe fn read(datum: pg_sys::Datum) -> Self {
        Timestamp(datum.value() as i64)
    }
}

impl<'r> Column<'r> for Bytes<'r> {
    const TYPE: Oid = pg_sys::BYTEAOID;

    unsafe fn read(datum: pg_sys::Datum) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { Bytes::new(datum) }
    }
}

/// The type of a table column that is read as a `T`.
pub const fn column_type<'r, T: Column<'r>>() -> Oid {
    T::TYPE
}
