//! What a version stands on: nothing (a keyframe), a keyframe (a middle version), or a middle version.
//!
//! Every version can be read with at most three decompressions. A delta grows with the edits since its base, and a new
//! base costs as much as it is larger than a delta. As with renting and buying, the sum is near its minimum if one
//! switches as soon as the rent paid approaches the price: for a keyframe its own size in middle versions, for a middle
//! version half of its size in deltas. (A row's other columns and index entries cost the same whatever it stands on, so
//! they move neither point.) Tested on two editing sessions with 10,942 and 5,218 saves and factors of ½, 1, 1½, 2, 4
//! and 8: 115 and 66 bytes per save, within 5 % of the best pair; with keyframes alone, 335 and 155.

use super::codec::{self, Encoded};

/// Minimum size of a delta in bytes, however small the edit; no base makes it smaller.
const LEAST_DELTA: i32 = 30;

/// Bytes of deltas that a middle version serves at least before it is replaced: a new one for every few bytes would take
/// more time to make, and to decode in every session, than it saves. Of 0, 128, 256, 384 and 512, 256 also stores least of
/// an editing session.
const LEAST_BASE_COST: i32 = 256;

/// Number of versions that are saved directly as keyframes after one that had little in common with its keyframe: for a
/// file that is rewritten completely at every save, a delta would be computed each time only to be thrown away.
const SKIPPED_AFTER_HOPELESS: i32 = 4;

/// What the deltas of a file stand on; kept in its head. The default is a file without any version to stand on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The version that the next delta stands on.
    pub base: Option<i32>,
    /// Total size in bytes of the deltas that stand on it so far. If negative: this many versions are saved as
    /// keyframes without trying a delta.
    pub base_cost: i32,
    /// Total size in bytes of the middle versions since the last keyframe.
    pub key_cost: i32,
}

/// A version that others stand on.
#[derive(Clone, Copy)]
pub struct Base<'c> {
    pub version: i32,
    pub content: &'c [u8],
    /// Length of its stored bytes.
    pub stored: i32,
}

/// The stored form of a version.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredForm {
    pub encoded: Encoded,
    /// What it stands on; `None` for a keyframe.
    pub base: Option<i32>,
    /// For the next version.
    pub chain: Chain,
}

impl Chain {
    /// The version that the next one should be compared with, if any.
    pub fn base_to_try(&self) -> Option<i32> {
        self.base.filter(|_| self.base_cost >= 0)
    }

    /// The next version if there is nothing to stand on.
    pub fn on_nothing(self, version: i32, content: &[u8]) -> StoredForm {
        new_keyframe(version, content, (self.base_cost + 1).min(0))
    }

    /// The next version as a delta on the last middle version; `None` if that one has cost enough.
    pub fn on_middle(self, content: &[u8], middle: Base) -> Option<StoredForm> {
        let encoded = codec::delta(middle.content, content);
        let base_cost = cost(self.base_cost, &encoded);
        let chain = Chain { base_cost, ..self };
        (base_cost <= (middle.stored / 2).max(LEAST_BASE_COST)).then_some(StoredForm {
            encoded,
            base: Some(middle.version),
            chain,
        })
    }

    /// The next version as a middle version on the last keyframe, or as a new keyframe.
    pub fn on_keyframe(self, version: i32, content: &[u8], keyframe: Base) -> StoredForm {
        let encoded = codec::delta(keyframe.content, content);
        if length(&encoded) > keyframe.stored / 2 {
            // Such a large delta may be no smaller than a keyframe, which serves the next versions better.
            let instead = new_keyframe(version, content, -SKIPPED_AFTER_HOPELESS);
            if length(&instead.encoded) <= length(&encoded).saturating_add(length(&encoded) / 3) {
                return instead;
            }
        }
        let key_cost = cost(self.key_cost, &encoded);
        if key_cost > keyframe.stored {
            return new_keyframe(version, content, 0);
        }
        let chain = Chain { base: Some(version), base_cost: 0, key_cost };
        StoredForm { encoded, base: Some(keyframe.version), chain }
    }
}

fn new_keyframe(version: i32, content: &[u8], base_cost: i32) -> StoredForm {
    let chain = Chain { base: Some(version), base_cost, key_cost: 0 };
    StoredForm { encoded: codec::keyframe(content), base: None, chain }
}

fn length(encoded: &Encoded) -> i32 {
    encoded.bytes.len().try_into().unwrap_or(i32::MAX)
}

fn cost(so_far: i32, delta: &Encoded) -> i32 {
    so_far.saturating_add((length(delta) - LEAST_DELTA).max(0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::content::codec::decode;

    /// A file's versions as rows, read back in the same way as by a reader.
    #[derive(Default)]
    struct File {
        forms: HashMap<i32, (StoredForm, usize)>,
        chain: Chain,
    }

    impl File {
        fn read(&self, version: i32, depth: usize) -> Vec<u8> {
            assert!(depth < 3, "version {version} stands on more than two others");
            let (form, size) = &self.forms[&version];
            let base = form.base.map(|base| self.read(base, depth + 1));
            decode(form.encoded.encoding, &form.encoded.bytes, base.as_deref(), *size).unwrap()
        }

        fn save(&mut self, content: &[u8]) {
            let version = self.forms.len() as i32 + 1;
            let read = |version: i32| Base {
                version,
                content: self.read(version, 0).leak(),
                stored: self.forms[&version].0.encoded.bytes.len() as i32,
            };
            let form = match self.chain.base_to_try().map(|base| (read(base), self.forms[&base].0.base)) {
                None => self.chain.on_nothing(version, content),
                Some((keyframe, None)) => self.chain.on_keyframe(version, content, keyframe),
                Some((middle, Some(keyframe))) => self
                    .chain
                    .on_middle(content, middle)
                    .unwrap_or_else(|| self.chain.on_keyframe(version, content, read(keyframe))),
            };
            self.chain = form.chain;
            self.forms.insert(version, (form, content.len()));
        }
    }

    proptest! {
        #[test]
        fn every_version_reads_back(edits in prop::collection::vec((any::<u16>(), "[a-z \n]{0,60}", 0..80_usize), 1..60)) {
            let mut file = File::default();
            let mut text = Vec::new();
            let mut all = Vec::new();
            for (at, inserted, removed) in edits {
                let at = at as usize % (text.len() + 1);
                text.splice(at..(at + removed).min(text.len()), inserted.bytes());
                file.save(&text);
                all.push(text.clone());
            }
            for (i, content) in all.iter().enumerate() {
                prop_assert_eq!(&file.read(i as i32 + 1, 0), content);
            }
        }
    }

    #[test]
    fn small_edits_of_a_large_file_stay_small() {
        let mut file = File::default();
        let mut text: Vec<u8> =
            (0..4_000_u32).flat_map(|i| format!("line {}\n", i.wrapping_mul(2_654_435_761)).into_bytes()).collect();
        for i in 0..1_000_usize {
            let at = i * 7_919 % text.len();
            text.splice(at..at, *b"edit");
            file.save(&text);
        }
        let stored: usize = file.forms.values().map(|(form, _)| form.encoded.bytes.len()).sum();
        assert!(stored < 1_000 * 1_000, "{stored} bytes for 1,000 edits of {} bytes", text.len());
        let keys = file.forms.values().filter(|(form, _)| form.base.is_none()).count();
        assert!((2..50).contains(&keys), "{keys} keyframes");
    }

    /// Texts with nothing in common.
    fn noise() -> impl Iterator<Item = Vec<u8>> {
        let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
        let mut byte = move || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise as u8
        };
        std::iter::repeat_with(move || std::iter::repeat_with(&mut byte).take(2_000).collect())
    }

    #[test]
    fn contents_with_nothing_in_common_are_keyframes() {
        let mut file = File::default();
        noise().take(20).for_each(|text| file.save(&text));
        assert!(file.forms.values().all(|(form, _)| form.base.is_none()));
    }

    #[test]
    fn after_a_hopeless_version_the_next_few_are_not_tried() {
        let mut file = File::default();
        let mut texts = noise();
        let mut tried = Vec::new();
        for _ in 0..2 * (SKIPPED_AFTER_HOPELESS + 1) + 1 {
            tried.push(file.chain.base_to_try().is_some());
            file.save(&texts.next().expect("there is always more"));
        }
        let every = SKIPPED_AFTER_HOPELESS as usize + 1;
        let expected: Vec<bool> = (0..tried.len()).map(|n| n > 0 && n % every == 1).collect();
        assert_eq!(tried, expected);
    }

    #[test]
    fn edits_are_deltas_again_soon_after_a_hopeless_version() {
        let mut file = File::default();
        let mut texts = noise();
        file.save(&texts.next().expect("a text"));
        let mut text = texts.next().expect("a text");
        for n in 0..20 {
            text[n] ^= 1;
            file.save(&text);
        }
        let keyframes = file.forms.values().filter(|(form, _)| form.base.is_none()).count();
        assert_eq!(keyframes as i32, 2 + SKIPPED_AFTER_HOPELESS);
    }
}
