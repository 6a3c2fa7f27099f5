//! Why types do not fit: which columns have them, and who made that so.

use super::message::Reading;
use super::{Explainer, SHOWN, kinds};
use crate::migration::history::{COLUMN, Object, RELATION, space};

impl<'a> Explainer<'a> {
    pub(super) fn types(&self, reading: &Reading) -> Option<String> {
        let tables = self.mentioned(RELATION);
        let columns: Vec<&Object> = tables.into_iter().flat_map(|table| self.columns(table)).collect();
        let named = |name: &str, type_name: Option<&String>| -> Vec<&Object> {
            let fits = |column: &&&Object| {
                column.name().name == name && type_name.is_none_or(|type_name| is_of_type(column, type_name))
            };
            columns.iter().filter(fits).copied().collect()
        };
        let mut found = match reading.kind {
            "column" => named(&reading.name, reading.types.first()),
            "key" => {
                let mut found = named(&reading.name, reading.types.first());
                for column in named(reading.referenced.as_deref()?, reading.types.get(1)) {
                    if !found.iter().any(|other| std::ptr::eq(*other, column)) {
                        found.push(column);
                    }
                }
                found
            }
            _ => {
                let fits = |column: &&&Object| {
                    self.mentions.has(&column.name().name) && reading.types.iter().any(|name| is_of_type(column, name))
                };
                columns.iter().filter(fits).copied().collect()
            }
        };
        if found.len() > SHOWN {
            // Too many to name; one whose type was changed is the likeliest cause.
            found.retain(|column| column.retyped().is_some());
        }
        let is_few = (1..=SHOWN).contains(&found.len());
        is_few.then(|| found.into_iter().map(|column| self.type_story(column)).collect::<Vec<_>>().join("; "))
    }

    fn columns(&self, table: &'a Object) -> impl Iterator<Item = &'a Object> {
        let history = self.history;
        history.parts(table).filter(move |part| space(&part.name().kind) == COLUMN && history.is_there(part))
    }

    fn type_story(&self, column: &Object) -> String {
        let how = match (column.retyped(), column.made()) {
            (Some((by, before)), _) => format!("{} changed it from {before}", self.who(by)),
            (None, Some(by)) => format!("{} made it so", self.who(by)),
            (None, None) => "it was so before the migrations".to_owned(),
        };
        format!("{} is of type {}: {how}", self.thing(column), column.what().unwrap_or("unknown"))
    }
}

/// Whether a column is of a type as a message prints it: without modifiers, and without a schema that is searched.
fn is_of_type(column: &Object, type_name: &str) -> bool {
    let Some(own) = column.what().map(kinds::base_type) else { return false };
    own == type_name || own.strip_suffix(type_name).is_some_and(|schema| schema.ends_with('.'))
}
