--
-- SETTINGS
--
-- The settings protect the server, so only superusers can set them: for the server, a
-- database, a role or a session.
--
-- Postgres knows an extension's settings once its library is loaded, which the first call of a function does.
SELECT generate_ulid() IS NOT NULL AS loaded;
SHOW pg_versioned.max_file_size;
SHOW pg_versioned.double_click_window;
SHOW pg_versioned.build_timeout;
SHOW pg_versioned.notify;
SHOW pg_versioned.claim_roles;
SHOW pg_versioned.actor_id;
SELECT name, context, vartype, unit FROM pg_settings WHERE name LIKE 'pg\_versioned.%' ORDER BY name COLLATE "C";
-- Each explains itself.
SELECT name FROM pg_settings WHERE name LIKE 'pg\_versioned.%' AND short_desc = '';

-- A superuser may set them, with units.
SET pg_versioned.max_file_size = '64kB';
SET pg_versioned.double_click_window = '500ms';
SET pg_versioned.build_timeout = '2h';
SET pg_versioned.notify = 'off';
SHOW pg_versioned.max_file_size;
SHOW pg_versioned.double_click_window;
SHOW pg_versioned.build_timeout;
SHOW pg_versioned.notify;
RESET ALL;
SHOW pg_versioned.max_file_size;

-- Invalid values are refused. (The wording differs between releases of Postgres.)
\set VERBOSITY sqlstate
SET pg_versioned.max_file_size = -1;
SET pg_versioned.max_file_size = '257MB';
SET pg_versioned.double_click_window = -1;
SET pg_versioned.double_click_window = '61s';
SET pg_versioned.build_timeout = 0;
SET pg_versioned.build_timeout = '31d';
SET pg_versioned.notify = 'loud';
\set VERBOSITY default

-- Others may not.
SET ROLE authenticated;
SET pg_versioned.max_file_size = '256MB';
\echo :SQLSTATE
SET pg_versioned.double_click_window = 0;
\echo :SQLSTATE
SET pg_versioned.build_timeout = '1s';
\echo :SQLSTATE
SET pg_versioned.notify = off;
\echo :SQLSTATE
SET pg_versioned.claim_roles = 'authenticated';
\echo :SQLSTATE
SELECT set_config('pg_versioned.actor_id', '5e1f0000-0000-4000-8000-000000000001', false);
\echo :SQLSTATE
RESET ROLE;

-- Nor by being quicker than the library: what they set in a fresh session does not count once it is loaded.
\c -
SET ROLE authenticated;
SET pg_versioned.actor_id = '5e1f0000-0000-4000-8000-000000000001';
SET pg_versioned.claim_roles = 'authenticated';
SELECT current_actor() IS NULL AS nobody;
SHOW pg_versioned.actor_id;
SHOW pg_versioned.claim_roles;
RESET ROLE;

--
-- Who is calling
--
-- A web gateway logs in as one role, changes to another, and says in request.jwt.claims whom it serves. Any
-- client can say that, so it counts only for logins in pg_versioned.claim_roles, and for superusers, such as
-- the one these tests run as.
SELECT current_actor() IS NULL AS nobody;
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-000000000001", "role": "authenticated"}';
SELECT current_actor();
-- An older form has the sub in a setting of its own.
RESET request.jwt.claims;
SET request.jwt.claim.sub = '5e1f0000-0000-4000-8000-000000000002';
SELECT current_actor();
-- If both are there, the claims count,
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-000000000001"}';
SELECT current_actor();
-- even when they name nobody.
SET request.jwt.claims = '{"role": "anon"}';
SELECT current_actor() IS NULL AS nobody;
SET request.jwt.claims = '';
SELECT current_actor();
RESET request.jwt.claim.sub;

-- With a sub that is not a uuid, or claims that are not JSON, there is no user, and no error.
SELECT claims, set_config('request.jwt.claims', claims, false) = claims AS set, current_actor() IS NULL AS nobody
  FROM (VALUES (1, '{"sub": "auth0|123"}'), (2, '{"sub": 5}'), (3, '{"sub": null}'), (4, '{"SUB": "5e1f0000-0000-4000-8000-000000000001"}'),
               (5, '[]'), (6, 'null'), (7, 'nonsense'), (8, '{"sub": "5e1f0000-0000-4000-8000-000000000001"'), (9, '{"sub": ""}'),
               (10, '{"sub": "5e1f000000004000800000000000000001"}'), (11, ' ')) AS t (n, claims)
 ORDER BY n;
RESET request.jwt.claims;

-- The role that PostgREST logs in as is trusted; a role that logs in directly is not.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_versioned_worker;
RESET client_min_messages;
CREATE ROLE regress_versioned_worker;
SELECT grant_versioned_access('regress_versioned_worker');
SET SESSION AUTHORIZATION authenticator;
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-000000000001"}';
SET ROLE authenticated;
SELECT current_actor();
RESET ROLE;
SET SESSION AUTHORIZATION regress_versioned_worker;
SELECT current_actor() IS NULL AS nobody;
SELECT created FROM create_complete_project('5e1f0000-0000-4000-8000-000000000001');
\echo :SQLSTATE

-- There are no others: a misspelt name is an error.
RESET SESSION AUTHORIZATION;
SET pg_versioned.save_rates = 5;
SET SESSION AUTHORIZATION regress_versioned_worker;

-- It gets an actor from pg_versioned.actor_id, which a superuser sets with ALTER ROLE ... SET.
RESET SESSION AUTHORIZATION;
SET pg_versioned.actor_id = '5e1f0000-0000-4000-8000-000000000003';
SET SESSION AUTHORIZATION regress_versioned_worker;
SELECT current_actor();
SELECT created FROM create_complete_project(p_name => 'Worker''s own');
SELECT name, owner_id FROM projects;
SET pg_versioned.actor_id = '5e1f0000-0000-4000-8000-000000000001';
\echo :SQLSTATE
RESET SESSION AUTHORIZATION;
RESET pg_versioned.actor_id;

-- Or its claims are trusted, if it is listed.
SET pg_versioned.claim_roles = 'authenticator, regress_versioned_worker';
SET SESSION AUTHORIZATION regress_versioned_worker;
SELECT current_actor();
RESET SESSION AUTHORIZATION;
-- Only whole names are.
SET pg_versioned.claim_roles = 'authenticator, regress_versioned_worker_2';
SET SESSION AUTHORIZATION regress_versioned_worker;
SELECT current_actor() IS NULL AS nobody;
RESET SESSION AUTHORIZATION;
RESET pg_versioned.claim_roles;
RESET request.jwt.claims;

SELECT bool_and(delete_project(id)) AS deleted FROM projects;
DROP OWNED BY regress_versioned_worker;
DROP ROLE regress_versioned_worker;
