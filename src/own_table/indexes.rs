//! The indexes of a user's table, and what they are good for.

use std::collections::BTreeSet;

use pgrx::pg_sys::Oid;

use crate::args;
use crate::backend::{Db, Row, Statement, Value};

/// An index that is not about to be dropped.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Schema and name, quoted for SQL.
    pub name: String,
    /// The constraint that it belongs to, quoted for SQL.
    pub constraint: Option<String>,
    pub is_exclusion: bool,
    pub is_unique: bool,
    pub is_valid: bool,
    pub is_btree: bool,
    /// Nothing but the columns was given when it was made.
    pub is_default: bool,
    /// Whether uniqueness is checked at once, not at the end of the statement or transaction.
    pub is_immediate: bool,
    /// Whether it is the primary key, identifies rows for replication, or a foreign key refers to it.
    pub is_needed: bool,
    /// Numbers of its key columns; 0 is an expression.
    pub columns: Vec<i16>,
    /// Numbers of the columns that its condition (WHERE) depends on; `None` if it has no condition.
    pub condition: Option<Vec<i16>>,
    /// Numbers of the columns that are in its condition or an expression, and only there.
    pub computed_from: Vec<i16>,
    /// Equal for two indexes that are the same except for being unique or deferrable.
    pub likeness: String,
    /// The name alone, quoted for SQL.
    pub short_name: String,
    /// `CREATE INDEX ...`
    pub definition: String,
    pub comment: Option<String>,
}

impl Index {
    fn has(&self, columns: &[i16]) -> bool {
        let own: BTreeSet<i16> = self.columns.iter().copied().collect();
        own == columns.iter().copied().collect()
    }

    /// Neither partial nor on expressions.
    fn is_plain(&self) -> bool {
        self.is_valid && self.condition.is_none() && !self.columns.contains(&0)
    }

    /// Whether it lets only one row have the same values in just these columns.
    pub fn is_unique_on(&self, columns: &[i16]) -> bool {
        self.is_unique && !self.is_exclusion && self.is_plain() && self.has(columns)
    }

    /// Whether it finds the newest version of a parent: it begins with the parent's columns, in any order, and then has the
    /// version.
    pub fn finds_newest(&self, parents: &[i16], version: i16) -> bool {
        let Some((own, rest)) = self.columns.split_at_checked(parents.len()) else { return false };
        let own: BTreeSet<&i16> = own.iter().collect();
        self.is_btree && self.is_plain() && own == parents.iter().collect() && rest.first() == Some(&version)
    }

    /// Whether it lets only one row of a parent have the flag, or any value of it; perhaps several, if they differ in other
    /// columns.
    pub fn is_unique_flag(&self, parents: &[i16], flag: i16) -> bool {
        let with_flag: Vec<i16> = parents.iter().copied().chain([flag]).collect();
        let is_for_flag = self.condition.as_ref().is_some_and(|columns| columns.contains(&flag));
        let is_by_more = self.computed_from.contains(&flag)
            && !self.columns.contains(&0)
            && parents.iter().all(|parent| self.columns.contains(parent));
        self.is_unique
            && !self.is_exclusion
            && (is_for_flag && (self.has(parents) || self.has(&with_flag)) || is_by_more)
    }

    /// Whether rows that are current must differ in some other way.
    pub fn is_in_the_way_of_flag(&self, parents: &[i16], flag: i16) -> bool {
        (self.is_unique || self.is_exclusion)
            && self.computed_from.contains(&flag)
            && !self.is_unique_flag(parents, flag)
    }

    /// The statement that drops it, from the table of this name.
    pub fn drop_from(&self, table: &str) -> String {
        match &self.constraint {
            Some(name) => format!("ALTER TABLE {table} DROP CONSTRAINT {name}"),
            None => format!("DROP INDEX {}", self.name),
        }
    }

    /// The statement that creates it again, unique or not.
    pub fn create(&self, unique: bool) -> String {
        let kind = |unique| if unique { "CREATE UNIQUE INDEX" } else { "CREATE INDEX" };
        let head = format!("{} {} ON ", kind(self.is_unique), self.short_name);
        let rest = self.definition.strip_prefix(&head).unwrap_or(&self.definition);
        // On a partitioned table, Postgres shows the index alone, without those of the partitions.
        format!("{} {} ON {}", kind(unique), self.short_name, rest.strip_prefix("ONLY ").unwrap_or(rest))
    }
}

/// The indexes that can be dropped, each with the one that does all that it does.
pub fn superfluous(indexes: &[Index]) -> Vec<(&Index, &Index)> {
    let does_all_of = |kept: &Index, other: &Index| {
        kept.likeness == other.likeness
            && (kept.is_unique || !other.is_unique)
            && (kept.is_immediate || !other.is_immediate || !other.is_unique)
    };
    // The best one of each kind is kept; of equal ones the first.
    let rank = |index: &Index| (!index.is_needed, !index.is_unique, !index.is_immediate, index.constraint.is_none());
    let mut ranked: Vec<&Index> = indexes.iter().filter(|index| index.is_valid && !index.is_exclusion).collect();
    ranked.sort_by_key(|index| rank(index));
    let mut kept: Vec<&Index> = Vec::new();
    let mut found = Vec::new();
    for index in ranked {
        match kept.iter().find(|kept| does_all_of(kept, index)).filter(|_| !index.is_needed) {
            Some(kept) => found.push((index, *kept)),
            None => kept.push(index),
        }
    }
    found
}

/// All indexes of a table, in the order in which they were created.
pub fn indexes(db: &Db, table: Oid) -> Vec<Index> {
    static INDEXES: Statement = Statement::new(
        "SELECT format('%I.%I', n.nspname, c.relname) AS name, quote_ident(c.relname) AS short_name,
                quote_ident(k.conname) AS constraint_name, i.indisexclusion AS is_exclusion, i.indisunique AS is_unique,
                i.indisvalid AS is_valid, a.amname = 'btree' AS is_btree, i.indimmediate AS is_immediate,
                i.indnatts = i.indnkeyatts AND c.reloptions IS NULL
                  AND NOT EXISTS (
                        SELECT FROM unnest(i.indkey::int2[], i.indoption::int2[], i.indclass::oid[], i.indcollation::oid[])
                               AS u (number, way, class, collated)
                          JOIN pg_attribute t ON t.attrelid = i.indrelid AND t.attnum = u.number
                          JOIN pg_opclass o ON o.oid = u.class
                         WHERE u.way <> 0 OR NOT o.opcdefault OR u.collated <> t.attcollation) AS is_default,
                i.indisprimary OR i.indisreplident
                  OR EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = i.indexrelid) AS is_needed,
                (i.indkey::int2[])[0 : i.indnkeyatts - 1] AS columns,
                CASE WHEN i.indpred IS NOT NULL
                     THEN ARRAY(SELECT DISTINCT d.refobjsubid::int2 FROM pg_depend d
                                 WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                                   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                                   AND d.refobjsubid > 0) END AS condition,
                ARRAY(SELECT DISTINCT d.refobjsubid::int2 FROM pg_depend d
                       WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                         AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                         AND d.refobjsubid > 0 AND d.refobjsubid <> ALL (i.indkey::int2[])) AS computed_from,
                concat_ws('|', a.amname, i.indnkeyatts, i.indkey, i.indclass, i.indcollation, i.indoption,
                          i.indnullsnotdistinct, c.reloptions, pg_get_expr(i.indexprs, i.indrelid),
                          pg_get_expr(i.indpred, i.indrelid)) AS likeness,
                pg_get_indexdef(i.indexrelid) AS definition, obj_description(i.indexrelid, 'pg_class') AS comment
           FROM pg_index i
           JOIN pg_class c ON c.oid = i.indexrelid
           JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_am a ON a.oid = c.relam
           LEFT JOIN pg_constraint k ON k.conrelid = i.indrelid AND k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
          WHERE i.indrelid = :table AND i.indislive
          ORDER BY i.indexrelid",
    );
    let index = |row: Row| Index {
        name: row.value("name"),
        constraint: row.get("constraint_name"),
        is_exclusion: row.value("is_exclusion"),
        is_unique: row.value("is_unique"),
        is_valid: row.value("is_valid"),
        is_btree: row.value("is_btree"),
        is_default: row.value("is_default"),
        is_immediate: row.value("is_immediate"),
        is_needed: row.value("is_needed"),
        columns: row.value("columns"),
        condition: row.get("condition"),
        computed_from: row.value("computed_from"),
        likeness: row.value("likeness"),
        short_name: row.value("short_name"),
        definition: row.value("definition"),
        comment: row.get("comment"),
    };
    db.run(&INDEXES, &args! { table: Value::oid_of(table) }).iter().map(index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, kind: &str) -> Index {
        let is = |what: &str| kind.contains(what);
        Index {
            name: name.to_owned(),
            constraint: is("constraint").then(|| name.to_owned()),
            columns: vec![2, 3],
            is_valid: true,
            condition: is("partial").then(|| vec![4]),
            is_btree: !is("hash"),
            is_unique: is("unique"),
            is_default: !is("partial"),
            is_immediate: !is("deferrable"),
            is_needed: is("needed"),
            likeness: if is("other") { "o" } else { "l" }.to_owned(),
            ..Index::default()
        }
    }

    #[track_caller]
    fn dropped(indexes: &[Index]) -> Vec<String> {
        superfluous(indexes).iter().map(|(index, kept)| format!("{} for {}", index.name, kept.name)).collect()
    }

    #[test]
    fn all_but_the_best_are_superfluous() {
        assert_eq!(dropped(&[index("a", ""), index("b", "")]), ["b for a"]);
        assert_eq!(dropped(&[index("a", ""), index("b", "unique")]), ["a for b"]);
        assert_eq!(dropped(&[index("a", "unique"), index("b", "unique constraint")]), ["a for b"]);
        assert_eq!(
            dropped(&[index("a", "unique constraint"), index("b", "unique needed"), index("c", "")]),
            ["a for b", "c for b"]
        );
    }

    #[test]
    fn what_is_needed_or_different_stays() {
        assert!(dropped(&[index("a", "unique needed"), index("b", "unique needed constraint")]).is_empty());
        assert!(dropped(&[index("a", ""), index("b", "other")]).is_empty());
        assert!(dropped(&[index("a", "unique needed deferrable"), index("b", "unique")]).is_empty());
        assert_eq!(dropped(&[index("a", "unique deferrable"), index("b", "unique")]), ["a for b"]);
        assert_eq!(dropped(&[index("a", "unique needed deferrable"), index("b", "")]), ["b for a"]);
    }

    #[test]
    fn what_makes_versions_unique() {
        let unique = index("a", "unique");
        assert!(unique.is_unique_on(&[2, 3]) && unique.is_unique_on(&[3, 2]));
        assert!(!unique.is_unique_on(&[2, 4, 3]) && !unique.is_unique_on(&[2, 4]) && !unique.is_unique_on(&[3]));
        assert!(!index("a", "").is_unique_on(&[2, 3]));
        assert!(!index("a", "unique partial").is_unique_on(&[2, 3]));
    }

    #[test]
    fn what_the_flag_meets() {
        let found = |columns: &[i16], computed_from: &[i16]| {
            let (columns, computed_from) = (columns.to_vec(), computed_from.to_vec());
            let index = Index { columns, computed_from, ..index("a", "unique partial") };
            (index.is_unique_flag(&[2, 3], 4), index.is_in_the_way_of_flag(&[2, 3], 4))
        };
        assert_eq!([found(&[3, 2], &[4]), found(&[2, 3, 4], &[]), found(&[2, 9, 3], &[4])], [(true, false); 3]);
        assert_eq!([found(&[2], &[4]), found(&[9], &[4]), found(&[2, 0], &[4])], [(false, true); 3]);
        assert_eq!([found(&[9], &[]), found(&[2, 9], &[5])], [(false, false); 2]);
    }

    #[test]
    fn what_finds_the_newest() {
        let found =
            |keys: &[i16], parents: &[i16]| Index { columns: keys.to_vec(), ..index("a", "") }.finds_newest(parents, 3);
        assert!(found(&[2, 3], &[2]) && found(&[2, 3, 9], &[2]) && found(&[4, 2, 3], &[2, 4]));
        assert!(!found(&[3, 2], &[2]) && !found(&[2], &[2]) && !found(&[2, 9, 3], &[2]) && !found(&[2, 2, 3], &[2, 4]));
        assert!(!index("a", "partial").finds_newest(&[2], 3) && !index("a", "hash").finds_newest(&[2], 3));
    }

    #[test]
    fn an_index_is_created_again() {
        let definition = "CREATE UNIQUE INDEX \"a ON ONLY b\" ON ONLY public.t USING btree (p) WHERE c".to_owned();
        let found = Index { short_name: "\"a ON ONLY b\"".to_owned(), definition, ..index("a", "unique") };
        assert_eq!(found.create(false), "CREATE INDEX \"a ON ONLY b\" ON public.t USING btree (p) WHERE c");
        assert_eq!(found.create(true), "CREATE UNIQUE INDEX \"a ON ONLY b\" ON public.t USING btree (p) WHERE c");
        let plain = Index { is_unique: false, definition: found.create(false), ..found };
        assert_eq!(plain.create(true), "CREATE UNIQUE INDEX \"a ON ONLY b\" ON public.t USING btree (p) WHERE c");
    }
}
