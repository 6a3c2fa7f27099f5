--
-- IDS
--
-- Builds, versions and sessions are named by ULIDs: 48 bits of milliseconds and 80 random bits, written as 26
-- characters of Crockford's base 32. They sort by time. https://github.com/ulid/spec
--
SELECT length(generate_ulid()), generate_ulid() ~ '^[0-7][0-9A-HJKMNP-TV-Z]{25}$' AS well_formed,
       generate_ulid() IS NULL AS missing;

-- Made now.
SELECT abs(extract(epoch FROM clock_timestamp() - ulid_to_timestamp(generate_ulid()))) < 10 AS made_now;

-- Strictly increasing within a session, also when one statement makes ten thousand of them in a few
-- milliseconds.
SELECT count(*), count(DISTINCT id), bool_and(id > before) AS increasing
  FROM (SELECT id, lag(id) OVER (ORDER BY n) AS before
          FROM (SELECT n, generate_ulid() COLLATE "C" AS id FROM generate_series(1, 10000) n) made) pairs;

-- So it serves as a default of a column that is to sort by time of insertion.
CREATE TEMP TABLE note (id text COLLATE "C" DEFAULT generate_ulid() PRIMARY KEY, body text);
INSERT INTO note (body) VALUES ('first'), ('second'), ('third');
SELECT body FROM note ORDER BY id;

--
-- The specification's examples
--
SELECT ulid_to_timestamp('01ARZ3NDEKTSV4RRFFQ69G5FAV') AT TIME ZONE 'UTC' = timestamp '2016-07-30 23:54:10.259' AS as_specified,
       extract(epoch FROM ulid_to_timestamp('01ARYZ6S410000000000000000')) = 1469918176.385 AS encodes_1469918176385;

-- Both ends: 1970, and the year 10889.
SELECT extract(epoch FROM ulid_to_timestamp('00000000000000000000000000')) = 0 AS epoch,
       extract(epoch FROM ulid_to_timestamp('7ZZZZZZZZZZZZZZZZZZZZZZZZZ')) = 281474976710.655 AS end_of_time;

-- The same 128 bits as a uuid, and back.
SELECT ulid_to_uuid('00000000000000000000000000') AS lowest,
       ulid_to_uuid('01ARZ3NDEKTSV4RRFFQ69G5FAV') AS example,
       ulid_to_uuid('7ZZZZZZZZZZZZZZZZZZZZZZZZZ') AS highest;
SELECT uuid_to_ulid('00000000-0000-0000-0000-000000000000') AS lowest,
       uuid_to_ulid('01563e3a-b5d3-d676-4c61-efb99302bd5b') AS example,
       uuid_to_ulid('ffffffff-ffff-ffff-ffff-ffffffffffff') AS highest;

-- Any uuid has a ULID; a UUIDv7 keeps its time.
SELECT uuid_to_ulid('017f22e2-79b0-7cc3-98c4-dc0c0c07398f') AS of_a_uuid_v7,
       ulid_to_timestamp(uuid_to_ulid('017f22e2-79b0-7cc3-98c4-dc0c0c07398f')) = timestamptz '2022-02-22 19:22:22+00' AS same_time;

-- There and back again, and sorting alike.
SELECT bool_and(uuid_to_ulid(ulid_to_uuid(id)) = id) AS ulids_come_back,
       bool_and(ulid_to_uuid(id) > ulid_to_uuid(before)) AS uuids_increase_as_well
  FROM (SELECT id, lag(id) OVER (ORDER BY n) AS before
          FROM (SELECT n, generate_ulid() AS id FROM generate_series(1, 1000) n) made) pairs;
SELECT bool_and(ulid_to_uuid(uuid_to_ulid(id)) = id) AS uuids_come_back
  FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 1000)) made;

-- Lower case is read as well; upper case is what is written.
SELECT is_ulid('01arz3ndektsv4rrffq69g5fav') AS lower, is_ulid('01aRz3NDektsv4rRFFQ69g5faV') AS mixed,
       uuid_to_ulid(ulid_to_uuid('01arz3ndektsv4rrffq69g5fav')) AS written;

--
-- What is not a ULID
--
-- Letters that look like digits (I, L, O) or spell words (U), other characters, other lengths, and anything
-- past 7ZZZZZZZZZZZZZZZZZZZZZZZZZ, which would need more than 128 bits.
SELECT text, is_ulid(text)
  FROM (VALUES (1, '01ARZ3NDEKTSV4RRFFQ69G5FAI'), (2, '01ARZ3NDEKTSV4RRFFQ69G5FAL'), (3, '01ARZ3NDEKTSV4RRFFQ69G5FAO'),
               (4, '01ARZ3NDEKTSV4RRFFQ69G5FAU'), (5, '01ARZ3NDEKTSV4RRFFQ69G5F-V'), (6, '01ARZ3NDEKTSV4RRFFQ69G5FA'),
               (7, '01ARZ3NDEKTSV4RRFFQ69G5FAVV'), (8, ' 01ARZ3NDEKTSV4RRFFQ69G5FAV'), (9, '01ARZ3NDEKTSV4RRFFQ69G5FA '),
               (10, '80000000000000000000000000'), (11, 'ZZZZZZZZZZZZZZZZZZZZZZZZZZ'), (12, '01ARZ3NDEKTSV4RRFFQ69G5Fé'),
               (13, '01563e3a-b5d3-d676-4c61-efb99302bd5b'), (14, 'U'), (15, '')) AS t (n, text)
 ORDER BY n;

-- is_ulid says so; the others refuse and name what they were given.
SELECT ulid_to_timestamp('01ARZ3NDEKTSV4RRFFQ69G5FA');
\echo :SQLSTATE
SELECT ulid_to_uuid('80000000000000000000000000');
\echo :SQLSTATE
SELECT ulid_to_uuid('');
\echo :SQLSTATE
-- A long text is not shown whole.
SELECT ulid_to_uuid(repeat('0', 1000));
\echo :SQLSTATE

-- NULL is NULL.
SELECT is_ulid(NULL) IS NULL AND ulid_to_timestamp(NULL) IS NULL AND ulid_to_uuid(NULL) IS NULL
       AND uuid_to_ulid(NULL) IS NULL AS nulls;
