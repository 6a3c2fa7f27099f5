//! Relations that a statement would lock or write, as far as its parse tree names them. Those that are not the script's
//! own are not even tried: the attempt alone could make others wait.

use pgrx::{PgList, pg_sys};

use super::super::{guard, touched};
use super::kind::string;
use super::{Script, Statement, as_node, text};
use pg_sys::NodeTag::*;
use pg_sys::ObjectType::*;

/// A foreign key to a relation that is not the script's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    pub target: pg_sys::Oid,
    /// Its table, without the schema.
    pub table: String,
    pub name: String,
}

/// What [`Script::prepare`] had to leave out of a statement.
#[derive(Debug, Default)]
pub struct LeftOut {
    pub foreign_keys: Vec<ForeignKey>,
    /// Names of foreign keys that the statement is about and that were left out before.
    pub missed: Vec<String>,
    /// Nothing of the statement remains.
    pub is_all: bool,
    /// The relation for which the statement must not be run at all.
    pub target: Option<pg_sys::Oid>,
    /// The schema for which it must not be run: it changes privileges or comments in it.
    pub schema: Option<String>,
}

impl Script {
    /// A copy of a statement that can be run within a transaction: without CONCURRENTLY, and without foreign keys to
    /// relations of others, also those that were left out `before`. Made in the subtransaction in which it is run.
    pub fn prepare(&self, statement: Statement, before: &[ForeignKey]) -> (Statement, LeftOut) {
        let mut left_out = LeftOut::default();
        // SAFETY: the copy lives as long as the script.
        unsafe {
            let outer = pg_sys::MemoryContextSwitchTo(self.memory.value());
            let tree: *mut pg_sys::RawStmt = guard::copyObjectImpl(statement.tree.cast()).cast();
            let node = (*tree).stmt;
            remove_concurrently(node);
            remove_foreign_keys(node, before, &mut left_out);
            if !left_out.is_all {
                let is_foreign = if changes_rows(node) { touched::is_not_own } else { touched::is_foreign };
                left_out.schema = schemas(node).into_iter().find(|name| touched::is_foreign_schema(name));
                left_out.target = targets(node).into_iter().filter_map(|name| find(name)).find(|&oid| is_foreign(oid));
            }
            pg_sys::MemoryContextSwitchTo(outer);
            (Statement { tree, ..statement }, left_out)
        }
    }
}

/// The relation that a name stands for now, if it is there.
///
/// # Safety
/// The name must be valid or null.
unsafe fn find(name: *mut pg_sys::RangeVar) -> Option<pg_sys::Oid> {
    if name.is_null() {
        return None;
    }
    // SAFETY: see above; without a lock, because the name is only asked for.
    let oid = unsafe {
        guard::RangeVarGetRelidExtended(
            name,
            pg_sys::NoLock as _,
            pg_sys::RVROption::RVR_MISSING_OK,
            None,
            core::ptr::null_mut(),
        )
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// Whether a statement changes rows, which nobody should do to a catalog.
///
/// # Safety
/// The node must be a valid tree of a statement.
unsafe fn changes_rows(node: *mut pg_sys::Node) -> bool {
    // SAFETY: see above.
    let tag = unsafe { (*node).type_ };
    matches!(tag, T_InsertStmt | T_UpdateStmt | T_DeleteStmt | T_MergeStmt | T_CopyStmt | T_TruncateStmt)
}

/// # Safety
/// The node must be a valid tree of a statement.
unsafe fn remove_concurrently(node: *mut pg_sys::Node) {
    // SAFETY: see above; each struct is that of its tag.
    unsafe {
        match (*node).type_ {
            T_IndexStmt => (*node.cast::<pg_sys::IndexStmt>()).concurrent = false,
            T_DropStmt => (*node.cast::<pg_sys::DropStmt>()).concurrent = false,
            T_ReindexStmt => {
                let reindex = &mut *node.cast::<pg_sys::ReindexStmt>();
                reindex.params = filtered::<pg_sys::DefElem>(reindex.params, |option| {
                    text((*option).defname).is_none_or(|name| name != "concurrently")
                });
            }
            T_AlterTableStmt => {
                let cmds = PgList::<pg_sys::AlterTableCmd>::from_pg((*node.cast::<pg_sys::AlterTableStmt>()).cmds);
                for cmd in cmds.iter_ptr() {
                    if let Some(partition) = as_node::<pg_sys::PartitionCmd>((*cmd).def, T_PartitionCmd) {
                        (*partition).concurrent = false;
                    }
                }
            }
            _ => (),
        }
    }
}

/// # Safety
/// The node must be a valid tree of a statement.
unsafe fn remove_foreign_keys(node: *mut pg_sys::Node, before: &[ForeignKey], left_out: &mut LeftOut) {
    use pg_sys::AlterTableType::{AT_DropConstraint, AT_ValidateConstraint};
    let is_missed = |table: &str, name: *const core::ffi::c_char| {
        // SAFETY: names in trees are strings or null.
        let name = unsafe { text(name) };
        name.filter(|name| before.iter().any(|key| key.table == table && key.name == *name))
    };
    // SAFETY: see above; each struct is that of its tag.
    unsafe {
        if let Some(create) = as_node::<pg_sys::CreateStmt>(node, T_CreateStmt) {
            let table = text((*(*create).relation).relname).unwrap_or_default();
            (*create).tableElts = filtered((*create).tableElts, |element| keeps(element, &table, None, left_out));
        } else if let Some(alter) = as_node::<pg_sys::AlterTableStmt>(node, T_AlterTableStmt) {
            let table = text((*(*alter).relation).relname).unwrap_or_default();
            let all = (*alter).cmds;
            (*alter).cmds = filtered::<pg_sys::AlterTableCmd>(all, |cmd| {
                if [AT_DropConstraint, AT_ValidateConstraint].contains(&(*cmd).subtype) {
                    let missed = is_missed(&table, (*cmd).name);
                    left_out.missed.extend(missed.iter().cloned());
                    return missed.is_none();
                }
                keeps((*cmd).def, &table, None, left_out)
            });
            left_out.is_all = (*alter).cmds.is_null() && !all.is_null();
        } else if let Some(rename) = as_node::<pg_sys::RenameStmt>(node, T_RenameStmt)
            && (*rename).renameType == OBJECT_TABCONSTRAINT
        {
            let table = text((*(*rename).relation).relname).unwrap_or_default();
            if let Some(missed) = is_missed(&table, (*rename).subname) {
                let key = before.iter().find(|key| key.table == table && key.name == missed);
                let renamed =
                    key.map(|key| ForeignKey { name: text((*rename).newname).unwrap_or_default(), ..key.clone() });
                left_out.foreign_keys.extend(renamed);
                left_out.is_all = true;
            }
        }
    }
}

/// Whether a part of CREATE or ALTER TABLE remains; takes foreign keys out of columns. `column` is the one that a constraint
/// is written with.
///
/// # Safety
/// The node must be valid or null.
unsafe fn keeps(node: *mut pg_sys::Node, table: &str, column: Option<&str>, left_out: &mut LeftOut) -> bool {
    // SAFETY: see above; each struct is that of its tag.
    unsafe {
        if let Some(definition) = as_node::<pg_sys::ColumnDef>(node, T_ColumnDef) {
            let name = text((*definition).colname);
            (*definition).constraints =
                filtered((*definition).constraints, |constraint| keeps(constraint, table, name.as_deref(), left_out));
        }
        let Some(constraint) = as_node::<pg_sys::Constraint>(node, T_Constraint) else { return true };
        let Some(target) = find((*constraint).pktable).filter(|&target| touched::is_foreign(target)) else {
            return true;
        };
        let name = text((*constraint).conname).unwrap_or_else(|| {
            // As ChooseForeignKeyConstraintNameAddition in tablecmds.c has it.
            let keys = PgList::<pg_sys::Node>::from_pg((*constraint).fk_attrs);
            let keys: Vec<String> = keys.iter_ptr().filter_map(|key| string(key)).collect();
            format!("{table}_{}_fkey", column.map_or_else(|| keys.join("_"), str::to_owned))
        });
        left_out.foreign_keys.push(ForeignKey { target, table: table.to_owned(), name });
        false
    }
}

/// A list without the elements that `keeps` does not keep.
///
/// # Safety
/// It must be a list of pointers to `T`, or null.
unsafe fn filtered<T>(list: *mut pg_sys::List, mut keeps: impl FnMut(*mut T) -> bool) -> *mut pg_sys::List {
    // SAFETY: see above.
    let elements: Vec<*mut T> = unsafe { PgList::from_pg(list) }.iter_ptr().collect();
    let mut kept = PgList::<T>::new();
    elements.into_iter().filter(|&element| keeps(element)).for_each(|element| kept.push(element));
    if kept.is_empty() { core::ptr::null_mut() } else { kept.into_pg() }
}

/// Names of the relations that the statement changes.
///
/// # Safety
/// The node must be a valid tree of a statement.
unsafe fn targets(node: *mut pg_sys::Node) -> Vec<*mut pg_sys::RangeVar> {
    // SAFETY: see above; each struct is that of its tag.
    unsafe {
        macro_rules! field {
            ($type:ident, $($field:ident),*) => {{
                let node = &*node.cast::<pg_sys::$type>();
                vec![$(node.$field),*]
            }};
        }
        let list = |list: *mut pg_sys::List| PgList::<pg_sys::RangeVar>::from_pg(list).iter_ptr().collect();
        match (*node).type_ {
            T_AlterTableStmt => field!(AlterTableStmt, relation),
            T_IndexStmt => field!(IndexStmt, relation),
            T_CreateTrigStmt => field!(CreateTrigStmt, relation, constrrel),
            T_InsertStmt => field!(InsertStmt, relation),
            T_UpdateStmt => field!(UpdateStmt, relation),
            T_DeleteStmt => field!(DeleteStmt, relation),
            T_MergeStmt => field!(MergeStmt, relation),
            T_RenameStmt => field!(RenameStmt, relation),
            T_AlterObjectSchemaStmt => field!(AlterObjectSchemaStmt, relation),
            T_CreatePolicyStmt => field!(CreatePolicyStmt, table),
            T_AlterPolicyStmt => field!(AlterPolicyStmt, table),
            T_RuleStmt => field!(RuleStmt, relation),
            T_ClusterStmt => field!(ClusterStmt, relation),
            T_RefreshMatViewStmt => field!(RefreshMatViewStmt, relation),
            T_ReindexStmt => field!(ReindexStmt, relation),
            T_AlterSeqStmt => field!(AlterSeqStmt, sequence),
            T_CopyStmt if (*node.cast::<pg_sys::CopyStmt>()).is_from => field!(CopyStmt, relation),
            T_GrantStmt => {
                let grant = &*node.cast::<pg_sys::GrantStmt>();
                let is_objects = grant.targtype == pg_sys::GrantTargetType::ACL_TARGET_OBJECT;
                match grant.objtype {
                    OBJECT_TABLE | OBJECT_SEQUENCE if is_objects => list(grant.objects),
                    _ => Vec::new(),
                }
            }
            T_TruncateStmt => list((*node.cast::<pg_sys::TruncateStmt>()).relations),
            T_LockStmt => list((*node.cast::<pg_sys::LockStmt>()).relations),
            T_CreateStmt => list((*node.cast::<pg_sys::CreateStmt>()).inhRelations),
            T_VacuumStmt => {
                let relations = PgList::<pg_sys::VacuumRelation>::from_pg((*node.cast::<pg_sys::VacuumStmt>()).rels);
                relations.iter_ptr().map(|relation| (*relation).relation).collect()
            }
            T_DropStmt => {
                let drop = &*node.cast::<pg_sys::DropStmt>();
                let names = PgList::<pg_sys::List>::from_pg(drop.objects);
                match drop.removeType {
                    OBJECT_TABLE | OBJECT_SEQUENCE | OBJECT_VIEW | OBJECT_MATVIEW | OBJECT_INDEX
                    | OBJECT_FOREIGN_TABLE => {
                        names.iter_ptr().map(|name| guard::makeRangeVarFromNameList(name)).collect()
                    }
                    // The last part is the object's own name.
                    OBJECT_TRIGGER | OBJECT_POLICY | OBJECT_RULE => {
                        names.iter_ptr().map(|name| relation_of(name)).collect()
                    }
                    _ => Vec::new(),
                }
            }
            T_CommentStmt => {
                let comment = &*node.cast::<pg_sys::CommentStmt>();
                let name = comment.object.cast::<pg_sys::List>();
                match comment.objtype {
                    OBJECT_TABLE | OBJECT_VIEW | OBJECT_MATVIEW | OBJECT_SEQUENCE | OBJECT_INDEX
                    | OBJECT_FOREIGN_TABLE => vec![guard::makeRangeVarFromNameList(name)],
                    OBJECT_COLUMN | OBJECT_TABCONSTRAINT | OBJECT_TRIGGER | OBJECT_POLICY | OBJECT_RULE => {
                        vec![relation_of(name)]
                    }
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }
}

/// Names of the schemas of objects that are not relations, and whose privileges or comments the statement changes. Only
/// if they are written there.
///
/// # Safety
/// The node must be a valid tree of a statement.
unsafe fn schemas(node: *mut pg_sys::Node) -> Vec<String> {
    // SAFETY: see above; each struct is that of its tag and kind of object.
    unsafe {
        let (kind, objects) = if let Some(grant) = as_node::<pg_sys::GrantStmt>(node, T_GrantStmt) {
            let is_all = (*grant).targtype == pg_sys::GrantTargetType::ACL_TARGET_ALL_IN_SCHEMA;
            let objects = PgList::<pg_sys::Node>::from_pg((*grant).objects);
            (if is_all { OBJECT_SCHEMA } else { (*grant).objtype }, objects.iter_ptr().collect())
        } else if let Some(comment) = as_node::<pg_sys::CommentStmt>(node, T_CommentStmt) {
            ((*comment).objtype, vec![(*comment).object])
        } else {
            return Vec::new();
        };
        let qualifier = |names: *mut pg_sys::List| {
            let names = PgList::<pg_sys::Node>::from_pg(names);
            names.head().filter(|_| names.len() > 1).and_then(|schema| string(schema))
        };
        let schema_of = |object: *mut pg_sys::Node| match kind {
            OBJECT_SCHEMA => string(object),
            OBJECT_FUNCTION | OBJECT_PROCEDURE | OBJECT_ROUTINE | OBJECT_AGGREGATE => {
                as_node::<pg_sys::ObjectWithArgs>(object, T_ObjectWithArgs)
                    .and_then(|named| qualifier((*named).objname))
            }
            OBJECT_TYPE | OBJECT_DOMAIN => match as_node::<pg_sys::TypeName>(object, T_TypeName) {
                Some(named) => qualifier((*named).names),
                None => as_node::<pg_sys::List>(object, T_List).and_then(qualifier),
            },
            _ => None,
        };
        objects.into_iter().filter_map(schema_of).collect()
    }
}

/// The relation in the name of something that belongs to one.
///
/// # Safety
/// It must be a list of String nodes.
unsafe fn relation_of(name: *mut pg_sys::List) -> *mut pg_sys::RangeVar {
    // SAFETY: see above.
    unsafe {
        let mut parts = PgList::<pg_sys::Node>::new();
        let all = PgList::<pg_sys::Node>::from_pg(name);
        all.iter_ptr().take(all.len().saturating_sub(1)).for_each(|part| parts.push(part));
        if parts.is_empty() { core::ptr::null_mut() } else { guard::makeRangeVarFromNameList(parts.into_pg()) }
    }
}
