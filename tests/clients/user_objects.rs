//! What a database's owner adds to the extension's tables: triggers, indexes, constraints, rules and publications work
//! as they do for plain statements of the tables' owner.

use serde_json::json;
use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::support::{Database, Refusal, Session, race, refused, sessions};

struct Scene {
    db: Database,
    owner: Uuid,
    project: Uuid,
    build: String,
    admin: Session,
}

/// A project with the files `a` (live) and `gone` (deleted).
fn scene(test: &str) -> Scene {
    let db = Database::new(test);
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let build = admin.project(owner);
    let project = build.project;
    admin.put(project, "a", "one");
    admin.put(project, "gone", "x");
    admin.delete(project, "gone", None).expect("deleted");
    Scene { db, owner, project, build: build.build, admin }
}

impl Scene {
    /// A user's session that has saved before, and one that has not.
    fn users(&self) -> [Session; 2] {
        let mut seasoned = self.db.user(self.owner);
        seasoned.put(self.project, "seasoned", &Uuid::new_v4().to_string());
        [seasoned, self.db.user(self.owner)]
    }
}

/// Every kind of change to files, once; `salt` makes the paths and contents its own.
fn every_change(session: &mut Session, project: Uuid, salt: &str) -> Result<(), Refusal> {
    let path = |name: &str| format!("{salt}/{name}");
    session.save(project, &path("a"), "one", Some(0))?;
    session.save(project, &path("a"), "two", None)?;
    session.save(project, &path("a"), "three", Some(2))?;
    session.rename(project, &path("a"), &path("b"), Some(3))?;
    session.delete(project, &path("b"), None)?;
    session.save(project, &path("b"), "back", None)?;
    session.try_rows("SELECT versioned.revert_project_file($1, $2, 1)", &[&project, &path("b")])?;
    let files = json!([
        {"file_path": path("b"), "content": "batch", "file_type": "text"},
        {"file_path": path("c"), "content": "new", "file_type": "text"}
    ]);
    session.try_rows("SELECT versioned.atomic_upsert_project_files($1, $2)", &[&project, &files])?;
    session.try_rows(
        "INSERT INTO versioned.project_files (project_id, file_path, content) VALUES ($1, $2, 'by the view')",
        &[&project, &path("d")],
    )?;
    Ok(())
}

/// Versions that [`every_change`] makes, and those of them that are first versions.
const CHANGES: i64 = 10;
const FIRST: i64 = 3;

#[test]
fn row_triggers_fire_for_every_version_and_head() {
    let mut scene = scene("own_triggers");
    scene.admin.run(
        "CREATE TABLE public.audit (n bigint GENERATED ALWAYS AS IDENTITY, what text, version int, at_path text);
         CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             INSERT INTO public.audit (what, version, at_path)
             VALUES (concat_ws(' ', TG_WHEN, TG_OP, TG_TABLE_NAME), NEW.version, NEW.file_path);
             RETURN NEW;
         END $$;
         -- Also of rows as AFTER triggers of statements see them.
         CREATE FUNCTION public.audit_all() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             INSERT INTO public.audit (what, version, at_path)
             SELECT 'statement ' || TG_OP, version, file_path FROM fresh;
             RETURN NULL;
         END $$;
         CREATE TRIGGER a BEFORE INSERT ON versioned.project_file_versions FOR EACH ROW EXECUTE FUNCTION public.audit();
         CREATE TRIGGER b AFTER INSERT ON versioned.project_file_versions FOR EACH ROW EXECUTE FUNCTION public.audit();
         CREATE TRIGGER c AFTER INSERT ON versioned.project_file_versions REFERENCING NEW TABLE AS fresh
             FOR EACH STATEMENT EXECUTE FUNCTION public.audit_all();
         CREATE TRIGGER d AFTER INSERT OR UPDATE ON versioned.project_file_heads
             FOR EACH ROW EXECUTE FUNCTION public.audit();
         CREATE CONSTRAINT TRIGGER e AFTER INSERT ON versioned.project_file_versions DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION public.audit()",
    );
    let count = "SELECT count(*) FROM public.audit WHERE what = $1";
    for (n, mut user) in scene.users().into_iter().enumerate() {
        scene.admin.run("TRUNCATE public.audit");
        every_change(&mut user, scene.project, &format!("{n}")).expect("saved");
        for (what, due) in [
            ("BEFORE INSERT project_file_versions", CHANGES),
            // At once, and deferred.
            ("AFTER INSERT project_file_versions", 2 * CHANGES),
            ("statement INSERT", CHANGES),
            ("AFTER INSERT project_file_heads", FIRST),
            ("AFTER UPDATE project_file_heads", CHANGES - FIRST),
        ] {
            assert_eq!(scene.admin.value::<i64>(count, &[&what]), due, "{what}");
        }
    }
    // What a trigger writes goes with the save.
    scene.admin.run("TRUNCATE public.audit");
    let [mut user, _] = scene.users();
    scene.admin.run("TRUNCATE public.audit");
    user.run("BEGIN");
    user.put(scene.project, "a", "undone");
    user.run("ROLLBACK");
    assert_eq!(scene.admin.value::<i64>("SELECT count(*) FROM public.audit", &[]), 0);
    invariants::hold(&mut scene.admin);
}

/// A trigger may change what is stored of the head and of the version alike, or leave a row out.
#[test]
fn before_triggers_may_change_columns_of_their_own() {
    let mut scene = scene("own_columns");
    scene.admin.run(
        "ALTER TABLE versioned.project_file_versions ADD COLUMN tag text, ADD COLUMN weight int NOT NULL DEFAULT 7;
         ALTER TABLE versioned.project_file_heads ADD COLUMN tag text, ADD COLUMN weight int NOT NULL DEFAULT 8;
         CREATE FUNCTION public.tag() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             NEW.tag := NEW.file_path || ' ' || NEW.version;
             RETURN NEW;
         END $$;
         CREATE TRIGGER tag BEFORE INSERT ON versioned.project_file_versions FOR EACH ROW EXECUTE FUNCTION public.tag();
         CREATE TRIGGER tag BEFORE INSERT OR UPDATE ON versioned.project_file_heads
             FOR EACH ROW EXECUTE FUNCTION public.tag()",
    );
    for (n, mut user) in scene.users().into_iter().enumerate() {
        every_change(&mut user, scene.project, &format!("{n}")).expect("saved");
        for (table, weight) in [("project_file_versions", 7), ("project_file_heads", 8)] {
            let wrong: i64 = scene.admin.value(
                &format!(
                    "SELECT count(*) FROM versioned.{table}
                      WHERE file_path LIKE '{n}/%' AND (tag, weight) IS DISTINCT FROM (file_path || ' ' || version, {weight})"
                ),
                &[],
            );
            assert_eq!(wrong, 0, "{table}");
        }
    }
    invariants::hold(&mut scene.admin);
}

/// Rows that a query finds by an index alone: the planner sees no other of the table.
#[track_caller]
fn by_index(admin: &mut Session, index: &str, sql: &str) -> i64 {
    admin.run(&format!(
        "BEGIN; SET LOCAL enable_seqscan = off;
         UPDATE pg_index SET indisvalid = false
          WHERE indrelid = (SELECT indrelid FROM pg_index WHERE indexrelid = 'versioned.{index}'::regclass)
            AND indexrelid <> 'versioned.{index}'::regclass"
    ));
    let plan: Vec<String> = admin.column(&format!("EXPLAIN {sql}"), &[]);
    assert!(plan.iter().any(|line| line.contains(index)), "{index} is used: {plan:?}");
    let found = admin.value(sql, &[]);
    admin.run("ROLLBACK");
    found
}

#[test]
fn own_indexes_find_every_row() {
    let mut scene = scene("own_indexes");
    scene.admin.run(
        "CREATE INDEX own_updated ON versioned.project_file_heads (updated_at);
         CREATE INDEX own_partial ON versioned.project_file_heads (version) WHERE version % 2 = 0;
         CREATE INDEX own_expression ON versioned.project_file_heads (upper(file_path)) INCLUDE (content_hash);
         CREATE INDEX own_hash ON versioned.project_file_heads USING hash (content_hash);
         CREATE INDEX own_created ON versioned.project_file_versions (created_at, created_by);
         CREATE INDEX own_brin ON versioned.project_file_versions USING brin (created_at);
         CREATE INDEX own_type ON versioned.project_file_versions (lower(file_type)) WHERE NOT is_deleted;
         CREATE UNIQUE INDEX own_unique ON versioned.project_file_versions (size_bytes, id)",
    );
    // Many saves of few files: versions of heads in chains of many links, HOT or not.
    let project = scene.project;
    race(sessions(4, || scene.db.user(scene.owner)), |who, session| {
        for n in 0..60 {
            session.put(project, &format!("{who}/{}", n % 3), &format!("{n}"));
        }
        every_change(session, project, &format!("{who}")).expect("saved");
    });
    let heads: i64 = scene.admin.value("SELECT count(*) FROM versioned.project_file_heads", &[]);
    let versions: i64 = scene.admin.value("SELECT count(*) FROM versioned.project_file_versions", &[]);
    assert_eq!(versions, 3 + 4 * (60 + CHANGES));
    for (index, condition, table) in [
        ("own_updated", "updated_at > '2000-01-01'", "project_file_heads"),
        ("own_partial", "version > 0 AND version % 2 = 0", "project_file_heads"),
        ("own_expression", "upper(file_path) > ''", "project_file_heads"),
        ("own_created", "created_at > '2000-01-01'", "project_file_versions"),
        ("own_type", "lower(file_type) = 'text' AND NOT is_deleted", "project_file_versions"),
        ("own_unique", "size_bytes >= 0", "project_file_versions"),
    ] {
        let sql = format!("SELECT count(*) FROM versioned.{table} WHERE {condition}");
        scene.admin.run("SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off");
        let due: i64 = scene.admin.value(&sql, &[]);
        scene.admin.run("RESET enable_indexscan; RESET enable_indexonlyscan; RESET enable_bitmapscan");
        let all = if table == "project_file_heads" { heads } else { versions };
        assert!(due > 0 && due <= all, "{due} of {all} rows: {sql}");
        // Another statement, planned anew.
        assert_eq!(by_index(&mut scene.admin, index, &format!("{sql} AND true")), due, "{index}");
    }
    // Each head by what its newest version says of it.
    scene.admin.run("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off");
    let found: i64 = scene.admin.value(
        "SELECT count(*)
           FROM (SELECT DISTINCT ON (file_id) * FROM versioned.project_file_versions ORDER BY file_id, version DESC) v
          WHERE EXISTS (SELECT FROM versioned.project_file_heads h
                         WHERE h.updated_at = v.created_at AND h.file_id::text = v.file_id::text)",
        &[],
    );
    assert_eq!(found, heads);
    scene.admin.run("RESET ALL");
    // Unique in its own right: what it forbids is its own error, and nothing is written.
    scene.admin.run("CREATE UNIQUE INDEX own_paths ON versioned.project_file_heads (project_id, lower(file_path))");
    let before = everything(&mut scene.admin);
    for mut user in [scene.db.user(scene.owner), scene.db.connect()] {
        let refusal = refused(user.save(project, "A", "x", None), "23505");
        assert!(refusal.message.contains("own_paths"), "{refusal:?}");
        let refusal = refused(user.rename(project, "0/0", "0/C", None), "23505");
        assert!(refusal.message.contains("own_paths"), "{refusal:?}");
    }
    assert_eq!(everything(&mut scene.admin), before);
    invariants::hold(&mut scene.admin);
}

#[test]
fn own_constraints_are_checked() {
    let mut scene = scene("own_constraints");
    let project = scene.project;
    let mut users = scene.users();
    scene.admin.run(
        "ALTER TABLE versioned.project_file_versions
             ADD CONSTRAINT own_types CHECK (file_type <> 'forbidden'),
             ADD CONSTRAINT own_size CHECK (size_bytes < 1000);
         ALTER TABLE versioned.project_file_heads
             ADD CONSTRAINT own_paths CHECK (file_path NOT LIKE '%.exe'),
             ADD CONSTRAINT own_count CHECK (version < 40);
         ALTER TABLE versioned.project_file_versions ADD COLUMN reviewed_by text",
    );
    let before = everything(&mut scene.admin);
    for user in &mut users {
        for (call, constraint) in [
            ("SELECT versioned.atomic_upsert_project_file($1, 'a', 'x', 'forbidden')", "own_types"),
            ("SELECT versioned.atomic_upsert_project_file($1, 'new', 'x', 'forbidden')", "own_types"),
            ("SELECT versioned.upsert_project_file($1, 'gone', 'x', 'forbidden')", "own_types"),
            ("SELECT versioned.atomic_upsert_project_file($1, 'a', repeat('x', 1000), 'text')", "own_size"),
            ("SELECT versioned.atomic_upsert_project_file($1, 'new.exe', 'x', 'text')", "own_paths"),
            ("SELECT versioned.move_project_file($1, 'a', 'a.exe')", "own_paths"),
        ] {
            let refusal = refused(user.try_rows(call, &[&project]), "23514");
            assert!(refusal.message.contains(constraint), "{call}: {refusal:?}");
        }
    }
    assert_eq!(everything(&mut scene.admin), before);
    for n in 2..40 {
        users[0].put(project, "a", &format!("{n}"));
    }
    refused(users[0].save(project, "a", "one too many", None), "23514");
    refused(users[1].save(project, "a", "one too many", None), "23514");
    // A column that no save fills.
    scene.admin.run("ALTER TABLE versioned.project_file_versions ADD CONSTRAINT reviewed CHECK (reviewed_by <> '')");
    users[0].put(project, "b", "a NULL passes the check");
    scene.admin.run(
        "ALTER TABLE versioned.project_file_versions DISABLE TRIGGER refuse_history_rewrite;
         UPDATE versioned.project_file_versions SET reviewed_by = 'me';
         ALTER TABLE versioned.project_file_versions ENABLE TRIGGER refuse_history_rewrite;
         ALTER TABLE versioned.project_file_versions ALTER COLUMN reviewed_by SET NOT NULL",
    );
    for user in &mut users {
        let refusal = refused(user.save(project, "b", "not reviewed", None), "23502");
        assert!(refusal.message.contains("reviewed_by"), "{refusal:?}");
        refused(user.save(project, "c", "not reviewed", None), "23502");
    }
    scene.admin.run("ALTER TABLE versioned.project_file_versions ALTER COLUMN reviewed_by SET DEFAULT 'nobody'");
    for user in &mut users {
        user.put(project, "b", &Uuid::new_v4().to_string());
    }
    invariants::hold(&mut scene.admin);
}

#[test]
fn foreign_keys_to_and_from_own_tables_hold() {
    let mut scene = scene("own_keys");
    let project = scene.project;
    let [mut user, mut second] = scene.users();
    scene.admin.run(
        "CREATE TABLE public.types (name text PRIMARY KEY);
         INSERT INTO public.types VALUES ('text');
         ALTER TABLE versioned.project_file_versions
             ADD CONSTRAINT own_type FOREIGN KEY (file_type) REFERENCES public.types;
         ALTER TABLE versioned.project_file_heads
             ADD CONSTRAINT own_head_type FOREIGN KEY (file_type) REFERENCES public.types;
         CREATE TABLE public.comments (file_id uuid, project_id uuid, comment text,
             FOREIGN KEY (file_id, project_id) REFERENCES versioned.project_file_heads);
         INSERT INTO public.comments
         SELECT file_id, project_id, 'nice' FROM versioned.project_file_heads WHERE file_path = 'a'",
    );
    for (n, session) in [&mut user, &mut second].into_iter().enumerate() {
        let save = "SELECT versioned.atomic_upsert_project_file($1, $2, 'x', 'unheard of')";
        refused(session.try_rows(save, &[&project, &"a"]), "23503");
        refused(session.try_rows(save, &[&project, &"new"]), "23503");
        session.put(project, "a", &format!("commented {n}"));
        every_change(session, project, &format!("{n}")).expect("saved");
    }
    refused(scene.admin.try_rows("SELECT versioned.delete_project($1)", &[&project]), "23503");
    invariants::hold(&mut scene.admin);
}

#[test]
fn rules_and_forced_row_security_leave_saves_as_they_were() {
    let mut scene = scene("own_rules");
    let project = scene.project;
    scene.admin.run(
        "CREATE TABLE public.seen (path text);
         CREATE RULE own_versions AS ON INSERT TO versioned.project_file_versions
             DO ALSO INSERT INTO public.seen VALUES (NEW.file_path)",
    );
    // A statement of the tables' owner cannot do more with such a rule than a save.
    let mut users = sessions(2, || scene.db.user(scene.owner));
    for (n, session) in users.iter_mut().enumerate() {
        match every_change(session, project, &format!("rule {n}")) {
            Ok(()) => {}
            // Rules do not go with data-modifying WITH.
            Err(refusal) => assert_eq!(refusal.code, "0A000", "{refusal:?}"),
        }
    }
    scene.admin.run("DROP RULE own_versions ON versioned.project_file_versions");
    scene.admin.run(
        "ALTER TABLE versioned.project_file_heads FORCE ROW LEVEL SECURITY;
         ALTER TABLE versioned.project_file_versions FORCE ROW LEVEL SECURITY;
         ALTER TABLE versioned.projects FORCE ROW LEVEL SECURITY;
         ALTER TABLE versioned.project_members FORCE ROW LEVEL SECURITY",
    );
    let [mut user, mut second] = scene.users();
    for (n, session) in [&mut user, &mut second].into_iter().enumerate() {
        every_change(session, project, &format!("forced {n}")).expect("the owner of the extension is a superuser");
        assert!(session.list(project).len() > 3);
    }
    refused(scene.db.user(Uuid::new_v4()).save(project, "a", "x", None), "PT404");
    scene.admin.succeed(project, &scene.build, json!({})).expect("succeeded");
    invariants::hold(&mut scene.admin);
}

/// Published without a way to tell old rows: Postgres refuses the update, and so the save, but not the first one.
#[test]
fn publications_hold_saves_to_their_replica_identity() {
    let mut scene = scene("own_publication");
    let project = scene.project;
    let mut users = scene.users();
    scene.admin.run(
        "SET client_min_messages = error;
         ALTER TABLE versioned.project_file_heads REPLICA IDENTITY NOTHING;
         ALTER TABLE versioned.project_file_versions REPLICA IDENTITY NOTHING;
         CREATE PUBLICATION own FOR TABLE versioned.project_file_heads, versioned.project_file_versions",
    );
    let update = "UPDATE versioned.project_file_heads SET updated_at = updated_at";
    let plain = refused(scene.admin.try_run(update), "55000");
    let before = everything(&mut scene.admin);
    for user in &mut users {
        for path in ["a", "gone"] {
            let refusal = refused(user.save(project, path, "x", None), "55000");
            assert_eq!(refusal.message, plain.message);
        }
        refused(user.delete(project, "a", None), "55000");
        refused(user.rename(project, "a", "b", None), "55000");
    }
    assert_eq!(everything(&mut scene.admin), before);
    for (n, user) in users.iter_mut().enumerate() {
        assert_eq!(user.put(project, &format!("first {n}"), "only inserts"), 1);
    }
    scene.admin.run("ALTER TABLE versioned.project_file_heads REPLICA IDENTITY FULL");
    for (n, user) in users.iter_mut().enumerate() {
        every_change(user, project, &format!("{n}")).expect("saved");
    }
    // A filter that names a column outside of the identity is refused for updates as well.
    scene.admin.run(
        "ALTER TABLE versioned.project_file_heads REPLICA IDENTITY DEFAULT;
         DROP PUBLICATION own;
         CREATE PUBLICATION own FOR TABLE versioned.project_file_heads WHERE (version > 3)",
    );
    let plain = refused(scene.admin.try_run(update), "42P10");
    for user in &mut users {
        assert_eq!(refused(user.save(project, "a", "x", None), "42P10").message, plain.message);
    }
    scene.admin.run("DROP PUBLICATION own");
    for (n, user) in users.iter_mut().enumerate() {
        every_change(user, project, &format!("after {n}")).expect("saved");
    }
    invariants::hold(&mut scene.admin);
}

/// Statistics, storage and tables' options are the owner's as well.
#[test]
fn options_of_the_tables_change_nothing() {
    let mut scene = scene("own_options");
    let project = scene.project;
    let mut users = scene.users();
    for (n, change) in [
        "CREATE STATISTICS versioned.own ON file_path, file_type FROM versioned.project_file_versions",
        "ALTER TABLE versioned.project_file_versions ALTER COLUMN stored SET STORAGE EXTENDED",
        "ALTER TABLE versioned.project_file_versions ALTER COLUMN stored SET STORAGE PLAIN",
        "ALTER TABLE versioned.project_file_versions SET (toast_tuple_target = 128, fillfactor = 50)",
        "ALTER TABLE versioned.project_file_heads SET (fillfactor = 100)",
        "ALTER TABLE versioned.project_file_heads CLUSTER ON project_file_heads_path",
        "ALTER TABLE versioned.project_file_versions SET UNLOGGED",
        "ALTER TABLE versioned.project_file_versions SET LOGGED",
        "CLUSTER versioned.project_file_heads",
    ]
    .into_iter()
    .enumerate()
    {
        scene.admin.run(change);
        for (who, user) in users.iter_mut().enumerate() {
            every_change(user, project, &format!("{n} {who}")).unwrap_or_else(|e| panic!("{change}: {e:?}"));
            let content = format!("{}{n} {who}", Uuid::new_v4().to_string().repeat(60));
            user.put(project, "long", &content);
            assert_eq!(user.get(project, "long", None).expect("there").content, Some(content), "{change}");
        }
    }
    invariants::hold(&mut scene.admin);
}

/// Code of the tables' owner that a save runs finds nothing of its caller's, who chooses the search path.
#[test]
fn code_of_the_owner_is_not_led_astray_by_the_callers_path() {
    let mut scene = scene("own_code");
    scene.admin.run(
        "CREATE FUNCTION public.tidy(p text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN RETURN lower(p) || trap(p); EXCEPTION WHEN undefined_function THEN RETURN lower(p); END $$;
         CREATE SCHEMA evil;
         CREATE FUNCTION evil.trap(p text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
         GRANT USAGE ON SCHEMA evil TO PUBLIC",
    );
    for own in [
        "CREATE INDEX own ON versioned.project_file_versions (public.tidy(file_type)) WHERE version > 1000",
        "CREATE INDEX own ON versioned.project_file_versions (version) WHERE public.tidy(file_type) = ''",
        "ALTER TABLE versioned.project_file_versions ADD CONSTRAINT own CHECK (public.tidy(file_type) <> '') NOT VALID",
        "ALTER TABLE versioned.project_file_heads ADD CONSTRAINT own CHECK (public.tidy(file_type) <> '') NOT VALID",
    ] {
        scene.admin.run(own);
        let mut user = scene.db.user(scene.owner);
        user.run("SET search_path = evil, public");
        for n in 0..2 {
            user.put(scene.project, "a", &format!("{own} {n}"));
        }
        scene.admin.run(
            "DROP INDEX IF EXISTS versioned.own;
             ALTER TABLE versioned.project_file_versions DROP CONSTRAINT IF EXISTS own;
             ALTER TABLE versioned.project_file_heads DROP CONSTRAINT IF EXISTS own",
        );
    }
}
