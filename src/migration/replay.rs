//! Running migrations on empty copies of schemas, in a subtransaction that is always undone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgrx::pg_sys::Oid;

use super::deferred;
use super::elsewhere;
use super::explain;
use super::extensions::Extensions;
use super::facts::names_tools_table;
use super::history::{History, Name, Step, Wanted};
use super::list::Migration;
use super::objects::{Deed, Named, deeds, identity};
use super::outcome::{Failure, Note, Outcome};
use super::schemas::Schema;
use super::temporary;
use crate::backend::{
    self, Call, CatalogFilter, Kind, LocksBefore, Raised, Script, ScriptStatement, SessionBefore, Touched, Watch,
    attempt, attempt_or_error,
};
use crate::error::Error;
use crate::progress::Progress;

/// How long a statement waits for a lock, as a value of `lock_timeout`. Those who come later wait behind it.
const LOCK_TIMEOUT: &str = "100ms";

/// A replay in progress: what the migrations have done so far.
pub struct Replay<'c> {
    call: &'c Call,
    schemas: &'c [Schema],
    /// The empty copies that were put in place of the schemas.
    copies: Vec<Oid>,
    session: SessionBefore,
    watch: Watch,
    extensions: Extensions,
    pub history: History,
    /// The names of the migrations.
    names: Vec<String>,
    /// Those that have failed, by number.
    failed: Vec<usize>,
    /// What foreign keys refer to that were left out.
    left_out: Vec<String>,
    /// How many locks it may hold, and how many relations it may make.
    most_locks: usize,
}

/// What became of a statement.
enum Ran {
    /// It was run, perhaps not entirely as it is.
    Done(Vec<Note>),
    Failed(Box<Raised>),
}

impl Ran {
    fn not_run(note: Note) -> Self {
        Ran::Done(vec![note])
    }
}

/// Why a statement is undone that would affect others.
enum Hindrance {
    Lock(Oid),
    Change(Touched),
    Schema(String),
}

/// A statement in its place.
#[derive(Clone, Copy)]
struct Place<'s> {
    script: &'s Script,
    statement: ScriptStatement,
    step: Step,
}

impl Place<'_> {
    /// The statement's command and its line, for notes.
    fn name(&self) -> String {
        format!("{} in line {}", self.script.command(self.statement), self.script.position_of(self.statement).0)
    }
}

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
    pub fn left_out(&self) -> &[String] {
        &self.left_out
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

    fn statement(&mut self, place: Place) -> Result<Ran, Error> {
        match place.script.kind(place.statement) {
            Kind::Plain => self.run_plain(place),
            // ALTER TABLE, for one, does not run while checks of the table are pending.
            Kind::Commit => match attempt_or_error(|| {
                deferred::check(self.call);
                Ok::<(), Error>(())
            }) {
                Ok(result) => result.map(|()| Ran::Done(Vec::new())),
                Err(raised) => Ok(Ran::Failed(raised)),
            },
            Kind::Transaction { undoes: false } => Ok(Ran::Done(Vec::new())),
            Kind::Transaction { undoes: true } => {
                Ok(Ran::not_run(Note::NotChecked(format!("{}: what it would undo stays", place.name()))))
            }
            Kind::Impossible(why) => Ok(Ran::not_run(Note::NotChecked(format!("{} {why}", place.name())))),
            Kind::CreateSchema(name) => self.create_schema(place, &name),
            Kind::CreateExtension(name) => self.create_extension(place, &name),
            Kind::ChangeExtensions(names) => match names.iter().find(|name| self.extensions.live(name).is_some()) {
                Some(name) => Ok(not_ours(place, "extension", name)),
                None => self.attempt(place, || ()),
            },
            Kind::UseCursor(name) if self.session.had_cursor(&name) => Ok(not_ours(place, "cursor", &name)),
            Kind::Deallocate(name) if self.session.had_prepared(&name) => {
                Ok(not_ours(place, "prepared statement", &name))
            }
            Kind::UseCursor(_) | Kind::Deallocate(_) => self.attempt(place, || ()),
            Kind::DropOwned(roles) => match roles.iter().find(|role| !self.has_made("role", role.as_deref())) {
                Some(role) => Ok(not_ours(place, "role", role.as_deref().unwrap_or("of the session"))),
                None => self.attempt(place, || ()),
            },
            Kind::CreateGlobal(what, name) => self.create_global(place, what, &name),
        }
    }

    /// Whether a migration has made what is in no schema.
    fn has_made(&self, kind: &str, name: Option<&str>) -> bool {
        let wanted = |name| Wanted { kind, schema: None, table: None, name };
        name.is_some_and(|name| self.history.now(wanted(name)).next().is_some())
    }

    /// Runs a statement. If it fails and names something of an extension that was moved aside and that no migration creates,
    /// that is created, as a fresh database may have been given it before.
    fn run_plain(&mut self, place: Place) -> Result<Ran, Error> {
        let ran = self.attempt_with_extensions(place)?;
        let Ran::Failed(raised) = &ran else { return Ok(ran) };
        if !matches!(&*raised.sqlstate, "42704" | "42883" | "42P01") {
            return Ok(ran);
        }
        let named = self.extensions.named_in(self.call, place.script.text_of(place.statement));
        let named: Vec<String> = named.iter().map(|one| one.name.clone()).collect();
        let created: Vec<String> = named.into_iter().filter(|name| self.create_missing_extension(name)).collect();
        if created.is_empty() {
            return Ok(ran);
        }
        let again = self.attempt(place, || ())?;
        Ok(match again {
            Ran::Done(mut notes) => {
                let assumed = |name| format!("the extension {name} is there before the migrations: none creates it");
                notes.extend(created.iter().map(|name| Note::Assumed(assumed(name))));
                Ran::Done(notes)
            }
            failed => failed,
        })
    }

    /// Runs a statement that may create extensions in a block or a function. Those of their names that are aside make way.
    fn attempt_with_extensions(&mut self, place: Place) -> Result<Ran, Error> {
        let call = self.call;
        let mut in_the_way: Vec<Oid> = Vec::new();
        loop {
            let ran = self.attempt(place, || Extensions::move_aside(call, &in_the_way))?;
            let more = match &ran {
                Ran::Failed(raised) => extension_there_already(raised).map(|name| self.extensions.in_the_way_of(name)),
                Ran::Done(_) => None,
            };
            let before = in_the_way.len();
            for extension in more.unwrap_or_default() {
                if !in_the_way.contains(&extension) {
                    in_the_way.push(extension);
                }
            }
            if in_the_way.len() == before {
                if matches!(ran, Ran::Done(_)) {
                    self.extensions.replaced(&in_the_way);
                }
                return Ok(ran);
            }
        }
    }

    /// Creates an extension that was moved aside, and those that it needs. False if that fails.
    fn create_missing_extension(&mut self, name: &str) -> bool {
        let in_the_way = self.extensions.in_the_way_of(name);
        let tried = attempt_or_error(|| {
            Extensions::move_aside(self.call, &in_the_way);
            backend::run_script(&format!("CREATE EXTENSION {} CASCADE", backend::quoted_identifier(name)));
            Ok::<(), Error>(())
        });
        let is_created = matches!(tried, Ok(Ok(())));
        if is_created {
            self.extensions.replaced(&in_the_way);
        }
        is_created
    }

    /// CREATE SCHEMA of one of the schemas that are replayed makes the one that was put in its place.
    fn create_schema(&mut self, place: Place, name: &str) -> Result<Ran, Error> {
        let is_public = name == "public";
        let copy = backend::schema_named(name).filter(|schema| !is_public && self.copies.contains(schema));
        let Some(copy) = copy else { return self.attempt(place, || ()) };
        match self.attempt(place, || backend::drop_schema(copy))? {
            // Something is in it already.
            Ran::Failed(raised) if raised.sqlstate == "2BP01" => self.attempt(place, || ()),
            ran => Ok(ran),
        }
    }

    fn create_extension(&mut self, place: Place, name: &str) -> Result<Ran, Error> {
        let Some(live) = self.extensions.live(name) else { return self.attempt(place, || ()) };
        let assumed = Note::Assumed(format!("the extension {name} is there already, in schema {}", live.schema));
        if !live.is_replaceable() {
            return Ok(Ran::not_run(assumed));
        }
        let in_the_way = self.extensions.in_the_way_of(name);
        let call = self.call;
        match self.attempt(place, || Extensions::move_aside(call, &in_the_way))? {
            Ran::Done(notes) => {
                self.extensions.replaced(&in_the_way);
                Ok(Ran::Done(notes))
            }
            Ran::Failed(raised) => {
                let why = format!("the extension {name} is there, though not to be seen: {}", raised.message);
                Ok(Ran::not_run(Note::Assumed(why)))
            }
        }
    }

    /// What is in no schema is there as it is in the live database.
    fn create_global(&mut self, place: Place, what: &str, name: &str) -> Result<Ran, Error> {
        match self.attempt(place, || ())? {
            Ran::Failed(raised) if raised.sqlstate == "42710" && !self.has_made(what, Some(name)) => {
                Ok(Ran::not_run(Note::Assumed(format!("the {what} {name} is there already"))))
            }
            ran => Ok(ran),
        }
    }

    /// Runs a statement in a subtransaction, after `before`. It is undone if it fails, or if others would have to wait for
    /// what it did.
    fn attempt(&mut self, place: Place, before: impl FnOnce()) -> Result<Ran, Error> {
        self.watch.take();
        let tried = attempt_or_error(|| {
            before();
            let (statement, left_out) = place.script.prepare(place.statement);
            if let Some(schema) = left_out.schema {
                return Err(Hindrance::Schema(schema));
            }
            if let Some(target) = left_out.target {
                return Err(Hindrance::Lock(target));
            }
            backend::set(c"lock_timeout", Some(LOCK_TIMEOUT));
            let locks = LocksBefore::take();
            place.script.run(statement);
            let touched = self.watch.take();
            match locks.foreign_relation() {
                Some(relation) => Err(Hindrance::Lock(relation)),
                None => match backend::foreign_object(&touched) {
                    Some(object) => Err(Hindrance::Change(object)),
                    None => Ok((left_out.foreign_keys, touched)),
                },
            }
        });
        match tried {
            Ok(Ok((foreign_keys, touched))) => {
                self.record(place.step, &touched);
                self.require_few_locks()?;
                let mut notes = Vec::new();
                for name in foreign_keys.into_iter().map(|target| self.live_name(target)).collect::<Vec<_>>() {
                    notes.push(Note::NotChecked(format!("a foreign key to {name}, which no migration made: left out")));
                    self.left_out.push(name);
                }
                Ok(Ran::Done(notes))
            }
            Ok(Err(Hindrance::Lock(relation))) => Ok(Ran::not_run(Note::NotChecked(format!(
                "{} would lock {}, which no migration made",
                place.name(),
                self.live_name(relation)
            )))),
            Ok(Err(Hindrance::Schema(name))) => Ok(not_ours(place, "schema", &name)),
            Ok(Err(Hindrance::Change(object))) => {
                let (kind, identity) = identity(self.call, object);
                Ok(not_ours(place, &kind, &identity))
            }
            Err(raised) => {
                self.require_few_locks()?;
                Ok(match unchecked(&raised) {
                    Some(why) => Ran::not_run(Note::NotChecked(format!("{} {why}: {}", place.name(), raised.message))),
                    None => Ran::Failed(raised),
                })
            }
        }
    }

    fn record(&mut self, step: Step, touched: &[Touched]) {
        for deed in deeds(self.call, touched) {
            match deed {
                Deed::Made(named) => {
                    let (address, what) = (named.address, named.what.clone());
                    self.history.made(address, name(named), what, step);
                }
                Deed::Changed(named) => {
                    let (address, what) = (named.address, named.what.clone());
                    self.history.changed(address, name(named), what, step);
                }
                Deed::Dropped(address) => self.history.dropped(address, step),
            }
        }
    }

    /// The name of a relation that is not the migrations' own, as it is outside of the replay.
    fn live_name(&self, relation: Oid) -> String {
        backend::qualified_name(relation, |schema| {
            self.schemas.iter().find(|aside| aside.oid == schema).map(|aside| aside.name.clone())
        })
    }

    /// 53400 if so many locks are held, or so many relations were made, that others are in danger.
    fn require_few_locks(&self) -> Result<(), Error> {
        let locks = self.session.locks.give_back_own().max(self.watch.relations_made());
        if locks > self.most_locks || self.watch.is_full() { Err(Error::TooManyLocks { locks }) } else { Ok(()) }
    }
}

/// For a statement that would change something that was there before.
fn not_ours(place: Place, what: &str, name: &str) -> Ran {
    Ran::not_run(Note::NotChecked(format!("{} would change the {what} {name}, which no migration made", place.name())))
}

/// The extension that could not be created because there is one of its name.
fn extension_there_already(raised: &Raised) -> Option<&str> {
    let rest = raised.message.strip_prefix("extension \"").filter(|_| raised.sqlstate == "42710")?;
    rest.strip_suffix("\" already exists")
}

/// Why an error says nothing about a statement; `None` if it does.
fn unchecked(raised: &Raised) -> Option<&'static str> {
    match &*raised.sqlstate {
        "55P03" | "40P01" => Some("would wait for others"),
        "2D000" | "25001" => Some("does not run in a transaction"),
        // It makes that before it runs the first migration.
        "42P01" if names_tools_table(&raised.message) => Some("uses the migration tool's own table"),
        _ => None,
    }
}

/// The name that the history has for an object.
fn name(named: Named) -> Name {
    let Named { kind, identity, mut parts, is_in_schema, .. } = named;
    let name = parts.pop().unwrap_or_default();
    let mut parts = parts.into_iter();
    let schema = if is_in_schema { parts.next() } else { None };
    Name { kind, schema, name, table: parts.next(), identity }
}
