//! Why something does not exist.

use super::extensions::extension_of;
use super::message::Reading;
use super::{Explainer, SHOWN, kinds, only, quoted};
use crate::migration::history::{COLUMN, FUNCTION, Object, RELATION, SCHEMA, Wanted, space};

impl<'a> Explainer<'a> {
    pub(super) fn missing(&self, reading: &Reading) -> Option<String> {
        if reading.kind == "enum value" {
            return self.enum_value(reading);
        }
        if space(reading.kind) == COLUMN || reading.table.is_some() {
            return self.missing_part(reading);
        }
        let wanted =
            |kind| Wanted { kind, schema: reading.schema.as_deref(), table: None, name: reading.name.as_str() };
        // A function with a search path of its own may have looked for it elsewhere.
        let is_there = |&(kind, _): &(&'static str, bool)| {
            let mut found = self.history.now(wanted(kind));
            space(kind) != FUNCTION && found.any(|object| reading.schema.is_some() || self.is_searched(object))
        };
        let kinds = kinds::likely(reading.kind);
        if kinds.iter().any(is_there) {
            return None;
        }
        let found = kinds.iter().find_map(|&(kind, _)| {
            let wanted = wanted(kind);
            self.gone(wanted).or_else(|| self.hidden(wanted)).or_else(|| self.other_case(wanted))
        });
        let found = found.or_else(|| self.undone(reading)).or_else(|| self.extension(reading));
        Some(found.or_else(|| self.elsewhere(reading)).unwrap_or_else(|| {
            let thing = format!("{} {}", reading.kind, quoted(&reading.name));
            format!("no earlier migration makes {thing}{}{}", self.not_replayed(reading), self.failed())
        }))
    }

    /// The same for what belongs to a table, whose name the message may lack.
    fn missing_part(&self, reading: &Reading) -> Option<String> {
        let tables = match self.table(reading) {
            Some(table) => vec![table],
            // Of columns, the table's name may be an alias.
            None if space(reading.kind) == COLUMN => self.mentioned(RELATION),
            None => return None,
        };
        let &(kind, _) = kinds::likely(reading.kind).first()?;
        let part = |table: &'a Object| {
            let table_name = Some(table.name().name.as_str());
            Wanted { kind, schema: self.history.schema(table), table: table_name, name: &reading.name }
        };
        let lacks_it = |table: &&'a Object| self.history.now(part(table)).next().is_none();
        let tables: Vec<&'a Object> = tables.into_iter().filter(lacks_it).collect();
        let known = tables.iter().filter_map(|table| {
            let wanted = part(table);
            self.gone(wanted).or_else(|| self.other_case(wanted))
        });
        let known: Vec<String> = known.collect();
        if !known.is_empty() {
            return only(known.into_iter());
        }
        let table = only(tables.into_iter())?;
        let thing = format!("{} {} of {}", reading.kind, quoted(&reading.name), self.thing(table));
        let wanted = Wanted { kind, schema: None, table: Some(&table.name().name), name: &reading.name };
        if let Some(by) = self.history.undone(wanted) {
            return Some(format!("{} made {thing}, but failed, and that was undone", self.who(by)));
        }
        let is_live = (self.elsewhere)(wanted).iter().any(|found| found.is_live && found.name == reading.name);
        let live = if is_live {
            ", but the live table has it: it was made by hand, or by a migration that is not in the list"
        } else {
            ""
        };
        Some(format!("no earlier migration makes {thing}{live}{}", self.failed()))
    }

    /// It had this name and has it no more.
    fn gone(&self, wanted: Wanted) -> Option<String> {
        let searched =
            |object: &&Object| wanted.schema.is_some() || self.is_searched(object) || self.history.is_there(object);
        let object = self.history.once(wanted).find(searched)?;
        let thing = self.thing_named(object, wanted.name);
        let made = object.made().map(|by| format!("{} made it, and ", self.who(by))).unwrap_or_default();
        let how = if let Some(by) = self.history.dropped_by(object) {
            let last = &object.name().name;
            let renamed = if last == wanted.name { String::new() } else { format!(" when it was {}", quoted(last)) };
            match object.made() {
                Some(made) if made.migration == by.migration => {
                    format!("{} made and dropped it{renamed}", self.who(by))
                }
                _ => format!("{made}{} dropped it{renamed}", self.who(by)),
            }
        } else if let Some(by) = object.renamed_from(wanted.name) {
            format!("{made}{} renamed it to {}", self.who(by), quoted(&object.name().name))
        } else {
            let from = wanted.schema?;
            let to = self.history.schema(object)?;
            format!("{made}{} moved it to schema {}", self.who(object.moved_from(from)?), quoted(to))
        };
        Some(format!("{thing} does not exist any more: {how}"))
    }

    /// It is there, but not where it is looked for, or with other arguments.
    fn hidden(&self, wanted: Wanted) -> Option<String> {
        let all: Vec<&Object> = self.history.now(Wanted { schema: None, ..wanted }).collect();
        if space(wanted.kind) == FUNCTION {
            let told = all.iter().take(SHOWN).map(|object| format!("{}: {}", self.thing(object), self.story(object)));
            let told: Vec<String> = told.collect();
            return (!told.is_empty()).then(|| format!("there is {}", told.join("; ")));
        }
        let object = all.into_iter().find(|object| !self.is_searched(object) || wanted.schema.is_some())?;
        let schema = self.history.schema(object)?;
        let kind = kinds::word(&object.name().kind);
        Some(format!("there is {kind} {} in schema {}: {}", quoted(wanted.name), quoted(schema), self.story(object)))
    }

    fn other_case(&self, wanted: Wanted) -> Option<String> {
        let object =
            self.history.in_other_case(wanted).find(|object| wanted.schema.is_some() || self.is_searched(object))?;
        Some(format!("there is {}, {}: {}", self.thing(object), spelling(&object.name().name), self.story(object)))
    }

    /// A migration made it, but that was rolled back.
    fn undone(&self, reading: &Reading) -> Option<String> {
        kinds::likely(reading.kind).iter().find_map(|&(kind, _)| {
            let wanted = Wanted { kind, schema: reading.schema.as_deref(), table: None, name: &reading.name };
            let by = self.history.undone(wanted)?;
            Some(format!(
                "{} made {} {}, but failed, and that was undone",
                self.who(by),
                reading.kind,
                quoted(&reading.name)
            ))
        })
    }

    fn extension(&self, reading: &Reading) -> Option<String> {
        let extension = extension_of(reading.kind, &reading.name)?;
        let wanted = Wanted { kind: "extension", schema: None, table: None, name: extension };
        if self.history.now(wanted).next().is_some() {
            return None;
        }
        let thing = format!("{} {} belongs to extension {}", reading.kind, quoted(&reading.name), quoted(extension));
        Some(match self.history.once(wanted).find_map(|object| self.history.dropped_by(object)) {
            Some(by) => format!("{thing}, which {} dropped", self.who(by)),
            None => format!("{thing}, which no earlier migration creates{}", self.failed()),
        })
    }

    /// The database has it, but no migration made it.
    fn elsewhere(&self, reading: &Reading) -> Option<String> {
        let schema = reading.schema.as_deref();
        let wanted = Wanted { kind: reading.kind, schema: None, table: None, name: &reading.name };
        let found = (self.elsewhere)(wanted);
        let thing = |name: &str| format!("{} {}", reading.kind, quoted(name));
        let fits = |own: &Option<String>| schema.is_none() || own.as_deref() == schema;
        if let Some(live) =
            found.iter().find(|found| found.is_live && found.name == reading.name && fits(&found.schema))
        {
            let place = live.schema.as_deref().map(|schema| format!(" schema {}", quoted(schema))).unwrap_or_default();
            return Some(format!(
                "no earlier migration makes {}, but the live{} has it: it was made by hand, or by a migration that is not in the list{}",
                thing(&live.name),
                if place.is_empty() { " database" } else { &place },
                self.failed()
            ));
        }
        let other = found.iter().find(|found| !found.is_live && found.name == reading.name)?;
        let place = other.schema.as_deref().filter(|own| Some(*own) != schema)?;
        let is_searched = self.failure.search_path.iter().any(|searched| searched == place);
        (schema.is_some() || !is_searched)
            .then(|| format!("there is {} in schema {}, and no migration made it", thing(&other.name), quoted(place)))
    }

    /// For a name in a schema that the replay does not begin without.
    fn not_replayed(&self, reading: &Reading) -> String {
        let schema = reading.schema.as_deref().or_else(|| self.mentions.qualifier(&reading.name));
        let is_there = |schema: &&str| {
            reading.kind != SCHEMA
                && !self.failure.schemas.iter().any(|other| other == schema)
                && (self.elsewhere)(Wanted { kind: SCHEMA, schema: None, table: None, name: schema })
                    .iter()
                    .any(|found| found.name == *schema && !found.is_live)
        };
        match schema.filter(is_there) {
            Some(schema) => format!(", and schema {} is not among p_schemas", quoted(schema)),
            None => String::new(),
        }
    }

    /// Earlier migrations that failed, which may be why it is missing.
    fn failed(&self) -> String {
        let failed = self.failure.failed;
        let names: Vec<String> =
            failed.iter().filter_map(|&n| self.names.get(n)).take(SHOWN).map(|name| quoted(name)).collect();
        let more = failed.len().saturating_sub(SHOWN);
        match names.len() {
            0 => String::new(),
            1 => format!("; migration {} has failed before", names[0]),
            _ if more > 0 => format!("; migrations {} and {more} more have failed before", names.join(", ")),
            _ => format!("; migrations {} have failed before", names.join(", ")),
        }
    }

    /// What an object was called when it had this name.
    fn thing_named(&self, object: &'a Object, name: &str) -> String {
        let own = &object.name().name;
        if own == name || space(&object.name().kind) == FUNCTION {
            return self.thing(object);
        }
        let kind = kinds::word(&object.name().kind);
        match self.history.table(object) {
            Some(table) => format!("{kind} {} of {} {}", quoted(name), self.owner_word(object), quoted(table)),
            None => format!("{kind} {}", quoted(name)),
        }
    }
}

/// How to write a name that the statement has in another case.
fn spelling(name: &str) -> &'static str {
    if name.bytes().any(|c| c.is_ascii_uppercase()) {
        "whose name keeps its capital letters only in double quotes"
    } else {
        "whose name has no capital letters"
    }
}
