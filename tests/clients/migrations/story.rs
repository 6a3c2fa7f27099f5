//! The story: a migration edited after it ran, a later one that adds what is there already, a table changed by hand.

use super::{Migration, numbered};
use crate::support::Database;

const FIRST: &str = r#"CREATE TABLE "SystemPrompt" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "content" TEXT NOT NULL,
    CONSTRAINT "SystemPrompt_pkey" PRIMARY KEY ("id")
);
"#;
const SECOND: &str = r#"-- AlterTable
ALTER TABLE "SystemPrompt" ADD COLUMN "previousVersionId" TEXT;
"#;

fn story(first: &str) -> Vec<Migration> {
    [
        ("20250101000000_init", first),
        ("20250201000000_users", "CREATE TABLE \"User\" (\"id\" TEXT PRIMARY KEY);\n"),
        ("20250301000000_versions", SECOND),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .to_vec()
}

#[test]
fn the_edited_migration_and_the_one_that_fails_for_it_are_named() {
    let db = Database::new("story");
    let mut session = db.connect();
    let original = story(FIRST);
    for (_, text) in &original {
        session.run(text);
    }
    session.replay_well(&original);
    assert_eq!(session.drift(&original), []);

    let edited = story(&FIRST.replace("    CONSTRAINT", "    \"previousVersionId\" TEXT,\n    CONSTRAINT"));
    let outcomes = session.try_replay(&edited, true).expect("rows");
    let [first, second, third] = &outcomes[..] else { panic!("{outcomes:#?}") };
    assert!(first.ok && second.ok && !third.ok, "{outcomes:#?}");
    assert_eq!(third.name, "20250301000000_versions");
    assert_eq!(third.sqlstate.as_deref(), Some("42701"));
    assert_eq!((third.line, third.col), (Some(2), Some(1)), "{third:#?}");
    assert!(third.statement.as_deref().unwrap_or_default().starts_with("ALTER TABLE"), "{third:#?}");
    let explanation = third.explanation.as_deref().unwrap_or_default();
    for word in ["previousVersionId", "SystemPrompt", "20250101000000_init"] {
        assert!(explanation.contains(word), "{word}: {explanation}");
    }

    // The live table, changed by hand as well.
    session.run(
        r#"ALTER TABLE "SystemPrompt" ADD "version" integer NOT NULL DEFAULT 1, ADD "isActive" boolean DEFAULT true,
               ADD "changeDescription" text, ADD "createdBy" text, ADD "tags" text[], ADD "metadata" jsonb,
               ADD "publishedAt" timestamptz"#,
    );
    let drift = session.drift(&original);
    let mut seen: Vec<String> = drift.iter().map(|d| format!("{} {} {}", d.difference, d.kind, d.object)).collect();
    seen.sort_unstable();
    let names =
        ["\"changeDescription\"", "\"createdBy\"", "\"isActive\"", "\"publishedAt\"", "metadata", "tags", "version"];
    let due = names.map(|name| format!("extra column public.\"SystemPrompt\".{name}"));
    assert_eq!(seen, due);
}

/// What is removed and changed by hand is found with the migration that made it.
#[test]
fn drift_names_the_migration() {
    let db = Database::new("drift_names");
    let mut session = db.connect();
    let chain = numbered(&[
        "CREATE TABLE a (id integer PRIMARY KEY, b text); CREATE TABLE gone (id integer)",
        "ALTER TABLE a ADD c integer NOT NULL DEFAULT 0; CREATE INDEX a_b ON a (b)",
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql RETURN 1",
    ]);
    for (_, text) in &chain {
        session.run(text);
    }
    session.run("DROP TABLE gone; DROP INDEX a_b; ALTER TABLE a ALTER c TYPE bigint; CREATE OR REPLACE FUNCTION f() RETURNS integer LANGUAGE sql RETURN 2");
    let drift = session.drift(&chain);
    let mut seen: Vec<_> = drift
        .iter()
        .map(|d| (d.object.as_str(), d.difference.as_str(), d.migration.as_deref().unwrap_or_default()))
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            ("public.a.c", "changed", "2"),
            ("public.a_b", "missing", "2"),
            ("public.f()", "changed", "3"),
            ("public.gone", "missing", "1"),
        ],
        "{drift:#?}"
    );
}
