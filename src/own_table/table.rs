//! A user's table, its columns, and the arguments that name them.

use pgrx::pg_sys::Oid;

use crate::args;
use crate::backend::{self, Call, Db, RoleId, Row, Statement, Value, quoted_identifier};
use crate::error::Error;
use crate::input;

/// Bytes of a name in Postgres, including the end (NAMEDATALEN).
const LONGEST_NAME: usize = 64;

/// A table of rows that have versions: an ordinary or a partitioned one.
pub struct Table {
    pub oid: Oid,
    /// Schema and name, quoted for SQL.
    pub name: String,
    /// The name alone, not quoted.
    pub relname: String,
    /// The name of its schema, not quoted.
    pub schema: String,
    pub owner: RoleId,
    pub is_partitioned: bool,
    pub columns: Vec<Column>,
    /// Numbers of the primary key's columns, in its order; empty if there is none.
    primary_key: Vec<i16>,
}

/// A column of a user's table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its number in the table.
    pub number: i16,
    /// Not quoted.
    pub name: String,
    /// Quoted for SQL.
    pub quoted: String,
    pub type_oid: Oid,
    /// As SQL writes it, with its modifiers.
    pub type_name: String,
    pub is_not_null: bool,
    /// The expression of its DEFAULT.
    pub default: Option<String>,
    pub is_identity: bool,
    pub is_generated: bool,
}

impl Table {
    /// The table that an argument names. 22023 if it is NULL, or not a table of the user; 42501 if the caller does not own it.
    pub fn owned(call: &Call, db: &Db, index: usize, argument: &str) -> Result<Table, Error> {
        let oid: Oid = input::required(call.argument(index), argument)?;
        Self::owned_oid(db, oid, argument)
    }

    /// The table of this OID, to which an argument leads. 22023 if it is not a table of the user; 42501 if the caller does
    /// not own it.
    pub fn owned_oid(db: &Db, oid: Oid, argument: &str) -> Result<Table, Error> {
        let (table, is_owner) = Self::read(db, oid, argument)?;
        if is_owner { Ok(table) } else { Err(Error::NotTableOwner(table.name)) }
    }

    /// The table that an argument names, which the caller need not own. 22023 if it is not a table of a user.
    pub fn named(call: &Call, db: &Db, index: usize, argument: &str) -> Result<Table, Error> {
        let oid: Oid = input::required(call.argument(index), argument)?;
        Self::read(db, oid, argument).map(|(table, _)| table)
    }

    /// Also returns whether the caller has the rights of the table's owner.
    fn read(db: &Db, oid: Oid, argument: &str) -> Result<(Table, bool), Error> {
        static TABLE: Statement = Statement::new(
            "SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relname::text, n.nspname::text AS schema,
                    c.relkind::text AS kind, c.relowner::oid::bigint AS owner, c.relispartition AS is_partition,
                    pg_has_role(c.relowner, 'USAGE') AS is_owner, c.relhasrules AS has_rules,
                    n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast', 'versioned_internal') AS is_system,
                    EXISTS (SELECT FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
                             WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
                               AND d.refclassid = 'pg_extension'::regclass AND x.extname = 'pg_versioned') AS is_own,
                    EXISTS (SELECT FROM pg_inherits i
                             WHERE (i.inhrelid = c.oid OR i.inhparent = c.oid) AND c.relkind = 'r'
                               AND NOT c.relispartition) AS inherits,
                    (SELECT i.indkey::int2[] FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid)
                        AS primary_key
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = :table::oid",
        );
        let rows = db.read(&TABLE, &args! { table: Value::oid_of(oid) });
        let row =
            rows.first().ok_or_else(|| Error::Invalid(format!("{argument}: there is no relation {}", oid.to_u32())))?;
        let (name, kind): (String, String) = (row.value("name"), row.value("kind"));
        let refuse = |why: &str| Err(Error::Invalid(format!("{argument}: {name} {why}")));
        if !(kind == "r" || kind == "p") {
            return refuse("is not a table");
        }
        if row.value("is_system") || row.value("is_own") {
            return refuse("is a table of the system or of pg_versioned");
        }
        if row.value("is_partition") {
            return refuse("is a partition; name the partitioned table");
        }
        if row.value("inherits") {
            return refuse("inherits or is inherited from");
        }
        if row.value("has_rules") {
            return refuse("has rules, which change what statements do");
        }
        let is_owner = row.value("is_owner");
        let table = Table {
            oid,
            relname: row.value("relname"),
            schema: row.value("schema"),
            owner: Oid::from(row.value::<i64>("owner") as u32),
            is_partitioned: kind == "p",
            columns: columns(db, oid),
            primary_key: row.get::<Vec<i16>>("primary_key").unwrap_or_default(),
            name,
        };
        Ok((table, is_owner))
    }

    /// The column of this name that an argument names. 22023 if there is none.
    pub fn column(&self, name: &str, argument: &str) -> Result<&Column, Error> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| {
            Error::Invalid(match name.len() {
                ..LONGEST_NAME => format!("{argument}: table {} has no column \"{name}\"", self.name),
                bytes => format!("{argument}: no column has a name of {bytes} bytes"),
            })
        })
    }

    /// The primary key's columns; none if there is no primary key.
    pub fn primary_key(&self) -> Vec<&Column> {
        let column = |number: &i16| self.columns.iter().find(|column| column.number == *number);
        self.primary_key.iter().filter_map(column).collect()
    }
}

fn columns(db: &Db, table: Oid) -> Vec<Column> {
    static COLUMNS: Statement = Statement::new(
        "SELECT a.attnum AS number, a.attname::text AS name, a.atttypid::oid::bigint AS type_oid,
                format_type(a.atttypid, a.atttypmod) AS type_name, a.attnotnull AS is_not_null,
                CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default_expression,
                a.attidentity <> '' AS is_identity, a.attgenerated <> '' AS is_generated
           FROM pg_attribute a
           LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE a.attrelid = :table AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    );
    let column = |row: Row| {
        let name: String = row.value("name");
        Column {
            number: row.value("number"),
            quoted: quoted_identifier(&name),
            name,
            type_oid: Oid::from(row.value::<i64>("type_oid") as u32),
            type_name: row.value("type_name"),
            is_not_null: row.value("is_not_null"),
            default: row.get("default_expression"),
            is_identity: row.value("is_identity"),
            is_generated: row.value("is_generated"),
        }
    };
    db.read(&COLUMNS, &args! { table: Value::oid_of(table) }).iter().map(column).collect()
}

/// A table with the columns that its versions are counted by.
pub struct Counted {
    pub table: Table,
    /// What versions belong to; at least one column.
    pub parents: Vec<Column>,
    /// The number; of an integer type.
    pub version: Column,
    /// The flag of the current version; a boolean.
    pub current: Option<Column>,
}

impl Counted {
    /// Reads the arguments `p_table`, `p_parent_columns`, `p_version_column` (the first three) and `p_current_column`
    /// (number `current`). 22023 and 42501.
    pub fn from_arguments(call: &Call, db: &Db, current: usize) -> Result<Counted, Error> {
        let table = Table::owned(call, db, 0, "p_table")?;
        let parents = column_list(call, &table, 1, "p_parent_columns")?;
        if parents.is_empty() {
            return Err(Error::Invalid("p_parent_columns must name at least one column".to_owned()));
        }
        let version: String = input::required(call.argument(2), "p_version_column")?;
        let version = table.column(&version, "p_version_column")?.clone();
        if !is_integer(version.type_oid) {
            let (name, is) = (&version.name, &version.type_name);
            return Err(Error::Invalid(format!(
                "p_version_column: column \"{name}\" is of type {is}, not smallint, integer or bigint"
            )));
        }
        let current: Option<String> = call.argument(current);
        let current = current.map(|name| table.column(&name, "p_current_column").cloned()).transpose()?;
        if let Some(current) = current.as_ref().filter(|current| current.type_oid != pgrx::pg_sys::BOOLOID) {
            let (name, is) = (&current.name, &current.type_name);
            return Err(Error::Invalid(format!("p_current_column: column \"{name}\" is of type {is}, not boolean")));
        }
        let named: Vec<&Column> = parents.iter().chain([&version]).chain(&current).collect();
        let is_twice = |column: &&&Column| named.iter().filter(|other| other.number == column.number).count() > 1;
        if let Some(column) = named.iter().find(is_twice) {
            return Err(Error::Invalid(format!("column \"{}\" is named twice", column.name)));
        }
        Ok(Counted { table, parents, version, current })
    }

    /// The argument `p_current_column` of a call, after others.
    pub fn current_argument(&self) -> String {
        let current = self.current.as_ref().map(|current| backend::quoted_literal(&current.name));
        current.map(|name| format!(", p_current_column => {name}")).unwrap_or_default()
    }

    /// The parents' columns as a list for SQL.
    pub fn parent_list(&self) -> String {
        list(&self.parents)
    }
}

/// Columns as a list for SQL.
pub fn list<'c>(columns: impl IntoIterator<Item = &'c Column>) -> String {
    columns.into_iter().map(|column| column.quoted.as_str()).collect::<Vec<_>>().join(", ")
}

/// The names of columns as an argument of a call.
pub fn array_of_names(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(|column| backend::quoted_literal(&column.name)).collect();
    format!("ARRAY[{}]", names.join(", "))
}

/// The columns named by a `text[]` argument. 22023 if it is or contains NULL, names a column twice, or one that does not
/// exist.
pub fn column_list(call: &Call, table: &Table, index: usize, argument: &str) -> Result<Vec<Column>, Error> {
    let names: Vec<Option<String>> = input::required(call.argument(index), argument)?;
    let mut columns: Vec<Column> = Vec::with_capacity(names.len());
    for name in names {
        let name = name.ok_or_else(|| Error::Invalid(format!("{argument} must not contain null")))?;
        let column = table.column(&name, argument)?;
        if columns.iter().any(|known| known.number == column.number) {
            return Err(Error::Invalid(format!("{argument}: column \"{name}\" is named twice")));
        }
        columns.push(column.clone());
    }
    Ok(columns)
}

/// Whether versions can be counted in a type.
pub fn is_integer(of_type: Oid) -> bool {
    use pgrx::pg_sys::{INT2OID, INT4OID, INT8OID};
    [INT2OID, INT4OID, INT8OID].contains(&of_type)
}

/// 25006 and 25001 where a table's newest rows cannot be locked and seen.
pub fn refuse_unfit_transaction(call: &Call, function: &'static str) -> Result<(), Error> {
    call.refuse_read_only();
    if backend::fixed_snapshot() { Err(Error::FixedSnapshot(function)) } else { Ok(()) }
}

/// The call that repairs a table, ready to be run.
pub fn repair(call: &Call, counted: &Counted, order: &str) -> String {
    let literal = backend::quoted_literal;
    let current = counted.current_argument();
    format!(
        "SELECT * FROM {}.renumber_versions({}, {}, {}, {order}{current}, p_dry_run => false)",
        call.schema(),
        literal(&counted.table.name),
        array_of_names(&counted.parents),
        literal(&counted.version.name),
    )
}
