//! Tests of [`super`].

use proptest::prelude::*;

use super::*;

fn at(object: u32) -> Address {
    Address { class: 1259, object, sub: 0 }
}

fn column_at(object: u32, sub: i32) -> Address {
    Address { class: 1259, object, sub }
}

fn by(migration: usize, statement: usize) -> Step {
    Step { migration, statement }
}

fn name(kind: &str, schema: Option<&str>, table: Option<&str>, name: &str) -> Name {
    let path: Vec<&str> = [schema, table, Some(name)].into_iter().flatten().collect();
    Name {
        kind: kind.to_owned(),
        schema: schema.map(str::to_owned),
        table: table.map(str::to_owned),
        name: name.to_owned(),
        identity: path.join("."),
    }
}

fn table(own: &str) -> Name {
    name("table", Some("public"), None, own)
}

fn column(of: &str, own: &str) -> Name {
    name("table column", Some("public"), Some(of), own)
}

fn wanted<'a>(kind: &'a str, table: Option<&'a str>, name: &'a str) -> Wanted<'a> {
    Wanted { kind, schema: Some("public"), table, name }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn who_made_what_has_the_name_now() {
    let mut history = History::default();
    history.made(at(1), table("a"), None, by(0, 0));
    history.made(column_at(1, 1), column("a", "x"), text("integer"), by(0, 0));
    history.changed(column_at(1, 1), column("a", "y"), text("integer"), by(1, 0));
    history.made(column_at(1, 2), column("a", "x"), text("text"), by(2, 0));
    let x = history.now(wanted(COLUMN, Some("a"), "x")).next().unwrap();
    let y = history.now(wanted("table column", Some("a"), "y")).next().unwrap();
    assert_eq!((x.made(), x.what()), (Some(by(2, 0)), Some("text")));
    assert_eq!((y.made(), y.renamed_from("x")), (Some(by(0, 0)), Some(by(1, 0))));
    assert_eq!(y.renamed().map(|(by, before)| (by, before.name.as_str())), Some((by(1, 0), "x")));
    assert_eq!(history.once(wanted(COLUMN, Some("a"), "x")).count(), 1);
    assert!(history.now(wanted(COLUMN, Some("b"), "x")).next().is_none());
    assert!(history.now(Wanted { schema: Some("app"), ..wanted(COLUMN, None, "x") }).next().is_none());
}

#[test]
fn what_is_in_a_table_is_renamed_with_it() {
    let mut history = History::default();
    history.made(at(1), table("a"), None, by(0, 0));
    history.made(column_at(1, 1), column("a", "x"), text("integer"), by(0, 0));
    history.made(at(7), name("trigger", Some("public"), Some("a"), "t"), None, by(0, 1));
    history.changed(at(1), table("b"), None, by(1, 0));
    for kind in [COLUMN, "trigger"] {
        let own = if kind == COLUMN { "x" } else { "t" };
        assert!(history.now(wanted(kind, Some("a"), own)).next().is_none());
        let object = history.now(wanted(kind, Some("b"), own)).next().unwrap();
        assert_eq!((object.made(), history.table(object)), (Some(by(0, usize::from(kind != COLUMN))), Some("b")));
    }
    assert_eq!(history.once(wanted(RELATION, None, "a")).next().unwrap().renamed_from("a"), Some(by(1, 0)));
    history.dropped(at(1), by(2, 0));
    let column = history.object(column_at(1, 1)).unwrap();
    assert_eq!(history.dropped_by(column), Some(by(2, 0)));
    assert!(history.now(wanted(COLUMN, Some("b"), "x")).next().is_none());
}

#[test]
fn schemas_are_renamed_with_all_that_is_in_them() {
    let mut history = History::default();
    history.made(at(1), name("schema", None, None, "s"), None, by(0, 0));
    history.made(at(2), name("table", Some("s"), None, "a"), None, by(0, 1));
    history.made(column_at(2, 1), name("table column", Some("s"), Some("a"), "x"), None, by(0, 1));
    history.changed(at(1), name("schema", None, None, "r"), None, by(1, 0));
    let x = history.now(Wanted { kind: COLUMN, schema: Some("r"), table: Some("a"), name: "x" }).next().unwrap();
    assert_eq!(history.schema(x), Some("r"));
    assert!(history.now(Wanted { kind: RELATION, schema: Some("s"), table: None, name: "a" }).next().is_none());
}

#[test]
fn a_change_of_schema_is_known() {
    let mut history = History::default();
    history.made(at(1), table("a"), None, by(0, 0));
    history.changed(at(1), name("table", Some("app"), None, "a"), None, by(1, 0));
    let moved = history.once(wanted("table", None, "a")).next().unwrap();
    assert_eq!((moved.moved_from("public"), history.schema(moved)), (Some(by(1, 0)), Some("app")));
    assert_eq!(moved.renamed(), None);
}

#[test]
fn who_changed_the_type() {
    let mut history = History::default();
    history.made(column_at(1, 1), column("a", "x"), text("integer"), by(0, 0));
    history.changed(column_at(1, 1), column("a", "x"), text("uuid"), by(1, 0));
    history.changed(column_at(1, 1), column("a", "x"), text("uuid"), by(2, 0));
    let column = history.object(column_at(1, 1)).unwrap();
    assert_eq!(column.retyped(), Some((by(1, 0), "integer")));
    assert_eq!((column.changed(), column.first_with(|what| what == "uuid")), (by(2, 0), Some(by(1, 0))));
}

#[test]
fn what_a_statement_drops_and_makes_again_is_one_object() {
    let mut history = History::default();
    let index = || name("index", Some("public"), None, "i");
    history.made(at(1), index(), None, by(0, 0));
    history.dropped(at(1), by(1, 0));
    history.made(at(2), index(), None, by(1, 0));
    let object = history.now(wanted("index", None, "i")).next().unwrap();
    assert_eq!((object.made(), object.changed()), (Some(by(0, 0)), by(1, 0)));
    assert_eq!(history.last_touched(at(2)), Some(1));
    history.dropped(at(2), by(2, 0));
    history.made(at(3), index(), None, by(2, 1));
    let object = history.now(wanted("index", None, "i")).next().unwrap();
    assert_eq!(object.made(), Some(by(2, 1)));
    assert_eq!(history.dropped_by(history.once(wanted("index", None, "i")).next().unwrap()), Some(by(2, 0)));
}

#[test]
fn objects_from_before_have_no_maker() {
    let mut history = History::default();
    history.changed(at(1), table("a"), None, by(3, 0));
    history.dropped(at(9), by(3, 1));
    assert_eq!(history.object(at(1)).unwrap().made(), None);
    assert_eq!((history.last_touched(at(1)), history.last_touched(at(9))), (Some(3), None));
}

#[test]
fn last_touched_is_of_the_object_itself() {
    let mut history = History::default();
    history.made(at(1), table("a"), None, by(0, 0));
    history.made(column_at(1, 2), column("a", "y"), None, by(4, 0));
    assert_eq!(history.last_touched(at(1)), Some(0));
    assert_eq!(history.last_touched(column_at(1, 2)), Some(4));
    assert_eq!(history.last_touched(column_at(1, 1)), Some(0), "it came with the table");
    history.dropped(column_at(1, 2), by(5, 0));
    assert_eq!(history.last_touched(column_at(1, 2)), Some(5));
    assert_eq!(history.dropped_by(history.identified("table column", "public.a.y").unwrap()), Some(by(5, 0)));
    assert!(history.identified("table", "public.a.y").is_none());
}

#[test]
fn renamed_there_and_back() {
    let mut history = History::default();
    history.made(at(1), table("a"), None, by(0, 0));
    for (n, own) in ["b", "A", "a", "a"].into_iter().enumerate() {
        history.changed(at(1), table(own), None, by(1 + n, 0));
    }
    assert_eq!(history.now(wanted("table", None, "a")).count(), 1);
    assert_eq!(history.once(wanted("table", None, "A")).count(), 1);
    assert_eq!(history.now(wanted("table", None, "a")).next().unwrap().renamed().unwrap().0, by(3, 0));
    let mark = history.mark();
    history.changed(at(1), table("c"), None, by(6, 0));
    history.changed(at(1), table("a"), None, by(7, 0));
    history.rewind(mark);
    assert_eq!(history.now(wanted("table", None, "a")).count(), 1);
    assert_eq!(history.once(wanted("table", None, "c")).count(), 0);
}

#[test]
fn other_case() {
    let mut history = History::default();
    history.made(at(1), table("User"), None, by(0, 0));
    assert_eq!(history.in_other_case(wanted("relation", None, "user")).count(), 1);
    assert_eq!(history.in_other_case(wanted("relation", None, "User")).count(), 0);
    assert_eq!(history.in_other_case(wanted("type", None, "user")).count(), 0);
}

#[test]
fn what_was_rolled_back_is_only_known_as_undone() {
    let mut history = History::default();
    history.made(at(1), table("a"), None, by(0, 0));
    let before = format!("{history:?}").len();
    let mark = history.mark();
    history.made(at(2), table("b"), None, by(1, 0));
    history.changed(at(1), table("c"), None, by(1, 1));
    history.dropped(at(1), by(1, 2));
    history.made(at(3), table("c"), None, by(1, 2));
    history.rewind(mark);
    assert_eq!(history.now(wanted("table", None, "a")).count(), 1);
    assert_eq!(history.now(wanted("table", None, "b")).count() + history.once(wanted("table", None, "c")).count(), 0);
    assert_eq!(history.undone(wanted("table", None, "b")), Some(by(1, 0)));
    assert_eq!(history.undone(wanted("table", None, "a")), None);
    history.forgotten.clear();
    assert_eq!(format!("{history:?}").len(), before, "nothing is left of it");
}

#[test]
fn fifty_thousand_objects_in_a_moment() {
    let mut history = History::default();
    let begin = std::time::Instant::now();
    for n in 0..5_000_u32 {
        let (step, own) = (by(n as usize / 10, n as usize % 10), format!("t{n}"));
        history.made(at(n), table(&own), None, step);
        for sub in 1..10 {
            history.made(column_at(n, sub), column(&own, &format!("c{sub}")), text("integer"), step);
        }
    }
    history.made(at(60_000), table("t60000"), None, by(500, 0));
    assert!(begin.elapsed().as_secs_f64() < 5.0);
    let column = history.now(wanted(COLUMN, Some("t4999"), "c9")).next().unwrap();
    assert_eq!(column.made(), Some(by(499, 9)));
}

/// What a random history does: an object, a number for its name, and whether it is dropped.
type Deed = (u32, u8, bool);

fn apply(history: &mut History, deeds: &[Deed], from: usize) {
    for (n, &(object, own, is_drop)) in deeds.iter().enumerate() {
        // Three to a statement, so that some of them make again what they drop.
        let (own, step) = (format!("n{own}"), by((from + n) / 3, 0));
        match (is_drop, object % 2) {
            (true, _) => history.dropped(at(object), step),
            (_, 0) => history.made(at(object), table(&own), None, step),
            _ => history.changed(at(object), name("trigger", Some("public"), Some("n1"), &own), None, step),
        }
    }
}

proptest! {
    #[test]
    fn rewinding_leaves_nothing(
        kept in proptest::collection::vec((0..6_u32, 0..4_u8, any::<bool>()), 0..20),
        undone in proptest::collection::vec((0..6_u32, 0..4_u8, any::<bool>()), 0..20),
    ) {
        let (mut straight, mut rewound) = (History::default(), History::default());
        apply(&mut straight, &kept, 0);
        apply(&mut rewound, &kept, 0);
        let mark = rewound.mark();
        apply(&mut rewound, &undone, kept.len());
        rewound.rewind(mark);
        prop_assert_eq!(&straight.log, &rewound.log);
        prop_assert_eq!(&straight.by_name, &rewound.by_name);
        prop_assert_eq!(&straight.by_address, &rewound.by_address);
        prop_assert_eq!(&straight.by_identity, &rewound.by_identity);
        prop_assert_eq!(format!("{:?}", straight.objects), format!("{:?}", rewound.objects));
    }
}
