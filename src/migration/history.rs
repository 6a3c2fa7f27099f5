//! What the migrations of a replay did to which objects: who made one, renamed it, changed its type, dropped it.
//!
//! Objects are told apart by their addresses, so that one keeps its past when it, its table or its schema is renamed.

use std::collections::HashMap;

use super::address::Address;

/// A statement of a migration, both counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Step {
    pub migration: usize,
    pub statement: usize,
}

/// What an object is called. `kind` and `identity` are as `pg_identify_object` has them, names are without quotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    pub kind: String,
    pub schema: Option<String>,
    /// The last part; that of a function is without arguments.
    pub name: String,
    /// The table of a column, constraint, trigger, policy or rule; the domain of a constraint.
    pub table: Option<String>,
    pub identity: String,
}

/// Tables, views, indexes, sequences: kinds that share their names.
pub const RELATION: &str = "relation";
pub const COLUMN: &str = "column";
pub const CONSTRAINT: &str = "constraint";
/// Functions, procedures and aggregates.
pub const FUNCTION: &str = "function";
pub const TYPE: &str = "type";
pub const SCHEMA: &str = "schema";

/// The namespace that the names of objects of a kind are in: one of the constants above, or the kind itself.
pub fn space(kind: &str) -> &str {
    match kind {
        "table" | "view" | "materialized view" | "index" | "sequence" | "foreign table" | "composite type"
        | "toast table" | RELATION => RELATION,
        "function" | "procedure" | "aggregate" | "routine" | "window function" => FUNCTION,
        "domain" => TYPE,
        _ if kind == COLUMN || kind.ends_with(" column") => COLUMN,
        _ if kind == CONSTRAINT || kind.ends_with(" constraint") => CONSTRAINT,
        _ => kind,
    }
}

/// An object that is looked for. What is `None` may be anything.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// A kind or the name of a [`space`].
    pub kind: &'a str,
    pub schema: Option<&'a str>,
    pub table: Option<&'a str>,
    pub name: &'a str,
}

/// What an object was after an event.
#[derive(Debug)]
struct State {
    address: Address,
    name: Name,
    what: Option<String>,
    /// The table, else the schema, that it is in, as far as the history knows it.
    within: Option<usize>,
}

#[derive(Debug)]
enum Then {
    Is(State),
    Gone,
}

#[derive(Debug)]
struct Event {
    by: Step,
    then: Then,
}

/// The past of one object.
#[derive(Debug)]
pub struct Object {
    id: usize,
    /// Whether a migration made it; else the first event changed what was there before.
    is_made: bool,
    events: Vec<Event>,
}

impl Object {
    fn states(&self) -> impl DoubleEndedIterator<Item = (Step, &State)> {
        self.events.iter().filter_map(|event| match &event.then {
            Then::Is(state) => Some((event.by, state)),
            Then::Gone => None,
        })
    }

    fn state(&self) -> &State {
        self.states().next_back().expect("an object begins with a state").1
    }

    /// Its last name.
    pub fn name(&self) -> &Name {
        &self.state().name
    }

    /// The type of a column, the definition of a constraint …: what was given for it last.
    pub fn what(&self) -> Option<&str> {
        self.state().what.as_deref()
    }

    /// Who made it; `None` if it was there before the migrations.
    pub fn made(&self) -> Option<Step> {
        self.is_made.then(|| self.events[0].by)
    }

    /// Who changed it last, or made it. Being dropped is not a change.
    pub fn changed(&self) -> Step {
        self.states().next_back().expect("an object begins with a state").0
    }

    /// Who gave it the name that it has, and which one it had before; `None` if it never had another.
    pub fn renamed(&self) -> Option<(Step, &Name)> {
        self.last_difference(|before, after| before.name.name != after.name.name).map(|(by, before)| (by, &before.name))
    }

    /// Who renamed it when it was called `name`.
    pub fn renamed_from(&self, name: &str) -> Option<Step> {
        self.difference(|before, after| before.name.name == name && after.name.name != name).map(|(by, _)| by)
    }

    /// Who moved it out of a schema of this name.
    pub fn moved_from(&self, schema: &str) -> Option<Step> {
        let is = |state: &State| state.name.schema.as_deref() == Some(schema);
        self.difference(|before, after| is(before) && !is(after)).map(|(by, _)| by)
    }

    /// Who changed its type (see [`Object::what`]) last, and what it was before.
    pub fn retyped(&self) -> Option<(Step, &str)> {
        let (by, before) = self.last_difference(|before, after| before.what != after.what)?;
        Some((by, before.what.as_deref()?))
    }

    /// The first step after which its type (see [`Object::what`]) was like this.
    pub fn first_with(&self, is: impl Fn(&str) -> bool) -> Option<Step> {
        self.states().find(|(_, state)| state.what.as_deref().is_some_and(&is)).map(|(by, _)| by)
    }

    fn differences(&self) -> impl DoubleEndedIterator<Item = (Step, &State, &State)> {
        let states: Vec<_> = self.states().collect();
        (1..states.len()).map(move |n| (states[n].0, states[n - 1].1, states[n].1))
    }

    fn difference(&self, differs: impl Fn(&State, &State) -> bool) -> Option<(Step, &State)> {
        self.differences().find(|(_, before, after)| differs(before, after)).map(|(by, before, _)| (by, before))
    }

    fn last_difference(&self, differs: impl Fn(&State, &State) -> bool) -> Option<(Step, &State)> {
        self.differences().rfind(|(_, before, after)| differs(before, after)).map(|(by, before, _)| (by, before))
    }
}

/// A moment of a history, see [`History::mark`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark(usize);

/// What a statement dropped.
type Dropped = (Step, HashMap<Key, Vec<usize>>);

/// The past of all objects.
#[derive(Default, Debug)]
pub struct History {
    objects: Vec<Object>,
    by_address: HashMap<Address, Vec<usize>>,
    /// The objects that have or had such a name, in upper or lower case, each once.
    by_name: HashMap<Key, Vec<usize>>,
    by_identity: HashMap<String, Vec<usize>>,
    /// The object of every event, in order.
    log: Vec<usize>,
    /// What the latest statement dropped, by space and name.
    just_dropped: Option<Dropped>,
    /// What was made by steps that have been forgotten, by space and name.
    forgotten: HashMap<Key, Vec<(Name, Step)>>,
}

/// A space and a name in it, in lower case.
type Key = (String, String);

fn key(kind: &str, name: &str) -> Key {
    (space(kind).to_owned(), name.to_ascii_lowercase())
}

fn key_of(name: &Name) -> Key {
    key(&name.kind, &name.name)
}

impl History {
    /// A statement made an object. `what` is what is worth knowing of it: the type of a column as `format_type` prints it, the
    /// definition of a constraint as `pg_get_constraintdef` does, the values of an enum type as a list of literals. Of a statement that also drops objects, the drops come first: what it drops and makes
    /// again under the same name, as ALTER COLUMN TYPE does with constraints and indexes, is one object to a reader.
    pub fn made(&mut self, address: Address, name: Name, what: Option<String>, by: Step) {
        let within = self.container(address, &name);
        let replaced = self.replaced(&name, within, by);
        match replaced.or_else(|| self.live(address)) {
            Some(id) => self.push(id, by, State { address, name, what, within }),
            None => self.add(true, by, State { address, name, what, within }),
        }
    }

    /// A statement changed an object: its name, its `what`, or anything else about it.
    pub fn changed(&mut self, address: Address, name: Name, what: Option<String>, by: Step) {
        let within = self.container(address, &name);
        match self.live(address) {
            Some(id) => self.push(id, by, State { address, name, what, within }),
            None => self.add(false, by, State { address, name, what, within }),
        }
    }

    /// A statement dropped an object, and with it whatever is in it.
    pub fn dropped(&mut self, address: Address, by: Step) {
        let Some(id) = self.live(address) else { return };
        self.objects[id].events.push(Event { by, then: Then::Gone });
        self.log.push(id);
        let key = key_of(self.objects[id].name());
        match &mut self.just_dropped {
            Some((step, dropped)) if *step == by => dropped.entry(key).or_default().push(id),
            other => *other = Some((by, HashMap::from([(key, vec![id])]))),
        }
    }

    /// This moment, to which [`History::rewind`] returns.
    pub fn mark(&self) -> Mark {
        Mark(self.log.len())
    }

    /// Forgets what was done since, because it was rolled back. Only [`History::undone`] knows of it.
    pub fn rewind(&mut self, mark: Mark) {
        self.just_dropped = None;
        while self.log.len() > mark.0 {
            let Some(id) = self.log.pop() else { return };
            let object = &mut self.objects[id];
            let Some(Event { by, then: Then::Is(state) }) = object.events.pop() else { continue };
            let fresh = Fresh::new(object, &state);
            let is_first = object.events.is_empty();
            if is_first && object.is_made {
                self.forgotten.entry(key_of(&state.name)).or_default().push((state.name.clone(), by));
            }
            // Events are forgotten in the opposite order, so the last entry is this event's.
            if fresh.address {
                pop(&mut self.by_address, &state.address);
            }
            if fresh.name {
                pop(&mut self.by_name, &key_of(&state.name));
            }
            if fresh.identity {
                pop(&mut self.by_identity, &state.name.identity);
            }
            if is_first {
                self.objects.pop();
            }
        }
    }

    /// Objects that now have this name, the newest first.
    pub fn now<'h>(&'h self, wanted: Wanted) -> impl Iterator<Item = &'h Object> {
        self.named(wanted).filter(move |&object| self.is_there(object) && self.matches(object.state(), wanted))
    }

    /// Objects that had this name and have it no more, because they or what they are in were renamed, moved or dropped;
    /// the newest first.
    pub fn once<'h>(&'h self, wanted: Wanted) -> impl Iterator<Item = &'h Object> {
        self.named(wanted).filter(move |&object| {
            object.states().any(|(_, state)| self.matches(state, wanted))
                && !(self.is_there(object) && self.matches(object.state(), wanted))
        })
    }

    /// Objects that now have this name, but for upper and lower case.
    pub fn in_other_case<'h>(&'h self, wanted: Wanted) -> impl Iterator<Item = &'h Object> {
        self.named(wanted).filter(move |&object| {
            let name = &object.name().name;
            name != wanted.name
                && name.eq_ignore_ascii_case(wanted.name)
                && self.is_there(object)
                && self.matches(object.state(), Wanted { name, ..wanted })
        })
    }

    /// Whoever made an object of this name and was forgotten then; the latest.
    pub fn undone(&self, wanted: Wanted) -> Option<Step> {
        let undone = self.forgotten.get(&key(wanted.kind, wanted.name))?;
        let fits = |given: Option<&str>, own: &Option<String>| given.is_none() || given == own.as_deref();
        let mut fitting = undone.iter().filter(|(name, _)| {
            name.name == wanted.name && fits(wanted.schema, &name.schema) && fits(wanted.table, &name.table)
        });
        fitting.next_back().map(|&(_, by)| by)
    }

    /// The object that has this address, or had it last.
    pub fn object(&self, address: Address) -> Option<&Object> {
        Some(&self.objects[*self.by_address.get(&address)?.last()?])
    }

    /// The object that was last printed like this by `pg_identify_object`.
    pub fn identified(&self, kind: &str, identity: &str) -> Option<&Object> {
        let ids = self.by_identity.get(identity)?.iter().rev();
        ids.map(|&id| &self.objects[id]).find(|object| space(&object.name().kind) == space(kind))
    }

    /// Whoever dropped the object, or the table or schema that it was in.
    pub fn dropped_by(&self, object: &Object) -> Option<Step> {
        match object.events.last() {
            Some(Event { by, then: Then::Gone }) => Some(*by),
            _ => self.dropped_by(&self.objects[object.state().within?]),
        }
    }

    /// Whether it exists.
    pub fn is_there(&self, object: &Object) -> bool {
        self.dropped_by(object).is_none()
    }

    /// The present name of the schema that it is in.
    pub fn schema<'h>(&'h self, object: &'h Object) -> Option<&'h str> {
        self.schema_of(object.state())
    }

    /// The present name of the table, or domain, that it belongs to.
    pub fn table<'h>(&'h self, object: &'h Object) -> Option<&'h str> {
        self.table_of(object.state())
    }

    /// The table that it belongs to, if a migration has touched that.
    pub fn owner(&self, object: &Object) -> Option<&Object> {
        let state = object.state();
        state.name.table.as_ref()?;
        Some(&self.objects[state.within?])
    }

    /// What belongs to a table or domain or once did, oldest first.
    pub fn parts<'h>(&'h self, of: &'h Object) -> impl Iterator<Item = &'h Object> {
        self.objects.iter().filter(move |object| object.name().table.is_some() && object.state().within == Some(of.id))
    }

    /// The migration that dropped what had this printed name; `None` if none did, or if it is there again.
    pub fn dropper(&self, kind: &str, identity: &str) -> Option<usize> {
        let object = self.identified(kind, identity)?;
        self.dropped_by(object).map(|by| by.migration)
    }

    /// The migration that last touched the object itself: made, renamed, changed or dropped it. What it did to the
    /// columns of a table does not count for the table. A column that nobody has touched came with its table.
    pub fn last_touched(&self, address: Address) -> Option<usize> {
        if let Some(object) = self.object(address) {
            return object.events.last().map(|event| event.by.migration);
        }
        let table = (address.sub != 0).then(|| self.object(Address { sub: 0, ..address }))??;
        table.made().map(|by| by.migration)
    }

    fn named(&self, wanted: Wanted) -> impl Iterator<Item = &Object> {
        let ids = self.by_name.get(&key(wanted.kind, wanted.name));
        ids.into_iter().flatten().rev().map(|&id| &self.objects[id])
    }

    fn matches(&self, state: &State, wanted: Wanted) -> bool {
        state.name.name == wanted.name
            && wanted.schema.is_none_or(|schema| self.schema_of(state) == Some(schema))
            && wanted.table.is_none_or(|table| self.table_of(state) == Some(table))
    }

    fn table_of<'h>(&'h self, state: &'h State) -> Option<&'h str> {
        let known = state.name.table.as_ref()?;
        Some(state.within.map_or(known, |table| &self.objects[table].name().name))
    }

    fn schema_of<'h>(&'h self, state: &'h State) -> Option<&'h str> {
        match state.within.map(|within| &self.objects[within]) {
            Some(table) if state.name.table.is_some() => self.schema_of(table.state()),
            Some(schema) => Some(&schema.name().name),
            None => state.name.schema.as_deref(),
        }
    }

    /// The object that is now at an address and has not been dropped.
    fn live(&self, address: Address) -> Option<usize> {
        self.object(address)
            .filter(|object| !matches!(object.events.last(), Some(Event { then: Then::Gone, .. })))
            .map(|object| object.id)
    }

    /// What an object is in: its table, else its schema.
    fn container(&self, address: Address, name: &Name) -> Option<usize> {
        if address.sub != 0 {
            return self.live(Address { sub: 0, ..address });
        }
        let schema = name.schema.as_deref()?;
        let wanted = match name.table.as_deref() {
            // Constraints may also belong to a domain.
            Some(table) if name.kind == "domain constraint" => {
                Wanted { kind: TYPE, schema: Some(schema), table: None, name: table }
            }
            Some(table) => Wanted { kind: RELATION, schema: Some(schema), table: None, name: table },
            None => Wanted { kind: SCHEMA, schema: None, table: None, name: schema },
        };
        self.now(wanted).next().map(|object| object.id)
    }

    /// The object that the same statement dropped under the same name.
    fn replaced(&mut self, name: &Name, within: Option<usize>, by: Step) -> Option<usize> {
        let (step, dropped) = self.just_dropped.as_mut()?;
        let ids = dropped.get_mut(&key_of(name)).filter(|_| *step == by)?;
        let is_same = |id: &usize| {
            let before = self.objects[*id].state();
            // Texts may be older than a renaming of the table or schema.
            let has_same_texts = before.name.schema == name.schema && before.name.table == name.table;
            before.name.name == name.name && before.within == within && (within.is_some() || has_same_texts)
        };
        ids.iter().position(is_same).map(|at| ids.swap_remove(at))
    }

    fn add(&mut self, is_made: bool, by: Step, state: State) {
        let id = self.objects.len();
        self.objects.push(Object { id, is_made, events: Vec::new() });
        self.push(id, by, state);
    }

    fn push(&mut self, id: usize, by: Step, state: State) {
        let object = &mut self.objects[id];
        let fresh = Fresh::new(object, &state);
        if fresh.address {
            self.by_address.entry(state.address).or_default().push(id);
        }
        if fresh.name {
            self.by_name.entry(key_of(&state.name)).or_default().push(id);
        }
        if fresh.identity {
            self.by_identity.entry(state.name.identity.clone()).or_default().push(id);
        }
        object.events.push(Event { by, then: Then::Is(state) });
        self.log.push(id);
    }
}

/// Under what an event makes its object findable.
struct Fresh {
    address: bool,
    name: bool,
    identity: bool,
}

impl Fresh {
    fn new(object: &Object, after: &State) -> Fresh {
        let Some((_, before)) = object.states().next_back() else {
            return Fresh { address: true, name: true, identity: true };
        };
        let had_name = |state: &State| key_of(&state.name) == key_of(&after.name);
        Fresh {
            address: before.address != after.address,
            name: before.name.name != after.name.name && !object.states().any(|(_, state)| had_name(state)),
            identity: before.name.identity != after.name.identity,
        }
    }
}

fn pop<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Vec<usize>>, key: &K) {
    if let Some(ids) = index.get_mut(key) {
        ids.pop();
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
