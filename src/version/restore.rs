//! Making the files of a project those of a version again.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::changes::{self, Changed, LiveFile, text_of};
use super::lifecycle::Version;
use super::snapshot::Snapshot;
use crate::args;
use crate::backend::{self, Answer, Call, FreshSnapshot, ResultSet, Statement};
use crate::builds::id_argument;
use crate::caller::Role;
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::file::{self, Adding, Addition, Body, Write};
use crate::progress::Progress;
use crate::{input, limit};

/// What a new version does to bring a file back to what it was, and the order in which paths become free and are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Delete,
    Update,
    Move,
    Revive,
}

impl Step {
    /// What turns the file as it is (`from`) into what it was (`to`).
    fn of(file: &Changed) -> Step {
        match (&file.from, &file.to) {
            (_, None) => Step::Delete,
            (None, Some(_)) => Step::Revive,
            (Some(from), Some(to)) if from.path == to.path => Step::Update,
            _ => Step::Move,
        }
    }

    fn write(self) -> Write {
        match self {
            Step::Delete => Write::Delete,
            Step::Update => Write::Update,
            Step::Move => Write::Move,
            Step::Revive => Write::Revive,
        }
    }

    /// The name of the change in the result.
    fn name(self) -> &'static str {
        match self {
            Step::Delete => "deleted",
            Step::Update => "modified",
            Step::Move => "moved",
            Step::Revive => "added",
        }
    }
}

/// A file that is restored.
struct Restored {
    path: String,
    from_path: Option<String>,
    step: Step,
    version: i32,
}

/// Frees the paths of files that are about to be moved, until they are: two files may take each other's.
fn free_paths(exclusive: &Exclusive, files: &[Changed]) {
    static FREE: Statement = Statement::new(
        "UPDATE {s}.project_file_heads SET is_deleted = true WHERE project_id = :project AND file_id = :file_id",
    );
    for file in files.iter().filter(|file| Step::of(file) == Step::Move) {
        exclusive.db.run(&FREE, &args! { project: exclusive.project, file_id: file.file_id });
    }
}

/// Restores a file; only says how if it is a dry run.
fn restore(exclusive: &Exclusive, file: &Changed, dry_run: bool) -> Result<Restored, Error> {
    let Exclusive { db, project, caller, snapshot_seq, .. } = *exclusive;
    let step = Step::of(file);
    let _now = FreshSnapshot::take();
    let (head, row) = file::head_of(db, project, file.file_id)?.ok_or(Error::Internal)?;
    let path_of = |file: &Option<LiveFile>| file.as_ref().map(|file| file.path.clone());
    let from_path = path_of(&file.from).filter(|_| step == Step::Move);
    let path = path_of(&file.to).or(path_of(&file.from)).unwrap_or_default();
    let version = file::next_version(Some(&head))?;
    if !dry_run {
        let text = text_of(db, project, file.to.as_ref())?;
        let body = file.to.as_ref().map(|to| Body { text: &text, hash: to.hash, file_type: &to.file_type });
        let adding = Adding { db, project, actor: caller.actor, snapshot_seq };
        let addition = Addition { write: step.write(), path: &path, from_path: from_path.as_deref(), body };
        if adding.add(Some((&head, &row)), addition)?.is_none() {
            return Err(Error::LostRace(format!("file \"{path}\"")));
        }
    }
    Ok(Restored { path, from_path, step, version })
}

fn restore_all(exclusive: &Exclusive, snapshot: Snapshot, dry_run: bool) -> Result<Vec<Restored>, Error> {
    let mut files = {
        let _now = FreshSnapshot::take();
        changes::changed(exclusive.db, exclusive.project, Snapshot::NOW, snapshot)?
    };
    files.sort_by_key(Step::of);
    if !(dry_run || files.is_empty()) {
        limit::count(exclusive.caller, exclusive.db, exclusive.project)?;
        free_paths(exclusive, &files);
    }
    let mut progress = Progress::begin("files restored");
    let mut restored = Vec::with_capacity(files.len());
    for file in &files {
        backend::check_for_interrupts();
        restored.push(backend::in_own_memory(|| restore(exclusive, file, dry_run))?);
        progress.step();
    }
    // A path may have lost one file and got another one back.
    restored.sort_by(|a, b| (&a.path, a.step).cmp(&(&b.path, b.step)));
    Ok(restored)
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn restore_project_version(
    project: Option<Uuid>,
    version_id: Option<&str>,
    dry_run: Option<bool>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let id = id_argument(version_id, "p_version_id")?;
        let dry_run = input::required(dry_run, "p_dry_run")?;
        Exclusive::run(call, project, Role::Editor, |exclusive| {
            exclusive.refuse_unseen_saves()?;
            let version = Version::find(exclusive, &id)?;
            version.state.restore().map_err(|state| version.refused(state))?;
            let rows = ResultSet::begin(call);
            for Restored { path, from_path, step, version } in restore_all(exclusive, version.snapshot, dry_run)? {
                let [path, from_path] = [Some(path.as_str()), from_path.as_deref()];
                rows.push(&[path.into(), from_path.into(), step.name().into(), version.into()]);
            }
            Ok(rows.done())
        })
    })
}
