//! Compares everything that can be read with the model.

use postgres::Row;
use proptest::prelude::*;
use uuid::Uuid;

use super::World;
use super::answers::{self, Listed, VersionSaid, difference_of, listed_of};
use super::files::Live;
use super::model::{Model, changes, listed};
use super::ops::{CONTENTS, EDITOR, KINDS, PATHS, STRANGER, VIEWER};
use super::patches::{self, Tree};
use crate::support::{Random, Refusal, Session};

type Checked = Result<(), TestCaseError>;

const HISTORY: &str = "SELECT * FROM versioned.get_project_version_history($1, $2, $3, $4, $5, $6, $7)";
const DIFF: &str = "SELECT * FROM versioned.diff_project_versions($1, $2, $3, $4)";

/// Everything about one project.
pub struct Comparing<'a> {
    pub world: &'a mut World,
    pub project: Uuid,
    pub model: &'a Model,
    pub random: Random,
}

fn snapshot(rows: Result<Vec<Row>, Refusal>) -> Result<Vec<Listed>, String> {
    rows.map(|rows| rows.iter().map(listed_of).collect()).map_err(|refusal| answers::reason(&refusal))
}

fn tree(live: &Live) -> Tree {
    live.values().map(|file| (PATHS[file.path].to_owned(), CONTENTS[file.content].clone())).collect()
}

/// A row of the history: what it says, the caller's `can_` columns, whether it is current.
type Row1 = (VersionSaid, [bool; 4], bool);

impl Comparing<'_> {
    pub fn all(&mut self) -> Checked {
        self.files()?;
        self.snapshots()?;
        self.state()?;
        for who in [EDITOR, VIEWER] {
            self.history(who)?;
        }
        self.parents()?;
        for _ in 0..3 {
            self.difference()?;
        }
        let damage = self.world.admin.rows("SELECT * FROM versioned.check_project_integrity($1)", &[&self.project]);
        prop_assert!(damage.is_empty());
        Ok(())
    }

    fn session(&mut self, who: usize) -> &mut Session {
        &mut self.world.sessions[who]
    }

    /// Current files, and the histories of all files that paths stand for.
    fn files(&mut self) -> Checked {
        let (project, files) = (self.project, &self.model.files);
        let live = files.live(&files.now());
        let shown = self.session(VIEWER).try_rows("SELECT * FROM versioned.get_current_project_files($1)", &[&project]);
        prop_assert_eq!(snapshot(shown), Ok(listed(&live)));
        for (path, name) in PATHS.iter().enumerate() {
            let wanted = self.model.files.history(path);
            let users = self.world.users.clone();
            let rows = self.session(EDITOR).try_rows(
                "SELECT h.version, h.file_path, h.is_deleted, h.file_type, h.created_by, h.is_current_version, f.content
                   FROM versioned.get_project_file_history($1, $2, 1000) h
                  CROSS JOIN LATERAL versioned.get_project_file($1, $2, h.version) f",
                &[&project, name],
            );
            let Some(wanted) = wanted else {
                prop_assert!(rows.is_err_and(|refusal| refusal.code == "PT404"));
                continue;
            };
            let rows = rows.map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
            let newest = wanted[0].0;
            let wanted: Vec<_> = wanted
                .into_iter()
                .map(|(number, path, content, kind, who)| {
                    let content = content.map(|content| CONTENTS[content].clone());
                    let is_current = number == newest && content.is_some();
                    (number, PATHS[path].to_owned(), content, KINDS[kind].to_owned(), users[who], is_current)
                })
                .collect();
            let shown: Vec<_> = rows
                .iter()
                .map(|row| {
                    let content: Option<String> = row.get("content");
                    assert_eq!(content.is_none(), row.get::<_, bool>("is_deleted"));
                    (row.get(0), row.get(1), content, row.get("file_type"), row.get("created_by"), row.get(5))
                })
                .collect();
            prop_assert_eq!(shown, wanted, "history of {}", name);
        }
        Ok(())
    }

    /// The files of all versions and all builds.
    fn snapshots(&mut self) -> Checked {
        let (project, model) = (self.project, self.model);
        for (n, version) in model.versions.iter().enumerate() {
            let sql = "SELECT * FROM versioned.get_project_version_files($1, $2)";
            let id = model.id_of(n);
            let shown = snapshot(self.session(VIEWER).try_rows(sql, &[&project, &id]));
            let wanted = if version.pruned { Err("PT409 pruned".to_owned()) } else { Ok(listed(&model.files_of(n))) };
            prop_assert_eq!(shown, wanted, "files of version {}", n);
        }
        for (n, build) in model.builds.iter().enumerate() {
            let sql = "SELECT * FROM versioned.get_project_build_files($1, $2)";
            let shown = snapshot(self.session(VIEWER).try_rows(sql, &[&project, &build.id]));
            let wanted = model.snapshot_of_build(n).map(|live| listed(&live)).map_err(str::to_owned);
            prop_assert_eq!(shown, wanted, "files of build {}", n);
        }
        Ok(())
    }

    /// What no function shows: the project's state, and when versions were pruned and published.
    fn state(&mut self) -> Checked {
        let (project, model) = (self.project, self.model);
        let admin = &mut self.world.admin;
        let row = admin.row(
            "SELECT current_version_id, current_build_id, build_status FROM versioned.projects WHERE id = $1",
            &[&project],
        );
        let newest = model.builds.last().expect("there is always one");
        let status = if newest.status == "started" { "building" } else { newest.status };
        let shown: (Option<String>, &str, &str) = (row.get(0), row.get(1), row.get(2));
        prop_assert_eq!(shown, (model.current().map(|current| model.id_of(current)), &*newest.id, status));
        let rows = admin.rows(
            "SELECT version_id, pruned_at IS NOT NULL, is_published <= (published_at IS NOT NULL), updated_at >= created_at
               FROM versioned.project_versions WHERE project_id = $1 ORDER BY created_at",
            &[&project],
        );
        let shown: Vec<(String, bool, bool, bool)> =
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
        let versions = model.versions.iter().enumerate();
        let wanted: Vec<_> = versions.map(|(n, version)| (model.id_of(n), version.pruned, true, true)).collect();
        prop_assert_eq!(shown, wanted);
        Ok(())
    }

    fn wanted_row(&self, version: usize, who: usize) -> Row1 {
        let shown = &self.model.versions[version];
        let said = self.model.said(version);
        let can_publish = !(shown.published || shown.deleted || said.needs_rebuild);
        let edits = who != VIEWER;
        let can = [
            said.preview.is_some() && !shown.deleted,
            edits && can_publish,
            edits && shown.published,
            edits && !shown.deleted && !shown.pruned,
        ];
        (said, can, self.model.current() == Some(version))
    }

    fn row(&self, row: &Row) -> Row1 {
        let said = VersionSaid::of(row, &self.world.users);
        let (major, minor, patch) = said.number;
        let prerelease = said.prerelease.as_ref().map(|label| format!("-{label}")).unwrap_or_default();
        assert_eq!(row.get::<_, String>("semver"), format!("{major}.{minor}.{patch}{prerelease}"));
        let can = ["can_preview", "can_publish", "can_unpublish", "can_restore"].map(|column| row.get(column));
        (said, can, row.get("is_current"))
    }

    /// The history in all its selections, in pages by offset and by the last version seen.
    fn history(&mut self, who: usize) -> Checked {
        let project = self.project;
        for (checkpoints, deleted, state) in [false, true]
            .into_iter()
            .flat_map(|checkpoints| [false, true].map(|deleted| (checkpoints, deleted)))
            .flat_map(|(checkpoints, deleted)| {
                ["all", "published", "unpublished"].map(|state| (checkpoints, deleted, state))
            })
        {
            let is_listed = |row: &Row1| {
                (checkpoints || row.0.change != "patch")
                    && (deleted || !row.0.deleted)
                    && (state == "all" || (state == "published") == row.0.published)
            };
            let newest_first = (0..self.model.versions.len()).rev();
            let wanted: Vec<Row1> =
                newest_first.map(|version| self.wanted_row(version, who)).filter(is_listed).collect();
            let count = Some(wanted.len() as i64);
            let limit = 1 + self.random.below(4) as i32;

            let mut shown: Vec<Row1> = Vec::new();
            loop {
                let offset = shown.len() as i32;
                let args: crate::support::Params =
                    &[&project, &limit, &offset, &checkpoints, &state, &deleted, &None::<String>];
                let rows = self.session(who).rows(HISTORY, args);
                prop_assert!(rows.iter().all(|row| row.get::<_, Option<i64>>("total_count") == count));
                shown.extend(rows.iter().map(|row| self.row(row)));
                if rows.len() < limit as usize {
                    break;
                }
            }
            prop_assert_eq!(&shown, &wanted, "{:?}", (checkpoints, deleted, state, "by offset"));

            // The first page has no version before it.
            shown.truncate(limit as usize);
            while let Some((last, ..)) = shown.last() {
                let args: crate::support::Params =
                    &[&project, &limit, &0, &checkpoints, &state, &deleted, &Some(last.id.clone())];
                let rows = self.session(who).rows(HISTORY, args);
                prop_assert!(rows.iter().all(|row| row.get::<_, Option<i64>>("total_count").is_none()));
                shown.extend(rows.iter().map(|row| self.row(row)));
                if rows.len() < limit as usize {
                    break;
                }
            }
            prop_assert_eq!(&shown, &wanted, "{:?}", (checkpoints, deleted, state, "by version"));
        }
        for (who, before, code) in [(who, self.world.foreign.1.clone(), "PT404"), (STRANGER, String::new(), "PT404")] {
            let before = Some(before).filter(|before| !before.is_empty());
            let args: crate::support::Params = &[&project, &10, &0, &true, &"all", &true, &before];
            let refused = self.session(who).try_rows(HISTORY, args).map(|_| ()).map_err(|refusal| refusal.code);
            prop_assert_eq!(refused, Err(code.to_owned()));
        }
        Ok(())
    }

    /// The statistics of versions are those of the comparison with their parents.
    fn parents(&mut self) -> Checked {
        let (project, model) = (self.project, self.model);
        for version in 0..model.versions.len() {
            if model.versions[version].pruned {
                continue;
            }
            let id = model.id_of(version);
            let counted = self.world.admin.row(
                "SELECT files_changed, lines_added, lines_removed FROM versioned.project_versions
                  WHERE project_id = $1 AND version_id = $2",
                &[&project, &id],
            );
            let counted: (i64, i64, i64) = (counted.get::<_, i32>(0).into(), counted.get(1), counted.get(2));
            let wanted: (i64, i64, i64) = match model.parent(version) {
                None => {
                    let files = model.files_of(version);
                    let lines = files.values().map(|file| CONTENTS[file.content].split_inclusive('\n').count() as i64);
                    (files.len() as i64, lines.sum(), 0)
                }
                // Pruned before or after the version was made.
                Some(parent) if model.versions[parent].pruned => continue,
                Some(parent) => {
                    let rows = self.session(VIEWER).rows(DIFF, &[&project, &model.id_of(parent), &Some(&id), &3]);
                    let sum = |column: &str| rows.iter().map(|row| row.get::<_, i64>(column)).sum();
                    (rows.len() as i64, sum("lines_added"), sum("lines_removed"))
                }
            };
            prop_assert_eq!(counted, wanted, "statistics of version {}", version);
        }
        Ok(())
    }

    /// A patch between two versions, or to the present files, carried out by git.
    fn difference(&mut self) -> Checked {
        let model = self.model;
        let intact: Vec<usize> = (0..model.versions.len()).filter(|&version| !model.versions[version].pruned).collect();
        if intact.is_empty() {
            return Ok(());
        }
        let from = intact[self.random.below(intact.len())];
        let to = intact.get(self.random.below(intact.len() + 1)).copied();
        let context = [0, 1, 3, 1000][self.random.below(4)];
        let before = model.files_of(from);
        let after = to.map_or_else(|| model.files.live(&model.files.now()), |to| model.files_of(to));
        let args: crate::support::Params =
            &[&self.project, &model.id_of(from), &to.map(|to| model.id_of(to)), &context];
        let rows = self.world.sessions[VIEWER].rows(DIFF, args);
        let shown: Vec<_> = rows.iter().map(difference_of).collect();
        prop_assert_eq!(&shown, &changes(&before, &after));
        let patch: String = rows.iter().map(|row| row.get::<_, &str>("diff")).collect();
        let made = patches::apply(&tree(&before), &patch, context);
        prop_assert_eq!(made, Ok(tree(&after)), "context {}, from {:?} by\n{}", context, tree(&before), patch);
        let is_moved = |to: usize, from: usize| shown.contains(&(to, Some(from), "moved"));
        let moves = shown.iter().filter_map(|(to, from, _)| Some((*to, (*from)?)));
        let (mut swaps, mut successions) = (0, 0);
        for (to, from) in moves {
            swaps += usize::from(is_moved(from, to));
            successions += usize::from(shown.iter().any(|(path, ..)| *path == from));
        }
        let [patches, with_swap, with_succession] = &mut self.world.patches;
        *patches += 1;
        *with_swap += usize::from(swaps > 0);
        *with_succession += usize::from(successions > swaps);
        Ok(())
    }
}
