//! Contents that others stand on, kept by a backend from one call to the next: decoding them again would cost more
//! than all the rest of a save.
//!
//! An entry is known by file, version and hash, all from a row its user may read: a version that was rolled back and
//! saved anew with other content is another entry.

use std::cell::RefCell;
use std::rc::Rc;

use lru::LruCache;

use crate::settings::BASE_CACHE_SIZE;

/// Which content: the file's id, its version, the content's SHA-256.
pub type Key = ([u8; 16], i32, [u8; 32]);

/// What an entry takes beside its content.
const ENTRY_BYTES: usize = 160;

struct Cache {
    entries: LruCache<Key, Rc<Vec<u8>>>,
    bytes: usize,
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
    fn get(&mut self, key: &Key) -> Option<Rc<Vec<u8>>> {
        self.entries.get(key).cloned()
    }

    fn put(&mut self, key: Key, content: Rc<Vec<u8>>, limit: usize) {
        self.bytes += content.len() + ENTRY_BYTES;
        if let Some(known) = self.entries.put(key, content) {
            self.bytes -= known.len() + ENTRY_BYTES;
        }
        while self.bytes > limit
            && let Some((_, oldest)) = self.entries.pop_lru()
        {
            self.bytes -= oldest.len() + ENTRY_BYTES;
        }
    }
}

/// What the cache has of a content; nothing where it is turned off.
pub fn get(key: &Key) -> Option<Rc<Vec<u8>>> {
    if limit() == 0 {
        return None;
    }
    CACHE.with_borrow_mut(|cache| cache.get(key))
}

/// Keeps a content, and lets go of the ones used longest ago, within `pg_versioned.base_cache_size`.
pub fn put(key: Key, content: Rc<Vec<u8>>) {
    CACHE.with_borrow_mut(|cache| cache.put(key, content, limit()));
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

    #[test]
    fn the_oldest_go_first() {
        let mut cache = Cache::default();
        for n in 0..4 {
            cache.put(key(n), Rc::new(vec![n; 100]), 3 * (100 + ENTRY_BYTES));
            assert!(cache.get(&key(0)).is_some());
        }
        assert_eq!((0..4).map(|n| cache.get(&key(n)).is_some()).collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(cache.bytes, 3 * (100 + ENTRY_BYTES));
    }

    #[test]
    fn what_exceeds_the_limit_is_not_kept() {
        let mut cache = Cache::default();
        cache.put(key(1), Rc::new(vec![0; 1_000]), 1_000);
        assert!(cache.get(&key(1)).is_none());
        assert_eq!((cache.bytes, cache.entries.len()), (0, 0));
    }

    #[test]
    fn another_content_of_the_same_version_is_another_entry() {
        let mut cache = Cache::default();
        cache.put(([1; 16], 1, [1; 32]), Rc::new(vec![1; 10]), 1_000);
        assert!(cache.get(&([1; 16], 1, [2; 32])).is_none());
    }
}
