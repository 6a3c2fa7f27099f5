//! What a statement is, as far as its parse tree says.

use pgrx::{PgList, pg_sys};

use super::{Script, Statement, as_node, text};
use pg_sys::NodeTag::*;

/// What is to be done with a statement that is not simply run.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is run.
    Plain,
    Commit,
    /// BEGIN, ROLLBACK and the like; `undoes` if it undoes what was done before it.
    Transaction {
        undoes: bool,
    },
    /// It cannot be run here. Says why; follows the statement's name.
    Impossible(&'static str),
    CreateSchema(String),
    CreateExtension(String),
    /// ALTER or DROP EXTENSION.
    ChangeExtensions(Vec<String>),
    /// Reads, moves or closes a cursor.
    UseCursor(String),
    /// DEALLOCATE of one statement.
    Deallocate(String),
    /// DROP OWNED of these roles; SESSION_USER and the like have no names.
    DropOwned(Vec<Option<String>>),
    /// Creates an object that is in no schema: what it is, and its name.
    CreateGlobal(&'static str, String),
}

const OUTSIDE_TRANSACTIONS: &str = "cannot run in a transaction";
const NOT_UNDONE: &str = "could not be undone";
const CLIENT_DATA: &str = "needs data from, or sends data to, the client";
const EVERYTHING: &str = "concerns more than the schemas that are replayed";

impl Script {
    /// The command of a statement, such as `CREATE TABLE`.
    pub fn command(&self, statement: Statement) -> String {
        // SAFETY: the tree is valid as long as the script; tags have static names.
        unsafe {
            let tag = pg_sys::CreateCommandTag((*statement.tree).stmt);
            text(pg_sys::GetCommandTagName(tag)).unwrap_or_default()
        }
    }

    pub fn kind(&self, statement: Statement) -> Kind {
        // SAFETY: the tree is valid as long as the script, and each struct is that of its tag.
        unsafe { kind((*statement.tree).stmt) }
    }
}

/// # Safety
/// The node must be a valid tree of a statement.
unsafe fn kind(node: *mut pg_sys::Node) -> Kind {
    // SAFETY: see above.
    unsafe {
        let name = |name: *const core::ffi::c_char| text(name).unwrap_or_default();
        match (*node).type_ {
            T_TransactionStmt => {
                use pg_sys::TransactionStmtKind::{TRANS_STMT_COMMIT, TRANS_STMT_ROLLBACK, TRANS_STMT_ROLLBACK_TO};
                match (*node.cast::<pg_sys::TransactionStmt>()).kind {
                    TRANS_STMT_COMMIT => Kind::Commit,
                    kind => Kind::Transaction { undoes: matches!(kind, TRANS_STMT_ROLLBACK | TRANS_STMT_ROLLBACK_TO) },
                }
            }
            // SET TRANSACTION and SET SESSION CHARACTERISTICS
            T_VariableSetStmt
                if (*node.cast::<pg_sys::VariableSetStmt>()).kind == pg_sys::VariableSetKind::VAR_SET_MULTI =>
            {
                Kind::Transaction { undoes: false }
            }
            T_VacuumStmt if (*node.cast::<pg_sys::VacuumStmt>()).is_vacuumcmd => Kind::Impossible(OUTSIDE_TRANSACTIONS),
            T_VacuumStmt if (*node.cast::<pg_sys::VacuumStmt>()).rels.is_null() => Kind::Impossible(EVERYTHING),
            T_ReindexStmt if (*node.cast::<pg_sys::ReindexStmt>()).relation.is_null() => {
                Kind::Impossible(OUTSIDE_TRANSACTIONS)
            }
            T_ClusterStmt if (*node.cast::<pg_sys::ClusterStmt>()).relation.is_null() => {
                Kind::Impossible(OUTSIDE_TRANSACTIONS)
            }
            T_CreatedbStmt
            | T_DropdbStmt
            | T_CreateTableSpaceStmt
            | T_DropTableSpaceStmt
            | T_AlterSystemStmt
            | T_AlterDatabaseStmt => Kind::Impossible(OUTSIDE_TRANSACTIONS),
            T_CreateSubscriptionStmt
            | T_AlterSubscriptionStmt
            | T_DropSubscriptionStmt
            | T_CheckPointStmt
            | T_LoadStmt
            | T_DiscardStmt => Kind::Impossible(NOT_UNDONE),
            T_DeallocateStmt => match text((*node.cast::<pg_sys::DeallocateStmt>()).name) {
                Some(name) => Kind::Deallocate(name),
                None => Kind::Impossible(NOT_UNDONE),
            },
            T_ClosePortalStmt => match text((*node.cast::<pg_sys::ClosePortalStmt>()).portalname) {
                Some(name) => Kind::UseCursor(name),
                None => Kind::Impossible(NOT_UNDONE),
            },
            T_FetchStmt => Kind::UseCursor(name((*node.cast::<pg_sys::FetchStmt>()).portalname)),
            T_DropOwnedStmt => {
                let roles = PgList::<pg_sys::RoleSpec>::from_pg((*node.cast::<pg_sys::DropOwnedStmt>()).roles);
                Kind::DropOwned(roles.iter_ptr().map(|role| text((*role).rolename)).collect())
            }
            T_ReassignOwnedStmt | T_AlterTableMoveAllStmt => Kind::Impossible(EVERYTHING),
            T_CopyStmt => {
                let copy = &*node.cast::<pg_sys::CopyStmt>();
                match (copy.is_from, copy.is_program, copy.filename.is_null()) {
                    (_, true, _) | (false, false, false) => Kind::Impossible(NOT_UNDONE),
                    (_, false, true) => Kind::Impossible(CLIENT_DATA),
                    (true, false, false) => Kind::Plain,
                }
            }
            T_CreateSchemaStmt => {
                let schema = &*node.cast::<pg_sys::CreateSchemaStmt>();
                let role = (!schema.authrole.is_null()).then(|| (*schema.authrole).rolename);
                Kind::CreateSchema(text(schema.schemaname).or_else(|| text(role?)).unwrap_or_default())
            }
            T_CreateExtensionStmt => Kind::CreateExtension(name((*node.cast::<pg_sys::CreateExtensionStmt>()).extname)),
            T_AlterExtensionStmt => {
                Kind::ChangeExtensions(vec![name((*node.cast::<pg_sys::AlterExtensionStmt>()).extname)])
            }
            T_AlterExtensionContentsStmt => {
                Kind::ChangeExtensions(vec![name((*node.cast::<pg_sys::AlterExtensionContentsStmt>()).extname)])
            }
            T_DropStmt => {
                let drop = &*node.cast::<pg_sys::DropStmt>();
                if drop.removeType != pg_sys::ObjectType::OBJECT_EXTENSION {
                    return Kind::Plain;
                }
                let names = PgList::<pg_sys::Node>::from_pg(drop.objects);
                Kind::ChangeExtensions(names.iter_ptr().filter_map(|name| string(name)).collect())
            }
            T_CreateRoleStmt => Kind::CreateGlobal("role", name((*node.cast::<pg_sys::CreateRoleStmt>()).role)),
            T_CreatePublicationStmt => {
                Kind::CreateGlobal("publication", name((*node.cast::<pg_sys::CreatePublicationStmt>()).pubname))
            }
            T_CreateFdwStmt => {
                Kind::CreateGlobal("foreign-data wrapper", name((*node.cast::<pg_sys::CreateFdwStmt>()).fdwname))
            }
            T_CreateForeignServerStmt => {
                Kind::CreateGlobal("server", name((*node.cast::<pg_sys::CreateForeignServerStmt>()).servername))
            }
            T_CreatePLangStmt => Kind::CreateGlobal("language", name((*node.cast::<pg_sys::CreatePLangStmt>()).plname)),
            T_CreateEventTrigStmt => {
                Kind::CreateGlobal("event trigger", name((*node.cast::<pg_sys::CreateEventTrigStmt>()).trigname))
            }
            _ => Kind::Plain,
        }
    }
}

/// The text of a String node.
///
/// # Safety
/// The node must be valid.
pub(super) unsafe fn string(node: *mut pg_sys::Node) -> Option<String> {
    // SAFETY: see above.
    unsafe { as_node::<pg_sys::String>(node, T_String).and_then(|string| text((*string).sval)) }
}
