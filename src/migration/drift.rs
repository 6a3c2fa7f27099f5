//! What differs between the schemas that migrations build and those that are there.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::address::Address;
use super::facts::{AS_INHERITED, COLUMN, COLUMN_ORDER, CONSTRAINT, Fact, INHERITED_COLUMN};
use crate::backend::ResultSet;

/// How an object differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Migrations build it, the live schemas do not have it.
    Missing,
    /// Only the live schemas have it.
    Extra,
    Changed,
}

impl How {
    fn as_str(self) -> &'static str {
        match self {
            How::Missing => "missing",
            How::Extra => "extra",
            How::Changed => "changed",
        }
    }
}

/// An object that is not as the migrations build it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub kind: String,
    pub object: String,
    pub difference: How,
    /// Its definition as built.
    pub expected: Option<String>,
    /// Its definition as it is.
    pub actual: Option<String>,
    /// The address of the object that was built, by which it can be told which migration touched it last.
    pub address: Option<Address>,
}

impl Difference {
    /// Whether it is a foreign key to one of these relations, whose names are quoted as in definitions.
    pub fn is_foreign_key_to(&self, relations: &[String]) -> bool {
        let refers_to = |definition: &String| {
            definition.starts_with("FOREIGN KEY")
                && relations.iter().any(|relation| definition.contains(&format!(" REFERENCES {relation}(")))
        };
        self.kind == CONSTRAINT && self.actual.as_ref().or(self.expected.as_ref()).is_some_and(refers_to)
    }
}

/// Facts, by what they are about.
struct Index<'f> {
    by_name: HashMap<(&'f str, &'f str), &'f Fact>,
    /// Without facts about aspects, which have the address of their object.
    by_address: HashMap<Address, &'f Fact>,
    /// The columns of each table, in order.
    columns: HashMap<Address, Vec<&'f Fact>>,
}

impl<'f> Index<'f> {
    fn of(facts: &'f [Fact]) -> Self {
        let by_name = facts.iter().map(|fact| (name(fact), fact)).collect();
        let by_address = facts.iter().filter(|fact| !fact.is_aspect()).map(|fact| (fact.address, fact)).collect();
        let mut columns: HashMap<Address, Vec<&Fact>> = HashMap::new();
        for column in facts.iter().filter(|fact| fact.kind == COLUMN) {
            columns.entry(Address { sub: 0, ..column.address }).or_default().push(column);
        }
        for columns in columns.values_mut() {
            columns.sort_by_key(|column| column.address.sub);
        }
        Index { by_name, by_address, columns }
    }

    fn has(&self, fact: &Fact) -> bool {
        self.by_name.contains_key(&name(fact))
    }

    /// Whether what the fact belongs to here is not in `other` at all, which says everything. A column that a table has from
    /// its parents goes with theirs.
    fn lacks_parent_in(&self, other: &Index, fact: &Fact) -> bool {
        let parent = fact.parent.and_then(|address| self.by_address.get(&address));
        let is_parents = fact.kind == INHERITED_COLUMN && fact.definition == AS_INHERITED;
        is_parents || parent.is_some_and(|parent| !other.has(parent))
    }

    /// The names of a table's columns that `other` has too, in the order they have here.
    fn common_columns(&self, other: &Index, order: &Fact) -> Vec<&'f str> {
        let columns = self.columns.get(&order.address).into_iter().flatten();
        let common = columns.filter(|column| other.has(column));
        common.filter_map(|column| column.object.strip_prefix(&*order.object)?.strip_prefix('.')).collect()
    }
}

fn name(fact: &Fact) -> (&str, &str) {
    (&fact.kind, &fact.object)
}

/// What differs, tables first, then what belongs to them, then all else, each by its name. What belongs to an object that is
/// missing or extra is not listed beside it.
pub fn compare(built: &[Fact], live: &[Fact]) -> Vec<Difference> {
    let (built_index, live_index) = (Index::of(built), Index::of(live));
    let mut differences = Vec::new();
    for fact in built {
        match live_index.by_name.get(&name(fact)) {
            Some(actual) => differences.extend(changed(fact, actual, &built_index, &live_index)),
            None if built_index.lacks_parent_in(&live_index, fact) => {}
            None => differences.push(difference(How::Missing, Some(fact), None)),
        }
    }
    for fact in live {
        if !built_index.has(fact) && !live_index.lacks_parent_in(&built_index, fact) {
            differences.push(difference(How::Extra, None, Some(fact)));
        }
    }
    differences.sort_by(|a, b| order(a).cmp(&order(b)));
    differences
}

fn changed(expected: &Fact, actual: &Fact, built: &Index, live: &Index) -> Option<Difference> {
    if expected.kind != COLUMN_ORDER {
        let is_changed = expected.definition != actual.definition;
        return is_changed.then(|| difference(How::Changed, Some(expected), Some(actual)));
    }
    // A column that only one side has is a difference of its own.
    let (should, is) = (built.common_columns(live, expected), live.common_columns(built, actual));
    (should != is).then(|| Difference {
        expected: Some(should.join(", ")),
        actual: Some(is.join(", ")),
        ..difference(How::Changed, Some(expected), Some(actual))
    })
}

/// At least one of the facts is given.
fn difference(how: How, expected: Option<&Fact>, actual: Option<&Fact>) -> Difference {
    let (kind, object) = expected.or(actual).map(name).unwrap_or_default();
    Difference {
        kind: kind.to_owned(),
        object: object.to_owned(),
        difference: how,
        expected: expected.map(|fact| fact.definition.clone()),
        actual: actual.map(|fact| fact.definition.clone()),
        address: expected.map(|fact| fact.address),
    }
}

fn order(difference: &Difference) -> (Reverse<usize>, &str, &str, usize) {
    const KINDS: [&str; 12] = [
        "table",
        "column",
        INHERITED_COLUMN,
        "column order",
        "constraint",
        "index",
        "sequence",
        "trigger",
        "rule",
        "row level security",
        "policy",
        "statistics",
    ];
    let before = KINDS.iter().position(|kind| *kind == difference.kind).map_or(0, |place| KINDS.len() - place);
    (Reverse(before), &difference.kind, &difference.object, difference.difference as usize)
}

/// Adds a difference to the rows of `schema_drift`; `migration` is the one that last touched the object.
pub fn push(rows: &ResultSet, difference: &Difference, migration: Option<&str>) {
    rows.push(&[
        difference.kind.as_str().into(),
        difference.object.as_str().into(),
        difference.difference.as_str().into(),
        difference.expected.as_deref().into(),
        difference.actual.as_deref().into(),
        migration.into(),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: u32 = 1259;

    fn at(object: u32, sub: i32) -> Address {
        Address { class: CLASS, object, sub }
    }

    fn fact(kind: &str, object: &str, definition: &str, address: Address, parent: Option<Address>) -> Fact {
        let [kind, object, definition] = [kind, object, definition].map(str::to_owned);
        Fact { kind, object, definition, parent, address }
    }

    /// A table with these columns, all of them text.
    fn table(oid: u32, name: &str, columns: &[&str]) -> Vec<Fact> {
        let own = Some(at(oid, 0));
        let mut facts = vec![
            fact("table", name, "TABLE", at(oid, 0), None),
            fact("row level security", name, "disabled", at(oid, 0), own),
            fact("column order", name, &columns.join(", "), at(oid, 0), own),
        ];
        for (column, number) in columns.iter().zip(1..) {
            facts.push(fact("column", &format!("{name}.{column}"), "text", at(oid, number), own));
        }
        facts
    }

    /// Kind, object and how of each difference.
    fn found(built: &[Fact], live: &[Fact]) -> Vec<(String, String, How)> {
        compare(built, live).into_iter().map(|d| (d.kind, d.object, d.difference)).collect()
    }

    fn is(kind: &str, object: &str, how: How) -> (String, String, How) {
        (kind.to_owned(), object.to_owned(), how)
    }

    #[test]
    fn equal_schemas_have_no_differences_whatever_their_oids() {
        let mut live = table(7, "s.a", &["x", "y"]);
        live.reverse();
        assert_eq!(compare(&table(1, "s.a", &["x", "y"]), &live), []);
        assert_eq!(compare(&[], &[]), []);
    }

    #[test]
    fn a_table_is_one_row_with_all_that_belongs_to_it() {
        let mut one = table(1, "s.a", &["id"]);
        one.push(fact("sequence", "s.a_id_seq", "AS bigint", at(2, 0), Some(at(1, 1))));
        one.push(fact("index", "s.i", "CREATE INDEX", at(3, 0), Some(at(1, 0))));
        one.push(fact("owner", "table s.a", "me", at(1, 0), Some(at(1, 0))));
        one.push(fact("owner", "sequence s.a_id_seq", "me", at(2, 0), Some(at(2, 0))));
        one.push(fact("comment", "column s.a.id", "about", at(1, 1), Some(at(1, 1))));
        assert_eq!(found(&one, &[]), [is("table", "s.a", How::Missing)]);
        assert_eq!(found(&[], &one), [is("table", "s.a", How::Extra)]);
    }

    #[test]
    fn a_serial_column_is_one_row() {
        let built = table(1, "s.a", &["x"]);
        let mut live = table(1, "s.a", &["x", "id"]);
        live.push(fact("sequence", "s.a_id_seq", "AS bigint", at(2, 0), Some(at(1, 2))));
        live.push(fact("index", "s.i", "CREATE INDEX", at(3, 0), Some(at(1, 0))));
        // An index has a name of its own.
        assert_eq!(found(&built, &live), [is("column", "s.a.id", How::Extra), is("index", "s.i", How::Extra)]);
    }

    #[test]
    fn changes_say_what_was_expected_and_what_is() {
        let mut live = table(9, "s.a", &["x"]);
        live[3].definition = "integer".to_owned();
        let differences = compare(&table(1, "s.a", &["x"]), &live);
        let expected = Difference {
            kind: "column".to_owned(),
            object: "s.a.x".to_owned(),
            difference: How::Changed,
            expected: Some("text".to_owned()),
            actual: Some("integer".to_owned()),
            address: Some(at(1, 1)),
        };
        assert_eq!(differences, [expected]);
    }

    #[test]
    fn order_is_that_of_the_columns_both_have() {
        let built = table(1, "s.a", &["x", "y", "z"]);
        assert_eq!(found(&built, &table(1, "s.a", &["new", "x", "y", "z"])), [is("column", "s.a.new", How::Extra)]);
        let live = table(1, "s.a", &["z", "\"new.\"", "x"]);
        let differences = compare(&built, &live);
        let order = differences.iter().find(|difference| difference.kind == "column order").unwrap();
        assert_eq!((order.expected.as_deref(), order.actual.as_deref()), (Some("x, z"), Some("z, x")));
        assert_eq!(differences.len(), 3, "one column is missing and one is extra");
    }

    #[test]
    fn a_rename_is_a_missing_and_an_extra_one() {
        let (built, live) = (table(1, "s.a", &["x"]), table(1, "s.b", &["x"]));
        assert_eq!(found(&built, &live), [is("table", "s.a", How::Missing), is("table", "s.b", How::Extra)]);
        let (built, live) = (table(1, "s.a", &["x"]), table(1, "s.a", &["y"]));
        assert_eq!(found(&built, &live), [is("column", "s.a.x", How::Missing), is("column", "s.a.y", How::Extra)]);
    }

    #[test]
    fn what_is_inherited_goes_with_the_parents_column() {
        let child = |definition: &str| {
            let mut facts = table(1, "s.child", &[]);
            facts.push(fact(INHERITED_COLUMN, "s.child.x", definition, at(1, 1), Some(at(1, 0))));
            facts
        };
        assert_eq!(found(&table(1, "s.child", &[]), &child(AS_INHERITED)), []);
        assert_eq!(found(&child(AS_INHERITED), &table(1, "s.child", &[])), []);
        let is_changed = [is(INHERITED_COLUMN, "s.child.x", How::Changed)];
        assert_eq!(found(&child(AS_INHERITED), &child("text DEFAULT 'y'::text")), is_changed);
    }

    #[test]
    fn only_what_was_built_has_an_address() {
        let (a, b) = (table(5, "s.a", &[]), table(6, "s.b", &[]));
        let addresses: Vec<_> = compare(&a, &b).into_iter().map(|d| (d.object, d.address)).collect();
        assert_eq!(addresses, [("s.a".to_owned(), Some(at(5, 0))), ("s.b".to_owned(), None)]);
    }

    #[test]
    fn tables_then_what_they_have_then_the_rest() {
        let mut live = vec![
            fact("function", "s.a()", "f", at(10, 0), None),
            fact("aggregate", "s.z()", "a", at(11, 0), None),
            fact("policy", "p on s.b", "p", at(12, 0), Some(at(1, 0))),
            fact("constraint", "c on s.b", "c", at(13, 0), Some(at(1, 0))),
        ];
        live.extend(table(1, "s.b", &["x"]));
        live.extend(table(2, "s.c", &["x"]));
        let kinds: Vec<String> = found(&table(1, "s.b", &[]), &live).into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, ["table", "column", "constraint", "policy", "aggregate", "function"]);
    }
}
