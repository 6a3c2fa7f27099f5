-- Views for monitoring: how much space projects take, how much is saved and built, and who waits for whom.

CREATE VIEW @extschema@.project_storage WITH (security_invoker = true) AS
SELECT h.project_id,
       pg_catalog.count(DISTINCT h.file_id) AS files,
       pg_catalog.count(*) AS versions,
       pg_catalog.sum(v.size_bytes)::bigint AS content_bytes,
       pg_catalog.sum(COALESCE(pg_catalog.octet_length(v.stored), 0))::bigint AS stored_bytes,
       pg_catalog.round(pg_catalog.sum(v.size_bytes)::numeric
                        OPERATOR(pg_catalog./) NULLIF(pg_catalog.sum(pg_catalog.octet_length(v.stored)), 0), 1) AS ratio
  FROM @extschema@.project_file_heads h
  JOIN @extschema@.project_file_versions v
    ON v.project_id OPERATOR(pg_catalog.=) h.project_id AND v.file_id OPERATOR(pg_catalog.=) h.file_id
 GROUP BY h.project_id;
COMMENT ON VIEW @extschema@.project_storage IS
    'Space taken by the files of a project: bytes of the contents of all versions, bytes stored for them, and the ratio of the two, not counting other columns and indexes. Row level security applies.';

CREATE VIEW @extschema@.file_operation_metrics WITH (security_invoker = true) AS
SELECT pg_catalog.date_trunc('hour', o.created_at, 'UTC') AS hour,
       o.project_id,
       pg_catalog.count(*) AS operations,
       pg_catalog.count(*) FILTER (WHERE o.is_create) AS creates,
       pg_catalog.count(*) FILTER (WHERE NOT (o.is_create OR o.is_deleted)) AS updates,
       pg_catalog.count(*) FILTER (WHERE o.is_deleted) AS deletes,
       pg_catalog.round(pg_catalog.avg(o.size_bytes) FILTER (WHERE NOT o.is_deleted)) AS average_size,
       pg_catalog.max(o.version) AS highest_version
  FROM (SELECT v.project_id, v.created_at, v.size_bytes, v.version, v.is_deleted,
               NOT v.is_deleted AND COALESCE(pg_catalog.lag(v.is_deleted) OVER history, v.version = 1) AS is_create
          FROM @extschema@.project_file_versions v
        WINDOW history AS (PARTITION BY v.project_id, v.file_id ORDER BY v.version)) o
 GROUP BY 1, 2;
COMMENT ON VIEW @extschema@.file_operation_metrics IS
    'File versions saved per hour (UTC) and project: all, first ones and those after a deletion (creates), deletions, the others (updates, moves included), average bytes of content, highest version number. Pruned versions are not counted. Row level security applies.';

CREATE VIEW @extschema@.project_ai_time WITH (security_invoker = true) AS
SELECT b.project_id,
       b.build_id,
       CASE b.status WHEN 'deployed' THEN b.version_id END AS version_id,
       pg_catalog.count(s.session_id) AS sessions,
       pg_catalog.count(s.session_id) FILTER (WHERE s.ended_at IS NULL) AS open_sessions,
       COALESCE(pg_catalog.sum(s.duration_ms), 0)::bigint AS ai_duration_ms
  FROM @extschema@.project_build_metrics b
  LEFT JOIN @extschema@.project_ai_time_sessions s
    ON s.project_id OPERATOR(pg_catalog.=) b.project_id AND s.build_id OPERATOR(pg_catalog.=) b.build_id
 GROUP BY b.project_id, b.build_id, b.status, b.version_id;
COMMENT ON VIEW @extschema@.project_ai_time IS
    'AI time billed to a build: its sessions, how many of them are open, and the milliseconds of the others. version_id is NULL unless the build has become a version. Row level security applies.';

CREATE VIEW @extschema@.project_build_summary WITH (security_invoker = true) AS
SELECT (b.started_at AT TIME ZONE 'UTC')::date AS day,
       b.project_id,
       pg_catalog.count(*) AS builds,
       pg_catalog.count(*) FILTER (WHERE b.status = 'started') AS running,
       pg_catalog.count(*) FILTER (WHERE b.status = 'deployed') AS succeeded,
       pg_catalog.count(*) FILTER (WHERE b.status = 'failed') AS failed,
       pg_catalog.count(*) FILTER (WHERE b.status = 'abandoned') AS abandoned,
       pg_catalog.round(pg_catalog.avg((b.status = 'deployed')::integer) FILTER (WHERE b.status <> 'started'), 4)
           AS success_rate,
       pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY b.total_duration_ms)
           FILTER (WHERE b.status IN ('deployed', 'failed')) AS median_duration_ms,
       pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY b.total_duration_ms)
           FILTER (WHERE b.status IN ('deployed', 'failed')) AS p95_duration_ms,
       pg_catalog.sum(t.ai_duration_ms)::bigint AS ai_duration_ms
  FROM @extschema@.project_build_metrics b
  JOIN @extschema@.project_ai_time t
    ON t.project_id OPERATOR(pg_catalog.=) b.project_id AND t.build_id OPERATOR(pg_catalog.=) b.build_id
 GROUP BY 1, 2;
COMMENT ON VIEW @extschema@.project_build_summary IS
    'Builds started per day (UTC) and project: how many, in which states, the share of those that ended which succeeded, median and 95th percentile of the durations of those that succeeded or failed (when a build was abandoned says nothing about how long it took), AI time of all. Row level security applies.';

CREATE VIEW @extschema@.versioning_locks WITH (security_invoker = true) AS
WITH locks AS (
    SELECT l.pid, l.mode, l.granted, l.waitstart, (l.classid::bigint << 32) | l.objid::bigint AS key
      FROM pg_catalog.pg_locks l
      JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
     WHERE l.locktype = 'advisory' AND l.objsubid = 1
), project_locks AS (
    SELECT l.pid, l.key, p.id AS project_id
      FROM locks l
      JOIN @extschema@.projects p ON @extschema@.project_lock_key(p.id) = l.key
)
SELECT l.pid,
       CASE WHEN p.project_id IS NULL THEN 'file' ELSE 'project' END AS kind,
       COALESCE(p.project_id, f.project_id) AS project_id,
       f.file_path,
       CASE l.mode WHEN 'ShareLock' THEN 'shared' ELSE 'exclusive' END AS mode,
       l.granted,
       COALESCE(l.waitstart, a.xact_start) AS since,
       CASE WHEN l.granted THEN '{}' ELSE pg_catalog.pg_blocking_pids(l.pid) END AS blocked_by,
       a.usename AS role,
       a.application_name,
       a.state
  FROM locks l
  LEFT JOIN project_locks p ON p.pid = l.pid AND p.key = l.key
  LEFT JOIN LATERAL (
       SELECT h.project_id, h.file_path
         FROM project_locks held
         JOIN @extschema@.project_file_heads h ON h.project_id = held.project_id
        WHERE p.key IS NULL AND held.pid = l.pid
          AND @extschema@.file_lock_key(h.project_id, h.file_path) = l.key
        LIMIT 1) f ON true
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE EXISTS (SELECT FROM project_locks held WHERE held.pid = l.pid);
COMMENT ON VIEW @extschema@.versioning_locks IS
    'Who holds or waits for which project or file, since when (waiting: since the wait began; holding: since the transaction began), and which sessions are in the way. file_path is NULL for a file that is being created, and for other advisory locks of the same transactions. For roles that can read all projects and pg_stat_activity; reads every path of the locked projects.';
