//! The race for version numbers: eight writers on one file, first with the usual row lock, then with
//! the extension.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, Statement};
use uuid::Uuid;

use crate::builds;
use crate::database::connect;
use crate::failure::{Doing, Failure};

/// Connections that save at the same time.
pub const WRITERS: usize = 8;
/// Saves that each of them tries.
pub const SAVES: usize = 25;

const PATH: &str = "src/race.txt";

/// How one way of saving fared.
#[derive(Default)]
pub struct Outcome {
    /// Saves that succeeded.
    pub saved: u64,
    /// Saves that failed, by message.
    pub errors: BTreeMap<String, u64>,
    /// What the table holds afterwards.
    pub versions: Versions,
    /// How long the writers took.
    pub took: Duration,
}

/// The versions of the one file, counted in SQL.
#[derive(Default)]
pub struct Versions {
    /// How many there are.
    pub count: i64,
    /// Different version numbers.
    pub numbers: i64,
    /// The lowest number.
    pub lowest: i32,
    /// The highest number.
    pub highest: i32,
    /// Different contents: each save has its own.
    pub contents: i64,
    /// Versions marked as current.
    pub current: i64,
}

impl Outcome {
    /// What keeps this from being right: every save a version of its own, 1 to n, one of them current.
    pub fn faults(&self) -> Vec<String> {
        let all = (WRITERS * SAVES) as i64;
        let versions = &self.versions;
        let checks = [
            (self.saved as i64 == all && self.errors.is_empty(), "not every save succeeded"),
            (versions.contents == all, "a save's content is not there"),
            (versions.count == all && versions.numbers == all, "there is not one number for each save"),
            (versions.lowest == 1 && i64::from(versions.highest) == all, "the numbers have gaps"),
            (versions.current == 1, "there is not exactly one current version"),
        ];
        checks.iter().filter(|(holds, _)| !holds).map(|(_, fault)| format!("in the race, {fault}")).collect()
    }
}

/// The usual way: lock the current row, add one to its version, insert.
const ROW_LOCK_SCHEMA: &str = "
    DROP SCHEMA IF EXISTS rowlock_demo CASCADE;
    CREATE SCHEMA rowlock_demo;
    CREATE TABLE rowlock_demo.files (
        project_id         uuid    NOT NULL,
        file_path          text    NOT NULL,
        version            integer NOT NULL,
        content            text    NOT NULL,
        is_current_version boolean NOT NULL,
        UNIQUE (project_id, file_path, version)
    );
    CREATE FUNCTION rowlock_demo.save(p_project uuid, p_path text, p_content text) RETURNS integer
        LANGUAGE plpgsql AS $$
    DECLARE
        latest integer;
    BEGIN
        SELECT f.version INTO latest
          FROM rowlock_demo.files f
         WHERE f.project_id = p_project AND f.file_path = p_path AND f.is_current_version
           FOR UPDATE;
        UPDATE rowlock_demo.files f
           SET is_current_version = false
         WHERE f.project_id = p_project AND f.file_path = p_path AND f.is_current_version;
        INSERT INTO rowlock_demo.files
        VALUES (p_project, p_path, coalesce(latest, 0) + 1, p_content, true);
        RETURN coalesce(latest, 0) + 1;
    END $$;";

/// Runs the race with the usual row lock, in a schema of its own that is dropped again.
pub fn with_row_lock(client: &mut Client) -> Result<Outcome, Failure> {
    client.batch_execute(ROW_LOCK_SCHEMA).doing("making the schema rowlock_demo")?;
    let outcome = race(client, Uuid::new_v4(), "SELECT rowlock_demo.save($1, $2, $3)", "rowlock_demo.files");
    let dropped = client.batch_execute("DROP SCHEMA rowlock_demo CASCADE").doing("dropping the schema rowlock_demo");
    outcome.and_then(|outcome| dropped.map(|()| outcome))
}

/// Runs the race with the extension, in a project of its own that is deleted again.
pub fn with_extension(client: &mut Client, owner: Uuid) -> Result<Outcome, Failure> {
    let (project, _) = builds::create_project(client, owner, "race", None)?;
    let outcome =
        race(client, project, "SELECT version FROM atomic_upsert_project_file($1, $2, $3, 'text')", "project_files");
    let deleted = client.execute("SELECT delete_project($1)", &[&project]).doing("deleting the project race");
    outcome.and_then(|outcome| deleted.map(|_| outcome))
}

fn race(client: &mut Client, project: Uuid, save: &str, table: &str) -> Result<Outcome, Failure> {
    // All connect before any starts: a writer that came late would find no race.
    let writers = (0..WRITERS).map(|_| Writer::connect(save)).collect::<Result<Vec<_>, _>>()?;
    let start = Barrier::new(WRITERS + 1);
    let mut outcome = Outcome::default();
    let tallies = thread::scope(|scope| {
        let writers: Vec<_> = writers
            .into_iter()
            .enumerate()
            .map(|(number, writer)| {
                scope.spawn({
                    let start = &start;
                    move || {
                        start.wait();
                        writer.save_all(number, project)
                    }
                })
            })
            .collect();
        start.wait();
        let started = Instant::now();
        let ended = |writer: thread::ScopedJoinHandle<'_, Result<Tally, Failure>>| {
            writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        let tallies: Result<Vec<Tally>, Failure> = writers.into_iter().map(ended).collect();
        outcome.took = started.elapsed();
        tallies
    })?;
    for tally in tallies {
        outcome.saved += tally.saved;
        for (message, times) in tally.errors {
            *outcome.errors.entry(message).or_default() += times;
        }
    }
    outcome.versions = count_versions(client, table, project)?;
    Ok(outcome)
}

#[derive(Default)]
struct Tally {
    saved: u64,
    errors: BTreeMap<String, u64>,
}

struct Writer {
    client: Client,
    save: Statement,
}

impl Writer {
    fn connect(save: &str) -> Result<Self, Failure> {
        let (mut client, _) = connect()?;
        let save = client.prepare(save).doing("preparing a writer of the race")?;
        Ok(Self { client, save })
    }

    /// Tries all saves; one that fails is counted and not tried again.
    fn save_all(mut self, number: usize, project: Uuid) -> Result<Tally, Failure> {
        let mut tally = Tally::default();
        for save in 0..SAVES {
            let content = format!("writer {number}, save {save}\n");
            match self.client.query_one(&self.save, &[&project, &PATH, &content]) {
                Ok(_) => tally.saved += 1,
                Err(error) => match error.as_db_error() {
                    Some(refused) => {
                        *tally.errors.entry(refused.message().to_owned()).or_default() += 1;
                    }
                    None => return Err(error).doing("saving in the race"),
                },
            }
        }
        Ok(tally)
    }
}

fn count_versions(client: &mut Client, table: &str, project: Uuid) -> Result<Versions, Failure> {
    let sql = format!(
        "SELECT count(*), count(DISTINCT version), coalesce(min(version), 0),
                coalesce(max(version), 0), count(DISTINCT content),
                count(*) FILTER (WHERE is_current_version)
           FROM {table}
          WHERE project_id = $1 AND file_path = $2"
    );
    let row = client.query_one(&sql, &[&project, &PATH]).doing("counting the race's versions")?;
    Ok(Versions {
        count: row.get(0),
        numbers: row.get(1),
        lowest: row.get(2),
        highest: row.get(3),
        contents: row.get(4),
        current: row.get(5),
    })
}
