//! Who a session acts for, and what it cannot pretend to be.

use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::support::{Database, Refusal, Session, refused};

const VICTIM: Uuid = Uuid::from_u128(0x0190_a1b2_c3d4_7e5f_8a6b_7c8d_9e0f_1a2b);
const MYSELF: Uuid = Uuid::from_u128(0x0190_a1b2_c3d4_7e5f_8a6b_7c8d_9e0f_0000);

fn actor(session: &mut Session) -> Option<Uuid> {
    session.value("SELECT versioned.current_actor()", &[])
}

/// A project of the victim with one file.
fn victims_project(db: &Database) -> Uuid {
    let mut admin = db.connect();
    let project = admin.project(VICTIM).project;
    admin.put(project, "a", "the victim's");
    project
}

/// Asserts that a session without an actor can do and see nothing.
#[track_caller]
fn is_nobody(session: &mut Session, project: Uuid, why: &str) {
    assert_eq!(actor(session), None, "{why}");
    let calls = [
        "SELECT versioned.atomic_upsert_project_file($1, 'a', 'forged', 'text')",
        "SELECT versioned.delete_project_file($1, 'a')",
        "SELECT versioned.delete_project($1)",
        "SELECT versioned.add_project_member($1, gen_random_uuid(), 'owner')",
        "SELECT versioned.get_project_file($1, 'a')",
        "SELECT versioned.get_current_project_files($1)",
        "SELECT versioned.create_complete_project($1)",
    ];
    for call in calls {
        let refusal = refused(session.try_rows(call, &[&project]), "42501");
        assert_eq!(refusal.message, "not signed in", "{why}: {call}");
    }
    refused(session.try_rows("SELECT versioned.create_complete_project()", &[]), "42501");
    let seen: i64 = session.value(
        "SELECT (SELECT count(*) FROM versioned.projects) + (SELECT count(*) FROM versioned.project_files)
              + (SELECT count(*) FROM versioned.project_members) + (SELECT count(*) FROM versioned.project_file_heads)
              + cardinality(versioned_internal.readable_project_ids()) + versioned_internal.can_read_project($1)::int",
        &[&project],
    );
    assert_eq!(seen, 0, "{why}");
}

#[test]
fn claims_of_a_login_that_is_not_trusted_count_for_nothing() {
    let db = Database::new("forged_claims");
    let project = victims_project(&db);
    let login = db.role("app", "LOGIN");
    // A member of authenticator is not authenticator.
    let insider = db.role("insider", "LOGIN IN ROLE authenticator");
    let mut admin = db.connect();
    admin.run(&format!("SELECT versioned.grant_versioned_access('{login}')"));
    let before = everything(&mut admin);
    for (role, set_role) in [
        (&login, "SELECT"),
        (&insider, "SET ROLE authenticated"),
        (&insider, "SET ROLE authenticator; SET ROLE authenticated"),
    ] {
        for set in [
            format!("SET request.jwt.claims = '{{\"sub\": \"{VICTIM}\"}}'"),
            format!("SET request.jwt.claim.sub = '{VICTIM}'"),
            format!("SET request.jwt.claims = '{{\"sub\": \"{VICTIM}\", \"role\": \"service_role\"}}'"),
        ] {
            let mut session = db.login(role);
            session.run(&set);
            session.run(set_role);
            is_nobody(&mut session, project, &format!("{role}: {set_role}: {set}"));
            session.run("BEGIN");
            session.run(&set.replace("SET ", "SET LOCAL "));
            assert_eq!(actor(&mut session), None);
        }
        // Nor from the startup packet.
        let mut session = db.login_with(role, &format!("-c request.jwt.claim.sub={VICTIM}"));
        session.run(set_role);
        is_nobody(&mut session, project, role);
    }
    assert_eq!(everything(&mut admin), before);
}

#[test]
fn postgrest_acts_for_the_user_of_each_request() {
    let db = Database::new("postgrest");
    let project = victims_project(&db);
    let mut session = db.login("authenticator");
    // What PostgREST sends around a call.
    let request = |session: &mut Session, role: &str, claims: &str, call: &str| {
        session.run("BEGIN");
        session.run(&format!("SET LOCAL ROLE {role}"));
        session.rows("SELECT set_config('request.jwt.claims', $1, true)", &[&claims]);
        let result = session.try_rows(call, &[&project]);
        session.run("COMMIT");
        result
    };
    let save = "SELECT (versioned.atomic_upsert_project_file($1, 'b', current_user::text, 'text')).created_by";
    let victim = format!("{{\"sub\": \"{VICTIM}\", \"role\": \"authenticated\"}}");
    let stranger = format!("{{\"sub\": \"{MYSELF}\", \"role\": \"authenticated\"}}");

    let saved = request(&mut session, "authenticated", &victim, save).expect("the owner saves");
    assert_eq!(saved[0].get::<_, Option<Uuid>>(0), Some(VICTIM));
    refused(request(&mut session, "authenticated", &stranger, save), "PT404");
    refused(request(&mut session, "anon", &victim, save), "42501");
    refused(request(&mut session, "authenticated", "", save), "42501");
    let saved = request(&mut session, "service_role", "", save).expect("service_role is privileged");
    assert_eq!(saved[0].get::<_, Option<Uuid>>(0), None);
    let saved = request(&mut session, "service_role", &stranger, save).expect("nothing changes");
    assert_eq!(saved[0].get::<_, Option<Uuid>>(0), None, "equal content is no save");
    // Between requests, nobody.
    session.run("SET ROLE authenticated");
    is_nobody(&mut session, project, "after the request");
    // The older form of claims.
    session.run(&format!("SET request.jwt.claim.sub = '{VICTIM}'"));
    assert_eq!(actor(&mut session), Some(VICTIM));
    // The newer one wins.
    session.run(&format!("SET request.jwt.claims = '{stranger}'"));
    assert_eq!(actor(&mut session), Some(MYSELF));
}

#[test]
fn claims_that_name_no_user_are_nobodys() {
    let db = Database::new("odd_claims");
    let project = victims_project(&db);
    let mut session = db.login("authenticator");
    session.run("SET ROLE authenticated");
    let id = VICTIM.to_string();
    for claims in [
        "".to_owned(),
        " ".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        format!("\"{id}\""),
        id.clone(),
        "{\"sub\": null}".to_owned(),
        "{\"sub\": 1}".to_owned(),
        "{\"sub\": \"\"}".to_owned(),
        "{\"sub\": \"auth0|123\"}".to_owned(),
        format!("{{\"sub\": [\"{id}\"]}}"),
        format!("{{\"sub\": {{\"sub\": \"{id}\"}}}}"),
        format!("{{\"SUB\": \"{id}\"}}"),
        format!("{{\"sub\": \"{{{id}}}\"}}"),
        format!("{{\"sub\": \" {id}\"}}"),
        format!("{{\"sub\": \"{id} \"}}"),
        format!("{{\"sub\": \"{id}0\"}}"),
        format!("{{\"sub\": \"{}\"}}", id.replace('-', "")),
        format!("{{\"sub\": \"{}\"}}", id.replace('0', "+")),
        format!("{{\"sub\": \"{id}\""),
        format!("{{\"sub\": \"{id}\"}} x"),
        format!("{{\"sub\": \"{id}\", \"sub\": \"{MYSELF}\"}}"),
        format!("[\"{id}\"]"),
        "[".repeat(10_000),
        "{\"sub\":".repeat(10_000),
    ] {
        session.rows("SELECT set_config('request.jwt.claims', $1, false)", &[&claims]);
        is_nobody(&mut session, project, &claims[..claims.len().min(80)]);
    }
    // Case is no matter in a uuid.
    session.run(&format!("SET request.jwt.claims = '{{\"sub\": \"{}\", \"x\": [1e999]}}'", id.to_uppercase()));
    // (A claim that is no JSON number of this machine's may make the claims unreadable, never another's.)
    assert!([None, Some(VICTIM)].contains(&actor(&mut session)));
    session.run(&format!("SET request.jwt.claims = '{{\"sub\": \"{}\"}}'", id.to_uppercase()));
    assert_eq!(actor(&mut session), Some(VICTIM));
}

#[test]
fn a_login_of_its_own_acts_for_the_actor_a_superuser_gave_it() {
    let db = Database::new("own_login");
    let login = db.own_login("worker", MYSELF);
    let mut session = db.login(&login);
    assert_eq!(actor(&mut session), Some(MYSELF));
    let build: Uuid = session.value("SELECT project_id FROM versioned.create_complete_project()", &[]);
    let saved = session.save(build, "a", "mine", None).expect("it owns the project");
    assert_eq!(saved.created_by, Some(MYSELF));
    assert_eq!(session.list(build).len(), 1);
    // Claims are not for it to make.
    session.claim(VICTIM);
    assert_eq!(actor(&mut session), Some(MYSELF));
    let refusal = refused(session.create(VICTIM, None, "for another", None), "42501");
    assert!(refusal.message.contains("p_user_id"), "{refusal:?}");
    // Whatever else it becomes by SET ROLE is still that login.
    let group = db.role("group", "");
    db.connect().run(&format!("GRANT {group} TO {login}; SELECT versioned.grant_versioned_access('{group}')"));
    session.run(&format!("SET ROLE {group}"));
    assert_eq!(actor(&mut session), Some(MYSELF));
    let mut admin = db.connect();
    invariants::hold(&mut admin);
    // A value that is no uuid is nobody.
    admin.run(&format!("ALTER ROLE {login} SET pg_versioned.actor_id = 'me'"));
    let mut session = db.login(&login);
    is_nobody(&mut session, build, "actor_id = me");
}

/// What a login may try to become somebody else by `pg_versioned.actor_id`; `$` stands for the victim.
const FORGERIES: &[&str] = &[
    "SET pg_versioned.actor_id = '$'",
    "SET SESSION pg_versioned.actor_id = '$'",
    "SELECT set_config('pg_versioned.actor_id', '$', false)",
    "BEGIN; SET LOCAL pg_versioned.actor_id = '$'",
    "BEGIN; SAVEPOINT s; SET pg_versioned.actor_id = '$'; RELEASE s",
    "BEGIN; SET pg_versioned.actor_id = '$'; SAVEPOINT s; SET LOCAL pg_versioned.actor_id = '$'",
    "DO $x$ BEGIN PERFORM set_config('pg_versioned.actor_id', '$', true); END $x$",
    "CREATE FUNCTION pg_temp.f() RETURNS uuid LANGUAGE sql SET pg_versioned.actor_id = '$'
         AS 'SELECT versioned.current_actor()'",
    "UPDATE pg_settings SET setting = '$' WHERE name = 'pg_versioned.actor_id'",
    "SET \"PG_VERSIONED.ACTOR_ID\" = '$'",
    "ALTER ROLE CURRENT_USER SET pg_versioned.actor_id = '$'",
    "ALTER ROLE ALL SET pg_versioned.actor_id = '$'",
    "RESET pg_versioned.actor_id",
    "RESET ALL",
    "DISCARD ALL",
    "SET pg_versioned.claim_roles = CURRENT_USER; SET request.jwt.claims = '{\"sub\": \"$\"}'",
    "SET SESSION AUTHORIZATION postgres",
    "SET ROLE service_role",
];

#[test]
fn a_login_cannot_set_its_actor_itself() {
    let db = Database::new("forged_actor");
    let project = victims_project(&db);
    let login = db.own_login("worker", MYSELF);
    db.connect().run(&format!("GRANT TEMPORARY ON DATABASE {} TO {login}", db.name));
    let before = everything(&mut db.connect());
    for forgery in FORGERIES {
        let sql = forgery.replace('$', &VICTIM.to_string()).replace(&format!("{VICTIM}x{VICTIM}"), "$x$");
        for load_first in [false, true] {
            let mut session = db.login(&login);
            if load_first {
                assert_eq!(actor(&mut session), Some(MYSELF));
            }
            if session.try_run(&sql).is_err() {
                session.run("ROLLBACK");
            }
            session.forget();
            let known: Result<Option<Uuid>, Refusal> = session.try_value("SELECT versioned.current_actor()", &[]);
            assert_eq!(known, Ok(Some(MYSELF)), "{sql} (library loaded before: {load_first})");
            refused(session.save(project, "a", "forged", None), "PT404");
            session.run("ROLLBACK");
            assert_eq!(actor(&mut session), Some(MYSELF), "after {sql}");
            // What the attempt left behind works no better in the next session.
            assert_eq!(actor(&mut db.login(&login)), Some(MYSELF), "after {sql}");
        }
    }
    // A function of his own that would be run with the setting.
    for load_first in [false, true] {
        let mut session = db.login(&login);
        if load_first {
            assert_eq!(actor(&mut session), Some(MYSELF));
        }
        let function = format!(
            "CREATE FUNCTION pg_temp.me() RETURNS uuid LANGUAGE sql SET pg_versioned.actor_id = '{VICTIM}'
                 AS 'SELECT versioned.current_actor()'"
        );
        refused(session.try_run(&function), "42501");
    }
    // From the startup packet, where the setting is not known yet.
    for option in ["-c pg_versioned.actor_id=$", "--pg_versioned.actor_id=$", "-c PG_VERSIONED.ACTOR_ID=$"] {
        let mut session = db.login_with(&login, &option.replace('$', &VICTIM.to_string()));
        assert_ne!(actor(&mut session), Some(VICTIM), "{option}");
        let result = session.save(project, "a", "forged", None).map_err(|refusal| refusal.code);
        assert!(result.is_err_and(|code| ["PT404", "42501"].contains(&&*code)), "{option}");
    }
    assert_eq!(everything(&mut db.connect()), before);
}

/// Who owns the database, or makes roles, may set much for others, but not who they are.
#[test]
fn owners_of_databases_and_roles_cannot_set_actors() {
    let db = Database::new("role_makers");
    let project = victims_project(&db);
    let login = db.own_login("dba", MYSELF);
    let other = db.own_login("other", MYSELF);
    db.connect().run(&format!("ALTER DATABASE {} OWNER TO {login}; ALTER ROLE {login} CREATEROLE", db.name));
    for load_first in [false, true] {
        for sql in [
            format!("ALTER DATABASE {} SET pg_versioned.actor_id = '{VICTIM}'", db.name),
            format!("ALTER ROLE {other} SET pg_versioned.actor_id = '{VICTIM}'"),
            format!("ALTER ROLE {login} IN DATABASE {} SET pg_versioned.actor_id = '{VICTIM}'", db.name),
            format!("ALTER DATABASE {} SET pg_versioned.claim_roles = '{login}'", db.name),
            format!("ALTER ROLE {other} SET pg_versioned.claim_roles = '{other}'"),
            "ALTER ROLE ALL SET pg_versioned.max_file_size = 1".to_owned(),
            format!("ALTER ROLE {other} BYPASSRLS"),
            "ALTER SYSTEM SET pg_versioned.claim_roles = ''".to_owned(),
        ] {
            let mut session = db.login(&login);
            if load_first {
                assert_eq!(actor(&mut session), Some(MYSELF));
            }
            refused(session.try_run(&sql), "42501");
        }
        let mut session = db.login(&other);
        session.claim(VICTIM);
        assert_eq!(actor(&mut session), Some(MYSELF));
        refused(session.save(project, "a", "forged", None), "PT404");
    }
}

/// As dashboards do to show what a user sees.
#[test]
fn a_superuser_can_be_a_user_for_a_while() {
    let db = Database::new("impersonation");
    let project = victims_project(&db);
    let mut session = db.connect();
    session.run("SET ROLE authenticated");
    is_nobody(&mut session, project, "a superuser as authenticated");
    session.claim(MYSELF);
    refused(session.save(project, "a", "x", None), "PT404");
    assert!(session.rows("SELECT FROM versioned.projects", &[]).is_empty());
    session.claim(VICTIM);
    assert_eq!(session.save(project, "a", "x", None).expect("saved").created_by, Some(VICTIM));
    session.run("RESET ROLE");
    session.claim(MYSELF);
    let saved = session.save(project, "a", "as superuser", None).expect("privileged again");
    assert_eq!(saved.created_by, Some(MYSELF), "on behalf of the user he names");
}

#[test]
fn only_superusers_change_settings() {
    let db = Database::new("settings");
    let login = db.own_login("worker", MYSELF);
    let mut admin = db.connect();
    admin.run("LOAD 'pg_versioned'");
    let settings: Vec<String> = admin.column("SELECT name FROM pg_settings WHERE name LIKE 'pg_versioned.%'", &[]);
    assert!(settings.len() >= 6, "{settings:?}");
    let value = |session: &mut Session, setting: &str| -> String {
        session.rows("SELECT versioned.current_actor()", &[]);
        session.value("SELECT current_setting($1)", &[&setting])
    };
    for setting in settings {
        let is_enum = setting.ends_with("notify");
        let mut untouched = db.login(&login);
        let original = value(&mut untouched, &setting);
        let other = if is_enum { "off" } else { "1" };
        refused(untouched.try_run(&format!("SET {setting} = '{other}'")), "42501");
        refused(untouched.try_run(&format!("ALTER ROLE CURRENT_USER SET {setting} = '{other}'")), "42501");
        // Before the library is loaded, the setting can be made up; that must not count.
        let mut session = db.login(&login);
        session.run(&format!("SET {setting} = '{other}'"));
        assert_eq!(value(&mut session, &setting), original, "{setting}");
        admin.run(&format!("SET {setting} = '{other}'"));
    }
}

/// A limit that was set for a role holds for it. (A client that asks for another as it connects falls back to the server's
/// default where the library is not preloaded: Postgres keeps only the last value of a setting it does not know yet.)
#[test]
fn limits_set_for_a_role_hold() {
    let db = Database::new("role_limits");
    let login = db.own_login("worker", MYSELF);
    db.connect().run(&format!("ALTER ROLE {login} SET pg_versioned.max_file_size = 10"));
    let mut session = db.login(&login);
    let project: Uuid = session.value("SELECT project_id FROM versioned.create_complete_project()", &[]);
    refused(session.save(project, "a", "eleven bytes", None), "22023");
}

#[test]
fn nobody_creates_projects_for_others_but_the_privileged() {
    let db = Database::new("for_others");
    let mut admin = db.connect();
    let mut user = db.user(MYSELF);
    for key in [None, Some("k")] {
        refused(user.create(VICTIM, Some("x"), "theirs", key), "42501");
    }
    let mine = user.create(MYSELF, Some("x"), "mine", Some("k")).expect("made");
    let same: Uuid =
        user.value("SELECT project_id FROM versioned.create_complete_project(NULL, 'react', 'x', 'mine', 'k')", &[]);
    assert_eq!(same, mine.project, "NULL is the signed-in user");
    let theirs = admin.create(VICTIM, Some("x"), "theirs", Some("k")).expect("made");
    assert!(theirs.created);
    refused(admin.try_rows("SELECT versioned.create_complete_project()", &[]), "22023");
    let owners: i64 = admin.value("SELECT count(*) FROM versioned.projects WHERE owner_id = $1", &[&VICTIM]);
    assert_eq!(owners, 1);
}

#[test]
fn claim_roles_says_whose_claims_count() {
    let db = Database::new("claim_roles");
    let project = victims_project(&db);
    let gate = db.role("gate", "LOGIN NOINHERIT IN ROLE authenticated");
    let claims = |role: &str| {
        let mut session = db.login(role);
        session.run("SET ROLE authenticated");
        session.claim(VICTIM);
        session
    };
    is_nobody(&mut claims(&gate), project, "not listed");
    let mut admin = db.connect();
    admin.run(&format!("ALTER DATABASE {} SET pg_versioned.claim_roles = 'nobody , {gate}'", db.name));
    let mut session = claims(&gate);
    assert_eq!(actor(&mut session), Some(VICTIM));
    session.put(project, "a", "through the gate");
    is_nobody(&mut claims("authenticator"), project, "not listed any more");
    for list in ["", "*", "%", "public", "authenticated", "nobody"] {
        admin.run(&format!("ALTER DATABASE {} SET pg_versioned.claim_roles = '{list}'", db.name));
        is_nobody(&mut claims(&gate), project, list);
    }
}

/// Definer rights change whose tables code may touch, not on whose behalf it acts.
#[test]
fn wrappers_with_definer_rights_keep_their_callers_rights() {
    let db = Database::new("wrappers");
    let project = victims_project(&db);
    let mut admin = db.connect();
    let bypass = db.role("bypass", "BYPASSRLS");
    let plain = db.role("plain", "");
    let viewer = Uuid::new_v4();
    admin.add_member(project, viewer, "viewer");
    admin.run("CREATE SCHEMA wrap; GRANT USAGE ON SCHEMA wrap TO PUBLIC");
    for owner in [&*bypass, &*plain, "postgres"] {
        admin.run(&format!(
            "SELECT versioned.grant_versioned_access('{owner}');
             GRANT CREATE, USAGE ON SCHEMA wrap TO {owner};
             SET ROLE {owner};
             CREATE FUNCTION wrap.{owner}_save(uuid) RETURNS uuid LANGUAGE sql SECURITY DEFINER
                 AS $$ SELECT (versioned.atomic_upsert_project_file($1, 'b', random()::text, 'text')).created_by $$;
             CREATE FUNCTION wrap.{owner}_read(uuid) RETURNS text LANGUAGE sql SECURITY DEFINER
                 AS $$ SELECT content FROM versioned.get_project_file($1, 'a') $$;
             CREATE FUNCTION wrap.{owner}_create(uuid) RETURNS uuid LANGUAGE sql SECURITY DEFINER
                 AS $$ SELECT project_id FROM versioned.create_complete_project($1) $$;
             RESET ROLE"
        ));
    }
    let save = |session: &mut Session, owner: &str| -> Result<Option<Uuid>, Refusal> {
        session.try_value(&format!("SELECT wrap.{owner}_save($1)"), &[&project])
    };
    let read = |session: &mut Session, owner: &str| -> Result<String, Refusal> {
        session.try_value(&format!("SELECT wrap.{owner}_read($1)"), &[&project])
    };
    let create = |session: &mut Session, owner: &str, who: Uuid| -> Result<Uuid, Refusal> {
        session.try_value(&format!("SELECT wrap.{owner}_create($1)"), &[&who])
    };
    for owner in [&*bypass, "postgres"] {
        let mut victim = db.user(VICTIM);
        assert_eq!(save(&mut victim, owner), Ok(Some(VICTIM)));
        assert_eq!(read(&mut victim, owner), Ok("the victim's".into()));
        create(&mut victim, owner, VICTIM).expect("its own project");
        let mut viewer = db.user(viewer);
        refused(save(&mut viewer, owner), "42501");
        assert_eq!(read(&mut viewer, owner), Ok("the victim's".into()));
        let mut stranger = db.user(MYSELF);
        refused(save(&mut stranger, owner), "PT404");
        refused(read(&mut stranger, owner), "PT404");
        refused(create(&mut stranger, owner, VICTIM), "42501");
        // Nobody is not made somebody.
        let mut nobody = db.login("authenticator");
        nobody.run("SET ROLE authenticated");
        refused(save(&mut nobody, owner), "42501");
        refused(create(&mut nobody, owner, VICTIM), "42501");
    }
    // The privileged are not less so, where the wrapper's owner is, too.
    let mut service = db.login("authenticator");
    service.run("SET ROLE service_role");
    save(&mut service, &bypass).expect("both roles are privileged");

    // Code of somebody who is not trusted has no identity to borrow, unless it is listed.
    let mut victim = db.user(VICTIM);
    refused(save(&mut victim, &plain), "42501");
    refused(read(&mut victim, &plain), "42501");
    admin.run(&format!("ALTER DATABASE {} SET pg_versioned.claim_roles = 'authenticator, {plain}'", db.name));
    let mut victim = db.user(VICTIM);
    assert_eq!(save(&mut victim, &plain), Ok(Some(VICTIM)));
    let mut stranger = db.user(MYSELF);
    refused(save(&mut stranger, &plain), "PT404");
    refused(read(&mut stranger, &plain), "PT404");
    invariants::hold(&mut admin);
}

#[test]
fn who_bypasses_row_security_is_privileged_only_while_both_roles_do() {
    let db = Database::new("privileged");
    let project = victims_project(&db);
    let worker = db.role("worker", "LOGIN BYPASSRLS");
    let weak = db.role("weak", "");
    db.connect().run(&format!(
        "SELECT versioned.grant_versioned_access('{worker}'); SELECT versioned.grant_versioned_access('{weak}');
         GRANT {weak} TO {worker}"
    ));
    let mut session = db.login(&worker);
    session.put(project, "a", "by the worker");
    assert_eq!(session.list(project).len(), 1);
    // Once it gives that up, it is nobody.
    session.run(&format!("SET ROLE {weak}"));
    is_nobody(&mut session, project, "SET ROLE to a weak role");
    session.run("RESET ROLE");
    session.put(project, "a", "by the worker again");
    // Privilege lost in mid-session is lost.
    db.connect().run(&format!("ALTER ROLE {worker} NOBYPASSRLS"));
    is_nobody(&mut session, project, "NOBYPASSRLS");
}
