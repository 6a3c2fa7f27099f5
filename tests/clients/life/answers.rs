//! How operations are said to the database, and what it answers.

use postgres::Row;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::model::Model;
use super::ops::{CONTENTS, Element, Facts, KINDS, Op, PATHS, Pick};
use crate::support::{Refusal, Session};

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
        Op::Swap(..) | Op::Discard(_) | Op::Age | Op::Compare => Said::Nothing,
    };
    Ok((said, None))
}
