//! What else lives in schemas, as the catalogues have it: functions, types, statistics, and all that Postgres can name. The
//! statements yield facts, as those of [`super::tables`] do.

use super::aspects::privileges;
use super::tables::{collation, no_member};
use crate::backend::Statement;

pub static STATISTICS: Statement = Statement::new(concat!(
    "SELECT 'statistics' AS kind, format('%I.%I', n.nspname, s.stxname) AS object,
            concat(pg_get_statisticsobjdef(s.oid),
                   CASE WHEN s.stxstattarget >= 0 THEN ' STATISTICS ' || s.stxstattarget END) AS definition,
            'pg_statistic_ext'::regclass::oid::int8 AS class, s.oid::int8 AS oid, 0 AS sub,
            s.stxrelid::int8 AS parent, 0 AS parent_sub
       FROM pg_statistic_ext s
       JOIN pg_namespace n ON n.oid = s.stxnamespace
      WHERE s.stxnamespace = ANY (:schemas::oid[]) AND NOT s.stxrelid = ANY (:ignored::oid[])
        AND pg_get_statisticsobjdef(s.oid) IS NOT NULL
        AND ",
    no_member!("pg_statistic_ext", "s.oid"),
    " AND ",
    no_member!("pg_class", "s.stxrelid"),
));

/// Those that belong to a type, such as the constructors of ranges, go with it.
pub static FUNCTIONS: Statement = Statement::new(
    "SELECT CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END AS kind,
            format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS object,
            CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE
                (SELECT concat_ws(' ',
                        'RETURNS ' || pg_get_function_result(p.oid),
                        'SFUNC ' || nullif(a.aggtransfn::oid, 0)::regprocedure,
                        'STYPE ' || format_type(a.aggtranstype, NULL),
                        'SSPACE ' || nullif(a.aggtransspace, 0),
                        'FINALFUNC ' || nullif(a.aggfinalfn::oid, 0)::regprocedure,
                        CASE WHEN a.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
                        CASE a.aggfinalmodify WHEN 's' THEN 'FINALFUNC_MODIFY SHAREABLE'
                                              WHEN 'w' THEN 'FINALFUNC_MODIFY READ_WRITE' END,
                        'COMBINEFUNC ' || nullif(a.aggcombinefn::oid, 0)::regprocedure,
                        'SERIALFUNC ' || nullif(a.aggserialfn::oid, 0)::regprocedure,
                        'DESERIALFUNC ' || nullif(a.aggdeserialfn::oid, 0)::regprocedure,
                        'INITCOND ' || quote_literal(a.agginitval),
                        'MSFUNC ' || nullif(a.aggmtransfn::oid, 0)::regprocedure,
                        'MINVFUNC ' || nullif(a.aggminvtransfn::oid, 0)::regprocedure,
                        'MSTYPE ' || format_type(nullif(a.aggmtranstype, 0), NULL),
                        'MSSPACE ' || nullif(a.aggmtransspace, 0),
                        'MFINALFUNC ' || nullif(a.aggmfinalfn::oid, 0)::regprocedure,
                        CASE WHEN a.aggmfinalextra THEN 'MFINALFUNC_EXTRA' END,
                        CASE a.aggmfinalmodify WHEN 's' THEN 'MFINALFUNC_MODIFY SHAREABLE'
                                               WHEN 'w' THEN 'MFINALFUNC_MODIFY READ_WRITE' END,
                        'MINITCOND ' || quote_literal(a.aggminitval),
                        'SORTOP ' || nullif(a.aggsortop, 0)::regoperator,
                        CASE a.aggkind WHEN 'h' THEN 'HYPOTHETICAL' WHEN 'o' THEN 'ORDERED SET' END,
                        CASE p.proparallel WHEN 's' THEN 'PARALLEL SAFE' WHEN 'r' THEN 'PARALLEL RESTRICTED' END)
                   FROM pg_aggregate a WHERE a.aggfnoid = p.oid)
            END AS definition,
            'pg_proc'::regclass::oid::int8 AS class, p.oid::int8 AS oid, 0 AS sub, NULL::int8 AS parent, 0 AS parent_sub
       FROM pg_proc p
       JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE p.pronamespace = ANY (:schemas::oid[])
        AND NOT EXISTS (SELECT FROM pg_depend d
                         WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                           AND (d.deptype = 'e' OR d.deptype = 'i' AND d.refclassid = 'pg_type'::regclass))",
);

/// Without the row types of tables, arrays, and multiranges, which go with their range.
pub static TYPES: Statement = Statement::new(concat!(
    "SELECT CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite type'
                           WHEN 'r' THEN 'range type' WHEN 'b' THEN 'base type' ELSE 'shell type' END AS kind,
            format('%I.%I', n.nspname, t.typname) AS object,
            CASE t.typtype
            WHEN 'e' THEN
                (SELECT 'ENUM (' || coalesce(string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder), '') || ')'
                   FROM pg_enum e WHERE e.enumtypid = t.oid)
            WHEN 'd' THEN
                concat_ws(' ',
                    format_type(t.typbasetype, t.typtypmod),
                    (SELECT ",
    collation!("t.typcollation", "b.typcollation"),
    "
                       FROM pg_type b WHERE b.oid = t.typbasetype),
                    'DEFAULT ' || pg_get_expr(t.typdefaultbin, 0),
                    CASE WHEN t.typnotnull THEN 'NOT NULL' END,
                    (SELECT string_agg(format('CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), ' '
                                       ORDER BY k.conname COLLATE \"C\")
                       FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype <> 'n'))
            WHEN 'c' THEN
                (SELECT '(' || coalesce(string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), ",
    collation!("a.attcollation", "b.typcollation"),
    "), ', ' ORDER BY a.attnum), '') || ')'
                   FROM pg_attribute a JOIN pg_type b ON b.oid = a.atttypid
                  WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
            WHEN 'r' THEN
                (SELECT concat_ws(' ',
                        'RANGE OF ' || format_type(r.rngsubtype, NULL),
                        ",
    collation!("r.rngcollation", "b.typcollation"),
    ",
                        (SELECT format('OPCLASS %I.%I', cn.nspname, c.opcname)
                           FROM pg_opclass c JOIN pg_namespace cn ON cn.oid = c.opcnamespace WHERE c.oid = r.rngsubopc),
                        'CANONICAL ' || nullif(r.rngcanonical::oid, 0)::regprocedure,
                        'SUBTYPE_DIFF ' || nullif(r.rngsubdiff::oid, 0)::regprocedure,
                        'MULTIRANGE ' || format_type(r.rngmultitypid, NULL))
                   FROM pg_range r JOIN pg_type b ON b.oid = r.rngsubtype
                  WHERE r.rngtypid = t.oid)
            ELSE format('TYPE %s', format_type(t.oid, NULL))
            END AS definition,
            'pg_type'::regclass::oid::int8 AS class, t.oid::int8 AS oid, 0 AS sub, NULL::int8 AS parent, 0 AS parent_sub
       FROM pg_type t
       JOIN pg_namespace n ON n.oid = t.typnamespace
      WHERE t.typnamespace = ANY (:schemas::oid[]) AND t.typtype IN ('e', 'd', 'c', 'r', 'b', 'p')
        AND (t.typtype <> 'c' OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
        AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid)
        AND ",
    no_member!("pg_type", "t.oid"),
));

/// Their existence is all that counts.
pub static OTHERS: Statement = Statement::new(
    "SELECT i.type AS kind, i.identity AS object, i.identity AS definition,
            o.class::oid::int8 AS class, o.oid::int8 AS oid, 0 AS sub, NULL::int8 AS parent, 0 AS parent_sub
       FROM (SELECT 'pg_operator'::regclass AS class, oid, oprnamespace AS schema FROM pg_operator
             UNION ALL SELECT 'pg_opclass'::regclass, oid, opcnamespace FROM pg_opclass
             UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfnamespace FROM pg_opfamily
             UNION ALL SELECT 'pg_collation'::regclass, oid, collnamespace FROM pg_collation
             UNION ALL SELECT 'pg_conversion'::regclass, oid, connamespace FROM pg_conversion
             UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgnamespace FROM pg_ts_config
             UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictnamespace FROM pg_ts_dict
             UNION ALL SELECT 'pg_ts_parser'::regclass, oid, prsnamespace FROM pg_ts_parser
             UNION ALL SELECT 'pg_ts_template'::regclass, oid, tmplnamespace FROM pg_ts_template) o
      CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i
      WHERE o.schema = ANY (:schemas::oid[])
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')",
);

/// What objects created later in the schemas are granted. Each is about a schema, not about an object.
pub static DEFAULT_PRIVILEGES: Statement = Statement::new(concat!(
    "SELECT 'default privileges' AS kind,
            format('%s of %I in %I',
                   CASE a.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
                                        WHEN 'T' THEN 'types' ELSE a.defaclobjtype::text END,
                   pg_get_userbyid(a.defaclrole), n.nspname) AS object,
            ",
    privileges!("a.defaclacl"),
    " AS definition,
            'pg_default_acl'::regclass::oid::int8 AS class, a.oid::int8 AS oid, 0 AS sub,
            NULL::int8 AS parent, 0 AS parent_sub
       FROM pg_default_acl a
       JOIN pg_namespace n ON n.oid = a.defaclnamespace
      WHERE a.defaclnamespace = ANY (:schemas::oid[])"
));
