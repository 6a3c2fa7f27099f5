//! A project's history as git has it: imported as the documentation says, every tree is the same as here.

use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::json;
use uuid::Uuid;

use crate::dump::{dumped, restore};
use crate::git::{Repository, lines, same};
use crate::support::{Database, Random, Session, backend_memory, refused, skipped, until};

pub const EXPORT: &str = "SELECT versioned.get_project_fast_export($1)";

#[track_caller]
pub fn release(session: &mut Session, project: Uuid, result: serde_json::Value) -> String {
    let build = session.start(project, true).expect("it starts").build;
    session.succeed(project, &build, result).expect("it succeeds").id
}

#[test]
fn every_version_is_a_tag_with_the_same_files() {
    let db = Database::new("fast_export");
    let owner = Uuid::new_v4();
    let project = db.connect().project(owner).project;
    let mut user = db.user(owner);
    release(&mut user, project, json!({}));
    let contents = ["", "\n", "no line feed", "a\r\nb\r\n", "\n\nM 100644 inline x\ndata 1\n", "😀\u{feff}\u{1}\t\\n"];
    for (n, content) in contents.iter().enumerate() {
        user.put(project, &format!("{n}"), content);
    }
    for path in ["with space", " é/日本 ", "\"quoted\"", "in\"side", "-x", ":1", "inline", "x/y/z/\"q\"/😀"] {
        user.put(project, path, path);
    }
    release(&mut user, project, json!({"prerelease": "beta.1"}));

    // Paths that change hands, in a transaction and one by one.
    user.run("BEGIN");
    user.rename(project, "0", "temporary", None).expect("moved");
    user.rename(project, "2", "0", None).expect("moved");
    user.rename(project, "temporary", "2", None).expect("moved");
    user.run("COMMIT");
    release(&mut user, project, json!({}));
    user.rename(project, "0", "elsewhere", None).expect("moved");
    user.put(project, "0", "another");
    user.run("BEGIN");
    user.rename(project, "2", "\"2\"", None).expect("moved");
    user.put(project, "2", "another");
    user.run("COMMIT");
    user.rows(
        "UPDATE versioned.project_files SET file_path = file_path || '.ts'
          WHERE project_id = $1 AND is_current_version AND file_path IN ('1', 'in\"side')",
        &[&project],
    );
    release(&mut user, project, json!({"prerelease": "rc.1"}));

    // Deleted, saved again, and a file where a directory was.
    user.delete(project, "3", None).expect("deleted");
    release(&mut user, project, json!({}));
    user.put(project, "3", "again");
    user.run("BEGIN");
    user.put(project, "3", "twice");
    user.put(project, "4", "once");
    user.put(project, "3", "thrice");
    user.delete(project, "3", None).expect("deleted");
    user.put(project, "3", "at last");
    user.run("COMMIT");
    user.delete(project, "3", None).expect("deleted");
    user.put(project, "3/a", "in a directory");
    release(&mut user, project, json!({}));
    user.run("BEGIN");
    user.put(project, "3", "a file again");
    user.delete(project, "3/a", None).expect("deleted");
    user.put(project, "4/a/b", "in a directory");
    user.rename(project, "4", "4/a/c", None).expect("moved");
    user.run("COMMIT");
    release(&mut user, project, json!({}));
    user.put(project, "untagged", "x");

    let repository = same(&db, project);
    assert_eq!(repository.text(&["log", "--format=%s", "-1", "v1.0.0"]), "Empty project");
    let summaries = repository.log("%s");
    for due in ["Save 0", "Save \"quoted\"", "Change 2 files", "Move 0 to elsewhere", "Delete 3", "Save untagged"] {
        assert!(summaries.iter().any(|summary| summary == due), "{due}: {summaries:?}");
    }
    // In each commit of the transaction, a file once.
    let saved = summaries.iter().filter(|summary| ["Save 3", "Change 2 files"].contains(&summary.as_str())).count();
    assert!(saved >= 4, "{summaries:?}");
    drop(repository);

    // Git refuses a tag of this name, so it has another one.
    release(&mut user, project, json!({"prerelease": "x.lock"}));
    let repository = Repository::of(&db, project);
    assert_eq!(repository.tree("v1.7.0-x-lock"), repository.tree("main"));
}

#[test]
fn commits_and_tags_say_who_and_when() {
    let db = Database::new("fast_export_authors");
    let (ada, bob) = (Uuid::new_v4(), Uuid::new_v4());
    let mut admin = db.connect();
    let project = admin.project(ada).project;
    admin.add_member(project, bob, "editor");
    db.user(ada).put(project, "a", "ada");
    db.user(bob).put(project, "a", "bob");
    admin.put(project, "a", "nobody");
    admin.run(&format!(
        "BEGIN; SET LOCAL pg_versioned.actor_id = '{bob}';
         SELECT versioned.atomic_upsert_project_file('{project}', 'b', '1', 'text');
         SET LOCAL pg_versioned.actor_id = '{ada}';
         SELECT versioned.atomic_upsert_project_file('{project}', 'c', '1', 'text'); COMMIT"
    ));
    let description = "What is new:\n\n- tags\n";
    let mut user = db.user(ada);
    release(&mut user, project, json!({"version_name": "Größer", "version_description": description}));
    release(&mut user, project, json!({"change_type": "patch"}));

    let repository = Repository::new(&db.name);
    let authors = json!({ada.to_string(): "Ada Lovelace <ada@example.com>"});
    let stream = lines(&db, &format!("SELECT versioned.get_project_fast_export('{project}', '{authors}')"));
    assert!(repository.import(&stream).status.success());
    let ada = "Ada Lovelace <ada@example.com>".to_owned();
    let bob = format!("{bob} <{bob}>");
    let due = [ada.clone(), bob.clone(), "unknown <>".to_owned(), bob, ada.clone()];
    assert_eq!(repository.log("%an <%ae>"), due);
    assert_eq!(repository.log("%cn <%ce>"), due);
    let times: Vec<i64> = admin.column(
        "SELECT floor(extract(epoch FROM created_at))::bigint FROM versioned.project_file_versions
          WHERE project_id = $1 ORDER BY created_at",
        &[&project],
    );
    assert_eq!(repository.log("%at"), times.iter().map(i64::to_string).collect::<Vec<_>>());
    let tag = |name: &str| repository.text(&["cat-file", "tag", name]);
    let (first, second) = (tag("v1.0.0"), tag("v1.0.1"));
    assert!(
        first.contains(&format!("\ntagger {ada} ")) && first.ends_with("+0000\n\nGrößer\n\nWhat is new:\n\n- tags")
    );
    assert!(second.ends_with("+0000\n\nv1.0.1"), "{second}");

    for (authors, named) in [
        (None, "p_authors"),
        (Some("[]".to_owned()), "p_authors"),
        (Some("{\"ada\": \"A <a>\"}".to_owned()), "\"ada\""),
        (Some(format!("{{\"{project}\": \"A\\nB <a>\"}}")), &*format!("\"{project}\"")),
        (Some(format!("{{\"{project}\": 1}}")), &*format!("\"{project}\"")),
    ] {
        let sql = "SELECT versioned.get_project_fast_export($1, $2::text::jsonb)";
        let refusal = refused(user.try_rows(sql, &[&project, &authors]), "22023");
        assert!(refusal.message.contains(named), "{refusal:?}");
    }
    let refusal = refused(user.try_rows("SELECT versioned.get_project_fast_export(NULL)", &[]), "22023");
    assert!(refusal.message.contains("p_project_id"));
}

#[test]
fn only_members_may_export() {
    let db = Database::new("fast_export_rights");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "x");
    let viewer = Uuid::new_v4();
    admin.add_member(project, viewer, "viewer");
    let whole = admin.column::<String>(EXPORT, &[&project]);
    assert_eq!(db.user(viewer).column::<String>(EXPORT, &[&project]), whole);
    refused(db.user(Uuid::new_v4()).try_rows(EXPORT, &[&project]), "PT404");
    refused(admin.try_rows(EXPORT, &[&Uuid::new_v4()]), "PT404");
    let mut anon = db.login("authenticator");
    anon.run("SET ROLE authenticated");
    refused(anon.try_rows(EXPORT, &[&project]), "42501");
    db.connect().run("GRANT USAGE ON SCHEMA versioned TO anon");
    anon.run("SET ROLE anon");
    refused(anon.try_rows(EXPORT, &[&project]), "42501");
}

/// A transaction that began to write first may write last.
#[test]
fn transactions_that_overlap_are_in_order() {
    let db = Database::new("fast_export_overlap");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "path", "x");
    release(&mut admin, project, json!({}));
    let (mut one, mut two) = (db.connect(), db.connect());
    one.run("BEGIN");
    one.put(project, "one", "1");
    two.put(project, "a", "first");
    two.rename(project, "path", "moved", None).expect("moved");
    one.put(project, "a", "second");
    one.put(project, "path", "new");
    one.run("COMMIT");
    let repository = same(&db, project);
    let due = ["Save path", "Save a", "Move path to moved", "Change 3 files"];
    assert_eq!(repository.log("%s"), due);
}

/// A pause divides the saves of a transaction. Nothing is in a wrong order, even if the clock was set back.
#[test]
fn times_matter_only_within_transactions() {
    let db = Database::new("fast_export_clock");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let shift = |path: &str, time: &str| {
        db.connect().run(&format!(
            "SET session_replication_role = replica;
             UPDATE versioned.project_file_versions SET created_at = created_at + interval '{time}'
              WHERE file_path = '{path}'"
        ));
    };
    admin.run("BEGIN");
    admin.put(project, "a", "1");
    admin.put(project, "b", "1");
    admin.run("COMMIT");
    shift("b", "9 s");
    assert_eq!(same(&db, project).log("%s"), ["Change 2 files"]);
    shift("b", "3 s");
    assert_eq!(same(&db, project).log("%s"), ["Save a", "Save b"]);
    // The first transaction seems to have ended after the next one.
    admin.put(project, "a", "2");
    admin.put(project, "c", "1");
    same(&db, project);
    shift("c", "-1 h");
    assert_eq!(same(&db, project).log("%s")[0], "Save c");
}

/// All rows of a restored database are of one transaction.
#[test]
fn a_restored_history_is_in_order() {
    let db = Database::new("fast_export_dump");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    for n in 0..3 {
        admin.put(project, "a", &n.to_string());
        admin.put(project, "b", &n.to_string());
    }
    release(&mut admin, project, json!({}));
    admin.rename(project, "a", "c", None).expect("moved");
    admin.put(project, "a", "another");
    admin.delete(project, "b", None).expect("deleted");
    release(&mut admin, project, json!({}));
    admin.run("BEGIN");
    admin.put(project, "d", "x");
    admin.put(project, "e", "x");
    admin.run("COMMIT");
    let before = same(&db, project).log("%s").len();
    let restored = Database::bare("fast_export_restored");
    let file = dumped(&db);
    restore(&file, &restored);
    fs::remove_file(file).expect("the dump can go");
    let after = same(&restored, project).log("%s").len();
    assert!((6..=before).contains(&after), "{after} commits");
    restored.connect().put(project, "a", "goes on");
    same(&restored, project);
}

/// The version in which a file left its path may be gone when another one has the path.
#[test]
fn a_pruned_history_has_the_same_files() {
    let db = Database::new("fast_export_pruned");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "path", "x");
    admin.put(project, "gone", "x");
    release(&mut admin, project, json!({}));
    admin.rename(project, "path", "moved", None).expect("moved");
    admin.put(project, "path", "another");
    admin.put(project, "moved", "y");
    admin.delete(project, "gone", None).expect("deleted");
    same(&db, project);
    admin.rows("SELECT versioned.prune_project_history($1, p_dry_run => false)", &[&project]);
    same(&db, project);
    admin.run("UPDATE versioned.project_versions SET soft_deleted_at = now()");
    assert!(same(&db, project).text(&["tag"]).is_empty());
}

/// Brought back, a version that has lost files still has none to show.
#[test]
fn a_pruned_version_is_no_tag() {
    let db = Database::new("fast_export_pruned_version");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "first");
    let version = release(&mut admin, project, json!({}));
    admin.put(project, "a", "second");
    release(&mut admin, project, json!({}));
    admin.rows("SELECT versioned.delete_project_version($1, $2)", &[&project, &version]);
    assert_eq!(same(&db, project).text(&["tag"]), "v1.1.0");
    admin.rows("SELECT versioned.undelete_project_version($1, $2)", &[&project, &version]);
    assert_eq!(same(&db, project).text(&["tag"]), "v1.0.0\nv1.1.0");
    admin.rows("SELECT versioned.delete_project_version($1, $2)", &[&project, &version]);
    admin.rows("SELECT versioned.prune_project_history($1, p_dry_run => false)", &[&project]);
    admin.rows("SELECT versioned.undelete_project_version($1, $2)", &[&project, &version]);
    assert_eq!(same(&db, project).text(&["tag"]), "v1.1.0");
}

#[test]
fn random_histories_have_the_same_files() {
    const PATHS: [&str; 6] = ["a", "b", "c", "d/e", "d/f", "\"g\" h"];
    let db = Database::new("fast_export_random");
    let mut admin = db.connect();
    let mut random = Random(1);
    for _ in 0..5 {
        let project = admin.project(Uuid::new_v4()).project;
        let mut is_open = false;
        for n in 0..80 {
            let [path, other] = [(); 2].map(|()| PATHS[random.below(PATHS.len())]);
            // What cannot be done is left out.
            if is_open {
                admin.run("SAVEPOINT s");
            }
            let is_done = match random.below(12) {
                0..5 => admin.save(project, path, &format!("{n}\n"), None).is_ok(),
                5..7 => admin.delete(project, path, None).is_ok(),
                7..10 => admin.rename(project, path, other, None).is_ok(),
                10 => {
                    release(&mut admin, project, json!({}));
                    true
                }
                _ => {
                    admin.run(if is_open { "COMMIT" } else { "BEGIN" });
                    is_open = !is_open;
                    true
                }
            };
            if !is_done && is_open {
                admin.run("ROLLBACK TO s");
            }
        }
        if is_open {
            admin.run("COMMIT");
        }
        same(&db, project);
        let keep = random.below(2) as i32;
        let sql = "SELECT versioned.prune_project_history($1, p_keep_last => $2, p_dry_run => false)";
        admin.rows(sql, &[&project, &keep]);
        same(&db, project);
    }
}

#[test]
fn git_refuses_a_part_of_a_stream() {
    let db = Database::new("fast_export_part");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let nothing: Vec<String> = admin.column(EXPORT, &[&project]);
    assert_eq!(nothing, ["feature done", "done"]);
    same(&db, project);
    for n in 0..3 {
        admin.put(project, "a", &format!("{n}\n"));
    }
    let whole: Vec<String> = admin.column(EXPORT, &[&project]);
    for count in 1..whole.len() {
        let part: String = whole[..count].iter().map(|row| format!("{row}\n")).collect();
        let output = Repository::new(&db.name).import(part.as_bytes());
        assert!(!output.status.success(), "{count} of {} rows", whole.len());
    }
}

#[test]
fn wherever_a_query_may_call_it() {
    let db = Database::new("fast_export_calls");
    let mut admin = db.connect();
    let [project, other] = [(); 2].map(|()| admin.project(Uuid::new_v4()).project);
    for n in 0..700 {
        admin.put(project, &format!("{}", n % 7), &format!("{n}\n"));
    }
    admin.put(other, "a", "x");
    let whole: Vec<String> = admin.column(EXPORT, &[&project]);
    assert!(whole.len() == 702 && whole.last().is_some_and(|last| last == "done"));
    // Rows that are kept are written to disk.
    admin.run("SET work_mem = '64kB'; SET client_min_messages = 'warning'");
    let id = project.to_string();
    let call = format!("versioned.get_project_fast_export('{id}')");

    for sql in [format!("SELECT {call}"), format!("SELECT * FROM {call}")] {
        assert!(admin.column::<String>(&sql, &[]) == whole, "{sql}");
    }
    assert_eq!(admin.column::<String>(&format!("SELECT {call} LIMIT 1"), &[]), whole[..1]);
    assert_eq!(admin.column::<String>(&format!("SELECT {call} OFFSET 3 LIMIT 2"), &[]), whole[3..5]);
    let lengths: Vec<i32> = admin.column(&format!("SELECT length({call})"), &[]);
    assert_eq!(lengths.len(), whole.len());
    // Several at once, and again for each row of another table.
    let both = admin.rows(&format!("SELECT {call}, versioned.get_project_fast_export('{other}')"), &[]);
    assert_eq!((both.len(), both[2].get::<_, Option<&str>>(1)), (whole.len(), Some("done")));
    let each = "SELECT count(*) FROM versioned.projects p, versioned.get_project_fast_export(p.id)";
    assert_eq!(admin.value::<i64>(each, &[]), whole.len() as i64 + 3);
    let each = "SELECT count(l) FROM versioned.projects p,
                    LATERAL (SELECT versioned.get_project_fast_export(p.id) AS l OFFSET 0) l";
    assert_eq!(admin.value::<i64>(each, &[]), whole.len() as i64 + 3);
    let first = "SELECT count(l) FROM versioned.projects p,
                    LATERAL (SELECT versioned.get_project_fast_export(p.id) AS l LIMIT 2) l";
    assert_eq!(admin.value::<i64>(first, &[]), 4);

    // PL/pgSQL, with errors that are caught on the way.
    admin.run(&format!(
        "CREATE FUNCTION public.collect(p_stop int) RETURNS text[] LANGUAGE plpgsql AS $$
         DECLARE
             v_row text;
             v_all text[] = '{{}}';
         BEGIN
             FOR v_row IN SELECT {call} LOOP
                 BEGIN
                     v_all := v_all || v_row;
                     RAISE EXCEPTION 'undone';
                 EXCEPTION WHEN OTHERS THEN
                     v_all := v_all || v_row;
                 END;
                 EXIT WHEN cardinality(v_all) = p_stop;
             END LOOP;
             RETURN v_all;
         END $$"
    ));
    assert_eq!(admin.value::<Vec<String>>("SELECT public.collect(0)", &[]).len(), 2 * whole.len());
    assert_eq!(admin.value::<Vec<String>>("SELECT public.collect(8)", &[]).len(), 8);

    // Cursors, in spite of savepoints, and beyond the transaction.
    let fetch = |session: &mut Session, count: &str| {
        let rows = session.client.simple_query(&format!("FETCH {count} FROM c")).expect("fetched");
        let text = |message: &postgres::SimpleQueryMessage| match message {
            postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        rows.iter().filter_map(text).collect::<Vec<String>>()
    };
    for hold in ["WITHOUT HOLD", "WITH HOLD"] {
        admin.run(&format!("BEGIN READ ONLY; DECLARE c CURSOR {hold} FOR SELECT {call}; SAVEPOINT s"));
        let mut all = fetch(&mut admin, "5");
        admin.run("ROLLBACK TO s");
        all.extend(fetch(&mut admin, "5"));
        admin.run("SAVEPOINT s");
        all.extend(fetch(&mut admin, "300"));
        admin.run("RELEASE s");
        if hold == "WITH HOLD" {
            admin.run("COMMIT; BEGIN");
        }
        all.extend(fetch(&mut admin, "ALL"));
        assert!(all == whole, "{hold}: {} rows", all.len());
        admin.run("CLOSE c; COMMIT");
    }
    admin.run(&format!("BEGIN; DECLARE c SCROLL CURSOR FOR SELECT {call}"));
    assert_eq!(fetch(&mut admin, "FIRST"), whole[..1]);
    assert_eq!(fetch(&mut admin, "LAST"), ["done"]);
    assert_eq!(fetch(&mut admin, "ABSOLUTE 7"), whole[6..7]);
    admin.run("CLOSE ALL; COMMIT");

    // What a statement sees does not change, not even by what its own transaction does.
    for own in [false, true] {
        let before: Vec<String> = admin.column(EXPORT, &[&project]);
        admin.run(&format!("BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT {call}"));
        let mut all = if own { fetch(&mut admin, "10") } else { Vec::new() };
        let mut other = db.connect();
        let writer = if own { &mut admin } else { &mut other };
        writer.put(project, "a", &own.to_string());
        writer.rows("SELECT versioned.prune_project_history($1, p_keep_last => 2, p_dry_run => false)", &[&project]);
        all.extend(fetch(&mut admin, "ALL"));
        assert!(all == before, "own: {own}: {} rows", all.len());
        admin.run("COMMIT");
        assert!(admin.column::<String>(EXPORT, &[&project]) != before);
    }
    // Nothing was left open.
    assert_eq!(admin.notices(), [""; 0]);
}

/// 300 MB of contents go through a few MB of memory.
#[test]
fn a_long_history_is_streamed() {
    const VERSIONS: usize = 80;
    let db = Database::new("fast_export_long");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.rows(
        "SELECT versioned.atomic_upsert_project_files($1, (
             SELECT jsonb_agg(jsonb_build_object('file_path', f || '/' || n, 'file_type', 'text',
                                                 'content', f || ' ' || n || repeat(' and so on', 10000)))
               FROM generate_series(1, 40) f))
           FROM generate_series(1, $2::int) n",
        &[&project, &(VERSIONS as i32)],
    );
    let contents: i64 =
        admin.value("SELECT sum(size_bytes) FROM versioned.project_file_versions WHERE project_id = $1", &[&project]);
    assert!(contents > 300_000_000, "{contents}");

    let mut session = db.connect();
    let pid = session.pid;
    let peak = || backend_memory(pid, "VmHWM").map(|bytes| bytes >> 10);
    let before = peak();
    session.run(&format!("BEGIN; DECLARE c CURSOR FOR SELECT length(versioned.get_project_fast_export('{project}'))"));
    let mut length = 0;
    loop {
        let rows: Vec<i32> = session.column("FETCH 100 FROM c", &[]);
        if rows.is_empty() {
            break;
        }
        length += rows.iter().map(|&row| i64::from(row)).sum::<i64>();
    }
    session.run("COMMIT");
    assert!(length > contents);
    match before.zip(peak()) {
        Some((before, after)) => assert!(after - before < 50_000, "{before} kB, then {after} kB"),
        None => skipped("the server's memory is not to be seen here"),
    }

    // Whoever cancels waits neither for the sorting before the first row nor for the contents after it.
    let export = format!("SELECT versioned.get_project_fast_export('{project}')");
    for (before, sql) in [
        ("SELECT".to_owned(), format!("{export} OFFSET 1000000")),
        (format!("BEGIN; DECLARE c CURSOR FOR {export}; MOVE 1 FROM c"), "MOVE ALL FROM c".to_owned()),
    ] {
        let mut session = db.connect();
        session.run(&before);
        let pid = session.pid;
        let running = format!(
            "SELECT state = 'active' AND query = '{}' FROM pg_stat_activity WHERE pid = {pid}",
            sql.replace('\'', "''")
        );
        let canceled = thread::spawn(move || (session.try_run(&sql), Instant::now()));
        until("it runs", || admin.value(&running, &[]));
        let asked = Instant::now();
        admin.rows("SELECT pg_cancel_backend($1)", &[&pid]);
        let (result, ended) = canceled.join().expect("no panic");
        refused(result, "57014");
        assert!(ended - asked < Duration::from_secs(1), "{:?}", ended - asked);
    }
}
