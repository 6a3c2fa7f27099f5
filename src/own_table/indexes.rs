//! The indexes of a user's table, and what they are good for.

use std::cmp::Reverse;

use pgrx::pg_sys::Oid;

use crate::args;
use crate::backend::{Db, Row, Statement, Value};

/// An index that is not about to be dropped.
#[derive(Clone, Debug, Default)]
pub struct Index {
    pub oid: u32,
    /// Schema and name, quoted for SQL.
    pub name: String,
    /// The constraint that it belongs to, quoted for SQL.
    pub constraint: Option<String>,
    pub is_exclusion: bool,
    pub is_unique: bool,
    pub is_primary: bool,
    pub is_valid: bool,
    pub is_btree: bool,
    /// Whether uniqueness is checked at once, not at the end of the statement or transaction.
    pub is_immediate: bool,
    /// Whether a foreign key or the replica identity needs just this one.
    pub is_needed: bool,
    /// Numbers of its key columns; 0 is an expression.
    pub columns: Vec<i16>,
    /// Numbers of the columns that its condition (WHERE) depends on; `None` if it has no condition.
    pub condition: Option<Vec<i16>>,
    /// Everything that two indexes must have in common to be the same.
    pub fingerprint: String,
    /// The name alone, quoted for SQL.
    pub short_name: String,
    /// `CREATE INDEX ...`
    pub definition: String,
    pub comment: Option<String>,
}

impl Index {
    fn has(&self, columns: &[i16]) -> bool {
        self.columns.len() == columns.len() && columns.iter().all(|column| self.columns.contains(column))
    }

    /// Whether it lets only one row have the same values in just these columns.
    pub fn is_unique_on(&self, columns: &[i16]) -> bool {
        self.is_unique && self.is_valid && self.condition.is_none() && self.has(columns)
    }

    /// Whether it finds the newest version of a parent: it begins with the parent's columns, in any order, and then has the
    /// version.
    pub fn finds_newest(&self, parents: &[i16], version: i16) -> bool {
        self.is_btree
            && self.is_valid
            && self.condition.is_none()
            && self.columns.get(parents.len()) == Some(&version)
            && parents.iter().all(|parent| self.columns[..parents.len()].contains(parent))
    }

    /// The statement that creates it again, unique or not.
    pub fn create(&self, unique: bool) -> String {
        let kind = |unique| if unique { "CREATE UNIQUE INDEX" } else { "CREATE INDEX" };
        let head = format!("{} {} ON ", kind(self.is_unique), self.short_name);
        let rest = self.definition.strip_prefix(&head).unwrap_or(&self.definition);
        // On a partitioned table, Postgres shows the index alone, without those of the partitions.
        format!("{} {} ON {}", kind(unique), self.short_name, rest.strip_prefix("ONLY ").unwrap_or(rest))
    }

    /// Whether it lets only one row of a parent have the flag, or any value of it.
    pub fn is_unique_flag(&self, parents: &[i16], flag: i16) -> bool {
        let with_flag: Vec<i16> = parents.iter().copied().chain([flag]).collect();
        self.is_unique
            && !self.is_primary
            && (self.has(parents) || self.has(&with_flag))
            && self.condition.as_ref().is_some_and(|columns| columns.contains(&flag))
    }
}

/// Of indexes that are the same, all but the one to be kept.
pub fn superfluous(indexes: &[Index]) -> Vec<&Index> {
    let worth = |index: &Index| {
        (
            index.is_primary,
            index.is_needed,
            index.is_valid,
            index.is_immediate,
            index.constraint.is_some(),
            Reverse(index.oid),
        )
    };
    let is_better = |other: &Index, index: &Index| worth(other) > worth(index);
    let superfluous = |index: &&Index| {
        !(index.is_primary || index.is_needed)
            && indexes.iter().any(|other| other.fingerprint == index.fingerprint && is_better(other, index))
    };
    indexes.iter().filter(superfluous).collect()
}

/// All indexes of a table, in the order in which they were created.
pub fn indexes(db: &Db, table: Oid) -> Vec<Index> {
    static INDEXES: Statement = Statement::new(
        "SELECT i.indexrelid::oid::bigint AS oid, format('%I.%I', n.nspname, c.relname) AS name,
                quote_ident(k.conname) AS constraint_name, coalesce(k.contype = 'x', false) AS is_exclusion,
                i.indisunique AS is_unique, i.indisprimary AS is_primary, i.indisvalid AS is_valid,
                a.amname = 'btree' AS is_btree, i.indimmediate AS is_immediate,
                i.indisreplident OR EXISTS (SELECT FROM pg_constraint f WHERE f.conindid = i.indexrelid
                                               AND f.contype = 'f' AND f.confrelid = i.indrelid) AS is_needed,
                (i.indkey::int2[])[0 : i.indnkeyatts - 1] AS columns,
                CASE WHEN i.indpred IS NOT NULL
                     THEN ARRAY(SELECT DISTINCT d.refobjsubid::int2 FROM pg_depend d
                                 WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                                   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                                   AND d.refobjsubid > 0) END AS condition,
                concat_ws('|', i.indisunique, a.amname, i.indnkeyatts, i.indkey::text, i.indclass::text,
                          i.indcollation::text, i.indoption::text, pg_get_expr(i.indpred, i.indrelid),
                          pg_get_expr(i.indexprs, i.indrelid), coalesce(k.contype, ''),
                          (to_jsonb(i) ->> 'indnullsnotdistinct'),
                          (SELECT string_agg(e.op::text, ',') FROM unnest(k.conexclop) AS e (op))) AS fingerprint,
                quote_ident(c.relname) AS short_name, pg_get_indexdef(i.indexrelid) AS definition, obj_description(i.indexrelid, 'pg_class') AS comment
           FROM pg_index i
           JOIN pg_class c ON c.oid = i.indexrelid
           JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_am a ON a.oid = c.relam
           LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
          WHERE i.indrelid = :table AND i.indislive
          ORDER BY i.indexrelid",
    );
    let index = |row: Row| Index {
        oid: row.value::<i64>("oid") as u32,
        name: row.value("name"),
        constraint: row.get("constraint_name"),
        is_exclusion: row.value("is_exclusion"),
        is_unique: row.value("is_unique"),
        is_primary: row.value("is_primary"),
        is_valid: row.value("is_valid"),
        is_btree: row.value("is_btree"),
        is_immediate: row.value("is_immediate"),
        is_needed: row.value("is_needed"),
        columns: row.value("columns"),
        condition: row.get("condition"),
        fingerprint: row.value("fingerprint"),
        short_name: row.value("short_name"),
        definition: row.value("definition"),
        comment: row.get("comment"),
    };
    db.run(&INDEXES, &args! { table: Value::oid_of(table) }).iter().map(index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique(oid: u32, columns: &[i16]) -> Index {
        Index {
            oid,
            is_unique: true,
            is_valid: true,
            is_btree: true,
            is_immediate: true,
            columns: columns.to_vec(),
            fingerprint: format!("{columns:?}"),
            ..Index::default()
        }
    }

    #[test]
    fn the_columns_of_a_unique_index_may_be_in_any_order() {
        assert!(unique(1, &[3, 2]).is_unique_on(&[2, 3]));
        assert!(!unique(1, &[2]).is_unique_on(&[2, 3]) && !unique(1, &[2, 3, 4]).is_unique_on(&[2, 3]));
        assert!(!Index { condition: Some(vec![4]), ..unique(1, &[2, 3]) }.is_unique_on(&[2, 3]));
    }

    #[test]
    fn the_newest_version_is_found_at_the_end_of_the_parents() {
        assert!(unique(1, &[2, 3, 4]).finds_newest(&[3, 2], 4) && unique(1, &[2, 3, 4]).finds_newest(&[2], 3));
        assert!(!unique(1, &[4, 2]).finds_newest(&[2], 4) && !unique(1, &[2]).finds_newest(&[2], 4));
    }

    #[test]
    fn an_index_is_created_again() {
        let definition = "CREATE UNIQUE INDEX \"a ON ONLY b\" ON ONLY public.t USING btree (p) WHERE c".to_owned();
        let index = Index { short_name: "\"a ON ONLY b\"".to_owned(), definition, ..unique(1, &[1]) };
        assert_eq!(index.create(false), "CREATE INDEX \"a ON ONLY b\" ON public.t USING btree (p) WHERE c");
        assert_eq!(index.create(true), "CREATE UNIQUE INDEX \"a ON ONLY b\" ON public.t USING btree (p) WHERE c");
        let plain = Index { is_unique: false, definition: index.create(false), ..index };
        assert_eq!(plain.create(true), "CREATE UNIQUE INDEX \"a ON ONLY b\" ON public.t USING btree (p) WHERE c");
    }

    #[test]
    fn one_of_the_same_is_kept() {
        let constraint = |oid| Index { constraint: Some("c".to_owned()), ..unique(oid, &[1, 2]) };
        let names = |indexes: &[Index]| superfluous(indexes).iter().map(|index| index.oid).collect::<Vec<_>>();
        assert_eq!(names(&[constraint(1), constraint(2), unique(3, &[1, 2])]), [2, 3]);
        assert_eq!(names(&[unique(1, &[1, 2]), constraint(2)]), [1]);
        assert_eq!(names(&[constraint(1), Index { is_needed: true, ..unique(2, &[1, 2]) }]), [1]);
        assert!(names(&[unique(1, &[1, 2]), unique(2, &[2, 1])]).is_empty());
        let primary = Index { is_primary: true, ..constraint(2) };
        assert_eq!(names(&[Index { is_needed: true, ..constraint(1) }, primary]), [] as [u32; 0]);
    }
}
