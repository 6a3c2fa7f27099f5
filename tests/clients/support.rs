//! Throwaway databases, their roles and connections, and how tests wait and race.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Barrier, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use postgres::error::DbError;
use postgres::types::{FromSqlOwned, ToSql};
use postgres::{Client, Config, Error, NoTls, Row, Statement};
use uuid::Uuid;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// An error as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.as_db_error() {
            Some(error) => error.into(),
            None => Refusal { code: String::new(), message: error.to_string(), detail: None, hint: None },
        }
    }
}

impl From<&DbError> for Refusal {
    fn from(error: &DbError) -> Self {
        Refusal {
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
        }
    }
}

impl Refusal {
    /// DETAIL, which must be a JSON object.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let detail = self.detail.as_deref().unwrap_or_else(|| panic!("no DETAIL: {self:?}"));
        let json: serde_json::Value = serde_json::from_str(detail).unwrap_or_else(|e| panic!("{e}: {detail}"));
        assert!(json.is_object(), "{detail}");
        json
    }
}

/// The refusal a call must end with.
#[track_caller]
pub fn refused<T>(result: Result<T, Refusal>, code: &str) -> Refusal {
    match result {
        Ok(_) => panic!("succeeded, but {code} was due"),
        Err(refusal) => {
            assert_eq!(refusal.code, code, "{refusal:?}");
            refusal
        }
    }
}

/// A connection that prepares each statement once.
pub struct Session {
    pub client: Client,
    pub pid: i32,
    statements: HashMap<String, Statement>,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Session {
    fn open(config: &Config) -> Result<Session, Refusal> {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = notices.clone();
        let mut config = config.clone();
        config.notice_callback(move |notice| {
            if let Ok(mut notices) = heard.lock() {
                notices.push(notice.message().to_owned());
            }
        });
        let mut client = config.connect(NoTls)?;
        let pid = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
        Ok(Session { client, pid, statements: HashMap::new(), notices })
    }

    /// Notices and warnings that came since this was last asked.
    pub fn notices(&self) -> Vec<String> {
        self.notices.lock().map(|mut notices| std::mem::take(&mut *notices)).unwrap_or_default()
    }

    pub fn try_rows(&mut self, sql: &str, params: Params) -> Result<Vec<Row>, Refusal> {
        if !self.statements.contains_key(sql) {
            let statement = self.client.prepare(sql)?;
            self.statements.insert(sql.to_owned(), statement);
        }
        Ok(self.client.query(&self.statements[sql], params)?)
    }

    pub fn try_row(&mut self, sql: &str, params: Params) -> Result<Row, Refusal> {
        let mut rows = self.try_rows(sql, params)?;
        assert_eq!(rows.len(), 1, "rows of {sql}");
        Ok(rows.remove(0))
    }

    pub fn try_value<T: FromSqlOwned>(&mut self, sql: &str, params: Params) -> Result<T, Refusal> {
        Ok(self.try_row(sql, params)?.get(0))
    }

    /// Statements without parameters, in one go.
    pub fn try_run(&mut self, sql: &str) -> Result<(), Refusal> {
        Ok(self.client.batch_execute(sql)?)
    }

    #[track_caller]
    pub fn rows(&mut self, sql: &str, params: Params) -> Vec<Row> {
        self.try_rows(sql, params).unwrap_or_else(|e| panic!("{e:?}: {sql}"))
    }

    #[track_caller]
    pub fn row(&mut self, sql: &str, params: Params) -> Row {
        self.try_row(sql, params).unwrap_or_else(|e| panic!("{e:?}: {sql}"))
    }

    #[track_caller]
    pub fn value<T: FromSqlOwned>(&mut self, sql: &str, params: Params) -> T {
        self.try_value(sql, params).unwrap_or_else(|e| panic!("{e:?}: {sql}"))
    }

    #[track_caller]
    pub fn column<T: FromSqlOwned>(&mut self, sql: &str, params: Params) -> Vec<T> {
        self.rows(sql, params).iter().map(|row| row.get(0)).collect()
    }

    #[track_caller]
    pub fn run(&mut self, sql: &str) {
        self.try_run(sql).unwrap_or_else(|e| panic!("{e:?}: {sql}"));
    }

    /// Has every query that may use parallel workers use them; the setting's name changed with Postgres 16.
    pub fn force_parallel(&mut self) {
        self.run(
            "SELECT set_config(name, 'on', false) FROM pg_settings
              WHERE name IN ('force_parallel_mode', 'debug_parallel_query')",
        );
    }

    /// Prepares anew what it runs from now on.
    pub fn forget(&mut self) {
        self.statements.clear();
    }

    /// Says who the requests of this session are made for, as PostgREST does.
    pub fn claim(&mut self, user: Uuid) {
        self.run(&format!("SET request.jwt.claims = '{{\"sub\": \"{user}\"}}'"));
    }
}

fn server() -> Config {
    let mut config = Config::new();
    let setting = |name, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    config
        .host(&setting("PGHOST", "/var/run/postgresql"))
        .port(setting("PGPORT", "5432").parse().expect("PGPORT is a number"))
        .user(&setting("PGUSER", "postgres"))
        .dbname(&setting("PGDATABASE", "postgres"));
    if let Ok(password) = env::var("PGPASSWORD") {
        config.password(password);
    }
    config
}

/// Nothing waits for ever; a test that sets a timeout of its own sets it in its session.
fn options(more: &str) -> String {
    format!("-c statement_timeout={} {more}", PATIENCE.as_millis())
}

/// A database with the extension in schema `versioned`, dropped with the roles made for it.
pub struct Database {
    pub name: String,
    roles: Mutex<Vec<String>>,
}

impl Database {
    pub fn new(test: &str) -> Database {
        let database = Database::bare(test);
        // Saves are counted, but no limit is in the way of a test that does not set one.
        database.connect().run(&format!(
            "CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned;
             ALTER DATABASE {0} SET pg_versioned.save_rate = 1000000; ALTER DATABASE {0} SET pg_versioned.save_burst = 1000000",
            database.name
        ));
        database
    }

    /// A database without the extension.
    pub fn bare(test: &str) -> Database {
        let mut admin = Session::open(&server()).expect("a superuser can connect");
        supabase_roles(&mut admin);
        let name = format!("clients_{test}_{}", std::process::id());
        admin.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        admin.run(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"));
        Database { name, roles: Mutex::default() }
    }

    fn config(&self) -> Config {
        let mut config = server();
        config.dbname(&self.name).options(&options(""));
        config
    }

    /// A connection as superuser, without an actor.
    pub fn connect(&self) -> Session {
        Session::open(&self.config()).expect("a superuser can connect")
    }

    /// The same to another database.
    pub fn connect_to(&self, name: &str) -> Session {
        let mut config = self.config();
        Session::open(config.dbname(name)).expect("a superuser can connect")
    }

    /// A connection as another login role.
    pub fn login(&self, role: &str) -> Session {
        self.login_with(role, "")
    }

    /// The same with settings of its own in the startup packet.
    pub fn login_with(&self, role: &str, more: &str) -> Session {
        let mut config = self.config();
        config.user(role).options(&options(more));
        Session::open(&config).unwrap_or_else(|e| panic!("{role} can connect: {e:?}"))
    }

    /// A connection as PostgREST makes it: `authenticator`, who became `authenticated` on behalf of a user.
    pub fn user(&self, user: Uuid) -> Session {
        let mut session = self.login("authenticator");
        session.run("SET ROLE authenticated");
        session.claim(user);
        session
    }

    /// Makes a role for this test; its full name.
    pub fn role(&self, name: &str, options: &str) -> String {
        let role = format!("{}_{name}", self.name);
        let mut admin = self.connect();
        admin.run(&format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} {options}"));
        self.roles.lock().expect("no test panics with it").push(role.clone());
        role
    }

    /// A role that logs in by itself, with access and an actor of its own.
    pub fn own_login(&self, name: &str, actor: Uuid) -> String {
        let role = self.role(name, "LOGIN");
        self.connect().run(&format!(
            "ALTER ROLE {role} SET pg_versioned.actor_id = '{actor}'; SELECT versioned.grant_versioned_access('{role}')"
        ));
        role
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Ok(mut admin) = Session::open(&server()) else { return };
        let roles = self.roles.lock().map(|roles| roles.clone()).unwrap_or_default();
        let drops = [format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)]
            .into_iter()
            .chain(roles.iter().rev().map(|role| format!("DROP ROLE IF EXISTS {role}")));
        for drop in drops {
            if let Err(refusal) = admin.try_run(&drop) {
                eprintln!("{refusal:?}: {drop}");
            }
        }
    }
}

/// Another server, made by `pgrx-config/cluster create`; destroyed with it.
pub struct Cluster {
    pub name: String,
    config: Config,
}

impl Cluster {
    pub fn new(name: &str, options: &[&str]) -> Cluster {
        let name = format!("{name}-{}", std::process::id());
        script(&[&["create", &name], options].concat());
        let env = script(&["env", &name]);
        let host = env.split('\'').nth(1).expect("a folder");
        let mut config = Config::new();
        config.host(host).port(5432).user("postgres").dbname("postgres");
        Cluster { name, config }
    }

    pub fn connect(&self, database: &str) -> Session {
        self.try_connect(database).expect("a superuser can connect")
    }

    /// The same while the server may be down.
    pub fn try_connect(&self, database: &str) -> Result<Session, Refusal> {
        let mut config = self.config.clone();
        Session::open(config.dbname(database).options(&options("")))
    }

    /// The folder of its socket.
    pub fn host(&self) -> String {
        match &self.config.get_hosts()[0] {
            postgres::config::Host::Unix(path) => path.to_string_lossy().into_owned(),
            host => panic!("{host:?}"),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        script(&["destroy", &self.name]);
    }
}

/// Runs `pgrx-config/cluster`; what it prints.
fn script(arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/pgrx-config/cluster");
    let output = std::process::Command::new(script).args(arguments).output().expect("the script runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The roles PostgREST and Supabase know, where the cluster has none yet.
fn supabase_roles(admin: &mut Session) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        admin.run(
            "DO $$
             DECLARE
                 v_role text;
             BEGIN
                 PERFORM pg_advisory_xact_lock(hashtextextended('roles of the tests', 0));
                 FOREACH v_role IN ARRAY ARRAY['anon NOLOGIN', 'authenticated NOLOGIN', 'service_role BYPASSRLS',
                                               'authenticator LOGIN NOINHERIT'] LOOP
                     IF to_regrole(split_part(v_role, ' ', 1)) IS NULL THEN
                         EXECUTE 'CREATE ROLE ' || v_role;
                     END IF;
                 END LOOP;
                 GRANT anon, authenticated, service_role TO authenticator;
             END
             $$",
        );
    });
}

/// Waits until something can be seen to be so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a backend waits for a lock.
pub fn is_waiting(admin: &mut Session, pid: i32) -> bool {
    admin.value(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock')
            AND EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)",
        &[&pid],
    )
}

/// Waits until a backend waits for a lock.
#[track_caller]
pub fn until_waiting(admin: &mut Session, pid: i32) {
    until("the backend waits for a lock", || is_waiting(admin, pid));
}

/// Waits until a backend is gone.
#[track_caller]
pub fn until_gone(admin: &mut Session, pid: i32) {
    until("the backend is gone", || {
        admin.value("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", &[&pid])
    });
}

/// Advisory locks of the database that anybody holds or waits for.
pub fn advisory_locks(admin: &mut Session) -> i64 {
    admin.value(
        "SELECT count(*) FROM pg_locks
          WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        &[],
    )
}

/// Runs `body` in every session at once; what each answered, in the sessions' order.
pub fn race<T: Send>(sessions: Vec<Session>, body: impl Fn(usize, &mut Session) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(sessions.len());
    let run = |n: usize, mut session: Session| {
        start.wait();
        body(n, &mut session)
    };
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> =
            sessions.into_iter().enumerate().map(|(n, session)| scope.spawn(move || run(n, session))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

/// As many sessions.
pub fn sessions(count: usize, open: impl Fn() -> Session) -> Vec<Session> {
    (0..count).map(|_| open()).collect()
}

/// Numbers that are the same in every run (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A field of what the system tells of a backend's memory (see proc_pid_status(5)), in bytes; `None` where it tells nothing.
pub fn backend_memory(pid: i32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    if !status.starts_with("Name:\tpostgres") {
        return None;
    }
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// Says that a test does not test here, also if the output of tests that pass is not shown.
pub fn skipped(why: &str) {
    writeln!(io::stderr(), "skipped: {why}").expect("stderr can be written to");
}

pub fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
