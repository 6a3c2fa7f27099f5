//! Texts of many lines: comparing them ends when told to, keeps nobody else waiting, and is refused where it would
//! take too long.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Random, Refusal, Session, advisory_locks, refused, until};

const SETTING: &str = "pg_versioned.max_compared_lines";

/// Lines of a text of 1 MB whose lines have two bytes.
const MEGABYTE: usize = 1 << 19;

/// How long a call may go on after it was told to end; generous, for machines that have other things to do.
const A_FEW_SECONDS: Duration = Duration::from_secs(5);

const MERGE: &str = "SELECT has_conflicts FROM versioned.merge_project_file($1, 'a', $2, 1)";
const DIFF: &str = "SELECT length(versioned.diff_project_file($1, 'a', 1, 2))";

/// Random letters, one per line: the hardest text to compare, because each line occurs everywhere.
fn letters(seed: u64, lines: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..lines).map(|_| random.below(8) as u8).collect()
}

fn text(letters: &[u8]) -> String {
    letters.iter().flat_map(|letter| [char::from(b'a' + letter), '\n']).collect()
}

/// Another text of the same length, none of whose lines is as the line at its place.
fn other(letters: &[u8], seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    letters.iter().map(|letter| (letter + 1 + random.below(7) as u8) % 8).collect()
}

/// A project with the file `a`, whose versions 1 and 2 differ in all of so many lines, and a third such text.
fn differing(session: &mut Session, owner: Uuid, lines: usize) -> (Uuid, String) {
    let project = session.project(owner).project;
    let first = letters(1, lines);
    let second = other(&first, 2);
    session.put(project, "a", &text(&first));
    session.put(project, "a", &text(&second));
    // Its first and last lines are neither's.
    let mut third = letters(3, lines);
    for place in [0, lines - 1] {
        third[place] = (0..8).find(|letter| ![first[place], second[place]].contains(letter)).expect("one of eight");
    }
    (project, text(&third))
}

#[test]
fn texts_that_differ_in_too_many_lines_are_refused() {
    let db = Database::new("long_refused");
    let mut session = db.connect();
    let (project, mine) = differing(&mut session, Uuid::new_v4(), MEGABYTE);
    // Without the limit, this ends them, if late.
    session.run("SET statement_timeout = '2s'");
    for result in [session.try_rows(MERGE, &[&project, &mine]).map(drop), session.try_rows(DIFF, &[&project]).map(drop)]
    {
        let refusal = refused(result, "22023");
        assert!(refusal.message.contains(SETTING), "{refusal:?}");
    }
    assert_eq!(advisory_locks(&mut session), 0);
    session.run("RESET statement_timeout");
    // Saving them, and going back, is no comparison.
    assert_eq!(session.put(project, "a", &mine), 3);
    session.rows("SELECT versioned.revert_project_file($1, 'a', 1)", &[&project]);
}

/// The lines that texts begin and end with alike do not count.
#[test]
fn long_texts_with_few_differences_are_compared() {
    let db = Database::new("long_alike");
    let mut session = db.connect();
    session.run("SET statement_timeout = '20s'");
    let project = session.project(Uuid::new_v4()).project;
    let base = letters(1, MEGABYTE);
    let edited = |lines: &[usize]| {
        let mut edited = base.clone();
        lines.iter().for_each(|&line| edited[line] = (edited[line] + 1) % 8);
        text(&edited)
    };
    let middle = MEGABYTE / 2;
    session.put(project, "a", &text(&base));
    session.put(project, "a", &edited(&[middle]));
    let diff: String = session.value("SELECT versioned.diff_project_file($1, 'a', 1, 2)", &[&project]);
    let changes = diff.lines().skip(4).filter(|line| line.starts_with(['+', '-'])).count();
    assert_eq!((changes, diff.matches("@@ -").count()), (2, 1), "{diff}");
    let mut merge = |path: &str, edit: usize, due: i32| {
        let sql = "SELECT version, merged, has_conflicts FROM versioned.merge_project_file($1, $2, $3, 1)";
        let row = session.row(sql, &[&project, &path, &edited(&[edit])]);
        let merged: (i32, bool, bool) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(merged, (due, true, false), "line {edit}");
    };
    merge("a", middle + 10, 3);
    // As far from the other change as can be: each side is compared with the base by itself.
    merge("a", 0, 4);
    assert_eq!(session.get(project, "a", None).expect("there").content, Some(edited(&[middle, middle + 10, 0])));
    // What was added at the end is not compared either.
    let longer = format!("{}{}", text(&base), text(&letters(9, MEGABYTE / 4)));
    session.put(project, "b", &text(&base));
    session.put(project, "b", &longer);
    let length: i32 = session.value("SELECT length(versioned.diff_project_file($1, 'b', 1, 2))", &[&project]);
    assert!(length as usize > 3 * MEGABYTE / 4);
}

#[test]
fn a_version_with_long_texts_counts_all_their_lines_and_says_so() {
    let db = Database::new("long_version");
    let owner = Uuid::new_v4();
    let mut session = db.connect();
    let project = session.project(owner);
    let first = letters(1, MEGABYTE);
    session.put(project.project, "a", &text(&first));
    session.put(project.project, "small", "one\ntwo\n");
    session.succeed(project.project, &project.build, json!({})).expect("succeeded");
    session.put(project.project, "a", &text(&other(&first, 2)));
    session.put(project.project, "small", "one\n2\n");
    let build = session.start(project.project, false).expect("started");
    session.notices();
    let began = Instant::now();
    let version = session.succeed(project.project, &build.build, json!({})).expect("succeeded");
    let took = began.elapsed();
    let notices = session.notices();
    assert!(took < A_FEW_SECONDS, "{took:?}");
    let sql = "SELECT lines_added, lines_removed FROM versioned.project_versions WHERE version_id = $1";
    let row = session.row(sql, &[&version.id]);
    let due = MEGABYTE as i64 + 1;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), version.files_changed), (due, due, 2));
    assert!(notices.iter().any(|notice| notice.contains(SETTING)), "{notices:?}");
    invariants::hold(&mut session);
}

#[test]
fn the_limit_is_a_setting_of_superusers() {
    let db = Database::new("long_setting");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let (project, mine) = differing(&mut admin, owner, 1_000);
    let default: String = admin.value("SELECT current_setting('pg_versioned.max_compared_lines')", &[]);
    let default: usize = default.parse().expect("a number");
    assert!((3_000..3 * MEGABYTE).contains(&default), "{default}");
    let mut user = db.user(owner);
    assert!(user.value::<bool>(MERGE, &[&project, &mine]), "a conflict");
    refused(user.try_run(&format!("SET {SETTING} = 1000000")), "42501");
    for (limit, is_refused) in [(100, true), (100_000, false)] {
        admin.run(&format!("ALTER DATABASE {} SET {SETTING} = {limit}", db.name));
        let mut user = db.user(owner);
        for result in [user.try_rows(MERGE, &[&project, &mine]).map(drop), user.try_rows(DIFF, &[&project]).map(drop)] {
            if is_refused {
                let refusal = refused(result, "22023");
                assert!(refusal.message.contains(SETTING), "{refusal:?}");
            } else {
                result.expect("compared");
            }
        }
    }
    // What need not be compared is merged whatever its length.
    admin.run(&format!("ALTER DATABASE {} SET {SETTING} = 100", db.name));
    let mut user = db.user(owner);
    let sql = "SELECT version FROM versioned.merge_project_file($1, 'a', $2, 2)";
    assert_eq!(user.value::<i32>(sql, &[&project, &mine]), 3, "nobody saved since");
    invariants::hold(&mut admin);
}

/// Runs a call that compares, and ends it; what it answered and how long that took from being told.
fn ended_early(
    db: &Database,
    how: &str,
    call: impl FnOnce(&mut Session) -> Result<(), Refusal> + Send,
) -> (Result<(), Refusal>, Duration) {
    let (mut session, mut admin) = (db.connect(), db.connect());
    if how == "timeout" {
        session.run("SET statement_timeout = '100ms'");
        let began = Instant::now();
        let result = call(&mut session);
        return (result, began.elapsed().saturating_sub(Duration::from_millis(100)));
    }
    let pid = session.pid;
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            let result = call(&mut session);
            (result, Instant::now())
        });
        let is_busy = "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
        until("it is at work, or done", || admin.value(is_busy, &[&pid]) || running.is_finished());
        // Well into the comparison. It may be over already; then there is nothing to end.
        thread::sleep(Duration::from_millis(50));
        admin.rows("SELECT pg_cancel_backend($1)", &[&pid]);
        let told = Instant::now();
        let (result, ended) = running.join().expect("no panic");
        (result, ended.saturating_duration_since(told))
    })
}

/// The worst that the default limit lets through obeys timeouts and cancels.
#[test]
fn the_longest_comparison_allowed_ends_when_told() {
    let db = Database::new("long_ended");
    let mut admin = db.connect();
    // The setting is known once the library is loaded.
    admin.rows("SELECT versioned.current_actor()", &[]);
    let limit: Option<String> = admin.value("SELECT current_setting('pg_versioned.max_compared_lines', true)", &[]);
    let limit: usize = limit.map_or(MEGABYTE, |limit| limit.parse().expect("a number"));
    let check = |what: &str, how: &str, lines: usize, (result, took): (Result<(), Refusal>, Duration)| {
        let code = result.err().map(|refusal| refusal.code).unwrap_or_default();
        assert!(["", "57014", "22023"].contains(&&*code), "{what}: {code}");
        assert!(took < A_FEW_SECONDS, "{how} ended a {what} of {lines} lines after {took:?} ({code:?})");
    };
    // Whether the limit is for each text or for all of them together.
    for lines in [limit, limit / 2, limit / 3] {
        let (project, mine) = differing(&mut admin, Uuid::new_v4(), lines);
        for how in ["timeout", "cancel"] {
            let merge = |session: &mut Session| session.try_rows(MERGE, &[&project, &mine]).map(drop);
            check("merge", how, lines, ended_early(&db, how, merge));
            let diff = |session: &mut Session| session.try_rows(DIFF, &[&project]).map(drop);
            check("diff", how, lines, ended_early(&db, how, diff));
            let first = admin.project(Uuid::new_v4());
            let project = first.project;
            admin.put(project, "a", &text(&letters(1, lines)));
            admin.succeed(project, &first.build, json!({})).expect("succeeded");
            admin.put(project, "a", &text(&other(&letters(1, lines), 2)));
            let build = admin.start(project, false).expect("started").build;
            let succeed = |session: &mut Session| session.succeed(project, &build, json!({})).map(drop);
            check("version", how, lines, ended_early(&db, how, succeed));
        }
    }
    assert_eq!(advisory_locks(&mut admin), 0);
    invariants::hold(&mut admin);
}

/// While a merge compares, it holds no lock: others save the same file, and versions are made.
#[test]
fn a_merge_keeps_nobody_waiting_while_it_compares() {
    let db = Database::new("long_waiting");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    admin.rows("SELECT versioned.current_actor()", &[]);
    // Long enough to be watched; each text has twice as many lines as the one before until it is.
    let mut lines = 20_000;
    let (mut watched, mut held) = (0, Vec::new());
    while watched == 0 && lines <= 4 * MEGABYTE {
        let (project, mine) = differing(&mut admin, owner, lines);
        let (mut merging, mut saving) = (db.connect(), db.connect());
        // Not known to an extension without the limit.
        drop(merging.try_run(&format!("LOAD 'pg_versioned'; SET {SETTING} = {}", 10 * lines)));
        saving.run("SET lock_timeout = '5s'");
        let pid = merging.pid;
        thread::scope(|scope| {
            let merge = scope.spawn(|| {
                let result = merging.try_rows(MERGE, &[&project, &mine]).map(drop);
                (result, Instant::now())
            });
            let is_merging = "SELECT count(*) = 1 FROM pg_stat_activity
                               WHERE pid = $1 AND state = 'active' AND query LIKE '%merge_project_file%'";
            until("the merge is under way, or over", || admin.value(is_merging, &[&pid]) || merge.is_finished());
            let saved = [saving.save(project, "another", "x", None), saving.save(project, "a", "meanwhile\n", None)];
            let after = Instant::now();
            let locks: i64 = admin
                .value("SELECT count(*) FROM pg_locks WHERE pid = $1 AND locktype = 'advisory' AND granted", &[&pid]);
            let still_merging: bool = admin.value(is_merging, &[&pid]);
            // Longer than it takes to watch it is not needed.
            if still_merging {
                admin.rows("SELECT pg_cancel_backend($1)", &[&pid]);
            }
            let (result, ended) = merge.join().expect("no panic");
            assert!(result.is_ok() || result.as_ref().is_err_and(|refusal| refusal.code == "57014"), "{result:?}");
            for result in saved {
                if let Err(refusal) = result {
                    held.push(format!("{lines} lines: {refusal:?}"));
                }
            }
            if still_merging && ended > after {
                watched += 1;
                if locks > 0 {
                    held.push(format!("{lines} lines: the merge holds {locks} advisory locks while it compares"));
                }
            }
        });
        lines *= 2;
    }
    assert!(held.is_empty(), "{held:?}");
    assert!(watched > 0, "no merge was seen to go on after others had saved: they waited for it");
    invariants::hold(&mut admin);
}
