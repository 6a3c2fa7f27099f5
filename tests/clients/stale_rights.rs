//! Rights that end while a transaction goes on: from the next statement on they are gone, also in PL/pgSQL, which keeps
//! expressions from one call to the next.

use std::thread;

use uuid::Uuid;

use crate::support::{Database, Session, refused, until_waiting};

/// A lock of the tests' own, on which functions wait until the rights have changed.
const GATE: i64 = 4711;

struct Scene {
    db: Database,
    project: Uuid,
    member: Uuid,
}

/// A project with a viewer, and functions of a superuser's that ask on behalf of their callers.
fn scene(test: &str) -> Scene {
    let db = Database::new(test);
    let mut admin = db.connect();
    let (project, member) = (admin.project(Uuid::new_v4()).project, Uuid::new_v4());
    admin.put(project, "a", "one");
    admin.add_member(project, member, "viewer");
    admin.run(&format!(
        "CREATE FUNCTION public.in_a_condition(p uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             IF versioned_internal.can_read_project(p) THEN
                 RETURN true;
             END IF;
             RETURN false;
         END $$;
         CREATE FUNCTION public.returned(p uuid) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
         BEGIN
             RETURN versioned_internal.can_read_project(p);
         END $$;
         CREATE FUNCTION public.assigned(p uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
         DECLARE
             v_can boolean := versioned_internal.can_read_project(p);
         BEGIN
             RETURN v_can;
         END $$;
         CREATE FUNCTION public.invoker(p uuid) RETURNS boolean LANGUAGE plpgsql AS $$
         BEGIN
             IF versioned_internal.can_read_project(p) THEN
                 RETURN true;
             END IF;
             RETURN false;
         END $$;
         -- What is seen before and after waiting, within one statement of the client's.
         CREATE FUNCTION public.around_a_wait(p uuid) RETURNS text[] LANGUAGE plpgsql AS $$
         DECLARE
             v_seen text[];
             v_count bigint;
         BEGIN
             FOR i IN 1..4 LOOP
                 SELECT count(*) INTO v_count FROM versioned.project_file_heads WHERE project_id = p;
                 v_seen := v_seen || format('%s rows', v_count);
                 IF versioned_internal.can_read_project(p) THEN
                     v_seen := v_seen || 'readable'::text;
                 END IF;
                 IF i = 2 THEN
                     PERFORM pg_advisory_lock({GATE});
                     PERFORM pg_advisory_unlock({GATE});
                 END IF;
             END LOOP;
             RETURN v_seen;
         END $$"
    ));
    Scene { db, project, member }
}

impl Scene {
    fn remove(&self) {
        let remove = "SELECT versioned.remove_project_member($1, $2)";
        assert!(self.db.connect().value::<bool>(remove, &[&self.project, &self.member]));
    }

    fn add(&self) {
        self.db.connect().add_member(self.project, self.member, "viewer");
    }
}

#[test]
fn a_function_asked_again_in_a_transaction_answers_what_is_true_by_then() {
    let scene = scene("stale_condition");
    let mut session = scene.db.user(scene.member);
    for function in ["in_a_condition", "returned", "assigned", "invoker"] {
        let sql = format!("SELECT public.{function}($1)");
        let ask = |session: &mut Session| -> bool { session.value(&sql, &[&scene.project]) };
        session.run("BEGIN ISOLATION LEVEL READ COMMITTED");
        for n in 0..5 {
            assert!(ask(&mut session), "{function}, call {n}");
        }
        scene.remove();
        assert!(!ask(&mut session), "{function} after the removal committed");
        scene.add();
        assert!(ask(&mut session), "{function} after the member came back");
        // A savepoint more or less does not matter.
        session.run("SAVEPOINT s");
        assert!(ask(&mut session));
        scene.remove();
        assert!(!ask(&mut session), "{function} in a savepoint");
        session.run("ROLLBACK TO s");
        assert!(!ask(&mut session), "{function} after the savepoint");
        session.run("COMMIT");
        assert!(!ask(&mut session));
        scene.add();
    }
}

/// A fixed snapshot goes on showing what it shows: rights included, as it shows the rows.
#[test]
fn a_fixed_snapshot_keeps_its_rights() {
    let scene = scene("stale_fixed");
    let mut session = scene.db.user(scene.member);
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    let ask = "SELECT public.in_a_condition($1)";
    assert!(session.value::<bool>(ask, &[&scene.project]));
    scene.remove();
    assert!(session.value::<bool>(ask, &[&scene.project]));
    let rows: i64 = session.value("SELECT count(*) FROM versioned.project_file_heads", &[]);
    assert_eq!(rows, 1);
    session.run("COMMIT");
    assert!(!session.value::<bool>(ask, &[&scene.project]));
}

/// In the middle of a function, whose statements each see what has committed before them.
#[test]
fn a_function_that_waited_sees_that_the_rights_are_gone() {
    let scene = scene("stale_loop");
    let (mut admin, mut gate) = (scene.db.connect(), scene.db.connect());
    let mut session = scene.db.user(scene.member);
    let pid = session.pid;
    for transaction in ["", "BEGIN ISOLATION LEVEL READ COMMITTED"] {
        gate.run(&format!("SELECT pg_advisory_lock({GATE})"));
        let seen = thread::scope(|scope| {
            let asking = scope.spawn(|| {
                session.run(transaction);
                let seen: Vec<String> = session.value("SELECT public.around_a_wait($1)", &[&scene.project]);
                session.run("COMMIT");
                seen
            });
            until_waiting(&mut admin, pid);
            scene.remove();
            gate.run(&format!("SELECT pg_advisory_unlock({GATE})"));
            asking.join().expect("no panic")
        });
        assert_eq!(seen, ["1 rows", "readable", "1 rows", "readable", "0 rows", "0 rows"]);
        refused(session.get(scene.project, "a", None), "PT404");
        scene.add();
    }
}

/// Statements prepared before the removal, in one transaction with it.
#[test]
fn prepared_reads_see_that_the_rights_are_gone() {
    let scene = scene("stale_prepared");
    let mut session = scene.db.user(scene.member);
    session.run("SET plan_cache_mode = force_generic_plan; BEGIN");
    for table in ["project_file_heads", "project_file_versions", "project_files", "projects", "project_members"] {
        let sql = format!("SELECT count(*) FROM versioned.{table}");
        for _ in 0..3 {
            assert!(session.value::<i64>(&sql, &[]) > 0, "{table}");
        }
        scene.remove();
        assert_eq!(session.value::<i64>(&sql, &[]), 0, "{table}");
        scene.add();
    }
    session.run("COMMIT");
}
