//! One project for one intention, however often it is asked for.

use std::collections::HashSet;

use uuid::Uuid;

use crate::calls::Build;
use crate::invariants;
use crate::support::{Database, Session, race, refused, sessions, until_waiting};

const PROMPT: Option<&str> = Some("A todo app");

/// All of an owner's projects, each with its build, its session and its owner: nothing is half made.
fn whole_projects(admin: &mut Session, owner: Uuid) -> i64 {
    invariants::hold(admin);
    let counts = admin.row(
        "SELECT (SELECT count(*) FROM versioned.projects WHERE owner_id = $1),
                (SELECT count(*) FROM versioned.project_build_metrics WHERE user_id = $1 AND is_initial_build),
                (SELECT count(*) FROM versioned.project_ai_time_sessions WHERE user_id = $1),
                (SELECT count(*) FROM versioned.project_members WHERE user_id = $1 AND role = 'owner')",
        &[&owner],
    );
    let counts: [i64; 4] = [counts.get(0), counts.get(1), counts.get(2), counts.get(3)];
    assert_eq!(counts, [counts[0]; 4], "projects, builds, sessions, owners");
    counts[0]
}

fn same(builds: &[Build]) -> bool {
    builds.iter().all(|build| Build { created: true, ..build.clone() } == Build { created: true, ..builds[0].clone() })
}

#[test]
fn racing_calls_with_one_key_make_one_project() {
    let db = Database::new("same_key");
    let mut admin = db.connect();
    for round in 0..10 {
        let owner = Uuid::new_v4();
        let key = format!("key {round} 'quoted' \"too\" 😀");
        let builds =
            race(sessions(16, || db.connect()), |_, session| session.create(owner, PROMPT, "Todo", Some(&key)));
        let builds: Vec<Build> = builds.into_iter().map(|build| build.expect("every call succeeds")).collect();
        assert!(same(&builds), "{builds:?}");
        assert_eq!(builds.iter().filter(|build| build.created).count(), 1);
        assert_eq!(whole_projects(&mut admin, owner), 1);
    }
}

#[test]
fn racing_double_clicks_make_one_project() {
    let db = Database::new("double_click");
    let mut admin = db.connect();
    // Long enough for a slow machine.
    admin.run(&format!("ALTER DATABASE {} SET pg_versioned.double_click_window = '60s'", db.name));
    for _ in 0..10 {
        let owner = Uuid::new_v4();
        let builds = race(sessions(16, || db.connect()), |_, session| session.create(owner, PROMPT, "Todo", None));
        let builds: Vec<Build> = builds.into_iter().map(|build| build.expect("every call succeeds")).collect();
        assert!(same(&builds), "{builds:?}");
        assert_eq!(builds.iter().filter(|build| build.created).count(), 1);
        assert_eq!(whole_projects(&mut admin, owner), 1);
    }
}

#[test]
fn what_is_no_double_click_makes_projects() {
    let db = Database::new("no_double_click");
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let create = |session: &mut Session, prompt, name, key| {
        let build = session.create(owner, prompt, name, key).expect("made");
        assert!(build.created);
        build.project
    };
    let mut made = HashSet::from([create(&mut admin, PROMPT, "Todo", None)]);
    // Other arguments, other keys, no prompt at all.
    made.insert(create(&mut admin, Some("A todo app!"), "Todo", None));
    made.insert(create(&mut admin, PROMPT, "Todo 2", None));
    made.insert(create(&mut admin, PROMPT, "Todo", Some("one")));
    made.insert(create(&mut admin, PROMPT, "Todo", Some("two")));
    made.insert(create(&mut admin, None, "Todo", None));
    made.insert(create(&mut admin, None, "Todo", None));
    assert_eq!(made.len(), 7);
    // Another owner.
    let other = admin.create(Uuid::new_v4(), PROMPT, "Todo", None).expect("made");
    assert!(other.created && !made.contains(&other.project));
    // The same transaction means it twice.
    let (mut session, owner) = (db.connect(), Uuid::new_v4());
    session.run("BEGIN");
    let first = session.create(owner, PROMPT, "Todo", None).expect("made");
    let second = session.create(owner, PROMPT, "Todo", None).expect("made");
    session.run("COMMIT");
    assert!(first.created && second.created && first.project != second.project);
    // Turned off.
    session.run("SET pg_versioned.double_click_window = 0");
    assert!(session.create(owner, PROMPT, "Todo", None).expect("made").created);
    assert_eq!(whole_projects(&mut admin, owner), 3);
}

#[test]
fn racing_calls_without_a_prompt_or_with_different_keys_make_as_many_projects() {
    let db = Database::new("many_projects");
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let builds = race(sessions(16, || db.connect()), |n, session| {
        let key = (n % 2 == 0).then(|| n.to_string());
        session.create(owner, None, "Todo", key.as_deref()).expect("made")
    });
    assert!(builds.iter().all(|build| build.created));
    assert_eq!(builds.iter().map(|build| build.project).collect::<HashSet<_>>().len(), 16);
    assert_eq!(whole_projects(&mut admin, owner), 16);
}

#[test]
fn a_key_used_again_with_other_arguments_is_refused() {
    let db = Database::new("key_reuse");
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let first = admin.create(owner, PROMPT, "Todo", Some("k")).expect("made");
    for (prompt, name) in [(None, "Todo"), (Some(""), "Todo"), (Some("Another"), "Todo"), (PROMPT, "Other")] {
        let refusal = refused(admin.create(owner, prompt, name, Some("k")), "22023");
        assert!(refusal.message.contains("\"k\""), "{refusal:?}");
    }
    let other_framework = "SELECT versioned.create_complete_project($1, 'vue', 'A todo app', 'Todo', 'k')";
    refused(admin.try_rows(other_framework, &[&owner]), "22023");
    let again = admin.create(owner, PROMPT, "Todo", Some("k")).expect("the first one's answer");
    assert!(!again.created && same(&[first, again]));
    // A key is its owner's.
    let other = admin.create(Uuid::new_v4(), Some("Another"), "Todo", Some("k")).expect("made");
    assert!(other.created);
    // No key can pretend to be the extension's own memory.
    refused(admin.create(owner, PROMPT, "Todo", Some("double-click:x")), "22023");
    assert_eq!(whole_projects(&mut admin, owner), 1);
}

#[test]
fn arguments_that_only_look_alike_when_joined_are_different() {
    let db = Database::new("key_hash");
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let names = ["a\",\"b", "a", "b\",\"a", "a\\", "null"];
    let made: HashSet<Uuid> = names
        .iter()
        .flat_map(|name| [Some("b"), Some("b\",\"a"), Some("null"), Some("[\"a\"")].map(|prompt| (*name, prompt)))
        .map(|(name, prompt)| admin.create(owner, prompt, name, None).expect("made").project)
        .collect();
    assert_eq!(made.len(), names.len() * 4);
}

#[test]
fn a_deleted_project_is_never_returned() {
    let db = Database::new("deleted_project");
    let mut admin = db.connect();
    admin.run(&format!("ALTER DATABASE {} SET pg_versioned.double_click_window = '60s'", db.name));
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let mut seen = HashSet::new();
    for round in 0..20 {
        let key = (round % 2 == 0).then_some("k");
        let builds = race(sessions(6, || db.connect()), |_, session| {
            session.create(owner, PROMPT, "Todo", key).expect("every call succeeds")
        });
        assert!(same(&builds), "{builds:?}");
        assert!(seen.insert(builds[0].project), "round {round} got a project of an earlier one");
        let gone: bool = admin.value("SELECT versioned.delete_project($1)", &[&builds[0].project]);
        assert!(gone);
    }
    assert_eq!(whole_projects(&mut admin, owner), 0);
}

#[test]
fn the_second_click_makes_the_project_when_the_first_one_is_rolled_back() {
    let db = Database::new("rolled_back_click");
    let (mut first, mut second, mut admin) = (db.connect(), db.connect(), db.connect());
    for key in [None, Some("k")] {
        let owner = Uuid::new_v4();
        first.run("BEGIN");
        let lost = first.create(owner, PROMPT, "Todo", key).expect("made");
        let pid = second.pid;
        let made = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| second.create(owner, PROMPT, "Todo", key));
            until_waiting(&mut admin, pid);
            first.run("ROLLBACK");
            waiting.join().expect("no panic").expect("made")
        });
        assert!(made.created && made.project != lost.project);
        assert_eq!(whole_projects(&mut admin, owner), 1);
    }
}

/// However long the second click had to wait for the first one.
#[test]
fn a_click_that_waited_counts_from_when_it_came() {
    let db = Database::new("waiting_click");
    let (mut first, mut second, mut admin) = (db.connect(), db.connect(), db.connect());
    second.run("SET pg_versioned.double_click_window = '500ms'");
    let owner = Uuid::new_v4();
    first.run("BEGIN");
    let made = first.create(owner, PROMPT, "Todo", None).expect("made");
    let pid = second.pid;
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| second.create(owner, PROMPT, "Todo", None).expect("answered"));
        until_waiting(&mut admin, pid);
        // The wait outlasts the window.
        admin.run("DO $$ BEGIN PERFORM pg_sleep(0.7); END $$");
        first.run("COMMIT");
        waiting.join().expect("no panic")
    });
    // Unless this machine took longer than the window to get the second call going.
    if !answer.created {
        assert!(same(&[made, answer]));
        assert_eq!(whole_projects(&mut admin, owner), 1);
    }
}

#[test]
fn under_fixed_snapshots_a_second_project_is_refused_not_made() {
    let db = Database::new("creation_rr");
    let mut admin = db.connect();
    for isolation in ["repeatable read", "serializable"] {
        for key in [None, Some("k")] {
            let owner = Uuid::new_v4();
            let open = || {
                let mut session = db.connect();
                session.run(&format!("SET default_transaction_isolation = '{isolation}'"));
                session
            };
            let answers = race(sessions(12, open), |_, session| session.create(owner, PROMPT, "Todo", key));
            let (made, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
            let made: Vec<Build> = made.into_iter().flatten().collect();
            assert!(!made.is_empty() && same(&made), "{made:?}");
            for refusal in lost {
                refused(refusal, "40001");
            }
            assert_eq!(whole_projects(&mut admin, owner), 1);
        }
    }
}
