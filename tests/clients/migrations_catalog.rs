//! What migrations see when they read the catalogs: nothing of the schemas that are aside.

use serde_json::{Value, json};

use crate::support::{Database, Session, refused, until};

const REPLAY: &str = "SELECT ok, coalesce(sqlstate || ': ' || message, explanation) FROM \
     versioned.replay_migrations($1::text::jsonb, $2, false)";

/// What a replay does not make: a collation would lock the catalog, and a publication is there already.
const LIVE_ONLY: &str = r#"
    CREATE SCHEMA "my ""app""";
    CREATE COLLATION latin (locale = 'C');
    CREATE PUBLICATION news FOR TABLE parent;
"#;

/// A schema that already holds everything that migrations may ask for.
const LIVE: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TYPE span AS RANGE (subtype = int4);
    CREATE DOMAIN short AS text CONSTRAINT short_length CHECK (length(VALUE) < 9);
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE thing (id serial PRIMARY KEY, name text DEFAULT 'x', parent int CONSTRAINT thing_parent REFERENCES parent);
    CREATE TABLE parts (id int) PARTITION BY LIST (id);
    CREATE TABLE part PARTITION OF parts DEFAULT;
    CREATE INDEX thing_name ON thing (name);
    CREATE STATISTICS thing_statistics ON id, name FROM thing;
    CREATE VIEW things AS SELECT * FROM thing;
    CREATE MATERIALIZED VIEW kept AS SELECT * FROM thing;
    CREATE RULE quiet AS ON DELETE TO thing DO INSTEAD NOTHING;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER thing_touch BEFORE UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION touch();
    ALTER TABLE thing ENABLE ROW LEVEL SECURITY;
    CREATE POLICY thing_policy ON thing USING (true);
    CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int);
    CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq);
    CREATE OPERATOR FAMILY family USING btree;
    CREATE TEXT SEARCH CONFIGURATION search (COPY = simple);
    CREATE TEXT SEARCH DICTIONARY words (template = simple);
    CREATE CAST (mood AS span) WITH INOUT;
    COMMENT ON TABLE thing IS 'live';
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO public;
    INSERT INTO parent VALUES (1);
    ANALYZE parent;
"#;

/// Conditions that hold in that schema, and do not in an empty one. `{oid}` is an OID from before it.
const THERE: [&str; 47] = [
    "SELECT FROM pg_type WHERE typname = 'mood'",
    "SELECT FROM pg_type t JOIN pg_enum e ON t.oid = e.enumtypid WHERE e.enumlabel = 'sad'",
    "SELECT FROM pg_enum WHERE enumlabel = 'sad'",
    "SELECT FROM pg_range WHERE rngtypid > {oid}",
    "SELECT FROM pg_class WHERE relname = 'thing'",
    "SELECT FROM pg_class WHERE relkind = 'S' AND relname LIKE 'thing%seq'",
    "SELECT FROM pg_attribute WHERE attname = 'parent' AND attrelid > {oid}",
    "SELECT FROM pg_attrdef WHERE adrelid > {oid}",
    "SELECT FROM pg_constraint WHERE conname = 'thing_parent'",
    "SELECT FROM pg_constraint WHERE conname = 'short_length'",
    "SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = 'thing_name'",
    "SELECT FROM pg_index WHERE indrelid > {oid} AND NOT indisprimary",
    "SELECT FROM pg_trigger WHERE tgname = 'thing_touch'",
    "SELECT FROM pg_policy WHERE polname = 'thing_policy'",
    "SELECT FROM pg_policies WHERE policyname = 'thing_policy'",
    "SELECT FROM pg_indexes WHERE indexname = 'thing_name'",
    "SELECT FROM pg_tables WHERE tablename = 'thing'",
    "SELECT FROM pg_views WHERE viewname = 'things'",
    "SELECT FROM pg_matviews WHERE matviewname = 'kept'",
    "SELECT FROM pg_rules WHERE rulename = 'quiet'",
    "SELECT FROM pg_sequences WHERE sequencename = 'thing_id_seq'",
    "SELECT FROM pg_sequence WHERE seqrelid > {oid}",
    "SELECT FROM pg_rewrite WHERE rulename = 'quiet'",
    "SELECT FROM pg_proc WHERE proname = 'touch'",
    "SELECT FROM pg_aggregate WHERE aggfnoid > {oid}",
    "SELECT FROM pg_operator WHERE oprname = '==='",
    "SELECT FROM pg_opfamily WHERE opfname = 'family'",
    "SELECT FROM pg_ts_config WHERE cfgname = 'search'",
    "SELECT FROM pg_ts_config_map WHERE mapcfg > {oid}",
    "SELECT FROM pg_ts_dict WHERE dictname = 'words'",
    "SELECT FROM pg_collation WHERE collname = 'latin'",
    "SELECT FROM pg_cast WHERE castsource > {oid}",
    "SELECT FROM pg_statistic_ext WHERE stxname = 'thing_statistics'",
    "SELECT FROM pg_partitioned_table",
    "SELECT FROM pg_inherits WHERE inhrelid > {oid}",
    "SELECT FROM pg_default_acl",
    "SELECT FROM pg_publication_tables WHERE pubname = 'news'",
    "SELECT FROM pg_stats WHERE tablename = 'parent'",
    "SELECT FROM pg_stat_user_tables WHERE relname = 'thing'",
    "SELECT FROM pg_description d JOIN pg_class c ON c.oid = d.objoid WHERE d.description = 'live'",
    "SELECT FROM information_schema.tables WHERE table_name = 'thing'",
    "SELECT FROM information_schema.columns WHERE table_name = 'thing' AND column_name = 'name'",
    "SELECT FROM information_schema.table_constraints WHERE constraint_name = 'thing_parent'",
    "SELECT FROM information_schema.triggers WHERE trigger_name = 'thing_touch'",
    "SELECT FROM information_schema.routines WHERE routine_name = 'touch'",
    "SELECT FROM information_schema.domains WHERE domain_name = 'short'",
    "SELECT FROM pg_namespace WHERE nspname LIKE 'pg\\_versioned%'",
];

fn replayed(session: &mut Session, migrations: &Value) -> Vec<(bool, Option<String>)> {
    let rows = session.rows(REPLAY, &[&migrations.to_string(), &vec!["public", "my \"app\""]]);
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Replays one migration, which must succeed.
#[track_caller]
fn succeeds(session: &mut Session, sql: &str) -> Option<String> {
    let (ok, says) = replayed(session, &json!([{"name": "1", "sql": sql}])).remove(0);
    assert!(ok, "{says:?}: {sql}");
    says
}

/// For the message of RAISE.
fn quoted(text: &str) -> String {
    text.replace('\'', "''").replace('%', "%%")
}

fn live(test: &str) -> (Database, Session) {
    let (db, session, _) = live_and_conditions(test);
    (db, session)
}

fn live_and_conditions(test: &str) -> (Database, Session, Vec<String>) {
    let db = Database::new(test);
    let mut session = db.connect();
    let oid: String = session.value("SELECT max(oid)::text FROM pg_type", &[]);
    session.run(LIVE);
    session.run(LIVE_ONLY);
    (db, session, THERE.iter().map(|there| there.replace("{oid}", &oid)).collect())
}

#[test]
fn what_is_aside_is_not_seen() {
    let (_db, mut session, all) = live_and_conditions("catalog_unseen");
    for there in &all[..all.len() - 1] {
        let is_there: bool = session.value(&format!("SELECT EXISTS ({there})"), &[]);
        assert!(is_there, "{there}");
    }
    for there in &all {
        let said = there.replace('\'', "''");
        let message = quoted(there);
        let sql = format!(
            "DO $$
             DECLARE
                 v_count int;
             BEGIN
                 IF EXISTS ({there}) THEN
                     RAISE 'a condition: {message}';
                 END IF;
                 SELECT count(*) INTO v_count FROM ({there}) AS s;
                 EXECUTE 'SELECT $1 + count(*) FROM ({said}) AS s' INTO v_count USING v_count;
                 IF v_count > 0 THEN
                     RAISE 'a query: {message}';
                 END IF;
             END $$;
             CREATE TABLE seen AS SELECT 1 / (1 - count(*)) AS n FROM (WITH w AS ({there}) SELECT FROM w LIMIT 1) AS s"
        );
        succeeds(&mut session, &sql);
    }
    // Nor is anything hidden that migrations have made, or that is elsewhere.
    session.run("CREATE SCHEMA other; CREATE TABLE other.elsewhere (id int)");
    let checks: Vec<String> = all[..all.len() - 1]
        .iter()
        .filter(|there| !there.contains("pg_collation") && !there.contains("pg_publication"))
        .map(|there| format!("IF NOT EXISTS ({there}) THEN RAISE 'lost: {}'; END IF;", quoted(there)))
        .collect();
    let checks = format!(
        "{LIVE}; DO $$ BEGIN
             IF NOT EXISTS (SELECT FROM pg_class WHERE relname = 'elsewhere') THEN RAISE 'lost'; END IF;
             {}
         END $$",
        checks.join("\n")
    );
    assert_eq!(succeeds(&mut session, &checks), None);
}

/// A catalog that refers to others must be filtered, or be one that needs not be.
#[test]
fn every_catalog_is_known() {
    let (_db, mut session) = live("catalog_known");
    let referring: Vec<String> = session.column(
        "SELECT DISTINCT fktable::regclass::text FROM pg_get_catalog_foreign_keys()
          WHERE pktable IN ('pg_namespace'::regclass, 'pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass,
                            'pg_opfamily'::regclass, 'pg_ts_config'::regclass, 'pg_statistic_ext'::regclass)
            AND fktable NOT IN ('pg_depend'::regclass, 'pg_shdepend'::regclass, 'pg_description'::regclass,
                                'pg_shdescription'::regclass, 'pg_seclabel'::regclass, 'pg_shseclabel'::regclass,
                                'pg_init_privs'::regclass, 'pg_am'::regclass, 'pg_language'::regclass,
                                'pg_event_trigger'::regclass, 'pg_foreign_data_wrapper'::regclass)
          ORDER BY 1",
        &[],
    );
    assert!(referring.len() > 30, "{referring:?}");
    for catalog in referring {
        // The plan has a condition that the text has not.
        let sql = format!(
            "DO $$
             DECLARE
                 v_line text;
             BEGIN
                 FOR v_line IN EXPLAIN SELECT FROM {catalog} LOOP
                     IF v_line LIKE '%Filter: %' THEN
                         RETURN;
                     END IF;
                 END LOOP;
                 RAISE 'not filtered';
             END $$"
        );
        succeeds(&mut session, &sql);
    }
}

#[test]
fn usual_migrations_take_the_branch_that_a_fresh_database_would_take() {
    let (_db, mut session) = live("catalog_idioms");
    let says = succeeds(
        &mut session,
        r#"
        DO $$ BEGIN
            IF NOT EXISTS (SELECT 1 FROM pg_type WHERE typname = 'mood') THEN CREATE TYPE mood AS ENUM ('sad'); END IF;
            IF EXISTS (SELECT 1 FROM information_schema.tables WHERE table_name = 'thing') THEN
                ALTER TABLE thing ADD COLUMN added int;
            ELSE
                CREATE TABLE thing (id int PRIMARY KEY, mood mood);
            END IF;
        END $$;
        DO $$ BEGIN
            IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_name = 'thing' AND column_name = 'name') THEN
                EXECUTE 'ALTER TABLE thing ADD COLUMN name text';
            END IF;
            IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'thing_parent') THEN
                ALTER TABLE thing ADD CONSTRAINT thing_parent CHECK (name <> '');
            END IF;
        END $$;
        UPDATE thing SET name = 'x';
        ALTER TABLE thing RENAME CONSTRAINT thing_parent TO thing_renamed;
        DO $$
        DECLARE
            v_rows int;
        BEGIN
            DELETE FROM pg_enum WHERE enumlabel = 'sad' AND enumtypid = (SELECT oid FROM pg_type WHERE typname = 'mood');
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            IF v_rows <> 1 THEN RAISE 'deleted: %', v_rows; END IF;
            UPDATE pg_attribute SET attstattarget = 9 WHERE attname = 'mood' AND attnum = 2;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            IF v_rows <> 1 THEN RAISE 'updated: %', v_rows; END IF;
            MERGE INTO pg_class c USING (SELECT 'thing' AS name) s ON c.relname = s.name
             WHEN MATCHED THEN UPDATE SET relpages = 0 WHEN NOT MATCHED THEN DO NOTHING;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            IF v_rows <> 1 THEN RAISE 'merged: %', v_rows; END IF;
            INSERT INTO pg_description
            SELECT oid, 'pg_class'::regclass, 0, 'inserted' FROM pg_class WHERE relname = 'thing';
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            IF v_rows <> 1 THEN RAISE 'inserted: %', v_rows; END IF;
        END $$;
        DO $$ BEGIN
            PERFORM FROM pg_class WHERE relname = 'thing' FOR UPDATE;
            IF (SELECT count(*) FROM pg_class WHERE oid = 'thing'::regclass) <> 1 THEN RAISE 'not seen'; END IF;
        END $$;
        "#,
    );
    assert_eq!(says, None);
}

/// The live schema has none of these: the replayed function or view reads the catalog with the filter, whatever way it is
/// planned; and what is stored of it has no trace of that.
#[test]
fn functions_and_views_see_the_same_and_are_stored_as_they_are() {
    let (_db, mut session) = live("catalog_stored");
    succeeds(
        &mut session,
        r#"
        CREATE FUNCTION inlined(p_name name) RETURNS SETOF name LANGUAGE sql STABLE
            AS 'SELECT relname FROM pg_catalog.pg_class WHERE relname = p_name';
        CREATE FUNCTION parsed(p_name name) RETURNS SETOF name LANGUAGE sql STABLE
            BEGIN ATOMIC SELECT relname FROM pg_catalog.pg_class WHERE relname = p_name; END;
        CREATE FUNCTION plain(p_name name) RETURNS bigint LANGUAGE sql STABLE
            AS 'SELECT count(*) FROM pg_catalog.pg_class WHERE relname = p_name';
        CREATE VIEW seen AS SELECT relname, (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid) AS n FROM pg_class c;
        CREATE MATERIALIZED VIEW counted AS SELECT relname FROM pg_class;
        CREATE FUNCTION definitions() RETURNS text LANGUAGE sql
            AS $$ SELECT pg_get_viewdef('seen'::regclass) || pg_get_viewdef('counted'::regclass)
                         || pg_get_functiondef('parsed(name)'::regprocedure) $$;
        DO $$ BEGIN
            CREATE VIEW nested AS SELECT typname FROM pg_type;
            IF EXISTS (SELECT FROM inlined('thing')) OR EXISTS (SELECT FROM parsed('thing')) OR plain('thing') > 0
               OR EXISTS (SELECT FROM seen WHERE relname = 'thing') OR EXISTS (SELECT FROM counted WHERE relname = 'thing')
               OR EXISTS (SELECT FROM nested WHERE typname = 'mood') THEN
                RAISE 'seen';
            END IF;
            IF NOT EXISTS (SELECT FROM inlined('seen')) OR NOT EXISTS (SELECT FROM parsed('seen')) OR plain('seen') <> 1
               OR NOT EXISTS (SELECT FROM seen WHERE relname = 'seen') THEN
                RAISE 'unseen';
            END IF;
            IF definitions() ~ 'ANY|ALL|[0-9]{4}' OR pg_get_viewdef('nested'::regclass) ~ 'ANY|ALL|[0-9]{4}' THEN
                RAISE 'stored: %', definitions();
            END IF;
        END $$
        "#,
    );
}

/// Functions of a schema that stays have plans that are kept from before the replay, through it, and after it.
#[test]
fn plans_that_are_kept_do_not_keep_the_filter() {
    let (_db, mut session) = live("catalog_plans");
    session.run(
        "CREATE SCHEMA other;
         CREATE FUNCTION other.bare() RETURNS bigint LANGUAGE plpgsql SET search_path = ''
             AS $$ BEGIN RETURN (SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'thing'); END $$;
         CREATE FUNCTION other.constant() RETURNS bigint LANGUAGE plpgsql
             AS $$ DECLARE n bigint; BEGIN SELECT count(*) INTO n FROM pg_catalog.pg_class WHERE relname = 'thing'; RETURN n; END $$;
         CREATE FUNCTION other.sql() RETURNS bigint LANGUAGE sql
             AS $$ SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'thing' $$;
         CREATE VIEW other.view AS SELECT count(*) AS n FROM pg_class WHERE relname = 'thing';
         PREPARE prepared AS SELECT count(*) FROM pg_class WHERE relname = 'thing';",
    );
    // Prepared by the client, too.
    let all = "SELECT ARRAY[other.bare(), other.constant(), other.sql(), (SELECT n FROM other.view),
                            (SELECT count(*) FROM pg_class WHERE relname = 'thing')]";
    let each = vec![1_i64; 5];
    let check = |session: &mut Session| {
        // As often as it takes for a generic plan.
        for _ in 0..7 {
            assert_eq!(session.value::<Vec<i64>>(all, &[]), each);
        }
        session.run(
            "CREATE TEMP TABLE prepared_result AS EXECUTE prepared;
             DO $$ BEGIN IF (SELECT count FROM prepared_result) <> 1 THEN RAISE 'filtered'; END IF; END $$;
             DROP TABLE prepared_result",
        );
    };
    let sees_none = "DO $$ BEGIN
        FOR i IN 1..7 LOOP
            IF other.bare() + other.constant() + other.sql() + (SELECT n FROM other.view) > 0 THEN RAISE 'seen'; END IF;
        END LOOP;
    END $$";
    check(&mut session);
    for _ in 0..3 {
        succeeds(&mut session, sees_none);
        check(&mut session);
    }
    // Within one transaction; and after errors within and of the call.
    session.run("BEGIN");
    succeeds(&mut session, sees_none);
    check_without_writing(&mut session, all, &each);
    session.run("COMMIT");
    let failing = json!([{"name": "1", "sql": format!("{sees_none}; SELECT 1/0")}, {"name": "2", "sql": sees_none}]);
    let outcomes = replayed(&mut session, &failing);
    assert_eq!((outcomes[0].0, outcomes[1].0), (false, true), "{outcomes:?}");
    check(&mut session);
    session.run("SET statement_timeout = '300ms'");
    let endless = json!([{"name": "1", "sql": format!("{sees_none}; SELECT pg_sleep(60)")}]);
    refused(session.try_rows(REPLAY, &[&endless.to_string(), &vec!["public"]]), "57014");
    session.run("RESET statement_timeout");
    check(&mut session);
}

fn check_without_writing(session: &mut Session, all: &str, each: &[i64]) {
    for _ in 0..7 {
        assert_eq!(session.value::<Vec<i64>>(all, &[]), each);
    }
}

#[test]
fn other_sessions_see_everything_all_the_while() {
    let (db, mut session) = live("catalog_others");
    let mut other = db.connect();
    let pid = session.pid;
    let count = "SELECT count(*) FROM pg_class WHERE relname IN ('thing', 'parts')";
    let ended = std::thread::spawn(move || {
        let migrations = json!([{"name": "1", "sql": "DO $$ BEGIN PERFORM 1; PERFORM pg_sleep(60); END $$"}]);
        let refusal = refused(session.try_rows(REPLAY, &[&migrations.to_string(), &vec!["public"]]), "57014");
        assert!(refusal.message.contains("user request"), "{refusal:?}");
        session
    });
    until("it sleeps", || {
        other.value("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep')", &[&pid])
    });
    assert_eq!(other.value::<i64>(count, &[]), 2);
    assert_eq!(other.value::<i64>("SELECT count(*) FROM pg_tables WHERE tablename = 'thing'", &[]), 1);
    assert!(other.value::<bool>("SELECT pg_cancel_backend($1)", &[&pid]));
    let mut session = ended.join().expect("no panic");
    assert_eq!(session.value::<i64>(count, &[]), 2);
}

/// A role that may see one catalog and not another sees the former.
#[test]
fn permissions_are_those_of_the_query() {
    let (db, mut admin) = live("catalog_rights");
    let role = db.role("owner", "LOGIN");
    admin.run(&format!(
        "ALTER SCHEMA public OWNER TO {role}; ALTER SCHEMA \"my \"\"app\"\"\" OWNER TO {role};
         GRANT CREATE ON DATABASE {} TO {role};
         GRANT USAGE ON SCHEMA versioned TO {role};
         GRANT EXECUTE ON FUNCTION versioned.replay_migrations TO {role};
         REVOKE SELECT ON pg_type FROM PUBLIC",
        db.name
    ));
    let mut session = db.login(&role);
    let sees_no_label =
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_enum WHERE enumlabel = 'sad') THEN RAISE 'seen'; END IF; END $$";
    succeeds(&mut session, sees_no_label);
    // Who writes like the extension is not taken for it.
    succeeds(&mut session, &format!("/* pg_versioned */ {sees_no_label}; DROP TYPE IF EXISTS mood"));
    let denied = json!([{"name": "1", "sql": "DO $$ BEGIN PERFORM FROM pg_type; END $$"}]);
    let (ok, says) = replayed(&mut session, &denied).remove(0);
    assert!(!ok && says.as_deref() == Some("42501: permission denied for table pg_type"), "{says:?}");
}

/// An error that planning meets, which is one of the user's functions here, arrives as it was raised.
#[test]
fn errors_of_planning_are_the_users() {
    let (_db, mut session) = live("catalog_errors");
    let sql = "CREATE FUNCTION folded() RETURNS int IMMUTABLE LANGUAGE plpgsql
                   AS $$ BEGIN RAISE SQLSTATE 'AB123' USING MESSAGE = 'planned'; END $$;
               SELECT FROM pg_class WHERE relpages = folded();";
    let (ok, says) = replayed(&mut session, &json!([{"name": "1", "sql": sql}])).remove(0);
    assert_eq!((ok, says.as_deref()), (false, Some("AB123: planned")));
}

/// An extension in a schema that is aside is not seen, and the migration creates it, wherever it does so.
#[test]
fn extensions_that_are_aside_are_created_again() {
    let (_db, mut session) = live("catalog_extensions");
    // Each of these has a type of its own name; one of them is everywhere.
    let name: String =
        session.value("SELECT min(name) FROM pg_available_extensions WHERE name IN ('citext', 'vector')", &[]);
    session.run(&format!("CREATE EXTENSION {name}"));
    let says = succeeds(
        &mut session,
        &format!(
            "DO $$ BEGIN
                 IF EXISTS (SELECT FROM pg_extension WHERE extname = '{name}')
                    OR EXISTS (SELECT FROM pg_type WHERE typname = '{name}')
                    OR NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_versioned') THEN
                     RAISE 'not as in a fresh database';
                 END IF;
                 CREATE EXTENSION {name};
                 IF (SELECT count(*) FROM pg_extension WHERE extname = '{name}' OR extname LIKE '%aside%') <> 1 THEN
                     RAISE 'not seen';
                 END IF;
             END $$;
             CREATE TABLE words (word {name})"
        ),
    );
    assert_eq!(says, None);
    let sql = format!("DO $$ BEGIN CREATE EXTENSION {name}; CREATE EXTENSION {name}; END $$");
    let (ok, says) = replayed(&mut session, &json!([{"name": "1", "sql": sql}])).remove(0);
    assert!(!ok && says.as_deref().is_some_and(|says| says.starts_with("42710: ")), "{says:?}");
}
