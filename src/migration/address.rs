//! Addresses of objects in the catalogs.

/// An object: its catalog, its OID, and the number of a column, or 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    pub class: u32,
    pub object: u32,
    pub sub: i32,
}
