//! A database dumped and restored is the same database, and goes on.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::calls::{Answer, Build, Version};
use crate::invariants::{self, everything};
use crate::support::{Database, Session, refused};

/// A program of the server's version.
pub fn program(name: &str) -> Command {
    let bindir = env::var("VERSIONED_BINDIR").unwrap_or_else(|_| {
        let config = env::var("PGRX_PG_CONFIG_PATH").unwrap_or_else(|_| "pg_config".into());
        let output = Command::new(config).arg("--bindir").output().expect("pg_config runs, or VERSIONED_BINDIR is set");
        String::from_utf8(output.stdout).expect("a path").trim().to_owned()
    });
    let mut command = Command::new(PathBuf::from(bindir).join(name));
    if env::var_os("PGUSER").is_none() {
        command.env("PGUSER", "postgres");
    }
    command
}

/// Neither errors nor warnings.
#[track_caller]
pub fn silent(what: &str, output: Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{what}: {}: {errors}", output.status);
}

/// A file with a plain dump of the database.
#[track_caller]
pub fn dumped(db: &Database) -> PathBuf {
    let file = env::temp_dir().join(format!("{}.sql", db.name));
    silent("pg_dump", program("pg_dump").arg("--file").arg(&file).arg(&db.name).output().expect("pg_dump runs"));
    file
}

/// Restores a plain dump, without errors or warnings.
#[track_caller]
pub fn restore(file: &Path, into: &Database) {
    let mut command = program("psql");
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", &into.name, "-f"]).arg(file);
    silent("psql", command.output().expect("psql runs"));
}

pub struct Life {
    pub owner: Uuid,
    viewer: Uuid,
    /// With a deleted, a moved and a revived file, versions, and an active build.
    pub busy: Build,
    version: String,
    metrics: i64,
}

/// A database in the middle of its life.
pub fn populate(db: &Database) -> Life {
    populate_by(db, Session::succeed)
}

/// The same; `succeed` makes versions as the library that is played does.
pub fn populate_by(db: &Database, succeed: impl Fn(&mut Session, Uuid, &str, Json) -> Answer<Version>) -> Life {
    let mut admin = db.connect();
    let (owner, viewer) = (Uuid::new_v4(), Uuid::new_v4());
    let first = admin.create(owner, Some("A 'todo' app\n\\."), "Todo \"x\" 😀", Some("key 1")).expect("made");
    let project = first.project;
    let mut editor = db.user(owner);
    let contents = ["", "\\.", "\\N", "tab\there\r\n", "😀 e\u{301} \u{1} \u{feff}", "{1,2,NULL}", "'quoted' \\ $$"];
    for (n, content) in contents.iter().enumerate() {
        editor.put(project, &format!("src/{n} é.ts"), content);
        editor.put(project, "history", content);
    }
    editor.put(project, "large", &"0123456789abcdef".repeat(20_000));
    editor.put(project, "old name", "moved");
    editor.rename(project, "old name", "new name", None).expect("moved");
    editor.put(project, "deleted", "x");
    editor.delete(project, "deleted", None).expect("deleted");
    editor.put(project, "revived", "one");
    editor.delete(project, "revived", None).expect("deleted");
    editor.put(project, "revived", "two");
    let details = json!({"version_name": "First", "ai_json": {"a": [1, null, "\\"]}, "artifact_size": 2147483648i64,
        "artifact_checksum": "ab".repeat(32), "classification_confidence": 0.25, "prerelease": "beta.1"});
    succeed(&mut admin, project, &first.build, details).expect("it succeeds");
    let failed = admin.start(project, false).expect("it starts");
    admin.fail(project, &failed.build).expect("it fails");
    let second = admin.start(project, false).expect("it starts");
    editor.put(project, "src/0 é.ts", "changed");
    let patch = json!({"change_type": "patch"});
    let version = succeed(&mut admin, project, &second.build, patch).expect("it succeeds").id;
    admin.start(project, false).expect("it starts");
    let busy = admin.start(project, true).expect("it supersedes");
    admin.add_member(project, viewer, "viewer");
    for n in 0..5 {
        let other = admin.create(Uuid::new_v4(), Some(&n.to_string()), "Other", None).expect("made");
        admin.put(other.project, "a", &n.to_string());
    }
    let gone = admin.create(owner, Some("gone"), "Gone", Some("gone")).expect("made");
    admin.rows("SELECT versioned.delete_project($1)", &[&gone.project]);
    let metrics = busy.metrics.max(gone.metrics);
    Life { owner, viewer, busy, version, metrics }
}

/// All rows that a dump brings over: not the transactions, which are the cluster's own, nor what is used up of limits.
fn rows(admin: &mut Session) -> Vec<String> {
    let own = ["versioned.project_file_versions ", "versioned.rate_limits "];
    let mut rows = everything(admin);
    rows.retain(|row| !own.iter().any(|table| row.starts_with(table)));
    rows.extend(admin.column::<String>(
        "SELECT (to_jsonb(v) - 'change_xid')::text FROM versioned.project_file_versions v ORDER BY 1",
        &[],
    ));
    rows
}

/// Everything of the two databases that must be equal.
pub fn state(db: &Database) -> Vec<String> {
    let mut admin = db.connect();
    let mut state = rows(&mut admin);
    state.extend(admin.column::<String>(
        "SELECT c.relname || ' ' || coalesce(c.relacl::text, 'default') || ' ' || c.relrowsecurity FROM pg_class c
          WHERE c.relnamespace = 'versioned'::regnamespace AND c.relkind IN ('r', 'v') ORDER BY 1",
        &[],
    ));
    state.extend(admin.column::<String>(
        "SELECT sequencename || ' ' || coalesce(last_value::text, 'unused') FROM pg_sequences
          WHERE schemaname = 'versioned' ORDER BY 1",
        &[],
    ));
    state.extend(admin.column::<String>(
        "SELECT oid::regprocedure || ' ' || coalesce(proacl::text, 'default') FROM pg_proc
          WHERE pronamespace = 'versioned'::regnamespace ORDER BY 1",
        &[],
    ));
    state
}

fn listing(session: &mut Session, life: &Life) -> Vec<crate::calls::Listed> {
    let mut listing = session.list(life.busy.project);
    listing.extend(session.snapshot(life.busy.project, &life.version));
    listing
}

/// The restored database goes on where the other one was.
pub fn goes_on(db: &Database, life: &Life) {
    let mut admin = db.connect();
    let project = life.busy.project;
    invariants::hold(&mut admin);

    assert_eq!(admin.put(project, "history", "eighth"), 8);
    assert_eq!(admin.put(project, "deleted", "again"), 3);
    assert_eq!(
        admin.get(project, "new name", Some(1)).expect("its history followed").content.as_deref(),
        Some("moved")
    );
    refused(admin.save(project, "revived", "x", Some(2)), "PT409");
    refused(admin.start(project, false), "PT409");
    let version = admin.succeed(project, &life.busy.build, json!({})).expect("the active build goes on");
    assert_eq!((version.number, version.parent.as_deref()), ((1, 1, 0), Some(&*life.version)));
    let next = admin.start(project, false).expect("it starts");
    assert!(next.metrics > life.metrics, "numbers of builds go on");
    let again = admin.create(life.owner, Some("A 'todo' app\n\\."), "Todo \"x\" 😀", Some("key 1")).expect("known");
    assert!(!again.created && again.project == project, "keys are remembered");
    refused(admin.create(life.owner, None, "Other", Some("key 1")), "22023");
    let fresh = admin.project(Uuid::new_v4());
    assert!(fresh.metrics > next.metrics);

    let mut viewer = db.user(life.viewer);
    assert_eq!(viewer.rows("SELECT FROM versioned.projects", &[]).len(), 1);
    assert!(!viewer.list(project).is_empty());
    refused(viewer.save(project, "a", "x", None), "42501");
    let mut stranger = db.user(Uuid::new_v4());
    assert!(stranger.rows("SELECT FROM versioned.projects", &[]).is_empty());
    assert!(stranger.rows("SELECT FROM versioned.project_files", &[]).is_empty());
    refused(stranger.save(project, "a", "x", None), "PT404");
    refused(admin.try_run("DELETE FROM versioned.project_file_versions"), "42501");
    admin.rows("SELECT versioned.delete_project(id) FROM versioned.projects", &[]);
    invariants::hold(&mut admin);
}

#[test]
fn a_restored_database_is_the_same_and_goes_on() {
    let db = Database::new("dumped");
    let life = populate(&db);
    let app = db.role("app", "");
    db.connect().run(&format!("SELECT versioned.grant_versioned_access('{app}')"));
    let before = state(&db);
    let files = listing(&mut db.user(life.owner), &life);
    assert!(before.len() > 60);

    let directory = env::temp_dir().join(&db.name);
    fs::create_dir_all(&directory).expect("a directory for dumps");
    let dump = |format: &str| directory.join(format!("dump.{format}"));
    for format in ["plain", "custom", "directory"] {
        let mut command = program("pg_dump");
        command.args(["--format", format, "--file"]).arg(dump(format)).arg(&db.name);
        if format == "directory" {
            command.args(["--jobs", "2"]);
        }
        silent(format, command.output().expect("pg_dump runs"));
    }
    for (n, format) in ["plain", "custom", "directory"].into_iter().enumerate() {
        let restored = Database::bare(&format!("restored_{n}"));
        let mut command = program(if format == "plain" { "psql" } else { "pg_restore" });
        match format {
            "plain" => command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f"]),
            // Not with --jobs: pg_dump does not note which of an extension's tables needs which.
            _ => command.args(["--exit-on-error", "--dbname", &restored.name]),
        };
        command.arg(dump(format));
        if format == "plain" {
            command.args(["-d", &restored.name]);
        }
        silent(format, command.output().expect("the restore runs"));
        let after = state(&restored);
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(after, before, "{format}");
        }
        assert_eq!(after.len(), before.len(), "{format}");
        assert_eq!(listing(&mut restored.user(life.owner), &life), files, "{format}");
        goes_on(&restored, &life);
    }

    // Data alone, into a database that has the extension already.
    let mut command = program("pg_dump");
    command.args(["--data-only", "--file"]).arg(dump("data")).arg(&db.name);
    silent("data", command.output().expect("pg_dump runs"));
    let restored = Database::new("restored_data");
    restore(&dump("data"), &restored);
    assert_eq!(rows(&mut restored.connect()), rows(&mut db.connect()));
    goes_on(&restored, &life);
    fs::remove_dir_all(directory).expect("the dumps can go");
}

/// A dump is a snapshot: saves and builds that go on meanwhile are in it whole or not at all.
#[test]
fn a_dump_of_a_busy_database_is_whole() {
    let db = Database::new("busy_dump");
    let mut admin = db.connect();
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    let done = std::sync::atomic::AtomicBool::new(false);
    let file = std::thread::scope(|scope| {
        let is_done = || done.load(std::sync::atomic::Ordering::SeqCst);
        for n in 0..3 {
            let mut session = db.connect();
            scope.spawn(move || {
                for k in 0.. {
                    if is_done() {
                        break;
                    }
                    session.put(project, &format!("{}", k % 7), &format!("{k} of {n}"));
                }
            });
        }
        let (mut session, mut build) = (db.connect(), first.build.clone());
        scope.spawn(move || {
            while !is_done() {
                session.succeed(project, &build, json!({})).expect("it succeeds");
                build = session.start(project, false).expect("it starts").build;
            }
        });
        let [.., last] = [(); 3].map(|()| dumped(&db));
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        last
    });
    let restored = Database::bare("busy_restored");
    restore(&file, &restored);
    fs::remove_file(file).expect("the dump can go");
    let mut admin = restored.connect();
    invariants::hold(&mut admin);
    let versions: Vec<String> = admin.column("SELECT version_id FROM versioned.project_versions", &[]);
    assert!(!versions.is_empty());
    for version in versions {
        admin.snapshot(project, &version);
    }
}
