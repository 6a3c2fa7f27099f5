--
-- SCHEMA FINGERPRINT
--
-- One hash over what a schema holds: every change of the schema changes it, undoing the change restores it, and
-- nothing else does.
--
SET client_min_messages = warning;
CREATE SCHEMA shop;
CREATE SCHEMA "Hostile ""schema"" ü";
CREATE ROLE regress_fingerprint;
CREATE FOREIGN DATA WRAPPER regress_wrapper;
CREATE SERVER regress_server FOREIGN DATA WRAPPER regress_wrapper;
CREATE SERVER regress_server2 FOREIGN DATA WRAPPER regress_wrapper;

-- What was done and undone, and whether the fingerprint was another one in between and is the old one now.
CREATE PROCEDURE pg_temp.probe(p_include text[], VARIADIC p_steps text[]) LANGUAGE plpgsql AS $$
DECLARE
    v_before text := schema_fingerprint('shop', p_include);
    v_meanwhile text;
BEGIN
    FOR i IN 1 .. cardinality(p_steps) / 2 LOOP
        EXECUTE p_steps[2 * i - 1];
        v_meanwhile := schema_fingerprint('shop', p_include);
        EXECUTE p_steps[2 * i];
        RAISE WARNING '% %: %', CASE WHEN v_meanwhile = v_before THEN 'UNSEEN' ELSE 'seen' END,
            CASE WHEN schema_fingerprint('shop', p_include) = v_before THEN 'and restored' ELSE 'NOT RESTORED' END,
            p_steps[2 * i - 1];
    END LOOP;
END $$;
-- What was done, and whether the fingerprint is still the old one.
CREATE PROCEDURE pg_temp.ignored(p_include text[], VARIADIC p_steps text[]) LANGUAGE plpgsql AS $$
DECLARE
    v_before text := schema_fingerprint('shop', p_include);
    v_step text;
BEGIN
    FOREACH v_step IN ARRAY p_steps LOOP
        EXECUTE v_step;
        RAISE WARNING '%: %', CASE WHEN schema_fingerprint('shop', p_include) = v_before THEN 'ignored' ELSE 'SEEN' END, v_step;
    END LOOP;
END $$;

SELECT schema_fingerprint('shop') AS of_nothing, length(schema_fingerprint('shop', '{owners,grants,comments}')) AS length;

CREATE TABLE shop.customer (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    email varchar(100),
    total numeric(10, 2) DEFAULT 0,
    created timestamptz DEFAULT '2026-01-01 00:00+00',
    due interval DEFAULT '1 day 02:00',
    picture bytea DEFAULT '\x00ff',
    parts text[]);
CREATE TABLE shop.item (id integer NOT NULL, customer bigint, price float8, CONSTRAINT item_price CHECK (price > 0.1));
CREATE INDEX item_customer ON shop.item (customer);
CREATE VIEW shop.names AS SELECT id, name FROM shop.customer;
CREATE MATERIALIZED VIEW shop.totals AS SELECT sum(total) AS total FROM shop.customer;
CREATE SEQUENCE shop.numbers;
CREATE TYPE shop.mood AS ENUM ('sad', 'happy');
CREATE DOMAIN shop.email AS text;
CREATE TYPE shop.pair AS (a integer, b text);
CREATE TYPE shop.span AS RANGE (subtype = float8);
CREATE FUNCTION shop.twice(n integer) RETURNS integer LANGUAGE sql AS 'SELECT 2 * n';
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON shop.item FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE RULE quiet AS ON DELETE TO shop.item DO INSTEAD NOTHING;
CREATE POLICY own ON shop.item USING (id > 0);
CREATE STATISTICS shop.both ON id, customer FROM shop.item;
CREATE AGGREGATE shop.add(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');

-- Tables
CALL pg_temp.probe('{}',
    'CREATE TABLE shop.new (id integer)', 'DROP TABLE shop.new',
    'ALTER TABLE shop.item RENAME TO items', 'ALTER TABLE shop.items RENAME TO item',
    'ALTER TABLE shop.item SET UNLOGGED', 'ALTER TABLE shop.item SET LOGGED',
    'ALTER TABLE shop.item SET (fillfactor = 70)', 'ALTER TABLE shop.item RESET (fillfactor)',
    'ALTER TABLE shop.customer SET (toast.autovacuum_enabled = off)', 'ALTER TABLE shop.customer RESET (toast.autovacuum_enabled)',
    'ALTER TABLE shop.item REPLICA IDENTITY FULL', 'ALTER TABLE shop.item REPLICA IDENTITY DEFAULT',
    'ALTER TABLE shop.customer REPLICA IDENTITY USING INDEX customer_pkey', 'ALTER TABLE shop.customer REPLICA IDENTITY DEFAULT',
    'ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY', 'ALTER TABLE shop.item DISABLE ROW LEVEL SECURITY',
    'ALTER TABLE shop.item FORCE ROW LEVEL SECURITY', 'ALTER TABLE shop.item NO FORCE ROW LEVEL SECURITY');

-- Columns
CALL pg_temp.probe('{}',
    'ALTER TABLE shop.item ADD note text', 'ALTER TABLE shop.item DROP note',
    'ALTER TABLE shop.item RENAME customer TO buyer', 'ALTER TABLE shop.item RENAME buyer TO customer',
    'ALTER TABLE shop.customer ALTER email TYPE varchar(101)', 'ALTER TABLE shop.customer ALTER email TYPE varchar(100)',
    'ALTER TABLE shop.customer ALTER email TYPE varchar(100) COLLATE "C"', 'ALTER TABLE shop.customer ALTER email TYPE varchar(100)',
    'ALTER TABLE shop.customer ALTER total SET DEFAULT 1', 'ALTER TABLE shop.customer ALTER total SET DEFAULT 0',
    'ALTER TABLE shop.customer ALTER total DROP DEFAULT', 'ALTER TABLE shop.customer ALTER total SET DEFAULT 0',
    'ALTER TABLE shop.item ALTER price SET NOT NULL', 'ALTER TABLE shop.item ALTER price DROP NOT NULL',
    'ALTER TABLE shop.item ALTER id ADD GENERATED ALWAYS AS IDENTITY', 'ALTER TABLE shop.item ALTER id DROP IDENTITY',
    'ALTER TABLE shop.item ADD twice float8 GENERATED ALWAYS AS (price * 2) STORED', 'ALTER TABLE shop.item DROP twice',
    'ALTER TABLE shop.customer ALTER parts SET STORAGE EXTERNAL', 'ALTER TABLE shop.customer ALTER parts SET STORAGE EXTENDED',
    'ALTER TABLE shop.customer ALTER parts SET COMPRESSION pglz', 'ALTER TABLE shop.customer ALTER parts SET COMPRESSION default',
    'ALTER TABLE shop.customer ALTER parts SET STATISTICS 7', 'ALTER TABLE shop.customer ALTER parts SET STATISTICS -1',
    'ALTER TABLE shop.customer ALTER parts SET (n_distinct = 5)', 'ALTER TABLE shop.customer ALTER parts RESET (n_distinct)',
    'CREATE TABLE shop.serial (id serial)', 'DROP TABLE shop.serial');
-- Their order, not their numbers
CREATE TABLE shop.ordered (a integer, b integer);
CALL pg_temp.probe('{}', 'ALTER TABLE shop.ordered DROP a; ALTER TABLE shop.ordered ADD a integer',
    'ALTER TABLE shop.ordered DROP b; ALTER TABLE shop.ordered ADD b integer');
-- What is generated, and how
CREATE TABLE shop.generated (id integer GENERATED ALWAYS AS IDENTITY, n integer, m integer GENERATED ALWAYS AS (n + 1) STORED);
CALL pg_temp.probe('{}',
    'ALTER TABLE shop.generated ALTER id SET GENERATED BY DEFAULT', 'ALTER TABLE shop.generated ALTER id SET GENERATED ALWAYS',
    'ALTER TABLE shop.generated ALTER id SET INCREMENT BY 2', 'ALTER TABLE shop.generated ALTER id SET INCREMENT BY 1',
    'ALTER TABLE shop.generated DROP m; ALTER TABLE shop.generated ADD m integer GENERATED ALWAYS AS (n + 2) STORED',
    'ALTER TABLE shop.generated DROP m; ALTER TABLE shop.generated ADD m integer GENERATED ALWAYS AS (n + 1) STORED',
    'ALTER TABLE shop.generated ALTER m DROP EXPRESSION',
    'ALTER TABLE shop.generated DROP m; ALTER TABLE shop.generated ADD m integer GENERATED ALWAYS AS (n + 1) STORED');

-- Inheritance, partitions, foreign tables, tables of a type
CREATE TABLE shop.heir (LIKE shop.ordered);
CREATE TABLE shop.measured (at date NOT NULL, n integer, PRIMARY KEY (at)) PARTITION BY RANGE (at);
CREATE INDEX measured_n ON shop.measured (n);
CREATE FOREIGN TABLE shop.away (id integer OPTIONS (a '1')) SERVER regress_server OPTIONS (b '2');
CREATE TABLE shop.pairs OF shop.pair;
CALL pg_temp.probe('{}',
    'ALTER TABLE shop.heir INHERIT shop.ordered', 'ALTER TABLE shop.heir NO INHERIT shop.ordered',
    'CREATE TABLE shop.january PARTITION OF shop.measured FOR VALUES FROM (''2026-01-01'') TO (''2026-02-01'')', 'DROP TABLE shop.january',
    'ALTER FOREIGN TABLE shop.away OPTIONS (SET b ''3'')', 'ALTER FOREIGN TABLE shop.away OPTIONS (SET b ''2'')',
    'ALTER FOREIGN TABLE shop.away ALTER id OPTIONS (SET a ''2'')', 'ALTER FOREIGN TABLE shop.away ALTER id OPTIONS (SET a ''1'')',
    'DROP FOREIGN TABLE shop.away; CREATE FOREIGN TABLE shop.away (id integer OPTIONS (a ''1'')) SERVER regress_server2 OPTIONS (b ''2'')',
    'DROP FOREIGN TABLE shop.away; CREATE FOREIGN TABLE shop.away (id integer OPTIONS (a ''1'')) SERVER regress_server OPTIONS (b ''2'')',
    'ALTER TABLE shop.pairs NOT OF', 'ALTER TABLE shop.pairs OF shop.pair');
CREATE TABLE shop.january PARTITION OF shop.measured FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE shop.child () INHERITS (shop.ordered);
-- What a partition or heir has otherwise than its parent
CALL pg_temp.probe('{}',
    'ALTER TABLE shop.january ALTER n SET DEFAULT 1', 'ALTER TABLE shop.january ALTER n DROP DEFAULT',
    'ALTER TABLE shop.january ALTER n SET NOT NULL', 'ALTER TABLE shop.january ALTER n DROP NOT NULL',
    'ALTER TABLE shop.child ALTER a SET DEFAULT 1', 'ALTER TABLE shop.child ALTER a DROP DEFAULT');
DROP TABLE shop.child;
CALL pg_temp.probe('{}',
    'ALTER TABLE shop.measured DETACH PARTITION shop.january', 'ALTER TABLE shop.measured ATTACH PARTITION shop.january FOR VALUES FROM (''2026-01-01'') TO (''2026-02-01'')',
    'ALTER TABLE shop.measured DETACH PARTITION shop.january; ALTER TABLE shop.measured ATTACH PARTITION shop.january FOR VALUES FROM (''2026-01-01'') TO (''2026-01-31'')',
    'ALTER TABLE shop.measured DETACH PARTITION shop.january; ALTER TABLE shop.measured ATTACH PARTITION shop.january FOR VALUES FROM (''2026-01-01'') TO (''2026-02-01'')');

-- Constraints and indexes
CALL pg_temp.probe('{}',
    'ALTER TABLE shop.item ADD PRIMARY KEY (id)', 'ALTER TABLE shop.item DROP CONSTRAINT item_pkey; ALTER TABLE shop.item ALTER id SET NOT NULL',
    'ALTER TABLE shop.item ADD UNIQUE (id)', 'ALTER TABLE shop.item DROP CONSTRAINT item_id_key',
    'ALTER TABLE shop.item ADD EXCLUDE USING btree (id WITH =)', 'ALTER TABLE shop.item DROP CONSTRAINT item_id_excl',
    'ALTER TABLE shop.item RENAME CONSTRAINT item_price TO price', 'ALTER TABLE shop.item RENAME CONSTRAINT price TO item_price',
    'ALTER TABLE shop.item DROP CONSTRAINT item_price, ADD CONSTRAINT item_price CHECK (price > 0.1) NOT VALID', 'ALTER TABLE shop.item VALIDATE CONSTRAINT item_price',
    'ALTER TABLE shop.item DROP CONSTRAINT item_price, ADD CONSTRAINT item_price CHECK (price > 0.2)', 'ALTER TABLE shop.item DROP CONSTRAINT item_price, ADD CONSTRAINT item_price CHECK (price > 0.1)',
    'ALTER INDEX shop.customer_pkey SET (fillfactor = 50)', 'ALTER INDEX shop.customer_pkey RESET (fillfactor)',
    'ALTER TABLE shop.customer CLUSTER ON customer_pkey', 'ALTER TABLE shop.customer SET WITHOUT CLUSTER',
    'CREATE INDEX new ON shop.item (id)', 'DROP INDEX shop.new',
    'ALTER INDEX shop.item_customer RENAME TO other', 'ALTER INDEX shop.other RENAME TO item_customer',
    'ALTER INDEX shop.item_customer SET (fillfactor = 50)', 'ALTER INDEX shop.item_customer RESET (fillfactor)',
    'ALTER TABLE shop.item CLUSTER ON item_customer', 'ALTER TABLE shop.item SET WITHOUT CLUSTER',
    'UPDATE pg_index SET indisvalid = false WHERE indexrelid = ''shop.item_customer''::regclass', 'UPDATE pg_index SET indisvalid = true WHERE indexrelid = ''shop.item_customer''::regclass',
    'DROP INDEX shop.item_customer; CREATE UNIQUE INDEX item_customer ON shop.item (customer)', 'DROP INDEX shop.item_customer; CREATE INDEX item_customer ON shop.item (customer)',
    'DROP INDEX shop.item_customer; CREATE INDEX item_customer ON shop.item (customer) WHERE id > 1', 'DROP INDEX shop.item_customer; CREATE INDEX item_customer ON shop.item (customer)');
ALTER TABLE shop.item ADD CONSTRAINT buyer FOREIGN KEY (customer) REFERENCES shop.customer;
CALL pg_temp.probe('{}',
    'ALTER TABLE shop.item ALTER CONSTRAINT buyer DEFERRABLE', 'ALTER TABLE shop.item ALTER CONSTRAINT buyer NOT DEFERRABLE',
    'ALTER TABLE shop.item ALTER CONSTRAINT buyer DEFERRABLE INITIALLY DEFERRED', 'ALTER TABLE shop.item ALTER CONSTRAINT buyer NOT DEFERRABLE',
    'ALTER TABLE shop.item DROP CONSTRAINT buyer, ADD CONSTRAINT buyer FOREIGN KEY (customer) REFERENCES shop.customer ON DELETE CASCADE',
    'ALTER TABLE shop.item DROP CONSTRAINT buyer, ADD CONSTRAINT buyer FOREIGN KEY (customer) REFERENCES shop.customer');

-- Sequences
CALL pg_temp.probe('{}',
    'ALTER SEQUENCE shop.numbers INCREMENT 5', 'ALTER SEQUENCE shop.numbers INCREMENT 1',
    'ALTER SEQUENCE shop.numbers MAXVALUE 1000', 'ALTER SEQUENCE shop.numbers NO MAXVALUE',
    'ALTER SEQUENCE shop.numbers MINVALUE -3', 'ALTER SEQUENCE shop.numbers MINVALUE 1',
    'ALTER SEQUENCE shop.numbers START 5', 'ALTER SEQUENCE shop.numbers START 1',
    'ALTER SEQUENCE shop.numbers CACHE 5', 'ALTER SEQUENCE shop.numbers CACHE 1',
    'ALTER SEQUENCE shop.numbers CYCLE', 'ALTER SEQUENCE shop.numbers NO CYCLE',
    'ALTER SEQUENCE shop.numbers AS integer', 'ALTER SEQUENCE shop.numbers AS bigint',
    'ALTER SEQUENCE shop.numbers SET UNLOGGED', 'ALTER SEQUENCE shop.numbers SET LOGGED',
    'ALTER SEQUENCE shop.numbers OWNED BY shop.item.id', 'ALTER SEQUENCE shop.numbers OWNED BY NONE');

-- Types
CALL pg_temp.probe('{}',
    'ALTER TYPE shop.mood RENAME VALUE ''sad'' TO ''blue''', 'ALTER TYPE shop.mood RENAME VALUE ''blue'' TO ''sad''',
    'ALTER TYPE shop.mood ADD VALUE ''so so'' BEFORE ''happy''', 'DROP TYPE shop.mood; CREATE TYPE shop.mood AS ENUM (''sad'', ''happy'')',
    'DROP TYPE shop.mood; CREATE TYPE shop.mood AS ENUM (''happy'', ''sad'')', 'DROP TYPE shop.mood; CREATE TYPE shop.mood AS ENUM (''sad'', ''happy'')',
    'ALTER DOMAIN shop.email SET DEFAULT ''none''', 'ALTER DOMAIN shop.email DROP DEFAULT',
    'ALTER DOMAIN shop.email SET NOT NULL', 'ALTER DOMAIN shop.email DROP NOT NULL',
    'ALTER DOMAIN shop.email ADD CONSTRAINT at CHECK (value LIKE ''%@%'')', 'ALTER DOMAIN shop.email DROP CONSTRAINT at',
    'DROP DOMAIN shop.email; CREATE DOMAIN shop.email AS text COLLATE "C"', 'DROP DOMAIN shop.email; CREATE DOMAIN shop.email AS text',
    'DROP DOMAIN shop.email; CREATE DOMAIN shop.email AS varchar(7)', 'DROP DOMAIN shop.email; CREATE DOMAIN shop.email AS text',
    'ALTER TYPE shop.pair ADD ATTRIBUTE c date CASCADE', 'ALTER TYPE shop.pair DROP ATTRIBUTE c CASCADE',
    'ALTER TYPE shop.pair RENAME ATTRIBUTE b TO c CASCADE', 'ALTER TYPE shop.pair RENAME ATTRIBUTE c TO b CASCADE',
    'DROP TYPE shop.span; CREATE TYPE shop.span AS RANGE (subtype = float8, subtype_diff = float8mi)', 'DROP TYPE shop.span; CREATE TYPE shop.span AS RANGE (subtype = float8)',
    'DROP TYPE shop.span; CREATE TYPE shop.span AS RANGE (subtype = float8, multirange_type_name = shop.spans)', 'DROP TYPE shop.span; CREATE TYPE shop.span AS RANGE (subtype = float8)',
    'CREATE TYPE shop.later', 'DROP TYPE shop.later');

-- Views
CALL pg_temp.probe('{}',
    'CREATE OR REPLACE VIEW shop.names AS SELECT id, upper(name) AS name FROM shop.customer', 'CREATE OR REPLACE VIEW shop.names AS SELECT id, name FROM shop.customer',
    'ALTER VIEW shop.names SET (security_barrier)', 'ALTER VIEW shop.names RESET (security_barrier)',
    'ALTER VIEW shop.names RENAME name TO called', 'ALTER VIEW shop.names RENAME called TO name',
    'ALTER VIEW shop.names ALTER id SET DEFAULT 7', 'ALTER VIEW shop.names ALTER id DROP DEFAULT',
    'ALTER MATERIALIZED VIEW shop.totals SET (fillfactor = 70)', 'ALTER MATERIALIZED VIEW shop.totals RESET (fillfactor)',
    'CREATE UNIQUE INDEX of_totals ON shop.totals (total)', 'DROP INDEX shop.of_totals',
    'DROP MATERIALIZED VIEW shop.totals; CREATE MATERIALIZED VIEW shop.totals AS SELECT max(total) AS total FROM shop.customer',
    'DROP MATERIALIZED VIEW shop.totals; CREATE MATERIALIZED VIEW shop.totals AS SELECT sum(total) AS total FROM shop.customer');

-- Functions
CALL pg_temp.probe('{}',
    'CREATE OR REPLACE FUNCTION shop.twice(n integer) RETURNS integer LANGUAGE sql AS ''SELECT n + n''', 'CREATE OR REPLACE FUNCTION shop.twice(n integer) RETURNS integer LANGUAGE sql AS ''SELECT 2 * n''',
    'ALTER FUNCTION shop.twice IMMUTABLE', 'ALTER FUNCTION shop.twice VOLATILE',
    'ALTER FUNCTION shop.twice STRICT', 'ALTER FUNCTION shop.twice CALLED ON NULL INPUT',
    'ALTER FUNCTION shop.twice SECURITY DEFINER', 'ALTER FUNCTION shop.twice SECURITY INVOKER',
    'ALTER FUNCTION shop.twice SET search_path = shop', 'ALTER FUNCTION shop.twice RESET search_path',
    'ALTER FUNCTION shop.twice COST 7', 'ALTER FUNCTION shop.twice COST 100',
    'ALTER FUNCTION shop.twice PARALLEL SAFE', 'ALTER FUNCTION shop.twice PARALLEL UNSAFE',
    'CREATE FUNCTION shop.twice(n bigint) RETURNS bigint RETURN 2 * n', 'DROP FUNCTION shop.twice(bigint)',
    'CREATE PROCEDURE shop.run() LANGUAGE sql AS ''''', 'DROP PROCEDURE shop.run()',
    'DROP AGGREGATE shop.add(integer); CREATE AGGREGATE shop.add(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = ''1'')', 'DROP AGGREGATE shop.add(integer); CREATE AGGREGATE shop.add(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = ''0'')',
    'DROP AGGREGATE shop.add(integer); CREATE AGGREGATE shop.add(integer) (SFUNC = int4mi, STYPE = integer, INITCOND = ''0'')', 'DROP AGGREGATE shop.add(integer); CREATE AGGREGATE shop.add(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = ''0'')');

-- Triggers, rules, policies, statistics
CALL pg_temp.probe('{}',
    'ALTER TRIGGER touch ON shop.item RENAME TO touched', 'ALTER TRIGGER touched ON shop.item RENAME TO touch',
    'ALTER TABLE shop.item DISABLE TRIGGER touch', 'ALTER TABLE shop.item ENABLE TRIGGER touch',
    'ALTER TABLE shop.item ENABLE REPLICA TRIGGER touch', 'ALTER TABLE shop.item ENABLE TRIGGER touch',
    'ALTER TABLE shop.item ENABLE ALWAYS TRIGGER touch', 'ALTER TABLE shop.item ENABLE TRIGGER touch',
    'CREATE OR REPLACE TRIGGER touch AFTER UPDATE ON shop.item FOR EACH ROW EXECUTE FUNCTION shop.touch()', 'CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON shop.item FOR EACH ROW EXECUTE FUNCTION shop.touch()',
    'CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON shop.item FOR EACH ROW WHEN (NEW.id > 1) EXECUTE FUNCTION shop.touch()', 'CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON shop.item FOR EACH ROW EXECUTE FUNCTION shop.touch()',
    'CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON shop.item DEFERRABLE FOR EACH ROW EXECUTE FUNCTION shop.touch()', 'DROP TRIGGER late ON shop.item',
    'CREATE OR REPLACE RULE quiet AS ON DELETE TO shop.item DO ALSO NOTHING', 'CREATE OR REPLACE RULE quiet AS ON DELETE TO shop.item DO INSTEAD NOTHING',
    'ALTER TABLE shop.item DISABLE RULE quiet', 'ALTER TABLE shop.item ENABLE RULE quiet',
    'ALTER POLICY own ON shop.item USING (id > 1)', 'ALTER POLICY own ON shop.item USING (id > 0)',
    'ALTER POLICY own ON shop.item TO regress_fingerprint', 'ALTER POLICY own ON shop.item TO PUBLIC',
    'ALTER POLICY own ON shop.item WITH CHECK (id > 1)', 'DROP POLICY own ON shop.item; CREATE POLICY own ON shop.item USING (id > 0)',
    'DROP POLICY own ON shop.item; CREATE POLICY own ON shop.item AS RESTRICTIVE USING (id > 0)', 'DROP POLICY own ON shop.item; CREATE POLICY own ON shop.item USING (id > 0)',
    'DROP POLICY own ON shop.item; CREATE POLICY own ON shop.item FOR SELECT USING (id > 0)', 'DROP POLICY own ON shop.item; CREATE POLICY own ON shop.item USING (id > 0)',
    'ALTER STATISTICS shop.both SET STATISTICS 9', 'ALTER STATISTICS shop.both SET STATISTICS -1',
    'DROP STATISTICS shop.both; CREATE STATISTICS shop.both (mcv) ON id, customer FROM shop.item', 'DROP STATISTICS shop.both; CREATE STATISTICS shop.both ON id, customer FROM shop.item');

-- Whatever else lives there
CALL pg_temp.probe('{}',
    'CREATE OPERATOR shop.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq)', 'DROP OPERATOR shop.=== (integer, integer)',
    'CREATE OPERATOR FAMILY shop.family USING btree', 'DROP OPERATOR FAMILY shop.family USING btree',
    'CREATE COLLATION shop.plain (provider = libc, locale = ''C'')', 'DROP COLLATION shop.plain',
    'CREATE CONVERSION shop.conversion FOR ''LATIN1'' TO ''UTF8'' FROM iso8859_1_to_utf8', 'DROP CONVERSION shop.conversion',
    'CREATE TEXT SEARCH DICTIONARY shop.words (TEMPLATE = simple)', 'DROP TEXT SEARCH DICTIONARY shop.words',
    'CREATE TEXT SEARCH CONFIGURATION shop.search (COPY = simple)', 'DROP TEXT SEARCH CONFIGURATION shop.search');

-- On request
CALL pg_temp.ignored('{}', 'ALTER TABLE shop.item OWNER TO regress_fingerprint', 'GRANT SELECT ON shop.customer TO regress_fingerprint',
    'GRANT UPDATE (name) ON shop.customer TO regress_fingerprint', 'COMMENT ON TABLE shop.item IS ''a comment''',
    'GRANT USAGE ON SCHEMA shop TO regress_fingerprint', 'ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO regress_fingerprint');
CALL pg_temp.probe('{owners}',
    'ALTER TABLE shop.customer OWNER TO regress_fingerprint', 'ALTER TABLE shop.customer OWNER TO CURRENT_USER',
    'ALTER FUNCTION shop.touch OWNER TO regress_fingerprint', 'ALTER FUNCTION shop.touch OWNER TO CURRENT_USER',
    'ALTER TYPE shop.pair OWNER TO regress_fingerprint', 'ALTER TYPE shop.pair OWNER TO CURRENT_USER',
    'ALTER SCHEMA shop OWNER TO regress_fingerprint', 'ALTER SCHEMA shop OWNER TO CURRENT_USER');
CALL pg_temp.probe('{grants}',
    'GRANT INSERT ON shop.customer TO regress_fingerprint', 'REVOKE INSERT ON shop.customer FROM regress_fingerprint',
    'GRANT SELECT ON shop.customer TO regress_fingerprint WITH GRANT OPTION', 'REVOKE SELECT ON shop.customer FROM regress_fingerprint',
    'GRANT SELECT ON shop.names TO regress_fingerprint WITH GRANT OPTION', 'REVOKE ALL ON shop.names FROM regress_fingerprint',
    'GRANT UPDATE (email) ON shop.customer TO PUBLIC', 'REVOKE UPDATE (email) ON shop.customer FROM PUBLIC',
    'GRANT SELECT (name) ON shop.names TO PUBLIC', 'REVOKE SELECT (name) ON shop.names FROM PUBLIC',
    'REVOKE EXECUTE ON FUNCTION shop.twice(integer) FROM PUBLIC', 'GRANT EXECUTE ON FUNCTION shop.twice(integer) TO PUBLIC',
    'GRANT CREATE ON SCHEMA shop TO regress_fingerprint', 'REVOKE CREATE ON SCHEMA shop FROM regress_fingerprint',
    'REVOKE ALL ON shop.numbers FROM CURRENT_USER', 'GRANT ALL ON shop.numbers TO CURRENT_USER',
    'ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT INSERT ON TABLES TO regress_fingerprint', 'ALTER DEFAULT PRIVILEGES IN SCHEMA shop REVOKE INSERT ON TABLES FROM regress_fingerprint');
CALL pg_temp.probe('{comments}',
    'COMMENT ON TABLE shop.item IS ''another''', 'COMMENT ON TABLE shop.item IS ''a comment''',
    'COMMENT ON COLUMN shop.item.id IS ''it''', 'COMMENT ON COLUMN shop.item.id IS NULL',
    'COMMENT ON COLUMN shop.names.id IS ''it''', 'COMMENT ON COLUMN shop.names.id IS NULL',
    'COMMENT ON COLUMN shop.january.n IS ''it''', 'COMMENT ON COLUMN shop.january.n IS NULL',
    'COMMENT ON CONSTRAINT item_price ON shop.item IS ''it''', 'COMMENT ON CONSTRAINT item_price ON shop.item IS NULL',
    'COMMENT ON POLICY own ON shop.item IS ''it''', 'COMMENT ON POLICY own ON shop.item IS NULL',
    'COMMENT ON FUNCTION shop.twice(integer) IS ''it''', 'COMMENT ON FUNCTION shop.twice(integer) IS NULL',
    'COMMENT ON TYPE shop.mood IS ''it''', 'COMMENT ON TYPE shop.mood IS NULL',
    'COMMENT ON SCHEMA shop IS ''it''', 'COMMENT ON SCHEMA shop IS NULL');

-- Neither data, nor how they are stored, nor what a session has set
CALL pg_temp.ignored('{}', 'INSERT INTO shop.customer (id, name) VALUES (1, ''x'')', 'INSERT INTO shop.generated (n) VALUES (1)',
    'SELECT nextval(''shop.numbers'')', 'ANALYZE shop.customer', 'REINDEX TABLE shop.customer', 'REFRESH MATERIALIZED VIEW shop.totals',
    'ALTER TABLE shop.item ADD gone text; ALTER TABLE shop.item DROP gone', 'CREATE TABLE pg_temp.other (id integer)',
    'CREATE TABLE "Hostile ""schema"" ü"."a ""table"" ü" ("select" integer)',
    'SELECT set_config(''search_path'', current_setting(''search_path'') || '', shop, pg_temp'', true)',
    'SET LOCAL quote_all_identifiers = on',
    'SET LOCAL DateStyle = ''German''; SET LOCAL TimeZone = ''Asia/Tokyo''; SET LOCAL IntervalStyle = ''iso_8601''',
    'SET LOCAL extra_float_digits = -5; SET LOCAL bytea_output = ''escape''',
    'SET LOCAL default_table_access_method = ''heap''; SET LOCAL standard_conforming_strings = on');
SELECT schema_fingerprint('shop') AS before \gset
VACUUM shop.customer;
VACUUM FULL shop.customer;
SELECT schema_fingerprint('shop') = :'before' AS the_same;

-- The tables of migration tools do not count, with what belongs to them; people's own tables do.
CALL pg_temp.ignored('{owners,grants,comments}',
    'CREATE TABLE shop._sqlx_migrations (version bigint PRIMARY KEY, description text, installed_on timestamptz, success boolean, checksum bytea, execution_time bigint)',
    'CREATE TABLE shop.migrations (id serial PRIMARY KEY, "timestamp" bigint, name text)', 'CREATE INDEX ON shop.migrations (name)',
    'CREATE STATISTICS shop.of_migrations ON id, name FROM shop.migrations', 'COMMENT ON TABLE shop.migrations IS ''TypeORM''',
    'GRANT SELECT ON shop.migrations TO PUBLIC');
CALL pg_temp.probe('{}', 'ALTER TABLE shop.migrations ADD species text', 'ALTER TABLE shop.migrations DROP species');

-- Any names
CREATE VIEW "Hostile ""schema"" ü"."select" AS SELECT "select" AS "from" FROM "Hostile ""schema"" ü"."a ""table"" ü";
SELECT schema_fingerprint('Hostile "schema" ü') AS before \gset
ALTER TABLE "Hostile ""schema"" ü"."a ""table"" ü" RENAME "select" TO "Select";
SELECT schema_fingerprint('Hostile "schema" ü') = :'before' AS the_same;
-- The schema's own name is part of all names.
ALTER TABLE "Hostile ""schema"" ü"."a ""table"" ü" RENAME "Select" TO "select";
ALTER SCHEMA "Hostile ""schema"" ü" RENAME TO hostile;
SELECT schema_fingerprint('hostile') = :'before' AS the_same;

-- What is refused
SELECT schema_fingerprint('nobody''s');
SELECT schema_fingerprint('pg_catalog');
SELECT schema_fingerprint('information_schema');
SELECT schema_fingerprint(NULL);
SELECT schema_fingerprint('shop', NULL);
SELECT schema_fingerprint('shop', '{owners,everything}');
SELECT schema_fingerprint('shop', '{NULL}');
SELECT has_function_privilege('regress_fingerprint', 'schema_fingerprint(name, text[])', 'EXECUTE') AS may;
-- Nothing is written.
BEGIN READ ONLY;
SELECT length(schema_fingerprint('shop', '{owners,grants,comments}'));
COMMIT;

DROP SCHEMA shop, hostile CASCADE;
DROP SERVER regress_server, regress_server2;
DROP FOREIGN DATA WRAPPER regress_wrapper;
DROP OWNED BY regress_fingerprint;
DROP ROLE regress_fingerprint;
RESET client_min_messages;
