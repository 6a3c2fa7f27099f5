//! Backends that die in the middle.

use std::thread;

use serde_json::json;
use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, advisory_locks, refused, sessions, until, until_gone, until_waiting};

const KILL: &str = "SELECT pg_terminate_backend($1)";

#[test]
fn a_saver_killed_before_its_commit_leaves_nothing_and_lets_others_go_on() {
    let db = Database::new("killed_saver");
    let (mut killed, mut next, mut admin) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "moved", "stays");

    killed.run("BEGIN");
    assert_eq!(killed.put(project, "a", "never committed"), 1);
    killed.rename(project, "moved", "elsewhere", None).expect("moved");
    let pid = next.pid;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| next.put(project, "a", "committed"));
        until_waiting(&mut admin, pid);
        assert!(admin.value::<bool>(KILL, &[&killed.pid]));
        assert_eq!(waiting.join().expect("no panic"), 1, "the number was not used");
    });
    until_gone(&mut admin, killed.pid);
    let listed = admin.list(project);
    assert_eq!(listed, [("a".into(), 1, "committed".into()), ("moved".into(), 1, "stays".into())]);
    assert_eq!(advisory_locks(&mut admin), 0);
    invariants::hold(&mut admin);
}

#[test]
fn a_killed_waiter_leaves_nothing_and_lets_others_go_on() {
    let db = Database::new("killed_waiter");
    let (mut holder, mut admin) = (db.connect(), db.connect());
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    holder.run("BEGIN");
    holder.put(project, "a", "of the holder");

    // Savers of the file, a mover to it, and a builder, which queue behind each other.
    let mut waiting = sessions(4, || db.connect());
    let pids: Vec<i32> = waiting.iter().map(|session| session.pid).collect();
    let survivor = thread::scope(|scope| {
        let build = &first.build;
        let mut threads = Vec::new();
        for (n, mut session) in waiting.drain(..).enumerate() {
            threads.push(scope.spawn(move || match n {
                0 | 1 => session.save(project, "a", &format!("of waiter {n}"), None).map(|_| ()),
                2 => session.delete(project, "a", None).map(|_| ()),
                _ => session.succeed(project, build, json!({})).map(|_| ()),
            }));
            until_waiting(&mut admin, pids[n]);
        }
        for n in [0, 2, 3] {
            assert!(admin.value::<bool>(KILL, &[&pids[n]]));
            until_gone(&mut admin, pids[n]);
        }
        holder.run("COMMIT");
        let mut results: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        let survivor = results.remove(1);
        for killed in results {
            // The server's word for it, where it still reached the client.
            let refusal = killed.expect_err("it was killed");
            assert!(["57P01", ""].contains(&&*refusal.code), "{refusal:?}");
        }
        survivor
    });
    survivor.expect("the one that lives saves");
    assert_eq!(admin.list(project), [("a".into(), 2, "of waiter 1".into())]);
    let status: String = admin.value("SELECT status FROM versioned.project_build_metrics", &[]);
    assert_eq!(status, "started");
    assert_eq!(advisory_locks(&mut admin), 0);
    invariants::hold(&mut admin);
}

#[test]
fn a_builder_killed_before_its_commit_leaves_no_ghost_version() {
    let db = Database::new("killed_builder");
    let (mut killed, mut saver, mut admin) = (db.connect(), db.connect(), db.connect());
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    admin.put(project, "a", "one");

    killed.run("BEGIN");
    killed.succeed(project, &first.build, json!({})).expect("it succeeds");
    let pid = saver.pid;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| saver.put(project, "a", "two"));
        until_waiting(&mut admin, pid);
        assert!(admin.value::<bool>(KILL, &[&killed.pid]));
        assert_eq!(waiting.join().expect("no panic"), 2);
    });
    until_gone(&mut admin, killed.pid);
    let (versions, seq): (i64, i32) = {
        let row = admin
            .row("SELECT (SELECT count(*) FROM versioned.project_versions), snapshot_seq FROM versioned.projects", &[]);
        (row.get(0), row.get(1))
    };
    assert_eq!((versions, seq), (0, 1));
    let version = admin.succeed(project, &first.build, json!({})).expect("it can still succeed");
    assert_eq!(version.number, (1, 0, 0));
    assert_eq!(admin.snapshot(project, &version.id), [("a".into(), 2, "two".into())]);
    assert_eq!(advisory_locks(&mut admin), 0);
    invariants::hold(&mut admin);
}

#[test]
fn creators_killed_before_their_commit_leave_no_half_project() {
    let db = Database::new("killed_creator");
    let (mut killed, mut next, mut admin) = (db.connect(), db.connect(), db.connect());
    let owner = Uuid::new_v4();
    killed.run("BEGIN");
    let lost = killed.create(owner, Some("A todo app"), "Todo", Some("k")).expect("made");
    let pid = next.pid;
    let made = thread::scope(|scope| {
        let waiting = scope.spawn(|| next.create(owner, Some("A todo app"), "Todo", Some("k")).expect("made"));
        until_waiting(&mut admin, pid);
        assert!(admin.value::<bool>(KILL, &[&killed.pid]));
        waiting.join().expect("no panic")
    });
    until_gone(&mut admin, killed.pid);
    assert!(made.created && made.project != lost.project);
    let rows: i64 = admin.value("SELECT count(*) FROM versioned.project_build_metrics", &[]);
    assert_eq!(rows, 1);
    assert_eq!(advisory_locks(&mut admin), 0);
    invariants::hold(&mut admin);
}

/// Killed at random moments, over and over.
#[test]
fn a_massacre_of_savers_leaves_whole_files() {
    let db = Database::new("massacre");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    thread::scope(|scope| {
        let savers: Vec<_> = (0..8)
            .map(|n| {
                let db = &db;
                scope.spawn(move || {
                    let mut committed = Vec::new();
                    let mut killed = 0;
                    for k in 0.. {
                        if killed == 4 {
                            break;
                        }
                        let mut session = db.connect();
                        for step in 0.. {
                            let content = format!("{n} {k} {step}");
                            let at = format!("{}", step % 3);
                            let result = match step % 5 {
                                4 => session.delete(project, &at, None),
                                3 => session.rename(project, &at, &format!("of {n}"), None),
                                _ => session.save(project, &at, &content, None),
                            };
                            match result {
                                Ok(file) => committed.push(file.id),
                                Err(refusal) if ["PT404", "PT409"].contains(&&*refusal.code) => {}
                                Err(refusal) => {
                                    assert!(["57P01", ""].contains(&&*refusal.code), "{refusal:?}");
                                    killed += 1;
                                    break;
                                }
                            }
                        }
                    }
                    committed
                })
            })
            .collect();
        let mut kills = 0;
        until("all savers were killed often enough", || {
            let victims: i64 = admin.value(
                "SELECT count(pg_terminate_backend(pid))
                   FROM (SELECT pid FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid()
                            AND query LIKE '%project_file%' ORDER BY random() LIMIT 2) s",
                &[],
            );
            kills += victims;
            savers.iter().all(|saver| saver.is_finished())
        });
        assert!(kills >= 32);
        for saver in savers {
            for id in saver.join().expect("no panic") {
                let kept: i64 =
                    admin.value("SELECT count(*) FROM versioned.project_file_versions WHERE id = $1", &[&id]);
                assert_eq!(kept, 1, "what was answered is committed");
            }
        }
    });
    assert_eq!(advisory_locks(&mut admin), 0);
    invariants::hold(&mut admin);
    // Nobody is in anybody's way.
    let mut session = db.connect();
    session.run("SET lock_timeout = '5s'");
    session.put(project, "after", "all");
    refused(session.save(project, "after", "late", Some(9)), "PT409");
}
