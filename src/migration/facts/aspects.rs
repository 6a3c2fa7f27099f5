//! Owners, privileges and comments of objects.
//!
//! The statements yield, for the objects of the schemas, what is so about them: the object's class, oid and sub, the name
//! of the column if it is one, and the definition. Whether the object counts, the caller knows.

use crate::backend::Statement;

/// Objects of the schemas that can be owned, with their privileges; those of operators and the like are NULL.
macro_rules! objects {
    () => {
        "(SELECT 'pg_namespace'::regclass AS class, oid, nspowner AS owner, coalesce(nspacl, acldefault('n', nspowner)) AS acl
            FROM pg_namespace WHERE oid = ANY (:schemas::oid[])
          UNION ALL
          SELECT 'pg_class'::regclass, oid, relowner,
                 coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner))
            FROM pg_class WHERE relnamespace = ANY (:schemas::oid[]) AND relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
          UNION ALL
          SELECT 'pg_proc'::regclass, oid, proowner, coalesce(proacl, acldefault('f', proowner))
            FROM pg_proc WHERE pronamespace = ANY (:schemas::oid[])
          UNION ALL
          SELECT 'pg_type'::regclass, oid, typowner, coalesce(typacl, acldefault('T', typowner))
            FROM pg_type WHERE typnamespace = ANY (:schemas::oid[])
          UNION ALL
          SELECT 'pg_statistic_ext'::regclass, oid, stxowner, NULL FROM pg_statistic_ext WHERE stxnamespace = ANY (:schemas::oid[])
          UNION ALL
          SELECT 'pg_operator'::regclass, oid, oprowner, NULL FROM pg_operator WHERE oprnamespace = ANY (:schemas::oid[])
          UNION ALL
          SELECT 'pg_opclass'::regclass, oid, opcowner, NULL FROM pg_opclass WHERE opcnamespace = ANY (:schemas::oid[])
          UNION ALL
          SELECT 'pg_opfamily'::regclass, oid, opfowner, NULL FROM pg_opfamily WHERE opfnamespace = ANY (:schemas::oid[])
          UNION ALL
          SELECT 'pg_collation'::regclass, oid, collowner, NULL FROM pg_collation WHERE collnamespace = ANY (:schemas::oid[])
          UNION ALL
          SELECT 'pg_conversion'::regclass, oid, conowner, NULL FROM pg_conversion WHERE connamespace = ANY (:schemas::oid[])
          UNION ALL
          SELECT 'pg_ts_config'::regclass, oid, cfgowner, NULL FROM pg_ts_config WHERE cfgnamespace = ANY (:schemas::oid[])
          UNION ALL
          SELECT 'pg_ts_dict'::regclass, oid, dictowner, NULL FROM pg_ts_dict WHERE dictnamespace = ANY (:schemas::oid[])) o"
    };
}

/// What a list of privileges grants to whom, whoever granted it; `none` if that is nothing.
macro_rules! privileges {
    ($acl:literal) => {
        concat!(
            "coalesce((SELECT string_agg(g.line, '; ' ORDER BY g.line COLLATE \"C\")
                        FROM (SELECT format('%s: %s', CASE x.grantee WHEN 0 THEN 'PUBLIC'
                                                           ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
                                            string_agg(DISTINCT p.word, ', ' ORDER BY p.word)) AS line
                                FROM aclexplode(",
            $acl,
            ") x
                               CROSS JOIN LATERAL (
                                     SELECT (x.privilege_type || CASE WHEN x.is_grantable THEN ' with grant option' ELSE '' END)
                                            COLLATE \"C\" AS word) p
                               GROUP BY x.grantee) g), 'none')"
        )
    };
}
pub(super) use privileges;

/// The names of the schemas themselves.
pub static SCHEMAS: Statement = Statement::new(
    "SELECT 'pg_namespace'::regclass::oid::int8 AS class, n.oid::int8 AS oid, 0 AS sub, quote_ident(n.nspname) AS name
       FROM pg_namespace n WHERE n.oid = ANY (:schemas::oid[])",
);

pub static OWNERS: Statement = Statement::new(concat!(
    "SELECT o.class::oid::int8 AS class, o.oid::int8 AS oid, 0 AS sub, NULL AS name,
            quote_ident(pg_get_userbyid(o.owner)) AS definition
       FROM ",
    objects!()
));

/// What Postgres grants where nothing was said is spelled out.
pub static PRIVILEGES: Statement = Statement::new(concat!(
    "SELECT o.class::oid::int8 AS class, o.oid::int8 AS oid, o.sub, o.name,
            ",
    privileges!("o.acl"),
    " AS definition
       FROM (SELECT o.class, o.oid, 0 AS sub, NULL AS name, o.acl FROM ",
    objects!(),
    "
              WHERE o.acl IS NOT NULL
             UNION ALL
             SELECT 'pg_class'::regclass, a.attrelid, a.attnum::int4, quote_ident(a.attname), a.attacl
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              WHERE c.relnamespace = ANY (:schemas::oid[]) AND a.attacl <> '{}') o"
));

/// Of all objects with a comment; there are few beside those of the schemas, except for Postgres' own.
pub static COMMENTS: Statement = Statement::new(
    "SELECT d.classoid::int8 AS class, d.objoid::int8 AS oid, d.objsubid AS sub, quote_ident(a.attname) AS name,
            d.description AS definition
       FROM pg_description d
       LEFT JOIN pg_attribute a
            ON d.classoid = 'pg_class'::regclass AND d.objsubid > 0 AND a.attrelid = d.objoid AND a.attnum = d.objsubid
      WHERE d.objoid >= 16384 OR d.classoid = 'pg_namespace'::regclass",
);
