//! Conversion of contents to stored bytes and back.
//!
//! A splice reuses the beginning and the end of its base and stores only the middle. The middle is compressed with the
//! base's own middle as the prefix, the mechanism of `zstd --patch-from`
//! (<https://github.com/facebook/zstd/wiki/Zstandard-as-a-patching-engine>). Removing both ends first means that the
//! compressor need not read a large file to store a small edit: 10 µs instead of 90 per save of 58 KB.

use crate::backend::zstd;

/// Maximum output of a zstd block in bytes, and its minimum input (RFC 8878, section 3.1.1.2).
const BLOCK_MAX: usize = 128 << 10;
const BLOCK_MIN: usize = 4;

/// A short middle is stored uncompressed if compression would save less than this, which avoids one decompression at
/// every read. With 64, most versions of an editing session can be read with at most two, and take up 3 % more bytes.
const WORTH_A_FRAME: usize = 64;

/// The format of the stored bytes. The numbers are those of `project_file_versions.encoding`; their meaning never
/// changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The content itself.
    Plain = 0,
    /// A zstd frame.
    Zstd = 1,
    /// Lengths of the beginning and the end shared with the base (LEB128), then the middle.
    Splice = 2,
    /// The same with the middle in a zstd frame, whose prefix is the base's middle.
    ZstdSplice = 3,
}

impl Encoding {
    pub fn from_number(number: i16) -> Option<Self> {
        Some(match number {
            0 => Self::Plain,
            1 => Self::Zstd,
            2 => Self::Splice,
            3 => Self::ZstdSplice,
            _ => return None,
        })
    }

    pub fn needs_base(self) -> bool {
        matches!(self, Self::Splice | Self::ZstdSplice)
    }
}

/// A content in its stored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub encoding: Encoding,
    pub bytes: Vec<u8>,
}

/// The stored bytes do not represent any content of the given size on the given base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// A content that stands on nothing.
pub fn keyframe(content: &[u8]) -> Encoded {
    let frame = zstd::compress(&[], content);
    if frame.len() < content.len() {
        Encoded { encoding: Encoding::Zstd, bytes: frame }
    } else {
        Encoded { encoding: Encoding::Plain, bytes: content.to_vec() }
    }
}

/// A content that stands on another.
pub fn delta(base: &[u8], content: &[u8]) -> Encoded {
    let beginning = common_beginning(base, content);
    let end = common_end(&base[beginning..], &content[beginning..]);
    let mut bytes = Vec::with_capacity(content.len() - beginning - end + 10);
    write_length(&mut bytes, beginning);
    write_length(&mut bytes, end);
    let middle = &content[beginning..content.len() - end];
    let frame = (middle.len() > WORTH_A_FRAME)
        .then(|| zstd::compress(&base[beginning..base.len() - end], middle))
        .filter(|frame| frame.len() + WORTH_A_FRAME < middle.len());
    bytes.extend_from_slice(frame.as_deref().unwrap_or(middle));
    Encoded { encoding: if frame.is_some() { Encoding::ZstdSplice } else { Encoding::Splice }, bytes }
}

/// The content of `size` bytes represented by `bytes`. `base` is the content it stands on, if any.
///
/// Memory allocation is at most proportional to `bytes` and `base`, whatever `size` says: never more than zstd's format
/// can represent in that many bytes. The caller knows the content's hash, and so whether the result is correct.
pub fn decode(encoding: Encoding, bytes: &[u8], base: Option<&[u8]>, size: usize) -> Result<Vec<u8>, Damaged> {
    let frames = |prefix, frames: &[u8], size: usize| {
        let most = (frames.len() / BLOCK_MIN + 1).saturating_mul(BLOCK_MAX);
        if size > most { Err(Damaged) } else { zstd::decompress(prefix, frames, size).ok_or(Damaged) }
    };
    match (encoding, base) {
        (Encoding::Plain, None) if bytes.len() == size => Ok(bytes.to_vec()),
        (Encoding::Zstd, None) => frames(&[], bytes, size),
        (Encoding::Splice | Encoding::ZstdSplice, Some(base)) => {
            let (beginning, bytes) = read_length(bytes)?;
            let (end, bytes) = read_length(bytes)?;
            let kept = beginning.checked_add(end).filter(|&kept| kept <= base.len() && kept <= size).ok_or(Damaged)?;
            let (head, tail) = (&base[..beginning], &base[base.len() - end..]);
            let unpacked;
            let middle = if encoding == Encoding::Splice {
                bytes
            } else {
                unpacked = frames(&base[beginning..base.len() - end], bytes, size - kept)?;
                &unpacked
            };
            if kept + middle.len() == size { Ok([head, middle, tail].concat()) } else { Err(Damaged) }
        }
        _ => Err(Damaged),
    }
}

/// Number of bytes compared at a time.
const STRIDE: usize = 64;

fn common_beginning(a: &[u8], b: &[u8]) -> usize {
    let strides = a.chunks_exact(STRIDE).zip(b.chunks_exact(STRIDE)).take_while(|(a, b)| a == b).count() * STRIDE;
    strides + a[strides..].iter().zip(&b[strides..]).take_while(|(a, b)| a == b).count()
}

fn common_end(a: &[u8], b: &[u8]) -> usize {
    let strides = a.rchunks_exact(STRIDE).zip(b.rchunks_exact(STRIDE)).take_while(|(a, b)| a == b).count() * STRIDE;
    let (a, b) = (&a[..a.len() - strides], &b[..b.len() - strides]);
    strides + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

fn write_length(bytes: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), Damaged> {
    let mut n = 0;
    // Five groups of seven bits can represent every possible length.
    for (i, &byte) in bytes.iter().enumerate().take(5) {
        n |= usize::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok((n, &bytes[i + 1..]));
        }
    }
    Err(Damaged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(base: &[u8], content: &[u8]) -> Encoded {
        let delta = delta(base, content);
        assert_eq!(decode(delta.encoding, &delta.bytes, Some(base), content.len()).as_deref(), Ok(content));
        let key = keyframe(content);
        assert_eq!(decode(key.encoding, &key.bytes, None, content.len()).as_deref(), Ok(content));
        delta
    }

    fn noise(n: usize) -> Vec<u8> {
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        (0..n)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x as u8
            })
            .collect()
    }

    #[test]
    fn an_edit_costs_what_it_changes() {
        let base = noise(1 << 20);
        let mut content = base.clone();
        content.splice(500_000..500_010, *b"edited here");
        assert!(round_trip(&base, &content).bytes.len() < 24);
        // Two edits, with everything between them unchanged from the base.
        content.splice(900_000..900_000, *b"and here");
        assert!(round_trip(&base, &content).bytes.len() < 400);
    }

    #[test]
    fn far_matches_are_found_in_large_files() {
        let base = noise(9 << 20);
        let moved = [&base[5 << 20..], &base[..5 << 20]].concat();
        assert!(round_trip(&base, &moved).bytes.len() < 20_000);
    }

    #[test]
    fn what_does_not_compress_is_stored_as_it_is() {
        for n in [0, 1, 10, 100, 5_000] {
            let content = noise(n);
            let key = keyframe(&content);
            assert_eq!((key.encoding, key.bytes.len()), (Encoding::Plain, n));
        }
    }

    #[test]
    fn a_small_payload_sizes_no_large_allocation() {
        for encoding in [Encoding::Plain, Encoding::Zstd] {
            assert_eq!(decode(encoding, b"tiny", None, 1 << 28), Err(Damaged));
        }
        for encoding in [Encoding::Splice, Encoding::ZstdSplice] {
            assert_eq!(decode(encoding, b"\0\0tiny", Some(b"base"), 1 << 28), Err(Damaged));
        }
        let bomb = keyframe(&vec![0; 64 << 20]);
        assert!(bomb.bytes.len() < 10_000);
        assert_eq!(decode(bomb.encoding, &bomb.bytes, None, 1_000), Err(Damaged));
    }

    /// Texts that look like successive versions of one file.
    fn versions() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let edit = (any::<prop::sample::Index>(), 0..200_usize, prop::collection::vec(any::<u8>(), 0..200));
        (prop::collection::vec(any::<u8>(), 0..2_000), prop::collection::vec(edit, 0..20)).prop_map(|(first, edits)| {
            let mut all = vec![first];
            for (at, removed, inserted) in edits {
                let mut text = all.last().expect("there is a first").clone();
                let at = at.index(text.len() + 1);
                text.splice(at..(at + removed).min(text.len()), inserted);
                all.push(text);
            }
            all
        })
    }

    proptest! {
        #[test]
        fn any_two_contents_round_trip(base: Vec<u8>, content: Vec<u8>) {
            round_trip(&base, &content);
        }

        #[test]
        fn any_two_versions_round_trip(all in versions(), a: prop::sample::Index, b: prop::sample::Index) {
            let (a, b): (&Vec<u8>, &Vec<u8>) = (a.get(&all), b.get(&all));
            round_trip(a, b);
        }

        #[test]
        fn damage_never_goes_unnoticed(all in versions(), size in 0..3_000_usize) {
            let (base, content) = (&all[0], all.last().unwrap());
            for (encoded, base) in [(keyframe(content), None), (delta(base, content), Some(base.as_slice()))] {
                let Encoded { encoding, bytes } = encoded;
                // Equality takes the place of the hash, which the caller would compare.
                let right = |bytes: &[u8], size| decode(encoding, bytes, base, size).map(|found| found == *content);
                for n in 0..bytes.len() {
                    prop_assert_ne!(right(&bytes[..n], content.len()), Ok(true));
                }
                if size != content.len() {
                    prop_assert_ne!(right(&bytes, size), Ok(true));
                }
                let mut flipped = bytes.clone();
                for bit in 0..bytes.len() * 8 {
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    let _ = right(&flipped, content.len());
                    flipped[bit / 8] ^= 1 << (bit % 8);
                }
            }
        }

        #[test]
        fn no_bytes_break_the_decoder(number in 0..4_i16, bytes: Vec<u8>, base: Option<Vec<u8>>, size in 0..5_000_usize) {
            let encoding = Encoding::from_number(number).unwrap();
            if let Ok(content) = decode(encoding, &bytes, base.as_deref(), size) {
                prop_assert_eq!(content.len(), size);
            }
        }
    }
}
