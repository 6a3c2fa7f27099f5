//! Merges of concurrent edits, and differences between versions.

use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::support::{Database, Random, Refusal, Session, race, refused, sessions};

/// version, merged, has_conflicts, content
type Merged = (i32, bool, bool, String);

fn merge(session: &mut Session, project: Uuid, path: &str, content: &str, base: i32) -> Result<Merged, Refusal> {
    let sql = "SELECT version, merged, has_conflicts, content FROM versioned.merge_project_file($1, $2, $3, $4)";
    let row = session.try_row(sql, &[&project, &path, &content, &base])?;
    Ok((row.get(0), row.get(1), row.get(2), row.get(3)))
}

#[test]
fn edits_of_different_places_come_together() {
    let db = Database::new("merge");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    let base = "one\ntwo\nthree\nfour\nfive\n";
    assert_eq!(merge(&mut session, project, "a", base, 0), Ok((1, false, false, base.into())), "a new file");
    let theirs = base.replace("two", "TWO");
    assert_eq!(merge(&mut session, project, "a", &theirs, 1), Ok((2, false, false, theirs.clone())), "nobody else's");
    let mine = base.replace("five", "FIVE");
    let both = theirs.replace("five", "FIVE");
    assert_eq!(merge(&mut session, project, "a", &mine, 1), Ok((3, true, false, both.clone())));
    assert_eq!(session.get(project, "a", None).expect("saved").content.as_ref(), Some(&both));
    // Tried again, it is there already.
    assert_eq!(merge(&mut session, project, "a", &mine, 1), Ok((3, true, false, both.clone())));
    assert_eq!(session.get(project, "a", None).expect("saved").version, 3);
    // The type stays, or is what was asked for.
    let kind = "SELECT file_type FROM versioned.project_files WHERE file_path = 'a' AND is_current_version";
    assert_eq!(session.value::<String>(kind, &[]), "text");
    session.rows("SELECT versioned.merge_project_file($1, 'a', $2, 3, 'markdown')", &[&project, &both]);
    assert_eq!(session.value::<String>(kind, &[]), "markdown");
    invariants::hold(&mut session);
}

#[test]
fn conflicts_are_shown_and_nothing_is_saved() {
    let db = Database::new("merge_conflict");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    session.put(project, "a", "one\ntwo\nthree\n");
    session.put(project, "a", "one\n2\nthree\n");
    let before = everything(&mut session);
    let merged = merge(&mut session, project, "a", "one\nTWO\nthree\n", 1).expect("shown");
    let text =
        "one\n<<<<<<< current (version 2)\n2\n||||||| base (version 1)\ntwo\n=======\nTWO\n>>>>>>> yours\nthree\n";
    assert_eq!(merged, (2, false, true, text.into()));
    // Two who made the same file.
    let (version, merged, has_conflicts, _) = merge(&mut session, project, "a", "mine\n", 0).expect("shown");
    assert_eq!((version, merged, has_conflicts), (2, false, true));
    refused(merge(&mut session, project, "a", "x", 9), "PT404");
    refused(merge(&mut session, project, "none", "x", 1), "PT404");
    refused(merge(&mut session, project, "a", "x", -1), "22023");
    assert_eq!(everything(&mut session), before);
    // Resolved onto the version it was shown with.
    assert_eq!(merge(&mut session, project, "a", "one\n2 TWO\nthree\n", 2).expect("saved").0, 3);
    // What others deleted is no text to merge with.
    session.delete(project, "a", None).expect("deleted");
    let refusal = refused(merge(&mut session, project, "a", "x\n", 3), "PT409");
    assert_eq!(refusal.json()["current"], 4);
    assert_eq!(merge(&mut session, project, "a", "x\n", 0).expect("made again").0, 5);
    refused(merge(&mut session, project, "a", "y\n", 4), "22023");
    invariants::hold(&mut session);
}

#[test]
fn a_merge_too_large_to_save_is_refused() {
    let db = Database::new("merge_large");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    session.run("SET pg_versioned.max_file_size = 100");
    let middle = "middle\n".repeat(5);
    session.put(project, "a", &middle);
    session.put(project, "a", &format!("{}{middle}", "a\n".repeat(25)));
    refused(merge(&mut session, project, "a", &format!("{middle}{}", "b\n".repeat(25)), 1), "22023");
    assert_eq!(session.get(project, "a", None).expect("there").version, 2);
}

/// Writers who each edit lines of their own, from whatever version they saw last: every edit ends up in the file.
#[test]
fn no_edit_is_lost_between_writers_who_merge() {
    const WRITERS: usize = 6;
    const EDITS: usize = 15;
    let db = Database::new("merge_race");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    // Lines between them that nobody edits keep their edits apart.
    let base: String = (0..WRITERS).map(|who| format!("writer {who}: 0\nquiet\nquiet {who}\nquiet\n")).collect();
    admin.put(project, "a", &base);
    race(sessions(WRITERS, || db.connect()), |who, session| {
        let mut random = Random(who as u64);
        let (mut version, mut text) = (1, base.clone());
        for n in 1..=EDITS {
            let edited = text.replace(&format!("writer {who}: {}\n", n - 1), &format!("writer {who}: {n}\n"));
            assert_ne!(edited, text, "its own line is as it left it");
            let (saved, _, has_conflicts, merged) = merge(session, project, "a", &edited, version).expect("merged");
            assert!(!has_conflicts && saved > version, "{merged}");
            // Sometimes it does not look at what came back.
            (version, text) = if random.below(3) == 0 {
                let read = session.get(project, "a", Some(saved)).expect("there");
                (saved, read.content.expect("a text"))
            } else {
                (saved, merged)
            };
        }
    });
    let last = admin.get(project, "a", None).expect("there");
    assert_eq!(last.version as usize, WRITERS * EDITS + 1);
    let due = (0..WRITERS)
        .fold(base, |text, who| text.replace(&format!("writer {who}: 0\n"), &format!("writer {who}: {EDITS}\n")));
    assert_eq!(last.content, Some(due));
    invariants::hold(&mut admin);
}

#[test]
fn differences_show_paths_and_deletions() {
    const DIFF: &str = "SELECT versioned.diff_project_file($1, $2, $3, $4)";
    let db = Database::new("diff");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    session.put(project, "a", "one\ntwo\n");
    session.put(project, "a", "one\n2\n");
    session.rename(project, "a", "b c", None).expect("moved");
    session.delete(project, "b c", None).expect("deleted");
    let mut diff = |from: i32, to: Option<i32>| session.try_value::<String>(DIFF, &[&project, &"b c", &from, &to]);
    let change = "@@ -1,2 +1,2 @@\n one\n-two\n+2\n";
    assert_eq!(diff(1, Some(2)), Ok(format!("diff --git a/a b/a\n--- a/a\n+++ b/a\n{change}")));
    assert_eq!(
        diff(1, Some(3)),
        Ok(format!("diff --git a/a b/b c\nrename from a\nrename to b c\n--- a/a\n+++ b/b c\t\n{change}"))
    );
    assert_eq!(diff(2, Some(3)), Ok("diff --git a/a b/b c\nrename from a\nrename to b c\n".into()));
    let removed =
        "diff --git a/b c b/b c\ndeleted file mode 100644\n--- a/b c\t\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-one\n-2\n";
    assert_eq!(diff(3, None), Ok(removed.into()));
    assert_eq!(diff(2, Some(2)), Ok(String::new()));
    assert_eq!(diff(4, None), Ok(String::new()));
    for (from, to, code) in [(0, None, "22023"), (1, Some(0), "22023"), (9, None, "PT404"), (1, Some(9), "PT404")] {
        refused(diff(from, to), code);
    }
    refused(session.try_value::<String>(DIFF, &[&project, &"none", &1, &None::<i32>]), "PT404");
}
