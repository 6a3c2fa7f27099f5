//! What is done to a project.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::files::Files;

/// In the order in which the database sorts them; none is a folder of another.
pub const PATHS: [&str; 6] = ["a", "b c.txt", "d/e", "d/f \"g\"", "x/y/z", "ü.md"];
pub const KINDS: [&str; 2] = ["text", "json"];

/// Short texts with all kinds of line ends and of what looks like a patch, and long ones that differ in a few lines.
pub static CONTENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    const SHORT: [&str; 12] = [
        "",
        "one\n",
        "one\ntwo\nthree\n",
        "one\n2\nthree\n",
        "one\r\n2\r\nthree",
        "one\n2\nthree",
        "no line end",
        "\n",
        "\n\n\r\n",
        "--- a\n+++ b\n@@ -1 +1 @@\n",
        "-- \n++ \n@@ -1 +1 @@\nGIT binary patch",
        "été 😀\n\\ No newline at end of file\n",
    ];
    let long = |changed: &[usize]| -> String {
        let line = |n| if changed.contains(&n) { format!("changed {n}\n") } else { format!("line {}\n", n % 17) };
        (0..120).map(line).collect()
    };
    let long = [long(&[]), long(&[0]), long(&[50, 51, 60]), long(&[0, 119]), long(&[]).trim_end().to_owned()];
    SHORT.iter().map(|text| (*text).to_owned()).chain(long).collect()
});

pub const OWNER: usize = 0;
pub const EDITOR: usize = 1;
pub const VIEWER: usize = 3;
pub const STRANGER: usize = 4;
pub const ACTORS: usize = 5;
/// The roles that actors are given; the owner has theirs, the stranger has none.
pub const ROLES: [(usize, &str); 3] = [(EDITOR, "editor"), (2, "editor"), (VIEWER, "viewer")];

/// What a change of a file expects.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    Anything,
    /// The number that the newest version at the path has.
    Current,
    Number(i32),
}

/// A version or a build, counted from the newest one and round again; from `MISSING` on, one that the project does not have.
pub type Pick = usize;
pub const MISSING: Pick = 100;

/// Before an operation is resolved, from `LIVE` on: one of the live files' paths, or of the free ones.
const LIVE: usize = PATHS.len();
const FREE: usize = 2 * LIVE;

/// Keys of `p_result` and `p_metadata`: not given, null or a value.
#[derive(Clone, Debug)]
pub struct Facts {
    pub change: Option<Option<&'static str>>,
    pub prerelease: Option<Option<&'static str>>,
    pub name: Option<Option<&'static str>>,
    pub preview: Option<Option<&'static str>>,
    pub comment: Option<Option<&'static str>>,
    pub needs_rebuild: Option<Option<bool>>,
}

#[derive(Clone, Debug)]
pub struct Element {
    pub path: usize,
    /// `None` deletes.
    pub body: Option<(usize, usize)>,
    pub expected: Expected,
}

#[derive(Clone, Debug)]
pub enum Op {
    Save {
        path: usize,
        content: usize,
        kind: usize,
        expected: Expected,
    },
    Delete {
        path: usize,
        expected: Expected,
    },
    Move {
        from: usize,
        to: usize,
        expected: Expected,
    },
    /// Three moves, by which two live files take each other's paths.
    Swap(usize, usize),
    Revert {
        path: usize,
        to: i32,
        expected: Expected,
    },
    Batch(Vec<Element>),
    Read {
        path: usize,
        version: Option<i32>,
    },
    List,
    Start {
        supersede: bool,
    },
    Cut(Pick),
    Succeed(Pick, Facts),
    Fail(Pick),
    BuildFiles(Pick),
    Describe(Pick, Facts),
    Publish(Pick, Option<&'static str>),
    Unpublish(Pick),
    Remove(Pick),
    BringBack(Pick),
    /// Deletes a version, and prunes what then nothing needs.
    Discard(Pick),
    Restore {
        version: Pick,
        dry_run: bool,
    },
    Prune {
        path: Option<usize>,
        keep_last: Option<i32>,
        newer_than: Option<&'static str>,
        dry_run: bool,
    },
    VersionFiles(Pick),
    Diff {
        from: Pick,
        to: Option<Pick>,
        context: i32,
    },
    /// Makes the project one that an earlier release left behind: no snapshot so far is listed.
    Age,
    /// Compares everything that can be read with the model.
    Compare,
}

impl Op {
    /// Its name, for statistics.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
    }

    /// What it then means: calls with paths, none of them twice in a batch.
    pub fn resolved(mut self, files: &Files) -> Vec<Op> {
        let live: BTreeSet<usize> = files.live(&files.now()).values().map(|file| file.path).collect();
        let free: Vec<usize> = (0..PATHS.len()).filter(|path| !live.contains(path)).collect();
        let live: Vec<usize> = live.into_iter().collect();
        let resolve = |path: &mut usize| {
            let choice = if *path >= FREE { &free } else { &live };
            let n = *path % LIVE;
            *path = if *path < LIVE || choice.is_empty() { n } else { choice[n % choice.len()] };
        };
        match &mut self {
            Op::Save { path, .. } | Op::Delete { path, .. } | Op::Revert { path, .. } | Op::Read { path, .. } => {
                resolve(path);
            }
            Op::Move { from, to, .. } => {
                resolve(from);
                resolve(to);
            }
            Op::Batch(elements) => {
                let mut seen = BTreeSet::new();
                elements.iter_mut().for_each(|element| resolve(&mut element.path));
                elements.retain(|element| seen.insert(element.path));
            }
            Op::Swap(one, other) => {
                resolve(one);
                resolve(other);
                let Some(way) = free.first().filter(|_| one != other && live.len() > 1) else { return Vec::new() };
                let rename = |from: &usize, to: &usize| Op::Move { from: *from, to: *to, expected: Expected::Anything };
                return vec![rename(one, way), rename(other, one), rename(way, other)];
            }
            Op::Discard(version) => {
                let prune = Op::Prune { path: None, keep_last: None, newer_than: None, dry_run: false };
                return vec![Op::Remove(*version), prune];
            }
            _ => {}
        }
        vec![self]
    }
}

/// An operation and who tries it.
pub type Step = (usize, Op);

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        5 => Just(Expected::Anything),
        3 => Just(Expected::Current),
        3 => (0..7i32).prop_map(Expected::Number),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![12 => 0..3usize, 6 => 0..12usize, 1 => MISSING..MISSING + 3]
}

/// Of builds, nearly always the newest.
fn build() -> impl Strategy<Value = Pick> {
    prop_oneof![12 => Just(0usize), 5 => 0..12usize, 1 => MISSING..MISSING + 2]
}

fn key<T: Clone + std::fmt::Debug + 'static>(
    values: &'static [T],
    (missing, null): (u32, u32),
) -> impl Strategy<Value = Option<Option<T>>> {
    prop_oneof![
        missing => Just(None),
        null => Just(Some(None)),
        4 => prop::sample::select(values).prop_map(|value| Some(Some(value))),
    ]
}

/// Nulls, at this weight, where the column cannot be null.
fn facts(bad: u32) -> impl Strategy<Value = Facts> {
    let keys = (
        key(&["patch", "patch", "minor", "major"], (4, bad)),
        key(&["beta.1", "rc"], (12, 2)),
        key(&["First", "Größer"], (8, 2)),
        key(&["https://preview.example"], (4, 1)),
        key(&["said"], (12, 2)),
        key(&[false, true], (20, bad)),
    );
    keys.prop_map(|(change, prerelease, name, preview, comment, needs_rebuild)| Facts {
        change,
        prerelease,
        name,
        preview,
        comment,
        needs_rebuild,
    })
}

fn element() -> impl Strategy<Value = Element> {
    let body = prop_oneof![3 => (0..CONTENTS.len(), 0..KINDS.len()).prop_map(Some), 1 => Just(None)];
    let expected = prop_oneof![5 => Just(Expected::Anything), 5 => Just(Expected::Current), 1 => expected()];
    let path = prop_oneof![1 => 0..LIVE, 1 => LIVE..FREE];
    (path, body, expected).prop_map(|(path, body, expected)| Element { path, body, expected })
}

fn batch() -> impl Strategy<Value = Vec<Element>> {
    prop::collection::vec(element(), 0..5)
}

fn change_of_files() -> impl Strategy<Value = Op> {
    let path = || 0..PATHS.len();
    let there = || prop_oneof![1 => 0..LIVE, 3 => LIVE..FREE];
    let free = prop_oneof![1 => 0..LIVE, 2 => FREE..FREE + LIVE];
    let kind = prop_oneof![6 => Just(0usize), 1 => Just(1usize)];
    prop_oneof![
        10 => (path(), 0..CONTENTS.len(), kind, expected())
            .prop_map(|(path, content, kind, expected)| Op::Save { path, content, kind, expected }),
        3 => (there(), expected()).prop_map(|(path, expected)| Op::Delete { path, expected }),
        8 => (there(), free, expected()).prop_map(|(from, to, expected)| Op::Move { from, to, expected }),
        2 => (LIVE..FREE, LIVE..FREE).prop_map(|(one, other)| Op::Swap(one, other)),
        4 => (there(), 1..6i32, expected()).prop_map(|(path, to, expected)| Op::Revert { path, to, expected }),
        4 => batch().prop_map(Op::Batch),
        1 => (there(), prop::option::of(1..6i32)).prop_map(|(path, version)| Op::Read { path, version }),
        1 => Just(Op::List),
    ]
}

fn change_of_builds() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::bool::weighted(0.3).prop_map(|supersede| Op::Start { supersede }),
        3 => build().prop_map(Op::Cut),
        8 => (build(), facts(2)).prop_map(|(build, facts)| Op::Succeed(build, facts)),
        1 => build().prop_map(Op::Fail),
        2 => build().prop_map(Op::BuildFiles),
    ]
}

fn change_of_versions() -> impl Strategy<Value = Op> {
    let comment = prop_oneof![3 => Just(None), 1 => Just(Some("Live."))];
    let prune = (
        prop::option::weighted(0.2, 0..PATHS.len()),
        prop_oneof![4 => Just(None), 3 => (0..4i32).prop_map(Some)],
        prop_oneof![8 => Just(None), 1 => Just(Some("1 hour")), 1 => Just(Some("0 s"))],
        prop::bool::weighted(0.2),
    );
    prop_oneof![
        6 => (pick(), facts(1)).prop_map(|(version, facts)| Op::Describe(version, facts)),
        4 => (pick(), comment).prop_map(|(version, comment)| Op::Publish(version, comment)),
        2 => pick().prop_map(Op::Unpublish),
        6 => pick().prop_map(Op::Remove),
        5 => pick().prop_map(Op::BringBack),
        3 => pick().prop_map(Op::Discard),
        6 => (pick(), prop::bool::weighted(0.25)).prop_map(|(version, dry_run)| Op::Restore { version, dry_run }),
        5 => prune.prop_map(|(path, keep_last, newer_than, dry_run)| Op::Prune { path, keep_last, newer_than, dry_run }),
        2 => pick().prop_map(Op::VersionFiles),
        3 => (pick(), prop::option::of(pick()), 0..4i32)
            .prop_map(|(from, to, context)| Op::Diff { from, to, context }),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let who = prop_oneof![4 => Just(OWNER), 5 => EDITOR..VIEWER, 1 => Just(VIEWER), 1 => Just(STRANGER)];
    let op = prop_oneof![
        500 => change_of_files(),
        300 => change_of_builds(),
        300 => change_of_versions(),
        6 => Just(Op::Age),
        3 => Just(Op::Compare),
    ];
    (who, any::<bool>(), op).prop_map(|(who, as_owner, op)| match op {
        // Editors, who may do nearly everything else, may not.
        Op::Prune { .. } | Op::Discard(_) if as_owner => (OWNER, op),
        op => (who, op),
    })
}
