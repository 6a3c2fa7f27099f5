//! Rights are those of the moment and of the asker, whatever Postgres keeps between queries.

use uuid::Uuid;

use crate::support::{Database, Session};

const COUNT: &str = "SELECT (SELECT count(*) FROM versioned.projects) + (SELECT count(*) FROM versioned.project_files)
                          + (SELECT count(*) FROM versioned.project_file_heads)";

/// Two owners with a project each: one has one file, the other two.
fn two_owners(db: &Database) -> [(Uuid, Uuid, i64); 2] {
    let mut admin = db.connect();
    [1, 2].map(|files| {
        let owner = Uuid::new_v4();
        let project = admin.project(owner).project;
        for n in 0..files {
            admin.put(project, &n.to_string(), "x");
        }
        (owner, project, 1 + 2 * files)
    })
}

#[test]
fn a_pooled_connection_shows_each_user_their_own() {
    let db = Database::new("pooled");
    let owners = two_owners(&db);
    let mut session = db.login("authenticator");
    for round in 0..12 {
        // The same prepared statements for all, until they have generic plans and beyond.
        let (user, project, rows) = owners[round % 2];
        session.run("BEGIN; SET LOCAL ROLE authenticated");
        session.rows("SELECT set_config('request.jwt.claims', $1, true)", &[&format!("{{\"sub\": \"{user}\"}}")]);
        assert_eq!(session.value::<i64>(COUNT, &[]), rows);
        let (_, other, _) = owners[(round + 1) % 2];
        assert!(session.value::<bool>("SELECT versioned_internal.can_read_project($1)", &[&project]));
        assert!(!session.value::<bool>("SELECT versioned_internal.can_read_project($1)", &[&other]));
        session.run("COMMIT; BEGIN; SET LOCAL ROLE service_role");
        assert_eq!(session.value::<i64>(COUNT, &[]), owners[0].2 + owners[1].2);
        session.run("COMMIT; BEGIN; SET LOCAL ROLE authenticated");
        assert_eq!(session.value::<i64>(COUNT, &[]), 0, "nobody between requests");
        session.run("COMMIT");
    }
}

/// PL/pgSQL keeps plans and the state of expressions.
#[test]
fn a_function_that_acts_for_one_user_after_another_sees_what_each_may() {
    let db = Database::new("in_plpgsql");
    let owners = two_owners(&db);
    let mut admin = db.connect();
    admin.run(
        "CREATE FUNCTION public.seen(p_users uuid[], p_projects uuid[]) RETURNS text[] LANGUAGE plpgsql AS $$
         DECLARE
             v_user uuid;
             v_seen text[] := '{}';
         BEGIN
             FOREACH v_user IN ARRAY p_users LOOP
                 PERFORM set_config('request.jwt.claims', json_build_object('sub', v_user)::text, true);
                 v_seen := v_seen || concat_ws(' ', (SELECT count(*) FROM versioned.project_files),
                     (SELECT count(*) FROM versioned.projects), cardinality(versioned_internal.readable_project_ids()),
                     versioned_internal.can_read_project(p_projects[1]), versioned_internal.can_read_project(p_projects[2]),
                     versioned.current_actor() = v_user);
             END LOOP;
             RETURN v_seen;
         END $$;
         GRANT EXECUTE ON FUNCTION public.seen TO authenticated",
    );
    let mut session = db.user(Uuid::new_v4());
    let [one, two] = [owners[0].0, owners[1].0];
    let users = [one, two, Uuid::new_v4(), one, two, two, one];
    let seen: Vec<String> =
        session.value("SELECT public.seen($1, $2)", &[&users.as_slice(), &[owners[0].1, owners[1].1].as_slice()]);
    let (first, second, none) = ("1 1 1 t f t", "2 1 1 f t t", "0 0 0 f f t");
    assert_eq!(seen, [first, second, none, first, second, second, first]);
}

#[test]
fn rights_taken_by_another_session_are_gone_with_the_next_statement() {
    let db = Database::new("taken_rights");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    let user = Uuid::new_v4();
    let mut session = db.user(user);
    let ask = "SELECT versioned_internal.can_read_project($1)";
    session.run("BEGIN");
    for _ in 0..8 {
        assert!(!session.value::<bool>(ask, &[&project]));
        assert_eq!(session.value::<i64>(COUNT, &[]), 0);
        admin.add_member(project, user, "viewer");
        assert!(session.value::<bool>(ask, &[&project]));
        assert_eq!(session.value::<i64>(COUNT, &[]), 3);
        admin.rows("SELECT versioned.remove_project_member($1, $2)", &[&project, &user]);
    }
    session.run("COMMIT");
}

/// A right that was given in a savepoint and undone was never given.
#[test]
fn rights_undone_with_a_savepoint_are_gone() {
    let db = Database::new("undone_rights");
    let mut admin = db.connect();
    let user = Uuid::new_v4();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    admin.run(
        "CREATE FUNCTION public.ask(p_project uuid) RETURNS text LANGUAGE plpgsql AS $$
         DECLARE
             v_answer boolean;
         BEGIN
             v_answer := versioned_internal.can_read_project(p_project);
             RETURN v_answer;
         END $$",
    );
    admin.claim(user);
    let ask = |session: &mut Session| -> [String; 2] {
        let row = session.row("SELECT public.ask($1), versioned_internal.can_read_project($1)::text", &[&project]);
        [0, 1].map(|n| row.get::<_, String>(n)[..1].to_owned())
    };
    for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        admin.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        assert_eq!(ask(&mut admin), ["f", "f"]);
        admin.run("SAVEPOINT s");
        admin.add_member(project, user, "viewer");
        assert_eq!(ask(&mut admin), ["t", "t"], "{isolation}: given");
        admin.run("ROLLBACK TO s");
        assert_eq!(ask(&mut admin), ["f", "f"], "{isolation}: undone");
        admin.add_member(project, user, "viewer");
        assert_eq!(ask(&mut admin), ["t", "t"], "{isolation}: given again");
        admin.run("ROLLBACK");
    }
}

#[test]
fn workers_of_a_parallel_query_know_the_actor() {
    let db = Database::new("parallel");
    let owners = two_owners(&db);
    for (user, _, rows) in owners {
        let login = db.own_login(&format!("n{rows}"), user);
        for mut session in [db.user(user), db.login(&login)] {
            session.force_parallel();
            session.run("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0");
            let actor: Uuid = session.value("SELECT versioned.current_actor()", &[]);
            assert_eq!(actor, user);
            assert_eq!(session.value::<i64>(COUNT, &[]), rows);
        }
    }
}

/// Many projects: the look-ups one by one give way to one of all.
#[test]
fn listings_over_many_projects_show_the_readable_ones() {
    let db = Database::new("many");
    let mut admin = db.connect();
    let (user, other) = (Uuid::new_v4(), Uuid::new_v4());
    let mut readable = Vec::new();
    for n in 0..60 {
        let project = admin.project(if n % 3 == 0 { user } else { other }).project;
        admin.put(project, "a", &n.to_string());
        if n % 3 == 1 {
            admin.add_member(project, user, "viewer");
        }
        if n % 3 < 2 {
            readable.push(project);
        }
    }
    readable.sort_unstable();
    let mut session = db.user(user);
    for table in ["project_file_heads", "project_files", "project_file_versions", "project_build_metrics"] {
        let sql = format!("SELECT DISTINCT project_id FROM versioned.{table} ORDER BY 1");
        assert_eq!(session.column::<Uuid>(&sql, &[]), readable, "{table}");
    }
    let mut ids: Vec<Uuid> = session.value("SELECT versioned_internal.readable_project_ids()", &[]);
    ids.sort_unstable();
    assert_eq!(ids, readable);
}

/// The leader of a parallel query calls them, too, where rows are written to a new table.
#[test]
fn readers_work_in_parallel_queries_that_write() {
    let db = Database::new("reading_parallel");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    admin.put(project, "a", "one");
    admin.run(
        "CREATE TABLE public.big AS SELECT i FROM generate_series(1, 100000) i;
         GRANT SELECT ON public.big TO PUBLIC; ANALYZE public.big;
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
         SET max_parallel_workers_per_gather = 2",
    );
    for (n, call) in [
        "(SELECT content FROM versioned.get_project_file('{p}', 'a'))",
        "versioned.diff_project_file('{p}', 'a', 1)",
        "(SELECT count(*) FROM versioned.get_project_file_history('{p}', 'a'))",
        "(SELECT count(*) FROM versioned.get_project_changes('{p}'))",
    ]
    .into_iter()
    .enumerate()
    {
        let call = call.replace("{p}", &project.to_string());
        admin.run(&format!("CREATE TABLE public.made_{n} AS SELECT count(*) AS n, {call} AS answer FROM public.big"));
    }
}
