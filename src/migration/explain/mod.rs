//! Why a statement of a migration failed, as far as the history of what the migrations did tells.
//!
//! [`message`] finds what an error names, which is then looked up in the [`History`]. Where a message can be read in several
//! ways, the statement decides, or the history; what remains open is not explained.

mod extensions;
mod kinds;
mod message;
mod missing;
mod statement;
mod types;

use self::message::{Matter, Reading, dependents, names_in};
use self::statement::Mentions;
use super::history::{CONSTRAINT, FUNCTION, History, Object, RELATION, SCHEMA, Step, TYPE, Wanted, space};

/// A statement that failed. Messages are English; what an error lacks is an empty text.
pub struct Failure<'a> {
    pub sqlstate: &'a str,
    pub message: &'a str,
    pub detail: &'a str,
    pub hint: &'a str,
    pub statement: &'a str,
    pub step: Step,
    /// The schemas that were searched, first to last.
    pub search_path: &'a [String],
    /// `p_schemas`.
    pub schemas: &'a [String],
    /// Earlier migrations that failed.
    pub failed: &'a [usize],
}

/// An object that the replay did not make.
pub struct Elsewhere {
    pub schema: Option<String>,
    pub name: String,
    /// Whether it is in one of the live schemas that were moved aside; `schema` is then its usual name.
    pub is_live: bool,
}

/// Finds objects of the database that the replay did not make, by kind (also `schema`) and name, the latter without regard to
/// upper and lower case. It may be called several times for one failure.
pub type Search<'a> = &'a dyn Fn(Wanted) -> Vec<Elsewhere>;

/// A sentence or two about the cause; `None` if it is not known. `names` are those of the migrations.
pub fn explanation(failure: &Failure, history: &History, names: &[String], elsewhere: Search) -> Option<String> {
    let mentions = Mentions::new(failure.statement);
    let explainer = Explainer { failure, history, names, elsewhere, mentions };
    let readings = names_in(failure.sqlstate, failure.message, failure.detail, failure.hint);
    let reading = explainer.choose(readings)?;
    match reading.matter {
        Matter::Exists => explainer.exists(&reading),
        Matter::Missing => explainer.missing(&reading),
        Matter::OtherKind => explainer.other_kind(&reading),
        Matter::Type => explainer.types(&reading),
        Matter::Rows => explainer.rows(&reading),
        Matter::Needed => explainer.needed(),
        Matter::Replaced => explainer.replaced(&reading),
        Matter::NewValue => explainer.new_value(&reading),
        Matter::NoKey => explainer.no_key(&reading),
    }
}

/// At most this many objects are named in one explanation.
const SHOWN: usize = 4;

struct Explainer<'a> {
    failure: &'a Failure<'a>,
    history: &'a History,
    names: &'a [String],
    elsewhere: Search<'a>,
    mentions: Mentions,
}

impl<'a> Explainer<'a> {
    /// The reading whose names the statement has; if there are several, the one that the history knows.
    fn choose(&self, readings: Vec<Reading>) -> Option<Reading> {
        let mentioned = |reading: &Reading| {
            let parts = [Some(&reading.name), reading.schema.as_ref(), reading.table.as_ref()];
            parts.into_iter().flatten().filter(|part| self.mentions.has(part)).count()
        };
        let most = readings.iter().map(mentioned).max()?;
        let mut best: Vec<Reading> = readings.into_iter().filter(|reading| mentioned(reading) == most).collect();
        best.dedup();
        if best.len() > 1 {
            best.retain(|reading| self.is_known(reading));
        }
        only(best.into_iter())
    }

    /// Whether the history knows the object, or the table that it is said to belong to.
    fn is_known(&self, reading: &Reading) -> bool {
        let was_there = |&(kind, _): &(&str, bool)| {
            let wanted = Wanted { kind, schema: reading.schema.as_deref(), table: None, name: &reading.name };
            reading.table.is_none() && self.history.once(wanted).next().is_some()
        };
        self.find(reading).is_some()
            || self.table(reading).is_some()
            || kinds::likely(reading.kind).iter().any(was_there)
    }

    /// The object that a reading names and that is there now.
    fn find(&self, reading: &Reading) -> Option<&'a Object> {
        kinds::likely(reading.kind).iter().find_map(|&(kind, has_table)| {
            let table = reading.table.as_deref().filter(|_| has_table);
            self.resolve(Wanted { kind, schema: reading.schema.as_deref(), table, name: &reading.name }, reading)
        })
    }

    /// The same for one kind of objects. Of several, the statement tells which one, by a qualified name or arguments, or else
    /// the search path.
    fn resolve(&self, wanted: Wanted, reading: &Reading) -> Option<&'a Object> {
        let mut found: Vec<&Object> = self.history.now(wanted).collect();
        let arguments = reading.arguments.as_ref().map(|arguments| format!("({arguments})"));
        if let (true, Some(arguments)) = (found.len() > 1, arguments) {
            found.retain(|object| object.name().identity.ends_with(&arguments));
        }
        let path_name = wanted.table.unwrap_or(wanted.name);
        if wanted.schema.is_none() {
            found.retain(|object| self.is_meant(object, path_name));
        }
        let qualified = |object: &&&Object| {
            self.history.schema(object).is_some_and(|schema| self.mentions.has_path(schema, path_name))
        };
        match found[..] {
            [] => None,
            [object] => Some(object),
            _ => only(found.iter().filter(qualified).copied()).or_else(|| {
                self.failure.search_path.iter().find_map(|schema| {
                    only(found.iter().copied().filter(|object| self.history.schema(object) == Some(schema)))
                })
            }),
        }
    }

    /// The relations that the statement mentions and that migrations touched, in the order in which it does.
    fn mentioned(&self, kind: &str) -> Vec<&'a Object> {
        let mut found: Vec<&Object> = Vec::new();
        for path in self.mentions.paths() {
            let qualified = path.windows(2).map(|pair| (Some(pair[0].as_str()), pair[1].as_str()));
            for (schema, name) in qualified.chain([(None, path[0].as_str())]) {
                let wanted = Wanted { kind, schema, table: None, name };
                let object = self.history.now(wanted).find(|object| schema.is_some() || self.is_searched(object));
                found.extend(object.filter(|object| !found.iter().any(|other| std::ptr::eq(*other, *object))));
            }
        }
        found
    }

    /// Whether a statement that calls it, or its table, by this name can mean this object.
    fn is_meant(&self, object: &Object, name: &str) -> bool {
        let Some(schema) = self.history.schema(object) else { return true };
        match self.mentions.qualifier(name) {
            Some(qualifier) if self.is_schema(qualifier) => qualifier == schema,
            // An index is in the schema of its table, which alone is qualified.
            _ => self.is_searched(object) || self.mentions.is_qualifier(schema),
        }
    }

    /// Whether it is the name of a schema, and not the alias of a table.
    fn is_schema(&self, name: &str) -> bool {
        let wanted = Wanted { kind: SCHEMA, schema: None, table: None, name };
        [self.failure.schemas, self.failure.search_path].into_iter().flatten().any(|schema| schema == name)
            || self.history.now(wanted).next().is_some()
            || (self.elsewhere)(wanted).iter().any(|found| found.name == name)
    }

    fn is_searched(&self, object: &Object) -> bool {
        self.history.schema(object).is_none_or(|schema| self.failure.search_path.iter().any(|other| other == schema))
    }

    fn exists(&self, reading: &Reading) -> Option<String> {
        if reading.kind == "enum value" {
            return self.enum_value(reading);
        }
        if reading.kind == "primary key" {
            let table = self.table(reading)?;
            let is_key = |part: &&Object| {
                self.history.is_there(part) && part.what().is_some_and(|what| what.starts_with("PRIMARY KEY"))
            };
            let key = self.history.parts(table).find(is_key)?;
            return Some(format!(
                "{} has a primary key already, {}: {}",
                self.thing(table),
                quoted(&key.name().name),
                self.story(key)
            ));
        }
        if let Some(object) = self.find(reading) {
            return Some(format!("{} exists already: {}", self.thing(object), self.story(object)));
        }
        let schema = match reading.kind {
            SCHEMA => Some(reading.name.as_str()),
            _ => reading
                .schema
                .as_deref()
                .or_else(|| self.mentions.qualifier(reading.table.as_deref().unwrap_or(&reading.name))),
        };
        let is_replayed = |schema: &str| self.failure.schemas.iter().any(|other| other == schema);
        // A schema that migrations made themselves begins empty too.
        let is_made = |schema: &str| {
            self.history
                .now(Wanted { kind: SCHEMA, schema: None, table: None, name: schema })
                .next()
                .is_some_and(|object| object.made().is_some())
        };
        let schema = schema.filter(|schema| !is_replayed(schema) && !is_made(schema))?;
        let wanted = Wanted { kind: reading.kind, schema: None, table: None, name: &reading.name };
        let is_there = |found: &Elsewhere| found.name == reading.name && !found.is_live;
        (reading.table.is_some() || (self.elsewhere)(wanted).iter().any(is_there)).then(|| {
            format!(
                "no migration made it: schema {} is not among p_schemas, so the replay does not begin without it",
                quoted(schema)
            )
        })
    }

    fn other_kind(&self, reading: &Reading) -> Option<String> {
        let object = self.find(reading)?;
        let kind = kinds::word(&object.name().kind);
        let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
        Some(format!("{} is {article} {kind}: {}", quoted(&object.name().name), self.story(object)))
    }

    fn rows(&self, reading: &Reading) -> Option<String> {
        match reading.kind {
            "column" => {
                let Some(column) = self.find(reading) else {
                    let table = self.table(reading)?;
                    return Some(format!(
                        "{} has rows, which earlier statements put there, and this statement gives them no value for the new column {}",
                        self.thing(table),
                        quoted(&reading.name)
                    ));
                };
                Some(format!("{}: {}", self.thing(column), self.full_story(column)))
            }
            "partition" => {
                let table = self.table(reading)?;
                let partitioned = self.story(table);
                Some(format!(
                    "no earlier migration makes a partition of {} for the row: {partitioned}",
                    self.thing(table)
                ))
            }
            _ => match self.find(reading) {
                Some(object) => Some(format!("{}: {}", self.thing(object), self.story(object))),
                None if self.mentions.has(&reading.name)
                    || reading.table.as_ref().is_some_and(|_| self.table(reading).is_some()) =>
                {
                    Some(format!(
                        "this statement makes constraint {}, and rows that earlier statements put into the table violate it",
                        quoted(&reading.name)
                    ))
                }
                None => None,
            },
        }
    }

    fn needed(&self) -> Option<String> {
        let choose = |readings: Vec<Reading>| {
            let found: Vec<&Object> = readings.iter().filter_map(|reading| self.find(reading)).collect();
            only(found.into_iter())
        };
        let mut found: Vec<&Object> = Vec::new();
        for object in dependents(self.failure.message, self.failure.detail).into_iter().filter_map(choose) {
            if !found.iter().any(|other| std::ptr::eq(*other, object)) {
                found.push(object);
            }
        }
        let told = found
            .iter()
            .take(SHOWN)
            .map(|object| format!("{} depends on it: {}", self.thing(object), self.story(object)));
        let told: Vec<String> = told.collect();
        let more = found.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        (!told.is_empty()).then(|| format!("{}{more}", told.join("; ")))
    }

    fn replaced(&self, reading: &Reading) -> Option<String> {
        let object = if reading.name.is_empty() {
            // CREATE VIEW mentions the view first.
            let views = self.mentioned(RELATION);
            views.into_iter().find(|object| object.name().kind.ends_with("view"))?
        } else {
            self.find(reading)?
        };
        Some(format!("{} exists already: {}", self.thing(object), self.full_story(object)))
    }

    /// Who made an enum type have a value, or that it has none such.
    fn enum_value(&self, reading: &Reading) -> Option<String> {
        let object =
            if reading.name.is_empty() { only(self.mentioned(TYPE).into_iter())? } else { self.find(reading)? };
        let value = reading.value.as_deref()?;
        let (thing, value_there) = (self.thing(object), labels(object).any(|label| label == value));
        if reading.matter == Matter::Missing {
            return Some(format!("{thing} has no value {}: {}", quoted(value), self.full_story(object)));
        }
        let by = object.first_with(|what| kinds::literals(what).any(|label| label == value)).filter(|_| value_there);
        Some(format!(
            "{thing} has the value {} already: {} gave it",
            quoted(value),
            self.who(by.unwrap_or(object.changed()))
        ))
    }

    fn new_value(&self, reading: &Reading) -> Option<String> {
        let object = self.find(reading)?;
        let value = reading.value.as_deref()?;
        let by =
            object.first_with(|what| kinds::literals(what).any(|label| label == value)).unwrap_or(object.changed());
        Some(format!(
            "{} got the value {} by {}, and it cannot be used before that is committed",
            self.thing(object),
            quoted(value),
            self.who(by)
        ))
    }

    /// A unique constraint or index that is missing, because it was dropped.
    fn no_key(&self, reading: &Reading) -> Option<String> {
        let table = match &reading.table {
            Some(_) => self.table(reading)?,
            None => *self.mentioned(RELATION).first()?,
        };
        let is_key = |part: &&Object| {
            space(&part.name().kind) == CONSTRAINT
                && part.what().is_some_and(|what| what.starts_with("UNIQUE") || what.starts_with("PRIMARY KEY"))
        };
        let dropped =
            self.history.parts(table).filter(is_key).filter_map(|part| Some((self.history.dropped_by(part)?, part)));
        let (by, part) = dropped.max_by_key(|(by, _)| *by)?;
        Some(format!("{} dropped {}; {}", self.who(by), self.thing(part), self.story(part)))
    }

    /// The table that a reading names.
    fn table(&self, reading: &Reading) -> Option<&'a Object> {
        let name = reading.table.as_deref()?;
        // Composite types have columns too, and domains have constraints.
        [RELATION, TYPE].into_iter().find_map(|kind| {
            self.resolve(Wanted { kind, schema: reading.schema.as_deref(), table: None, name }, reading)
        })
    }

    /// What an object is called, with its schema if that is not searched.
    fn thing(&self, object: &Object) -> String {
        let name = object.name();
        let schema = match self.history.schema(object) {
            Some(schema) if !self.is_searched(object) => format!(" in schema {}", quoted(schema)),
            _ => String::new(),
        };
        if space(&name.kind) == FUNCTION {
            return format!("{} {}", name.kind, name.identity);
        }
        let kind = kinds::word(&name.kind);
        match self.history.table(object) {
            Some(table) => {
                format!("{kind} {} of {} {}{schema}", quoted(&name.name), self.owner_word(object), quoted(table))
            }
            None => format!("{kind} {}{schema}", quoted(&name.name)),
        }
    }

    /// The kind of what an object belongs to.
    fn owner_word<'o>(&'o self, object: &'o Object) -> &'o str {
        let owner = self.history.owner(object).map(|owner| kinds::word(&owner.name().kind));
        owner.unwrap_or(kinds::owner(&object.name().kind))
    }

    /// Who made an object, and who gave it its name.
    fn story(&self, object: &Object) -> String {
        let made = object.made();
        match (made, object.renamed()) {
            (None, None) => "it was there before the migrations".to_owned(),
            (None, Some((by, before))) => format!("{} renamed it from {}", self.who(by), quoted(&before.name)),
            (Some(made), None) => format!("{} made it", self.who(made)),
            (Some(made), Some((by, before))) => {
                let who = if made.migration == by.migration { String::new() } else { format!("{} ", self.who(by)) };
                format!("{} made it, and {who}renamed it from {}", self.who(made), quoted(&before.name))
            }
        }
    }

    /// The same, and who changed it last.
    fn full_story(&self, object: &Object) -> String {
        let story = self.story(object);
        let last = object.changed();
        let is_told = object.made() == Some(last) || object.renamed().is_some_and(|(by, _)| by == last);
        if is_told { story } else { format!("{story}, and {} changed it last", self.who(last)) }
    }

    fn who(&self, step: Step) -> String {
        let own = self.failure.step;
        match self.names.get(step.migration) {
            _ if step == own => "this statement".to_owned(),
            _ if step.migration == own.migration => "an earlier statement of this migration".to_owned(),
            Some(name) => format!("migration {}", quoted(name)),
            None => "an earlier migration".to_owned(),
        }
    }
}

/// The values of an enum type.
fn labels(object: &Object) -> impl Iterator<Item = String> {
    kinds::literals(object.what().unwrap_or_default())
}

/// The only one.
fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// A name in messages.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

#[cfg(test)]
mod tests;
