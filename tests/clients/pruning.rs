//! Retention: what it removes is what nobody needs, and what stays is what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::support::{Database, Random, Session, race, refused, sessions};

type Version = (Uuid, i32);

/// Path, current version, content of every version; deletions have none.
#[derive(Debug, PartialEq, Clone)]
struct Picture {
    contents: BTreeMap<Version, (String, Option<String>)>,
    heads: BTreeMap<Uuid, i32>,
    snapshots: BTreeMap<String, Vec<(String, i32, String)>>,
}

fn picture(session: &mut Session, project: Uuid) -> Picture {
    let versions = "SELECT v.file_id, v.version, v.file_path, f.content
                      FROM versioned.project_file_versions v JOIN versioned.project_files f USING (id)
                     WHERE v.project_id = $1";
    let contents = session.rows(versions, &[&project]);
    let contents = contents.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect();
    let heads =
        session.rows("SELECT file_id, version FROM versioned.project_file_heads WHERE project_id = $1", &[&project]);
    let ids = session
        .column::<String>("SELECT version_id FROM versioned.project_versions WHERE project_id = $1", &[&project]);
    let snapshots = ids.into_iter().map(|id| (id.clone(), session.snapshot(project, &id))).collect();
    Picture { contents, heads: heads.iter().map(|row| (row.get(0), row.get(1))).collect(), snapshots }
}

/// What must stay, worked out the slow way.
fn needed(
    session: &mut Session,
    project: Uuid,
    path: Option<&str>,
    last: Option<i32>,
    newer: Option<SystemTime>,
) -> BTreeSet<Version> {
    let sql = "SELECT v.file_id, v.version
                 FROM versioned.project_file_versions v
                 JOIN versioned.project_file_heads h USING (project_id, file_id)
                WHERE v.project_id = $1
                  AND (h.file_path <> $2
                       OR v.version = h.version
                       OR v.created_at > $4
                       OR (SELECT count(*) FROM versioned.project_file_versions l
                            WHERE l.file_id = v.file_id AND l.version >= v.version) <= $3
                       OR EXISTS (SELECT FROM versioned.project_versions p
                                   WHERE p.project_id = v.project_id
                                     AND v.version = (SELECT max(s.version) FROM versioned.project_file_versions s
                                                       WHERE s.file_id = v.file_id AND s.snapshot_seq <= p.snapshot_seq)))
               UNION
               SELECT v.file_id, v.version FROM versioned.project_file_versions v
                 JOIN versioned.project_file_heads h USING (project_id, file_id)
                WHERE v.project_id = $1 AND $2 IS NOT NULL AND h.file_path <> $2";
    let last = i64::from(last.unwrap_or(0));
    session.rows(sql, &[&project, &path, &last, &newer]).iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A project with some files and a random past: saves, moves, deletions, revivals, versions in between.
fn past(session: &mut Session, random: &mut Random) -> Uuid {
    let build = session.project(Uuid::new_v4());
    let project = build.project;
    let mut build = build.build;
    let paths = ["a", "b", "c"];
    let mut texts = paths.map(|path| format!("the file {path}\n").repeat(150));
    for step in 0..160_usize {
        let at = random.below(paths.len());
        let path = paths[at];
        match random.below(40) {
            0 => drop(session.delete(project, path, None)),
            1 => drop(session.rename(project, path, paths[random.below(paths.len())], None)),
            2 => {
                session.succeed(project, &build, serde_json::json!({})).expect("a version");
                build = session.start(project, false).expect("started").build;
            }
            _ => {
                let place = step * 7919 % texts[at].len();
                texts[at].insert_str(place, &format!("edit {step} "));
                session.put(project, path, &texts[at]);
            }
        }
    }
    project
}

type Pruned = BTreeMap<String, (Vec<i32>, i64)>;

fn prune(
    session: &mut Session,
    project: Uuid,
    path: Option<&str>,
    last: Option<i32>,
    newer: Option<&str>,
    dry: bool,
) -> Pruned {
    let sql = "SELECT file_path, removed_versions, bytes_freed
                 FROM versioned.prune_project_history($1, $2, $3, $4::text::interval, $5)";
    let rows = session.rows(sql, &[&project, &path, &last, &newer, &dry]);
    let mut all = Pruned::new();
    for row in rows {
        let entry = all.entry(row.get(0)).or_default();
        entry.0.extend(row.get::<_, Vec<i32>>(1));
        entry.1 += row.get::<_, i64>(2);
    }
    all
}

fn stored_bytes(session: &mut Session, project: Uuid) -> i64 {
    session.value("SELECT stored_bytes FROM versioned.project_storage WHERE project_id = $1", &[&project])
}

#[track_caller]
fn assert_sound(session: &mut Session, project: Uuid) {
    let findings: Vec<String> =
        session.column("SELECT f::text FROM versioned.check_project_integrity($1) f", &[&project]);
    assert_eq!(findings, Vec::<String>::new());
}

#[test]
fn what_stays_is_what_is_needed_and_reads_as_before() {
    let db = Database::new("needed");
    let mut session = db.connect();
    for seed in 0..12_u64 {
        let mut random = Random(seed + 17);
        let project = past(&mut session, &mut random);
        let before = picture(&mut session, project);
        // Ages of minutes: the first half of the past is made a day old.
        session.run(&format!(
            "SET session_replication_role = replica;
             UPDATE versioned.project_file_versions v SET created_at = created_at - interval '1 day'
               FROM versioned.project_file_heads h
              WHERE v.project_id = '{project}' AND h.file_id = v.file_id AND v.version <= h.version / 2;
             RESET session_replication_role"
        ));
        let path = if seed % 3 == 0 { Some("a") } else { None };
        let path = path.filter(|path| session.get(project, path, None).is_ok());
        let last = [None, Some(5), Some(0), Some(1_000)][random.below(4)];
        let newer = [None, Some("12 hours"), None, Some("2 days")][random.below(4)];
        let age = newer.map(|age| Duration::from_secs(if age == "12 hours" { 43_200 } else { 172_800 }));
        let needed = needed(&mut session, project, path, last, age.map(|age| SystemTime::now() - age));
        let weight = stored_bytes(&mut session, project);

        let announced = prune(&mut session, project, path, last, newer, true);
        assert_eq!(picture(&mut session, project), before, "a dry run changes nothing");
        let pruned = prune(&mut session, project, path, last, newer, false);
        assert_eq!(pruned, announced);

        let after = picture(&mut session, project);
        assert_eq!(after.contents.keys().copied().collect::<BTreeSet<_>>(), needed, "seed {seed}");
        assert!(after.contents.iter().all(|(version, content)| before.contents[version] == *content));
        assert_eq!((after.heads, after.snapshots), (before.heads.clone(), before.snapshots.clone()));
        let removed: usize = pruned.values().map(|(versions, _)| versions.len()).sum();
        assert_eq!(removed, before.contents.len() - needed.len());
        assert_eq!(pruned.values().map(|(_, freed)| freed).sum::<i64>(), weight - stored_bytes(&mut session, project));
        assert_sound(&mut session, project);

        assert!(prune(&mut session, project, path, last, newer, false).is_empty(), "nothing is left to remove");
        let live: Vec<(String, i32)> = session.list(project).into_iter().map(|file| (file.0, file.1)).collect();
        for (path, version) in live {
            let text = format!("{}and on\n", session.get(project, &path, None).expect("read").content.unwrap());
            assert_eq!(session.put(project, &path, &text), version + 1);
            assert_eq!(session.get(project, &path, None).expect("read").content, Some(text));
        }
        assert_sound(&mut session, project);
    }
}

#[test]
fn owners_prune_and_bad_arguments_are_refused() {
    let db = Database::new("pruners");
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let project = admin.project(owner).project;
    let (editor, viewer) = (Uuid::new_v4(), Uuid::new_v4());
    admin.add_member(project, editor, "editor");
    admin.add_member(project, viewer, "viewer");
    for n in 0..10 {
        admin.put(project, "a", &format!("{n}"));
    }
    let sql = "SELECT * FROM versioned.prune_project_history($1, p_dry_run => false)";
    for (user, code) in [(editor, "42501"), (viewer, "42501"), (Uuid::new_v4(), "PT404")] {
        refused(db.user(user).try_rows(sql, &[&project]), code);
    }
    let mut session = db.user(owner);
    for (arguments, code) in [
        ("NULL", "22023"),
        ("'{p}', p_keep_last => -1", "22023"),
        ("'{p}', p_keep_newer_than => '-1 second'", "22023"),
        ("'{p}', p_dry_run => NULL", "22023"),
        ("'{p}', '/a'", "22023"),
        ("'{p}', 'none'", "PT404"),
    ] {
        let call =
            format!("SELECT * FROM versioned.prune_project_history({arguments})").replace("{p}", &project.to_string());
        refused(session.try_rows(&call, &[]), code);
    }
    assert_eq!(session.rows("SELECT FROM versioned.project_files", &[]).len(), 10);
    assert_eq!(session.rows(sql, &[&project]).len(), 1);
    assert_eq!(session.rows("SELECT FROM versioned.project_files", &[]).len(), 1);
    // Undone with its transaction, and the history is protected again.
    session.put(project, "a", "more");
    session.run("BEGIN");
    session.rows(sql, &[&project]);
    session.run("ROLLBACK");
    assert_eq!(session.rows("SELECT FROM versioned.project_files", &[]).len(), 2);
    refused(admin.try_run("DELETE FROM versioned.project_file_versions"), "42501");
}

#[test]
fn saving_and_reading_go_on_beside_it() {
    let db = Database::new("beside");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let text = |who: usize, n: usize| format!("{}{who} {n}\n{}", "before\n".repeat(200), "after\n".repeat(200));
    admin.put(project, "a", &text(9, 9));
    // A reader whose snapshot is older than all of it.
    let mut reader = db.connect();
    reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    let first = reader.get(project, "a", None).expect("read");
    let saved = race(sessions(5, || db.connect()), |who, session| {
        let mut saved = Vec::new();
        for n in 0..40 {
            match who {
                0 => drop(prune(session, project, None, Some(3), None, false)),
                _ => saved.push((session.put(project, "a", &text(who, n)), text(who, n))),
            }
        }
        saved
    });
    let saved: BTreeMap<i32, String> = saved.into_iter().flatten().collect();
    assert_eq!(saved.len(), 160);
    assert_eq!(saved.keys().copied().collect::<Vec<_>>(), (2..=161).collect::<Vec<_>>());
    for (_, (_, content)) in picture(&mut admin, project).contents {
        let content = content.expect("a content");
        assert!(content == text(9, 9) || saved.values().any(|saved| *saved == content));
    }
    assert_sound(&mut admin, project);
    assert_eq!(reader.get(project, "a", Some(1)).expect("read").content, first.content);
}

#[test]
fn an_older_snapshot_does_not_stand_on_what_is_gone() {
    let db = Database::new("stale");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    for n in 0..50 {
        admin.put(project, "a", &format!("{}{n}\n", "line\n".repeat(300)));
    }
    let mut stale = db.connect();
    stale.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(stale.get(project, "a", None).expect("read").version, 50);
    assert_eq!(prune(&mut admin, project, None, None, None, false)["a"].0.len(), 49);
    refused(stale.save(project, "a", &format!("{}last\n", "line\n".repeat(300)), None), "40001");
    stale.run("ROLLBACK");
    assert_eq!(stale.put(project, "a", &format!("{}last\n", "line\n".repeat(300))), 51);
    assert_sound(&mut admin, project);
}
