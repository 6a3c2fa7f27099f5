//! What members of each role, and those who are none, may do with a project.

use std::collections::BTreeSet;
use std::thread;

use serde_json::json;
use uuid::Uuid;

use crate::calls::Build;
use crate::invariants::{self, everything};
use crate::support::{Database, Refusal, Session, race, refused, sessions, until_waiting};

/// Every function of a project, the role it needs, and a call: `{p}` stands for the project, `{b}` and `{s}` for its active
/// build and that one's session, `{v}` and `{d}` for a version and its build.
pub const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("atomic_upsert_project_file", "editor", "SELECT versioned.atomic_upsert_project_file('{p}', 'a', 'x', 'text')"),
    ("delete_project_file", "editor", "SELECT versioned.delete_project_file('{p}', 'a')"),
    ("move_project_file", "editor", "SELECT versioned.move_project_file('{p}', 'a', 'b')"),
    ("atomic_upsert_project_files", "editor", "SELECT versioned.atomic_upsert_project_files('{p}', '[]')"),
    ("revert_project_file", "editor", "SELECT versioned.revert_project_file('{p}', 'a', 1)"),
    ("merge_project_file", "editor", "SELECT versioned.merge_project_file('{p}', 'a', 'x', 1)"),
    ("diff_project_file", "viewer", "SELECT versioned.diff_project_file('{p}', 'a', 1)"),
    ("get_project_changes", "viewer", "SELECT versioned.get_project_changes('{p}')"),
    ("get_current_project_files", "viewer", "SELECT versioned.get_current_project_files('{p}')"),
    ("get_project_file", "viewer", "SELECT versioned.get_project_file('{p}', 'a')"),
    ("get_project_file_history", "viewer", "SELECT versioned.get_project_file_history('{p}', 'a')"),
    ("get_project_version_files", "viewer", "SELECT versioned.get_project_version_files('{p}', '{v}')"),
    ("get_project_build_files", "viewer", "SELECT versioned.get_project_build_files('{p}', '{d}')"),
    ("get_project_version_history", "viewer", "SELECT versioned.get_project_version_history('{p}')"),
    ("diff_project_versions", "viewer", "SELECT versioned.diff_project_versions('{p}', '{v}')"),
    ("restore_project_version", "editor", "SELECT versioned.restore_project_version('{p}', '{v}')"),
    ("update_version_metadata", "editor", "SELECT versioned.update_version_metadata('{p}', '{v}', '{}')"),
    ("publish_project_version", "editor", "SELECT versioned.publish_project_version('{p}', '{v}')"),
    ("unpublish_project_version", "editor", "SELECT versioned.unpublish_project_version('{p}', '{v}')"),
    ("delete_project_version", "editor", "SELECT versioned.delete_project_version('{p}', '{v}')"),
    ("undelete_project_version", "editor", "SELECT versioned.undelete_project_version('{p}', '{v}')"),
    ("get_project_fast_export", "viewer", "SELECT versioned.get_project_fast_export('{p}')"),
    ("start_project_build", "editor", "SELECT versioned.start_project_build('{p}', p_supersede => true)"),
    ("cut_project_build", "editor", "SELECT versioned.cut_project_build('{p}', '{b}')"),
    ("fail_project_build", "editor", "SELECT versioned.fail_project_build('{p}', '{b}')"),
    ("create_version_on_success", "editor", "SELECT versioned.create_version_on_success('{p}', '{b}')"),
    ("start_ai_time_tracking", "editor", "SELECT versioned.start_ai_time_tracking('{p}', '{b}')"),
    ("stop_ai_time_tracking", "editor", "SELECT versioned.stop_ai_time_tracking('{p}', '{s}')"),
    ("update_project_config", "editor", "SELECT versioned.update_project_config('{p}', '{\"k\": 1}')"),
    ("get_project_state", "viewer", "SELECT versioned.get_project_state('{p}')"),
    ("add_project_member", "owner", "SELECT versioned.add_project_member('{p}', gen_random_uuid(), 'editor')"),
    ("remove_project_member", "owner", "SELECT versioned.remove_project_member('{p}', gen_random_uuid())"),
    ("check_project_integrity", "viewer", "SELECT versioned.check_project_integrity('{p}')"),
    ("prune_project_history", "owner", "SELECT versioned.prune_project_history('{p}')"),
    ("delete_project", "owner", "SELECT versioned.delete_project('{p}')"),
];

/// Functions of a project's id that tell nothing about it, or only yes and no, and the one that answers its refusals.
const OPEN: &[&str] =
    &["project_lock_key", "file_lock_key", "can_read_project", "stored_content", "upsert_project_file"];

struct Project {
    id: Uuid,
    owner: Uuid,
    build: Build,
    version: String,
    deployed: String,
}

fn project(admin: &mut Session) -> Project {
    let owner = Uuid::new_v4();
    let first = admin.project(owner);
    admin.put(first.project, "a", "one");
    let version = admin.succeed(first.project, &first.build, json!({})).expect("it succeeds").id;
    let build = admin.start(first.project, false).expect("it starts");
    // Restoring the version has something to do.
    admin.put(first.project, "later", "x");
    Project { id: first.project, owner, build, version, deployed: first.build }
}

fn fill(call: &str, id: Uuid, project: &Project) -> String {
    call.replace("{p}", &id.to_string())
        .replace("{b}", &project.build.build)
        .replace("{s}", &project.build.session)
        .replace("{v}", &project.version)
        .replace("{d}", &project.deployed)
}

/// Runs a call and undoes it.
fn attempt(session: &mut Session, sql: &str) -> Result<(), Refusal> {
    session.run("BEGIN");
    let result = session.try_run(sql);
    session.run("ROLLBACK");
    result
}

#[test]
fn these_tests_cover_every_function_of_a_project() {
    let db = Database::new("functions");
    let found: BTreeSet<String> = db
        .connect()
        .column(
            "SELECT p.proname::text
               FROM pg_depend d
               JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
               JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
              WHERE d.deptype = 'e' AND p.proargnames && ARRAY['p_project_id', 'project_uuid']
                AND (p.proargmodes IS NULL OR p.proargmodes[1] = 'i')
                AND p.proargnames[1] IN ('p_project_id', 'project_uuid')",
            &[],
        )
        .into_iter()
        .collect();
    let known = FUNCTIONS.iter().map(|function| function.0).chain(OPEN.iter().copied()).map(str::to_owned).collect();
    assert_eq!(found, known);
}

/// A stranger gets the same answer for a project as for none, and gets it at once.
#[test]
fn strangers_cannot_tell_a_project_from_none() {
    let db = Database::new("strangers");
    let mut admin = db.connect();
    let project = project(&mut admin);
    let removed = Uuid::new_v4();
    admin.add_member(project.id, removed, "owner");
    admin.rows("SELECT versioned.remove_project_member($1, $2)", &[&project.id, &removed]);
    let login = db.own_login("stranger", Uuid::new_v4());

    // Anyone who waited for this would wait forever.
    let mut holder = db.connect();
    holder.run("BEGIN");
    holder.rows("SELECT pg_advisory_xact_lock(versioned.project_lock_key($1))", &[&project.id]);
    holder.rows("SELECT pg_advisory_xact_lock(versioned.file_lock_key($1, 'a'))", &[&project.id]);
    holder.rows("SELECT FROM versioned.projects WHERE id = $1 FOR UPDATE", &[&project.id]);

    let before = everything(&mut admin);
    for mut session in [db.user(Uuid::new_v4()), db.user(removed), db.login(&login)] {
        session.run("SET lock_timeout = '5s'");
        for (name, _, call) in FUNCTIONS {
            let [there, none] = [project.id, Uuid::new_v4()].map(|id| {
                let mut refusal = refused(attempt(&mut session, &fill(call, id, &project)), "PT404");
                assert!(refusal.message.contains(&id.to_string()), "{refusal:?} names the project");
                refusal.message = refusal.message.replace(&id.to_string(), "…");
                refusal
            });
            assert_eq!(there, none, "{name}");
        }
        let can_read = "SELECT versioned_internal.can_read_project($1)";
        assert!(!session.value::<bool>(can_read, &[&project.id]));
        assert!(!session.value::<bool>(can_read, &[&Uuid::new_v4()]));
        let ids: Vec<Uuid> = session.value("SELECT versioned_internal.readable_project_ids()", &[]);
        assert!(ids.is_empty());
    }
    holder.run("ROLLBACK");
    assert_eq!(everything(&mut admin), before);
}

/// Wrong arguments are refused alike, too: checking them first tells nothing.
#[test]
fn strangers_learn_nothing_from_wrong_arguments() {
    let db = Database::new("strangers_wrong");
    let mut admin = db.connect();
    let project = project(&mut admin);
    let mut stranger = db.user(Uuid::new_v4());
    for call in [
        "SELECT versioned.atomic_upsert_project_file('{p}', '../a', 'x', 'text')",
        "SELECT versioned.atomic_upsert_project_file('{p}', 'a', 'x', 'text', 7)",
        "SELECT versioned.atomic_upsert_project_file('{p}', 'a', 'x', 'text', -7)",
        "SELECT versioned.get_project_file('{p}', 'no such file')",
        "SELECT versioned.get_project_file('{p}', 'a', 99)",
        "SELECT versioned.get_project_file('{p}', 'a', -99)",
        "SELECT versioned.get_project_version_files('{p}', 'no such version')",
        "SELECT versioned.get_project_build_files('{p}', 'no such build')",
        "SELECT versioned.get_project_version_history('{p}', p_state => 'no such state')",
        "SELECT versioned.get_project_version_history('{p}', p_before_version_id => 'no such version')",
        "SELECT versioned.diff_project_versions('{p}', '{v}', 'no such version')",
        "SELECT versioned.restore_project_version('{p}', 'no such version')",
        "SELECT versioned.update_version_metadata('{p}', '{v}', '{\"no_such_key\": 1}')",
        "SELECT versioned.publish_project_version('{p}', 'no such version')",
        "SELECT versioned.cut_project_build('{p}', 'no such build')",
        "SELECT versioned.create_version_on_success('{p}', 'no such build')",
        "SELECT versioned.create_version_on_success('{p}', '{b}', '{\"no_such_key\": 1}')",
        "SELECT versioned.fail_project_build('{p}', 'no such build')",
        "SELECT versioned.stop_ai_time_tracking('{p}', 'no such session')",
        "SELECT versioned.add_project_member('{p}', gen_random_uuid(), 'no such role')",
        "SELECT versioned.start_project_build('{p}')",
        "SELECT versioned.update_project_config('{p}', '[]')",
        "SELECT versioned.update_project_config('{p}', '{\"k\": 1}', now())",
    ] {
        let [there, none] = [project.id, Uuid::nil()].map(|id| {
            let refusal = attempt(&mut stranger, &fill(call, id, &project)).expect_err("refused");
            assert!(["PT404", "22023"].contains(&&*refusal.code), "{refusal:?}");
            format!("{refusal:?}").replace(&id.to_string(), "…")
        });
        assert_eq!(there, none, "{call}");
    }
}

#[test]
fn every_role_may_do_what_it_says_and_no_more() {
    let db = Database::new("roles");
    let mut admin = db.connect();
    let project = project(&mut admin);
    let ranks = ["viewer", "editor", "owner"];
    for (rank, role) in ranks.into_iter().enumerate() {
        let member = Uuid::new_v4();
        admin.add_member(project.id, member, role);
        let own = db.own_login(role, member);
        for mut session in [db.user(member), db.login(&own)] {
            for (name, needed, call) in FUNCTIONS {
                let result = attempt(&mut session, &fill(call, project.id, &project));
                let needed_rank = ranks.iter().position(|rank| rank == needed).expect("a role");
                if rank >= needed_rank {
                    result.unwrap_or_else(|refusal| panic!("{role} {name}: {refusal:?}"));
                } else {
                    let refusal = refused(result, "42501");
                    let named = refusal.message.contains(&project.id.to_string()) && refusal.message.contains(needed);
                    assert!(named, "{role} {name}: {refusal:?}");
                }
            }
            assert!(session.value::<bool>("SELECT versioned_internal.can_read_project($1)", &[&project.id]));
        }
    }
    // projects.owner_id is an owner without a row that says so.
    admin.rows("DELETE FROM versioned.project_members WHERE user_id = $1", &[&project.owner]);
    let mut owner = db.user(project.owner);
    for (name, _, call) in FUNCTIONS {
        let result = attempt(&mut owner, &fill(call, project.id, &project));
        result.unwrap_or_else(|refusal| panic!("owner_id {name}: {refusal:?}"));
    }
    assert_eq!(owner.list(project.id).len(), 2);
}

#[test]
fn a_new_role_counts_at_once_in_sessions_that_go_on() {
    let db = Database::new("new_role");
    let mut admin = db.connect();
    let project = project(&mut admin).id;
    let user = Uuid::new_v4();
    let mut session = db.user(user);
    let heads = "SELECT count(*) FROM versioned.project_file_heads";
    for n in 0..6 {
        refused(session.save(project, "b", "x", None), "PT404");
        assert_eq!(session.value::<i64>(heads, &[]), 0);
        admin.add_member(project, user, "viewer");
        refused(session.save(project, "b", "x", None), "42501");
        assert!(session.value::<i64>(heads, &[]) > 0);
        admin.add_member(project, user, "editor");
        session.put(project, "b", &format!("{n}"));
        refused(session.try_rows("SELECT versioned.delete_project($1)", &[&project]), "42501");
        admin.rows("SELECT versioned.remove_project_member($1, $2)", &[&project, &user]);
    }
}

/// Runs `call` in a member's session until it waits, takes their rights, and answers what came of it.
fn while_waiting(db: &Database, project: &Project, call: &str, lock: &str, change: &str) -> Result<(), Refusal> {
    let member = Uuid::new_v4();
    let (mut admin, mut holder) = (db.connect(), db.connect());
    admin.add_member(project.id, member, "owner");
    let mut session = db.user(member);
    let pid = session.pid;
    let sql = fill(call, project.id, project);
    holder.run("BEGIN");
    holder.rows(lock, &[&project.id]);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| attempt(&mut session, &sql));
        until_waiting(&mut admin, pid);
        holder.rows(change, &[&project.id, &member]);
        holder.run("COMMIT");
        waiting.join().expect("no panic")
    })
}

#[test]
fn who_is_removed_while_they_wait_is_refused() {
    let db = Database::new("removed_waiting");
    let mut admin = db.connect();
    let project = project(&mut admin);
    let project_lock = "SELECT pg_advisory_xact_lock(versioned.project_lock_key($1))";
    let file_lock = "SELECT pg_advisory_xact_lock(versioned.file_lock_key($1, 'a'))";
    let remove = "SELECT versioned.remove_project_member($1, $2)";
    let demote = "SELECT versioned.add_project_member($1, $2, 'viewer')";
    let before = everything(&mut admin);
    for (name, needed, call) in FUNCTIONS.iter().filter(|function| function.1 != "viewer") {
        let refusal = refused(while_waiting(&db, &project, call, project_lock, remove), "PT404");
        assert!(refusal.message.contains(&project.id.to_string()), "{name}: {refusal:?}");
        let refusal = refused(while_waiting(&db, &project, call, project_lock, demote), "42501");
        assert!(refusal.message.contains(needed), "{name}: {refusal:?}");
    }
    // Also a caller that already has the project's lock and waits for the file's.
    for (_, _, call) in FUNCTIONS.iter().filter(|function| function.2.contains("'a'") && function.1 == "editor") {
        let raw_remove = "DELETE FROM versioned.project_members WHERE project_id = $1 AND user_id = $2";
        refused(while_waiting(&db, &project, call, file_lock, raw_remove), "PT404");
    }
    admin.run("DELETE FROM versioned.project_members WHERE role = 'viewer'");
    let unchanged =
        |rows: Vec<String>| rows.into_iter().filter(|row| !row.starts_with("versioned.projects ")).collect();
    let (before, after): (Vec<String>, Vec<String>) = (unchanged(before), unchanged(everything(&mut admin)));
    assert_eq!(after, before);
    invariants::hold(&mut admin);
}

#[test]
fn members_are_managed_within_the_rules() {
    let db = Database::new("manage");
    let mut admin = db.connect();
    let project = project(&mut admin);
    let (id, user) = (project.id, Uuid::new_v4());
    let mut owner = db.user(project.owner);
    let role = |admin: &mut Session| -> Vec<String> {
        admin.column("SELECT role FROM versioned.project_members WHERE project_id = $1 AND user_id = $2", &[&id, &user])
    };
    owner.add_member(id, user, "editor");
    owner.add_member(id, user, "viewer");
    assert_eq!(role(&mut admin), ["viewer"]);
    let add = "SELECT versioned.add_project_member($1, $2, $3)";
    for bad in ["", "Viewer", "admin", "owner ", "superuser"] {
        let refusal = refused(owner.try_rows(add, &[&id, &user, &bad]), "22023");
        assert!(refusal.message.contains("p_role"), "{refusal:?}");
    }
    let remove = "SELECT versioned.remove_project_member($1, $2)";
    assert!(owner.value::<bool>(remove, &[&id, &user]));
    assert!(!owner.value::<bool>(remove, &[&id, &user]), "no member any more");
    assert_eq!(role(&mut admin), [] as [&str; 0]);
    refused(owner.try_rows(remove, &[&id, &project.owner]), "22023");
    refused(owner.try_rows(add, &[&id, &project.owner, &"viewer"]), "22023");
    // Co-owners can go, the owner stays.
    owner.add_member(id, user, "owner");
    let mut second = db.user(user);
    refused(second.try_rows(remove, &[&id, &project.owner]), "22023");
    assert!(second.value::<bool>(remove, &[&id, &user]), "oneself");
    refused(second.save(id, "b", "x", None), "PT404");
    invariants::hold(&mut admin);
}

#[test]
fn racing_changes_of_members_all_succeed() {
    let db = Database::new("member_race");
    let mut admin = db.connect();
    let project = project(&mut admin).id;
    let users: Vec<Uuid> = (0..4).map(|_| Uuid::new_v4()).collect();
    race(sessions(8, || db.connect()), |n, session| {
        for k in 0..40 {
            let user = users[(n + k) % users.len()];
            if (n + k) % 3 == 0 {
                session.rows("SELECT versioned.remove_project_member($1, $2)", &[&project, &user]);
            } else {
                session.add_member(project, user, ["viewer", "editor", "owner"][k % 3]);
            }
        }
    });
    invariants::hold(&mut admin);
}
