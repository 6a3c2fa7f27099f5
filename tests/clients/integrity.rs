//! What is wrong with stored data is found and named, and nothing is found where nothing is wrong.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::stored::{Past, damage, edited};
use crate::support::{Database, Random, Session, race, refused, sessions};

/// Path, version, problem.
type Finding = (Option<String>, Option<i32>, String);

#[track_caller]
fn findings(session: &mut Session, project: Uuid) -> Vec<Finding> {
    let sql = "SELECT project_id, file_path, version, problem, detail FROM versioned.check_project_integrity($1)";
    let rows = session.rows(sql, &[&project]);
    rows.iter()
        .map(|row| {
            assert_eq!(row.get::<_, Uuid>(0), project, "a finding is of the project asked for");
            assert!(!row.get::<_, &str>(4).is_empty(), "a finding says what is wrong");
            (row.get(1), row.get(2), row.get(3))
        })
        .collect()
}

#[track_caller]
fn assert_sound(session: &mut Session, project: Uuid) {
    assert_eq!(findings(session, project), []);
}

/// A project to be damaged, and one beside it.
struct Patient {
    session: Session,
    project: Uuid,
    other: Uuid,
}

const FILE: &str = "src/a.txt";

impl Patient {
    /// `src/a.txt` has 40 versions in three project versions, `gone` was deleted.
    fn new(db: &Database) -> Patient {
        let mut session = db.connect();
        let mut past = Past::begin(&mut session);
        let mut text: String = (0..200).map(|n| format!("line {n} of {}\n", n * n)).collect();
        past.save(&mut session, "gone", "one");
        past.delete(&mut session, "gone");
        for n in 0..40_usize {
            text.insert_str(n * 7_919 % text.len(), &format!("edit {n} "));
            past.save(&mut session, FILE, &text);
            if n % 10 == 5 && n < 30 {
                past.snapshot(&mut session);
            }
        }
        let mut beside = Past::begin(&mut session);
        for n in 0..5 {
            beside.save(&mut session, FILE, &format!("beside {n}"));
        }
        let (project, other) = (past.project, beside.project);
        assert_sound(&mut session, project);
        Patient { session, project, other }
    }

    /// A number that a query about `src/a.txt` gives.
    #[track_caller]
    fn number(&mut self, expression: &str) -> i32 {
        let sql = format!(
            "SELECT {expression} FROM versioned.project_file_versions v
              WHERE v.project_id = $1 AND v.file_path = '{FILE}'"
        );
        self.session.value(&sql, &[&self.project])
    }

    /// Does damage, expects these findings at least, and undoes it. `{p}`: the project; `{v}`, `{h}`: the tables of
    /// versions and heads; `{a}`: the condition for `src/a.txt`.
    #[track_caller]
    fn suffers(&mut self, sql: &str, due: &[(Option<&str>, Option<i32>, &str)]) {
        let (session, project) = (&mut self.session, self.project);
        let sql = sql
            .replace("{a}", &format!("project_id = '{project}' AND file_path = '{FILE}'"))
            .replace("{p}", &project.to_string())
            .replace("{v}", "versioned.project_file_versions")
            .replace("{h}", "versioned.project_file_heads");
        session.run("BEGIN");
        damage(session, &sql);
        let found = findings(session, project);
        for &(path, version, problem) in due {
            let due = (path.map(str::to_owned), version, problem.to_owned());
            assert!(found.contains(&due), "{sql}: {due:?} is not among {found:?}");
        }
        // What is wrong here is wrong nowhere else, and is found among all projects, too.
        assert_sound(session, self.other);
        let sql = "SELECT project_id, file_path, version, problem FROM versioned.check_project_integrity()";
        let everywhere = session.rows(sql, &[]);
        let mut everywhere: Vec<Finding> = everywhere
            .iter()
            .filter(|row| row.get::<_, Option<Uuid>>(0) == Some(project))
            .map(|row| (row.get(1), row.get(2), row.get(3)))
            .collect();
        let mut found = found;
        found.sort();
        everywhere.sort();
        assert_eq!(found, everywhere);
        session.run("ROLLBACK");
        assert_sound(session, project);
    }
}

#[test]
fn work_of_every_kind_leaves_nothing_to_find() {
    let db = Database::new("integrity_work");
    let mut pair = [db.connect(), db.connect()];
    for seed in 0..4_u64 {
        let mut random = Random(seed + 900);
        let mut past = Past::begin(&mut pair[0]);
        for step in 0..160 {
            past.step(&mut pair[random.below(2)], &mut random, &["a", "b", "c/d.txt"]);
            if step % 40 == 39 {
                let prune =
                    "SELECT count(*) FROM versioned.prune_project_history($1, p_keep_last => $2, p_dry_run => false)";
                pair[0].value::<i64>(prune, &[&past.project, &(random.below(10) as i32)]);
                assert_sound(&mut pair[1], past.project);
            }
        }
        assert_sound(&mut pair[0], past.project);
    }
    assert!(pair[0].rows("SELECT * FROM versioned.check_project_integrity()", &[]).is_empty());
    assert!(pair[0].rows("SELECT * FROM versioned.check_project_integrity(NULL)", &[]).is_empty());
}

/// The check asks several queries; what others commit between them must not look like damage.
#[test]
fn work_under_way_is_not_taken_for_damage() {
    let db = Database::new("integrity_race");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    let checked = race(sessions(6, || db.connect()), |who, session| {
        let mut random = Random(who as u64);
        let mut text = "a line\n".repeat(100);
        for n in 0..80 {
            match who {
                0 | 1 => {
                    // As the owner asks for one project, and as the operator asks for all.
                    let argument = if who == 0 { format!("'{project}'") } else { "NULL".to_owned() };
                    let sql = format!("SELECT f::text FROM versioned.check_project_integrity({argument}) f");
                    let found: Vec<String> = session.column(&sql, &[]);
                    assert!(found.is_empty(), "{found:?}");
                }
                2 => {
                    let sql = "SELECT FROM versioned.prune_project_history($1, p_keep_last => 4, p_dry_run => false)";
                    session.rows(sql, &[&project]);
                }
                _ => {
                    let path = ["a", "b", "c"][random.below(3)];
                    text = edited(&mut random, &text);
                    session.put(project, path, &format!("{text}{who} {n}"));
                    if n % 9 == 0 {
                        // Another may have deleted it.
                        let _ = session.delete(project, path, None);
                    }
                }
            }
        }
        who
    });
    assert_eq!(checked.len(), 6);
    assert_sound(&mut admin, project);
}

#[test]
fn version_gap_is_found() {
    let db = Database::new("integrity_gap");
    let mut patient = Patient::new(&db);
    let due = |version| [(Some(FILE), Some(version), "version_gap")];
    patient.suffers("DELETE FROM {v} WHERE {a} AND version = 40", &[(Some(FILE), Some(40), "head_mismatch")]);
    patient.suffers("DELETE FROM {v} WHERE {a} AND version = 1", &due(1));
    patient.suffers("DELETE FROM {v} WHERE {a} AND version = 39", &due(39));
    patient.suffers("DELETE FROM {v} WHERE {a} AND version BETWEEN 10 AND 20", &due(10));
    patient.suffers(
        "DELETE FROM {v} WHERE {a} AND version IN (10, 30)",
        &[(Some(FILE), Some(10), "version_gap"), (Some(FILE), Some(30), "version_gap")],
    );
    patient.suffers(
        "DELETE FROM {v} WHERE project_id = '{p}' AND file_path = 'gone' AND version = 1",
        &[(Some("gone"), Some(1), "version_gap")],
    );
    // What was pruned is no gap, and a gap beside it is one.
    let (project, session) = (patient.project, &mut patient.session);
    session.rows("SELECT FROM versioned.prune_project_history($1, p_keep_last => 10, p_dry_run => false)", &[&project]);
    patient.suffers("DELETE FROM {v} WHERE {a} AND version = 35", &due(35));
    patient.suffers("UPDATE {h} SET pruned_versions = NULL WHERE {a}", &due(1));
}

#[test]
fn duplicate_version_is_found() {
    let db = Database::new("integrity_duplicate");
    let mut patient = Patient::new(&db);
    let due = |version| [(Some(FILE), Some(version), "duplicate_version")];
    patient.suffers("UPDATE {v} SET version = 500 WHERE {a} AND version = 3", &due(500));
    patient.suffers("UPDATE {v} SET version = 0 WHERE {a} AND version = 3", &due(0));
    patient.suffers("UPDATE {v} SET version = -7 WHERE {a} AND version = 3", &due(-7));
    patient.suffers(
        "ALTER TABLE {v} DROP CONSTRAINT project_file_versions_pkey;
         INSERT INTO {v} SELECT * FROM {v} WHERE {a} AND version = 3",
        &due(3),
    );
}

#[test]
fn second_head_is_found() {
    let db = Database::new("integrity_head");
    let mut patient = Patient::new(&db);
    patient.suffers(
        "DROP INDEX versioned.project_file_heads_live_path;
         UPDATE {h} SET is_deleted = false, file_path = 'src/a.txt' WHERE project_id = '{p}' AND file_path = 'gone'",
        &[(Some(FILE), Some(40), "second_head"), (Some(FILE), Some(2), "second_head")],
    );
    patient.suffers(
        "ALTER TABLE {h} DROP CONSTRAINT project_file_heads_pkey;
         INSERT INTO {h} SELECT * FROM {h} WHERE project_id = '{p}' AND file_path = 'gone'",
        &[(Some("gone"), Some(2), "second_head")],
    );
}

#[test]
fn head_mismatch_is_found() {
    let db = Database::new("integrity_mismatch");
    let mut patient = Patient::new(&db);
    let due = [(Some(FILE), Some(40), "head_mismatch")];
    for change in [
        "file_type = 'other'",
        "content_hash = sha256('other')",
        "content_hash = NULL",
        "snapshot_seq = snapshot_seq - 1",
        "updated_at = updated_at + interval '1 second'",
        "is_deleted = true",
    ] {
        patient.suffers(&format!("UPDATE {{h}} SET {change} WHERE {{a}}"), &due);
    }
    patient.suffers("UPDATE {h} SET file_path = 'b' WHERE {a}", &[(Some("b"), Some(40), "head_mismatch")]);
    patient.suffers("UPDATE {h} SET version = 39 WHERE {a}", &[(Some(FILE), Some(39), "head_mismatch")]);
    patient.suffers("UPDATE {h} SET version = 41 WHERE {a}", &[(Some(FILE), Some(41), "head_mismatch")]);
    patient.suffers("UPDATE {v} SET file_type = 'other' WHERE {a} AND version = 40", &due);
    // What the next version would stand on.
    patient.suffers("UPDATE {h} SET base_version = 500 WHERE {a}", &[(Some(FILE), Some(500), "head_mismatch")]);
    let (project, session) = (patient.project, &mut patient.session);
    let base: Option<i32> = session.value(
        &format!(
            "SELECT base_version FROM versioned.project_file_heads WHERE project_id = $1 AND file_path = '{FILE}'"
        ),
        &[&project],
    );
    let base = base.expect("the next version stands on one");
    patient.suffers(
        &format!("DELETE FROM {{v}} WHERE {{a}} AND version = {base}"),
        &[(Some(FILE), Some(base), "head_mismatch")],
    );
}

#[test]
fn orphan_is_found() {
    let db = Database::new("integrity_orphan");
    let mut patient = Patient::new(&db);
    let all: Vec<_> = (1..=40).map(|version| (Some(FILE), Some(version), "orphan")).collect();
    patient.suffers("DELETE FROM {h} WHERE {a}", &all);
    patient.suffers(
        "UPDATE {v} SET file_id = gen_random_uuid() WHERE {a} AND version = 7",
        &[(Some(FILE), Some(7), "orphan"), (Some(FILE), Some(7), "version_gap")],
    );
    patient.suffers(
        "UPDATE versioned.projects SET current_version_id = 'none' WHERE id = '{p}'",
        &[(None, None, "orphan")],
    );
    // Without its project, all that is left of it is found among all projects.
    let (project, session) = (patient.project, &mut patient.session);
    session.run("BEGIN");
    damage(session, &format!("DELETE FROM versioned.projects WHERE id = '{project}'"));
    refused(session.try_rows("SELECT FROM versioned.check_project_integrity($1)", &[&project]), "PT404");
    session.run("ROLLBACK; BEGIN");
    damage(session, &format!("DELETE FROM versioned.projects WHERE id = '{project}'"));
    let sql = "SELECT file_path, count(*) FROM versioned.check_project_integrity()
                WHERE project_id = $1 AND problem = 'orphan' GROUP BY file_path";
    let found = session.rows(sql, &[&project]);
    let found: BTreeMap<Option<String>, i64> = found.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, [(None, 3), (Some("gone".to_owned()), 1), (Some(FILE.to_owned()), 1)].into());
    session.run("ROLLBACK");
}

#[test]
fn out_of_order_is_found() {
    let db = Database::new("integrity_order");
    let mut patient = Patient::new(&db);
    let due = |version| [(Some(FILE), Some(version), "out_of_order")];
    patient.suffers("UPDATE {v} SET created_at = created_at - interval '1 day' WHERE {a} AND version = 20", &due(20));
    patient.suffers("UPDATE {v} SET created_at = created_at + interval '1 day' WHERE {a} AND version = 20", &due(21));
    patient.suffers("UPDATE {v} SET snapshot_seq = 0 WHERE {a} AND version = 20", &due(20));
    patient.suffers("UPDATE {v} SET snapshot_seq = 99 WHERE {a} AND version = 20", &due(21));
    patient.suffers("UPDATE {v} SET change_xid = '9223372036854775807' WHERE {a} AND version = 20", &due(20));
    let due = [(None, None, "out_of_order")];
    patient.suffers("UPDATE versioned.projects SET snapshot_seq = 2 WHERE id = '{p}'", &due);
    patient.suffers(
        "UPDATE versioned.project_versions SET snapshot_seq = 99
          WHERE project_id = '{p}' AND snapshot_seq = (SELECT max(snapshot_seq) FROM versioned.project_versions)",
        &due,
    );
    patient.suffers(
        "UPDATE versioned.project_versions SET created_at = created_at - interval '1 day'
          WHERE project_id = '{p}' AND snapshot_seq = (SELECT max(snapshot_seq) FROM versioned.project_versions)",
        &due,
    );
}

#[test]
fn snapshot_mismatch_is_found() {
    let db = Database::new("integrity_snapshot");
    let mut patient = Patient::new(&db);
    // The second snapshot holds version 16.
    let listed = "versioned.project_file_snapshots WHERE project_id = '{p}' AND version = 16";
    let found = |version| (Some(FILE), Some(version), "snapshot_mismatch");
    patient.suffers(&format!("DELETE FROM {listed}"), &[found(16)]);
    for other in [6, 15, 17, 40, 500] {
        let update = listed.replace(" WHERE", &format!(" SET version = {other} WHERE"));
        patient.suffers(&format!("UPDATE {update}"), &[found(other), found(16)]);
    }
    patient.suffers("DELETE FROM {v} WHERE {a} AND version = 16", &[found(16), (Some(FILE), Some(16), "version_gap")]);
    // Versions that are not listed do not need it, and no snapshot needs a version that it does not show.
    let (project, session) = (patient.project, &mut patient.session);
    session.run("BEGIN");
    session.run("UPDATE versioned.project_versions SET snapshot_listed = false");
    damage(session, "DELETE FROM versioned.project_file_snapshots");
    assert_sound(session, project);
    session.run("ROLLBACK");
}

#[test]
fn base_missing_is_found() {
    let db = Database::new("integrity_base");
    let mut patient = Patient::new(&db);
    let delta = patient.number("max(v.version) FILTER (WHERE v.base_version IS NOT NULL)");
    patient.suffers(
        &format!("UPDATE {{v}} SET base_version = NULL WHERE {{a}} AND version = {delta}"),
        &[(Some(FILE), Some(delta), "base_missing")],
    );
    patient.suffers(
        &format!("UPDATE {{v}} SET base_version = 500 WHERE {{a}} AND version = {delta}"),
        &[(Some(FILE), Some(delta), "base_missing")],
    );
    patient.suffers(
        &format!("UPDATE {{v}} SET base_version = version WHERE {{a}} AND version = {delta}"),
        &[(Some(FILE), Some(delta), "base_missing")],
    );
    // Every version that stands on what is gone, itself or by the one between them.
    let session = &mut patient.session;
    let sql = "SELECT v.version FROM versioned.project_file_versions v
                 LEFT JOIN versioned.project_file_versions b ON b.file_id = v.file_id AND b.version = v.base_version
                WHERE v.project_id = $1 AND v.file_path = $2 AND 1 IN (v.base_version, b.base_version)";
    let standing: Vec<i32> = session.column(sql, &[&patient.project, &FILE]);
    assert!(standing.len() > 5, "{standing:?}");
    let due: Vec<_> = standing.iter().map(|&version| (Some(FILE), Some(version), "base_missing")).collect();
    patient.suffers("DELETE FROM {v} WHERE {a} AND version = 1", &due);
}

#[test]
fn undecodable_is_found() {
    let db = Database::new("integrity_undecodable");
    let mut patient = Patient::new(&db);
    let delta = patient.number("max(v.version) FILTER (WHERE v.base_version IS NOT NULL)");
    for version in [1, delta] {
        for change in [
            "stored = ''",
            "stored = NULL",
            "stored = '\\xffffffffffffff'",
            "size_bytes = -1",
            "size_bytes = 2147483647",
            "size_bytes = size_bytes + 1",
            "encoding = 99",
            "encoding = NULL",
            "content_hash = NULL",
        ] {
            let sql = format!("UPDATE {{v}} SET {change} WHERE {{a}} AND version = {version}");
            patient.suffers(&sql, &[(Some(FILE), Some(version), "undecodable")]);
        }
    }
}

#[test]
fn hash_mismatch_is_found() {
    let db = Database::new("integrity_hash");
    let mut patient = Patient::new(&db);
    let splice = patient.number("max(v.version) FILTER (WHERE v.encoding = 2)");
    for version in [1, splice] {
        for hash in ["sha256('other')", "''", "'\\x00'"] {
            let sql = format!("UPDATE {{v}} SET content_hash = {hash} WHERE {{a}} AND version = {version}");
            patient.suffers(&sql, &[(Some(FILE), Some(version), "hash_mismatch")]);
        }
    }
    // Another letter in the middle of a text.
    patient.suffers(
        &format!(
            "UPDATE {{v}} SET stored = set_byte(stored, length(stored) - 2, get_byte(stored, length(stored) - 2) # 1)
              WHERE {{a}} AND version = {splice}"
        ),
        &[(Some(FILE), Some(splice), "hash_mismatch")],
    );
    // A deletion has no content.
    for change in ["stored = 'x', encoding = 0", "content_hash = sha256('')", "size_bytes = 1"] {
        patient.suffers(
            &format!("UPDATE {{v}} SET {change} WHERE project_id = '{{p}}' AND file_path = 'gone' AND version = 2"),
            &[(Some("gone"), Some(2), "hash_mismatch")],
        );
    }
}

#[test]
fn members_check_their_projects_and_operators_all() {
    let db = Database::new("integrity_members");
    let mut admin = db.connect();
    let (owner, editor, viewer) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let project = admin.project(owner).project;
    admin.add_member(project, editor, "editor");
    admin.add_member(project, viewer, "viewer");
    for n in 0..20 {
        admin.put(project, FILE, &format!("{}{n}", "line\n".repeat(50)));
    }
    let found: Finding = (Some(FILE.to_owned()), Some(7), "hash_mismatch".to_owned());
    damage(&mut admin, "UPDATE versioned.project_file_versions SET content_hash = sha256('') WHERE version = 7");
    for user in [owner, editor, viewer] {
        let mut session = db.user(user);
        for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
            session.run(&format!("BEGIN ISOLATION LEVEL {level} READ ONLY"));
            assert_eq!(findings(&mut session, project), std::slice::from_ref(&found));
            session.run("COMMIT");
        }
        for argument in ["", "NULL"] {
            let sql = format!("SELECT FROM versioned.check_project_integrity({argument})");
            refused(session.try_rows(&sql, &[]), "42501");
        }
        refused(session.try_rows("SELECT FROM versioned.check_project_integrity($1)", &[&Uuid::new_v4()]), "PT404");
    }
    let check = "SELECT FROM versioned.check_project_integrity($1)";
    refused(db.user(Uuid::new_v4()).try_rows(check, &[&project]), "PT404");
    refused(admin.try_rows(check, &[&Uuid::new_v4()]), "PT404");
    let mut service = db.login("authenticator");
    service.run("SET ROLE service_role; BEGIN READ ONLY");
    assert_eq!(service.rows("SELECT FROM versioned.check_project_integrity()", &[]).len(), 1);
    assert_eq!(findings(&mut service, project), [found]);
    service.run("COMMIT");
}

/// Project, files, versions, bytes of content, bytes stored, ratio.
type Weight = (Uuid, i64, i64, i64, i64, Option<String>);

fn weights(session: &mut Session) -> Vec<Weight> {
    let sql = "SELECT project_id, files, versions, content_bytes, stored_bytes, ratio::text
                 FROM versioned.project_storage ORDER BY project_id";
    let rows = session.rows(sql, &[]);
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))).collect()
}

#[test]
fn storage_is_what_the_rows_weigh() {
    let db = Database::new("integrity_storage");
    let mut admin = db.connect();
    let mut due = Vec::new();
    let mut owners = Vec::new();
    for seed in 0..3_u64 {
        let (mut past, mut random) = (Past::begin(&mut admin), Random(seed + 5));
        for _ in 0..80 {
            past.step(&mut admin, &mut random, &["a", "b", "é"]);
        }
        let versions = past.files.iter().flat_map(|file| &file.versions);
        let content: usize = versions.clone().filter_map(|version| version.content.as_ref()).map(String::len).sum();
        let sql = "SELECT octet_length(stored)::bigint FROM versioned.project_file_versions
                    WHERE project_id = $1 AND stored IS NOT NULL";
        let stored: i64 = admin.column::<i64>(sql, &[&past.project]).iter().sum();
        let ratio = format!("{:.1}", content as f64 / stored as f64);
        due.push((past.project, past.files.len() as i64, versions.count() as i64, content as i64, stored, Some(ratio)));
        let owner = "SELECT owner_id FROM versioned.projects WHERE id = $1";
        owners.push(admin.value::<Uuid>(owner, &[&past.project]));
    }
    // One that weighs nothing has no ratio; one without files has no row.
    let (owner, empty) = (Uuid::new_v4(), admin.project(Uuid::new_v4()).project);
    admin.put(empty, "empty", "");
    due.push((empty, 1, 1, 0, 0, None));
    let bare = admin.project(owner).project;
    due.sort();
    assert_eq!(weights(&mut admin), due);

    for (n, &user) in owners.iter().enumerate() {
        let seen = weights(&mut db.user(user));
        assert_eq!(seen.len(), 1, "project {n} is seen by its owner");
        assert!(due.contains(&seen[0]));
    }
    assert!(weights(&mut db.user(owner)).is_empty());
    assert!(weights(&mut db.user(Uuid::new_v4())).is_empty());
    // A viewer of two projects sees both.
    let viewer = Uuid::new_v4();
    for project in [due[0].0, due[1].0, bare] {
        admin.add_member(project, viewer, "viewer");
    }
    assert_eq!(weights(&mut db.user(viewer)), due[..2]);
    // Weighing is reading: no row is left locked or changed.
    let mut session = db.user(viewer);
    session.run("BEGIN READ ONLY");
    assert_eq!(weights(&mut session), due[..2]);
    session.run("COMMIT");
}
