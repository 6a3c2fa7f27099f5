//! Which rows of the catalogs belong to schemas: conditions that hold for all others.

use core::ffi::c_int;
use std::collections::HashMap;
use std::ffi::CString;

use pg_sys::Oid;
use pgrx::{PgList, PgMemoryContexts, pg_sys};

use super::super::guard::{self, STATEMENT};
use super::super::session::PinnedSearchPath;
use super::super::subtransaction::attempt;

/// What puts a row of a catalog into a schema.
#[derive(Clone, Copy)]
enum Belongs {
    /// A column with the schema.
    Itself,
    /// A column with an object that is in the schema: the catalog of such objects, and its column with the schema.
    Through(&'static str, &'static str),
}

use Belongs::{Itself, Through};

const RELATION: Belongs = Through("pg_class", "relnamespace");
const TYPE: Belongs = Through("pg_type", "typnamespace");
const FUNCTION: Belongs = Through("pg_proc", "pronamespace");
const OPERATOR_FAMILY: Belongs = Through("pg_opfamily", "opfnamespace");
const SEARCH_CONFIGURATION: Belongs = Through("pg_ts_config", "cfgnamespace");
const STATISTICS: Belongs = Through("pg_statistic_ext", "stxnamespace");

/// Catalogs, and the column that says where a row belongs. Event triggers, publications and the like are in no schema: they
/// are not moved aside. TOAST tables are in a schema of their own, and remain.
const CATALOGS: [(&str, &str, Belongs); 41] = [
    ("pg_aggregate", "aggfnoid", FUNCTION),
    ("pg_amop", "amopfamily", OPERATOR_FAMILY),
    ("pg_amproc", "amprocfamily", OPERATOR_FAMILY),
    ("pg_attrdef", "adrelid", RELATION),
    ("pg_attribute", "attrelid", RELATION),
    ("pg_cast", "castsource", TYPE),
    ("pg_cast", "casttarget", TYPE),
    ("pg_class", "relnamespace", Itself),
    ("pg_collation", "collnamespace", Itself),
    ("pg_constraint", "connamespace", Itself),
    ("pg_conversion", "connamespace", Itself),
    ("pg_default_acl", "defaclnamespace", Itself),
    ("pg_enum", "enumtypid", TYPE),
    (EXTENSIONS, "extnamespace", Itself),
    ("pg_foreign_table", "ftrelid", RELATION),
    ("pg_index", "indrelid", RELATION),
    ("pg_inherits", "inhrelid", RELATION),
    ("pg_namespace", "oid", Itself),
    ("pg_opclass", "opcnamespace", Itself),
    ("pg_operator", "oprnamespace", Itself),
    ("pg_opfamily", "opfnamespace", Itself),
    ("pg_partitioned_table", "partrelid", RELATION),
    ("pg_policy", "polrelid", RELATION),
    ("pg_proc", "pronamespace", Itself),
    ("pg_publication_namespace", "pnnspid", Itself),
    ("pg_publication_rel", "prrelid", RELATION),
    ("pg_range", "rngtypid", TYPE),
    ("pg_rewrite", "ev_class", RELATION),
    ("pg_sequence", "seqrelid", RELATION),
    ("pg_statistic", "starelid", RELATION),
    ("pg_statistic_ext", "stxnamespace", Itself),
    ("pg_statistic_ext_data", "stxoid", STATISTICS),
    ("pg_subscription_rel", "srrelid", RELATION),
    ("pg_transform", "trftype", TYPE),
    ("pg_trigger", "tgrelid", RELATION),
    ("pg_ts_config", "cfgnamespace", Itself),
    ("pg_ts_config_map", "mapcfg", SEARCH_CONFIGURATION),
    ("pg_ts_dict", "dictnamespace", Itself),
    ("pg_ts_parser", "prsnamespace", Itself),
    ("pg_ts_template", "tmplnamespace", Itself),
    ("pg_type", "typnamespace", Itself),
];

const EXTENSIONS: &str = "pg_extension";

/// A query on a catalog whose condition holds for the rows that are in none of the schemas.
fn query((catalog, column, belongs): (&str, &str, Belongs), schemas: &[Oid]) -> String {
    let schemas: Vec<String> = schemas.iter().map(|schema| u32::from(*schema).to_string()).collect();
    let schemas = format!("'{{{}}}'::oid[]", schemas.join(","));
    let condition = match belongs {
        // This one can be neither moved aside nor created again.
        Itself if catalog == EXTENSIONS => format!("c.{column} <> ALL ({schemas}) OR c.extname = 'pg_versioned'"),
        Itself => format!("c.{column} <> ALL ({schemas})"),
        // The planner looks rows up one by one or all at once, whichever is cheaper.
        Through(objects, schema) => format!(
            "NOT EXISTS (SELECT FROM pg_catalog.{objects} o WHERE o.oid = c.{column} AND o.{schema} = ANY ({schemas}))"
        ),
    };
    let [begin, end] = STATEMENT;
    format!("{begin}SELECT FROM pg_catalog.{catalog} c WHERE {condition}{end}")
}

/// A condition on the rows of a catalog.
pub struct Condition {
    /// An expression of the first entry of a range table.
    pub expression: *mut pg_sys::Node,
    /// The catalog that the expression reads.
    pub reads: Option<Oid>,
}

/// Conditions that hold for rows outside of some schemas.
pub struct Conditions {
    by_catalog: HashMap<Oid, Vec<Condition>>,
    /// Holds the expressions.
    _memory: PgMemoryContexts,
}

impl Conditions {
    pub fn outside(schemas: &[Oid]) -> Self {
        let mut memory = PgMemoryContexts::new("pg_versioned catalog filter");
        let mut by_catalog: HashMap<Oid, Vec<Condition>> = HashMap::new();
        // Undone, because it locks the catalogs.
        let conditions: Vec<(Oid, Condition)> = attempt(
            || {
                let _search_path = PinnedSearchPath::begin();
                // SAFETY: only expressions are kept, and they live in `memory`.
                let read = |catalog| unsafe { memory.switch_to(|_| condition(&query(catalog, schemas))) };
                CATALOGS.into_iter().map(read).collect()
            },
            |_| false,
        );
        for (catalog, condition) in conditions {
            by_catalog.entry(catalog).or_default().push(condition);
        }
        Conditions { by_catalog, _memory: memory }
    }

    pub fn on(&self, relation: Oid) -> &[Condition] {
        self.by_catalog.get(&relation).map_or(&[], Vec::as_slice)
    }
}

/// The catalog that a query reads, and its condition.
///
/// # Safety
/// The expression lives in the current memory context.
unsafe fn condition(sql: &str) -> (Oid, Condition) {
    const PARSE_AS_SCRIPT: pg_sys::RawParseMode::Type = pg_sys::RawParseMode::RAW_PARSE_DEFAULT;
    let sql = CString::new(sql).expect("no NUL");
    let none = core::ptr::null_mut();
    // SAFETY: the text is one query on a catalog, and each struct is that of its tag.
    unsafe {
        let trees = PgList::<pg_sys::RawStmt>::from_pg(guard::raw_parser(sql.as_ptr(), PARSE_AS_SCRIPT));
        let tree = trees.get_ptr(0).expect("one statement");
        let types = core::ptr::null();
        let queries = guard::pg_analyze_and_rewrite_fixedparams(tree, sql.as_ptr(), types, 0 as c_int, none);
        let query = PgList::<pg_sys::Query>::from_pg(queries).get_ptr(0).expect("one query");
        let expression = (*(*query).jointree).quals;
        let reads = subquery(expression).map(|subquery| {
            ask_for_no_permissions(subquery);
            first_relation(subquery)
        });
        (first_relation(query), Condition { expression, reads })
    }
}

/// The query in NOT EXISTS.
///
/// # Safety
/// The expression must be valid.
unsafe fn subquery(expression: *mut pg_sys::Node) -> Option<*mut pg_sys::Query> {
    // SAFETY: see above; each struct is that of its tag.
    unsafe {
        if (*expression).type_ != pg_sys::NodeTag::T_BoolExpr {
            return None;
        }
        let arguments = PgList::<pg_sys::Node>::from_pg((*expression.cast::<pg_sys::BoolExpr>()).args);
        let link = arguments.get_ptr(0).filter(|&first| (*first).type_ == pg_sys::NodeTag::T_SubLink)?;
        Some((*link.cast::<pg_sys::SubLink>()).subselect.cast())
    }
}

/// # Safety
/// The query must be valid.
unsafe fn first_relation(query: *mut pg_sys::Query) -> Oid {
    // SAFETY: see above.
    unsafe { (*PgList::<pg_sys::RangeTblEntry>::from_pg((*query).rtable).get_ptr(0).expect("one relation")).relid }
}

/// The user may see one catalog and not the other.
///
/// # Safety
/// The query must be valid.
unsafe fn ask_for_no_permissions(query: *mut pg_sys::Query) {
    // SAFETY: see above.
    unsafe {
        #[cfg(feature = "pg15")]
        let relations = PgList::<pg_sys::RangeTblEntry>::from_pg((*query).rtable);
        #[cfg(not(feature = "pg15"))]
        let relations = PgList::<pg_sys::RTEPermissionInfo>::from_pg((*query).rteperminfos);
        relations.iter_ptr().for_each(|relation| (*relation).requiredPerms = 0);
    }
}

#[cfg(test)]
mod tests {
    use pgrx::pg_sys::Oid;

    use super::{CATALOGS, query};

    #[test]
    fn conditions_name_the_schemas() {
        let schemas = [Oid::from(2200), Oid::from(4294967295)];
        let of = |name| {
            let catalog = CATALOGS.into_iter().find(|(catalog, ..)| *catalog == name).expect("a catalog");
            let query = query(catalog, &schemas);
            let (_, condition) = query.split_once(" c WHERE ").expect("a condition");
            condition.trim_end_matches(" /* end */").to_owned()
        };
        assert_eq!(of("pg_class"), "c.relnamespace <> ALL ('{2200,4294967295}'::oid[])");
        assert_eq!(
            of("pg_trigger"),
            "NOT EXISTS (SELECT FROM pg_catalog.pg_class o \
             WHERE o.oid = c.tgrelid AND o.relnamespace = ANY ('{2200,4294967295}'::oid[]))"
        );
        assert!(of("pg_extension").ends_with(" OR c.extname = 'pg_versioned'"));
    }

    #[test]
    fn catalogs_are_in_order() {
        assert!(CATALOGS.windows(2).all(|pair| (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1)));
    }
}
