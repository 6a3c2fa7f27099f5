//! Comparing and merging texts line by line, with git's own code (libgit2). Knows nothing about Postgres.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use git2::{DiffOptions, MergeFileInput, MergeFileOptions, Oid, Patch};

use crate::path::quoted;

/// Maximum number of lines to compare: the lines of the longer text that remain when equal beginnings and ends are cut
/// off, plus one twentieth of all its other lines. The worst texts found take one to two seconds to merge at this
/// limit: 14 to 20 µs per remaining line (more if there are more of them) and up to 1.8 µs per other line; a diff takes
/// a quarter of that. Memory: up to 470 bytes per line of the longest text.
pub const DEFAULT_MAX_COMPARED_LINES: i32 = 50_000;

/// Largest sensible limit: above it, sizes would overflow in libgit2.
pub const LARGEST_MAX_COMPARED_LINES: i32 = 1_000_000;

/// Number of lines without a search (in equal beginnings and ends, or in an insertion) that cost as much as one
/// compared line.
const LINES_PER_COMPARED: usize = 20;

/// A file's path and content on one side of a comparison.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub path: &'a str,
    pub content: &'a str,
}

/// Result of a three-way merge.
#[derive(Debug, PartialEq, Eq)]
pub enum Merge {
    Clean(String),
    /// With diff3-style markers around what both sides changed.
    Conflicts(String),
}

/// The names of the sides in conflict markers.
pub struct Labels<'a> {
    pub base: &'a str,
    pub ours: &'a str,
    pub theirs: &'a str,
}

/// The texts are too long to be compared by libgit2, which cannot be canceled.
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyLines {
    /// Counted as described for [`DEFAULT_MAX_COMPARED_LINES`].
    pub lines: usize,
    pub limit: usize,
}

/// Numbers of lines added and removed to turn one text into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineCount {
    pub added: i64,
    pub removed: i64,
    /// False if the texts were too long to be compared: then all lines between the equal beginnings and the equal ends
    /// count as replaced.
    pub is_exact: bool,
}

/// Applies the changes from `base` to `theirs` to `ours`, as `git merge-file` does.
pub fn merge(base: &str, ours: &str, theirs: &str, labels: &Labels, limit: usize) -> Result<Merge, TooManyLines> {
    if ours == theirs || base == theirs {
        return Ok(Merge::Clean(ours.to_owned()));
    }
    if base == ours {
        return Ok(Merge::Clean(theirs.to_owned()));
    }
    // Insertions count here, because insertions by both sides at the same place are compared.
    let lines = [ours, theirs].map(|side| Difference::new(base, side).cost_to_merge());
    within(lines[0].max(lines[1]), limit)?;
    let (named, coded) = Named::encode([base, ours, theirs]);
    // diff3 markers require regions that are not narrowed down; whether there are any is decided with narrowed ones.
    let (is_clean, merged) = merge_in_style(&coded, labels, false);
    if is_clean {
        return Ok(Merge::Clean(named.decode_merged(&merged)));
    }
    Ok(Merge::Conflicts(named.decode_merged(&merge_in_style(&coded, labels, true).1)))
}

fn merge_in_style(texts: &[String; 3], labels: &Labels, diff3: bool) -> (bool, String) {
    initialize();
    let [base, ours, theirs] = &texts.each_ref().map(|text| {
        let mut input = MergeFileInput::new();
        input.content(text.as_bytes());
        input
    });
    let mut options = MergeFileOptions::new();
    options.style_standard(!diff3).style_diff3(diff3);
    options.ancestor_label(labels.base).our_label(labels.ours).their_label(labels.theirs);
    let merged = git2::merge_file(base, ours, theirs, Some(&mut options)).expect("enough memory to merge");
    (merged.is_automergeable(), String::from_utf8_lossy(merged.content()).into_owned())
}

/// Lines shown around changes, if nothing else is asked for.
const CONTEXT: u32 = 3;

/// The changes that turn `old` into `new`, as shown by `git diff` and accepted by `git apply`; empty if they are equal.
/// A side that is `None` does not have the file.
pub fn unified_diff(old: Option<Side>, new: Option<Side>, limit: usize) -> Result<String, TooManyLines> {
    let [before, after] = [old, new].map(|side| side.map_or("", |side| side.content));
    Ok(with_header(old, new, &hunks(before, after, CONTEXT, limit)?.text))
}

/// The changes of a file, and their lines.
pub struct FileDiff {
    pub text: String,
    pub lines: LineCount,
}

/// The same with `context` lines around changes; texts that are too long to be compared differ in one hunk, from which
/// only equal lines at the beginning and the end are left out.
pub fn diff_or_replace(old: Option<Side>, new: Option<Side>, context: u32, limit: usize) -> FileDiff {
    let [before, after] = [old, new].map(|side| side.map_or("", |side| side.content));
    let hunks =
        hunks(before, after, context, limit).unwrap_or_else(|_| replacing_hunk(before, after, context as usize));
    FileDiff { text: with_header(old, new, &hunks.text), lines: hunks.lines }
}

/// Hunks under the header that names the file.
fn with_header(old: Option<Side>, new: Option<Side>, hunks: &str) -> String {
    let (Some(name_before), Some(name_after)) = (old.or(new), new.or(old)) else { return String::new() };
    let is_rename = name_before.path != name_after.path;
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
        // A name containing a space ends with a tab, or git would take what follows the space for a date.
        let line = |marks: &str, name: Option<String>| {
            let name = name.unwrap_or_else(|| "/dev/null".to_owned());
            let end = if name.contains(' ') { "\t" } else { "" };
            format!("{marks} {name}{end}\n")
        };
        diff.push_str(&line("---", old.map(|side| name("a/", side))));
        diff.push_str(&line("+++", new.map(|side| name("b/", side))));
        diff.push_str(hunks);
    }
    diff
}

/// The part of a diff that says what changes, and how many lines it adds and removes.
struct Hunks {
    text: String,
    lines: LineCount,
}

fn hunks(old: &str, new: &str, context: u32, limit: usize) -> Result<Hunks, TooManyLines> {
    if old == new {
        return Ok(Hunks { text: String::new(), lines: LineCount { added: 0, removed: 0, is_exact: true } });
    }
    within(Difference::new(old, new).cost(), limit)?;
    let (named, [old, new]) = Named::encode([old, new]);
    let mut patch = patch(&old, &new, context);
    let (_, added, removed) = patch.line_stats().expect("a patch has lines");
    let whole = patch.to_buf().expect("enough memory to compare");
    let whole = String::from_utf8_lossy(&whole);
    let before = whole.find("\n@@ ").expect("a patch has hunks");
    let lines = LineCount { added: added as i64, removed: removed as i64, is_exact: true };
    Ok(Hunks { text: named.decode_hunks(&whole[before + 1..]), lines })
}

/// One hunk that replaces everything between the equal beginnings and ends of two texts, which must differ.
fn replacing_hunk(old: &str, new: &str, context: usize) -> Hunks {
    let [removed, added] = differing(old, new);
    let start = removed.as_ptr() as usize - old.as_ptr() as usize;
    let end = start + removed.len();
    let above = lines(&old[..start]);
    let before: Vec<&str> = old[..start].split_inclusive('\n').skip(above.saturating_sub(context)).collect();
    let after: Vec<&str> = old[end..].split_inclusive('\n').take(context).collect();
    let counts = [removed, added].map(lines);
    let [old_range, new_range] = counts.map(|count| {
        let count = before.len() + count + after.len();
        // An empty range is named after the line above it.
        let first = above - before.len() + usize::from(count > 0);
        format!("{first},{count}")
    });
    let mut text = format!("@@ -{old_range} +{new_range} @@\n");
    let marked = [
        (' ', before),
        ('-', removed.split_inclusive('\n').collect()),
        ('+', added.split_inclusive('\n').collect()),
        (' ', after),
    ];
    for (mark, lines) in marked {
        for line in lines {
            text.push(mark);
            text.push_str(line);
            if !line.ends_with('\n') {
                text.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    let [removed, added] = counts.map(|count| count as i64);
    Hunks { text, lines: LineCount { added, removed, is_exact: false } }
}

/// The texts must differ.
fn patch<'a>(old: &'a str, new: &'a str, context: u32) -> Patch<'a> {
    initialize();
    let path = Some(Path::new("file"));
    let mut options = DiffOptions::new();
    options.force_text(true).context_lines(context);
    let patch = Patch::from_buffers(old.as_bytes(), path, new.as_bytes(), path, Some(&mut options));
    let patch = patch.expect("enough memory to compare");
    // libgit2 finds no difference if it runs out of memory.
    assert!(patch.num_hunks() > 0, "enough memory to compare");
    patch
}

/// Numbers of lines added and removed to turn `old` into `new`, as counted by `git diff --numstat`.
pub fn count_lines(old: &str, new: &str, limit: usize) -> LineCount {
    let difference = Difference::new(old, new);
    let [removed, added] = difference.lines.map(|lines| lines as i64);
    let replaced = |is_exact| LineCount { added, removed, is_exact };
    if added == 0 || removed == 0 {
        return replaced(true);
    }
    if within(difference.cost(), limit).is_err() {
        return replaced(false);
    }
    let (_, [old, new]) = Named::encode([old, new]);
    let (_, added, removed) = patch(&old, &new, 0).line_stats().expect("a patch has lines");
    LineCount { added: added as i64, removed: removed as i64, is_exact: true }
}

fn within(lines: usize, limit: usize) -> Result<(), TooManyLines> {
    if lines > limit { Err(TooManyLines { lines, limit }) } else { Ok(()) }
}

/// How many lines remain of two texts when their equal beginnings and ends are cut off.
struct Difference {
    lines: [usize; 2],
    /// Of the longer text, including what was cut off.
    all: usize,
}

impl Difference {
    fn new(old: &str, new: &str) -> Self {
        let (left, all) = (differing(old, new), lines(old).max(lines(new)));
        Difference { lines: left.map(lines), all }
    }

    /// The cost of a diff, in lines of [`DEFAULT_MAX_COMPARED_LINES`]. An insertion or deletion requires no search.
    fn cost(&self) -> usize {
        if self.lines.contains(&0) { self.all / LINES_PER_COMPARED } else { self.cost_to_merge() }
    }

    fn cost_to_merge(&self) -> usize {
        let compared = self.lines[0].max(self.lines[1]);
        compared + (self.all - compared) / LINES_PER_COMPARED
    }
}

fn lines(text: &str) -> usize {
    text.split_inclusive('\n').count()
}

/// Two texts without their equal beginnings and equal ends.
fn differing<'a>(old: &'a str, new: &'a str) -> [&'a str; 2] {
    if old == new {
        return [""; 2];
    }
    let equal = old.bytes().zip(new.bytes()).take_while(|(old, new)| old == new).count();
    let start = old.as_bytes()[..equal].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let texts = [&old[start..], &new[start..]];
    let [old, new] = texts;
    let equal = old.bytes().rev().zip(new.bytes().rev()).take_while(|(old, new)| old == new).count();
    let is_line_start = |text: &str| matches!(text.as_bytes()[..text.len() - equal].last(), None | Some(b'\n'));
    let end = if texts.into_iter().all(is_line_start) {
        equal
    } else {
        let tail = &old.as_bytes()[old.len() - equal..];
        tail.iter().position(|byte| *byte == b'\n').map_or(0, |end| equal - end - 1)
    };
    texts.map(|text| &text[..text.len() - end])
}

/// Lines by short names, which are passed to libgit2 instead. It looks up lines in a hash table with a hash function
/// that is easy to collide and a size estimated from the first lines, which takes minutes for an unfortunate text.
/// Names are equal if and only if the lines are, and a comparison needs nothing else.
struct Named<'a>(Vec<&'a str>);

/// Begins the name of a line that may be a hunk heading: libgit2 looks for a letter.
const HEADING: char = 'h';
/// Begins all other names. Conflict markers begin with neither.
const PLAIN: char = '.';

impl<'a> Named<'a> {
    /// The texts with names instead of lines. Line ends are preserved, because merging examines them.
    fn encode<const N: usize>(texts: [&'a str; N]) -> (Self, [String; N]) {
        let (mut numbers, mut lines) = (HashMap::new(), Vec::new());
        let coded = texts.map(|text| {
            let mut coded = String::new();
            for line in text.split_inclusive('\n') {
                let (line, end) = split_end(line);
                let number = *numbers.entry(line).or_insert_with(|| {
                    lines.push(line);
                    lines.len() - 1
                });
                let is_heading = line.starts_with(|first: char| first.is_ascii_alphabetic() || "_$".contains(first));
                let kind = if is_heading { HEADING } else { PLAIN };
                let _ = write!(coded, "{kind}{number:x}{end}");
            }
            coded
        });
        (Named(lines), coded)
    }

    /// The line with a given name; a conflict marker is not a name and is returned unchanged.
    fn line<'n>(&self, name: &'n str) -> &'n str
    where
        'a: 'n,
    {
        let number = name.strip_prefix([HEADING, PLAIN]).and_then(|number| usize::from_str_radix(number, 16).ok());
        number.and_then(|number| self.0.get(number).copied()).unwrap_or(name)
    }

    fn decode_merged(&self, coded: &str) -> String {
        let mut text = String::new();
        for line in coded.split_inclusive('\n') {
            let (name, end) = split_end(line);
            text.push_str(self.line(name));
            text.push_str(end);
        }
        text
    }

    fn decode_hunks(&self, coded: &str) -> String {
        let mut text = String::new();
        for line in coded.split_inclusive('\n') {
            let (name, end) = split_end(line);
            if let Some((numbers, name)) = name.strip_prefix("@@ ").and_then(|header| header.split_once(" @@ ")) {
                text.push_str(&format!("@@ {numbers} @@ {}", heading(self.line(name))));
            } else {
                let (mark, name) = name.split_at_checked(1).unwrap_or((name, ""));
                text.push_str(mark);
                text.push_str(self.line(name));
            }
            text.push_str(end);
        }
        text
    }
}

/// A line without its line end, and its line end.
fn split_end(line: &str) -> (&str, &str) {
    let content = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    line.split_at(content.len())
}

/// The part of a line that git uses as a hunk heading.
fn heading(line: &str) -> &str {
    line[..line.floor_char_boundary(80)].trim_end_matches([' ', '\t', '\r'])
}

/// libgit2 must be initialized before its first use, which `merge_file` alone does not ensure.
fn initialize() {
    let _ = Oid::from_str("");
}

#[cfg(test)]
mod tests;
