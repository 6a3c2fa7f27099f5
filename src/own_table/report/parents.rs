//! Where the parents are: foreign keys, the tables that could be meant, and rows whose parent does not exist.

use serde_json::value::RawValue;

use super::finding::{Finding, Severity, statements};
use super::numbers::json_pairs;
use crate::args;
use crate::backend::{Db, Row, Statement, Value};
use crate::own_table::table::{Column, Counted, list};

/// A table that columns refer to, or should.
#[derive(Debug)]
pub struct Reference {
    /// Schema and name, quoted for SQL.
    target: String,
    /// The name alone, not quoted.
    pub relname: String,
    /// The columns of the user's table.
    columns: Vec<i16>,
    /// The columns that they refer to, as a list for SQL.
    keys: String,
    /// The condition that row `p` of the target is the parent of row `v`.
    is_parent: String,
    /// Whether the caller sees all rows of the target.
    is_readable: bool,
    /// Whether they are its primary key.
    is_primary: bool,
    /// The foreign key; `None` if there should be one.
    constraint: Option<ForeignKey>,
}

#[derive(Debug)]
struct ForeignKey {
    /// Quoted for SQL.
    name: String,
    has_on_delete: bool,
    is_validated: bool,
    /// Postgres 18 has foreign keys that are not enforced, and temporal ones, which can have no ON DELETE.
    is_enforced: bool,
    is_temporal: bool,
    /// What follows the columns that it refers to, with ON DELETE CASCADE.
    with_on_delete: String,
}

/// The foreign keys of the table whose columns are all among the parents.
pub fn foreign_keys(db: &Db, counted: &Counted) -> Vec<Reference> {
    static FOREIGN_KEYS: Statement = Statement::new(
        "SELECT quote_ident(c.conname) AS name, format('%I.%I', n.nspname, r.relname) AS target, r.relname::text,
                c.conkey AS columns, k.keys, k.is_parent,
                EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.conindid AND i.indisprimary) AS is_primary,
                coalesce(has_table_privilege(r.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
                         AND NOT row_security_active(r.oid), false) AS is_readable,
                c.confdeltype <> 'a' AS has_on_delete, c.convalidated AS is_validated,
                coalesce(to_jsonb(c) ->> 'conenforced' = 'true', true) AS is_enforced,
                coalesce(to_jsonb(c) ->> 'conperiod' = 'true', false) AS is_temporal,
                concat(CASE c.confmatchtype WHEN 'f' THEN ' MATCH FULL' END,
                       CASE c.confupdtype WHEN 'r' THEN ' ON UPDATE RESTRICT' WHEN 'c' THEN ' ON UPDATE CASCADE'
                                          WHEN 'n' THEN ' ON UPDATE SET NULL' WHEN 'd' THEN ' ON UPDATE SET DEFAULT' END,
                       ' ON DELETE CASCADE',
                       CASE WHEN c.condeferrable THEN ' DEFERRABLE' END,
                       CASE WHEN c.condeferred THEN ' INITIALLY DEFERRED' END) AS with_on_delete
           FROM pg_constraint c
           JOIN pg_class r ON r.oid = c.confrelid
           JOIN pg_namespace n ON n.oid = r.relnamespace
          CROSS JOIN LATERAL (
                SELECT string_agg(quote_ident(p.attname), ', ' ORDER BY u.nth) AS keys,
                       string_agg(format('p.%I %s v.%I%s', p.attname,
                                         CASE WHEN o.oprnamespace = 'pg_catalog'::regnamespace THEN o.oprname::text
                                              ELSE format('OPERATOR(%I.%s)', s.nspname, o.oprname) END,
                                         v.attname,
                                         CASE WHEN p.attcollation NOT IN (0, v.attcollation)
                                              THEN format(' COLLATE %I.%I', cs.nspname, co.collname) END),
                                  ' AND ' ORDER BY u.nth) AS is_parent
                  FROM unnest(c.conkey, c.confkey, c.conpfeqop) WITH ORDINALITY AS u (own, other, operator, nth)
                  JOIN pg_attribute v ON v.attrelid = c.conrelid AND v.attnum = u.own
                  JOIN pg_attribute p ON p.attrelid = c.confrelid AND p.attnum = u.other
                  JOIN pg_operator o ON o.oid = u.operator
                  JOIN pg_namespace s ON s.oid = o.oprnamespace
                  LEFT JOIN pg_collation co ON co.oid = p.attcollation
                  LEFT JOIN pg_namespace cs ON cs.oid = co.collnamespace) k
          WHERE c.conrelid = :table::oid AND c.contype = 'f' AND c.conparentid = 0
          ORDER BY c.oid",
    );
    let is_of_parent = |number: &i16| counted.parents.iter().any(|column| column.number == *number);
    let reference = |row: Row| Reference {
        constraint: Some(ForeignKey {
            name: row.value("name"),
            has_on_delete: row.value("has_on_delete"),
            is_validated: row.value("is_validated"),
            is_enforced: row.value("is_enforced"),
            is_temporal: row.value("is_temporal"),
            with_on_delete: row.value("with_on_delete"),
        }),
        ..reference(&row)
    };
    let rows = db.read(&FOREIGN_KEYS, &args! { table: Value::oid_of(counted.table.oid) });
    rows.iter().map(reference).filter(|reference| reference.columns.iter().all(is_of_parent)).collect()
}

fn reference(row: &Row) -> Reference {
    Reference {
        target: row.value("target"),
        relname: row.value("relname"),
        columns: row.value("columns"),
        keys: row.value("keys"),
        is_parent: row.value("is_parent"),
        is_readable: row.value("is_readable"),
        is_primary: row.value("is_primary"),
        constraint: None,
    }
}

/// The table that each column of the parents that has no foreign key seems to be meant for, if there is exactly one, or
/// exactly one whose primary key is meant.
pub fn guesses(db: &Db, counted: &Counted, known: &[Reference]) -> Vec<Reference> {
    // One key of each table: the primary key, or the only other one that is unique and of the column's type.
    static CANDIDATES: Statement = Statement::new(
        "SELECT k.target, k.relname, ARRAY[v.attnum] AS columns, quote_ident(k.attname) AS keys,
                format('p.%I %s v.%I%s', k.attname, k.operator, v.attname,
                       CASE WHEN k.attcollation NOT IN (0, v.attcollation)
                            THEN (SELECT format(' COLLATE %I.%I', cs.nspname, co.collname)
                                    FROM pg_collation co JOIN pg_namespace cs ON cs.oid = co.collnamespace
                                   WHERE co.oid = k.attcollation) END) AS is_parent,
                k.is_readable, k.indisprimary AS is_primary
           FROM pg_attribute v
           JOIN (SELECT format('%I.%I', n.nspname, r.relname) AS target, r.relname::text, a.attname, a.atttypid,
                        a.attcollation, i.indisprimary,
                        coalesce(has_table_privilege(r.oid, 'SELECT') AND NOT row_security_active(r.oid), false)
                          AS is_readable,
                        CASE WHEN o.oprnamespace = 'pg_catalog'::regnamespace THEN o.oprname::text
                             ELSE format('OPERATOR(%I.%s)', s.nspname, o.oprname) END AS operator,
                        count(*) FILTER (WHERE NOT i.indisprimary) OVER same AS others,
                        bool_or(i.indisprimary) OVER same AS has_primary
                   FROM pg_class t
                   JOIN pg_class r ON r.relnamespace = t.relnamespace AND r.oid <> t.oid
                                  AND r.relkind IN ('r', 'p') AND NOT r.relispartition
                   JOIN pg_namespace n ON n.oid = r.relnamespace
                   JOIN pg_index i ON i.indrelid = r.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                                  AND i.indnkeyatts = 1 AND i.indpred IS NULL AND i.indexprs IS NULL
                   JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = i.indkey[0]
                   JOIN pg_opclass f ON f.oid = i.indclass[0]
                   JOIN pg_amop m ON m.amopfamily = f.opcfamily AND m.amopstrategy = 3
                                 AND m.amoplefttype = f.opcintype AND m.amoprighttype = f.opcintype
                   JOIN pg_operator o ON o.oid = m.amopopr
                   JOIN pg_namespace s ON s.oid = o.oprnamespace
                  WHERE t.oid = :table::oid
                 WINDOW same AS (PARTITION BY r.oid, a.atttypid)) k
             ON k.atttypid = v.atttypid AND (k.indisprimary OR (k.others = 1 AND NOT k.has_primary))
          WHERE v.attrelid = :table::oid AND v.attnum > 0 AND NOT v.attisdropped
          ORDER BY k.target",
    );
    let has_key = |column: &Column| known.iter().any(|reference| reference.columns.contains(&column.number));
    let rows = db.read(&CANDIDATES, &args! { table: Value::oid_of(counted.table.oid) });
    let candidates: Vec<Reference> = rows.iter().map(|row| reference(&row)).collect();
    let numbers: Vec<(i16, &str)> = counted
        .parents
        .iter()
        .filter(|column| !has_key(column))
        .map(|column| (column.number, column.name.as_str()))
        .collect();
    let mut meant: Vec<Reference> = candidates
        .into_iter()
        .filter(|it| numbers.iter().any(|(number, name)| it.columns == [*number] && is_named_after(&it.relname, name)))
        .collect();
    let of_primary: Vec<i16> = meant.iter().filter(|it| it.is_primary).map(|it| it.columns[0]).collect();
    meant.retain(|it| it.is_primary || !of_primary.contains(&it.columns[0]));
    let columns: Vec<i16> = meant.iter().map(|it| it.columns[0]).collect();
    meant.retain(|it| columns.iter().filter(|column| **column == it.columns[0]).count() == 1);
    meant
}

/// Whether a column of this name seems to refer to a table of that name: `fileId`, `file_id` or `file` to `File`, `Files`,
/// `file`, `files`.
fn is_named_after(table: &str, column: &str) -> bool {
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let (table, column) = (plain(table), plain(column));
    let stems = [Some(column.as_str()), column.strip_suffix("uuid"), column.strip_suffix("id")];
    stems.into_iter().flatten().filter(|stem| !stem.is_empty()).any(|stem| {
        let ies = stem.strip_suffix('y').map(|stem| format!("{stem}ies"));
        table.strip_prefix(stem).is_some_and(|end| ["", "s", "es"].contains(&end)) || ies.as_ref() == Some(&table)
    })
}

/// Rows that have no parent although they should; they stand first in the report, because a foreign key cannot be added
/// as long as they exist. Reads the tables with the calling statement's snapshot.
pub fn orphans(db: &Db, counted: &Counted, references: &[Reference]) -> Vec<Finding> {
    let find = |reference: &Reference| {
        let columns = reference.own_columns(counted);
        let are_given: Vec<_> = columns.iter().map(|column| format!("v.{} IS NOT NULL", column.quoted)).collect();
        let (target, table) = (&reference.target, &counted.table.name);
        let are_orphans = format!(
            "{} AND NOT EXISTS (SELECT FROM {target} AS p WHERE {})",
            are_given.join(" AND "),
            reference.is_parent
        );
        let rows = db.dynamic_read(
            &format!(
                "SELECT count(*) AS rows, min(jsonb_build_object({})::text COLLATE \"C\") AS parent
                   FROM {table} AS v WHERE {are_orphans}",
                json_pairs(&columns, "v")
            ),
            &[],
        );
        let row = rows.one();
        let number: i64 = row.value("rows");
        let parent = row.get::<String>("parent").and_then(|parent| RawValue::from_string(parent).ok());
        let fix = format!("-- Unless you create their parents.\nDELETE FROM {table} AS v WHERE {are_orphans}");
        let description = format!("the parent in {target} does not exist: {}", list(&columns));
        let finding = Finding::new("orphans", Severity::Error, description, fix).about(number);
        (number > 0).then_some(Finding { parent, ..finding })
    };
    references.iter().filter(|reference| reference.is_readable).filter_map(find).collect()
}

/// Foreign keys that are missing or incomplete.
pub fn references(counted: &Counted, known: &[Reference], guesses: &[Reference]) -> Vec<Finding> {
    let table = &counted.table.name;
    let mut findings = Vec::new();
    if known.is_empty() && guesses.is_empty() {
        let description = format!("there is no foreign key on {}", counted.parent_list());
        let fix = "-- Add a foreign key with ON DELETE CASCADE, if there is a table of the parents.".to_owned();
        findings.push(Finding::new("no_foreign_key", Severity::Info, description, fix));
    }
    for guess in guesses {
        let columns = list(&guess.own_columns(counted));
        let unread = if guess.is_readable { "" } else { " (orphans were not counted: you do not see all of its rows)" };
        let description =
            format!("there is no foreign key on {columns}; the parents seem to be in {}{unread}", guess.target);
        let fix = format!(
            "ALTER TABLE {table} ADD FOREIGN KEY ({columns}) REFERENCES {} ({}) ON DELETE CASCADE",
            guess.target, guess.keys
        );
        findings.push(Finding::new("no_foreign_key", Severity::Warning, description, fix));
    }
    for reference in known {
        findings.extend(reference.constraint.as_ref().and_then(|key| incomplete(counted, reference, key)));
    }
    findings
}

fn incomplete(counted: &Counted, reference: &Reference, key: &ForeignKey) -> Option<Finding> {
    let (table, ForeignKey { name, with_on_delete, .. }) = (&counted.table.name, key);
    let (columns, target) = (list(&reference.own_columns(counted)), &reference.target);
    let is_checked = key.is_enforced && key.is_validated;
    let has_on_delete = key.has_on_delete || key.is_temporal;
    let renewed = format!(
        "ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} FOREIGN KEY ({columns}) REFERENCES {target} ({}){with_on_delete}",
        reference.keys
    );
    match (has_on_delete, is_checked) {
        (true, true) => None,
        (false, _) => {
            let description =
                format!("foreign key {name} has no ON DELETE: a row of {target} with versions cannot be deleted");
            Some(Finding::new("foreign_key_without_on_delete", Severity::Info, description, renewed))
        }
        (true, false) => {
            let description = format!("foreign key {name} is not enforced for all rows");
            let enforce = format!("ALTER TABLE {table} ALTER CONSTRAINT {name} ENFORCED");
            let validate = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}");
            // To enforce a constraint checks all rows.
            let fix = statements([if key.is_enforced { validate.as_str() } else { enforce.as_str() }]);
            Some(Finding::new("no_foreign_key", Severity::Warning, description, fix))
        }
    }
}

impl Reference {
    fn own_columns(&self, counted: &Counted) -> Vec<Column> {
        let column = |number: &i16| counted.parents.iter().find(|column| column.number == *number).cloned();
        self.columns.iter().filter_map(column).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::is_named_after;

    #[test]
    fn columns_name_their_tables() {
        for column in ["fileId", "file_id", "file", "FileID", "file_uuid", "fileid"] {
            for table in ["File", "Files", "file", "files"] {
                assert!(is_named_after(table, column), "{column} {table}");
            }
        }
        assert!(is_named_after("ProjectFile", "project_file_id") && is_named_after("project_files", "projectFileId"));
        assert!(is_named_after("categories", "category_id") && is_named_after("boxes", "boxId"));
        assert!(is_named_after("id", "id"));
    }

    #[test]
    fn others_do_not() {
        for (table, column) in
            [("files", "id"), ("filed", "file_id"), ("user", "file_id"), ("file_versions", "file_id"), ("s", "id")]
        {
            assert!(!is_named_after(table, column), "{column} {table}");
        }
    }
}
