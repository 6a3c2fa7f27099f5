//! Comparing and merging texts line by line, with git's own code (libgit2). Knows nothing of Postgres.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use git2::{DiffOptions, MergeFileInput, MergeFileOptions, Oid, Patch};

/// Lines that may be compared: those of the longer text that are left when equal beginnings and ends are cut off, and
/// a tenth of all its others. The worst texts found take about a second to merge at this limit, 14 to 20 µs a line that
/// is left (more where there are more of them) and up to 1.8 µs any other; a diff takes a quarter of that. Memory: up to
/// 470 bytes a line of the longest text.
pub const DEFAULT_MAX_COMPARED_LINES: i32 = 50_000;

/// Lines that need no search (in equal beginnings and ends, or in an insertion) and cost what one compared line does.
const LINES_PER_COMPARED: usize = 10;

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

/// The texts are too long to be compared by libgit2, which cannot be cancelled.
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyLines {
    /// Counted as [`DEFAULT_MAX_COMPARED_LINES`] says.
    pub lines: usize,
    pub limit: usize,
}

/// Lines added and removed to make one text of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineCount {
    pub added: i64,
    pub removed: i64,
    /// False where the texts were too long to be compared: then all lines between the equal beginnings and the equal
    /// ends count as replaced.
    pub is_exact: bool,
}

/// Brings the changes from `base` to `theirs` into `ours`, as `git merge-file` does.
pub fn merge(base: &str, ours: &str, theirs: &str, labels: &Labels, limit: usize) -> Result<Merge, TooManyLines> {
    if ours == theirs || base == theirs {
        return Ok(Merge::Clean(ours.to_owned()));
    }
    if base == ours {
        return Ok(Merge::Clean(theirs.to_owned()));
    }
    // Insertions count here: what both sides insert at one place is compared.
    let lines = [ours, theirs].map(|side| Difference::new(base, side).cost_to_merge());
    within(lines[0].max(lines[1]), limit)?;
    let (named, coded) = Named::encode([base, ours, theirs]);
    // diff3's markers need regions that are not narrowed down; whether there are any is decided with narrowed ones.
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

/// What makes `new` of `old`, as `git diff` shows it and `git apply` takes it; nothing where they are equal. A side
/// that is `None` has no such file.
pub fn unified_diff(old: Option<Side>, new: Option<Side>, limit: usize) -> Result<String, TooManyLines> {
    let (Some(name_before), Some(name_after)) = (old.or(new), new.or(old)) else { return Ok(String::new()) };
    let is_rename = name_before.path != name_after.path;
    let hunks = hunks(old.map_or("", |side| side.content), new.map_or("", |side| side.content), limit)?;
    if old.is_some() && new.is_some() && !is_rename && hunks.is_empty() {
        return Ok(String::new());
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
    Ok(diff)
}

/// A path as diffs have it: in quotes where it holds one. Backslashes and control characters are in no path.
fn quoted(path: &str) -> String {
    if path.contains('"') { format!("\"{}\"", path.replace('"', "\\\"")) } else { path.to_owned() }
}

fn hunks(old: &str, new: &str, limit: usize) -> Result<String, TooManyLines> {
    if old == new {
        return Ok(String::new());
    }
    within(Difference::new(old, new).cost(), limit)?;
    let (named, [old, new]) = Named::encode([old, new]);
    let whole = patch(&old, &new, 3).to_buf().expect("enough memory to compare");
    let whole = String::from_utf8_lossy(&whole);
    let before = whole.find("\n@@ ").expect("a patch has hunks");
    Ok(named.decode_hunks(&whole[before + 1..]))
}

/// Of texts that differ.
fn patch<'a>(old: &'a str, new: &'a str, context: u32) -> Patch<'a> {
    initialize();
    let path = Some(Path::new("file"));
    let mut options = DiffOptions::new();
    options.force_text(true).context_lines(context);
    let patch = Patch::from_buffers(old.as_bytes(), path, new.as_bytes(), path, Some(&mut options));
    let patch = patch.expect("enough memory to compare");
    // libgit2 finds no difference where it runs out of memory.
    assert!(patch.num_hunks() > 0, "enough memory to compare");
    patch
}

/// Lines added and removed to make `new` of `old`, as `git diff --numstat` counts them.
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

/// How many lines are left of two texts when their equal beginnings and ends are cut off.
struct Difference {
    lines: [usize; 2],
    /// Of the longer text, with what was cut off.
    all: usize,
}

impl Difference {
    fn new(old: &str, new: &str) -> Self {
        let (left, all) = (differing(old, new), lines(old).max(lines(new)));
        Difference { lines: left.map(lines), all }
    }

    /// What a diff costs, in lines of [`DEFAULT_MAX_COMPARED_LINES`]. Nothing is searched for an insertion or deletion.
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

/// Two texts without the lines that are equal at their beginnings and at their ends.
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

/// Lines by their names, which libgit2 gets in their place. It looks lines up in a table by a hash that is easy to
/// collide, of a size guessed by the first lines, which takes minutes for the wrong text. Names are equal where lines
/// are, and that is all a comparison asks for.
struct Named<'a>(Vec<&'a str>);

/// Begins the name of a line that may head hunks, as libgit2 chooses them.
const HEADING: char = 'h';
/// Begins all other names. Conflict markers begin with neither.
const PLAIN: char = '.';

impl<'a> Named<'a> {
    /// The texts, with names for lines. Line ends stay: merging looks at them.
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

    /// The line of a name; a conflict marker is none.
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

/// A line without its end, and its end.
fn split_end(line: &str) -> (&str, &str) {
    let content = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    line.split_at(content.len())
}

/// As much of a line as libgit2 heads a hunk with.
fn heading(line: &str) -> &str {
    let line = line.trim_end_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    &line[..line.floor_char_boundary(80)]
}

/// libgit2 must be initialized before its first use; `merge_file` alone does not see to it.
fn initialize() {
    let _ = Oid::from_str("");
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::PathBuf;
    use std::process::Command;

    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use super::*;

    const LABELS: Labels = Labels { base: "base", ours: "ours", theirs: "theirs" };

    /// A folder for git to work in, removed with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pg_versioned-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder can be made");
            Folder(path)
        }

        /// Standard output of git, and whether it succeeded.
        fn git(&self, args: &[&str]) -> (bool, Vec<u8>) {
            let output = Command::new("git").args(args).current_dir(&self.0).output().expect("git is installed");
            (output.status.success(), output.stdout)
        }

        fn write(&self, file: &str, content: &str) {
            let path = self.0.join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
            std::fs::write(path, content).expect("a file can be written");
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn merges_as_git_does(folder: &Folder, base: &str, ours: &str, theirs: &str) -> bool {
        for (file, content) in [("base", base), ("ours", ours), ("theirs", theirs)] {
            folder.write(file, content);
        }
        let merge_file = |options: &[&str]| {
            let labels = ["-L", "ours", "-L", "base", "-L", "theirs", "ours", "base", "theirs"];
            folder.git(&[&["merge-file", "-p", "-q"], options, &labels].concat())
        };
        let (is_clean, merged) = merge_file(&[]);
        match merge(base, ours, theirs, &LABELS, usize::MAX).expect("no limit") {
            Merge::Clean(text) => assert!(is_clean && text.as_bytes() == merged, "{base:?} {ours:?} {theirs:?}"),
            Merge::Conflicts(text) => {
                assert!(!is_clean, "{base:?} {ours:?} {theirs:?}");
                // libgit2 leaves out the label of a file that is empty.
                if ![base, ours, theirs].contains(&"") {
                    assert_eq!(text.as_bytes(), merge_file(&["--diff3"]).1, "{base:?} {ours:?} {theirs:?}");
                }
            }
        }
        is_clean
    }

    fn line() -> impl Strategy<Value = String> {
        // Some look like what libgit2 writes and gets.
        const TEXTS: &[&str] =
            &["", "}", "  return x;", "été 😀", "a", "b", "=======", "<<<<<<< ours", "@@ -1 +1 @@ h", "h", ".", "\r"];
        let text = prop::sample::select(TEXTS);
        let end = prop_oneof![9 => Just("\n"), 1 => Just("\r\n")];
        (text, 0..40_u32, end)
            .prop_map(|(text, n, end)| if n < 25 { format!("{text}{n}{end}") } else { format!("{text}{end}") })
    }

    type Edits = Vec<(u32, u8, Vec<String>)>;

    fn edits() -> impl Strategy<Value = Edits> {
        prop::collection::vec((any::<u32>(), 0..4_u8, prop::collection::vec(line(), 0..3)), 0..4)
    }

    /// Applies edits to lines; leaves out the last line end of some.
    fn edited(lines: &[String], edits: &Edits, cut: bool) -> String {
        let mut lines = lines.to_vec();
        for (at, removed, inserted) in edits {
            let at = *at as usize % (lines.len() + 1);
            let end = (at + *removed as usize).min(lines.len());
            lines.splice(at..end, inserted.iter().cloned());
        }
        let mut text = lines.concat();
        if cut {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        text
    }

    fn file() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(line(), 0..40)
    }

    #[test]
    fn generated_edits_merge_as_in_git() {
        let folder = Folder::new("merge");
        let count = [Cell::new(0), Cell::new(0)];
        let cases = (file(), edits(), edits(), prop::array::uniform3(prop::bool::weighted(0.1)));
        TestRunner::new(Config::with_cases(600))
            .run(&cases, |(lines, ours, theirs, cut)| {
                let sides = [Edits::new(), ours, theirs];
                let [base, ours, theirs] = [0, 1, 2].map(|side| edited(&lines, &sides[side], cut[side]));
                let is_clean = merges_as_git_does(&folder, &base, &ours, &theirs);
                count[usize::from(is_clean)].update(|n| n + 1);
                Ok(())
            })
            .expect("all of them");
        assert!(count[1].get() > 100 && count[0].get() > 50, "conflicts and clean ones: {count:?}");
    }

    /// Versions of the files of this repository that change most: the change before one and the change after it, on top
    /// of each other.
    #[test]
    fn real_edits_merge_as_in_git() {
        let folder = Folder::new("history");
        let here = |args: &[&str]| {
            let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
            let output = output.expect("git is installed");
            if output.status.success() { String::from_utf8(output.stdout).ok() } else { None }
        };
        let mut merged = 0;
        let log = here(&["log", "--format=", "--name-only", "-n", "300"]).unwrap_or_default();
        let mut changes = HashMap::<&str, i32>::new();
        for file in log.lines().filter(|file| !file.is_empty()) {
            *changes.entry(file).or_default() += 1;
        }
        let mut files: Vec<_> = changes.into_iter().collect();
        files.sort_unstable_by_key(|(file, count)| (-count, *file));
        for (file, _) in files.into_iter().take(8) {
            let commits = here(&["log", "--format=%h", "-n", "40", "--", file]).unwrap_or_default();
            // A file is not in the commit that removes it.
            let versions: Vec<String> =
                commits.lines().filter_map(|commit| here(&["show", &format!("{commit}:{file}")])).collect();
            for three in versions.windows(3) {
                merges_as_git_does(&folder, &three[1], &three[0], &three[2]);
                merged += 1;
            }
        }
        println!("{merged} merges");
    }

    fn applies(folder: &Folder, old: Option<Side>, new: Option<Side>) {
        let tree = folder.0.join("tree");
        let _ = std::fs::remove_dir_all(&tree);
        std::fs::create_dir_all(&tree).expect("a folder can be made");
        if let Some(old) = old {
            folder.write(&format!("tree/{}", old.path), old.content);
        }
        let diff = unified_diff(old, new, usize::MAX).expect("no limit");
        if !diff.is_empty() {
            folder.write("diff", &diff);
            let output = Command::new("git")
                .args(["apply", "--whitespace=nowarn", "../diff"])
                .current_dir(&tree)
                .env("GIT_CEILING_DIRECTORIES", &folder.0)
                .output()
                .expect("git is installed");
            assert!(output.status.success(), "{}\n{diff}", String::from_utf8_lossy(&output.stderr));
        }
        match new {
            Some(new) => {
                assert_eq!(std::fs::read_to_string(tree.join(new.path)).ok().as_deref(), Some(new.content), "{diff}")
            }
            None => assert!(old.is_none_or(|old| !tree.join(old.path).exists()), "{diff}"),
        }
        if let (Some(old), Some(new)) = (old, new) {
            assert!(old.path == new.path || !tree.join(old.path).exists(), "{diff}");
        }
    }

    #[test]
    fn diffs_apply_with_git() {
        let folder = Folder::new("apply");
        const PATHS: &[&str] = &["a.txt", "b c.txt", "d \"e\".txt", "ü/ß.txt", "x/y/z", "-dash", "a b/c d"];
        let path = || prop::sample::select(PATHS);
        let cases = (file(), edits(), prop::array::uniform2(prop::bool::weighted(0.2)), path(), path(), 0..8_u8);
        TestRunner::new(Config::with_cases(500))
            .run(&cases, |(lines, changes, cut, from, to, kind)| {
                let [before, after] =
                    [(&Edits::new(), cut[0]), (&changes, cut[1])].map(|(e, cut)| edited(&lines, e, cut));
                let old = Side { path: from, content: &before };
                let new = Side { path: if kind == 2 { to } else { from }, content: &after };
                match kind {
                    0 => applies(&folder, None, Some(new)),
                    1 => applies(&folder, Some(old), None),
                    _ => applies(&folder, Some(old), Some(new)),
                }
                Ok(())
            })
            .expect("all of them");
        for content in ["", "x", "x\n", "x\r\n", "\n"] {
            let side = Some(Side { path: "a b", content });
            applies(&folder, None, side);
            applies(&folder, side, None);
            applies(&folder, side, Some(Side { path: "c", content }));
        }
    }

    /// The hunks of `git diff`, and its count of added and removed lines.
    fn diff_of_git(folder: &Folder, old: &str, new: &str) -> (String, (i64, i64)) {
        folder.write("old", old);
        folder.write("new", new);
        let diff = |options: &[&str]| {
            let fixed = ["diff", "--no-index", "--no-color", "--no-ext-diff", "--text", "--diff-algorithm=myers"];
            let output = folder.git(&[&fixed, options, &["--no-indent-heuristic", "old", "new"]].concat()).1;
            String::from_utf8(output).expect("no line is cut")
        };
        let patch = diff(&["-U3"]);
        let numbers = diff(&["--numstat"]);
        let count: Vec<i64> = numbers.split_whitespace().map_while(|number| number.parse().ok()).collect();
        let hunks = patch.find("\n@@ ").map_or("", |at| &patch[at + 1..]);
        (hunks.to_owned(), count.first().copied().zip(count.get(1).copied()).unwrap_or_default())
    }

    #[test]
    fn equal_files_have_no_diff() {
        let side = Some(Side { path: "a", content: "x" });
        assert_eq!(unified_diff(side, side, 0), Ok(String::new()));
        assert_eq!(unified_diff(None, None, 0), Ok(String::new()));
    }

    /// Lines that are equal in all texts before and after what differs, many of them equal to lines in it.
    #[test]
    fn long_equal_ends_change_no_result() {
        let folder = Folder::new("ends");
        let many = || (prop::collection::vec(line(), 1..6), 0..700_usize);
        TestRunner::new(Config::with_cases(150))
            .run(&(file(), edits(), edits(), many(), many()), |(lines, ours, theirs, before, after)| {
                let [before, after] = [before, after].map(|(lines, times)| lines.concat().repeat(times));
                let [base, ours, theirs] = [&Edits::new(), &ours, &theirs]
                    .map(|edits| format!("{before}{}{after}", edited(&lines, edits, false)));
                merges_as_git_does(&folder, &base, &ours, &theirs);
                let (hunks_of_git, count) = diff_of_git(&folder, &ours, &theirs);
                prop_assert_eq!(hunks(&ours, &theirs, usize::MAX), Ok(hunks_of_git));
                let LineCount { added, removed, is_exact } = count_lines(&ours, &theirs, usize::MAX);
                prop_assert_eq!(((added, removed), is_exact), (count, true));
                Ok(())
            })
            .expect("all of them");
    }

    /// libgit2 takes the heading from the last line before a hunk that begins with a letter.
    #[test]
    fn hunks_have_headings() {
        let folder = Folder::new("headings");
        for heading in ["fn main() {", "_x \t", "$", "1", " x", &"long ".repeat(30)] {
            let lines = |middle: &str| format!("{heading}\n1\n2\n3\n4\n{middle}\n5\n");
            let (old, new) = (lines("-"), lines("+"));
            assert_eq!(hunks(&old, &new, usize::MAX), Ok(diff_of_git(&folder, &old, &new).0));
        }
    }

    fn numbers(range: std::ops::Range<usize>) -> String {
        range.map(|number| format!("{number}\n")).collect()
    }

    #[test]
    fn only_lines_between_equal_ends_count() {
        let [base, ours, theirs] =
            ["a\nb\n", "b\na\nc\n", "A\nB\n"].map(|middle| numbers(0..50) + middle + &numbers(50..97));
        let [old, new] = [&base, &ours].map(|content| Some(Side { path: "x", content }));
        // Three lines, and a tenth of 97.
        let refused = || TooManyLines { lines: 12, limit: 11 };
        assert_eq!(unified_diff(old, new, 11), Err(refused()));
        assert!(unified_diff(old, new, 12).is_ok());
        assert_eq!(merge(&base, &ours, &theirs, &LABELS, 11), Err(refused()));
        assert_eq!(merge(&base, &theirs, &ours, &LABELS, 11), Err(refused()));
        assert!(merge(&base, &ours, &theirs, &LABELS, 12).is_ok());
        assert_eq!(count_lines(&base, &ours, 11), LineCount { added: 3, removed: 2, is_exact: false });
        assert_eq!(count_lines(&base, &ours, 12), LineCount { added: 2, removed: 1, is_exact: true });
    }

    #[test]
    fn insertions_and_deletions_are_not_searched() {
        let (old, new) = (numbers(0..100), numbers(0..60) + &numbers(0..1000) + &numbers(60..100));
        assert_eq!(count_lines(&old, &new, 0), LineCount { added: 1000, removed: 0, is_exact: true });
        assert_eq!(count_lines(&new, &old, 0), LineCount { added: 0, removed: 1000, is_exact: true });
        let [short, long] = [&old, &new].map(|content| Some(Side { path: "x", content }));
        for (old, new) in [(short, long), (long, short), (None, long), (long, None)] {
            assert!(unified_diff(old, new, 110).is_ok());
            assert_eq!(unified_diff(old, new, 109), Err(TooManyLines { lines: 110, limit: 109 }));
        }
        // Two of them at one place are a conflict, in which they are compared.
        let other = numbers(0..60) + &numbers(1000..1100) + &numbers(60..100);
        assert_eq!(merge(&old, &new, &other, &LABELS, 1009), Err(TooManyLines { lines: 1010, limit: 1009 }));
    }

    #[test]
    fn what_needs_no_comparison_has_no_limit() {
        let (a, b) = ("a\nb\n", "c\nd\n");
        for (base, ours, theirs, merged) in [(a, a, b, b), (a, b, a, b), (a, b, b, b), (a, a, a, a)] {
            assert_eq!(merge(base, ours, theirs, &LABELS, 0), Ok(Merge::Clean(merged.to_owned())));
        }
        assert_eq!(count_lines(a, a, 0), LineCount { added: 0, removed: 0, is_exact: true });
    }

    #[test]
    fn ends_are_cut_at_lines() {
        assert_eq!(differing("a\nb\nc", "a\nB\nc"), ["b\n", "B\n"]);
        assert_eq!(differing("xa\nb", "ya\nb"), ["xa\n", "ya\n"]);
        assert_eq!(differing("a", "a\n"), ["a", "a\n"]);
        assert_eq!(differing("a\na\n", "a\n"), ["a\n", ""]);
        assert_eq!(differing("a\n", "a\nb"), ["", "b"]);
        assert_eq!(differing("ä\n", "ö\n"), ["ä\n", "ö\n"]);
        assert_eq!(differing("ab\nc\n", "b\nc\n"), ["ab\n", "b\n"]);
        assert_eq!(differing("b\nc\n", "a\nb\nc\n"), ["", "a\n"]);
    }

    #[test]
    fn lines_are_counted() {
        let count = |old, new| {
            let LineCount { added, removed, is_exact } = count_lines(old, new, usize::MAX);
            assert!(is_exact);
            (added, removed)
        };
        assert_eq!(count("a\nb\nc\n", "a\nB\nc\nd"), (2, 1));
        assert_eq!(count("", "-x\n+y\n"), (2, 0));
        assert_eq!(count("--- a\n+++ b\n", ""), (0, 2));
        assert_eq!(count("a", "a\n"), (1, 1));
    }

    proptest! {
        #[test]
        fn counts_agree_with_lengths(old in "[ab\r\n]{0,40}", new in "[ab\r\n]{0,40}", limit in 0..20_usize) {
            let LineCount { added, removed, is_exact } = count_lines(&old, &new, limit);
            let exact = count_lines(&old, &new, usize::MAX);
            prop_assert_eq!(lines(&old) as i64 - removed + added, lines(&new) as i64);
            prop_assert!(added >= exact.added && removed >= exact.removed);
            prop_assert!(!is_exact || added == exact.added);
        }
    }
}
