//! Pruning removes exactly what is not needed, and what remains is unchanged, also for those who read or save meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::invariants;
use crate::stored::{Past, damage, deepest};
use crate::support::{Database, Random, Refusal, Session, race, refused, sessions};

/// What is kept beside what must be.
#[derive(Clone, Copy, Debug)]
struct Policy<'a> {
    path: Option<&'a str>,
    last: Option<i32>,
    /// An interval, and the greatest age in days that is younger.
    newer: Option<(&'a str, Option<u32>)>,
}

const EVERYTHING_GOES: Policy = Policy { path: None, last: None, newer: None };

const AGES: [Option<(&str, Option<u32>)>; 5] =
    [None, Some(("0", None)), Some(("12 hours", Some(0))), Some(("36 hours", Some(1))), Some(("10 years", Some(9)))];

/// A file that lost versions: path, their numbers, bytes.
type Pruned = (String, Vec<i32>, i64);

fn try_prune(session: &mut Session, project: Uuid, policy: Policy, dry: bool) -> Result<Vec<Pruned>, Refusal> {
    let sql = "SELECT file_path, removed_versions, bytes_freed
                 FROM versioned.prune_project_history($1, $2, $3, $4::text::interval, $5)";
    let newer = policy.newer.map(|(interval, _)| interval);
    let rows = session.try_rows(sql, &[&project, &policy.path, &policy.last, &newer, &dry])?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

#[track_caller]
fn prune(session: &mut Session, project: Uuid, policy: Policy, dry: bool) -> Vec<Pruned> {
    try_prune(session, project, policy, dry).unwrap_or_else(|refusal| panic!("{refusal:?}: {policy:?}"))
}

impl Past {
    /// Takes out of the files what pruning must remove; paths and numbers of it.
    fn forget(&mut self, policy: Policy) -> Vec<(String, Vec<i32>)> {
        let mut all = Vec::new();
        let snapshots = self.snapshots.len();
        for file in self.files.iter_mut().filter(|file| policy.path.is_none_or(|path| file.path == path)) {
            let mut needed: BTreeSet<i32> = BTreeSet::from([file.current().number]);
            for snapshot in 0..snapshots {
                let shown = file.versions.iter().filter(|version| version.epoch <= snapshot);
                needed.extend(shown.map(|version| version.number).max());
            }
            needed.extend(file.versions.iter().rev().take(policy.last.unwrap_or(0) as usize).map(|v| v.number));
            if let Some((_, Some(days))) = policy.newer {
                needed.extend(file.versions.iter().filter(|v| v.days <= days).map(|v| v.number));
            }
            let gone: Vec<i32> =
                file.versions.iter().map(|version| version.number).filter(|number| !needed.contains(number)).collect();
            file.versions.retain(|version| needed.contains(&version.number));
            if !gone.is_empty() {
                all.push((file.path.clone(), gone));
            }
        }
        all.sort();
        all
    }
}

fn stored_bytes(session: &mut Session, project: Uuid) -> i64 {
    session.value("SELECT stored_bytes FROM versioned.project_storage WHERE project_id = $1", &[&project])
}

#[track_caller]
fn assert_sound(session: &mut Session, project: Uuid) {
    let found: Vec<String> = session.column("SELECT f::text FROM versioned.check_project_integrity($1) f", &[&project]);
    assert!(found.is_empty(), "{found:?}");
    assert!(deepest(session, project) <= 2);
}

/// Prunes, and compares everything with what the model says.
#[track_caller]
fn prune_and_compare(session: &mut Session, past: &mut Past, policy: Policy) -> usize {
    let project = past.project;
    let tables = invariants::everything(session);
    let announced = prune(session, project, policy, true);
    assert!(invariants::everything(session) == tables, "a dry run changed something: {policy:?}");
    let weight = stored_bytes(session, project);

    let pruned = prune(session, project, policy, false);
    assert_eq!(pruned, announced, "{policy:?}");
    let freed: i64 = pruned.iter().map(|(_, _, freed)| freed).sum();
    assert_eq!(freed, weight - stored_bytes(session, project), "{policy:?}");
    let mut removed: Vec<(String, Vec<i32>)> = pruned.into_iter().map(|(path, removed, _)| (path, removed)).collect();
    removed.sort();
    assert_eq!(removed, past.forget(policy), "{policy:?}");
    past.compare(session);
    assert_sound(session, project);
    assert_eq!(prune(session, project, policy, false), [], "a second time removes nothing: {policy:?}");
    removed.iter().map(|(_, removed)| removed.len()).sum()
}

const PATHS: [&str; 4] = ["a.txt", "b/β.txt", "c", "d"];

fn random_past(session: &mut Session, random: &mut Random, steps: usize) -> Past {
    let mut past = Past::begin(session);
    for step in 0..steps {
        if step == steps / 3 || step == steps * 2 / 3 {
            past.grow_older(session);
        }
        past.step(session, random, &PATHS);
    }
    past
}

#[test]
fn all_combinations_of_arguments_remove_what_nobody_needs() {
    let db = Database::new("retention_all");
    let mut session = db.connect();
    let mut random = Random(400);
    let mut past = random_past(&mut session, &mut random, 80);
    while past.snapshots.len() < 3 || past.files.len() < 3 || past.files.iter().all(|file| file.deleted.is_none()) {
        past.step(&mut session, &mut random, &PATHS);
    }
    let path = |deleted: bool| {
        let files = past.files.iter().filter(|file| file.deleted.is_some() == deleted);
        files.max_by_key(|file| file.versions.len()).map(|file| file.path.clone())
    };
    let (live, deleted) = (path(false), path(true));
    let mut amounts = BTreeSet::new();
    for path in [live.as_deref(), deleted.as_deref(), None] {
        for last in [None, Some(0), Some(1), Some(6), Some(i32::MAX)] {
            for newer in AGES {
                let policy = Policy { path, last, newer };
                session.run("BEGIN");
                // What is taken out of the model comes back with the transaction's end.
                let files = past.files.clone();
                amounts.insert(prune_and_compare(&mut session, &mut past, policy));
                session.run("ROLLBACK");
                past.files = files;
            }
        }
    }
    assert!(amounts.len() > 10 && amounts.contains(&0), "{amounts:?}");
    // All of it was undone.
    past.compare(&mut session);
    assert_sound(&mut session, past.project);
}

/// What pruning made anew is pruned again, and saved upon by sessions that remember what was.
#[test]
fn pruning_and_saving_take_turns() {
    let db = Database::new("retention_turns");
    for seed in 0..4_u64 {
        let mut random = Random(seed * 31 + 7);
        let mut pair = [db.connect(), db.connect()];
        let mut past = Past::begin(&mut pair[0]);
        let mut removed = 0;
        for round in 0..8_usize {
            for step in 0..25 + random.below(30) {
                let session = &mut pair[random.below(2)];
                if step == 20 && round % 2 == 0 {
                    past.grow_older(session);
                }
                past.step(session, &mut random, &PATHS[..2 + seed as usize % 3]);
            }
            let paths: Vec<String> = past.paths().into_iter().collect();
            let policy = Policy {
                path: (random.below(3) == 0).then(|| paths[random.below(paths.len())].as_str()),
                last: [None, Some(0), Some(3), Some(20)][random.below(4)],
                newer: AGES[random.below(4)],
            };
            removed += prune_and_compare(&mut pair[random.below(2)], &mut past, policy);
            // The next number is the next one, whatever is gone.
            for (path, version, content) in past.listed() {
                past.save(&mut pair[random.below(2)], &path, &format!("{content}and on\n"));
                assert_eq!(past.files[past.live(&path).expect("live")].current().number, version + 1);
            }
        }
        assert!(removed > 20, "{removed}");
        past.compare(&mut db.connect());
        assert_sound(&mut pair[0], past.project);
    }
}

#[test]
fn what_was_removed_is_gone_and_the_rest_keeps_its_number() {
    let db = Database::new("retention_numbers");
    let mut session = db.connect();
    let mut past = Past::begin(&mut session);
    let text = |n: usize| format!("{}{n}\n", "a line that stays\n".repeat(50));
    for n in 1..=30 {
        past.save(&mut session, "a", &text(n));
        if n == 10 {
            past.snapshot(&mut session);
        }
    }
    let policy = Policy { last: Some(3), ..EVERYTHING_GOES };
    assert_eq!(prune_and_compare(&mut session, &mut past, policy), 26);
    let left: Vec<i32> =
        session.column("SELECT version FROM versioned.get_project_file_history($1, 'a')", &[&past.project]);
    assert_eq!(left, [30, 29, 28, 10]);
    for version in [1, 9, 11, 27] {
        refused(session.get(past.project, "a", Some(version)), "PT404");
    }
    refused(session.save(past.project, "a", "late", Some(27)), "PT409");
    assert_eq!(session.save(past.project, "a", "in time", Some(30)).expect("saved").version, 31);
}

#[test]
fn deletions_in_snapshots_stay_deletions() {
    let db = Database::new("retention_deletions");
    let mut session = db.connect();
    let mut past = Past::begin(&mut session);
    past.save(&mut session, "a", "one");
    past.snapshot(&mut session);
    past.delete(&mut session, "a");
    past.snapshot(&mut session);
    past.save(&mut session, "a", "two");
    past.rename(&mut session, "a", "b");
    past.save(&mut session, "a", "another file");
    past.delete(&mut session, "a");
    past.delete(&mut session, "b");
    past.snapshot(&mut session);
    past.save(&mut session, "a", "three");
    // The tombstone of the second snapshot must stay, or the first one's content would come back in it.
    let removed = prune_and_compare(&mut session, &mut past, EVERYTHING_GOES);
    assert_eq!(removed, 3, "\"two\", its move, and the first content of the other file");
    assert!(past.snapshots[1].1.is_empty() && past.snapshots[2].1.is_empty());
}

/// Without the tombstone, nobody can say which version an earlier try would have made.
#[test]
fn a_pruned_deletion_turns_no_save_into_an_earlier_try() {
    let db = Database::new("retention_tries");
    let mut session = db.connect();
    let mut past = Past::begin(&mut session);
    let project = past.project;
    past.save(&mut session, "a", "first");
    past.snapshot(&mut session);
    past.delete(&mut session, "a");
    past.save(&mut session, "a", "second");
    assert_eq!(session.save(project, "a", "second", Some(0)).expect("nothing to save").version, 3);
    refused(session.save(project, "a", "first", Some(0)), "PT409");
    assert_eq!(prune_and_compare(&mut session, &mut past, EVERYTHING_GOES), 1);
    refused(session.save(project, "a", "first", Some(0)), "PT409");

    // An earlier try is one still after what was pruned.
    past.delete(&mut session, "a");
    past.save(&mut session, "a", "third");
    past.save(&mut session, "a", "fourth");
    assert_eq!(session.save(project, "a", "third", Some(0)).expect("an earlier try").version, 5);
}

#[test]
fn owners_alone_prune() {
    let db = Database::new("retention_owners");
    let mut admin = db.connect();
    let (owner, editor, viewer) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let project = admin.project(owner).project;
    admin.add_member(project, editor, "editor");
    admin.add_member(project, viewer, "viewer");
    for n in 0..6 {
        admin.put(project, "a", &format!("{n}"));
    }
    for dry in [true, false] {
        for (user, code) in [(editor, "42501"), (viewer, "42501"), (Uuid::new_v4(), "PT404")] {
            refused(try_prune(&mut db.user(user), project, EVERYTHING_GOES, dry), code);
        }
        // A project that does not exist is no other than one of strangers.
        refused(try_prune(&mut db.user(owner), Uuid::new_v4(), EVERYTHING_GOES, dry), "PT404");
    }
    let count = "SELECT count(*) FROM versioned.project_file_versions";
    assert_eq!(admin.value::<i64>(count, &[]), 6);
    let announced = prune(&mut db.user(owner), project, EVERYTHING_GOES, true);
    assert_eq!(announced[0].1, [1, 2, 3, 4, 5]);
    assert_eq!(admin.value::<i64>(count, &[]), 6);
    assert_eq!(prune(&mut db.user(owner), project, EVERYTHING_GOES, false), announced);
    assert_eq!(admin.value::<i64>(count, &[]), 1);
    // What lets pruning through the history's trigger is over with it.
    let mut session = db.connect();
    session.put(project, "a", "more");
    prune(&mut session, project, EVERYTHING_GOES, false);
    refused(session.try_run("DELETE FROM versioned.project_file_versions"), "42501");
    refused(session.try_run("UPDATE versioned.project_file_versions SET file_type = ''"), "42501");
}

#[test]
fn bad_arguments_are_refused() {
    let db = Database::new("retention_arguments");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    session.put(project, "a", "one");
    for (arguments, code) in [
        ("NULL, p_dry_run => true", "22023"),
        ("'{p}', ''", "22023"),
        ("'{p}', '/a'", "22023"),
        ("'{p}', 'a/../b'", "22023"),
        ("'{p}', 'none'", "PT404"),
        ("'{p}', 'A'", "PT404"),
        ("'{p}', p_keep_last => -1", "22023"),
        ("'{p}', p_keep_last => -2147483648", "22023"),
        ("'{p}', p_keep_newer_than => '-1 microsecond'", "22023"),
        ("'{p}', p_keep_newer_than => '-1 day 1 hour'", "22023"),
        ("'{p}', p_keep_newer_than => '-178000000 years'", "22023"),
        ("'{p}', p_dry_run => NULL", "22023"),
    ] {
        let call = format!("SELECT * FROM versioned.prune_project_history({arguments})");
        refused(session.try_rows(&call.replace("{p}", &project.to_string()), &[]), code);
    }
    // Longer than all history: nothing is old.
    session.put(project, "a", "two");
    for age in ["178000000 years", "2000000 days", "1000 years", "7000 years", "1000 years 1 day"] {
        let policy = Policy { newer: Some((age, Some(9))), ..EVERYTHING_GOES };
        assert_eq!(prune(&mut session, project, policy, false), [], "{age}");
    }
}

/// Savers, pruners and a reader at once: every number is accounted for, and every content is its writer's.
#[test]
fn saving_and_reading_go_on_while_pruning() {
    const WRITERS: usize = 4;
    const SAVES: usize = 60;
    const BEFORE: usize = 40;
    let db = Database::new("retention_race");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let text =
        |who: usize, n: usize| format!("{}{who} {n}\n{}", "before it\n".repeat(400), "after it\n".repeat(100 + n));
    let paths = ["a", "b"];
    let mut saved: BTreeMap<(&str, i32), String> = BTreeMap::new();
    for n in 0..BEFORE {
        for path in paths {
            saved.insert((path, admin.put(project, path, &text(99, n))), text(99, n));
        }
    }
    let old = saved.clone();

    enum Did {
        Saved(Vec<(&'static str, i32, String)>),
        Pruned(Vec<Pruned>),
        Read(Box<Session>),
    }
    let mut all = sessions(WRITERS + 3, || db.connect());
    // Its snapshot is older than any pruning.
    let reader = &mut all[WRITERS + 2];
    reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    reader.get(project, "a", Some(1)).expect("read");
    let read_old = |session: &mut Session| {
        let rows = session.rows("SELECT file_path, version, content FROM versioned.project_files", &[]);
        assert_eq!(rows.len(), old.len());
        for row in rows {
            let (path, version, content): (&str, i32, &str) = (row.get(0), row.get(1), row.get(2));
            assert!(old[&(path, version)] == content, "version {version} of {path} changed for who saw it before");
        }
        for (&(path, version), content) in &old {
            let read = session.get(project, path, Some(version)).expect("read");
            assert!(read.content.as_ref() == Some(content));
        }
    };
    let did = std::thread::scope(|scope| {
        let mut reader = all.pop().expect("the reader");
        let reading = scope.spawn(move || {
            for _ in 0..12 {
                read_old(&mut reader);
            }
            Did::Read(Box::new(reader))
        });
        let mut did = race(all, |who, session| {
            if who >= WRITERS {
                let policy = Policy { last: Some(2 + who as i32 - WRITERS as i32), ..EVERYTHING_GOES };
                return Did::Pruned((0..40).flat_map(|_| prune(session, project, policy, false)).collect());
            }
            let mut own = Vec::new();
            for n in 0..SAVES {
                let path = paths[(who + n) % 2];
                let number = session.put(project, path, &text(who, n));
                match session.get(project, path, Some(number)) {
                    Ok(read) => assert!(read.content == Some(text(who, n))),
                    Err(refusal) => assert_eq!(refusal.code, "PT404", "{refusal:?}"),
                }
                own.push((path, number, text(who, n)));
            }
            Did::Saved(own)
        });
        did.push(reading.join().expect("the reader reads"));
        did
    });

    let mut gone: BTreeSet<(String, i32)> = BTreeSet::new();
    let mut reader = None;
    for part in did {
        match part {
            Did::Saved(own) => own.into_iter().for_each(|(path, number, content)| {
                assert!(saved.insert((path, number), content).is_none(), "number {number} was given twice");
            }),
            Did::Pruned(pruned) => pruned.into_iter().for_each(|(path, removed, _)| {
                for number in removed {
                    assert!(gone.insert((path.clone(), number)), "version {number} was removed twice");
                }
            }),
            Did::Read(session) => reader = Some(session),
        }
    }
    assert_eq!(saved.len(), 2 * BEFORE + WRITERS * SAVES);
    assert!(gone.len() > 2 * BEFORE - 10, "{} removed", gone.len());
    let rows = admin.rows("SELECT file_path, version, content FROM versioned.project_files", &[]);
    for row in &rows {
        let (path, version, content): (&str, i32, &str) = (row.get(0), row.get(1), row.get(2));
        assert!(saved[&(path, version)] == content, "version {version} of {path} is not what was saved");
        assert!(!gone.contains(&(path.to_owned(), version)), "version {version} was said to be gone");
    }
    assert_eq!(rows.len() + gone.len(), saved.len(), "every version is there or was removed");
    assert_sound(&mut admin, project);
    // After all of it, too.
    read_old(&mut reader.expect("the reader"));
}

/// A version saved from an older snapshot might stand on what is gone.
#[test]
fn savers_with_older_snapshots_must_try_again() {
    let db = Database::new("retention_stale");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let text = |n: usize| format!("{}{n}\n", "line\n".repeat(300));
    for n in 0..40 {
        admin.put(project, "a", &text(n));
        admin.put(project, "gone", &text(n));
    }
    admin.delete(project, "gone", None).expect("deleted");
    admin.put(project, "untouched", "one");

    type Body<'a> = &'a dyn Fn(&mut Session) -> Result<i32, Refusal>;
    let changes: [Body; 5] = [
        &|session| session.save(project, "a", &text(99), None).map(|file| file.version),
        &|session| session.save(project, "a", "nothing in common", Some(40)).map(|file| file.version),
        &|session| session.delete(project, "a", None).map(|file| file.version),
        &|session| session.rename(project, "a", "elsewhere", None).map(|file| file.version),
        &|session| session.save(project, "gone", &text(98), None).map(|file| file.version),
    ];
    let mut stale: Vec<Session> = sessions(changes.len(), || db.connect());
    for (n, session) in stale.iter_mut().enumerate() {
        let level = if n % 2 == 0 { "REPEATABLE READ" } else { "SERIALIZABLE" };
        session.run(&format!("BEGIN ISOLATION LEVEL {level}"));
        assert_eq!(session.get(project, "a", None).expect("read").version, 40);
    }
    assert_eq!(prune(&mut admin, project, EVERYTHING_GOES, false).len(), 2);
    for (session, change) in stale.iter_mut().zip(changes) {
        // A file that lost nothing is saved all the same.
        session.run("SAVEPOINT s");
        assert_eq!(session.put(project, "untouched", "two"), 2);
        session.run("ROLLBACK TO s");
        refused(change(session), "40001");
        session.run("ROLLBACK TO s");
        // What it could read it still reads.
        for n in [0, 17, 39] {
            let read = session.get(project, "a", Some(n as i32 + 1)).expect("read");
            assert!(read.content == Some(text(n)));
        }
        session.run("ROLLBACK");
    }
    // Trying again works, with the bases there are now, whatever the session remembers.
    for session in &mut stale {
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
        let version = session.get(project, "a", None).expect("read").version;
        let next = format!("{}again {version}\n", "line\n".repeat(300));
        assert_eq!(session.put(project, "a", &next), version + 1);
        session.run("COMMIT");
        assert_eq!(admin.get(project, "a", None).expect("read").content, Some(next));
    }
    assert_sound(&mut admin, project);
}

/// A pruner with an older snapshot would take newer versions and project versions for none.
#[test]
fn pruners_with_older_snapshots_must_try_again() {
    let db = Database::new("retention_stale_pruner");
    let mut admin = db.connect();
    let mut past = Past::begin(&mut admin);
    for n in 0..10 {
        past.save(&mut admin, "a", &format!("{n}"));
    }
    for makes_version in [false, true] {
        let mut stale = db.connect();
        stale.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
        stale.get(past.project, "a", None).expect("read");
        if makes_version {
            past.snapshot(&mut admin);
        } else {
            past.save(&mut admin, "a", "ten");
        }
        refused(try_prune(&mut stale, past.project, EVERYTHING_GOES, false), "40001");
        stale.run("ROLLBACK");
        past.compare(&mut admin);
    }
    past.save(&mut admin, "a", "eleven");
    assert_eq!(prune_and_compare(&mut admin, &mut past, EVERYTHING_GOES), 10);
}

/// What stands on a damaged version cannot be made anew: nothing is removed rather than something lost.
#[test]
fn a_damaged_base_stops_it() {
    let db = Database::new("retention_damaged");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    for n in 0..20 {
        session.put(project, "a", &format!("{}{n}\n", "line\n".repeat(300)));
    }
    session.run("BEGIN");
    damage(&mut session, "UPDATE versioned.project_file_versions SET stored = '\\x00' WHERE version = 1");
    let before = invariants::everything(&mut session);
    session.run("SAVEPOINT s");
    for dry in [true, false] {
        let refusal = refused(try_prune(&mut session, project, EVERYTHING_GOES, dry), "XX001");
        assert!(refusal.message.contains("version 20 ") && refusal.message.contains("\"a\""), "{refusal:?}");
        session.run("ROLLBACK TO s");
    }
    assert!(invariants::everything(&mut session) == before);
    // The damaged one itself may go where nothing that stays needs it.
    session.put(project, "a", "nothing in common");
    assert_eq!(prune(&mut session, project, EVERYTHING_GOES, false)[0].1.len(), 20);
    assert_sound(&mut session, project);
}
