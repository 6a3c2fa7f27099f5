//! Comparing and merging texts line by line, with git's own code (libgit2). Knows nothing of Postgres.

use std::path::Path;

use git2::{DiffOptions, MergeFileInput, MergeFileOptions, Oid, Patch};

/// A file's path and content at one side of a comparison.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub path: &'a str,
    pub content: &'a str,
}

/// Result of a three-way merge.
#[derive(Debug, PartialEq, Eq)]
pub enum Merge {
    Clean(String),
    /// With markers in the style of diff3 around what both sides changed.
    Conflicts(String),
}

/// What the conflict markers call the sides.
pub struct Labels<'a> {
    pub base: &'a str,
    pub ours: &'a str,
    pub theirs: &'a str,
}

/// Brings the changes from `base` to `theirs` into `ours`, as `git merge-file` does.
pub fn merge(base: &str, ours: &str, theirs: &str, labels: &Labels) -> Merge {
    if ours == theirs || base == theirs {
        return Merge::Clean(ours.to_owned());
    }
    if base == ours {
        return Merge::Clean(theirs.to_owned());
    }
    // diff3's markers need regions that are not narrowed down; whether there are any is decided with narrowed ones.
    let (is_clean, text) = merge_in_style(base, ours, theirs, labels, false);
    if is_clean { Merge::Clean(text) } else { Merge::Conflicts(merge_in_style(base, ours, theirs, labels, true).1) }
}

fn merge_in_style(base: &str, ours: &str, theirs: &str, labels: &Labels, diff3: bool) -> (bool, String) {
    initialize();
    let mut inputs = [base, ours, theirs].map(|content| {
        let mut input = MergeFileInput::new();
        input.content(content.as_bytes());
        input
    });
    let [base, ours, theirs] = &mut inputs;
    let mut options = MergeFileOptions::new();
    options.style_standard(!diff3).style_diff3(diff3);
    options.ancestor_label(labels.base).our_label(labels.ours).their_label(labels.theirs);
    let merged = git2::merge_file(base, ours, theirs, Some(&mut options)).expect("texts can be merged");
    (merged.is_automergeable(), text(merged.content()))
}

/// What makes `new` of `old`, as `git diff` shows it and `git apply` takes it; nothing where they are equal. A side
/// that is `None` has no such file.
pub fn unified_diff(old: Option<Side>, new: Option<Side>) -> String {
    let (Some(name_before), Some(name_after)) = (old.or(new), new.or(old)) else { return String::new() };
    let is_rename = name_before.path != name_after.path;
    let hunks = hunks(old.map_or("", |side| side.content), new.map_or("", |side| side.content));
    if old.is_some() && new.is_some() && !is_rename && hunks.is_empty() {
        return String::new();
    }
    let name = |prefix: &str, side: Side| quoted(&format!("{prefix}{}", side.path));
    let mut diff = format!("diff --git {} {}\n", name("a/", name_before), name("b/", name_after));
    match (old, new) {
        (None, _) => diff.push_str("new file mode 100644\n"),
        (_, None) => diff.push_str("deleted file mode 100644\n"),
        _ if is_rename => {
            let [from, to] = [name_before, name_after].map(|side| quoted(side.path));
            diff.push_str(&format!("rename from {from}\nrename to {to}\n"));
        }
        _ => {}
    }
    if !hunks.is_empty() {
        // A name with a blank ends at a tab, or git takes what follows the blank for a date.
        let line = |marks: &str, name: Option<String>| {
            let name = name.unwrap_or_else(|| "/dev/null".to_owned());
            let end = if name.contains(' ') { "\t" } else { "" };
            format!("{marks} {name}{end}\n")
        };
        diff.push_str(&line("---", old.map(|side| name("a/", side))));
        diff.push_str(&line("+++", new.map(|side| name("b/", side))));
        diff.push_str(&hunks);
    }
    diff
}

/// A path as diffs have it: in quotes where it holds one. Backslashes and control characters are in no path.
fn quoted(path: &str) -> String {
    if path.contains('"') { format!("\"{}\"", path.replace('"', "\\\"")) } else { path.to_owned() }
}

fn hunks(old: &str, new: &str) -> String {
    initialize();
    let path = Some(Path::new("file"));
    let mut options = DiffOptions::new();
    options.force_text(true);
    let patch = Patch::from_buffers(old.as_bytes(), path, new.as_bytes(), path, Some(&mut options));
    let whole = patch.and_then(|mut patch| patch.to_buf()).expect("texts can be compared");
    let whole = text(&whole);
    whole.find("\n@@ ").map_or_else(String::new, |before| whole[before + 1..].to_owned())
}

/// Lines added and removed to make `new` of `old`, as `git diff --numstat` counts them.
pub fn count_lines(old: &str, new: &str) -> (i64, i64) {
    let (mut added, mut removed) = (0, 0);
    for line in hunks(old, new).lines() {
        added += i64::from(line.starts_with('+'));
        removed += i64::from(line.starts_with('-'));
    }
    (added, removed)
}

/// git works on bytes, and cuts them at line ends only.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// libgit2 must be initialized before its first use; `merge_file` alone does not see to it.
fn initialize() {
    let _ = Oid::from_str("");
}
