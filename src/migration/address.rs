//! The address of an object: what Postgres knows it by, whatever its name.

/// The catalogue that an object is in, its OID there, and the number of a column (0 for anything else).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    pub class: u32,
    pub object: u32,
    pub sub: i32,
}
