//! The extension's settings. Only superusers can set them: in the configuration file, with `ALTER DATABASE` or `ALTER
//! ROLE ... SET`, or in their own session.

use std::ffi::CString;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};

use crate::text;

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
pub static MAX_COMPARED_LINES: GucSetting<i32> = GucSetting::<i32>::new(text::DEFAULT_MAX_COMPARED_LINES);
pub static SAVE_RATE: GucSetting<i32> = GucSetting::<i32>::new(20);
pub static SAVE_BURST: GucSetting<i32> = GucSetting::<i32>::new(100);
pub static NOTIFY: GucSetting<Notify> = GucSetting::<Notify>::new(Notify::notify);
static KEEP_NUMBERS: GucSetting<bool> = GucSetting::<bool>::new(false);
static CLAIM_ROLES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"authenticator"));
static ACTOR_ID: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// Largest value of `pg_versioned.max_file_size`: a `text` value in Postgres is limited to 1 GB, and a row, its
/// detoasted copy and the result are in memory at the same time.
pub const LARGEST_FILE: i32 = 256 * 1024 * 1024;

pub fn register() {
    GucRegistry::define_int_guc(
        c"pg_versioned.max_file_size",
        c"Maximum size of the content of a file.",
        c"In bytes of UTF-8.",
        &MAX_FILE_SIZE,
        0,
        LARGEST_FILE,
        GucContext::Suset,
        GucFlags::UNIT_BYTE,
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.double_click_window",
        c"Time within which an identical create_complete_project call counts as a double click.",
        c"0 turns it off.",
        &DOUBLE_CLICK_WINDOW,
        0,
        60_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.build_timeout",
        c"Age after which starting a new build may abandon an active one.",
        c"",
        &BUILD_TIMEOUT,
        1,
        30 * 24 * 3_600,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.base_cache_size",
        c"Maximum memory used by a session to cache decoded contents.",
        c"0 turns the cache off.",
        &BASE_CACHE_SIZE,
        0,
        1024 * 1024,
        GucContext::Suset,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.max_compared_lines",
        c"Maximum number of lines compared or merged per file, not counting equal beginnings and ends.",
        c"Comparing cannot be canceled; the default limits it to one or two seconds.",
        &MAX_COMPARED_LINES,
        1,
        text::LARGEST_MAX_COMPARED_LINES,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.save_rate",
        c"Maximum sustained number of saves per second by an actor in a project.",
        c"0 turns the limit off. It does not apply to privileged callers.",
        &SAVE_RATE,
        0,
        1_000_000,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"pg_versioned.save_burst",
        c"Maximum number of saves an actor may make at once in a project after a pause.",
        c"",
        &SAVE_BURST,
        1,
        1_000_000,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_bool_guc(
        c"pg_versioned.keep_numbers",
        c"Whether rows that come into protected tables with a version number are stored as they are.",
        c"For restoring the data of such tables.",
        &KEEP_NUMBERS,
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
        c"Login roles whose request.jwt.claims identify the actor, and owners of SECURITY DEFINER functions that may act for them.",
        c"Comma-separated role names. The claims of superusers always count.",
        &CLAIM_ROLES,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_string_guc(
        c"pg_versioned.actor_id",
        c"The actor (a uuid) of a role that logs in directly.",
        c"Set it with ALTER ROLE ... SET.",
        &ACTOR_ID,
        GucContext::Suset,
        GucFlags::empty(),
    );
}

/// Whether protected tables store rows as they come, because they are being restored.
pub fn keeps_numbers() -> bool {
    KEEP_NUMBERS.get()
}

/// Whether a login role is listed in `pg_versioned.claim_roles`.
pub fn is_claim_role(name: &str) -> bool {
    let list = CLAIM_ROLES.get();
    list.is_some_and(|list| list.to_string_lossy().split(',').any(|role| role.trim() == name))
}

pub fn actor_id() -> Option<String> {
    ACTOR_ID.get().map(|id| id.to_string_lossy().into_owned())
}
