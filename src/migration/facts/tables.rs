//! Relations and what belongs to them, as the catalogues have it.
//!
//! Each statement yields facts: kind, object, definition, the object's class, oid and sub, and the relation (parent) or its
//! column (parent_sub) that it belongs to. The parameter `relations` has those that count.

use crate::backend::Statement;

/// Names that a query can be asked for, with the columns of the tables that have them.
pub static CANDIDATES: Statement = Statement::new(
    "SELECT c.oid::int8 AS oid, c.relname::text AS name, array_agg(a.attname::text) AS columns
       FROM pg_class c
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      WHERE c.relname = ANY (:names) AND c.relnamespace = ANY (:schemas::oid[]) AND c.relkind IN ('r', 'p')
      GROUP BY c.oid",
);

/// Relations of the schemas. Sequences go with the table whose column owns them; those of identity columns are part of the
/// column.
pub static RELATIONS: Statement = Statement::new(
    "SELECT c.oid::int8 AS oid
       FROM pg_class c
      WHERE c.relnamespace = ANY (:schemas::oid[]) AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
        AND NOT c.oid = ANY (:ignored::oid[])
        AND NOT EXISTS (
            SELECT FROM pg_depend d
             WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
               AND (d.deptype = 'e'
                    OR c.relkind = 'S' AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass
                       AND (d.deptype = 'i'
                            OR d.refobjid = ANY (:ignored::oid[])
                            OR EXISTS (SELECT FROM pg_depend e
                                        WHERE e.classid = 'pg_class'::regclass AND e.objid = d.refobjid AND e.deptype = 'e'))))",
);

/// The relations that count, as `c`, with their printed names.
macro_rules! relations {
    () => {
        "(SELECT c.*, format('%I.%I', n.nspname, c.relname) AS printed
            FROM unnest(:relations::oid[]) r (oid)
            JOIN pg_class c ON c.oid = r.oid
            JOIN pg_namespace n ON n.oid = c.relnamespace) c"
    };
}

/// Options in the order of their names, `WITH (…)`; NULL if there are none.
macro_rules! with_options {
    ($options:literal) => {
        concat!(
            "(SELECT 'WITH (' || string_agg(o, ', ' ORDER BY o COLLATE \"C\") || ')' FROM unnest(",
            $options,
            ") o)"
        )
    };
}

/// Options of foreign objects, `OPTIONS (…)`; NULL if there are none.
macro_rules! foreign_options {
    ($options:literal) => {
        concat!(
            "(SELECT 'OPTIONS (' || string_agg(format('%I %L', o.option_name, o.option_value), ', '
                                               ORDER BY o.option_name COLLATE \"C\") || ')'
                FROM pg_options_to_table(",
            $options,
            ") o)"
        )
    };
}

/// What a row of `pg_sequence` says, never the present value.
macro_rules! sequence_options {
    () => {
        "format('AS %s START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s', format_type(s.seqtypid, NULL),
                s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache)
         || CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END"
    };
}

/// A collation's printed name, if it is another one than the type's.
macro_rules! collation {
    ($collation:literal, $of_type:literal) => {
        concat!(
            "(SELECT format('COLLATE %I.%I', cn.nspname, co.collname)
                FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace
               WHERE co.oid = ",
            $collation,
            " AND co.oid <> ",
            $of_type,
            ")"
        )
    };
}

/// Whether an object is no member of an extension.
macro_rules! no_member {
    ($class:literal, $oid:literal) => {
        concat!(
            "NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = '",
            $class,
            "'::regclass AND m.objid = ",
            $oid,
            " AND m.deptype = 'e')"
        )
    };
}
pub(super) use {collation, no_member};

/// Also says whether row level security is on; NULL where there is none.
pub static TABLES: Statement = Statement::new(concat!(
    "SELECT 'table' AS kind, c.printed AS object,
            concat_ws(' ',
                CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED' END,
                CASE c.relkind WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
                'OF ' || format_type(nullif(c.reloftype, 0), NULL),
                CASE WHEN c.relispartition
                     THEN format('PARTITION OF %s %s', p.names, pg_get_expr(c.relpartbound, c.oid))
                     ELSE 'INHERITS (' || p.names || ')' END,
                CASE c.relkind WHEN 'p' THEN 'PARTITION BY ' || pg_get_partkeydef(c.oid) END,
                (SELECT format('USING %I', a.amname) FROM pg_am a WHERE a.oid = c.relam AND a.amname <> 'heap'),
                (SELECT concat_ws(' ', format('SERVER %I', s.srvname), ",
    foreign_options!("f.ftoptions"),
    ")
                   FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid),
                ",
    with_options!(
        "c.reloptions || ARRAY(SELECT 'toast.' || t FROM pg_class tc, unnest(tc.reloptions) t WHERE tc.oid = c.reltoastrelid)"
    ),
    ",
                CASE c.relreplident
                    WHEN 'n' THEN 'REPLICA IDENTITY NOTHING'
                    WHEN 'f' THEN 'REPLICA IDENTITY FULL'
                    WHEN 'i' THEN 'REPLICA IDENTITY USING INDEX '
                         || (SELECT quote_ident(x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                              WHERE i.indrelid = c.oid AND i.indisreplident)
                END) AS definition,
            'pg_class'::regclass::oid::int8 AS class, c.oid::int8 AS oid, 0 AS sub,
            CASE WHEN c.relispartition THEN p.first END AS parent, 0 AS parent_sub,
            CASE WHEN c.relkind <> 'f' THEN
                CASE WHEN c.relrowsecurity THEN 'enabled' ELSE 'disabled' END
                || CASE WHEN c.relforcerowsecurity THEN ', forced' ELSE '' END
            END AS row_level_security
       FROM ",
    relations!(),
    "
       LEFT JOIN LATERAL (
            SELECT string_agg(format('%I.%I', n.nspname, q.relname), ', ' ORDER BY i.inhseqno) AS names,
                   min(q.oid::int8) AS first
              FROM pg_inherits i
              JOIN pg_class q ON q.oid = i.inhparent
              JOIN pg_namespace n ON n.oid = q.relnamespace
             WHERE i.inhrelid = c.oid) p ON true
      WHERE c.relkind IN ('r', 'p', 'f')"
));

/// In the order in which each table has them. Of those that are only inherited, what differs from the parent counts: a
/// default of its own, for example. Since 15.20, Postgres puts stamps of its own among their options.
pub static COLUMNS: Statement = Statement::new(concat!(
    "SELECT CASE WHEN a.attislocal THEN 'column' ELSE 'inherited column' END AS kind,
            format('%s.%I', c.printed, a.attname) AS object, quote_ident(a.attname) AS name,
            CASE WHEN NOT a.attislocal AND NOT EXISTS (
                SELECT FROM pg_inherits i
                  JOIN pg_attribute pa ON pa.attrelid = i.inhparent AND pa.attname = a.attname
                  LEFT JOIN pg_attrdef pd ON pd.adrelid = pa.attrelid AND pd.adnum = pa.attnum
                 WHERE i.inhrelid = c.oid
                   AND (pg_get_expr(pd.adbin, pd.adrelid), pa.attnotnull, pa.attstorage, pa.attcompression)
                       IS DISTINCT FROM
                       (pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.attstorage, a.attcompression))
            THEN 'as inherited'
            ELSE concat_ws(' ',
                format_type(a.atttypid, a.atttypmod),
                ",
    collation!("a.attcollation", "t.typcollation"),
    ",
                CASE a.attgenerated
                    WHEN 's' THEN 'GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') STORED'
                    WHEN 'v' THEN 'GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') VIRTUAL'
                    ELSE 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)
                END,
                CASE WHEN a.attidentity <> '' THEN
                    format('GENERATED %s AS IDENTITY (%s)',
                           CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END,
                           (SELECT ",
    sequence_options!(),
    "
                              FROM pg_depend sd JOIN pg_sequence s ON s.seqrelid = sd.objid
                             WHERE sd.refclassid = 'pg_class'::regclass AND sd.refobjid = a.attrelid
                               AND sd.refobjsubid = a.attnum AND sd.classid = 'pg_class'::regclass AND sd.deptype = 'i'))
                END,
                CASE WHEN a.attnotnull THEN
                    'NOT NULL' || coalesce(
                        (SELECT CASE WHEN k.connoinherit THEN ' NO INHERIT' ELSE '' END
                                || CASE WHEN k.convalidated THEN '' ELSE ' NOT VALID' END
                           FROM pg_constraint k
                          WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]), '')
                END,
                CASE WHEN a.attstorage <> t.typstorage THEN
                    'STORAGE ' || CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                                                    WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END
                END,
                CASE a.attcompression WHEN 'p' THEN 'COMPRESSION pglz' WHEN 'l' THEN 'COMPRESSION lz4' END,
                CASE WHEN a.attstattarget >= 0 THEN 'STATISTICS ' || a.attstattarget END,
                ",
    with_options!("ARRAY(SELECT s FROM unnest(a.attoptions) s WHERE NOT starts_with(s, 'pg_attver='))"),
    ",
                ",
    foreign_options!("a.attfdwoptions"),
    ") END AS definition,
            'pg_class'::regclass::oid::int8 AS class, c.oid::int8 AS oid, a.attnum::int4 AS sub,
            c.oid::int8 AS parent, 0 AS parent_sub
       FROM ",
    relations!(),
    "
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       JOIN pg_type t ON t.oid = a.atttypid
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE c.relkind IN ('r', 'p', 'f')
      ORDER BY c.oid, a.attnum"
));

/// Without those that are only inherited, those of triggers, and NOT NULL, which is the column's.
pub static CONSTRAINTS: Statement = Statement::new(concat!(
    "SELECT 'constraint' AS kind, format('%I on %s', k.conname, c.printed) AS object,
            pg_get_constraintdef(k.oid)
            || coalesce((SELECT concat(' ' || ",
    with_options!("x.reloptions"),
    ",
                                       CASE WHEN i.indisclustered THEN ' CLUSTER ON' END,
                                       CASE WHEN NOT i.indisvalid THEN ' (invalid)' END)
                           FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                          WHERE i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')), '') AS definition,
            'pg_constraint'::regclass::oid::int8 AS class, k.oid::int8 AS oid, 0 AS sub,
            c.oid::int8 AS parent, 0 AS parent_sub
       FROM ",
    relations!(),
    "
       JOIN pg_constraint k ON k.conrelid = c.oid
      WHERE k.contype NOT IN ('n', 't') AND k.conparentid = 0 AND (k.conislocal OR k.coninhcount = 0)"
));

/// Without those of constraints and those that belong to the index of a partitioned table.
pub static INDEXES: Statement = Statement::new(concat!(
    "SELECT 'index' AS kind, format('%I.%I', n.nspname, x.relname) AS object,
            concat(pg_get_indexdef(x.oid),
                   CASE WHEN i.indisclustered THEN ' CLUSTER ON' END,
                   CASE WHEN NOT i.indisvalid THEN ' (invalid)' END) AS definition,
            'pg_class'::regclass::oid::int8 AS class, x.oid::int8 AS oid, 0 AS sub,
            c.oid::int8 AS parent, 0 AS parent_sub
       FROM ",
    relations!(),
    "
       JOIN pg_index i ON i.indrelid = c.oid
       JOIN pg_class x ON x.oid = i.indexrelid AND NOT x.relispartition
       JOIN pg_namespace n ON n.oid = x.relnamespace
      WHERE NOT EXISTS (SELECT FROM pg_constraint k
                         WHERE k.conrelid = c.oid AND k.conindid = x.oid AND k.contype IN ('p', 'u', 'x'))
        AND pg_get_indexdef(x.oid) IS NOT NULL AND ",
    no_member!("pg_class", "x.oid"),
));

pub static SEQUENCES: Statement = Statement::new(concat!(
    "SELECT 'sequence' AS kind, c.printed AS object,
            concat_ws(' ', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED' END, ",
    sequence_options!(),
    ",
                      'OWNED BY ' || o.column) AS definition,
            'pg_class'::regclass::oid::int8 AS class, c.oid::int8 AS oid, 0 AS sub, o.parent, o.parent_sub
       FROM ",
    relations!(),
    "
       JOIN pg_sequence s ON s.seqrelid = c.oid
       LEFT JOIN LATERAL (
            SELECT format('%I.%I.%I', tn.nspname, t.relname, a.attname) AS column,
                   a.attrelid::int8 AS parent, a.attnum::int4 AS parent_sub
              FROM pg_depend d
              JOIN pg_class t ON t.oid = d.refobjid
              JOIN pg_namespace tn ON tn.oid = t.relnamespace
              JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'a'
               AND d.refclassid = 'pg_class'::regclass) o ON true
      WHERE c.relkind = 'S'"
));

pub static VIEWS: Statement = Statement::new(concat!(
    "SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END AS kind, c.printed AS object,
            concat_ws(' ',
                CASE WHEN c.relkind = 'm' THEN
                    (SELECT format('USING %I', a.amname) FROM pg_am a WHERE a.oid = c.relam AND a.amname <> 'heap')
                END,
                ",
    with_options!("c.reloptions"),
    ",
                'AS') || E'\\n' || v.query
            || coalesce((SELECT string_agg(format(E'\\nALTER COLUMN %I SET DEFAULT %s', a.attname,
                                                  pg_get_expr(d.adbin, d.adrelid)), '' ORDER BY a.attnum)
                           FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
                          WHERE d.adrelid = c.oid), '') AS definition,
            'pg_class'::regclass::oid::int8 AS class, c.oid::int8 AS oid, 0 AS sub,
            NULL::int8 AS parent, 0 AS parent_sub
       FROM ",
    relations!(),
    "
       CROSS JOIN LATERAL (SELECT pg_get_viewdef(c.oid) AS query) v
      WHERE c.relkind IN ('v', 'm')"
));

pub static TRIGGERS: Statement = Statement::new(concat!(
    "SELECT 'trigger' AS kind, format('%I on %s', t.tgname, c.printed) AS object,
            pg_get_triggerdef(t.oid)
            || CASE t.tgenabled WHEN 'D' THEN ' (disabled)' WHEN 'R' THEN ' (enabled on a replica)'
                                WHEN 'A' THEN ' (enabled always)' ELSE '' END AS definition,
            'pg_trigger'::regclass::oid::int8 AS class, t.oid::int8 AS oid, 0 AS sub,
            c.oid::int8 AS parent, 0 AS parent_sub
       FROM ",
    relations!(),
    "
       JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgparentid = 0
      WHERE ",
    no_member!("pg_trigger", "t.oid"),
));

pub static RULES: Statement = Statement::new(concat!(
    "SELECT 'rule' AS kind, format('%I on %s', w.rulename, c.printed) AS object,
            pg_get_ruledef(w.oid)
            || CASE w.ev_enabled WHEN 'D' THEN ' (disabled)' WHEN 'R' THEN ' (enabled on a replica)'
                                 WHEN 'A' THEN ' (enabled always)' ELSE '' END AS definition,
            'pg_rewrite'::regclass::oid::int8 AS class, w.oid::int8 AS oid, 0 AS sub,
            c.oid::int8 AS parent, 0 AS parent_sub
       FROM ",
    relations!(),
    "
       JOIN pg_rewrite w ON w.ev_class = c.oid AND w.rulename <> '_RETURN'
      WHERE ",
    no_member!("pg_rewrite", "w.oid"),
));

pub static POLICIES: Statement = Statement::new(concat!(
    "SELECT 'policy' AS kind, format('%I on %s', p.polname, c.printed) AS object,
            concat_ws(' ',
                CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                'FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                                        WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                'TO ' || (SELECT string_agg(r.name, ', ' ORDER BY r.name COLLATE \"C\")
                            FROM (SELECT CASE o WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END AS name
                                    FROM unnest(p.polroles) o) r),
                'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') AS definition,
            'pg_policy'::regclass::oid::int8 AS class, p.oid::int8 AS oid, 0 AS sub,
            c.oid::int8 AS parent, 0 AS parent_sub
       FROM ",
    relations!(),
    "
       JOIN pg_policy p ON p.polrelid = c.oid"
));
