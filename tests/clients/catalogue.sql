-- Everything that the catalogue says of the extension, one line per fact; search_path must be pg_catalog.
WITH member AS (
    SELECT d.classid, d.objid
      FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
     WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
), relation AS (
    SELECT c.* FROM member JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
), routine AS (
    SELECT p.* FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
), commented AS (
    SELECT classid, objid, 0 AS objsubid FROM member
    UNION ALL SELECT 'pg_class'::regclass, a.attrelid, a.attnum FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attnum > 0
    UNION ALL SELECT 'pg_constraint'::regclass, c.oid, 0 FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
    UNION ALL SELECT 'pg_class'::regclass, i.indexrelid, 0 FROM relation r JOIN pg_index i ON i.indrelid = r.oid
    UNION ALL SELECT 'pg_trigger'::regclass, t.oid, 0 FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid
    UNION ALL SELECT 'pg_policy'::regclass, p.oid, 0 FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
    UNION ALL SELECT 'pg_extension'::regclass, x.oid, 0 FROM pg_extension x WHERE x.extname = 'pg_versioned'
), fact(kind, object, what) AS (
    SELECT 'extension', extname::text,
           concat_ws(' ', extversion, extnamespace::regnamespace, extrelocatable, pg_get_userbyid(extowner))
      FROM pg_extension WHERE extname = 'pg_versioned'
    UNION ALL
    SELECT 'dumped', t.oid::regclass::text, concat_ws(' ', 'number', number, 'condition "' || t.condition || '"')
      FROM pg_extension, unnest(extconfig, extcondition) WITH ORDINALITY AS t(oid, condition, number)
     WHERE extname = 'pg_versioned'
    UNION ALL
    SELECT 'requirement', pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid), d.deptype::text
      FROM pg_depend d JOIN pg_extension x ON d.classid = 'pg_extension'::regclass AND x.oid = d.objid AND x.extname = 'pg_versioned'
    UNION ALL
    SELECT 'member', pg_describe_object(classid, objid, 0), '' FROM member
    UNION ALL
    SELECT 'comment', pg_describe_object(classid, objid, commented.objsubid), description
      FROM commented JOIN pg_description d ON d.classoid = classid AND d.objoid = objid AND d.objsubid = commented.objsubid
    UNION ALL
    SELECT 'schema', n.oid::regnamespace::text, pg_get_userbyid(nspowner)
      FROM member JOIN pg_namespace n ON classid = 'pg_namespace'::regclass AND n.oid = objid
    UNION ALL
    SELECT 'relation', oid::regclass::text,
           concat_ws(' ', relkind, relpersistence, pg_get_userbyid(relowner), 'options', reloptions, 'rls', relrowsecurity,
                     relforcerowsecurity, 'identity', relreplident, 'of', nullif(reloftype, 0)::regtype,
                     'by', (SELECT amname FROM pg_am a WHERE a.oid = relation.relam),
                     'toast', (SELECT t.reloptions FROM pg_class t WHERE t.oid = relation.reltoastrelid),
                     'children', (SELECT count(*) FROM pg_inherits WHERE inhparent = relation.oid))
      FROM relation
    UNION ALL
    SELECT 'column', attrelid::regclass || '.' || attname,
           concat_ws(' ', 'number', row_number() OVER (PARTITION BY attrelid ORDER BY attnum),
                     format_type(atttypid, atttypmod), nullif(attcollation, 0)::regcollation, CASE WHEN attnotnull THEN 'not null' END,
                     'default ' || pg_get_expr(adbin, adrelid), 'identity ' || nullif(attidentity::text, ''),
                     'generated ' || nullif(attgenerated::text, ''), 'storage', attstorage, attcompression,
                     'statistics', nullif(attstattarget, -1),
                     -- Not the stamps that Postgres itself puts on columns since 15.20.
                     (SELECT array_agg(o) FROM unnest(attoptions) o WHERE o NOT LIKE 'pg_attver=%'), attacl)
      FROM relation r
      JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    UNION ALL
    SELECT 'constraint', c.conrelid::regclass || '.' || conname, pg_get_constraintdef(c.oid) || ' ' || convalidated
      FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
    UNION ALL
    SELECT 'index', indexrelid::regclass::text,
           concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid, indisreplident, indisclustered, pg_get_userbyid(i.relowner))
      FROM relation r JOIN pg_index ON indrelid = r.oid JOIN pg_class i ON i.oid = indexrelid
    UNION ALL
    SELECT 'view', oid::regclass::text, pg_get_viewdef(oid) FROM relation WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT 'rule', rulename || ' on ' || ev_class::regclass, pg_get_ruledef(w.oid) || ' ' || ev_enabled::text
      FROM relation r JOIN pg_rewrite w ON ev_class = r.oid WHERE rulename <> '_RETURN'
    UNION ALL
    SELECT 'trigger', tgname || ' on ' || tgrelid::regclass, pg_get_triggerdef(t.oid) || ' ' || tgenabled::text
      FROM relation r JOIN pg_trigger t ON tgrelid = r.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT 'internal triggers', r.oid::regclass::text, concat_ws(' ', tgfoid::regproc, tgenabled, count(*))
      FROM relation r JOIN pg_trigger t ON tgrelid = r.oid WHERE tgisinternal GROUP BY r.oid, tgfoid, tgenabled
    UNION ALL
    SELECT 'policy', polname || ' on ' || polrelid::regclass,
           concat_ws(' ', polcmd, polpermissive, polroles::regrole[], 'using', pg_get_expr(polqual, polrelid),
                     'check', pg_get_expr(polwithcheck, polrelid))
      FROM relation r JOIN pg_policy ON polrelid = r.oid
    UNION ALL
    SELECT 'statistics', stxname || ' on ' || stxrelid::regclass, pg_get_statisticsobjdef(s.oid)
      FROM relation r JOIN pg_statistic_ext s ON stxrelid = r.oid
    UNION ALL
    SELECT 'sequence', seqrelid::regclass::text, concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
                     (SELECT pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) FROM pg_depend d
                       WHERE d.classid = 'pg_class'::regclass AND d.objid = seqrelid AND d.deptype IN ('a', 'i')))
      FROM relation r JOIN pg_sequence ON seqrelid = r.oid
    UNION ALL
    SELECT 'function', oid::regprocedure::text, pg_get_userbyid(proowner) || ' ' || prosupport || ' ' || pg_get_functiondef(oid)
      FROM routine WHERE prokind IN ('f', 'p')
    UNION ALL
    SELECT 'grant', object,
           concat_ws(' ', privilege_type, 'to', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END,
                     'by', pg_get_userbyid(grantor), is_grantable)
      FROM (SELECT oid::regclass::text AS object, relacl FROM relation
             UNION ALL SELECT oid::regprocedure::text, proacl FROM routine
             UNION ALL SELECT n.oid::regnamespace::text, n.nspacl
                         FROM member JOIN pg_namespace n ON classid = 'pg_namespace'::regclass AND n.oid = objid) o(object, acl),
           aclexplode(acl) a
    UNION ALL
    -- What pg_dump takes for granted by CREATE EXTENSION.
    SELECT 'initial grant', pg_describe_object(classoid, objoid, i.objsubid),
           concat_ws(' ', privilege_type, 'to', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END)
      FROM (SELECT * FROM member
             UNION SELECT 'pg_namespace'::regclass, extnamespace FROM pg_extension WHERE extname = 'pg_versioned') o
      JOIN pg_init_privs i ON classoid = classid AND objoid = objid, aclexplode(initprivs)
    UNION ALL
    -- Roles that Postgres 17 and later keep because of them.
    SELECT 'initial role', pg_describe_object(d.classid, d.objid, d.objsubid), pg_get_userbyid(refobjid)
      FROM (SELECT * FROM member
             UNION SELECT 'pg_namespace'::regclass, extnamespace FROM pg_extension WHERE extname = 'pg_versioned') o
      JOIN pg_shdepend d ON d.classid = o.classid AND d.objid = o.objid AND d.deptype = 'i'
       AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT concat_ws(' | ', kind, object, what) FROM fact ORDER BY 1
