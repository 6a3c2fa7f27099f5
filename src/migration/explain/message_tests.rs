//! Tests of [`super`]. Messages are as Postgres 15 and 18 print them.

use proptest::prelude::*;

use super::*;

/// A reading in short: kind, names from the outside in, then value and types.
fn short(reading: &Reading) -> String {
    let parts = [&reading.schema, &reading.table, &Some(reading.name.clone()), &reading.referenced, &reading.value];
    let parts = parts.into_iter().flatten().chain(&reading.types).filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.map(String::as_str).collect();
    format!("{:?} {} {}", reading.matter, reading.kind, parts.join("|"))
}

fn shorts(sqlstate: &str, message: &str) -> Vec<String> {
    names_in(sqlstate, message, "", "").iter().map(short).collect()
}

#[test]
fn what_exists_already() {
    for (sqlstate, message, reading) in [
        ("42P07", r#"relation "users" already exists"#, "relation users"),
        ("42P07", r#"relation "users" already exists in schema "app""#, "relation app|users"),
        ("42701", r#"column "pre vious" of relation "Sy"s.te m" already exists"#, r#"column Sy"s.te m|pre vious"#),
        ("42710", r#"type "mood" already exists"#, "type mood"),
        ("42710", r#"enum label "ok" already exists"#, "enum value ok"),
        ("42P06", r#"schema "app" already exists"#, "schema app"),
        ("42710", r#"role "r" already exists"#, "role r"),
        ("42710", r#"extension "plpgsql" already exists"#, "extension plpgsql"),
        ("42723", r#"function "lower_it" already exists with same argument types"#, "function lower_it"),
        ("42723", r#"function lower_it(text) already exists in schema "app""#, "function app|lower_it"),
        ("42710", r#"constraint "k" for relation "users" already exists"#, "constraint users|k"),
        ("42P16", r#"multiple primary keys for table "users" are not allowed"#, "primary key users"),
        ("42710", r#"trigger "tr" for relation "users" already exists"#, "trigger users|tr"),
        ("42710", r#"policy "pol" for table "users" already exists"#, "policy users|pol"),
        ("42710", r#"rule "ru" for relation "kids" already exists"#, "rule kids|ru"),
        ("42710", r#"statistics object "st" already exists"#, "statistics object st"),
        ("42710", r#"collation "coll" for encoding "UTF8" already exists"#, "collation coll"),
    ] {
        // A name may hold what looks like the rest of a message, so that there are others.
        assert!(shorts(sqlstate, message).contains(&format!("Exists {reading}")), "{message}");
    }
    let detail = "Key (typname, typnamespace)=(mood, 2200) already exists.";
    let message = r#"duplicate key value violates unique constraint "pg_type_typname_nsp_index""#;
    let readings = names_in("23505", message, detail, "");
    assert!(readings.iter().any(|reading| short(reading) == "Exists type mood"));
}

#[test]
fn what_does_not_exist() {
    for (sqlstate, message, reading) in [
        ("42P01", r#"relation "nope" does not exist"#, "relation nope"),
        ("42P01", r#"relation "public.nope" does not exist"#, "relation public|nope"),
        ("42P01", r#"relation "a.b.c d" does not exist"#, "relation a.b|c d"),
        ("42P01", r#"relation "No"pe" does not exist"#, "relation No\"pe"),
        ("42P01", r#"table "nope" does not exist"#, "table nope"),
        ("42704", r#"index "nope" for table "users" does not exist"#, "index nope"),
        ("42P01", r#"materialized view "nope" does not exist"#, "materialized view nope"),
        ("42703", r#"column "nope" of relation "users" does not exist"#, "column users|nope"),
        ("42703", r#"column "nope" does not exist"#, "column nope"),
        ("42703", "column u.no pe does not exist", "column u|no pe"),
        ("42703", r#"column "nope" referenced in foreign key constraint does not exist"#, "column nope"),
        ("42703", r#"column "nope" named in key does not exist"#, "column nope"),
        ("42703", r#"column "nope" specified in USING clause does not exist in left table"#, "column nope"),
        ("42704", r#"type "No pe[]" does not exist"#, "type No pe"),
        ("42704", r#"type "public.nope" does not exist"#, "type public|nope"),
        ("42883", "function nope(integer, unknown) does not exist", "function nope"),
        ("42883", "function nope() does not exist", "function nope"),
        ("42883", "function No.pe(integer) does not exist", "function No.pe"),
        ("42883", r#"could not find a function named "nope""#, "function nope"),
        ("42883", "procedure nope(integer) does not exist", "procedure nope"),
        ("3F000", r#"schema "nope" does not exist"#, "schema nope"),
        ("42704", r#"role "nope" does not exist"#, "role nope"),
        ("42704", r#"constraint "nope" of relation "users" does not exist"#, "constraint users|nope"),
        ("42704", r#"constraint "nope" for table "users" does not exist"#, "constraint users|nope"),
        ("42704", r#"constraint "nope" of domain "posint" does not exist"#, "constraint posint|nope"),
        ("42704", r#"trigger "nope" for table "users" does not exist"#, "trigger users|nope"),
        ("42704", r#"rule "nope" for relation "users" does not exist"#, "rule users|nope"),
        (
            "42704",
            r#"operator class "gin_trgm_ops" does not exist for access method "gin""#,
            "operator class gin_trgm_ops",
        ),
        ("42704", r#"collation "nope" for encoding "UTF8" does not exist"#, "collation nope"),
        ("22023", r#""nope" is not an existing enum label"#, "enum value nope"),
        ("22P02", r#"invalid input value for enum app."mo""od": "glad""#, r#"enum value app|mo"od|glad"#),
    ] {
        let shorts = shorts(sqlstate, message);
        assert!(shorts.contains(&format!("Missing {reading}")), "{message}: {shorts:?}");
    }
}

#[test]
fn types_that_do_not_fit() {
    for (sqlstate, message, reading) in [
        ("42804", r#"column "id" is of type integer but expression is of type text"#, "column id|integer|text"),
        ("42804", r#"column "c" is of type mood but default expression is of type integer"#, "column c|mood|integer"),
        ("42804", r#"column "email" cannot be cast automatically to type integer"#, "column email"),
        ("42804", r#"default for column "d" cannot be cast automatically to type uuid"#, "column d"),
        ("42883", "operator does not exist: uuid = text", "expression uuid|text"),
        (
            "42883",
            "operator does not exist: timestamp without time zone ->> character varying",
            "expression timestamp without time zone|character varying",
        ),
        ("42883", "operator does not exist: - text", "expression text"),
        ("42846", "cannot cast type uuid to integer", "expression uuid|integer"),
        ("42804", "UNION types integer and text cannot be matched", "expression integer|text"),
        ("42804", "argument of WHERE must be type boolean, not type integer", "expression integer|boolean"),
        ("22P02", r#"invalid input syntax for type uuid: "a"b""#, r#"expression a"b|uuid"#),
    ] {
        assert_eq!(shorts(sqlstate, message), [format!("Type {reading}")], "{message}");
    }
    let message = r#"foreign key constraint "zz_user_id_fkey" cannot be implemented"#;
    for detail in [
        r#"Key columns "user_id" and "id" are of incompatible types: uuid and integer."#,
        r#"Key columns "user_id" of the referencing table and "id" of the referenced table are of incompatible types: uuid and integer."#,
    ] {
        let shorts: Vec<String> = names_in("42804", message, detail, "").iter().map(short).collect();
        assert!(shorts.contains(&"Type key user_id|id|uuid|integer".to_owned()), "{detail}: {shorts:?}");
    }
}

#[test]
fn rows_in_the_way() {
    for (sqlstate, message, reading) in [
        ("23502", r#"null value in column "id" of relation "users" violates not-null constraint"#, "column users|id"),
        ("23502", r#"column "n" of relation "filled" contains null values"#, "column filled|n"),
        ("23503", r#"insert or update on table "kids" violates foreign key constraint "k_fk""#, "constraint kids|k_fk"),
        (
            "23503",
            r#"update or delete on table "users" violates foreign key constraint "k_fk" on table "kids""#,
            "constraint kids|k_fk",
        ),
        (
            "23503",
            r#"update or delete on table "users" violates RESTRICT setting of foreign key constraint "k_fk" on table "kids""#,
            "constraint kids|k_fk",
        ),
        ("23505", r#"duplicate key value violates unique constraint "users_pkey""#, "constraint users_pkey"),
        ("23505", r#"could not create unique index "fx""#, "constraint fx"),
        ("23514", r#"new row for relation "users" violates check constraint "c""#, "constraint users|c"),
        ("23514", r#"check constraint "c" of relation "filled" is violated by some row"#, "constraint filled|c"),
        ("23514", r#"value for domain posint violates check constraint "pos""#, "constraint posint|pos"),
        ("23514", r#"no partition of relation "part" found for row"#, "partition part"),
        ("23P01", r#"could not create exclusion constraint "x""#, "constraint x"),
    ] {
        let shorts = shorts(sqlstate, message);
        assert!(shorts.contains(&format!("Rows {reading}")), "{message}: {shorts:?}");
    }
}

#[test]
fn what_depends_on_something() {
    let detail = "constraint things_user_id_fkey on table app.things depends on table users\n\
                  view app.\"v \"\"w\" depends on table users\n\
                  default value for column d of table gen depends on sequence sq\n\
                  trigger tr on table users depends on function trg()\n\
                  rule _RETURN on view old_users depends on column \"email\"\n\
                  policy pol on table users depends on column \"age\"\n\
                  function f(integer, text) depends on type mood\n\
                  and 3 other objects (see server log for list)";
    let found = dependents("cannot drop table users because other objects depend on it", detail);
    let first: Vec<String> = found.iter().map(|readings| short(&readings[0])).collect();
    assert_eq!(
        first,
        [
            "Needed constraint app|things|things_user_id_fkey",
            "Needed view app|v \"w",
            "Needed column gen|d",
            "Needed trigger users|tr",
            "Needed view old_users",
            "Needed policy users|pol",
            "Needed function f",
        ]
    );
    let message = "cannot drop index users_pkey because constraint users_pkey on table users requires it";
    assert_eq!(short(&dependents(message, "")[0][0]), "Needed constraint users|users_pkey");
    assert!(!names_in("2BP01", message, "", "").is_empty());
    let message = r#"cannot alter type "comp" because column "uc.c" uses it"#;
    assert_eq!(short(&dependents(message, "")[0][0]), "Needed column uc|c");
    let detail = r#"Column "a" is used by generated column "b"."#;
    assert_eq!(
        short(&dependents("cannot alter type of a column used by a generated column", detail)[0][0]),
        "Needed column b"
    );
}

#[test]
fn what_can_only_be_replaced_by_something_alike() {
    let hint = "Use DROP FUNCTION app.\"Lower It\"(text, integer) first.";
    let readings = names_in("42P13", "cannot change return type of existing function", "", hint);
    assert_eq!(short(&readings[0]), "Replaced function app|Lower It");
    assert_eq!(readings[0].arguments.as_deref(), Some("text, integer"));
    let message = r#"cannot change data type of view column "email" from text to integer"#;
    assert_eq!(shorts("42P16", message), ["Replaced view "]);
    assert_eq!(shorts("42809", r#""old_users" is not a table"#), ["OtherKind relation old_users"]);
    let message = r#"unsafe use of new value "x" of enum type mood"#;
    assert_eq!(shorts("55P04", message), ["NewValue enum value mood|x"]);
}

#[test]
fn another_sqlstate_means_something_else() {
    assert!(shorts("P0001", r#"relation "users" already exists"#).is_empty());
    assert!(shorts("42P01", r#"relation "users" already exists"#).is_empty());
    assert!(shorts("42601", "syntax error at or near \"x\"").is_empty());
}

#[test]
fn a_message_can_have_several_readings() {
    let readings = shorts("42701", r#"column "a" of relation "b" of relation "c" already exists"#);
    assert_eq!(readings, [r#"Exists column b" of relation "c|a"#, r#"Exists column c|a" of relation "b"#]);
}

#[test]
fn long_texts_name_nothing_and_cost_nothing() {
    let begin = std::time::Instant::now();
    let quotes = "\" of relation \"".repeat(1_000_000);
    assert!(shorts("42701", &format!("column \"{quotes}\" already exists")).is_empty());
    let quotes = " from ".repeat(2_500);
    shorts("42P16", &format!("cannot change data type of view column \"{quotes}\" from {quotes} to x"));
    assert!(begin.elapsed().as_secs_f64() < 5.0);
}

#[test]
fn quoted_names() {
    assert_eq!(unquoted("a.\"b \"\"c\""), Some(vec!["a".to_owned(), "b \"c".to_owned()]));
    for text in ["", "a b", "a.", "\"a", "\"\"", "a\"b\"", ".a"] {
        assert_eq!(unquoted(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn the_true_names_are_among_the_readings(
        table in "[a-z\"\\. é]{1,12}( of relation )?[a-z\"]{1,3}",
        column in "[a-z\"\\. é]{1,12}(\" of relation \")?[a-z\"]{1,3}",
    ) {
        let message = format!("column \"{column}\" of relation \"{table}\" already exists");
        let readings = names_in("42701", &message, "", "");
        prop_assert!(readings.iter().any(|reading| reading.name == column && reading.table.as_ref() == Some(&table)));
        let message = format!("relation \"{table}.{column}\" does not exist");
        let readings = names_in("42P01", &message, "", "");
        prop_assert!(readings.iter().any(|reading| reading.name == column && reading.schema.as_ref() == Some(&table)));
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let detail = format!("view {}.{} depends on table x", quote(&table), quote(&column));
        let readings = dependents("", &detail);
        prop_assert!(readings[0].iter().any(|reading| reading.name == column && reading.schema.as_ref() == Some(&table)));
    }

    #[test]
    fn no_text_does_harm(message in "\\PC{0,60}", words in "(column|relation|type|\"| of | does not exist|\\.|\\(|\\)){0,30}") {
        for sqlstate in ["42P01", "42P07", "42701", "42703", "42804", "42883", "2BP01", "42P16", "23505"] {
            for text in [&message, &words] {
                names_in(sqlstate, text, text, text);
                dependents(text, text);
            }
        }
    }
}
