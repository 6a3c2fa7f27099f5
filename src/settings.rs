//! The extension's settings. All are for superusers to set: in the configuration file, by `ALTER DATABASE`
//! or `ALTER ROLE … SET`, or in a session of theirs.

use std::ffi::CString;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};

use crate::backend;

/// How committed changes are announced.
#[derive(Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
#[allow(non_camel_case_types)]
pub enum Notify {
    /// `NOTIFY` on `realtime:project:<uuid>`; takes a database-wide lock at commit.
    notify,
    /// `pg_logical_emit_message`, for logical decoding.
    logical,
    off,
}

pub static MAX_FILE_SIZE: GucSetting<i32> = GucSetting::<i32>::new(10 * 1024 * 1024);
pub static DOUBLE_CLICK_WINDOW: GucSetting<i32> = GucSetting::<i32>::new(2_000);
pub static BUILD_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(3_600);
pub static BASE_CACHE_SIZE: GucSetting<i32> = GucSetting::<i32>::new(8 * 1024);
pub static SAVE_RATE: GucSetting<i32> = GucSetting::<i32>::new(20);
pub static SAVE_BURST: GucSetting<i32> = GucSetting::<i32>::new(100);
pub static NOTIFY: GucSetting<Notify> = GucSetting::<Notify>::new(Notify::notify);
static CLAIM_ROLES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"authenticator"));
static ACTOR_ID: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// Largest value of `pg_versioned.max_file_size`: a text value of Postgres ends at 1 GB, and a row, its
/// detoasted copy and the answer are in memory together.
pub const LARGEST_FILE: i32 = 256 * 1024 * 1024;

pub fn register() {
    GucRegistry::define_int_guc(
        c"pg_versioned.max_file_size",
        c"Largest content of a file.",
        c"In bytes of UTF-8.",
        &MAX_FILE_SIZE,
        0,
        LARGEST_FILE,
        GucContext::Suset,
        GucFlags::UNIT_BYTE,
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.double_click_window",
        c"Time within which an equal create_complete_project call is taken for a double click.",
        c"0 turns it off.",
        &DOUBLE_CLICK_WINDOW,
        0,
        60_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.build_timeout",
        c"Age at which an active build may be abandoned by the next start.",
        c"",
        &BUILD_TIMEOUT,
        1,
        30 * 24 * 3_600,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.base_cache_size",
        c"Memory of a session for contents that it saves others on.",
        c"0 turns the cache off.",
        &BASE_CACHE_SIZE,
        0,
        1024 * 1024,
        GucContext::Suset,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.save_rate",
        c"Saves a second that an actor may make in a project for long.",
        c"0 turns the limit off. Privileged callers have none.",
        &SAVE_RATE,
        0,
        1_000_000,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.save_burst",
        c"Saves that an actor may make in a project at once, after a pause.",
        c"",
        &SAVE_BURST,
        1,
        1_000_000,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_enum_guc(
        c"pg_versioned.notify",
        c"How committed changes are announced.",
        c"notify, logical or off.",
        &NOTIFY,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_string_guc(
        c"pg_versioned.claim_roles",
        c"Login roles whose request.jwt.claims say who the actor is, and owners of SECURITY DEFINER functions that may act for them.",
        c"Comma-separated role names. Superusers' claims always do.",
        &CLAIM_ROLES,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_string_guc(
        c"pg_versioned.actor_id",
        c"The actor (a uuid) of a role that logs in by itself.",
        c"Set it with ALTER ROLE ... SET.",
        &ACTOR_ID,
        GucContext::Suset,
        GucFlags::empty(),
    );
    backend::reserve_settings(c"pg_versioned");
}

/// Whether a login role is listed in `pg_versioned.claim_roles`.
pub fn is_claim_role(name: &str) -> bool {
    let list = CLAIM_ROLES.get();
    list.is_some_and(|list| list.to_string_lossy().split(',').any(|role| role.trim() == name))
}

pub fn actor_id() -> Option<String> {
    ACTOR_ID.get().map(|id| id.to_string_lossy().into_owned())
}
