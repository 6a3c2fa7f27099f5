//! SQL functions for ULIDs.

pub mod ulid;

use std::cell::RefCell;

use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

use crate::backend::{self, Call, Timestamp};
use crate::error::Error;
use crate::input::abridged;
use ::ulid::Ulid;

/// Milliseconds from 1970-01-01 (ULIDs) to 2000-01-01 (Postgres).
const POSTGRES_EPOCH_MS: i64 = 946_684_800_000;

thread_local! {
    static GENERATOR: RefCell<ulid::Generator> = RefCell::default();
}

/// A new ULID of this session, greater than all previous ones.
pub fn next() -> Ulid {
    let Timestamp(now) = backend::clock();
    let now_ms = u64::try_from(now.div_euclid(1_000) + POSTGRES_EPOCH_MS).unwrap_or(0);
    GENERATOR.with_borrow_mut(|generator| generator.next(now_ms, rand::random))
}

/// A new ULID with a time of the past.
pub fn at(time: Timestamp) -> Ulid {
    let ms = u64::try_from(time.0.div_euclid(1_000).saturating_add(POSTGRES_EPOCH_MS)).unwrap_or(0);
    Ulid::from_parts(ms, rand::random())
}

/// The time of a ULID.
pub fn time_of(ulid: Ulid) -> Timestamp {
    Timestamp((ulid.timestamp_ms() as i64 - POSTGRES_EPOCH_MS) * 1_000)
}

/// A new UUIDv7 (RFC 9562): sorts by time, so that index entries created at about the same time are adjacent.
pub fn next_uuid() -> Uuid {
    let mut bytes = next().to_bytes();
    bytes[6] = 0x70 | bytes[6] & 0x0f;
    bytes[8] = 0x80 | bytes[8] & 0x3f;
    Uuid::from_bytes(bytes)
}

fn parse(text: &str) -> Result<Ulid, Error> {
    ulid::parse(text).ok_or_else(|| Error::Invalid(format!("\"{}\" is not a ULID", abridged(text))))
}

/// See the COMMENT in `sql/ids.sql`.
#[pg_extern(sql = false)]
fn generate_ulid() -> String {
    next().to_string()
}

/// See the COMMENT in `sql/ids.sql`.
#[pg_extern(sql = false)]
fn ulid_to_timestamp(text: &str, fcinfo: pg_sys::FunctionCallInfo) -> TimestampWithTimeZone {
    Call::run(fcinfo, |_| {
        TimestampWithTimeZone::try_from(time_of(parse(text)?).0)
            .map_err(|_| Error::Invalid(format!("the time of ULID \"{text}\" is out of range")))
    })
}

/// See the COMMENT in `sql/ids.sql`.
#[pg_extern(sql = false)]
fn ulid_to_uuid(text: &str, fcinfo: pg_sys::FunctionCallInfo) -> Uuid {
    Call::run(fcinfo, |_| Ok(Uuid::from_bytes(parse(text)?.to_bytes())))
}

/// See the COMMENT in `sql/ids.sql`.
#[pg_extern(sql = false)]
fn uuid_to_ulid(uuid: Uuid) -> String {
    Ulid::from_bytes(*uuid.as_bytes()).to_string()
}

/// See the COMMENT in `sql/ids.sql`.
#[pg_extern(sql = false)]
fn is_ulid(text: &str) -> bool {
    ulid::parse(text).is_some()
}
