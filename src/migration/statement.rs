//! What a replay knows, and how it runs one statement of a migration.

use pgrx::pg_sys::Oid;

use super::deferred;
use super::extensions::Extensions;
use super::facts::names_tools_table;
use super::history::{History, Name, Step, Wanted};
use super::objects::{Deed, Named, deeds, identity};
use super::outcome::Note;
use super::schemas::Schema;
use crate::backend::{
    self, Call, ForeignKey, Kind, LocksBefore, Raised, Script, ScriptStatement, SessionBefore, Touched, Watch,
    attempt_or_error,
};
use crate::error::Error;

/// How long a statement waits for a lock, as a value of `lock_timeout`. Those who come later wait behind it.
const LOCK_TIMEOUT: &str = "100ms";

/// A replay in progress: what the migrations have done so far.
pub struct Replay<'c> {
    pub(super) call: &'c Call,
    pub(super) schemas: &'c [Schema],
    /// The empty copies that were put in place of the schemas.
    pub(super) copies: Vec<Oid>,
    pub(super) session: SessionBefore,
    pub(super) watch: Watch,
    pub(super) extensions: Extensions,
    pub history: History,
    /// The names of the migrations.
    pub(super) names: Vec<String>,
    /// Those that have failed, by number.
    pub(super) failed: Vec<usize>,
    /// Foreign keys that were left out.
    pub(super) left_out: Vec<ForeignKey>,
    /// How many locks it may hold, and how many relations it may make.
    pub(super) most_locks: usize,
}

/// What became of a statement.
pub enum Ran {
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
pub struct Place<'s> {
    pub script: &'s Script,
    pub statement: ScriptStatement,
    pub step: Step,
}

impl Place<'_> {
    /// The statement's command and its line, for notes.
    fn name(&self) -> String {
        format!("{} in line {}", self.script.command(self.statement), self.script.position_of(self.statement).0)
    }
}

impl Replay<'_> {
    /// Runs a statement, as far as that is possible. An error ends the replay.
    pub fn statement(&mut self, place: Place) -> Result<Ran, Error> {
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
            let (statement, mut left_out) = place.script.prepare(place.statement, &self.left_out);
            if let Some(schema) = left_out.schema.take() {
                return Err(Hindrance::Schema(schema));
            }
            if let Some(target) = left_out.target {
                return Err(Hindrance::Lock(target));
            }
            if left_out.is_all {
                return Ok((left_out, Vec::new()));
            }
            backend::set(c"lock_timeout", Some(LOCK_TIMEOUT));
            let locks = LocksBefore::take();
            place.script.run(statement);
            let touched = self.watch.take();
            match locks.foreign_relation() {
                Some(relation) => Err(Hindrance::Lock(relation)),
                None => match backend::foreign_object(&touched) {
                    Some(object) => Err(Hindrance::Change(object)),
                    None => Ok((left_out, touched)),
                },
            }
        });
        match tried {
            Ok(Ok((left_out, touched))) => {
                self.record(place.step, &touched);
                self.require_few_locks()?;
                let new = left_out.foreign_keys.iter().map(|key| {
                    let target = self.live_name(key.target);
                    Note::NotChecked(format!("a foreign key to {target}, which no migration made: left out"))
                });
                let missed = left_out.missed.iter().map(|name| {
                    Note::NotChecked(format!("{} of the foreign key {name}, which was left out", place.name()))
                });
                let notes = new.chain(missed).collect();
                self.left_out.extend(left_out.foreign_keys);
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
    pub fn live_name(&self, relation: Oid) -> String {
        backend::qualified_name(relation, |schema| {
            self.schemas.iter().find(|aside| aside.oid == schema).map(|aside| aside.name.clone())
        })
    }

    /// 53400 if so many locks are held, or so many relations were made, that others are in danger.
    pub fn require_few_locks(&self) -> Result<(), Error> {
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
