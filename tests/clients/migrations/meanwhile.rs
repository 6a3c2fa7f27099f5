//! Other sessions go on while migrations are replayed: they read, write, create and drop, and wait for nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::traces::{BUSY, LIVE};
use super::{Migration, numbered};
use crate::support::{Database, Session, refused, until, until_waiting};

/// Locks that a backend has on relations older than the call, above what reading takes. Rows of system catalogues
/// are written by all DDL.
const TAKEN: &str = "
    SELECT format('%s %s', l.relation::regclass, l.mode)
      FROM pg_locks l
      JOIN pg_class c ON c.oid = l.relation
     WHERE l.pid = $1 AND l.locktype = 'relation' AND l.granted AND l.mode <> 'AccessShareLock'
       AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)";

/// A chain that takes its time after each step.
fn slow_chain() -> Vec<Migration> {
    let mut texts = Vec::new();
    for text in BUSY {
        texts.push((*text).to_owned());
        texts.push("SELECT pg_sleep(0.3)".to_owned());
    }
    texts.push("SET application_name = 'almost done'; SELECT pg_sleep(0.5)".to_owned());
    numbered(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What an application does all day, and a deployment sometimes; `n` is the turn.
fn work(session: &mut Session, n: i32) {
    session.run(&format!(
        "INSERT INTO account (mood, name) VALUES ('sad', 'turn {n}');
         UPDATE account SET mood = 'ok', nick = DEFAULT WHERE name = 'turn {n}';
         DELETE FROM public.account WHERE name = 'turn {n}';
         INSERT INTO \"Post\" (author, body) SELECT max(id), shout('turn') FROM account;
         CREATE TABLE mine_{n} (a integer REFERENCES account, b mood);
         CREATE INDEX ON mine_{n} (b);
         ALTER TABLE mine_{n} ADD c text;
         CREATE OR REPLACE FUNCTION mine() RETURNS integer LANGUAGE sql RETURN {n};
         REFRESH MATERIALIZED VIEW counted;
         ALTER TABLE account ADD extra integer; ALTER TABLE account DROP extra;
         SELECT nextval('ticket'), * FROM loud;
         TRUNCATE \"Post\";
         ANALYZE account;
         CREATE SCHEMA own_{n}; CREATE TABLE own_{n}.t (); DROP SCHEMA own_{n} CASCADE;"
    ));
    if n % 2 == 0 {
        session.run(&format!("DROP TABLE mine_{n}"));
    }
    session.run("VACUUM account");
}

#[test]
fn other_sessions_read_write_and_create_all_the_while() {
    let db = Database::new("meanwhile");
    let (mut admin, mut caller, mut worker) = (db.connect(), db.connect(), db.connect());
    admin.run(LIVE);
    worker.run("SET lock_timeout = '200ms'");
    let pid = caller.pid;
    let done = AtomicBool::new(false);
    let (turns, taken) = thread::scope(|scope| {
        let done = &done;
        let call = scope.spawn(move || {
            let outcomes = caller.try_replay(&slow_chain(), false);
            done.store(true, Ordering::SeqCst);
            outcomes
        });
        let watch = scope.spawn(move || {
            let mut taken = Vec::new();
            while !done.load(Ordering::SeqCst) {
                taken.extend(admin.column::<String>(TAKEN, &[&pid]));
            }
            taken
        });
        let mut turns = 0;
        while !done.load(Ordering::SeqCst) {
            work(&mut worker, turns);
            // A new connection reads everything anew from the catalogue.
            if turns % 5 == 0 {
                work(&mut db.connect(), 1_000_000 + turns);
            }
            turns += 1;
        }
        let outcomes = call.join().expect("no panic").expect("rows");
        assert!(outcomes.iter().all(|outcome| outcome.ok), "{outcomes:#?}");
        (turns, watch.join().expect("no panic"))
    });
    assert!(turns > 3, "{turns} turns");
    assert_eq!(taken, [] as [String; 0]);
    // Tables that were created in `public` meanwhile are there.
    let kept: i64 =
        worker.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'mine%'", &[]);
    let odd =
        (0..turns).filter(|turn| turn % 2 == 1).count() + (0..turns).step_by(5).filter(|turn| turn % 2 == 1).count();
    assert_eq!(kept, i64::try_from(odd).expect("few"));
    assert_eq!(worker.value::<i32>("SELECT public.mine()", &[]) % 1_000_000, (turns - 1) % 1_000_000);
}

/// A prepared statement of another session, and one of the caller's own, find the live tables before and after.
#[test]
fn prepared_statements_and_cached_plans_stay_right() {
    let db = Database::new("cached_plans");
    let (mut caller, mut other) = (db.connect(), db.connect());
    other.run(LIVE);
    let functions = "CREATE FUNCTION counted_accounts() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM account); END'";
    other.run(functions);
    for session in [&mut caller, &mut other] {
        session.run("SET plan_cache_mode = force_generic_plan; PREPARE own AS SELECT count(*) FROM public.account");
        for _ in 0..3 {
            assert_eq!(session.value::<i64>("SELECT count(*) FROM public.account", &[]), 2);
            assert_eq!(session.value::<i64>("SELECT counted_accounts()", &[]), 2);
        }
    }
    let mut chain = BUSY.to_vec();
    chain.extend([
        functions,
        "TRUNCATE account CASCADE; SELECT counted_accounts()",
        "DO $$ BEGIN ASSERT counted_accounts() = 0; END $$",
    ]);
    caller.replay_well(&numbered(&chain));
    for session in [&mut caller, &mut other] {
        assert_eq!(session.value::<i64>("SELECT count(*) FROM public.account", &[]), 2);
        assert_eq!(session.value::<i64>("SELECT counted_accounts()", &[]), 2);
        session.run("EXECUTE own; INSERT INTO account (name) VALUES ('x'); DELETE FROM account WHERE name = 'x'");
    }
}

/// Tables of other schemas that migrations would lock or write are left alone, and named.
#[test]
fn older_relations_are_neither_locked_nor_written() {
    let db = Database::new("older_relations");
    let (mut admin, mut caller) = (db.connect(), db.connect());
    admin.run(
        r#"CREATE SCHEMA auth; CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
           CREATE SCHEMA storage; CREATE TABLE storage.buckets (id text PRIMARY KEY, public boolean);
           CREATE SCHEMA "odd ""Schema"; CREATE TABLE "odd ""Schema"."odd Table" (id integer PRIMARY KEY);
           CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE RETURN NULL::uuid;
           INSERT INTO auth.users VALUES (gen_random_uuid(), 'a@example.org')"#,
    );
    let pid = caller.pid;
    for (text, relation) in [
        ("CREATE TABLE public.profile (id uuid REFERENCES auth.users ON DELETE CASCADE)", "auth.users"),
        (
            "CREATE FUNCTION public.welcome() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.welcome()",
            "auth.users",
        ),
        ("INSERT INTO storage.buckets VALUES ('avatars', true)", "storage.buckets"),
        ("UPDATE auth.users SET email = lower(email)", "auth.users"),
        ("DO $$ BEGIN DELETE FROM auth.users; END $$", "auth.users"),
        ("ALTER TABLE auth.users ADD extra text", "auth.users"),
        ("CREATE INDEX ON auth.users (email)", "auth.users"),
        ("CREATE POLICY p ON storage.buckets USING (true)", "storage.buckets"),
        ("LOCK TABLE auth.users IN ACCESS EXCLUSIVE MODE", "auth.users"),
        ("SELECT * FROM auth.users FOR UPDATE", "auth.users"),
        ("TRUNCATE auth.users CASCADE", "auth.users"),
        ("DROP TABLE auth.users", "auth.users"),
        ("DROP SCHEMA auth CASCADE", "auth.users"),
        ("GRANT SELECT ON auth.users TO anon", "auth.users"),
        ("INSERT INTO \"odd \"\"Schema\".\"odd Table\" VALUES (1)", "odd Table"),
        ("COMMENT ON TABLE storage.buckets IS 'x'", "storage.buckets"),
    ] {
        let sleepy = format!("{text}; SET application_name = 'there'; SELECT pg_sleep(0.2)");
        let seen = thread::scope(|scope| {
            let caller = &mut caller;
            let call = scope.spawn(move || caller.replay_one(&sleepy));
            let mut taken = Vec::new();
            until("it runs", || {
                admin.value("SELECT application_name = 'there' FROM pg_stat_activity WHERE pid = $1", &[&pid])
                    || call.is_finished()
            });
            taken.extend(admin.column::<String>(TAKEN, &[&pid]));
            let outcome = call.join().expect("no panic");
            assert!(outcome.text().contains(relation), "{text}: it does not name {relation}: {outcome:#?}");
            taken
        });
        let others: Vec<_> = seen.iter().filter(|lock| !lock.starts_with("profile ")).collect();
        assert!(others.is_empty(), "{text}: {others:?}");
    }
    // Reading is allowed, and so is what reads.
    caller.replay_well(&numbered(&[
        "CREATE TABLE profile (id uuid DEFAULT auth.uid()); INSERT INTO profile SELECT id FROM auth.users",
        "ALTER TABLE profile ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON profile USING (id = auth.uid())",
        "CREATE VIEW people AS SELECT p.*, u.email FROM profile p JOIN auth.users u USING (id)",
        "DO $$ BEGIN ASSERT (SELECT count(*) FROM people) = 1; END $$",
    ]));
}

/// What others have locked does not hold the call up for long, and is named.
#[test]
fn a_lock_of_somebody_else_is_no_long_wait() {
    let db = Database::new("locked_by_others");
    let (mut admin, mut caller) = (db.connect(), db.connect());
    admin.run("CREATE SCHEMA auth; CREATE TABLE auth.users (id integer PRIMARY KEY); BEGIN; LOCK TABLE auth.users");
    let start = std::time::Instant::now();
    let outcomes = caller.replay(&numbered(&[
        "CREATE TABLE t ()",
        "CREATE TABLE p AS SELECT * FROM auth.users",
        "CREATE TABLE u ()",
    ]));
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    assert!(outcomes[1].text().contains("auth.users"), "{outcomes:#?}");
    assert!(outcomes[0].ok && outcomes[2].ok, "{outcomes:#?}");
    admin.run("ROLLBACK");
}

/// A second replay waits, as does GRANT on the schema; both get what they want afterwards.
#[test]
fn two_replays_at_once_come_one_after_the_other() {
    let db = Database::new("two_replays");
    let (mut admin, mut first, mut second, mut granter) = (db.connect(), db.connect(), db.connect(), db.connect());
    admin.run(LIVE);
    let (pid, waiting) = (first.pid, second.pid);
    thread::scope(|scope| {
        let one = scope.spawn(|| {
            first.replay_well(&numbered(&[
                "SET application_name = 'there'; SELECT pg_sleep(1)",
                "CREATE TABLE account ()",
            ]))
        });
        until("the first is at work", || {
            admin.value("SELECT application_name = 'there' FROM pg_stat_activity WHERE pid = $1", &[&pid])
        });
        let two = scope.spawn(|| second.replay_well(&numbered(&["CREATE TABLE account ()"])));
        until_waiting(&mut admin, waiting);
        let grant = scope.spawn(|| granter.try_run("GRANT CREATE ON SCHEMA public TO anon"));
        one.join().expect("no panic");
        two.join().expect("no panic");
        grant.join().expect("no panic").expect("granted");
    });
    assert!(admin.value::<bool>("SELECT has_schema_privilege('anon', 'public', 'CREATE')", &[]));
    assert_eq!(admin.value::<i64>("SELECT count(*) FROM account", &[]), 2);

    // One that may not wait says so.
    admin.run("BEGIN; GRANT USAGE ON SCHEMA public TO anon");
    second.run("SET lock_timeout = '100ms'");
    refused(second.try_replay(&numbered(&["SELECT 1"]), true), "55P03");
    admin.run("COMMIT");
    second.replay_well(&numbered(&["SELECT 1"]));
}

/// Objects without a relation count as well: others need the schema to create in it.
#[test]
fn schemas_without_tables_are_left_alone_too() {
    let db = Database::new("schemas_alone");
    let (mut admin, mut caller) = (db.connect(), db.connect());
    admin.run("CREATE SCHEMA auth; CREATE FUNCTION auth.uid() RETURNS integer LANGUAGE sql RETURN 1; SET lock_timeout = '100ms'");
    let pid = caller.pid;
    for text in ["DROP SCHEMA auth CASCADE", "ALTER SCHEMA auth RENAME TO other", "DROP FUNCTION auth.uid()"] {
        let slow = format!("{text}; SET application_name = 'there'; SELECT pg_sleep(0.5)");
        thread::scope(|scope| {
            let caller = &mut caller;
            let call = scope.spawn(move || caller.replay(&numbered(&[&slow])));
            until("it sleeps", || {
                admin.value("SELECT application_name = 'there' FROM pg_stat_activity WHERE pid = $1", &[&pid])
                    || call.is_finished()
            });
            let create = "CREATE TABLE auth.more (id integer DEFAULT auth.uid()); DROP TABLE auth.more";
            let created = admin.try_run(create);
            call.join().expect("no panic");
            created.unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
        });
    }
}
