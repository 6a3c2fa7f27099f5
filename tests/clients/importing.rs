//! Histories of people's own tables: what they become, what happens meanwhile, and what it costs.

use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::dump::{dumped, restore};
use crate::support::{
    Cluster, Database, Session, backend_memory, race, refused, sessions, sha256, skipped, until, until_waiting,
};

const IMPORT_FILES: &str =
    "SELECT action, rows FROM versioned.import_project_files('public.old_files', p_dry_run => false)
                             WHERE source_id IS NULL AND project_id IS NULL";
const IMPORT_VERSIONS: &str =
    "SELECT action, rows FROM versioned.import_project_versions('public.old_versions', p_dry_run => false)
                                WHERE source_id IS NULL AND project_id IS NULL";

/// The total of an action in the rows of a report.
fn total(rows: &[postgres::Row], action: &str) -> i64 {
    rows.iter().filter(|row| row.get::<_, &str>(0) == action).map(|row| row.get::<_, i64>(1)).sum()
}

/// A table of `versions` versions of each of `files` files in each of `projects` projects, in no order, half of the numbers
/// wrong.
fn old_files(session: &mut Session, projects: i32, files: i32, versions: i32) {
    session.run(&format!(
        "CREATE TABLE old_files AS
         SELECT gen_random_uuid() AS id, md5('project ' || p)::uuid AS project_id, 'src/file' || f AS file_path,
                repeat('line of file ' || f || E'\\n', 10) || 'version ' || v AS content, v / 2 AS version,
                v = {versions} AS is_current, md5('owner')::uuid AS owner_id,
                timestamptz '2023-01-01' + make_interval(mins => v) AS created_at
           FROM generate_series(1, {projects}) p, generate_series(1, {files}) f, generate_series(1, {versions}) v
          ORDER BY random();
         ALTER TABLE old_files ADD PRIMARY KEY (id)"
    ));
}

fn old_versions(session: &mut Session, project: Uuid, versions: i32) {
    session.run(&format!(
        "CREATE TABLE old_versions AS
         SELECT 'version ' || v AS id, '{project}'::uuid AS project_id, 'deployed' AS status, v = {versions} AS is_published,
                'v1.' || v / 2 || '.0' AS semver, timestamptz '2023-01-01' + make_interval(mins => v / 3) AS created_at
           FROM generate_series(1, {versions}) v;
         ALTER TABLE old_versions ADD PRIMARY KEY (id)"
    ));
}

fn first_project(session: &mut Session) -> Uuid {
    session.value("SELECT md5('project 1')::uuid", &[])
}

#[track_caller]
fn assert_sound(session: &mut Session) {
    let problems: i64 = session.value("SELECT count(*) FROM versioned.check_project_integrity()", &[]);
    assert_eq!(problems, 0);
}

/// Nothing but the order of rows decides; whatever was imported is there, once, as it was.
#[test]
fn imports_that_race_with_each_other_import_everything_once() {
    const SESSIONS: usize = 4;
    let db = Database::new("importing_race");
    let mut admin = db.connect();
    old_files(&mut admin, 3, 20, 10);
    let project = first_project(&mut admin);
    let files = race(sessions(SESSIONS, || db.connect()), |_, session| session.rows(IMPORT_FILES, &[]));
    assert_eq!(files.iter().map(|rows| total(rows, "imported")).sum::<i64>(), 600);
    assert!(files.iter().all(|rows| total(rows, "imported") + total(rows, "unchanged") == 600));
    old_versions(&mut admin, project, 60);
    let versions = race(sessions(SESSIONS, || db.connect()), |_, session| session.rows(IMPORT_VERSIONS, &[]));
    assert_eq!(versions.iter().map(|rows| total(rows, "imported")).sum::<i64>(), 60);
    // Contents by their own hashes, in the order of the table's times.
    let wrong: i64 = admin.value(
        "SELECT count(*)
           FROM old_files o
           LEFT JOIN versioned.imported_files m ON m.source = 'public.old_files' AND m.source_id = o.id::text
           LEFT JOIN versioned.project_file_versions v ON v.id = m.id
          WHERE v.content_hash IS DISTINCT FROM sha256(convert_to(o.content, 'UTF8'))
             OR v.created_at IS DISTINCT FROM o.created_at OR v.project_id IS DISTINCT FROM o.project_id
             OR v.version IS DISTINCT FROM extract(epoch FROM o.created_at - timestamptz '2023-01-01') / 60",
        &[],
    );
    assert_eq!(wrong, 0);
    let numbers: i64 = admin.value(
        "SELECT count(DISTINCT (major_version, minor_version, patch_version)) FROM versioned.project_versions",
        &[],
    );
    assert_eq!(numbers, 60);
    assert_sound(&mut admin);
    let current: String = admin.value(
        "SELECT m.source_id FROM versioned.projects p
           JOIN versioned.imported_versions m ON m.project_id = p.id AND m.version_id = p.current_version_id
          WHERE p.id = $1",
        &[&project],
    );
    assert_eq!(current, "version 60");
}

/// Who saves meanwhile waits, and saves the next version.
#[test]
fn a_saver_waits_for_an_import_and_goes_on_from_there() {
    let db = Database::new("importing_saver");
    let mut admin = db.connect();
    old_files(&mut admin, 1, 3, 10);
    let project = first_project(&mut admin);
    admin.run(&format!(
        "INSERT INTO versioned.projects (id, owner_id, name, framework) VALUES ('{project}', '{project}', 'p', 'react')"
    ));
    let mut importer = db.connect();
    importer.run("BEGIN");
    assert_eq!(total(&importer.rows(IMPORT_FILES, &[]), "imported"), 30);
    let mut saver = db.connect();
    let pid = saver.pid;
    let save = "SELECT version FROM versioned.atomic_upsert_project_file($1, 'src/file1', 'saved', 'text')";
    let saved = thread::spawn(move || saver.try_value::<i32>(save, &[&project]));
    until_waiting(&mut admin, pid);
    importer.run("COMMIT");
    assert_eq!(saved.join().expect("no panic"), Ok(11));
    // What was saved stays current: new rows of that file are not imported any more.
    admin.run(
        "INSERT INTO old_files SELECT gen_random_uuid(), project_id, file_path, 'new', 99, false, owner_id, now()
           FROM old_files WHERE is_current",
    );
    admin.run("UPDATE old_files SET is_current = content = 'new'");
    let again = admin.rows(IMPORT_FILES, &[]);
    assert_eq!([total(&again, "imported"), total(&again, "skipped"), total(&again, "unchanged")], [2, 1, 30]);
    assert_sound(&mut admin);
}

/// A transaction whose snapshot is older than a save, or than another import, must start again.
#[test]
fn an_import_with_an_old_snapshot_is_40001() {
    let db = Database::new("importing_isolation");
    let mut admin = db.connect();
    old_files(&mut admin, 1, 2, 5);
    let project = first_project(&mut admin);
    old_versions(&mut admin, project, 5);
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        for import in [IMPORT_FILES, IMPORT_VERSIONS] {
            admin.run(&format!(
                "INSERT INTO versioned.projects (id, owner_id, name, framework) VALUES ('{project}', '{project}', 'p', 'react')"
            ));
            let mut late = db.connect();
            late.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM old_files"));
            admin.rows(
                "SELECT version FROM versioned.atomic_upsert_project_file($1, 'other', 'saved', 'text')",
                &[&project],
            );
            refused(late.try_rows(import, &[]), "40001");
            late.run("ROLLBACK");
            late.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM old_files"));
            let first = total(&admin.rows(import, &[]), "imported");
            assert!(first > 0);
            refused(late.try_rows(import, &[]), "40001");
            late.run("ROLLBACK");
            late.run(&format!("BEGIN ISOLATION LEVEL {level}"));
            assert_eq!(total(&late.rows(import, &[]), "unchanged"), first);
            late.run("COMMIT");
            assert_sound(&mut admin);
            admin.rows("SELECT versioned.delete_project($1)", &[&project]);
        }
    }
    // The same for a project that another import has made meanwhile.
    let mut late = db.connect();
    late.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM old_files");
    assert_eq!(total(&admin.rows(IMPORT_FILES, &[]), "imported"), 10);
    refused(late.try_rows(IMPORT_FILES, &[]), "40001");
    late.run("ROLLBACK");
}

/// Memory does not grow with the table; whoever cancels does not wait; nothing half-done stays.
#[test]
fn long_imports_are_bounded_and_can_be_canceled() {
    const MB: u64 = 1 << 20;
    let db = Database::new("importing_long");
    let mut admin = db.connect();
    old_files(&mut admin, 40, 40, 50);

    let mut canceled = db.connect();
    canceled.run("SET statement_timeout = 0");
    let pid = canceled.pid;
    let result = thread::spawn(move || (canceled.try_rows(IMPORT_FILES, &[]), Instant::now()));
    // It holds the lock of a project: it is writing.
    until("it writes", || {
        admin
            .value("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND locktype = 'advisory' AND granted)", &[&pid])
    });
    let asked = Instant::now();
    admin.rows("SELECT pg_cancel_backend($1)", &[&pid]);
    let (result, ended) = result.join().expect("no panic");
    refused(result.map(|_| ()), "57014");
    assert!(ended - asked < Duration::from_secs(1), "{:?}", ended - asked);
    let left: i64 = admin.value("SELECT count(*) FROM versioned.projects", &[]);
    assert_eq!(left, 0);

    let mut session = db.connect();
    session.run("SET statement_timeout = 0");
    let memory = |session: &Session| backend_memory(session.pid, "RssAnon");
    session.rows("SELECT count(*) FROM versioned.import_project_files('public.old_files')", &[]);
    let before = memory(&session);
    session.run("BEGIN");
    assert_eq!(total(&session.rows(IMPORT_FILES, &[]), "imported"), 80_000);
    match before.zip(memory(&session)) {
        Some((before, after)) => assert!(after < before + 30 * MB, "{before} bytes, then {after}"),
        None => skipped("the server's memory is not to be seen here"),
    }
    session.run("COMMIT");
    assert_sound(&mut admin);
}

/// A table with more projects than are locked one by one: savers wait all the same.
#[test]
fn very_many_projects_are_locked_together() {
    let db = Database::new("importing_many");
    let mut admin = db.connect();
    old_files(&mut admin, 1_200, 1, 2);
    let mut importer = db.connect();
    importer.run("BEGIN");
    assert_eq!(total(&importer.rows(IMPORT_FILES, &[]), "imported"), 2_400);
    let locks: i64 =
        admin.value("SELECT count(*) FROM pg_locks WHERE pid = $1 AND locktype = 'advisory'", &[&importer.pid]);
    assert_eq!(locks, 0);
    importer.run("COMMIT");
    // A project that is there before is kept from being saved into.
    let project = first_project(&mut admin);
    admin.run("INSERT INTO old_files SELECT gen_random_uuid(), project_id, 'new', 'x', 1, true, owner_id, now() FROM old_files WHERE is_current");
    importer.run("BEGIN");
    assert_eq!(total(&importer.rows(IMPORT_FILES, &[]), "imported"), 1_200);
    let mut saver = db.connect();
    let pid = saver.pid;
    let save = "SELECT version FROM versioned.atomic_upsert_project_file($1, 'new', 'saved', 'text')";
    let saved = thread::spawn(move || saver.try_value::<i32>(save, &[&project]));
    until_waiting(&mut admin, pid);
    importer.run("COMMIT");
    assert_eq!(saved.join().expect("no panic"), Ok(2));
    assert_sound(&mut admin);
}

/// On a standby, it says what it would do.
#[test]
fn a_standby_only_reports() {
    let cluster = Cluster::new("importing", &[]);
    let mut admin = cluster.connect("postgres");
    admin.run("CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned");
    old_files(&mut admin, 1, 2, 3);
    let project = first_project(&mut admin);
    old_versions(&mut admin, project, 3);
    let replica = Cluster::new("importing-standby", &["--standby-of", &cluster.name]);
    let mut standby = replica.connect("postgres");
    let written: String = admin.value("SELECT pg_current_wal_insert_lsn()::text", &[]);
    until("the standby catches up", || {
        standby.value("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", &[&written])
    });
    let dry = standby
        .rows("SELECT action, rows FROM versioned.import_project_files('old_files') WHERE file_path IS NULL", &[]);
    assert_eq!(total(&dry, "imported"), 6);
    let dry = standby.rows("SELECT action, rows FROM versioned.import_project_versions('old_versions')", &[]);
    assert_eq!(total(&dry, "skipped"), 6, "each row, and their total");
    refused(standby.try_rows(IMPORT_FILES, &[]), "25006");
    refused(standby.try_rows(IMPORT_VERSIONS, &[]), "25006");
}

/// What a user's trigger on the extension's tables sees and does counts, as for saves.
#[test]
fn triggers_of_the_databases_owner_are_obeyed() {
    let db = Database::new("importing_triggers");
    let mut admin = db.connect();
    old_files(&mut admin, 1, 2, 5);
    let project = first_project(&mut admin);
    admin.run(
        "CREATE TABLE seen (version integer);
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (NEW.version); RETURN NULL; END $$;
         CREATE TRIGGER see AFTER INSERT ON versioned.project_file_versions FOR EACH ROW EXECUTE FUNCTION see()",
    );
    assert_eq!(total(&admin.rows(IMPORT_FILES, &[]), "verified"), 10);
    assert_eq!(admin.value::<i64>("SELECT count(*) FROM seen", &[]), 10);
    let hash: String = admin.value(
        "SELECT content_hash FROM versioned.project_files WHERE project_id = $1 AND file_path = 'src/file1' AND is_current_version",
        &[&project],
    );
    assert_eq!(hash, sha256(&format!("{}version 5", "line of file 1\n".repeat(10))));
    admin.rows("SELECT versioned.delete_project($1)", &[&project]);
    for table in ["project_file_versions", "imported_files"] {
        admin.run(&format!(
            "CREATE FUNCTION hide() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER hide BEFORE INSERT ON versioned.{table} FOR EACH ROW EXECUTE FUNCTION hide()"
        ));
        refused(admin.try_rows(IMPORT_FILES, &[]), "09000");
        admin.run("DROP FUNCTION hide CASCADE");
    }
    assert_eq!(admin.value::<i64>("SELECT count(*) FROM versioned.projects", &[]), 0);
}

/// The maps are part of a dump: where it is restored, everything is known to have been imported.
#[test]
fn a_restored_dump_knows_what_was_imported() {
    let db = Database::new("importing_dump");
    let mut admin = db.connect();
    old_files(&mut admin, 2, 3, 4);
    let project = first_project(&mut admin);
    assert_eq!(total(&admin.rows(IMPORT_FILES, &[]), "imported"), 24);
    old_versions(&mut admin, project, 5);
    assert_eq!(total(&admin.rows(IMPORT_VERSIONS, &[]), "imported"), 5);
    let copy = Database::bare("importing_restored");
    restore(&dumped(&db), &copy);
    let mut session = copy.connect();
    assert_eq!(total(&session.rows(IMPORT_FILES, &[]), "unchanged"), 24);
    assert_eq!(total(&session.rows(IMPORT_VERSIONS, &[]), "unchanged"), 5);
    assert_sound(&mut session);
}
