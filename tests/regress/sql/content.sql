--
-- CONTENT
--
-- A file's content is text. What was saved is what is read, to the byte.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('c0270000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Content', 'react');
\set project c0270000-0000-4000-8000-000000000001

-- Backslashes are backslashes, not escapes; line ends and blanks stay as they are; nothing is normalized.
CREATE TEMP TABLE sample (name text, content text);
INSERT INTO sample VALUES
    ('empty', ''), ('newline', E'\n'), ('no newline', 'a'), ('crlf', E'a\r\nb\r\n'), ('cr', E'a\rb'), ('blanks', E' \t '),
    ('backslash', '\'), ('hex', '\x41'), ('octal', '\101\\\\'), ('regex', '\d+\.\w*$'), ('quotes', $$'"`''$$),
    ('percent', '%s %d %n %%'), ('dollar', '$1 $$ ${x}'), ('json', '{"a": [1, null]}'), ('null', 'NULL'),
    ('braces', '{s} {0} {}'), ('umlaut', 'äöü'), ('composed', E'e\u0301'), ('cjk', '日本語'), ('emoji', '😀👩‍👩‍👧'),
    ('bom', E'\uFEFFa'), ('noncharacter', E'\uFFFF\U0010FFFF'), ('controls', E'\x01\x1b[31m\x7f'), ('right to left', E'\u202Eabc'),
    ('one long line', repeat('x', 100000)), ('many lines', repeat(E'\n', 100000)), ('incompressible', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 20000) n));
SELECT bool_and(s.content = f.content) AS same_content,
       bool_and(f.content_hash = encode(sha256(convert_to(s.content, 'UTF8')), 'hex')) AS sha256_of_its_bytes,
       bool_and(f.size_bytes = octet_length(s.content)) AS size_in_bytes
  FROM sample s, atomic_upsert_project_file(:'project', s.name, s.content, 'text') f;
-- Read back, as current file, as version, and in a list.
SELECT count(*), bool_and(s.content = f.content AND f.content_hash = encode(sha256(convert_to(s.content, 'UTF8')), 'hex')
                AND f.size_bytes = octet_length(s.content) AND s.content = v.content AND s.content = l.content) AS same_everywhere
  FROM sample s, get_project_file(:'project', s.name) f, get_project_file(:'project', s.name, 1) v,
       get_current_project_files(:'project') l
 WHERE l.file_path = s.name;
-- The empty text has a hash like any other; a tombstone has none.
SELECT content = '' AS empty, size_bytes, content_hash FROM get_project_file(:'project', 'empty');

-- Each becomes the other: every pair of texts is a change, and all earlier versions stay what they were.
SELECT count(*) = (SELECT count(*) FROM sample) AS all_saved
  FROM (SELECT content FROM sample ORDER BY name COLLATE "C") s, atomic_upsert_project_file(:'project', 'chain', s.content, 'text');
SELECT bool_and(v.content = s.content) AS all_kept
  FROM (SELECT content, row_number() OVER (ORDER BY name COLLATE "C")::integer AS version FROM sample) s,
       get_project_file(:'project', 'chain', s.version) v;

-- Texts that only look alike are different contents.
SELECT version FROM atomic_upsert_project_file(:'project', 'forms', 'é', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'forms', E'e\u0301', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'forms', E'e\u0301\n', 'text');

--
-- How much
--
-- Content has at most pg_versioned.max_file_size bytes, 10 MB unless a superuser says otherwise.
SHOW pg_versioned.max_file_size;
SELECT size_bytes FROM atomic_upsert_project_file(:'project', 'large', repeat('0123456789abcde' || E'\n', 655360), 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'large', repeat('0123456789abcde' || E'\n', 655360) || 'x', 'text');
\echo :SQLSTATE
SET pg_versioned.max_file_size = '1kB';
SELECT size_bytes FROM atomic_upsert_project_file(:'project', 'small', repeat('x', 1024), 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'small', repeat('x', 1025), 'text');
\echo :SQLSTATE
-- Bytes, not characters.
SELECT size_bytes, length(content) FROM atomic_upsert_project_file(:'project', 'small', repeat('é', 512), 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'small', repeat('é', 512) || 'x', 'text');
\echo :SQLSTATE
-- What is there already stays readable, and can be moved and deleted.
SELECT size_bytes FROM get_project_file(:'project', 'large');
SELECT file_path, version FROM move_project_file(:'project', 'large', 'larger');
SELECT version FROM delete_project_file(:'project', 'larger');
-- 0 allows empty files only.
SET pg_versioned.max_file_size = 0;
SELECT version FROM atomic_upsert_project_file(:'project', 'small', '', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'small', 'x', 'text');
\echo :SQLSTATE
RESET pg_versioned.max_file_size;

--
-- The type
--
-- What a file is, in the client's words: a line of 1 to 255 bytes.
SELECT file_type FROM atomic_upsert_project_file(:'project', 'typed', '', 'text/x-c++src; charset=utf-8');
SELECT length(file_type) FROM atomic_upsert_project_file(:'project', 'typed', '', repeat('t', 255));
SELECT version FROM atomic_upsert_project_file(:'project', 'typed', '', repeat('t', 256));
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', 'typed', '', '');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', 'typed', '', E'text\n');
\echo :SQLSTATE
SELECT version FROM get_project_file_history(:'project', 'typed');

SELECT delete_project(:'project');
