//! A move whose answer was lost, sent again.

use uuid::Uuid;

use crate::calls::{Answer, File};
use crate::invariants::{self, everything};
use crate::support::{Database, Session, refused};

struct Scene {
    db: Database,
    project: Uuid,
    mover: Session,
    other: Session,
}

/// A project with the file `a` in version 1, and two users who may save.
fn scene(test: &str) -> Scene {
    let db = Database::new(test);
    let (owner, editor, mut admin) = (Uuid::new_v4(), Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    admin.add_member(project, editor, "editor");
    let (mut mover, other) = (db.user(owner), db.user(editor));
    assert_eq!(mover.put(project, "a", "one"), 1);
    Scene { db, project, mover, other }
}

impl Scene {
    fn again(&mut self, expected: Option<i32>) -> Answer<File> {
        self.mover.rename(self.project, "a", "b", expected)
    }
}

#[test]
fn a_move_sent_twice_answers_the_same_twice() {
    let mut scene = scene("moved_twice");
    let first = scene.again(Some(1)).expect("moved");
    assert_eq!((first.version, &*first.path, first.is_current), (2, "b", true));
    let before = everything(&mut scene.db.connect());
    for _ in 0..3 {
        assert_eq!(scene.again(Some(1)), Ok(first.clone()));
    }
    // Users who did not move it are told that there is nothing to move, as are those who expect another version.
    refused(scene.other.rename(scene.project, "a", "b", Some(1)), "PT404");
    refused(scene.db.connect().rename(scene.project, "a", "b", Some(1)), "PT404");
    refused(scene.mover.rename(scene.project, "a", "b", Some(2)), "PT404");
    refused(scene.mover.rename(scene.project, "a", "c", Some(1)), "PT404");
    refused(scene.again(Some(0)), "PT404");
    refused(scene.again(None), "PT404");
    assert_eq!(everything(&mut scene.db.connect()), before);
    // Within one transaction, too.
    scene.mover.run("BEGIN");
    let third = scene.mover.rename(scene.project, "b", "c", Some(2)).expect("moved");
    assert_eq!(scene.mover.rename(scene.project, "b", "c", Some(2)), Ok(third));
    scene.mover.run("COMMIT");
    invariants::hold(&mut scene.db.connect());
}

#[test]
fn a_move_sent_again_after_others_went_on_answers_its_own_version() {
    let mut scene = scene("moved_before");
    let first = scene.again(Some(1)).expect("moved");
    assert_eq!(scene.other.put(scene.project, "b", "changed since"), 3);
    let due = File { is_current: false, ..first };
    assert_eq!(scene.again(Some(1)), Ok(due));
    assert_eq!(scene.mover.get(scene.project, "b", None).expect("there").version, 3);
    invariants::hold(&mut scene.db.connect());
}

/// A file that is at the old path by now is another one, and its version is what counts.
#[test]
fn a_move_sent_again_does_not_take_another_file_along() {
    let mut scene = scene("moved_replaced");
    let first = scene.again(Some(1)).expect("moved");
    scene.other.save(scene.project, "a", "another", Some(0)).expect("saved");
    let result = scene.again(Some(1));
    // Either it is known as the same request, or the path is taken; the new file stays where it is.
    if let Ok(file) = &result {
        assert_eq!(*file, first);
    } else {
        refused(result, "PT409");
    }
    assert_eq!(scene.mover.get(scene.project, "a", None).expect("there").content.as_deref(), Some("another"));
    assert_eq!(scene.mover.get(scene.project, "b", None).expect("there").content.as_deref(), Some("one"));
    invariants::hold(&mut scene.db.connect());
}

#[test]
fn a_move_without_expected_version_is_done_once() {
    let mut scene = scene("moved_unexpected");
    assert_eq!(scene.again(None).expect("moved").version, 2);
    refused(scene.again(None), "PT404");
    invariants::hold(&mut scene.db.connect());
}

/// A save that made version 2 is no move, whatever its path; nor is the move of another file.
#[test]
fn only_the_move_itself_is_known_again() {
    let mut scene = scene("moved_not");
    scene.mover.put(scene.project, "b", "one");
    scene.mover.put(scene.project, "b", "two");
    scene.mover.delete(scene.project, "a", Some(1)).expect("deleted");
    // `b` has a version 2 of the same actor's, but was never at `a`.
    refused(scene.again(Some(1)), "PT404");
    invariants::hold(&mut scene.db.connect());
}
