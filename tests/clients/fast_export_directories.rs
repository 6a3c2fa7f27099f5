//! Files that have the path of a directory that others are in, as git cannot have them at the same time.

use std::fs;

use serde_json::json;
use uuid::Uuid;

use crate::dump::{dumped, restore};
use crate::fast_export::{EXPORT, release};
use crate::git::same;
use crate::support::{Database, Random, Session, refused};

#[test]
fn what_git_cannot_hold_is_refused() {
    let db = Database::new("fast_export_conflict");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    for path in ["a.b", "a/b/c", "a"] {
        admin.put(project, path, path);
    }
    let refusal = refused(admin.try_rows(EXPORT, &[&project]), "PT409");
    assert_eq!(refusal.json(), json!({"file_path": "a", "other_path": "a/b/c"}));
    assert!(refusal.message.contains("\"a\"") && refusal.message.contains("\"a/b/c\""), "{refusal:?}");
    assert!(refusal.hint.is_some_and(|hint| hint.contains("Move") && hint.contains("prune_project_history")));
    // Not before the rows that come first.
    let first = "SELECT versioned.get_project_fast_export($1) LIMIT 2";
    assert_eq!(admin.column::<String>(first, &[&project]).len(), 2);

    // As the hint says.
    admin.rename(project, "a", "b", None).expect("moved");
    refused(admin.try_rows(EXPORT, &[&project]), "PT409");
    admin.rows("SELECT versioned.prune_project_history($1, p_dry_run => false)", &[&project]);
    same(&db, project);
}

/// Nobody but the transaction ever saw both, wherever it would otherwise be divided.
#[test]
fn transactions_with_directories_are_whole() {
    let db = Database::new("fast_export_whole");
    let mut admin = db.connect();
    let user = Uuid::new_v4();

    // The same file again.
    let project = admin.project(user).project;
    admin.put(project, "a", "x");
    release(&mut admin, project, json!({}));
    admin.run("BEGIN");
    admin.put(project, "a/b", "x");
    admin.put(project, "a/b", "y");
    admin.put(project, "c", "x");
    admin.delete(project, "a", None).expect("deleted");
    admin.rename(project, "c", "d", None).expect("moved");
    admin.rename(project, "d", "a/c", None).expect("moved");
    admin.run("COMMIT");
    release(&mut admin, project, json!({}));
    assert_eq!(same(&db, project).log("%s"), ["Save a", "Change 3 files"]);

    // A pause.
    let project = admin.project(user).project;
    admin.put(project, "a", "x");
    admin.run("BEGIN");
    admin.put(project, "a/b", "x");
    admin.delete(project, "a", None).expect("deleted");
    admin.run("COMMIT");
    admin.rows("SELECT set_config('session_replication_role', 'replica', false)", &[]);
    admin.rows(
        "UPDATE versioned.project_file_versions SET created_at = created_at + interval '11 s'
          WHERE project_id = $1 AND is_deleted",
        &[&project],
    );
    admin.run("RESET session_replication_role");
    assert_eq!(same(&db, project).log("%s"), ["Save a", "Change 2 files"]);

    // Another author. The first one is the commit's, even if what the other one did comes first there.
    let project = admin.project(user).project;
    admin.put(project, "a", "x");
    admin.run(&format!(
        "BEGIN; SET LOCAL pg_versioned.actor_id = '{user}';
         SELECT versioned.atomic_upsert_project_file('{project}', 'a/b', 'x', 'text');
         SET LOCAL pg_versioned.actor_id = '';
         SELECT versioned.delete_project_file('{project}', 'a'); COMMIT"
    ));
    assert_eq!(same(&db, project).log("%an %s"), ["unknown Save a".to_owned(), format!("{user} Change 2 files")]);

    // What others did see is refused.
    admin.put(project, "a", "x");
    admin.delete(project, "a", None).expect("deleted");
    refused(admin.try_rows(EXPORT, &[&project]), "PT409");
}

/// When a file left its path cannot be known if that version has been pruned. It was gone when another one came.
#[test]
fn pruning_makes_no_conflicts() {
    let db = Database::new("fast_export_gaps");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "1");
    admin.put(project, "d/e", "1");
    release(&mut admin, project, json!({}));
    admin.delete(project, "a", None).expect("deleted");
    admin.put(project, "a/b", "x");
    admin.delete(project, "a/b", None).expect("deleted");
    admin.put(project, "a", "2");
    admin.put(project, "a", "3");
    admin.rename(project, "d/e", "e", None).expect("moved");
    admin.put(project, "d", "x");
    admin.put(project, "e", "2");
    admin.put(project, "e", "3");
    let before = same(&db, project).log("%s");
    let pruned: Vec<Vec<i32>> = admin
        .column("SELECT removed_versions FROM versioned.prune_project_history($1, NULL, 2, NULL, false)", &[&project]);
    assert_eq!(pruned, [[2], [2]]);
    let repository = same(&db, project);
    assert_eq!(repository.log("%s").len(), before.len() - 2);
    let status = |summary: &str| {
        let commit = repository.text(&["log", "--format=%H", &format!("--grep=^{summary}$"), "main"]);
        repository.text(&["show", "--format=", "--name-status", "--no-renames", &commit])
    };
    assert_eq!(status("Save a/b"), "D\ta\nA\ta/b");
    assert_eq!(status("Save d"), "A\td\nD\td/e");
    drop(repository);

    // A version that has both is another matter.
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "1");
    admin.put(project, "a/b", "x");
    release(&mut admin, project, json!({}));
    admin.delete(project, "a/b", None).expect("deleted");
    for content in ["2", "3"] {
        admin.put(project, "a", content);
    }
    refused(admin.try_rows(EXPORT, &[&project]), "PT409");
    admin.rows("SELECT versioned.prune_project_history($1, NULL, 1, NULL, false)", &[&project]);
    let refusal = refused(admin.try_rows(EXPORT, &[&project]), "PT409");
    assert_eq!(refusal.json(), json!({"file_path": "a", "other_path": "a/b"}));
    // Without it, nothing is left that says so.
    admin.run("UPDATE versioned.project_versions SET soft_deleted_at = now()");
    same(&db, project);
}

/// Whether a file is in a directory that has the path of another one.
fn has_conflict(session: &mut Session, project: Uuid) -> bool {
    let paths: Vec<String> = session.list(project).into_iter().map(|(path, ..)| path).collect();
    paths.iter().any(|path| paths.iter().any(|other| other.starts_with(&format!("{path}/"))))
}

/// Where nobody saw a conflict, there is none, whatever is pruned, and after a restore.
#[test]
fn random_histories_without_conflicts_are_exported() {
    const PATHS: [&str; 6] = ["a", "a/b", "a/c", "a/c/d", "e", "e/f"];
    let db = Database::new("fast_export_directories");
    let mut admin = db.connect();
    let mut random = Random(1);
    let mut projects = Vec::new();
    for _ in 0..8 {
        let project = admin.project(Uuid::new_v4()).project;
        let mut versions = Vec::new();
        for n in 0..60 {
            admin.run("BEGIN");
            for change in 0..=random.below(4) {
                let [path, other] = [(); 2].map(|()| PATHS[random.below(PATHS.len())]);
                // What cannot be done is left out.
                admin.run("SAVEPOINT s");
                let is_done = match random.below(8) {
                    0..3 => admin.save(project, path, &format!("{n} {change}\n"), None).is_ok(),
                    3..5 => admin.delete(project, path, None).is_ok(),
                    _ => admin.rename(project, path, other, None).is_ok(),
                };
                if !is_done {
                    admin.run("ROLLBACK TO s");
                }
            }
            let is_refused = has_conflict(&mut admin, project);
            if !is_refused && random.below(6) == 0 {
                versions.push(release(&mut admin, project, json!({})));
            }
            admin.run(if is_refused { "ROLLBACK" } else { "COMMIT" });
        }
        same(&db, project);
        for keep in (0..3).rev() {
            let gone: Vec<String> = versions.iter().filter(|_| random.below(3) == 0).cloned().collect();
            let each = |call: &str| format!("SELECT versioned.{call}_project_version($1, v) FROM unnest($2::text[]) v");
            admin.rows(&each("delete"), &[&project, &gone]);
            let sql = "SELECT versioned.prune_project_history($1, p_keep_last => $2, p_dry_run => false)";
            admin.rows(sql, &[&project, &keep]);
            same(&db, project);
            admin.rows(&each("undelete"), &[&project, &gone]);
            same(&db, project);
        }
        projects.push(project);
    }
    let restored = Database::bare("fast_export_directories_restored");
    let file = dumped(&db);
    restore(&file, &restored);
    fs::remove_file(file).expect("the dump can go");
    for project in projects {
        same(&restored, project);
    }
}
