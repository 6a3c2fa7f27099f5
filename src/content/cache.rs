//! Contents that others stand on, kept by a backend from one call to the next: decoding them again would cost more than
//! the entire rest of a save.
//!
//! An entry is identified by file, version and hash, all from rows that its user may read, and is valid only while the
//! rows it was decoded from are unchanged: nothing may come to stand on content that was damaged, or saved again after
//! a rollback.

use std::cell::RefCell;
use std::rc::Rc;

use lru::LruCache;

use super::stored::{Identity, Stored};
use crate::settings::BASE_CACHE_SIZE;

/// Identifies a content: the file's id, its version, the content's SHA-256.
pub type Key = ([u8; 16], i32, [u8; 32]);

/// Size of an entry apart from its contents.
const ENTRY_BYTES: usize = 160;

/// The rows of a content when it was decoded: its own, and that of the content it stands on.
pub struct Rows {
    own: Identity,
    stands_on: Option<Identity>,
}

impl Rows {
    pub fn of(own: Stored, stands_on: Option<Stored>) -> Self {
        Rows { own: own.identity(), stands_on: stands_on.map(Stored::identity) }
    }

    fn are(&self, own: Stored, stands_on: Option<Stored>) -> bool {
        own.is(&self.own)
            && match (stands_on, &self.stands_on) {
                (Some(row), Some(known)) => row.is(known),
                (row, known) => row.is_none() && known.is_none(),
            }
    }

    fn bytes(&self) -> usize {
        self.own.len() + self.stands_on.as_ref().map_or(0, Identity::len)
    }
}

struct Entry<R> {
    rows: R,
    content: Rc<Vec<u8>>,
    bytes: usize,
}

struct Cache<R> {
    entries: LruCache<Key, Entry<R>>,
    bytes: usize,
}

thread_local! {
    static CACHE: RefCell<Cache<Rows>> = RefCell::default();
}

impl<R> Default for Cache<R> {
    fn default() -> Self {
        Cache { entries: LruCache::unbounded(), bytes: 0 }
    }
}

impl<R> Cache<R> {
    fn get(&mut self, key: &Key, are_same: impl FnOnce(&R) -> bool) -> Option<Rc<Vec<u8>>> {
        self.entries.get(key).filter(|entry| are_same(&entry.rows)).map(|entry| entry.content.clone())
    }

    /// `bytes` is the size of the rows.
    fn put(&mut self, key: Key, rows: R, bytes: usize, content: Rc<Vec<u8>>, limit: usize) {
        let bytes = bytes + content.len() + ENTRY_BYTES;
        self.bytes += bytes;
        if let Some(known) = self.entries.put(key, Entry { rows, content, bytes }) {
            self.bytes -= known.bytes;
        }
        while self.bytes > limit
            && let Some((_, oldest)) = self.entries.pop_lru()
        {
            self.bytes -= oldest.bytes;
        }
    }
}

/// The cached content that was decoded from these rows, if any.
pub fn get(key: &Key, own: Stored, stands_on: Option<Stored>) -> Option<Rc<Vec<u8>>> {
    CACHE.with_borrow_mut(|cache| cache.get(key, |rows| rows.are(own, stands_on)))
}

/// Caches a content, and evicts the least recently used ones to stay within `pg_versioned.base_cache_size`.
pub fn put(key: Key, rows: Rows, content: Rc<Vec<u8>>) {
    let (bytes, limit) = (rows.bytes(), BASE_CACHE_SIZE.get() as usize * 1024);
    CACHE.with_borrow_mut(|cache| cache.put(key, rows, bytes, content, limit));
}

/// Discards everything.
pub fn clear() {
    CACHE.take();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        ([n; 16], 1, [n; 32])
    }

    fn put(cache: &mut Cache<&'static str>, n: u8, size: usize, limit: usize) {
        cache.put(key(n), "rows", 4, Rc::new(vec![0; size]), limit);
    }

    fn has(cache: &mut Cache<&'static str>, n: u8) -> bool {
        cache.get(&key(n), |rows| *rows == "rows").is_some()
    }

    #[test]
    fn the_oldest_go_first() {
        let mut cache = Cache::default();
        let limit = 3 * (100 + 4 + ENTRY_BYTES);
        for n in 0..4 {
            put(&mut cache, n, 100, limit);
            assert!(has(&mut cache, 0));
        }
        let kept = (0..4).map(|n| has(&mut cache, n));
        assert_eq!(kept.collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(cache.bytes, limit);
    }

    #[test]
    fn what_exceeds_the_limit_is_not_kept() {
        let mut cache = Cache::default();
        put(&mut cache, 1, 1_000, 1_000);
        assert!(!has(&mut cache, 1));
        assert_eq!((cache.bytes, cache.entries.len()), (0, 0));
    }

    #[test]
    fn other_content_or_other_rows_are_not_found() {
        let mut cache = Cache::default();
        put(&mut cache, 1, 10, 1_000);
        assert!(cache.get(&([1; 16], 1, [2; 32]), |_| true).is_none());
        assert!(cache.get(&key(1), |rows| *rows == "damaged").is_none());
        assert!(has(&mut cache, 1));
    }
}
