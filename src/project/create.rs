//! Creating a project, its first build, metrics and AI-time session: once, however often it is requested.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use sha2::{Digest, Sha256};

use crate::args;
use crate::backend::{self, Answer, Call, Db, Statement, Timestamp, Use, Value, as_owner, connect};
use crate::builds::{self, NewBuild, Started};
use crate::caller::Caller;
use crate::error::Error;
use crate::settings::DOUBLE_CLICK_WINDOW;
use crate::{hex, id, input, locks};

const MAX_NAME_BYTES: usize = 255;
const MAX_KEY_BYTES: usize = 255;
/// Prefix of the keys under which calls without a key are remembered for a while.
const DOUBLE_CLICK: &str = "double-click:";
/// Microseconds after which a call without a key is forgotten. Much longer than the window: a second click counts from
/// its arrival, and may have been waiting for the lock ever since.
const FORGET_AFTER: i64 = 24 * 3_600 * 1_000_000;

/// The tables that are written to, in the order in which they are locked.
const TABLES: [(&core::ffi::CStr, Use); 5] = [
    (c"projects", Use::Write),
    (c"project_members", Use::Write),
    (c"project_idempotency_keys", Use::Write),
    (c"project_build_metrics", Use::Write),
    (c"project_ai_time_sessions", Use::Write),
];

struct Request<'a> {
    owner: Uuid,
    framework: &'a str,
    prompt: Option<&'a str>,
    name: &'a str,
    key: Option<&'a str>,
}

impl Request<'_> {
    /// Equal for calls that request the same thing.
    fn hash(&self) -> [u8; 32] {
        let json = serde_json::json!([self.framework, self.prompt, self.name, self.key]);
        Sha256::digest(json.to_string()).into()
    }

    /// The key under which to remember this call: the client's, or one made from all arguments if double clicks are to
    /// be recognized.
    fn memory(&self) -> Option<String> {
        if let Some(key) = self.key {
            return Some(key.to_owned());
        }
        let recognized = self.prompt.is_some() && DOUBLE_CLICK_WINDOW.get() > 0;
        recognized.then(|| format!("{DOUBLE_CLICK}{}", hex::encode(&self.hash())))
    }
}

/// What an earlier call with the same key created, unless that project is gone. The row lock waits for a deletion in
/// progress, and fails with 40001 if a fixed snapshot still shows a deleted project.
struct Earlier {
    started: Started,
    request_hash: Vec<u8>,
    created_xid: u64,
    created_at: Timestamp,
}

fn earlier(db: &Db, owner: Uuid, key: &str) -> Option<Earlier> {
    static EARLIER: Statement = Statement::new(
        "SELECT k.project_id, k.version_id, k.build_id, k.build_metrics_id, k.ai_session_id, k.request_hash,
                k.created_xid::text::bigint AS created_xid, k.created_at
           FROM {s}.project_idempotency_keys k
           JOIN {s}.projects p ON p.id = k.project_id
          WHERE k.owner_id = :owner AND k.key = :key
            FOR KEY SHARE OF p",
    );
    let rows = db.run(&EARLIER, &args! { owner, key });
    let row = rows.first()?;
    Some(Earlier {
        started: Started {
            project: row.value("project_id"),
            version_id: row.value("version_id"),
            build_id: row.value("build_id"),
            metrics_id: row.value("build_metrics_id"),
            session_id: row.value("ai_session_id"),
            created: false,
        },
        request_hash: row.value("request_hash"),
        created_xid: row.value::<i64>("created_xid") as u64,
        created_at: row.value("created_at"),
    })
}

/// Remembers what this call created, replacing what was read before. If another session wrote here first, this fails
/// with 40001 under a fixed snapshot; otherwise nobody can, because of the owner's lock.
fn remember(db: &Db, request: &Request, key: &str, started: &Started, now: Timestamp) {
    static REMEMBER: Statement = Statement::new(
        "INSERT INTO {s}.project_idempotency_keys AS k
                (owner_id, key, request_hash, project_id, version_id, build_id, build_metrics_id, ai_session_id,
                 created_xid, created_at)
         VALUES (:owner, :key, :hash, :project, :version_id, :build_id, :metrics_id, :session_id, :xid, :now)
         ON CONFLICT (owner_id, key) DO UPDATE
            SET project_id = excluded.project_id, version_id = excluded.version_id,
                build_id = excluded.build_id, build_metrics_id = excluded.build_metrics_id,
                ai_session_id = excluded.ai_session_id, request_hash = excluded.request_hash,
                created_xid = excluded.created_xid, created_at = excluded.created_at",
    );
    static FORGET: Statement = Statement::new(
        "DELETE FROM {s}.project_idempotency_keys
          WHERE owner_id = :owner AND key >= :first AND key < :after AND created_at < :expired",
    );
    let (owner, hash) = (request.owner, request.hash());
    let args = args! {
        owner,
        key,
        hash: hash.as_slice(),
        project: started.project,
        version_id: started.version_id.as_str(),
        build_id: started.build_id.as_str(),
        metrics_id: started.metrics_id,
        session_id: started.session_id.as_str(),
        xid: Value::xid8(backend::current_xid()),
        now,
    };
    db.run(&REMEMBER, &args);
    // ';' is the character after ':'.
    let expired = Timestamp(now.0 - FORGET_AFTER);
    db.run(&FORGET, &args! { owner, first: DOUBLE_CLICK, after: "double-click;", expired });
}

fn create(db: &Db, request: &Request, arrived: Timestamp) -> Result<Started, Error> {
    static PROJECT: Statement = Statement::new(
        "WITH project AS (
            INSERT INTO {s}.projects (id, owner_id, name, framework, created_at, updated_at)
            VALUES (:project, :owner, :name, :framework, :now, :now)
            RETURNING id, owner_id, created_at
         )
         INSERT INTO {s}.project_members (project_id, user_id, role, created_at)
         SELECT id, owner_id, 'owner', created_at FROM project",
    );
    let memory = request.memory();
    if let Some(key) = &memory
        && let Some(earlier) = earlier(db, request.owner, key)
    {
        if request.key.is_some() {
            if earlier.request_hash != request.hash() {
                return Err(Error::Invalid(format!("p_idempotency_key \"{key}\" was used with other arguments")));
            }
            return Ok(earlier.started);
        }
        // Measured from this call's arrival: it may have waited a long time for the first one to commit.
        let window = i64::from(DOUBLE_CLICK_WINDOW.get()) * 1_000;
        let same_transaction = earlier.created_xid == backend::current_xid();
        if !same_transaction && arrived.0 - earlier.created_at.0 <= window {
            return Ok(earlier.started);
        }
    }

    let project = id::next_uuid();
    let now = backend::clock();
    let (owner, name, framework) = (request.owner, request.name, request.framework);
    db.run(&PROJECT, &args! { project, owner, name, framework, now });
    let new = NewBuild {
        project,
        user: Some(request.owner),
        prompt: request.prompt,
        framework: request.framework,
        is_initial: true,
        now,
    };
    let started = builds::begin(db, &new);
    if let Some(key) = &memory {
        remember(db, request, key, &started, now);
    }
    Ok(started)
}

fn checked_key(key: Option<&str>) -> Result<Option<&str>, Error> {
    let Some(key) = key else { return Ok(None) };
    let key = input::line(Some(key), "p_idempotency_key", MAX_KEY_BYTES)?;
    if key.starts_with(DOUBLE_CLICK) {
        return Err(Error::Invalid(format!("p_idempotency_key must not begin with \"{DOUBLE_CLICK}\"")));
    }
    Ok(Some(key))
}

/// See the COMMENT in `sql/projects.sql`.
#[pg_extern(sql = false)]
fn create_complete_project(
    user: Option<Uuid>,
    framework: Option<&str>,
    prompt: Option<&str>,
    name: Option<&str>,
    key: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    let arrived = backend::clock();
    Call::answer(fcinfo, |call| {
        call.refuse_read_only();
        let caller = Caller::identify(call)?;
        let owner = match user.or(caller.actor) {
            None => return Err(Error::Invalid("p_user_id must not be null without a signed-in user".into())),
            Some(owner) if !caller.privileged && caller.actor != Some(owner) => return Err(Error::NotYourself),
            Some(owner) => owner,
        };
        let request = Request {
            owner,
            framework: input::line(framework, "p_framework", builds::MAX_FRAMEWORK_BYTES)?,
            prompt: input::prose(prompt, "p_prompt", builds::MAX_PROMPT_BYTES)?,
            name: input::line(name, "p_name", MAX_NAME_BYTES)?,
            key: checked_key(key)?,
        };
        let started = as_owner(call, |_| {
            connect(call, |db| {
                db.lock_tables(&TABLES, || Ok(()))?;
                locks::owner(owner);
                create(db, &request, arrived)
            })
        })?;
        Ok(started.answer(call))
    })
}
