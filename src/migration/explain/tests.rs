//! Tests of [`super`]. Messages are as Postgres prints them.

use proptest::prelude::*;

use super::*;
use crate::migration::address::Address;
use crate::migration::history::Name;

const RELATIONS: u32 = 1259;
const OTHERS: u32 = 2606;

/// A history in the making: every call of its methods is a statement, most of a migration of its own.
struct Chain {
    history: History,
    names: Vec<String>,
    elsewhere: Vec<(&'static str, Elsewhere)>,
    failed: Vec<usize>,
    next: u32,
}

/// The parts of an error, as `"SQLSTATE message"`, then DETAIL and HINT.
type Raised<'a> = (&'a str, &'a str, &'a str);

impl Chain {
    fn new() -> Chain {
        Chain { history: History::default(), names: Vec::new(), elsewhere: Vec::new(), failed: Vec::new(), next: 1 }
    }

    /// Begins a migration.
    fn migration(&mut self, name: &str) -> &mut Chain {
        self.names.push(name.to_owned());
        self
    }

    fn step(&self) -> Step {
        Step { migration: self.names.len() - 1, statement: self.next as usize }
    }

    /// `schema.name`, or `schema.table.name` for what belongs to a table; without a dot, it is in no schema.
    fn name(kind: &str, path: &[&str]) -> Name {
        let (schema, table) = match path.len() {
            1 => (None, None),
            2 => (Some(path[0]), None),
            _ => (Some(path[0]), Some(path[1])),
        };
        Name {
            kind: kind.to_owned(),
            schema: schema.map(str::to_owned),
            table: table.map(str::to_owned),
            name: path[path.len() - 1].split('(').next().unwrap().to_owned(),
            identity: path.join("."),
        }
    }

    fn make(&mut self, kind: &str, path: &[&str], what: &str) -> Address {
        self.next += 1;
        let class = if space(kind) == RELATION { RELATIONS } else { OTHERS };
        let address = Address { class, object: self.next, sub: 0 };
        let what = (!what.is_empty()).then(|| what.to_owned());
        self.history.made(address, Chain::name(kind, path), what, self.step());
        address
    }

    /// A table in `public` with columns, given as name and type.
    fn table(&mut self, name: &str, columns: &[(&str, &str)]) -> Address {
        let table = self.make("table", &["public", name], "");
        for (n, (column, type_name)) in columns.iter().enumerate() {
            self.column(table, n as i32 + 1, name, column, type_name);
        }
        table
    }

    fn column(&mut self, table: Address, sub: i32, table_name: &str, name: &str, type_name: &str) -> Address {
        let address = Address { sub, ..table };
        let path = ["public", table_name, name];
        self.history.made(address, Chain::name("table column", &path), Some(type_name.to_owned()), self.step());
        address
    }

    fn change(&mut self, address: Address, kind: &str, path: &[&str], what: &str) {
        self.next += 1;
        let what = (!what.is_empty()).then(|| what.to_owned());
        self.history.changed(address, Chain::name(kind, path), what, self.step());
    }

    fn drop(&mut self, address: Address) {
        self.next += 1;
        self.history.dropped(address, self.step());
    }

    fn why_with(&self, statement: &str, (message, detail, hint): Raised) -> Option<String> {
        let (sqlstate, message) = message.split_once(' ').unwrap();
        let migration = self.names.len() - 1;
        let public = ["public".to_owned()];
        let failure = Failure {
            sqlstate,
            message,
            detail,
            hint,
            statement,
            step: Step { migration, statement: self.next as usize + 1 },
            search_path: &public,
            schemas: &public,
            failed: &self.failed,
        };
        let search = |wanted: Wanted| {
            let found = self.elsewhere.iter().filter(|(kind, found)| {
                space(kind) == space(wanted.kind) && found.name.eq_ignore_ascii_case(wanted.name)
            });
            let found = found.map(|(_, found)| Elsewhere {
                schema: found.schema.clone(),
                name: found.name.clone(),
                is_live: found.is_live,
            });
            found.collect()
        };
        explanation(&failure, &self.history, &self.names, &search)
    }

    fn why(&self, statement: &str, message: &str) -> String {
        self.why_with(statement, (message, "", "")).unwrap_or_default()
    }

    fn is_elsewhere(&mut self, kind: &'static str, schema: Option<&str>, name: &str, is_live: bool) {
        self.elsewhere.push((kind, Elsewhere { schema: schema.map(str::to_owned), name: name.to_owned(), is_live }));
    }
}

#[test]
fn a_column_that_exists_already() {
    let mut chain = Chain::new();
    chain.migration("1_init").table("SystemPrompt", &[("id", "integer"), ("previousVersionId", "uuid")]);
    chain.migration("2_previous");
    let statement = r#"ALTER TABLE "SystemPrompt" ADD COLUMN "previousVersionId" UUID"#;
    let message = r#"42701 column "previousVersionId" of relation "SystemPrompt" already exists"#;
    assert_eq!(
        chain.why(statement, message),
        r#"column "previousVersionId" of table "SystemPrompt" exists already: migration "1_init" made it"#
    );
}

#[test]
fn made_by_the_same_migration_or_under_another_name() {
    let mut chain = Chain::new();
    let table = chain.migration("1").table("t", &[("a", "integer")]);
    let column = Address { sub: 1, ..table };
    assert_eq!(
        chain.why("CREATE TABLE t ()", r#"42P07 relation "t" already exists"#),
        r#"table "t" exists already: an earlier statement of this migration made it"#
    );
    chain.migration("2").change(column, "table column", &["public", "t", "b"], "integer");
    chain.migration("3").change(table, "table", &["public", "u"], "");
    chain.migration("4");
    assert_eq!(
        chain.why("ALTER TABLE u ADD b int", r#"42701 column "b" of relation "u" already exists"#),
        r#"column "b" of table "u" exists already: migration "1" made it, and migration "2" renamed it from "a""#
    );
    assert_eq!(
        chain.why("CREATE TABLE u ()", r#"42P07 relation "u" already exists"#),
        r#"table "u" exists already: migration "1" made it, and migration "3" renamed it from "t""#
    );
    assert_eq!(
        chain.why("ALTER TABLE t ADD x int", r#"42P01 relation "t" does not exist"#),
        r#"table "t" does not exist any more: migration "1" made it, and migration "3" renamed it to "u""#
    );
    assert_eq!(
        chain.why("SELECT x.a FROM u x", "42703 column x.a does not exist"),
        r#"column "a" of table "u" does not exist any more: migration "1" made it, and migration "2" renamed it to "b""#
    );
}

#[test]
fn other_objects_that_exist_already() {
    let mut chain = Chain::new();
    chain.migration("1").table("users", &[("id", "integer")]);
    chain.migration("2").make("table constraint", &["public", "users", "pk"], "PRIMARY KEY (id)");
    let mood = chain.make("type", &["public", "mood"], "'sad', 'ok'");
    chain.make("function", &["public", "f(text)"], "");
    chain.make("schema", &["app"], "");
    chain.make("policy", &["public", "users", "p"], "");
    chain.migration("3").change(mood, "type", &["public", "mood"], "'sad', 'ok', 'it''s'");
    chain.migration("4");
    for (statement, message, why) in [
        (
            "ALTER TABLE users ADD PRIMARY KEY (id)",
            r#"42P16 multiple primary keys for table "users" are not allowed"#,
            r#"table "users" has a primary key already, "pk": migration "2" made it"#,
        ),
        (
            "CREATE TYPE users AS ENUM ()",
            r#"42710 type "users" already exists"#,
            r#"table "users" exists already: migration "1" made it"#,
        ),
        (
            "ALTER TYPE mood ADD VALUE 'it''s'",
            r#"42710 enum label "it's" already exists"#,
            r#"type "mood" has the value "it's" already: migration "3" gave it"#,
        ),
        (
            "ALTER TYPE mood ADD VALUE 'ok'",
            r#"42710 enum label "ok" already exists"#,
            r#"type "mood" has the value "ok" already: migration "2" gave it"#,
        ),
        (
            "INSERT INTO users VALUES ('glad')",
            r#"22P02 invalid input value for enum mood: "glad""#,
            r#"type "mood" has no value "glad": migration "2" made it, and migration "3" changed it last"#,
        ),
        (
            "CREATE FUNCTION f(text) RETURNS int AS 'SELECT 1'",
            r#"42723 function "f" already exists with same argument types"#,
            r#"function public.f(text) exists already: migration "2" made it"#,
        ),
        (
            "CREATE SCHEMA app",
            r#"42P06 schema "app" already exists"#,
            r#"schema "app" exists already: migration "2" made it"#,
        ),
        (
            "CREATE POLICY p ON users",
            r#"42710 policy "p" for table "users" already exists"#,
            r#"policy "p" of table "users" exists already: migration "2" made it"#,
        ),
        ("DROP VIEW users", r#"42809 "users" is not a view"#, r#""users" is a table: migration "1" made it"#),
    ] {
        assert_eq!(chain.why(statement, message), why);
    }
}

#[test]
fn what_was_dropped() {
    let mut chain = Chain::new();
    let table = chain.migration("1").table("users", &[("id", "integer"), ("email", "text")]);
    let constraint = chain.make("table constraint", &["public", "users", "u"], "UNIQUE (email)");
    chain.migration("2").drop(Address { sub: 2, ..table });
    chain.drop(constraint);
    chain.migration("3");
    let gone = r#" of table "users" does not exist any more: migration "1" made it, and migration "2" dropped it"#;
    for (statement, message, what) in [
        ("CREATE INDEX ON users (email)", r#"42703 column "email" does not exist"#, r#"column "email""#),
        ("SELECT u.email FROM users u", "42703 column u.email does not exist", r#"column "email""#),
        (
            "UPDATE users SET email = ''",
            r#"42703 column "email" of relation "users" does not exist"#,
            r#"column "email""#,
        ),
        (
            "ALTER TABLE users DROP CONSTRAINT u",
            r#"42704 constraint "u" of relation "users" does not exist"#,
            r#"constraint "u""#,
        ),
    ] {
        assert_eq!(chain.why(statement, message), format!("{what}{gone}"));
    }
    assert_eq!(
        chain.why(
            "INSERT INTO users VALUES (1) ON CONFLICT (email) DO NOTHING",
            "42P10 there is no unique or exclusion constraint matching the ON CONFLICT specification"
        ),
        r#"migration "2" dropped constraint "u" of table "users"; migration "1" made it"#
    );
    chain.drop(table);
    assert_eq!(
        chain.why("DROP TABLE users", r#"42P01 table "users" does not exist"#),
        r#"table "users" does not exist any more: migration "1" made it, and an earlier statement of this migration dropped it"#
    );
}

#[test]
fn what_nobody_made() {
    let mut chain = Chain::new();
    chain.migration("1").table("User", &[("firstName", "text")]);
    chain.make("function", &["public", "f(text)"], "");
    chain.make("schema", &["app"], "");
    chain.make("table", &["app", "things"], "");
    chain.migration("2");
    for (statement, message, why) in [
        (
            "SELECT * FROM public.nope",
            r#"42P01 relation "public.nope" does not exist"#,
            r#"no earlier migration makes relation "nope""#,
        ),
        (
            "SELECT * FROM User",
            r#"42P01 relation "user" does not exist"#,
            r#"there is table "User", whose name keeps its capital letters only in double quotes: migration "1" made it"#,
        ),
        (
            r#"SELECT firstName FROM "User""#,
            r#"42703 column "firstname" does not exist"#,
            r#"there is column "firstName" of table "User", whose name keeps its capital letters only in double quotes: migration "1" made it"#,
        ),
        (
            r#"ALTER TABLE "User" DROP nope"#,
            r#"42703 column "nope" of relation "User" does not exist"#,
            r#"no earlier migration makes column "nope" of table "User""#,
        ),
        (
            "SELECT f(1)",
            "42883 function f(integer) does not exist",
            r#"there is function public.f(text): migration "1" made it"#,
        ),
        (
            "SELECT * FROM things",
            r#"42P01 relation "things" does not exist"#,
            r#"there is table "things" in schema "app": migration "1" made it"#,
        ),
        (
            "CREATE TABLE t (e citext)",
            r#"42704 type "citext" does not exist"#,
            r#"type "citext" belongs to extension "citext", which no earlier migration creates"#,
        ),
        ("GRANT a TO b", r#"42704 role "b" does not exist"#, r#"no earlier migration makes role "b""#),
        // A table that no migration made may have had any column.
        ("ALTER TABLE auth.users DROP x", r#"42703 column "x" of relation "users" does not exist"#, ""),
    ] {
        assert_eq!(chain.why(statement, message), why);
    }
}

#[test]
fn what_the_database_has_and_migrations_do_not_make() {
    let mut chain = Chain::new();
    chain.migration("1").table("t", &[]);
    chain.migration("2");
    chain.is_elsewhere("table", Some("public"), "manual", true);
    chain.is_elsewhere("function", Some("extensions"), "uuid_x", false);
    chain.is_elsewhere("schema", None, "app", false);
    chain.is_elsewhere("table", Some("app"), "there", false);
    assert_eq!(
        chain.why("ALTER TABLE manual ADD x int", r#"42P01 relation "manual" does not exist"#),
        r#"no earlier migration makes relation "manual", but the live schema "public" has it: it was made by hand, or by a migration that is not in the list"#
    );
    assert_eq!(
        chain.why("SELECT uuid_x()", "42883 function uuid_x() does not exist"),
        r#"there is function "uuid_x" in schema "extensions", and no migration made it"#
    );
    let begins =
        r#"no migration made it: schema "app" is not among p_schemas, so the replay does not begin without it"#;
    assert_eq!(chain.why("CREATE SCHEMA app", r#"42P06 schema "app" already exists"#), begins);
    assert_eq!(chain.why("CREATE TABLE app.there ()", r#"42P07 relation "there" already exists"#), begins);
    assert_eq!(
        chain.why("SELECT * FROM app.nope", r#"42P01 relation "app.nope" does not exist"#),
        r#"no earlier migration makes relation "nope", and schema "app" is not among p_schemas"#
    );
    // A table of the same name in public is another one.
    assert_eq!(chain.why("CREATE TABLE app.t ()", r#"42P07 relation "t" already exists"#), "");
}

#[test]
fn earlier_failures_are_told() {
    let mut chain = Chain::new();
    chain.migration("1").table("t", &[]);
    let mark = chain.history.mark();
    chain.migration("2").table("u", &[]);
    chain.history.rewind(mark);
    chain.failed.push(1);
    chain.migration("3");
    assert_eq!(
        chain.why("ALTER TABLE u ADD x int", r#"42P01 relation "u" does not exist"#),
        r#"migration "2" made relation "u", but failed, and that was undone"#
    );
    assert_eq!(
        chain.why("ALTER TABLE v ADD x int", r#"42P01 relation "v" does not exist"#),
        r#"no earlier migration makes relation "v"; migration "2" has failed before"#
    );
}

#[test]
fn types_that_differ() {
    let mut chain = Chain::new();
    let users = chain.migration("1").table("users", &[("id", "integer"), ("name", "character varying(20)")]);
    chain.table("posts", &[("user_id", "uuid"), ("id", "uuid")]);
    chain.migration("2").change(Address { sub: 1, ..users }, "table column", &["public", "users", "id"], "uuid");
    chain.migration("3").change(Address { sub: 1, ..users }, "table column", &["public", "users", "id"], "bigint");
    chain.migration("4");
    let id = r#"column "id" of table "users" is of type bigint: migration "3" changed it from uuid"#;
    let user_id = r#"column "user_id" of table "posts" is of type uuid: migration "1" made it so"#;
    for detail in [
        r#"Key columns "user_id" and "id" are of incompatible types: uuid and bigint."#,
        r#"Key columns "user_id" of the referencing table and "id" of the referenced table are of incompatible types: uuid and bigint."#,
    ] {
        let message = r#"42804 foreign key constraint "posts_user_id_fkey" cannot be implemented"#;
        let statement = "ALTER TABLE posts ADD FOREIGN KEY (user_id) REFERENCES users (id)";
        assert_eq!(chain.why_with(statement, (message, detail, "")), Some(format!("{user_id}; {id}")));
    }
    let name = r#"column "name" of table "users" is of type character varying(20): migration "1" made it so"#;
    for (statement, message, why) in [
        (
            "SELECT 1 FROM users u WHERE u.id = u.name",
            "42883 operator does not exist: bigint = character varying",
            format!("{id}; {name}"),
        ),
        (
            "INSERT INTO users (id) SELECT user_id FROM posts",
            r#"42804 column "id" is of type bigint but expression is of type uuid"#,
            id.to_owned(),
        ),
        (
            "ALTER TABLE users ALTER name TYPE int",
            r#"42804 column "name" cannot be cast automatically to type integer"#,
            name.to_owned(),
        ),
        ("INSERT INTO users (id) VALUES ('x')", r#"22P02 invalid input syntax for type bigint: "x""#, id.to_owned()),
        ("SELECT 'x'::int", r#"22P02 invalid input syntax for type integer: "x""#, String::new()),
    ] {
        assert_eq!(chain.why(statement, message), why);
    }
}

#[test]
fn rows_that_violate_something() {
    let mut chain = Chain::new();
    let table = chain.migration("1").table("t", &[("a", "integer")]);
    chain.migration("2").make("table constraint", &["public", "t", "positive"], "CHECK ((a > 0))");
    chain.make("index", &["public", "ux"], "");
    chain.migration("3").change(Address { sub: 1, ..table }, "table column", &["public", "t", "a"], "integer");
    chain.migration("4");
    for (statement, message, why) in [
        (
            "INSERT INTO t VALUES (-1)",
            r#"23514 new row for relation "t" violates check constraint "positive""#,
            r#"constraint "positive" of table "t": migration "2" made it"#,
        ),
        (
            "INSERT INTO t VALUES (1)",
            r#"23505 duplicate key value violates unique constraint "ux""#,
            r#"index "ux": migration "2" made it"#,
        ),
        (
            "INSERT INTO t VALUES (NULL)",
            r#"23502 null value in column "a" of relation "t" violates not-null constraint"#,
            r#"column "a" of table "t": migration "1" made it, and migration "3" changed it last"#,
        ),
        (
            "ALTER TABLE t ADD b int NOT NULL",
            r#"23502 column "b" of relation "t" contains null values"#,
            r#"table "t" has rows, which earlier statements put there, and this statement gives them no value for the new column "b""#,
        ),
        (
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 7)",
            r#"23514 check constraint "c" of relation "t" is violated by some row"#,
            r#"this statement makes constraint "c", and rows that earlier statements put into the table violate it"#,
        ),
    ] {
        assert_eq!(chain.why(statement, message), why);
    }
}

#[test]
fn what_stands_in_the_way() {
    let mut chain = Chain::new();
    chain.migration("1").table("t", &[("a", "integer")]);
    chain.migration("2").make("view", &["public", "v \"w"], "");
    chain.make("table constraint", &["public", "kids", "fk"], "FOREIGN KEY (a) REFERENCES t(a)");
    let f = chain.make("function", &["public", "f(text)"], "");
    chain.migration("3").change(f, "function", &["public", "f(text)"], "");
    chain.migration("4");
    let detail = "constraint fk on table kids depends on table t\nview \"v \"\"w\" depends on table t\nview x depends on table t";
    assert_eq!(
        chain
            .why_with("DROP TABLE t", ("2BP01 cannot drop table t because other objects depend on it", detail, ""))
            .unwrap(),
        r#"constraint "fk" of table "kids" depends on it: migration "2" made it; view "v "w" depends on it: migration "2" made it"#
    );
    let detail = r#"rule _RETURN on view "v ""w" depends on column "a""#;
    let message = "0A000 cannot alter type of a column used by a view or rule";
    assert_eq!(
        chain.why_with("ALTER TABLE t ALTER a TYPE text", (message, detail, "")).unwrap(),
        r#"view "v "w" depends on it: migration "2" made it"#
    );
    let hint = "Use DROP FUNCTION f(text) first.";
    let message = "42P13 cannot change return type of existing function";
    assert_eq!(
        chain.why_with("CREATE OR REPLACE FUNCTION f(text) RETURNS int AS 'SELECT 1'", (message, "", hint)).unwrap(),
        r#"function public.f(text) exists already: migration "2" made it, and migration "3" changed it last"#
    );
    assert_eq!(
        chain.why(r#"CREATE OR REPLACE VIEW "v ""w" AS SELECT a FROM t"#, "42P16 cannot drop columns from view"),
        r#"view "v "w" exists already: migration "2" made it"#
    );
}

#[test]
fn a_value_that_is_too_new() {
    let mut chain = Chain::new();
    let mood = chain.migration("1").make("type", &["public", "mood"], "'sad'");
    chain.migration("2").change(mood, "type", &["public", "mood"], "'sad', 'ok'");
    chain.migration("3");
    assert_eq!(
        chain.why("SELECT 'ok'::mood", r#"55P04 unsafe use of new value "ok" of enum type mood"#),
        r#"type "mood" got the value "ok" by migration "2", and it cannot be used before that is committed"#
    );
}

#[test]
fn five_hundred_failures_among_fifty_thousand_objects() {
    let mut chain = Chain::new();
    chain.migration("1");
    let columns: Vec<String> = (0..10).map(|n| format!("c{n}")).collect();
    let columns: Vec<(&str, &str)> = columns.iter().map(|name| (name.as_str(), "integer")).collect();
    for n in 0..5_000 {
        chain.table(&format!("t{n}"), &columns);
    }
    chain.migration("2");
    let begin = std::time::Instant::now();
    for n in 0..500 {
        let missing = chain.why("SELECT * FROM nope", r#"42P01 relation "nope" does not exist"#);
        assert_eq!(missing, r#"no earlier migration makes relation "nope""#);
        let statement = format!("ALTER TABLE t{n} ADD c5 int");
        let existing = chain.why(&statement, &format!(r#"42701 column "c5" of relation "t{n}" already exists"#));
        assert!(existing.ends_with(r#"migration "1" made it"#), "{existing}");
    }
    assert!(begin.elapsed().as_secs_f64() < 20.0, "{:?}", begin.elapsed());
}

#[test]
fn what_cannot_be_told_is_not_told() {
    let mut chain = Chain::new();
    chain.migration("1").table("a", &[]);
    let other = chain.make("schema", &["s"], "");
    chain.make("table", &["s", "b"], "");
    chain.drop(other);
    for (statement, message) in [
        // Looked for under the search path of a function, perhaps.
        ("SELECT f()", r#"42P01 relation "a" does not exist"#),
        ("SELECT f()", r#"42703 column "x" of relation "other" does not exist"#),
        ("SELECT raise()", r#"P0001 relation "a" already exists"#),
        ("SELECT 1/0", "22012 division by zero"),
        ("SELEC", "42601 syntax error at or near \"SELEC\""),
        ("CREATE TABLE c (x int, x int)", r#"42701 column "x" specified more than once"#),
    ] {
        assert_eq!(chain.why(statement, message), "");
    }
}

proptest! {
    /// The table and the column are those that the statement has, whatever they look like.
    #[test]
    fn names_do_not_mislead(
        names in proptest::collection::hash_set("[a-zA-Z\"\\. é']{1,6}(\" of relation \")?[a-z\"]{1,4}", 4),
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let mut chain = Chain::new();
        chain.migration("1").table(&names[0], &[(&names[1], "integer")]);
        chain.migration("2").table(&names[2], &[(&names[3], "integer")]);
        chain.migration("3");
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        for (table, column, migration) in [(&names[0], &names[1], 1), (&names[2], &names[3], 2)] {
            let why = chain.why(
                &format!("ALTER TABLE {} ADD {} int", quote(table), quote(column)),
                &format!("42701 column \"{column}\" of relation \"{table}\" already exists"),
            );
            let expected = format!("column \"{column}\" of table \"{table}\" exists already: migration \"{migration}\" made it");
            prop_assert_eq!(why, expected);
        }
    }

    #[test]
    fn no_error_does_harm(statement in "\\PC{0,60}", words in "(column|relation|type|\"|a|t| of | does not exist|already exists|\\.|\\(|\\)| ){0,30}") {
        let mut chain = Chain::new();
        chain.migration("1").table("t", &[("a", "integer")]);
        for sqlstate in ["42P01", "42P07", "42701", "42703", "42804", "42883", "2BP01", "42P16", "23505"] {
            let message = format!("{sqlstate} {words}");
            chain.why_with(&statement, (&message, &words, &words));
            chain.why_with(&words, (&message, &statement, &words));
        }
    }
}
