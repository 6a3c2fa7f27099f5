//! `enable_versioning` and `disable_versioning`: what a table lacks, and what is in the way of its triggers.

use pgrx::prelude::*;

use super::equality::equality;
use super::indexes::{Index, indexes, superfluous};
use super::numbering::{Config, OnExplicit};
use super::table::{Column, Counted, Table, array_of_names, list, refuse_unfit_transaction, repair};
use super::trigger::later_trigger;
use crate::args;
use crate::backend::{Answer, Call, Db, ResultSet, Statement, Value, connect, past_forced_policies, quoted_literal};
use crate::error::Error;

/// What marks a unique index on the flag that is not unique while versioning is enabled.
const ONCE_UNIQUE: &str = "pg_versioned: unique again after disable_versioning. ";

/// A statement to be run, and what it is for.
struct Step {
    action: &'static str,
    statement: String,
}

/// See the COMMENT in `sql/versioned_tables.sql`.
#[pg_extern(sql = false)]
fn enable_versioning(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        refuse_unfit_transaction(call, "enable_versioning")?;
        let on_explicit: Option<String> = call.argument(5);
        let on_explicit = on_explicit.as_deref().and_then(OnExplicit::parse);
        let on_explicit =
            on_explicit.ok_or_else(|| Error::Invalid("p_on_explicit must be 'renumber' or 'error'".to_owned()))?;
        past_forced_policies(|| {
            connect(call, |db| {
                let counted = Counted::from_arguments(call, db, 3)?;
                let previous = previous_column(call, &counted)?;
                lock(db, &counted.table);
                // Again, because it may have changed while the lock was waited for.
                let counted = Counted::from_arguments(call, db, 3)?;
                for parent in &counted.parents {
                    equality(db, parent, "p_parent_columns")?;
                }
                check_columns(&counted, previous.as_ref())?;
                check_triggers(db, &counted)?;
                check_partitions(db, &counted)?;
                check_partition_indexes(db, &counted)?;
                check_rows(call, db, &counted)?;
                let config = config(&counted, previous.as_ref(), on_explicit);
                let steps = steps(db, &counted, &config)?;
                Ok(run(call, db, steps))
            })
        })
    })
}

/// See the COMMENT in `sql/versioned_tables.sql`.
#[pg_extern(sql = false)]
fn disable_versioning(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        refuse_unfit_transaction(call, "disable_versioning")?;
        connect(call, |db| {
            let table = Table::owned(call, db, 0, "p_table")?;
            lock(db, &table);
            let triggers = triggers(db, &table);
            if triggers.is_empty() {
                return Err(Error::Invalid(format!("p_table: versioning is not enabled for table {}", table.name)));
            }
            let mut steps: Vec<Step> = triggers.iter().map(|trigger| drop_trigger(&table, trigger)).collect();
            for index in indexes(db, table.oid) {
                if let Some(comment) = index.comment.as_deref().and_then(|comment| comment.strip_prefix(ONCE_UNIQUE)) {
                    steps.extend(replace_index(&index, "make index unique again", true, comment));
                }
            }
            Ok(run(call, db, steps))
        })
    })
}

/// Keeps everybody out of the table.
fn lock(db: &Db, table: &Table) {
    db.dynamic(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", table.name), &[]);
}

/// The column of `p_previous_id_column`, with the primary key's column that it refers to.
fn previous_column(call: &Call, counted: &Counted) -> Result<Option<(Column, Column)>, Error> {
    let argument = "p_previous_id_column";
    let Some(name) = call.argument::<String>(4) else { return Ok(None) };
    let link = counted.table.column(&name, argument)?;
    let taken = counted.parents.iter().chain([&counted.version]).chain(&counted.current);
    if taken.into_iter().any(|other| other.number == link.number) {
        return Err(Error::Invalid(format!("{argument}: column \"{name}\" is named twice")));
    }
    let [id] = counted.table.primary_key()[..] else {
        let table = &counted.table.name;
        return Err(Error::Invalid(format!("{argument}: table {table} has no primary key of a single column")));
    };
    if id.type_oid != link.type_oid || id.number == link.number {
        let (is, due) = (&link.type_name, &id.type_name);
        return Err(Error::Invalid(format!(
            "{argument}: column \"{name}\" is of type {is}, not that of the primary key \"{}\", {due}",
            id.name
        )));
    }
    Ok(Some((link.clone(), id.clone())))
}

fn config(counted: &Counted, previous: Option<&(Column, Column)>, on_explicit: OnExplicit) -> Config {
    Config {
        parent_columns: counted.parents.iter().map(|column| column.name.clone()).collect(),
        version_column: counted.version.name.clone(),
        current_column: counted.current.as_ref().map(|column| column.name.clone()),
        previous_id_column: previous.map(|(link, _)| link.name.clone()),
        id_column: previous.map(|(_, id)| id.name.clone()),
        on_explicit,
    }
}

/// 22023 if Postgres computes a column after the trigger has read or set it.
fn check_columns(counted: &Counted, previous: Option<&(Column, Column)>) -> Result<(), Error> {
    let used = counted.parents.iter().chain([&counted.version]).chain(&counted.current);
    match used.chain(previous.map(|(link, _)| link)).find(|column| column.is_generated) {
        Some(column) => Err(Error::Invalid(format!(
            "column \"{}\" of table {} is generated, which happens after all triggers",
            column.name, counted.table.name
        ))),
        None => Ok(()),
    }
}

/// 55000 if there is a trigger that could change what the triggers decide.
fn check_triggers(db: &Db, counted: &Counted) -> Result<(), Error> {
    // Of BEFORE triggers FOR EACH ROW, those for INSERT or UPDATE (pg_trigger.h).
    static LATER: Statement = Statement::new(
        "SELECT t.tgname::text AS name
           FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
          WHERE t.tgrelid IN (SELECT r.relid FROM pg_partition_tree(:table::oid::regclass) r UNION SELECT :table::oid)
            AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0 AND t.tgenabled IN ('O', 'A')
            AND t.tgname > :first::text::name
            AND NOT (p.pronamespace = 'versioned_internal'::regnamespace AND p.proname = 'number_version')
          ORDER BY t.tgname LIMIT 1",
    );
    let first = trigger_name("insert");
    match db.run(&LATER, &args! { table: Value::oid_of(counted.table.oid), first: first.as_str() }).first() {
        Some(row) => Err(later_trigger(counted.table.name.clone(), &row.value::<String>("name"))),
        None => Ok(()),
    }
}

/// 55000 unless all rows of a parent are in the same partition.
fn check_partitions(db: &Db, counted: &Counted) -> Result<(), Error> {
    static KEYS: Statement = Statement::new(
        "SELECT t.relid::text AS name, p.partattrs::int2[] AS columns,
                ARRAY(SELECT a.attname::text FROM pg_attribute a
                       WHERE a.attrelid = t.relid AND a.attnum = ANY (p.partattrs::int2[])) AS names
           FROM pg_partition_tree(:table::oid::regclass) t JOIN pg_partitioned_table p ON p.partrelid = t.relid",
    );
    if !counted.table.is_partitioned {
        return Ok(());
    }
    for row in db.run(&KEYS, &args! { table: Value::oid_of(counted.table.oid) }).iter() {
        let (columns, names): (Vec<i16>, Vec<String>) = (row.value("columns"), row.value("names"));
        let is_parent = |name: &String| counted.parents.iter().any(|parent| parent.name == *name);
        if columns.contains(&0) || !names.iter().all(is_parent) {
            return Err(Error::OwnTable {
                table: row.value("name"),
                what: format!("is partitioned by more than the parent's columns ({})", list(&counted.parents)),
                detail: None,
                hint: "All versions of a parent must be in the same partition.",
            });
        }
    }
    Ok(())
}

/// 55000 if a partition has a unique index of its own under which the flag cannot pass from one row to another.
fn check_partition_indexes(db: &Db, counted: &Counted) -> Result<(), Error> {
    static INDEXES: Statement = Statement::new(
        "SELECT t.relid::text AS partition, format('%I.%I', n.nspname, c.relname) AS name
           FROM pg_partition_tree(:table::oid::regclass) t
           JOIN pg_index i ON i.indrelid = t.relid
           JOIN pg_class c ON c.oid = i.indexrelid
           JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = :flag::text::name
          WHERE t.level > 0 AND (i.indisunique OR i.indisexclusion)
            AND (a.attnum <> ALL (i.indkey::int2[]) OR i.indpred IS NOT NULL)
            AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)
            AND EXISTS (SELECT FROM pg_depend d
                         WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                           AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                           AND d.refobjsubid = a.attnum)
          ORDER BY c.oid LIMIT 1",
    );
    let Some(flag) = counted.current.as_ref().filter(|_| counted.table.is_partitioned) else { return Ok(()) };
    match db.run(&INDEXES, &args! { table: Value::oid_of(counted.table.oid), flag: flag.name.as_str() }).first() {
        Some(row) => Err(Error::OwnTable {
            table: row.value("partition"),
            what: format!(
                "has unique index {}, which the flag cannot pass from one row to another under",
                row.value::<String>("name")
            ),
            detail: None,
            hint: "Drop it: the trigger keeps the versions and the flag of each parent unique.",
        }),
        None => Ok(()),
    }
}

/// 55000 if there are rows that the guarantees do not hold for.
fn check_rows(call: &Call, db: &Db, counted: &Counted) -> Result<(), Error> {
    let (table, parents, version) = (&counted.table.name, counted.parent_list(), &counted.version.quoted);
    let missing = counted.parents.iter().map(|parent| format!("{} IS NULL", parent.quoted)).collect::<Vec<_>>();
    let missing = missing.join(" OR ");
    let first = |sql: String| db.dynamic(&sql, &[]).first().map(|row| row.value::<String>("example"));
    let example = format!("(SELECT to_jsonb(e)::text FROM (SELECT {parents}) e) AS example");
    let refuse = |what: &str, example: String, detail: Option<String>| {
        let hint = match detail {
            Some(_) => "Run the statement in DETAIL, first with p_dry_run => true; versioning_report lists everything.",
            None => "Give these rows a parent, or delete them; versioning_report lists everything.",
        };
        Err(Error::OwnTable { table: table.clone(), what: format!("{what}, for example {example}"), detail, hint })
    };
    if let Some(example) = first(format!(
        "SELECT to_jsonb(t)::text AS example FROM (SELECT {parents}, {version} FROM {table} WHERE {missing} LIMIT 1) t"
    )) {
        return refuse("has rows without a parent", example, None);
    }
    let repair = repair(call, counted, &array_of_names(std::slice::from_ref(&counted.version)));
    if let Some(example) = first(format!(
        "SELECT to_jsonb(t)::text AS example
           FROM (SELECT {parents}, {version} FROM {table} WHERE {version} IS NULL OR {version} < 1 LIMIT 1) t"
    )) {
        return refuse("has rows without a version, or with one below 1", example, Some(repair));
    }
    if let Some(example) = first(format!(
        "SELECT to_jsonb(t)::text AS example
           FROM (SELECT {parents}, {version} FROM {table} GROUP BY {parents}, {version} HAVING count(*) > 1 LIMIT 1) t"
    )) {
        return refuse("has rows with the same parent and version", example, Some(repair));
    }
    if let Some(current) = &counted.current
        && let Some(example) = first(format!(
            "SELECT {example} FROM {table} WHERE {} GROUP BY {parents} HAVING count(*) > 1 LIMIT 1",
            current.quoted
        ))
    {
        return refuse("has several current rows of the same parent", example, Some(repair));
    }
    Ok(())
}

/// What is to be done until the table is as the configuration has it.
fn steps(db: &Db, counted: &Counted, config: &Config) -> Result<Vec<Step>, Error> {
    let table = &counted.table;
    let alter = |action, what: String| Step { action, statement: format!("ALTER TABLE {} {what}", table.name) };
    let mut steps = Vec::new();
    let version = &counted.version;
    if version.default.is_some() {
        steps.push(alter("drop default", format!("ALTER COLUMN {} DROP DEFAULT", version.quoted)));
    }
    if version.is_identity {
        steps.push(alter("drop identity", format!("ALTER COLUMN {} DROP IDENTITY", version.quoted)));
    }
    for column in counted.parents.iter().chain([version]).filter(|column| !column.is_not_null) {
        steps.push(alter("set not null", format!("ALTER COLUMN {} SET NOT NULL", column.quoted)));
    }
    let indexes = indexes(db, table.oid);
    steps.extend(index_steps(counted, &indexes)?);
    steps.extend(trigger_steps(table, &triggers(db, table), &wanted_triggers(counted, config)));
    Ok(steps)
}

/// Which indexes are dropped, replaced and added.
fn index_steps(counted: &Counted, indexes: &[Index]) -> Result<Vec<Step>, Error> {
    let table = &counted.table.name;
    let parents: Vec<i16> = counted.parents.iter().map(|column| column.number).collect();
    let key: Vec<i16> = parents.iter().copied().chain([counted.version.number]).collect();
    let mut steps = Vec::new();
    for (index, _) in superfluous(indexes).into_iter().filter(|(index, _)| index.is_unique_on(&key)) {
        let action = if index.constraint.is_some() { "drop constraint" } else { "drop index" };
        steps.push(Step { action, statement: index.drop_from(table) });
    }
    let columns = format!("{}, {}", counted.parent_list(), counted.version.quoted);
    if !indexes.iter().any(|index| index.is_unique_on(&key)) {
        steps.push(Step { action: "add constraint", statement: format!("ALTER TABLE {table} ADD UNIQUE ({columns})") });
    } else if !indexes.iter().any(|index| index.finds_newest(&parents, counted.version.number)) {
        steps.push(Step { action: "add index", statement: format!("CREATE INDEX ON {table} ({columns})") });
    }
    let refuse = |index: &Index, why: &str| Error::OwnTable {
        table: table.clone(),
        what: format!(
            "has {} {}, which {why}",
            if index.is_exclusion { "constraint" } else { "unique index" },
            index.name
        ),
        detail: None,
        hint: "Drop it: the trigger keeps the versions and the flag of each parent unique.",
    };
    if let Some(index) = indexes.iter().find(|index| index.is_unique_on(&parents)) {
        return Err(refuse(index, "allows only one version of each parent"));
    }
    if let Some(flag) = counted.current.as_ref().map(|current| current.number) {
        let with_flag: Vec<i16> = parents.iter().copied().chain([flag]).collect();
        if let Some(index) = indexes.iter().find(|index| index.is_unique_on(&with_flag)) {
            return Err(refuse(index, "allows only one row that is not current"));
        }
        let depends = |index: &Index| index.condition.as_ref().is_some_and(|columns| columns.contains(&flag));
        if let Some(index) = indexes
            .iter()
            .find(|index| index.is_exclusion && depends(index) || index.is_in_the_way_of_flag(&parents, flag))
        {
            return Err(refuse(index, "the flag cannot pass from one row to another under"));
        }
        // The flag leaves the other row after the new one has come: a row may still not come, ON CONFLICT DO NOTHING.
        for index in indexes.iter().filter(|index| index.is_unique_flag(&parents, flag)) {
            let comment = format!("{ONCE_UNIQUE}{}", index.comment.as_deref().unwrap_or_default());
            steps.extend(replace_index(index, "make index not unique", false, &comment));
        }
    }
    Ok(steps)
}

fn replace_index(index: &Index, action: &'static str, unique: bool, comment: &str) -> Vec<Step> {
    let mut steps = vec![
        Step { action, statement: format!("DROP INDEX {}", index.name) },
        Step { action, statement: index.create(unique) },
    ];
    if !comment.is_empty() {
        let statement = format!("COMMENT ON INDEX {} IS {}", index.name, quoted_literal(comment));
        steps.push(Step { action, statement });
    }
    steps
}

/// A trigger of this extension on a user's table.
struct TableTrigger {
    /// Not quoted.
    name: String,
    definition: String,
    is_enabled: bool,
}

/// The triggers that this extension has created on a table.
fn triggers(db: &Db, table: &Table) -> Vec<TableTrigger> {
    static TRIGGERS: Statement = Statement::new(
        "SELECT t.tgname::text AS name, pg_get_triggerdef(t.oid) AS definition, t.tgenabled = 'O' AS is_enabled
           FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
          WHERE t.tgrelid = :table AND NOT t.tgisinternal
            AND p.pronamespace = 'versioned_internal'::regnamespace
            AND p.proname IN ('number_version', 'settle_version')
          ORDER BY t.tgname",
    );
    let trigger = |row: crate::backend::Row| TableTrigger {
        name: row.value("name"),
        definition: row.value("definition"),
        is_enabled: row.value("is_enabled"),
    };
    db.run(&TRIGGERS, &args! { table: Value::oid_of(table.oid) }).iter().map(trigger).collect()
}

/// Triggers of the same event are called in the order of their names, and a row's number must be the last thing that is
/// decided about it: so the names begin with the last character of ASCII.
fn trigger_name(name: &str) -> String {
    format!("~pg_versioned_{name}")
}

/// The triggers that a table is to have: names and statements.
fn wanted_triggers(counted: &Counted, config: &Config) -> Vec<(String, String)> {
    let argument = quoted_literal(&serde_json::to_string(config).expect("texts only"));
    let call = |function| format!("FOR EACH ROW EXECUTE FUNCTION versioned_internal.{function}({argument})");
    let when = |condition: &str, function| {
        format!("FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION versioned_internal.{function}({argument})")
    };
    let differs = |column: &Column| {
        // Operators of other schemas are not found here; the function compares again, as the column's type does.
        let cast = if is_builtin(column.type_oid) { "" } else { "::pg_catalog.text" };
        format!("OLD.{0}{cast} IS DISTINCT FROM NEW.{0}{cast}", column.quoted)
    };
    let mut kept: Vec<String> = counted.parents.iter().chain([&counted.version]).map(differs).collect();
    let link = config.previous_id_column.as_ref().and_then(|name| counted.table.column(name, "").ok());
    kept.extend(link.map(differs));
    let takes = counted.current.as_ref().map(|flag| format!("NEW.{0} AND OLD.{0} IS NOT TRUE", flag.quoted));
    kept.extend(takes.iter().map(|takes| format!("({takes})")));
    let mut wanted = vec![
        ("insert", format!("BEFORE INSERT ON {} {}", counted.table.name, call("number_version"))),
        ("update", format!("BEFORE UPDATE ON {} {}", counted.table.name, when(&kept.join(" OR "), "number_version"))),
    ];
    let after = |event: &str, rest: String| format!("AFTER {event} ON {} {rest}", counted.table.name);
    if let (Some(flag), Some(takes)) = (&counted.current, &takes) {
        wanted.push(("inserted", after("INSERT", when(&format!("NEW.{}", flag.quoted), "settle_version"))));
        wanted.push(("updated", after("UPDATE", when(takes, "settle_version"))));
    }
    match (&link, &counted.current) {
        (Some(_), _) => wanted.push(("deleted", after("DELETE", call("settle_version")))),
        (None, Some(flag)) => {
            wanted.push(("deleted", after("DELETE", when(&format!("OLD.{}", flag.quoted), "settle_version"))));
        }
        (None, None) => (),
    }
    let named = |(name, rest)| {
        let name = trigger_name(name);
        let statement = format!("CREATE TRIGGER \"{name}\" {rest}");
        (name, statement)
    };
    wanted.into_iter().map(named).collect()
}

fn is_builtin(of_type: pg_sys::Oid) -> bool {
    of_type.to_u32() < pg_sys::FirstUnpinnedObjectId
}

/// Triggers are replaced only if they are not what they should be.
fn trigger_steps(table: &Table, present: &[TableTrigger], wanted: &[(String, String)]) -> Vec<Step> {
    let argument = |definition: &str| definition.rsplit_once("versioned_internal.").map(|(_, rest)| rest.to_owned());
    let is_as_wanted = present.len() == wanted.len()
        && wanted.iter().all(|(name, statement)| {
            present.iter().any(|trigger| {
                trigger.name == *name && trigger.is_enabled && argument(&trigger.definition) == argument(statement)
            })
        });
    if is_as_wanted {
        return Vec::new();
    }
    let drop = present.iter().map(|trigger| drop_trigger(table, trigger));
    let create = wanted.iter().flat_map(|(name, statement)| {
        let comment = "Of pg_versioned, see enable_versioning: numbers the versions in this table.";
        let comment = format!("COMMENT ON TRIGGER \"{name}\" ON {} IS {}", table.name, quoted_literal(comment));
        [
            Step { action: "create trigger", statement: statement.clone() },
            Step { action: "comment on trigger", statement: comment },
        ]
    });
    drop.chain(create).collect()
}

fn drop_trigger(table: &Table, trigger: &TableTrigger) -> Step {
    let name = crate::backend::quoted_identifier(&trigger.name);
    Step { action: "drop trigger", statement: format!("DROP TRIGGER {name} ON {}", table.name) }
}

/// Runs the statements, and makes the function return them.
fn run(call: &Call, db: &Db, steps: Vec<Step>) -> Answer {
    let set = ResultSet::begin(call);
    for Step { action, statement } in steps {
        db.dynamic(&statement, &[]);
        set.push(&[action.into(), statement.as_str().into()]);
    }
    set.done()
}
