--
-- EVENTS
--
-- Editors that watch a project learn of changes by LISTEN on realtime:project:<its id>. Clients that
-- cannot LISTEN, such as browsers, get them from a program that can.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('e3e70000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Events', 'react');
\set project e3e70000-0000-4000-8000-000000000001
SELECT set_config('request.jwt.claims', '{"sub": "5e1f0000-0000-4000-8000-000000000001"}', false) IS NOT NULL AS signed_in;

-- psql prints a notification after the command during which it came. Here sed takes out what is never the
-- same twice: the process and the time.
LISTEN "realtime:project:e3e70000-0000-4000-8000-000000000001";
\set tidy '| sed -E \'s/PID [0-9]+/PID .../; s/"timestamp":"[-0-9T:.]+[+]00:00"/"timestamp":"..."/\''

\o :tidy
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'one', 'typescript');
\o
\o :tidy
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'two', 'typescript');
\o
-- A move says where from, a deletion has no hash.
\o :tidy
SELECT version FROM move_project_file(:'project', 'src/App.tsx', 'src/Main.tsx');
\o
\o :tidy
SELECT version FROM delete_project_file(:'project', 'src/Main.tsx');
\o
\o :tidy
SELECT version FROM atomic_upsert_project_file(:'project', 'src/Main.tsx', 'again', 'typescript');
\o
-- Without a signed-in user there is no user_id.
RESET request.jwt.claims;
\o :tidy
SELECT version FROM atomic_upsert_project_file(:'project', 'src/Main.tsx', 'by a worker', 'typescript');
\o

-- Only what is committed is announced, at commit, in order.
BEGIN;
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'one', 'text');
SAVEPOINT s;
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'undone', 'text');
ROLLBACK TO s;
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'one', 'text');
\o :tidy
COMMIT;
\o
BEGIN;
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'never', 'text');
ROLLBACK;
-- No change, no event: equal content, a retried save, a move onto itself, a refused save.
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'one', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'one', 'text', 0);
SELECT version FROM move_project_file(:'project', 'b.txt', 'b.txt');
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'two', 'text', 7);
\echo :SQLSTATE
-- Neither reading nor what happens in other projects is an event.
SELECT version FROM get_project_file(:'project', 'b.txt');
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('e3e70000-0000-4000-8000-000000000002', '5e1f0000-0000-4000-8000-000000000001', 'Elsewhere', 'react');
SELECT version FROM atomic_upsert_project_file('e3e70000-0000-4000-8000-000000000002', 'b.txt', 'one', 'text');

-- The longest path fits: 1024 bytes, each a quote that JSON doubles.
\o | grep -c '^Asynchronous notification'
SELECT version FROM atomic_upsert_project_file(:'project', repeat('"', 1024), 'one', 'text');
\o
\o | grep -c '^Asynchronous notification'
SELECT version FROM move_project_file(:'project', repeat('"', 1024), repeat('"', 1023) || 'x');
\o

--
-- Other ways
--
-- NOTIFY takes a lock of the whole database for the end of each commit. pg_versioned.notify = logical writes
-- a logical message into the WAL instead, for a program that decodes it; off announces nothing.
SET pg_versioned.notify = logical;
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'quiet', 'text');
SET pg_versioned.notify = off;
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'silent', 'text');
RESET pg_versioned.notify;
\o :tidy
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'aloud', 'text');
\o

UNLISTEN *;
SELECT bool_and(delete_project(id)) AS deleted FROM projects;
