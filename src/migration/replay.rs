//! Running migrations on empty copies of schemas, in a subtransaction that is always undone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgrx::pg_sys::Oid;

use super::deferred;
use super::elsewhere;
use super::explain;
use super::extensions::Extensions;
use super::history::{History, Step};
use super::list::Migration;
use super::outcome::{Failure, Outcome};
use super::schemas::Schema;
use super::statement::{Place, Ran, Replay};
use super::temporary;
use crate::backend::{self, Call, CatalogFilter, Raised, Script, SessionBefore, Watch, attempt, attempt_or_error};
use crate::error::Error;
use crate::progress::Progress;

/// Runs the migrations in order and returns one outcome per migration that was run, and what `at_end` returns; that is
/// called while everything that they built is still there.
///
/// With `stops`, the first failure ends it; otherwise only the statement that failed is left out. Refuses, 25001, a
/// transaction that has written, and, 25006, one that must not; 53400 if it would take too many locks.
pub fn replay<R>(
    call: &Call,
    migrations: &[Migration],
    schemas: &[Schema],
    stops: bool,
    at_end: impl FnOnce(&Replay) -> R,
) -> Result<(Vec<Outcome>, R), Error> {
    backend::require_writable(c"replay_migrations()");
    if backend::has_written() {
        return Err(Error::WrittenAlready);
    }
    // Others must be able to go on locking, and a standby must be able to take the same locks.
    let most_locks = backend::lock_table_size() / 2;
    let watch = Watch::begin(most_locks).ok_or(Error::WrittenAlready)?;
    let mut replay = Replay {
        call,
        schemas,
        copies: Vec::new(),
        session: SessionBefore::take(call),
        watch,
        extensions: Extensions::read(call, schemas),
        history: History::default(),
        names: migrations.iter().map(|migration| migration.name.clone()).collect(),
        failed: Vec::new(),
        left_out: Vec::new(),
        most_locks,
    };
    let aside: Vec<Oid> = schemas.iter().map(|schema| schema.oid).collect();
    let filter = CatalogFilter::begin(&aside);
    // An error passes through as a panic, so the session is put back in order before it goes on.
    let result = catch_unwind(AssertUnwindSafe(|| {
        attempt(
            || {
                let outcomes = replay.run(migrations, stops)?;
                Ok((outcomes, at_end(&replay)))
            },
            |_| false,
        )
    }));
    drop(filter);
    replay.session.restore(call);
    backend::all_is_undone();
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

impl Replay<'_> {
    /// The schemas as the migrations have left them; one that they dropped is not among them.
    pub fn built(&self) -> Vec<Oid> {
        self.schemas.iter().filter_map(|schema| backend::schema_named(&schema.name)).collect()
    }

    /// Names of relations to which foreign keys were left out.
    pub fn left_out(&self) -> Vec<String> {
        self.left_out.iter().map(|key| self.live_name(key.target)).collect()
    }

    fn run(&mut self, migrations: &[Migration], stops: bool) -> Result<Vec<Outcome>, Error> {
        // In one order for all, so that two replays at once do not wait for each other.
        let mut in_order: Vec<&Schema> = self.schemas.iter().collect();
        in_order.sort_by_key(|schema| u32::from(schema.oid));
        for schema in in_order {
            self.copies.push(backend::move_schema_aside(schema.oid, &schema.name)?);
        }
        backend::disable_database_wide_rules();
        let verbosity = backend::setting(c"client_min_messages");
        let mut progress = Progress::begin("migrations replayed");
        let mut outcomes = Vec::with_capacity(migrations.len());
        for (index, migration) in migrations.iter().enumerate() {
            let outcome = self.migration(index, migration, stops)?;
            let failed = outcome.failure.is_some();
            outcomes.push(outcome);
            if failed {
                self.failed.push(index);
                if stops {
                    break;
                }
            }
            backend::set(c"client_min_messages", verbosity.as_deref());
            progress.step();
        }
        Ok(outcomes)
    }

    /// Runs one migration as in a connection of its own.
    fn migration(&mut self, index: usize, migration: &Migration, stops: bool) -> Result<Outcome, Error> {
        let mut outcome = Outcome::new(&migration.name);
        self.begin_session();
        let sql = migration.text();
        let script = match Script::parse(sql) {
            Ok(script) => script,
            Err(raised) => {
                let position = backend::line_and_column(sql, raised.position);
                // What cannot be parsed has no statements, but lines.
                let line = sql.lines().nth(position.0 - 1).map(str::trim);
                outcome.fail(Failure::new(position, line, &raised));
                return Ok(outcome);
            }
        };
        outcome.statements = script.statements().len();
        outcome.note_lines_left_out(&script.not_sql);
        let mark = self.history.mark();
        let ended = attempt_or_error(|| {
            self.statements(index, &script, stops, &mut outcome)?;
            // What the end of its transaction and of its connection would do.
            if !(stops && outcome.failure.is_some()) {
                deferred::check(self.call);
            }
            temporary::drop_relations(self.call);
            // Locks can only be given back by the subtransaction that has them.
            self.require_few_locks()
        });
        match ended {
            Ok(result) => result?,
            Err(raised) => {
                self.require_few_locks()?;
                // What is checked at the end has no statement of its own.
                if let Some(&last) = script.statements().last() {
                    let step = Step { migration: index, statement: script.statements().len() };
                    outcome.fail(self.failure(Place { script: &script, statement: last, step }, &raised));
                }
                self.history.rewind(mark);
            }
        }
        Ok(outcome)
    }

    fn begin_session(&self) {
        self.session.reset(self.call);
        // What explains failures reads messages. Notices would not say which migration they come from.
        backend::set(c"lc_messages", Some("C"));
        backend::set(c"client_min_messages", Some("warning"));
        let path = backend::search_path();
        if !self.schemas.iter().any(|schema| path.contains(&schema.name)) {
            let path: Vec<_> = self.schemas.iter().map(|schema| backend::quoted_identifier(&schema.name)).collect();
            backend::set(c"search_path", Some(&path.join(", ")));
        }
    }

    fn statements(&mut self, index: usize, script: &Script, stops: bool, outcome: &mut Outcome) -> Result<(), Error> {
        for (number, &statement) in script.statements().iter().enumerate() {
            let place = Place { script, statement, step: Step { migration: index, statement: number } };
            match self.statement(place)? {
                Ran::Done(notes) => notes.into_iter().for_each(|note| outcome.note(note)),
                Ran::Failed(raised) => {
                    outcome.fail(self.failure(place, &raised));
                    if stops {
                        break;
                    }
                }
            }
            backend::check_for_interrupts();
        }
        Ok(())
    }

    fn failure(&self, place: Place, raised: &Raised) -> Failure {
        let Place { script, statement, step } = place;
        let position = match raised.position {
            0 => script.position_of(statement),
            character => script.position(character),
        };
        let text = script.text_of(statement);
        let schema_names: Vec<String> = self.schemas.iter().map(|schema| schema.name.clone()).collect();
        let cause = explain::explanation(
            &explain::Failure {
                sqlstate: &raised.sqlstate,
                message: &raised.message,
                detail: raised.detail.as_deref().unwrap_or_default(),
                hint: raised.hint.as_deref().unwrap_or_default(),
                statement: text,
                step,
                search_path: &backend::search_path(),
                schemas: &schema_names,
                failed: &self.failed,
            },
            &self.history,
            &self.names,
            &|wanted| elsewhere::search(self.call, &self.built(), self.schemas, wanted),
        );
        Failure { cause, ..Failure::new(position, Some(text), raised) }
    }
}
