//! Repairing the numbers of a user's table beside its writers, of many rows, and against cancel and terminate.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Database, Params, Random, Session, backend_memory, refused, skipped, until_gone, until_waiting};

/// What the repair is asked for.
const REPAIR: &str = "SELECT count(*) FROM versioned.renumber_versions('docs', '{doc}', 'no', '{at}', 'cur', false)";

/// A table of versions, with duplicates, gaps and flags at random.
fn broken(session: &mut Session, rows: i32) {
    session.run(&format!(
        "CREATE TABLE docs (id bigint PRIMARY KEY, doc text NOT NULL, no integer CHECK (no > 0), cur boolean, at timestamptz,
                            body text);
         INSERT INTO docs
         SELECT n, 'doc ' || n % greatest({rows} / 50, 1), 1 + n * 7919 % 61, n * 31 % 17 = 0,
                timestamptz '2026-01-01' + n * 104729 % {rows} * interval '1 s', 'the body of row ' || n
           FROM generate_series(1, {rows}::bigint) AS n;
         CREATE INDEX docs_doc_no ON docs (doc, no)"
    ));
}

/// Asserts that each document has the numbers 1, 2, 3 … and one current row.
#[track_caller]
fn is_sound(session: &mut Session) {
    let wrong: i64 = session.value(
        "SELECT count(*) FROM (SELECT FROM docs GROUP BY doc
                                HAVING (min(no), max(no), count(DISTINCT no)) IS DISTINCT FROM (1, count(*), count(*))
                                    OR count(*) FILTER (WHERE cur) <> 1) AS wrong",
        &[],
    );
    assert_eq!(wrong, 0, "documents with wrong numbers");
}

/// All rows as one number.
fn digest(session: &mut Session) -> i64 {
    session.value("SELECT sum(hashtext(d::text)) FROM docs AS d", &[])
}

fn backups(session: &mut Session) -> i64 {
    session.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'docs_backup_%' AND relkind = 'r'", &[])
}

/// A writer that began before the repair is waited for, and one that comes later waits for it. Nothing is lost.
#[test]
fn writers_wait_and_go_on() {
    let db = Database::new("renumbering_writers");
    let (mut admin, mut before, mut owner, mut after) = (db.connect(), db.connect(), db.connect(), db.connect());
    broken(&mut admin, 500);
    admin.run("CREATE UNIQUE INDEX ON docs (id, no)");
    before.run("BEGIN; INSERT INTO docs VALUES (1001, 'doc 1', 1, false, '2027-01-01', 'before')");
    let (owner_pid, after_pid) = (owner.pid, after.pid);
    thread::scope(|scope| {
        let repair = scope.spawn(|| {
            owner.run("BEGIN");
            let rows: i64 = owner.value(REPAIR, &[]);
            (rows, owner)
        });
        until_waiting(&mut admin, owner_pid);
        before.run("COMMIT");
        let (rows, mut owner) = repair.join().expect("no panic");
        assert!(rows > 0);
        let add =
            scope.spawn(|| after.try_run("INSERT INTO docs VALUES (1002, 'doc 1', 99, false, '2027-01-02', 'after')"));
        until_waiting(&mut admin, after_pid);
        // Readers do not wait.
        assert_eq!(admin.value::<i64>("SELECT count(*) FROM docs", &[]), 501);
        owner.run("COMMIT");
        assert_eq!(add.join().expect("no panic"), Ok(()));
    });
    // The snapshot of the repair was not older than its lock: it saw the writer that it waited for.
    let numbers: Vec<i32> = admin.column("SELECT no FROM docs WHERE doc = 'doc 1' ORDER BY no DESC LIMIT 2", &[]);
    assert_eq!(numbers, [99, 51]);
    assert_eq!(admin.value::<i64>("SELECT count(*) FROM docs", &[]), 502);
    assert_eq!(admin.value::<i64>(REPAIR, &[]), 1);
    is_sound(&mut admin);
}

/// Who has locked the current row and then inserts the next one, as so many do, is not in a deadlock with the repair.
#[test]
fn no_deadlock_with_locked_rows() {
    let db = Database::new("renumbering_row_locks");
    let (mut admin, mut writer, mut owner) = (db.connect(), db.connect(), db.connect());
    broken(&mut admin, 500);
    writer.run("SET deadlock_timeout = '100ms'; BEGIN");
    owner.run("SET deadlock_timeout = '100ms'");
    writer.rows("SELECT FROM docs WHERE doc = 'doc 1' FOR UPDATE", &[]);
    let owner_pid = owner.pid;
    thread::scope(|scope| {
        let repair = scope.spawn(|| owner.try_value::<i64>(REPAIR, &[]));
        until_waiting(&mut admin, owner_pid);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(
            writer.try_run("INSERT INTO docs VALUES (1001, 'doc 1', 1, false, '2027-01-01', 'x'); COMMIT"),
            Ok(())
        );
        assert!(repair.join().expect("no panic").is_ok());
    });
    is_sound(&mut admin);
}

/// Two repairs at once: the second finds nothing left to do.
#[test]
fn the_second_repair_has_nothing_to_do() {
    let db = Database::new("renumbering_twice");
    let (mut admin, mut one, mut other) = (db.connect(), db.connect(), db.connect());
    broken(&mut admin, 500);
    one.run("BEGIN");
    assert!(one.value::<i64>(REPAIR, &[]) > 0);
    let other_pid = other.pid;
    thread::scope(|scope| {
        let second = scope.spawn(|| other.try_value::<i64>(REPAIR, &[]));
        until_waiting(&mut admin, other_pid);
        one.run("COMMIT");
        assert_eq!(second.join().expect("no panic"), Ok(0));
    });
    assert_eq!(backups(&mut admin), 1);
}

/// Whatever the table was, renumbering makes it sound, and undoing makes it as it was; also with a unique index.
#[test]
fn there_and_back() {
    let db = Database::new("renumbering_random");
    let mut admin = db.connect();
    let mut random = Random(11);
    for round in 0..40 {
        let (rows, docs) = (1 + random.below(60), 1 + random.below(6));
        let is_unique = random.below(2) == 0;
        admin.run("DROP TABLE IF EXISTS docs CASCADE");
        // Half of the tables have the number in their primary key.
        let key = if random.below(2) == 0 { "id" } else { "doc, id, no" };
        admin.run(&format!(
            "CREATE TABLE docs (id bigint, doc text, no integer, cur boolean, at date, PRIMARY KEY ({key}))"
        ));
        for id in 0..rows {
            let doc = random.below(docs);
            let no = if is_unique { 70 - id } else { 1 + random.below(30) };
            let cur = ["true", "false", "NULL"][random.below(if key == "id" { 3 } else { 2 })];
            let at = random.below(20);
            admin.run(&format!("INSERT INTO docs VALUES ({id}, 'd{doc}', {no}, {cur}, date '2026-01-01' + {at})"));
        }
        if is_unique {
            admin.run("ALTER TABLE docs ADD UNIQUE (doc, no)");
        }
        let before = digest(&mut admin);
        let due: Vec<String> = admin.column(&dry(REPAIR), &[]);
        let done: Vec<String> = admin.column(&all(REPAIR), &[]);
        assert_eq!(done, due, "round {round}");
        is_sound(&mut admin);
        assert_eq!(admin.value::<i64>(REPAIR, &[]), 0, "round {round}");
        let Some(backup) = newest_backup(&mut admin) else {
            assert!(done.is_empty() && digest(&mut admin) == before, "round {round}");
            continue;
        };
        let undo = "SELECT count(*) FILTER (WHERE restored) FROM versioned.undo_renumber($1::text::regclass)";
        let restored: i64 = admin.value(undo, &[&backup]);
        assert_eq!((restored as usize, digest(&mut admin)), (done.len(), before), "round {round}");
        assert_eq!(admin.value::<i64>(undo, &[&backup]), 0, "round {round}");
        assert_eq!(digest(&mut admin), before, "round {round}");
        admin.run(&format!("DROP TABLE {backup}"));
    }
}

/// The rows of a repair as texts, without the backup's name.
fn all(repair: &str) -> String {
    let row = "SELECT (row_key, parent, old_version, new_version, old_current, new_current)::text";
    repair.replace("SELECT count(*)", row)
}

/// The same for a dry run.
fn dry(repair: &str) -> String {
    all(repair).replace("'cur', false", "'cur', true")
}

fn newest_backup(session: &mut Session) -> Option<String> {
    let names: Vec<String> = session.column(
        "SELECT oid::regclass::text FROM pg_class WHERE relname LIKE 'docs_backup_%' AND relkind = 'r'
          ORDER BY relname DESC LIMIT 1",
        &[],
    );
    names.into_iter().next()
}

/// A million rows: in bounded memory, cancelled and terminated within a second without a trace, told of by notices, and
/// back again.
#[test]
fn a_million_rows() {
    let db = Database::new("renumbering_million");
    let mut admin = db.connect();
    let role = db.role("owner", "LOGIN");
    admin.run("SET statement_timeout = 0");
    broken(&mut admin, 1_000_000);
    admin.run(&format!(
        "ALTER TABLE docs OWNER TO {role};
         GRANT CREATE ON SCHEMA public TO {role};
         GRANT USAGE ON SCHEMA versioned TO {role};
         GRANT EXECUTE ON FUNCTION versioned.renumber_versions, versioned.undo_renumber TO {role};
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON docs FOR EACH ROW EXECUTE FUNCTION refuse()"
    ));
    admin.run("VACUUM ANALYZE docs");
    let before = digest(&mut admin);

    // At some time in each of the phases.
    for (n, after) in [1_500, 7_000].into_iter().enumerate() {
        let mut victim = db.login(&role);
        victim.run("SET statement_timeout = 0");
        let pid = victim.pid;
        let took = thread::scope(|scope| {
            let repair = scope.spawn(|| victim.try_value::<i64>(REPAIR, &[]));
            thread::sleep(Duration::from_millis(after));
            let began = Instant::now();
            let stop = if n % 2 == 0 { "SELECT pg_cancel_backend($1)" } else { "SELECT pg_terminate_backend($1)" };
            assert!(admin.value::<bool>(stop, &[&pid]));
            refused(repair.join().expect("no panic"), if n % 2 == 0 { "57014" } else { "57P01" });
            began.elapsed()
        });
        assert!(took < Duration::from_secs(1), "stopped after {took:?}");
        if n % 2 == 1 {
            until_gone(&mut admin, pid);
        }
        assert_eq!((digest(&mut admin), backups(&mut admin)), (before, 0));
        assert_eq!(admin.value::<i8>("SELECT tgenabled FROM pg_trigger WHERE tgname = 'refuse'", &[]), b'O' as i8);
        admin.run("VACUUM docs");
    }

    let mut owner = db.login(&role);
    owner.run("SET statement_timeout = 0");
    let timed = |what: &str, owner: &mut Session, sql: &str, params: Params| -> i64 {
        let began = Instant::now();
        let rows = owner.value(sql, params);
        let memory = backend_memory(owner.pid, "RssAnon").map(|bytes| bytes >> 20);
        eprintln!("{what}: {rows} rows in {:?}, {memory:?} MB", began.elapsed());
        rows
    };
    let due = timed("dry run", &mut owner, &REPAIR.replace("'cur', false", "'cur', true"), &[]);
    assert!(owner.notices().is_empty());
    assert_eq!(timed("repair", &mut owner, REPAIR, &[]), due);
    assert_eq!(owner.notices().len(), 3);
    is_sound(&mut admin);

    // With a unique index, rows wait at other numbers. Most change their place.
    admin.run("DROP INDEX docs_doc_no; CREATE UNIQUE INDEX docs_doc_no ON docs (doc, no)");
    let by_body = REPAIR.replace("'{at}'", "'{body}'");
    let turned = timed("repair with a unique index", &mut owner, &by_body, &[]);
    assert!(turned > 900_000);
    assert_eq!(owner.notices().len(), 4);
    is_sound(&mut admin);
    let backup = newest_backup(&mut admin).expect("there is a backup");
    let undo = "SELECT count(*) FILTER (WHERE restored) FROM versioned.undo_renumber($1::text::regclass)";
    assert_eq!(timed("undo", &mut owner, undo, &[&backup]), turned);
    assert_eq!(owner.value::<i64>(REPAIR, &[]), 0);
    let peak = |session: &Session| backend_memory(session.pid, "RssAnon").map(|bytes| bytes >> 20);
    match peak(&owner) {
        None => skipped("the system does not tell of the backend's memory"),
        Some(megabytes) => assert!(megabytes < 100, "{megabytes} MB"),
    }
}
