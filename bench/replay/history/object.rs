//! Git's objects: their names, and what stands at a path of a tree.

use std::fmt;

/// The name of a git object, SHA-1 or SHA-256, in a fixed size: histories hold millions of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Oid {
    bytes: [u8; 32],
    len: u8,
}

impl Oid {
    /// Reads 40 or 64 hexadecimal digits.
    pub fn parse(hex: &[u8]) -> Option<Self> {
        if hex.len() != 40 && hex.len() != 64 {
            return None;
        }
        let mut oid = Self { bytes: [0; 32], len: (hex.len() / 2) as u8 };
        for (byte, digits) in oid.bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            *byte = (high << 4 | low) as u8;
        }
        Some(oid)
    }

    /// Whether it stands for no object.
    pub(super) fn is_null(&self) -> bool {
        self.bytes == [0; 32]
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes[..usize::from(self.len)].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a tree entry is, by its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file, executable or not.
    File,
    /// A symbolic link: its content is a target, not a text.
    Symlink,
    /// A submodule: the commit of another repository.
    Submodule,
}

impl Kind {
    /// Of a mode as git writes it; `None` for a folder's and for no mode at all.
    pub(super) fn of_mode(mode: &[u8]) -> Option<Self> {
        match mode {
            b"120000" => Some(Self::Symlink),
            b"160000" => Some(Self::Submodule),
            [b'1', b'0', b'0', ..] => Some(Self::File),
            _ => None,
        }
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// File, link or submodule.
    pub kind: Kind,
    /// The content's name.
    pub oid: Oid,
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "78981922613b2afb6025042ff6bd878ac1994e85";

    #[test]
    fn object_names_round_trip() {
        assert_eq!(Oid::parse(OID.as_bytes()).map(|oid| oid.to_string()).as_deref(), Some(OID));
        let sha256 = OID.repeat(2)[..64].to_owned();
        assert_eq!(Oid::parse(sha256.as_bytes()).map(|oid| oid.to_string()), Some(sha256));
        assert_eq!(Oid::parse(b"7898"), None);
        assert_eq!(Oid::parse("x".repeat(40).as_bytes()), None);
    }
}
