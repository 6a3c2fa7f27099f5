//! The projects that an import is about: which there are, which it makes, and their locks.

use pgrx::Uuid;

use super::mapping::Term;
use super::report::{Action, Report};
use super::source::Source;
use crate::args;
use crate::backend::{self, Call, Db, FreshSnapshot, Owner, Statement, Timestamp, Value};
use crate::builds::MAX_FRAMEWORK_BYTES;
use crate::caller::Caller;
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::input;

/// What the columns of a table may say about projects.
pub const TERMS: [Term; 4] = [
    Term { name: "project_id", aliases: &[] },
    Term { name: "owner_id", aliases: &[] },
    Term { name: "project_name", aliases: &[] },
    Term { name: "framework", aliases: &[] },
];

const DEFAULT_NAME: &str = "Imported Project";
const DEFAULT_FRAMEWORK: &str = "react";
const MAX_NAME_BYTES: usize = 255;

/// A project as the rows of the table name it.
pub struct Named {
    /// The text that names it, in lower case.
    pub key: Option<String>,
    /// Who the rows say owns it; most of them, if they differ.
    owner: Option<String>,
    name: Option<String>,
    framework: Option<String>,
    /// The earliest time of its rows.
    since: Option<Timestamp>,
}

/// What is to become of a project's rows.
enum Fate {
    Exists(Uuid),
    /// It does not exist, and the rows say who owns it.
    IsCreated {
        project: Uuid,
        owner: Uuid,
    },
    /// Why its rows are skipped.
    Refused(String),
}

/// SQL for the text that names a row's project.
pub fn key(source: &Source) -> Result<String, Error> {
    source.required(&TERMS[0])?;
    Ok(format!("lower({})", source.text(&TERMS[0])?))
}

/// All projects of a table, in the order of their ids.
pub fn all(db: &Db, source: &Source, created_at: &Term) -> Result<Vec<Named>, Error> {
    let [_, owner, name, framework] = &TERMS;
    let most = |term: &Term| source.text(term).map(|text| format!("mode() WITHIN GROUP (ORDER BY {text})"));
    let sql = format!(
        "SELECT {} AS key, {} AS owner, {} AS name, {} AS framework, min({}) AS since FROM {} GROUP BY 1 ORDER BY 1",
        key(source)?,
        most(owner)?,
        most(name)?,
        most(framework)?,
        source.time(created_at)?,
        source.from()
    );
    let mut named = Vec::new();
    db.dynamic_each_of_all(&sql, &[], |row| {
        named.push(Named {
            key: row.get("key"),
            owner: row.get("owner"),
            name: row.get("name"),
            framework: row.get("framework"),
            since: row.get("since"),
        });
        Ok(())
    })?;
    Ok(named)
}

impl Named {
    /// What becomes of it, as far as the newest committed state says.
    fn fate(&self, db: &Db) -> Fate {
        static PROJECT: Statement = Statement::new("SELECT FROM {s}.projects WHERE id = :project");
        let Some(key) = &self.key else { return Fate::Refused("it has no project".to_owned()) };
        let Some(project) = input::uuid(key) else {
            return Fate::Refused(format!("its project \"{}\" is not a uuid", input::abridged(key)));
        };
        let exists = {
            let _now = FreshSnapshot::take();
            !db.read(&PROJECT, &args! { project }).is_empty()
        };
        match (exists, &self.owner) {
            (true, _) => Fate::Exists(project),
            (false, None) => Fate::Refused(format!("project {project} does not exist")),
            (false, Some(owner)) => match input::uuid(owner) {
                Some(owner) => Fate::IsCreated { project, owner },
                None => Fate::Refused(format!(
                    "project {project} does not exist, and its owner \"{}\" is not a uuid",
                    input::abridged(owner)
                )),
            },
        }
    }

    /// Creates it, unless somebody else has meanwhile. The project's lock is held.
    fn create(&self, db: &Db, project: Uuid, owner: Uuid) {
        static CREATE: Statement = Statement::new(
            "WITH project AS (
                INSERT INTO {s}.projects (id, owner_id, name, framework, created_by_service, created_at, updated_at)
                VALUES (:project, :owner, :name, :framework, 'import', :since, :now)
                ON CONFLICT (id) DO NOTHING
                RETURNING id, owner_id, created_at
             )
             INSERT INTO {s}.project_members (project_id, user_id, role, created_at)
             SELECT id, owner_id, 'owner', created_at FROM project",
        );
        let now = backend::clock();
        let since = self.since.filter(|since| since.0 > i64::MIN && *since < now).unwrap_or(now);
        let name = input::line(self.name.as_deref(), "name", MAX_NAME_BYTES).unwrap_or(DEFAULT_NAME);
        let framework = input::line(self.framework.as_deref(), "framework", MAX_FRAMEWORK_BYTES);
        let framework = framework.unwrap_or(DEFAULT_FRAMEWORK);
        db.run(&CREATE, &args! { project, owner, name, framework, since, now });
    }

    /// Locks a project, after creating it if need be. 40001 if it has been deleted meanwhile.
    fn lock<'d>(&self, importer: &Importer<'d>, fate: &Fate, owner: &Owner) -> Result<Option<Exclusive<'d>>, Error> {
        let Importer { db, caller, all_are_locked, .. } = *importer;
        let project = match *fate {
            Fate::Refused(_) => return Ok(None),
            Fate::Exists(project) => project,
            Fate::IsCreated { project, owner } => {
                if !all_are_locked {
                    crate::locks::project(project);
                }
                self.create(db, project, owner);
                project
            }
        };
        match Exclusive::lock(caller, db, project, all_are_locked, owner) {
            // It was there a moment ago.
            Err(Error::ProjectNotFound(_)) => Err(Error::LostRace(format!("project {project}"))),
            locked => locked.map(Some),
        }
    }

    /// Makes a project ready for its rows, and reports it if it is new; `nowhere` is an empty place in the report.
    pub fn open<'d>(
        &self,
        importer: &Importer<'d>,
        owner: &Owner,
        report: &Report,
        nowhere: [Value; 2],
    ) -> Result<Opened<'d>, Error> {
        let fate = self.fate(importer.db);
        let exclusive = if importer.is_dry_run { None } else { self.lock(importer, &fate, owner)? };
        if let Some(exclusive) = &exclusive {
            exclusive.refuse_unseen_saves()?;
        }
        let is_there = matches!(fate, Fate::Exists(_)) || exclusive.is_some();
        let id = match fate {
            Fate::Exists(project) => Ok(project),
            Fate::IsCreated { project, owner } => {
                let detail = format!("its owner is {owner}");
                report.push(Action::Created, None, Some(project), nowhere, Some(&detail), 0);
                Ok(project)
            }
            Fate::Refused(why) => Err(why),
        };
        Ok(Opened { id, exclusive, is_there })
    }
}

/// Who imports, and how.
pub struct Importer<'d> {
    pub call: &'d Call,
    pub db: &'d Db<'d>,
    pub caller: Caller,
    pub is_dry_run: bool,
    pub all_are_locked: bool,
    /// When the import began.
    pub now: Timestamp,
}

/// A project whose rows are about to come.
pub struct Opened<'d> {
    /// Otherwise why its rows are skipped.
    pub id: Result<Uuid, String>,
    /// `None` in a dry run, and if its rows are skipped.
    pub exclusive: Option<Exclusive<'d>>,
    /// Whether it exists now.
    pub is_there: bool,
}
