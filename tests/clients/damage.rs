//! What a disk or a superuser damaged is noticed, named, and never taken for somebody's work.

use uuid::Uuid;

use crate::support::{Database, Random, Refusal, Session, refused, sha256};

/// A file of 120 versions in keyframes, middle versions and deltas.
fn history(session: &mut Session) -> (Uuid, Vec<String>) {
    let project = session.project(Uuid::new_v4()).project;
    let mut text: String = (0..300).map(|n| format!("line {n} of {}\n", n * n)).collect();
    let contents: Vec<String> = (0..120_usize)
        .map(|n| {
            text.insert_str(n * 7919 % text.len(), &format!("edit {n} "));
            text.clone()
        })
        .collect();
    for content in &contents {
        session.put(project, "src/a.txt", content);
    }
    (project, contents)
}

/// Past the functions and the trigger, as damage comes.
fn damage(session: &mut Session, sql: &str) {
    session.run(&format!("SET session_replication_role = replica; {sql}; RESET session_replication_role"));
}

fn findings(session: &mut Session, project: Uuid) -> Vec<(String, Option<i32>)> {
    let sql = "SELECT problem, version FROM versioned.check_project_integrity($1) ORDER BY 1, 2";
    session.rows(sql, &[&project]).iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[track_caller]
fn named(refusal: &Refusal, project: Uuid, version: i32) {
    assert_eq!(refusal.code, "XX001", "{refusal:?}");
    for name in [project.to_string(), "src/a.txt".to_owned(), format!("version {version} ")] {
        assert!(refusal.message.contains(&name), "{refusal:?} does not name {name}");
    }
}

#[test]
fn damaged_contents_are_errors_or_right_but_never_wrong() {
    let db = Database::new("damaged");
    let mut session = db.connect();
    let (project, contents) = history(&mut session);
    let mut random = Random(7);
    let changes = [
        "stored = overlay(stored PLACING '\\xff'::bytea FROM 1 + {at})",
        "stored = set_byte(stored, {at}, get_byte(stored, {at}) # (1 << {bit}))",
        "stored = substr(stored, 1, {at})",
        "stored = ''",
        "stored = stored || '\\x00'",
        "stored = NULL",
        "encoding = (encoding + 1 + {bit}) % 4",
        "encoding = 99",
        "encoding = NULL",
        "size_bytes = 2147483647",
        "size_bytes = -1",
        "size_bytes = size_bytes + 1",
        "content_hash = sha256('another')",
        "content_hash = ''",
        "base_version = version",
        "base_version = nullif(base_version, base_version) + 1",
        "base_version = CASE WHEN base_version = 1 THEN 2 ELSE 1 END",
    ];
    let (mut refusals, mut found) = (0, 0);
    for round in 0..170 {
        let version = 1 + random.below(contents.len()) as i32;
        let stored =
            "SELECT octet_length(stored) FROM versioned.project_file_versions WHERE project_id = $1 AND version = $2";
        let length: i32 = session.value(stored, &[&project, &version]);
        let change = changes[round % changes.len()]
            .replace("{at}", &random.below(length as usize).to_string())
            .replace("{bit}", &random.below(8).to_string());
        session.run("BEGIN");
        damage(
            &mut session,
            &format!(
                "UPDATE versioned.project_file_versions SET {change} WHERE project_id = '{project}' AND version = {version}"
            ),
        );
        // The version, and those that stand on it.
        for at in (version..=contents.len() as i32).take(4) {
            session.run("SAVEPOINT reading");
            match session.get(project, "src/a.txt", Some(at)) {
                Ok(file) if file.content.is_none() => assert!(change.contains("NULL"), "{change}"),
                Ok(file) => assert!(file.content.as_ref() == Some(&contents[at as usize - 1]), "{change}: wrong text"),
                Err(refusal) => {
                    named(&refusal, project, at);
                    session.run("ROLLBACK TO reading");
                    refusals += 1;
                }
            }
        }
        found += usize::from(!findings(&mut session, project).is_empty());
        // Work goes on, whatever the last version stands on.
        let next = format!("{}and on\n", contents.last().expect("not empty"));
        let saved = session.put(project, "src/a.txt", &next);
        assert_eq!(session.get(project, "src/a.txt", Some(saved)).expect("read").content, Some(next), "{change}");
        session.run("ROLLBACK");
    }
    assert!(refusals > 100 && found > 100, "{refusals} refusals, {found} found");
    assert_eq!(findings(&mut session, project), []);
}

#[test]
fn a_missing_base_is_named() {
    let db = Database::new("baseless");
    let mut session = db.connect();
    let (project, contents) = history(&mut session);
    let base: i32 = session.value(
        "SELECT base_version FROM versioned.project_file_versions WHERE project_id = $1 AND version = 120",
        &[&project],
    );
    damage(&mut session, &format!("DELETE FROM versioned.project_file_versions WHERE version = {base}"));
    named(&refused(session.get(project, "src/a.txt", None), "XX001"), project, 120);
    refused(session.try_rows("SELECT content FROM versioned.project_files", &[]), "XX001");
    // Metadata, and what stands on others, is there all the same.
    assert_eq!(session.rows("SELECT version FROM versioned.project_files", &[]).len(), 119);
    let problems: Vec<String> = findings(&mut session, project).into_iter().map(|(problem, _)| problem).collect();
    for problem in ["base_missing", "version_gap", "head_mismatch"] {
        assert!(problems.iter().any(|found| found == problem), "{problem} is not among {problems:?}");
    }
    let next = format!("{}more\n", contents[119]);
    assert_eq!(session.put(project, "src/a.txt", &next), 121);
    assert_eq!(session.get(project, "src/a.txt", None).expect("read").content, Some(next));
}

#[test]
fn every_kind_of_damage_is_found() {
    let db = Database::new("kinds");
    let mut session = db.connect();
    let (project, _) = history(&mut session);
    session.put(project, "b", "one");
    session.delete(project, "b", None).expect("deleted");
    let build = session.start(project, true).expect("started");
    session.succeed(project, &build.build, serde_json::json!({})).expect("a version");
    assert_eq!(findings(&mut session, project), []);
    let v = "versioned.project_file_versions";
    let h = "versioned.project_file_heads";
    let a = "file_path = 'src/a.txt'";
    let cases = [
        (format!("DELETE FROM {v} WHERE version IN (50, 51) AND {a}"), "version_gap", Some(50)),
        (format!("UPDATE {v} SET version = 500 WHERE version = 3 AND {a}"), "duplicate_version", Some(500)),
        (format!("UPDATE {h} SET version = version - 1 WHERE {a}"), "head_mismatch", Some(119)),
        (format!("UPDATE {h} SET base_version = 999 WHERE {a}"), "head_mismatch", Some(999)),
        (format!("DELETE FROM {h} WHERE {a}"), "orphan", Some(1)),
        (
            format!("UPDATE {v} SET created_at = created_at - interval '1 day' WHERE version = 60 AND {a}"),
            "out_of_order",
            Some(60),
        ),
        (format!("UPDATE {v} SET snapshot_seq = 0 WHERE version = 60 AND {a}"), "out_of_order", Some(60)),
        (format!("UPDATE {v} SET stored = '\\x01' WHERE version = 1 AND {a}"), "undecodable", Some(1)),
        (format!("UPDATE {v} SET content_hash = sha256('') WHERE version = 70 AND {a}"), "hash_mismatch", Some(70)),
        (
            format!("UPDATE {v} SET stored = 'x', encoding = 0 WHERE version = 2 AND file_path = 'b'"),
            "hash_mismatch",
            Some(2),
        ),
        ("UPDATE versioned.projects SET current_version_id = 'none'".to_owned(), "orphan", None),
        ("UPDATE versioned.project_versions SET snapshot_seq = 99".to_owned(), "out_of_order", None),
        (
            format!(
                "DROP INDEX versioned.project_file_heads_live_path; UPDATE {h} SET is_deleted = false, file_path = 'src/a.txt'"
            ),
            "second_head",
            None,
        ),
        (format!("UPDATE {h} SET project_id = gen_random_uuid() WHERE {a}"), "orphan", Some(1)),
    ];
    for (sql, problem, version) in cases {
        session.run("BEGIN");
        damage(&mut session, &sql);
        let found = findings(&mut session, project);
        let is_it = |(name, at): &(String, Option<i32>)| name == problem && (version.is_none() || *at == version);
        assert!(found.iter().any(is_it), "{sql}: {problem} is not among {found:?}");
        assert!(!session.rows("SELECT * FROM versioned.check_project_integrity()", &[]).is_empty());
        session.run("ROLLBACK");
    }
    assert_eq!(findings(&mut session, project), []);
}

#[test]
fn who_may_check_and_what_they_see() {
    let db = Database::new("checkers");
    let mut admin = db.connect();
    let (owner, viewer, stranger) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let project = admin.project(owner).project;
    admin.put(project, "a", "one");
    admin.add_member(project, viewer, "viewer");
    let check = "SELECT problem FROM versioned.check_project_integrity($1)";
    for user in [owner, viewer] {
        let mut session = db.user(user);
        session.run("BEGIN READ ONLY");
        assert!(session.rows(check, &[&project]).is_empty());
        session.run("COMMIT");
        refused(session.try_rows("SELECT * FROM versioned.check_project_integrity()", &[]), "42501");
        let weighed: Vec<i64> = session.column("SELECT content_bytes FROM versioned.project_storage", &[]);
        assert_eq!(weighed, [3]);
    }
    let mut session = db.user(stranger);
    refused(session.try_rows(check, &[&project]), "PT404");
    assert!(session.rows("SELECT * FROM versioned.project_storage", &[]).is_empty());
}

/// A caller of the view's own function learns nothing that its arguments do not hold.
#[test]
fn stored_content_gives_nobody_elses_content() {
    let db = Database::new("oracle");
    let mut admin = db.connect();
    let (alice, mallory) = (Uuid::new_v4(), Uuid::new_v4());
    let project = admin.project(alice).project;
    let secret = "the secret of Alice\n".repeat(20);
    let hash = sha256(&secret);
    // One session serves both, as behind a connection pool.
    let mut session = db.user(alice);
    for n in 0..5 {
        session.save(project, "a", &format!("{secret}{n}"), None).expect("saved");
    }
    session.save(project, "a", &secret, None).expect("saved");
    assert_eq!(session.get(project, "a", None).expect("read").content, Some(secret.clone()));
    session.claim(mallory);
    let sql = |size: usize, encoding: i16, stored: &str, base: &str| {
        format!(
            "SELECT versioned.stored_content('{project}', 'a', 6, '\\x{hash}', {size}, {encoding}::smallint, '\\x{stored}',
                    {base}, NULL, NULL, NULL)"
        )
    };
    let none = "NULL, NULL, NULL";
    let length = secret.len();
    for (size, encoding, stored, base) in [
        (length, 0, "", none),
        (0, 0, "", none),
        (length, 1, "", none),
        (i32::MAX as usize, 1, "00000000", none),
        (length, 2, "0000", "0, 0::smallint, ''"),
        (length, 2, "9003009003", "400, 0::smallint, '\\x00'"),
        (length, 3, "000001000000", "1, 1::smallint, '\\x01'"),
        (length, 99, "00", none),
    ] {
        refused(session.try_rows(&sql(size, encoding, stored, base), &[]), "XX001");
    }
    let tombstone =
        "SELECT versioned.stored_content(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)";
    assert_eq!(session.value::<Option<String>>(tombstone, &[]), None);
}
