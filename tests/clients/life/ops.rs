//! What is done to a project, and how it is said to the database.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use postgres::Row;
use proptest::prelude::*;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::files::Files;
use super::model::Model;
use crate::support::{Refusal, Session};

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

    /// The same with the paths that it then means, none of them twice in a batch.
    pub fn resolved(mut self, files: &Files) -> Op {
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
            _ => {}
        }
        self
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
        4 => pick().prop_map(Op::BringBack),
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
        3 => Just(Op::Age),
        3 => Just(Op::Compare),
    ];
    (who, any::<bool>(), op).prop_map(|(who, as_owner, op)| match op {
        // Editors, who may do nearly everything else, may not.
        Op::Prune { .. } if as_owner => (OWNER, op),
        op => (who, op),
    })
}

/// A version of a file in an answer: path, number, content, kind, author, and whether it is current.
pub type FileSaid = (usize, i32, Option<usize>, usize, usize, bool);

/// A version in an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionSaid {
    pub id: String,
    pub number: (i32, i32, i32),
    pub prerelease: Option<String>,
    pub change: String,
    pub is_default: bool,
    pub name: Option<String>,
    pub preview: Option<String>,
    pub comment: Option<String>,
    pub needs_rebuild: bool,
    pub parent: Option<String>,
    pub files_changed: i32,
    pub published: bool,
    pub published_by: Option<usize>,
    pub user: usize,
    pub deleted: bool,
}

impl VersionSaid {
    pub fn of(row: &Row, users: &[Uuid]) -> VersionSaid {
        VersionSaid {
            id: row.get("version_id"),
            number: (row.get("major_version"), row.get("minor_version"), row.get("patch_version")),
            prerelease: row.get("prerelease"),
            change: row.get("change_type"),
            is_default: row.get("change_type_defaulted"),
            name: row.get("version_name"),
            preview: row.get("preview_url"),
            comment: row.get("user_comment"),
            needs_rebuild: row.get("needs_rebuild"),
            parent: row.get("parent_version_id"),
            files_changed: row.get("files_changed"),
            published: row.get("is_published"),
            published_by: row.get::<_, Option<Uuid>>("published_by_user_id").map(|user| actor(users, user)),
            user: actor(users, row.get("user_id")),
            deleted: row.get::<_, Option<std::time::SystemTime>>("soft_deleted_at").is_some(),
        }
    }
}

/// A row of a snapshot: path, version, content, kind.
pub type Listed = (usize, i32, usize, usize);

/// A row of a comparison: path, where it was moved from, and what happened.
pub type Change = (usize, Option<usize>, &'static str);

/// What a call answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Files(Vec<FileSaid>),
    Started,
    Build { status: String, is_cut: bool },
    Version(VersionSaid),
    Snapshot(Vec<Listed>),
    Changes(Vec<Change>),
    Restored(Vec<(Change, i32)>),
    Pruned(Vec<(usize, Vec<i32>)>),
    Nothing,
}

/// Why a call is refused: its SQLSTATE, and the state of a version or build that is in the way.
pub fn reason(refusal: &Refusal) -> String {
    let code = &refusal.code;
    let detail = refusal.detail.as_ref().filter(|_| code == "PT409").map(|_| refusal.json());
    match detail.as_ref().and_then(|json| json.get("state").or(json.get("status"))?.as_str()) {
        Some(state) => format!("{code} {state}"),
        None => code.clone(),
    }
}

pub fn path_of(path: &str) -> usize {
    PATHS.iter().position(|known| *known == path).expect("one of ours")
}

fn content_of(content: &str) -> usize {
    CONTENTS.iter().position(|known| known == content).expect("one of ours")
}

fn kind_of(kind: &str) -> usize {
    KINDS.iter().position(|known| *known == kind).expect("one of ours")
}

fn actor(users: &[Uuid], user: Uuid) -> usize {
    users.iter().position(|known| *known == user).expect("one of ours")
}

fn change_of(change: &str) -> &'static str {
    ["added", "modified", "deleted", "moved"].into_iter().find(|known| *known == change).expect("a kind of change")
}

fn file_of(row: &Row, users: &[Uuid]) -> FileSaid {
    (
        path_of(row.get("file_path")),
        row.get("version"),
        row.get::<_, Option<&str>>("content").map(content_of),
        kind_of(row.get("file_type")),
        actor(users, row.get("created_by")),
        row.get("is_current_version"),
    )
}

pub fn listed_of(row: &Row) -> Listed {
    let content = content_of(row.get("content"));
    (path_of(row.get("file_path")), row.get("version"), content, kind_of(row.get("file_type")))
}

/// Lines that a patch of one file adds and removes.
pub fn lines_of(diff: &str) -> (i64, i64) {
    let hunks = diff.find("\n@@ ").map_or("", |start| &diff[start + 1..]);
    let count = |mark| hunks.split('\n').filter(|line| line.starts_with(mark)).count() as i64;
    (count('+'), count('-'))
}

/// A row of a comparison, if the lines it counts are those that it shows.
pub fn difference_of(row: &Row) -> Change {
    let counted: (i64, i64) = (row.get("lines_added"), row.get("lines_removed"));
    let diff: &str = row.get("diff");
    assert_eq!(counted, lines_of(diff), "lines of {diff}");
    change_row(row)
}

fn change_row(row: &Row) -> Change {
    let from: Option<&str> = row.get("from_path");
    (path_of(row.get("file_path")), from.map(path_of), change_of(row.get("change")))
}

impl Facts {
    fn json(&self) -> Json {
        let text = |value: &Option<Option<&'static str>>| value.map(Json::from);
        let keys = [
            ("change_type", text(&self.change)),
            ("prerelease", text(&self.prerelease)),
            ("version_name", text(&self.name)),
            ("preview_url", text(&self.preview)),
            ("user_comment", text(&self.comment)),
            ("needs_rebuild", self.needs_rebuild.map(Json::from)),
        ];
        let given = keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Json::Object(given.collect::<Map<_, _>>())
    }
}

fn batch_json(model: &Model, elements: &[Element]) -> Json {
    let element = |element: &Element| {
        let mut json = serde_json::json!({
            "file_path": PATHS[element.path],
            "expected_version": model.expected(element.path, element.expected),
        });
        match element.body {
            None => json["delete"] = true.into(),
            Some((content, kind)) => {
                json["content"] = (*CONTENTS[content]).into();
                json["file_type"] = KINDS[kind].into();
            }
        }
        json
    };
    elements.iter().map(element).collect()
}

/// Does it; `model` is what is known before. Also the ids of the build and the version if a build was started.
pub fn call(
    session: &mut Session,
    project: Uuid,
    model: &Model,
    op: &Op,
    users: &[Uuid],
) -> Result<(Said, Option<(String, String)>), Refusal> {
    let version_id = |pick: Pick| model.version_id(pick);
    let build_id = |pick: Pick| model.build_id(pick);
    let files = |rows: Vec<Row>| Said::Files(rows.iter().map(|row| file_of(row, users)).collect());
    let build = |row: Row| Said::Build {
        status: row.get("status"),
        is_cut: row.get::<_, Option<std::time::SystemTime>>("cut_at").is_some(),
    };
    let version = |row: Row| Said::Version(VersionSaid::of(&row, users));
    let snapshot = |rows: Vec<Row>| Said::Snapshot(rows.iter().map(listed_of).collect());
    let said = match op {
        Op::Save { path, content, kind, expected } => files(session.try_rows(
            "SELECT * FROM versioned.atomic_upsert_project_file($1, $2, $3, $4, $5)",
            &[&project, &PATHS[*path], &CONTENTS[*content], &KINDS[*kind], &model.expected(*path, *expected)],
        )?),
        Op::Delete { path, expected } => files(session.try_rows(
            "SELECT * FROM versioned.delete_project_file($1, $2, $3)",
            &[&project, &PATHS[*path], &model.expected(*path, *expected)],
        )?),
        Op::Move { from, to, expected } => files(session.try_rows(
            "SELECT * FROM versioned.move_project_file($1, $2, $3, $4)",
            &[&project, &PATHS[*from], &PATHS[*to], &model.expected(*from, *expected)],
        )?),
        Op::Revert { path, to, expected } => files(session.try_rows(
            "SELECT * FROM versioned.revert_project_file($1, $2, $3, $4)",
            &[&project, &PATHS[*path], to, &model.expected(*path, *expected)],
        )?),
        Op::Batch(elements) => files(session.try_rows(
            "SELECT * FROM versioned.atomic_upsert_project_files($1, $2)",
            &[&project, &batch_json(model, elements)],
        )?),
        Op::Read { path, version } => {
            files(session.try_rows(
                "SELECT * FROM versioned.get_project_file($1, $2, $3)",
                &[&project, &PATHS[*path], version],
            )?)
        }
        Op::List => snapshot(session.try_rows("SELECT * FROM versioned.get_current_project_files($1)", &[&project])?),
        Op::Start { supersede } => {
            let started = session.start(project, *supersede)?;
            return Ok((Said::Started, Some((started.build, started.version))));
        }
        Op::Cut(pick) => {
            build(session.try_row("SELECT * FROM versioned.cut_project_build($1, $2)", &[&project, &build_id(*pick)])?)
        }
        Op::Succeed(pick, facts) => version(session.try_row(
            "SELECT * FROM versioned.create_version_on_success($1, $2, $3)",
            &[&project, &build_id(*pick), &facts.json()],
        )?),
        Op::Fail(pick) => build(
            session
                .try_row("SELECT * FROM versioned.fail_project_build($1, $2, 'no')", &[&project, &build_id(*pick)])?,
        ),
        Op::BuildFiles(pick) => snapshot(
            session
                .try_rows("SELECT * FROM versioned.get_project_build_files($1, $2)", &[&project, &build_id(*pick)])?,
        ),
        Op::Describe(pick, facts) => version(session.try_row(
            "SELECT * FROM versioned.update_version_metadata($1, $2, $3)",
            &[&project, &version_id(*pick), &facts.json()],
        )?),
        Op::Publish(pick, comment) => version(session.try_row(
            "SELECT * FROM versioned.publish_project_version($1, $2, $3)",
            &[&project, &version_id(*pick), comment],
        )?),
        Op::Unpublish(pick) => {
            version(session.try_row(
                "SELECT * FROM versioned.unpublish_project_version($1, $2)",
                &[&project, &version_id(*pick)],
            )?)
        }
        Op::Remove(pick) => version(
            session
                .try_row("SELECT * FROM versioned.delete_project_version($1, $2)", &[&project, &version_id(*pick)])?,
        ),
        Op::BringBack(pick) => version(
            session
                .try_row("SELECT * FROM versioned.undelete_project_version($1, $2)", &[&project, &version_id(*pick)])?,
        ),
        Op::Restore { version, dry_run } => {
            let sql = "SELECT * FROM versioned.restore_project_version($1, $2, $3)";
            let rows = session.try_rows(sql, &[&project, &version_id(*version), dry_run])?;
            Said::Restored(rows.iter().map(|row| (change_row(row), row.get("version"))).collect())
        }
        Op::Prune { path, keep_last, newer_than, dry_run } => {
            let sql = "SELECT file_path, removed_versions
                         FROM versioned.prune_project_history($1, $2, $3, $4::text::interval, $5)";
            let path = path.map(|path| PATHS[path]);
            let rows = session.try_rows(sql, &[&project, &path, keep_last, newer_than, dry_run])?;
            let mut pruned: Vec<_> = rows.iter().map(|row| (path_of(row.get(0)), row.get(1))).collect();
            // Files at one path, all but one of them deleted, come in the order of their ids, which nobody knows.
            pruned.sort();
            Said::Pruned(pruned)
        }
        Op::VersionFiles(pick) => {
            let sql = "SELECT * FROM versioned.get_project_version_files($1, $2)";
            snapshot(session.try_rows(sql, &[&project, &version_id(*pick)])?)
        }
        Op::Diff { from, to, context } => {
            let sql = "SELECT * FROM versioned.diff_project_versions($1, $2, $3, $4)";
            let (from, to) = (version_id(*from), to.map(version_id));
            let rows = session.try_rows(sql, &[&project, &from, &to, context])?;
            Said::Changes(rows.iter().map(difference_of).collect())
        }
        Op::Age | Op::Compare => Said::Nothing,
    };
    Ok((said, None))
}
