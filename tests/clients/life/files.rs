//! The files of the model, and what happens to them.

use std::collections::BTreeMap;

use super::answers::{Change, FileSaid};
use super::model::Predicted;

/// A version of a file.
#[derive(Clone, Debug, PartialEq)]
struct Version {
    path: usize,
    /// `None` if it is a deletion.
    content: Option<usize>,
    kind: usize,
    who: usize,
    /// Whether it has been pruned.
    removed: bool,
}

/// A live file.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveFile {
    pub path: usize,
    pub content: usize,
    pub kind: usize,
    pub version: i32,
}

impl LiveFile {
    pub fn is_same(&self, other: &LiveFile) -> bool {
        (self.content, self.kind) == (other.content, other.kind)
    }
}

/// The version that each file has in a state of the project, deletions included.
pub type Shown = BTreeMap<usize, i32>;

/// The live files of a state.
pub type Live = BTreeMap<usize, LiveFile>;

/// A version in a file's history: number, path, content, kind, author.
pub type Past = (i32, usize, Option<usize>, usize, usize);

/// What a batch does at a path: a content of a kind or none, and what it expects.
pub type Wanted = (usize, Option<(usize, usize)>, Option<i32>);

/// Files are known by their place in `files`, which never changes, as their identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Files {
    files: Vec<Vec<Version>>,
    /// Deleted files, in the order of their deletion.
    deleted: Vec<usize>,
}

impl Files {
    fn last(&self, file: usize) -> &Version {
        self.files[file].last().expect("files have versions")
    }

    /// The version of a file with this number, if it is still there.
    fn stored(&self, file: usize, version: i32) -> Option<&Version> {
        let index = usize::try_from(version).ok()?.checked_sub(1)?;
        self.files[file].get(index).filter(|version| !version.removed)
    }

    pub fn is_removed(&self, file: usize, version: i32) -> bool {
        self.stored(file, version).is_none()
    }

    fn at(&self, path: usize) -> Option<usize> {
        (0..self.files.len()).find(|&file| self.last(file).path == path && self.last(file).content.is_some())
    }

    /// The file that a path stands for: the live one, else the one deleted there last.
    pub fn newest(&self, path: usize) -> Option<usize> {
        let deleted = || self.deleted.iter().rev().copied().find(|&file| self.last(file).path == path);
        self.at(path).or_else(deleted)
    }

    pub fn number(&self, file: usize) -> i32 {
        self.files[file].len() as i32
    }

    pub fn path(&self, file: usize) -> usize {
        self.last(file).path
    }

    pub fn of_path(&self, path: Option<usize>) -> Vec<usize> {
        (0..self.files.len()).filter(|&file| path.is_none_or(|path| self.path(file) == path)).collect()
    }

    pub fn now(&self) -> Shown {
        (0..self.files.len()).map(|file| (file, self.number(file))).collect()
    }

    pub fn live(&self, shown: &Shown) -> Live {
        let live = |(file, version): (&usize, &i32)| {
            let stored = self.stored(*file, *version)?;
            let content = stored.content?;
            Some((*file, LiveFile { path: stored.path, content, kind: stored.kind, version: *version }))
        };
        shown.iter().filter_map(live).collect()
    }

    /// A version as calls show it that were made for a path.
    fn said(&self, file: usize, version: i32, path: usize) -> Option<FileSaid> {
        let Version { content, kind, who, .. } = *self.stored(file, version)?;
        let is_current = version == self.number(file) && content.is_some();
        Some((path, version, content, kind, who, is_current))
    }

    fn add(&mut self, file: usize, version: Version) -> FileSaid {
        let (path, is_deleted) = (version.path, version.content.is_none());
        self.deleted.retain(|&deleted| deleted != file);
        if is_deleted {
            self.deleted.push(file);
        }
        self.files[file].push(version);
        self.said(file, self.number(file), path).expect("it is there")
    }

    /// The version that last deleted a file, 0 if none did; `None` if that may have been pruned.
    fn last_deletion(&self, file: usize) -> Option<i32> {
        let number = |index: Option<usize>| index.map_or(0, |index| index as i32 + 1);
        let versions = &self.files[file];
        let deletion = number(versions.iter().rposition(|version| version.content.is_none() && !version.removed));
        let removed = number(versions.iter().rposition(|version| version.removed));
        (removed <= deletion).then_some(deletion)
    }

    /// The version after the expected one, if the same actor made the same of it: the call was sent twice. Who expected
    /// no file made the first version since the last deletion.
    fn sent_twice(
        &self,
        path: usize,
        expected: Option<i32>,
        who: usize,
        is_it: impl Fn(&Version) -> bool,
    ) -> Option<FileSaid> {
        let file = self.newest(path)?;
        let before = match expected? {
            0 => self.last_deletion(file)?,
            number => number,
        };
        let made = self.stored(file, before + 1)?;
        if made.who == who && is_it(made) { self.said(file, before + 1, path) } else { None }
    }

    /// A move sent twice finds its file where it went.
    fn moved_twice(&self, from: usize, to: usize, expected: Option<i32>, who: usize) -> Option<FileSaid> {
        let file = self.newest(to).or_else(|| self.newest(from))?;
        let expected = expected.filter(|&number| number > 0)?;
        let (before, moved) = (self.stored(file, expected)?, self.stored(file, expected + 1)?);
        let is_it = (before.path, moved.path, moved.who) == (from, to, who) && before.content == moved.content;
        if is_it && moved.content.is_some() { self.said(file, expected + 1, to) } else { None }
    }

    fn is_expected(&self, path: usize, expected: Option<i32>) -> bool {
        match expected {
            None => true,
            Some(0) => self.at(path).is_none(),
            Some(number) => self.newest(path).is_some_and(|file| self.number(file) == number),
        }
    }

    pub fn save(
        &mut self,
        who: usize,
        path: usize,
        (content, kind): (usize, usize),
        expected: Option<i32>,
    ) -> Predicted<FileSaid> {
        let is_it = |version: &Version| version.content == Some(content) && version.kind == kind;
        if let Some(file) = self.at(path).filter(|&file| is_it(self.last(file))) {
            return Ok(self.said(file, self.number(file), path).expect("it is there"));
        }
        if !self.is_expected(path, expected) {
            return self.sent_twice(path, expected, who, is_it).ok_or("PT409");
        }
        let file = self.newest(path).unwrap_or_else(|| {
            self.files.push(Vec::new());
            self.files.len() - 1
        });
        Ok(self.add(file, Version { path, content: Some(content), kind, who, removed: false }))
    }

    pub fn delete(&mut self, who: usize, path: usize, expected: Option<i32>) -> Predicted<FileSaid> {
        let live = self.at(path);
        match live.filter(|_| self.is_expected(path, expected)) {
            Some(file) => {
                let kind = self.last(file).kind;
                Ok(self.add(file, Version { path, content: None, kind, who, removed: false }))
            }
            None => {
                let earlier = self.sent_twice(path, expected, who, |version| version.content.is_none());
                earlier.ok_or(if live.is_some() { "PT409" } else { "PT404" })
            }
        }
    }

    pub fn rename(&mut self, who: usize, from: usize, to: usize, expected: Option<i32>) -> Predicted<FileSaid> {
        let live = self.at(from);
        let Some(file) = live.filter(|_| self.is_expected(from, expected)) else {
            let earlier = self.moved_twice(from, to, expected, who);
            return earlier.ok_or(if live.is_some() { "PT409" } else { "PT404" });
        };
        if from == to {
            return Ok(self.said(file, self.number(file), to).expect("it is there"));
        }
        if self.at(to).is_some() {
            return Err("PT409");
        }
        let moved = Version { path: to, who, ..self.last(file).clone() };
        Ok(self.add(file, moved))
    }

    /// All of them or none; one that is not found counts for more than any conflict.
    pub fn batch(&mut self, who: usize, elements: &[Wanted]) -> Predicted<Vec<FileSaid>> {
        let mut saved = self.clone();
        let (mut rows, mut conflicts) = (Vec::new(), false);
        for (path, body, expected) in elements {
            let said = match body {
                Some(body) => saved.save(who, *path, *body, *expected),
                None => saved.delete(who, *path, *expected),
            };
            match said {
                Ok(row) => rows.push(row),
                Err("PT409") => conflicts = true,
                Err(code) => return Err(code),
            }
        }
        if conflicts {
            return Err("PT409");
        }
        *self = saved;
        Ok(rows)
    }

    /// Content and kind of a version of the file that a path stands for.
    pub fn read(&self, path: usize, version: Option<i32>) -> Predicted<(Option<usize>, usize)> {
        let (_, _, content, kind, ..) = self.get(path, version)?;
        Ok((content, kind))
    }

    pub fn get(&self, path: usize, version: Option<i32>) -> Predicted<FileSaid> {
        let said = match version {
            None => self.at(path).and_then(|file| self.said(file, self.number(file), path)),
            Some(version) => self.newest(path).and_then(|file| self.said(file, version, path)),
        };
        said.ok_or("PT404")
    }

    /// The history of the file that a path stands for, newest first; `None` if there is none.
    pub fn history(&self, path: usize) -> Option<Vec<Past>> {
        let versions = self.files[self.newest(path)?].iter().enumerate().rev().filter(|(_, version)| !version.removed);
        let past =
            versions.map(|(n, version)| (n as i32 + 1, version.path, version.content, version.kind, version.who));
        Some(past.collect())
    }

    /// Makes the live files what they were; the rows in which restoring shows it.
    pub fn make(&mut self, wanted: &Live, who: usize, dry_run: bool) -> Vec<(Change, i32)> {
        let now = self.live(&self.now());
        // In this order at one path.
        const STEPS: [&str; 4] = ["deleted", "modified", "moved", "added"];
        let mut rows = Vec::new();
        for file in 0..self.files.len() {
            let (old, new) = (now.get(&file), wanted.get(&file));
            let (path, from, step) = match (old, new) {
                (None, None) => continue,
                (Some(old), None) => (old.path, None, 0),
                (Some(old), Some(new)) if old.path != new.path => (new.path, Some(old.path), 2),
                (Some(old), Some(new)) if old.is_same(new) => continue,
                (Some(_), Some(new)) => (new.path, None, 1),
                (None, Some(new)) => (new.path, None, 3),
            };
            let number = self.number(file) + 1;
            rows.push(((path, step), from, number));
            if !dry_run {
                let kind = new.map_or(self.last(file).kind, |new| new.kind);
                let content = new.map(|new| new.content);
                self.add(file, Version { path, content, kind, who, removed: false });
            }
        }
        rows.sort();
        rows.into_iter().map(|((path, step), from, number)| ((path, from, STEPS[step]), number)).collect()
    }

    /// The versions of a file that nothing keeps: neither `is_kept` nor being the newest or one of the last.
    pub fn removable(&self, file: usize, keep_last: usize, is_kept: impl Fn(i32) -> bool) -> Vec<i32> {
        let numbers = 1..=self.number(file);
        let stored: Vec<i32> = numbers.filter(|version| !self.is_removed(file, *version)).collect();
        let old = stored.len().saturating_sub(keep_last.max(1));
        stored[..old].iter().copied().filter(|version| !is_kept(*version)).collect()
    }

    pub fn remove(&mut self, file: usize, versions: &[i32]) {
        for version in versions {
            self.files[file][*version as usize - 1].removed = true;
        }
    }
}
