//! Many clients saving the same files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::SystemTime;

use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Random, race, refused, sessions, until_waiting};

/// Content of every version of the file at a path, through the view.
fn contents(db: &Database, project: Uuid, path: &str) -> BTreeMap<i32, String> {
    let sql = "SELECT version, content FROM versioned.project_files WHERE project_id = $1 AND file_path = $2";
    let rows = db.connect().rows(sql, &[&project, &path]);
    let by_version: BTreeMap<i32, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(by_version.len(), rows.len(), "each version is there once");
    by_version
}

#[test]
fn hundreds_of_saves_to_one_file_each_get_a_number_of_their_own() {
    const WRITERS: usize = 32;
    const SAVES: usize = 200;
    let db = Database::new("one_file");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;

    let answers = race(sessions(WRITERS, || db.connect()), |writer, session| {
        (0..SAVES)
            .map(|n| {
                let content = format!("save {n} of writer {writer}");
                let saved = session.save(project, "src/App.tsx", &content, None).expect("no save fails");
                assert_eq!(saved.content.as_deref(), Some(&*content), "a save answers with what it saved");
                (saved.version, content)
            })
            .collect::<Vec<_>>()
    });

    for own in &answers {
        assert!(own.windows(2).all(|pair| pair[0].0 < pair[1].0), "a client's later save is a later version");
    }
    let saved: BTreeMap<i32, String> = answers.into_iter().flatten().collect();
    assert_eq!(saved.len(), WRITERS * SAVES, "no number was given twice");
    assert!(saved.keys().copied().eq(1..=(WRITERS * SAVES) as i32));
    assert!(saved == contents(&db, project, "src/App.tsx"), "every version holds what its writer was told");
    let current: Vec<i32> = admin.column("SELECT version FROM versioned.project_files WHERE is_current_version", &[]);
    assert_eq!(current, [(WRITERS * SAVES) as i32]);
    invariants::hold(&mut admin);
}

#[test]
fn racing_first_saves_of_the_same_paths_all_succeed() {
    const WRITERS: usize = 32;
    const PATHS: usize = 100;
    let db = Database::new("first_saves");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;

    let answers = race(sessions(WRITERS, || db.connect()), |writer, session| {
        let mut order: Vec<usize> = (0..PATHS).collect();
        Random(writer as u64).shuffle(&mut order);
        let content = format!("writer {writer}");
        order.into_iter().map(|n| (n, session.put(project, &format!("src/{n}.ts"), &content))).collect::<Vec<_>>()
    });

    let mut numbers: HashMap<usize, HashSet<i32>> = HashMap::new();
    for (path, version) in answers.into_iter().flatten() {
        assert!(numbers.entry(path).or_default().insert(version), "path {path}: version {version} twice");
    }
    for (path, versions) in &numbers {
        assert!((1..=WRITERS as i32).all(|n| versions.contains(&n)), "path {path}: {versions:?}");
    }
    let listed = admin.list(project);
    assert_eq!(listed.len(), PATHS);
    assert!(listed.iter().all(|(_, version, _)| *version == WRITERS as i32));
    let rows: i64 = admin.value("SELECT count(*) FROM versioned.project_files", &[]);
    assert_eq!(rows, (WRITERS * PATHS) as i64);
    invariants::hold(&mut admin);
}

/// Read, add one, save what was read as expected: the count is right only if no update is lost.
#[test]
fn no_update_is_lost_where_the_version_read_is_expected() {
    const WRITERS: usize = 8;
    const INCREMENTS: usize = 60;
    let db = Database::new("counter");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "counter", "0");

    let conflicts = race(sessions(WRITERS, || db.connect()), |_, session| {
        let mut conflicts = 0;
        for _ in 0..INCREMENTS {
            loop {
                let read = session.get(project, "counter", None).expect("it is there");
                let count: usize = read.content.expect("it is live").parse().expect("it is a number");
                match session.save(project, "counter", &(count + 1).to_string(), Some(read.version)) {
                    Ok(saved) => {
                        assert_eq!(saved.version, read.version + 1);
                        break;
                    }
                    Err(refusal) => {
                        assert_eq!(refusal.code, "PT409", "{refusal:?}");
                        conflicts += 1;
                    }
                }
            }
        }
        conflicts
    });
    let _ = conflicts;
    let versions: i32 = admin.get(project, "counter", None).expect("it is there").version;
    let count: i32 = admin.get(project, "counter", None).expect("it is there").content.expect("live").parse().unwrap();
    assert_eq!(count, versions - 1, "every version added one");
    invariants::hold(&mut admin);
}

/// The same with contents that name their writer: then every success is a version of its own.
#[test]
fn exactly_one_of_racing_saves_that_expect_the_same_version_wins() {
    const WRITERS: usize = 16;
    let db = Database::new("expected_race");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    for round in 0..25 {
        let expected = round;
        let answers = race(sessions(WRITERS, || db.connect()), |writer, session| {
            session.save(project, "a", &format!("{round} by {writer}"), Some(expected))
        });
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}");
        let winner = won.into_iter().next().expect("one").expect("it won");
        assert_eq!(winner.version, expected + 1);
        for loser in lost {
            let detail = refused(loser, "PT409").json();
            assert_eq!(detail["file_path"], "a");
            assert_eq!(detail["expected"], expected);
            assert_eq!(detail["current"], winner.version);
            assert_eq!(detail["current_hash"], winner.hash.as_deref().expect("it is live"));
        }
    }
    invariants::hold(&mut admin);
}

#[test]
fn racing_equal_saves_make_one_version() {
    let db = Database::new("equal_saves");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    for round in 0..10 {
        let path = format!("{round}");
        let answers = race(sessions(8, || db.connect()), |_, session| session.put(project, &path, "the same"));
        assert_eq!(answers, [1; 8]);
    }
    invariants::hold(&mut admin);
}

/// One statement, one snapshot, many saves: each sees the one before.
#[test]
fn saves_of_one_statement_follow_each_other() {
    let db = Database::new("one_statement");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let versions: Vec<i32> = admin.column(
        "SELECT (versioned.atomic_upsert_project_file($1, 'a', n::text, 'text')).version FROM generate_series(1, 100) n",
        &[&project],
    );
    assert!(versions.into_iter().eq(1..=100));
    // Over the very rows that the saves change.
    admin.put(project, "b", "x");
    let saved: i64 = admin.value(
        "SELECT count(*) FROM versioned.project_files f,
                versioned.atomic_upsert_project_file($1, f.file_path, f.content || ' again', 'text') s
          WHERE f.project_id = $1 AND f.is_current_version",
        &[&project],
    );
    assert_eq!(saved, 2);
    admin.run(&format!(
        "DO $$
         DECLARE
             v_file record;
         BEGIN
             FOR v_file IN SELECT * FROM versioned.project_files WHERE project_id = '{project}' AND is_current_version LOOP
                 PERFORM versioned.atomic_upsert_project_file('{project}', v_file.file_path, 'loop', 'text', v_file.version);
                 PERFORM versioned.delete_project_file('{project}', v_file.file_path, v_file.version + 1);
                 ASSERT (SELECT count(*) = 0 FROM versioned.project_files
                          WHERE project_id = '{project}' AND file_path = v_file.file_path AND is_current_version);
             END LOOP;
         END $$"
    ));
    assert!(admin.list(project).is_empty());
    invariants::hold(&mut admin);
}

#[test]
fn ulids_are_unique_and_grow_within_a_session() {
    let db = Database::new("ulids");
    let ids = race(sessions(8, || db.connect()), |_, session| {
        let sql = "SELECT versioned.generate_ulid() FROM generate_series(1, 2000)";
        (0..3).flat_map(|_| session.column::<String>(sql, &[])).collect::<Vec<_>>()
    });
    for own in &ids {
        assert!(own.windows(2).all(|pair| pair[0] < pair[1]));
    }
    assert_eq!(ids.iter().flatten().collect::<HashSet<_>>().len(), 8 * 6000);
}

#[test]
fn created_at_grows_though_the_later_writers_transaction_started_earlier() {
    let db = Database::new("created_at");
    let (mut early, mut late, mut admin) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;

    early.run("BEGIN");
    let started: SystemTime = early.value("SELECT now()", &[]);
    let first = late.save(project, "a", "one", None).expect("saved");
    let second = early.save(project, "a", "two", None).expect("saved");
    early.run("COMMIT");
    assert!(started < first.created_at, "the first version is newer than the second one's transaction");
    assert!(second.created_at >= first.created_at);

    // The same where the earlier transaction has to wait for the later one.
    early.run("BEGIN");
    let started: SystemTime = early.value("SELECT now()", &[]);
    late.run("BEGIN");
    let third = late.save(project, "a", "three", None).expect("saved");
    let pid = early.pid;
    let fourth = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| early.save(project, "a", "four", None).expect("saved"));
        until_waiting(&mut admin, pid);
        late.run("COMMIT");
        waiting.join().expect("no panic")
    });
    early.run("COMMIT");
    assert!(started < third.created_at && third.created_at <= fourth.created_at);

    // Builds and versions.
    early.run("BEGIN");
    early.value::<SystemTime>("SELECT now()", &[]);
    let build = admin.project(Uuid::new_v4());
    let version = late.succeed(build.project, &build.build, serde_json::json!({})).expect("it succeeds");
    let next = early.start(build.project, false).expect("it starts");
    let second = early.succeed(build.project, &next.build, serde_json::json!({})).expect("it succeeds");
    early.run("COMMIT");
    assert!(second.created_at >= version.created_at);
    invariants::hold(&mut admin);
}

/// Where the clock was set back, or a row came from a server whose clock was ahead.
#[test]
fn created_at_never_precedes_a_version_from_the_future() {
    let db = Database::new("future");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    admin.run(
        "SET session_replication_role = replica;
         UPDATE versioned.project_file_versions SET created_at = now() + interval '1 day';
         UPDATE versioned.project_file_heads SET updated_at = now() + interval '1 day';
         UPDATE versioned.projects SET updated_at = now() + interval '1 day';
         RESET session_replication_role",
    );
    admin.put(project, "a", "two");
    admin.delete(project, "a", None).expect("deleted");
    admin.put(project, "a", "three");
    admin.rename(project, "a", "b", None).expect("moved");
    invariants::hold(&mut admin);
}
