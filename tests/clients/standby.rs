//! Other clusters: reading from a hot standby, and the change feed after a move to another one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fs, thread};

use serde_json::json;
use uuid::Uuid;

use crate::dump::{program, silent};
use crate::feed::{Change, history, read_on, read_settled, settle, try_page};
use crate::invariants;
use crate::support::{Cluster, Database, Session, refused, until};

/// A cluster with the extension in its database `postgres`.
fn primary(name: &str) -> Cluster {
    let cluster = Cluster::new(name, &[]);
    cluster.connect("postgres").run("CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned");
    cluster
}

/// Waits until the standby has replayed what the primary has written.
fn catch_up(primary: &mut Session, standby: &mut Session) {
    let written: String = primary.value("SELECT pg_current_wal_insert_lsn()::text", &[]);
    until("the standby catches up", || {
        standby.value("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", &[&written])
    });
}

#[test]
fn a_standby_reads_everything_and_its_feed_misses_nothing() {
    const WRITERS: usize = 4;
    let cluster = primary("primary");
    let mut admin = cluster.connect("postgres");
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    admin.put(project, "a", "one\n");
    let version = admin.succeed(project, &first.build, json!({})).expect("it succeeds").id;
    admin.put(project, "a", "two\n");
    admin.run("CREATE TABLE own (file text, version integer); INSERT INTO own VALUES ('a', 1), ('a', 1), ('b', 2)");
    let replica = Cluster::new("standby", &["--standby-of", &cluster.name]);
    let mut standby = replica.connect("postgres");

    let fingerprint = "SELECT versioned.schema_fingerprint('public', '{owners,grants,comments}')";
    assert_eq!(standby.value::<String>(fingerprint, &[]), admin.value::<String>(fingerprint, &[]));

    // Every function that reads.
    assert_eq!(standby.get(project, "a", Some(1)).expect("there").content.as_deref(), Some("one\n"));
    assert_eq!(standby.list(project), admin.list(project));
    assert_eq!(standby.snapshot(project, &version), admin.snapshot(project, &version));
    for sql in [
        &format!("SELECT count(content) FROM versioned.get_project_build_files($1, '{}')", first.build),
        &format!("SELECT sum(lines_added)::bigint FROM versioned.diff_project_versions($1, '{version}')"),
        "SELECT sum(total_count)::bigint FROM versioned.get_project_version_history($1)",
        "SELECT count(*) FROM versioned.get_project_file_history($1, 'a')",
        "SELECT count(versioned.diff_project_file($1, 'a', 1, 2))",
        "SELECT count(*) FROM versioned.get_project_changes($1)",
        "SELECT count(*) FROM versioned.get_project_fast_export($1)",
        "SELECT count(*) FROM versioned.project_files WHERE project_id = $1",
        "SELECT count(*) FROM versioned.file_operation_metrics WHERE project_id = $1",
        "SELECT count(*) FROM versioned.project_storage WHERE project_id = $1",
        "SELECT count(*) FROM versioned.project_ai_time WHERE project_id = $1",
        "SELECT count(*) FROM versioned.project_build_summary WHERE project_id = $1",
        "SELECT count(*) FROM versioned.get_project_state($1)",
        "SELECT count(*) FROM versioned.check_project_integrity($1)",
        "SELECT count(*) FROM versioned.versioning_report('own', '{file}', 'version') WHERE $1::uuid IS NOT NULL",
    ] {
        assert_eq!(standby.value::<i64>(sql, &[&project]), admin.value::<i64>(sql, &[&project]), "{sql}");
    }
    refused(standby.save(project, "a", "x", None), "25006");

    // A cursor of the primary that the standby has not reached yet shows nothing, and misses nothing later.
    standby.run("SELECT pg_wal_replay_pause()");
    until("replay is paused", || standby.value("SELECT pg_get_wal_replay_pause_state() = 'paused'", &[]));
    admin.put(project, "a", "three\n");
    let mut cursor = None;
    assert_eq!(read_settled(&mut admin, project, &mut cursor, 100).len(), 3);
    assert_eq!(read_on(&mut standby, project, &mut cursor.clone(), 100), []);
    standby.run("SELECT pg_wal_replay_resume()");
    admin.put(project, "a", "four\n");
    catch_up(&mut admin, &mut standby);
    assert_eq!(read_settled(&mut standby, project, &mut cursor, 100).len(), 1);

    // While writers of short and long transactions go on.
    let done = AtomicBool::new(false);
    let mut reader = replica.connect("postgres");
    let seen: Vec<Change> = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut all, mut cursor) = (Vec::new(), None);
            loop {
                let last = done.load(Ordering::SeqCst);
                if last {
                    settle(&mut reader);
                }
                all.extend(read_on(&mut reader, project, &mut cursor, 13));
                if last {
                    return all;
                }
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|who| {
                let mut session = cluster.connect("postgres");
                scope.spawn(move || {
                    for n in 0..60 {
                        session.run("BEGIN");
                        session.put(project, &format!("of {who}"), &n.to_string());
                        if (n + who) % 7 == 0 {
                            session.run("SELECT pg_sleep(0.02)");
                        }
                        session.put(project, &format!("more of {who}"), &n.to_string());
                        session.run(if n % 10 == 9 { "ROLLBACK" } else { "COMMIT" });
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        catch_up(&mut admin, &mut standby);
        done.store(true, Ordering::SeqCst);
        reading.join().expect("no panic")
    });
    let count = seen.len();
    assert_eq!(count, 4 + WRITERS * 54 * 2);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), history(&mut admin, project));
    drop(replica);
}

/// Calls that write, `{p}` being a project with the file `a`, `{v}` a version of it, `{b}` its active build, `{s}` that
/// one's session and `{m}` a member.
const WRITES: &[&str] = &[
    "SELECT versioned.atomic_upsert_project_file('{p}', 'a', 'next', 'text')",
    "SELECT versioned.atomic_upsert_project_file('{p}', 'a', 'next', 'text', 2)",
    "SELECT versioned.atomic_upsert_project_file('{p}', 'new', 'first', 'text')",
    "SELECT versioned.atomic_upsert_project_file('{p}', 'gone', 'back', 'text')",
    "SELECT versioned.upsert_project_file('{p}', 'a', 'next', 'text')",
    "SELECT versioned.atomic_upsert_project_files('{p}',
         '[{\"file_path\": \"a\", \"content\": \"next\", \"file_type\": \"text\"}]')",
    "SELECT versioned.delete_project_file('{p}', 'a')",
    "SELECT versioned.move_project_file('{p}', 'a', 'b')",
    "SELECT versioned.revert_project_file('{p}', 'a', 1)",
    "SELECT versioned.merge_project_file('{p}', 'a', 'merged', 2)",
    "INSERT INTO versioned.project_files (project_id, file_path, content) VALUES ('{p}', 'b', 'x')",
    "UPDATE versioned.project_files SET content = 'x' WHERE project_id = '{p}' AND is_current_version",
    "DELETE FROM versioned.project_files WHERE project_id = '{p}' AND is_current_version",
    "SELECT versioned.create_complete_project()",
    "SELECT versioned.create_complete_project(p_prompt => 'x')",
    "SELECT versioned.create_complete_project(p_idempotency_key => 'k')",
    "SELECT versioned.start_project_build('{p}', p_supersede => true)",
    "SELECT versioned.fail_project_build('{p}', '{b}')",
    "SELECT versioned.create_version_on_success('{p}', '{b}')",
    "SELECT versioned.cut_project_build('{p}', '{b}')",
    "SELECT versioned.update_version_metadata('{p}', '{v}', '{}')",
    "SELECT versioned.publish_project_version('{p}', '{v}')",
    "SELECT versioned.unpublish_project_version('{p}', '{v}')",
    "SELECT versioned.delete_project_version('{p}', '{v}')",
    "SELECT versioned.undelete_project_version('{p}', '{v}')",
    "SELECT versioned.restore_project_version('{p}', '{v}')",
    "SELECT versioned.restore_project_version('{p}', '{v}', p_dry_run => true)",
    "SELECT versioned.start_ai_time_tracking('{p}', '{b}')",
    "SELECT versioned.stop_ai_time_tracking('{p}', '{s}')",
    "SELECT versioned.add_project_member('{p}', gen_random_uuid(), 'viewer')",
    "SELECT versioned.remove_project_member('{p}', '{m}')",
    "SELECT versioned.update_project_config('{p}', '{\"k\": 1}')",
    "SELECT versioned.update_project_config('{p}', '{}')",
    "SELECT versioned.prune_project_history('{p}', p_keep_last => 1, p_dry_run => false)",
    "SELECT versioned.delete_project('{p}')",
];

/// Whoever calls, even an actor with a rate limit, whose table a standby does not have.
#[test]
fn nothing_can_be_written_on_a_standby() {
    let cluster = primary("refusing");
    let mut admin = cluster.connect("postgres");
    let (owner, member) = (Uuid::new_v4(), Uuid::new_v4());
    let first = admin.project(owner);
    let project = first.project;
    for (path, content) in [("a", "one"), ("a", "two"), ("gone", "x")] {
        admin.put(project, path, content);
    }
    let version = admin.succeed(project, &first.build, json!({})).expect("it succeeds").id;
    let build = admin.start(project, false).expect("it starts");
    admin.delete(project, "gone", None).expect("deleted");
    admin.add_member(project, member, "viewer");
    admin.run("CREATE ROLE app; SELECT versioned.grant_versioned_access('app')");
    let replica = Cluster::new("refused", &["--standby-of", &cluster.name]);
    let mut wrong = Vec::new();
    for level in ["read committed", "repeatable read"] {
        for is_limited in [true, false] {
            let mut session = replica.connect("postgres");
            session.claim(owner);
            if is_limited {
                session.run("SET ROLE app");
            }
            session.run(&format!("SET default_transaction_isolation = '{level}'"));
            for call in WRITES {
                let sql = call
                    .replace("{p}", &project.to_string())
                    .replace("{v}", &version)
                    .replace("{b}", &build.build)
                    .replace("{s}", &build.session)
                    .replace("{m}", &member.to_string());
                match session.try_run(&sql) {
                    Err(refusal) if refusal.code == "25006" => {}
                    result => wrong.push(format!("{level}, limited: {is_limited}: {call}: {result:?}")),
                }
                let locks: i64 = session.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", &[]);
                assert_eq!(locks, 0, "{call}");
            }
            assert_eq!(session.get(project, "a", None).expect("reading goes on").version, 2);
        }
    }
    drop(replica);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The other cluster's transaction ids mean nothing here, whether they are greater or smaller.
#[test]
fn the_feed_goes_on_after_a_restore_into_another_cluster() {
    let cluster = primary("origin");
    let mut origin = cluster.connect("postgres");
    let project = origin.project(Uuid::new_v4()).project;
    for n in 0..30 {
        origin.put(project, &format!("f{}", n % 4), &n.to_string());
    }
    let mut there = None;
    assert_eq!(read_settled(&mut origin, project, &mut there, 7).len(), 30);

    let restored = Database::bare("feed_elsewhere");
    let file = env::temp_dir().join(format!("{}.sql", restored.name));
    let mut dump = program("pg_dump");
    dump.args(["--host", &cluster.host(), "--port", "5432", "--username", "postgres", "--file"])
        .arg(&file)
        .arg("postgres");
    silent("pg_dump", dump.output().expect("pg_dump runs"));
    let mut restore = program("psql");
    restore.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", &restored.name, "-f"]).arg(&file);
    silent("psql", restore.output().expect("psql runs"));
    fs::remove_file(file).expect("the dump can go");

    let mut session = restored.connect();
    let refusal = refused(try_page(&mut session, project, there.as_deref(), 10), "22023");
    assert!(refusal.message.contains("cluster") && refusal.hint.is_some(), "{refusal:?}");
    let mut here = None;
    let all: BTreeSet<Change> = read_settled(&mut session, project, &mut here, 7).into_iter().collect();
    assert_eq!(all, history(&mut origin, project));
    session.put(project, "f0", "after");
    let news: Vec<String> =
        read_settled(&mut session, project, &mut here, 7).into_iter().map(|change| change.0).collect();
    assert_eq!(news, ["f0"]);
    invariants::hold(&mut session);
}
