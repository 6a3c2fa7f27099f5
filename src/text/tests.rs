use std::cell::Cell;
use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

const LABELS: Labels = Labels { base: "base", ours: "ours", theirs: "theirs" };

/// A folder for git to work in; dropping it deletes the folder.
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
            // libgit2 omits the label of an empty file.
            if ![base, ours, theirs].contains(&"") {
                assert_eq!(text.as_bytes(), merge_file(&["--diff3"]).1, "{base:?} {ours:?} {theirs:?}");
            }
        }
    }
    is_clean
}

fn line() -> impl Strategy<Value = String> {
    // Some look like what libgit2 writes and receives.
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

/// Applies edits to lines; some edits omit the last line end.
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

/// For the files of this repository that change most, merges the versions before and after each version, with that
/// version as the base.
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
        // A file does not exist in the commit that removes it.
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
    applies_as(folder, old, new, &unified_diff(old, new, usize::MAX).expect("no limit"));
    for context in [1, 3, 20] {
        applies_as(folder, old, new, &diff_or_replace(old, new, context, 0).text);
        applies_as(folder, old, new, &diff_or_replace(old, new, context, usize::MAX).text);
    }
}

fn applies_as(folder: &Folder, old: Option<Side>, new: Option<Side>, diff: &str) {
    let tree = folder.0.join("tree");
    let _ = std::fs::remove_dir_all(&tree);
    std::fs::create_dir_all(&tree).expect("a folder can be made");
    if let Some(old) = old {
        folder.write(&format!("tree/{}", old.path), old.content);
    }
    if !diff.is_empty() {
        folder.write("diff", diff);
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
            let [before, after] = [(&Edits::new(), cut[0]), (&changes, cut[1])].map(|(e, cut)| edited(&lines, e, cut));
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

/// The hunks of `git diff`, and its counts of added and removed lines.
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

/// Lines that are equal in all texts before and after the difference, many of them equal to lines inside it.
#[test]
fn long_equal_ends_change_no_result() {
    let folder = Folder::new("ends");
    let many = || (prop::collection::vec(line(), 1..6), 0..700_usize);
    TestRunner::new(Config::with_cases(150))
        .run(&(file(), edits(), edits(), many(), many()), |(lines, ours, theirs, before, after)| {
            let [before, after] = [before, after].map(|(lines, times)| lines.concat().repeat(times));
            let [base, ours, theirs] =
                [&Edits::new(), &ours, &theirs].map(|edits| format!("{before}{}{after}", edited(&lines, edits, false)));
            merges_as_git_does(&folder, &base, &ours, &theirs);
            let (hunks_of_git, count) = diff_of_git(&folder, &ours, &theirs);
            prop_assert_eq!(hunks(&ours, &theirs, 3, usize::MAX).map(|hunks| hunks.text), Ok(hunks_of_git));
            let LineCount { added, removed, is_exact } = count_lines(&ours, &theirs, usize::MAX);
            prop_assert_eq!(((added, removed), is_exact), (count, true));
            Ok(())
        })
        .expect("all of them");
}

#[test]
fn hunks_have_headings() {
    let folder = Folder::new("headings");
    for heading in ["fn main() {", "_x \t", "$\x0b", "Ä", "1", " x", &"long ".repeat(30)] {
        let lines = |middle: &str| format!("{heading}\n1\n2\n3\n4\n{middle}\n5\n");
        let (old, new) = (lines("-"), lines("+"));
        let hunks = hunks(&old, &new, 3, usize::MAX).map(|hunks| hunks.text);
        assert_eq!(hunks, Ok(diff_of_git(&folder, &old, &new).0));
    }
}

#[test]
fn a_replacing_hunk_has_equal_lines_around_it() {
    let diff = |old: &str, new: &str, context| replacing_hunk(old, new, context).text;
    assert_eq!(diff("1\n2\n3\na\nb\n4\n5", "1\n2\n3\nB\n4\n5", 1), "@@ -3,4 +3,3 @@\n 3\n-a\n-b\n+B\n 4\n");
    assert_eq!(diff("", "a", 3), "@@ -0,0 +1,1 @@\n+a\n\\ No newline at end of file\n");
    assert_eq!(diff("1\n2\n", "1\nx\n2\n", 0), "@@ -1,0 +2,1 @@\n+x\n");
    let tail = "@@ -2,1 +2,1 @@\n-2\n\\ No newline at end of file\n+2\n";
    assert_eq!(diff("1\n2", "1\n2\n", 0), tail);
    let LineCount { added, removed, is_exact } = replacing_hunk("a\nb\n", "c\n", 3).lines;
    assert_eq!((added, removed, is_exact), (1, 2, false));
}

fn numbers(range: std::ops::Range<usize>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

#[test]
fn only_lines_between_equal_ends_count() {
    let [base, ours, theirs] =
        ["a\nb\n", "b\na\nc\n", "A\nB\n"].map(|middle| numbers(0..50) + middle + &numbers(50..97));
    let [old, new] = [&base, &ours].map(|content| Some(Side { path: "x", content }));
    // Three lines, and one twentieth of 97.
    let refused = || TooManyLines { lines: 7, limit: 6 };
    assert_eq!(unified_diff(old, new, 6), Err(refused()));
    assert!(unified_diff(old, new, 7).is_ok());
    assert_eq!(merge(&base, &ours, &theirs, &LABELS, 6), Err(refused()));
    assert_eq!(merge(&base, &theirs, &ours, &LABELS, 6), Err(refused()));
    assert!(merge(&base, &ours, &theirs, &LABELS, 7).is_ok());
    assert_eq!(count_lines(&base, &ours, 6), LineCount { added: 3, removed: 2, is_exact: false });
    assert_eq!(count_lines(&base, &ours, 7), LineCount { added: 2, removed: 1, is_exact: true });
}

#[test]
fn insertions_and_deletions_are_not_searched() {
    let (old, new) = (numbers(0..100), numbers(0..60) + &numbers(0..1000) + &numbers(60..100));
    assert_eq!(count_lines(&old, &new, 0), LineCount { added: 1000, removed: 0, is_exact: true });
    assert_eq!(count_lines(&new, &old, 0), LineCount { added: 0, removed: 1000, is_exact: true });
    let [short, long] = [&old, &new].map(|content| Some(Side { path: "x", content }));
    for (old, new) in [(short, long), (long, short), (None, long), (long, None)] {
        assert!(unified_diff(old, new, 55).is_ok());
        assert_eq!(unified_diff(old, new, 54), Err(TooManyLines { lines: 55, limit: 54 }));
    }
    // Two insertions at the same place are a conflict, and are compared with each other.
    let other = numbers(0..60) + &numbers(1000..1100) + &numbers(60..100);
    assert_eq!(merge(&old, &new, &other, &LABELS, 1004), Err(TooManyLines { lines: 1005, limit: 1004 }));
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
