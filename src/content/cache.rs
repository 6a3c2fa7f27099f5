//! Contents that others stand on, kept by a backend from one call to the next: decoding them again would cost more
//! than all the rest of a save.
//!
//! An entry is known by file, version and hash, all from rows its user may read, and holds as long as the rows it was
//! decoded from are what they were: nothing may come to stand on what was damaged, or saved anew after a rollback.

use std::cell::RefCell;
use std::rc::Rc;

use lru::LruCache;

use crate::settings::BASE_CACHE_SIZE;

/// Which content: the file's id, its version, the content's SHA-256.
pub type Key = ([u8; 16], i32, [u8; 32]);

/// What an entry takes beside its contents.
const ENTRY_BYTES: usize = 160;

struct Cache {
    entries: LruCache<Key, Entry>,
    bytes: usize,
}

struct Entry {
    /// The rows as they were.
    rows: Vec<u8>,
    content: Rc<Vec<u8>>,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.content.len() + self.rows.len() + ENTRY_BYTES
    }
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

impl Default for Cache {
    fn default() -> Self {
        Cache { entries: LruCache::unbounded(), bytes: 0 }
    }
}

impl Cache {
    fn get(&mut self, key: &Key, rows: &[u8]) -> Option<Rc<Vec<u8>>> {
        self.entries.get(key).filter(|entry| entry.rows == rows).map(|entry| entry.content.clone())
    }

    fn put(&mut self, key: Key, entry: Entry, limit: usize) {
        self.bytes += entry.bytes();
        if let Some(known) = self.entries.put(key, entry) {
            self.bytes -= known.bytes();
        }
        while self.bytes > limit
            && let Some((_, oldest)) = self.entries.pop_lru()
        {
            self.bytes -= oldest.bytes();
        }
    }
}

/// What the cache has of a content that was decoded from `rows`.
pub fn get(key: &Key, rows: &[u8]) -> Option<Rc<Vec<u8>>> {
    CACHE.with_borrow_mut(|cache| cache.get(key, rows))
}

/// Keeps a content, and lets go of the ones used longest ago, within `pg_versioned.base_cache_size`.
pub fn put(key: Key, rows: Vec<u8>, content: Rc<Vec<u8>>) {
    CACHE.with_borrow_mut(|cache| cache.put(key, Entry { rows, content }, limit()));
}

fn limit() -> usize {
    BASE_CACHE_SIZE.get() as usize * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        ([n; 16], 1, [n; 32])
    }

    fn entry(size: usize) -> Entry {
        Entry { rows: b"rows".to_vec(), content: Rc::new(vec![0; size]) }
    }

    #[test]
    fn the_oldest_go_first() {
        let mut cache = Cache::default();
        let limit = 3 * entry(100).bytes();
        for n in 0..4 {
            cache.put(key(n), entry(100), limit);
            assert!(cache.get(&key(0), b"rows").is_some());
        }
        let kept = (0..4).map(|n| cache.get(&key(n), b"rows").is_some());
        assert_eq!(kept.collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(cache.bytes, limit);
    }

    #[test]
    fn what_exceeds_the_limit_is_not_kept() {
        let mut cache = Cache::default();
        cache.put(key(1), entry(1_000), 1_000);
        assert!(cache.get(&key(1), b"rows").is_none());
        assert_eq!((cache.bytes, cache.entries.len()), (0, 0));
    }

    #[test]
    fn other_content_or_other_rows_are_not_found() {
        let mut cache = Cache::default();
        cache.put(([1; 16], 1, [1; 32]), entry(10), 1_000);
        assert!(cache.get(&([1; 16], 1, [2; 32]), b"rows").is_none());
        assert!(cache.get(&([1; 16], 1, [1; 32]), b"damaged").is_none());
        assert!(cache.get(&([1; 16], 1, [1; 32]), b"rows").is_some());
    }
}
