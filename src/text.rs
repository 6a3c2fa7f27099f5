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
        match merge(base, ours, theirs, &LABELS) {
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
        let text = prop_oneof![Just(""), Just("}"), Just("  return x;"), Just("été 😀"), Just("a"), Just("b")];
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

    /// Versions of this repository's own files: the change before one and the change after it, on top of each other.
    #[test]
    fn real_edits_merge_as_in_git() {
        let folder = Folder::new("history");
        let here = |args: &[&str]| {
            let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
            String::from_utf8(output.expect("git is installed").stdout).expect("our sources are text")
        };
        let mut merged = 0;
        for file in
            ["src/file/change.rs", "src/file/store.rs", "src/error.rs", "sql/files.sql", "README.md", "tests/run"]
        {
            let commits = here(&["log", "--format=%h", "-n", "40", "--", file]);
            let versions: Vec<String> =
                commits.lines().map(|commit| here(&["show", &format!("{commit}:{file}")])).collect();
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
        let diff = unified_diff(old, new);
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

    #[test]
    fn equal_files_have_no_diff() {
        let side = Some(Side { path: "a", content: "x" });
        assert_eq!(unified_diff(side, side), "");
        assert_eq!(unified_diff(None, None), "");
    }

    #[test]
    fn lines_are_counted() {
        assert_eq!(count_lines("a\nb\nc\n", "a\nB\nc\nd"), (2, 1));
        assert_eq!(count_lines("", "-x\n+y\n"), (2, 0));
        assert_eq!(count_lines("--- a\n+++ b\n", ""), (0, 2));
        assert_eq!(count_lines("a", "a\n"), (1, 1));
    }
}
