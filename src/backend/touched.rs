//! Which objects the statements of a replay make, change and drop: Postgres tells a hook, also about what functions and DO
//! blocks do (objectaccess.h).

use core::ffi::{c_int, c_void};
use std::cell::RefCell;
use std::collections::HashSet;

use pgrx::pg_sys::{self, Oid};

use super::aside::schema_named;
use super::held_locks::{SHARES, take_share};
use super::hook::Hook;
use super::raise::raise;
use crate::error::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    Made,
    Changed,
    Dropped,
}

/// An object that was touched, by its address in the catalogs.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    pub class: Oid,
    pub object: Oid,
    pub sub: i32,
    pub touch: Touch,
}

#[derive(Default)]
struct Log {
    touched: Vec<Touched>,
    /// Objects made while the watch lasts, by catalog and OID. One whose making was undone may remain: its OID is not used
    /// again so soon.
    made: HashSet<(Oid, Oid)>,
    relations_made: usize,
    /// How many relations may be made.
    most: usize,
    /// How many of the server's shares of that have been taken.
    shares: usize,
    /// More were made, or tried to be.
    is_full: bool,
}

type Recorder = unsafe extern "C-unwind" fn(pg_sys::ObjectAccessType::Type, Oid, Oid, c_int, *mut c_void);

thread_local! {
    static LOG: RefCell<Option<Log>> = const { RefCell::new(None) };
    static HOOK: Hook<Recorder> = const { Hook::new() };
}

impl Log {
    /// Whether more relations have been made than the shares allow.
    fn needs_share(&self) -> bool {
        self.relations_made > self.shares * (self.most / SHARES).max(1)
    }
}

/// While it exists, objects that are touched are recorded.
pub struct Watch(());

impl Watch {
    /// Begins recording. Making more than `most` relations, together with others who do this on the server, is an error,
    /// [`Error::TooManyLocks`]: each of them is locked until the transaction ends, on standbys, too. `None` if objects are
    /// being recorded already.
    pub fn begin(most: usize) -> Option<Self> {
        LOG.with_borrow_mut(|log| {
            if log.is_some() {
                return None;
            }
            *log = Some(Log { most, ..Log::default() });
            // SAFETY: the variable of this hook.
            HOOK.with(|hook| unsafe { hook.install(&raw mut pg_sys::object_access_hook, record) });
            Some(Watch(()))
        })
    }

    /// What has been touched since this was asked for the last time, in order.
    pub fn take(&self) -> Vec<Touched> {
        LOG.with_borrow_mut(|log| log.as_mut().map(|log| std::mem::take(&mut log.touched)).unwrap_or_default())
    }

    /// Whether too many relations were to be made.
    pub fn is_full(&self) -> bool {
        LOG.with_borrow(|log| log.as_ref().is_some_and(|log| log.is_full))
    }

    /// How many relations have been made.
    pub fn relations_made(&self) -> usize {
        LOG.with_borrow(|log| log.as_ref().map_or(0, |log| log.relations_made))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        LOG.set(None);
        // SAFETY: the variable of this hook.
        HOOK.with(|hook| unsafe {
            hook.remove(&raw mut pg_sys::object_access_hook, |top| core::ptr::fn_addr_eq(top, record as Recorder));
        });
    }
}

/// Whether a relation is one that was not made while the watch lasts. Catalogs do not count.
pub fn is_foreign(relation: Oid) -> bool {
    let is_of_user = u32::from(relation) >= pg_sys::FirstNormalObjectId;
    is_of_user && !is_own(relation)
}

/// The same, and catalogs count.
pub fn is_not_own(relation: Oid) -> bool {
    !is_own(relation)
}

/// Whether a relation was made while the watch lasts.
pub fn is_own(relation: Oid) -> bool {
    is_made(pg_sys::RelationRelationId, relation)
}

/// Whether there is a schema of this name that was not made while the watch lasts.
pub fn is_foreign_schema(name: &str) -> bool {
    schema_named(name).is_some_and(|schema| !is_made(pg_sys::NamespaceRelationId, schema))
}

fn is_made(class: Oid, object: Oid) -> bool {
    LOG.with_borrow(|log| log.as_ref().is_some_and(|log| log.made.contains(&(class, object))))
}

/// Catalogs of objects that others notice or wait for when they are changed or dropped, even if no relation is locked.
const WATCHED: [Oid; 11] = [
    pg_sys::ProcedureRelationId,
    pg_sys::TypeRelationId,
    pg_sys::NamespaceRelationId,
    pg_sys::OperatorRelationId,
    pg_sys::CollationRelationId,
    pg_sys::ExtensionRelationId,
    pg_sys::ForeignServerRelationId,
    pg_sys::EventTriggerRelationId,
    pg_sys::PublicationRelationId,
    pg_sys::AuthIdRelationId,
    pg_sys::DatabaseRelationId,
];

/// The first object of these that was changed or dropped, but not made while the watch lasts.
pub fn foreign_object(touched: &[Touched]) -> Option<Touched> {
    let is_foreign =
        |one: &&Touched| one.touch != Touch::Made && WATCHED.contains(&one.class) && !is_made(one.class, one.object);
    touched.iter().find(is_foreign).copied()
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn record(
    access: pg_sys::ObjectAccessType::Type,
    class: Oid,
    object: Oid,
    sub: c_int,
    argument: *mut c_void,
) {
    use pg_sys::ObjectAccessType::{OAT_DROP, OAT_POST_ALTER, OAT_POST_CREATE};
    if let Some(previous) = HOOK.with(Hook::previous) {
        // SAFETY: what Postgres passed.
        unsafe { previous(access, class, object, sub, argument) };
    }
    let touch = match access {
        OAT_POST_CREATE => Touch::Made,
        OAT_POST_ALTER => Touch::Changed,
        OAT_DROP => Touch::Dropped,
        _ => return,
    };
    let needs_share = LOG.with_borrow_mut(|log| {
        let Some(log) = log else { return false };
        log.touched.push(Touched { class, object, sub, touch });
        if touch == Touch::Made && sub == 0 && log.made.insert((class, object)) {
            log.relations_made += usize::from(class == pg_sys::RelationRelationId);
        }
        log.needs_share()
    });
    if needs_share {
        let taken = take_share();
        let relations = LOG.with_borrow_mut(|log| {
            let log = log.as_mut()?;
            log.shares += usize::from(taken);
            log.is_full |= !taken || log.needs_share();
            log.is_full.then_some(log.relations_made)
        });
        if let Some(relations) = relations {
            raise(Error::TooManyLocks { locks: relations });
        }
    }
}
