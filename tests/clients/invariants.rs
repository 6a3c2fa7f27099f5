//! What must hold of the tables whatever happened.

use crate::support::Session;

/// Each query finds violations, one per row, as text.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "every head is its file's newest version",
        "SELECT h.project_id || ' ' || h.file_path
           FROM versioned.project_file_heads h
           LEFT JOIN versioned.project_file_versions v USING (project_id, file_id, version)
          WHERE v.id IS NULL
             OR (v.file_path, v.content_hash, v.file_type, v.is_deleted, v.snapshot_seq, v.created_at)
                IS DISTINCT FROM
                (h.file_path, h.content_hash, h.file_type, h.is_deleted, h.snapshot_seq, h.updated_at)",
    ),
    (
        "versions, with those that were pruned, count from 1 without gap up to the head's",
        "SELECT v.file_id || ': ' || range_agg(n)::text || ' and ' || coalesce(h.pruned_versions::text, '') || ' up to '
                || h.version
           FROM versioned.project_file_versions v
          CROSS JOIN LATERAL (SELECT int4range(v.version, v.version, '[]')) r(n)
           LEFT JOIN versioned.project_file_heads h USING (project_id, file_id)
          GROUP BY v.project_id, v.file_id, h.version, h.pruned_versions
         HAVING count(*) <> count(DISTINCT v.version)
             OR range_agg(n) && h.pruned_versions
             OR range_agg(n) + coalesce(h.pruned_versions, '{}')
                IS DISTINCT FROM int4multirange(int4range(1, h.version, '[]'))",
    ),
    (
        "one live head a path, whatever the index says",
        "SELECT project_id || ' ' || (file_path || '') FROM versioned.project_file_heads
          WHERE NOT is_deleted IS TRUE GROUP BY project_id, (file_path || '') HAVING count(*) > 1",
    ),
    (
        "times and snapshots never go back in a file's history",
        "SELECT file_id || ' version ' || version
           FROM (SELECT *, lag(created_at) OVER w AS earlier, lag(snapshot_seq) OVER w AS lower
                   FROM versioned.project_file_versions
                 WINDOW w AS (PARTITION BY project_id, file_id ORDER BY version)) v
          WHERE earlier > created_at OR lower > snapshot_seq",
    ),
    (
        "hashes and sizes are those of the contents",
        "SELECT id::text FROM versioned.project_files
          WHERE content_hash IS DISTINCT FROM encode(sha256(convert_to(content, 'UTF8')), 'hex')
             OR size_bytes <> octet_length(coalesce(content, ''))
             OR is_deleted <> (content IS NULL)",
    ),
    (
        "nothing stands more than two deep",
        "SELECT v.id::text
           FROM versioned.project_file_versions v
           JOIN versioned.project_file_versions b ON b.file_id = v.file_id AND b.version = v.base_version
           JOIN versioned.project_file_versions k ON k.file_id = b.file_id AND k.version = b.base_version
          WHERE k.base_version IS NOT NULL",
    ),
    ("the extension itself finds nothing wrong", "SELECT f::text FROM versioned.check_project_integrity() f"),
    (
        "ids of versions are unique",
        "SELECT id::text FROM versioned.project_file_versions GROUP BY id HAVING count(*) > 1",
    ),
    (
        "no row is without its project",
        "SELECT t.what || ' ' || t.project_id
           FROM (SELECT 'head', project_id FROM versioned.project_file_heads
                 UNION ALL SELECT 'file version', project_id FROM versioned.project_file_versions
                 UNION ALL SELECT 'version', project_id FROM versioned.project_versions
                 UNION ALL SELECT 'build', project_id FROM versioned.project_build_metrics
                 UNION ALL SELECT 'session', project_id FROM versioned.project_ai_time_sessions
                 UNION ALL SELECT 'member', project_id FROM versioned.project_members
                 UNION ALL SELECT 'key', project_id FROM versioned.project_idempotency_keys) t(what, project_id)
           LEFT JOIN versioned.projects p ON p.id = t.project_id
          WHERE p.id IS NULL",
    ),
    (
        "the view shows every version once, one of a live file as current and none of a deleted one",
        "SELECT h.file_id::text
           FROM versioned.project_file_heads h
           JOIN versioned.project_file_versions v USING (project_id, file_id)
           LEFT JOIN versioned.project_files f ON f.id = v.id
          GROUP BY h.project_id, h.file_id, h.is_deleted, h.version
         HAVING count(f.id) <> count(DISTINCT v.version)
             OR count(*) FILTER (WHERE f.is_current_version) <> (NOT h.is_deleted)::int
             OR coalesce(max(f.version) FILTER (WHERE f.is_current_version), h.version) <> h.version",
    ),
    (
        "a build is deployed exactly where its version exists",
        "SELECT coalesce(b.build_id, v.version_id)
           FROM (SELECT * FROM versioned.project_build_metrics WHERE status = 'deployed') b
           FULL JOIN versioned.project_versions v USING (project_id, version_id)
          WHERE b.build_id IS NULL OR v.version_id IS NULL",
    ),
    (
        "at most one build of a project is active, and the project knows it",
        "SELECT p.id::text
           FROM versioned.projects p
           LEFT JOIN versioned.project_build_metrics b ON b.project_id = p.id AND b.status || '' = 'started'
          GROUP BY p.id
         HAVING count(b.build_id) > 1
             OR (count(b.build_id) = 1) <> (p.build_status = 'building')
             OR count(b.build_id) = 1 AND max(b.build_id) IS DISTINCT FROM p.current_build_id",
    ),
    (
        "the project's state is that of its newest build",
        "SELECT p.id::text
           FROM versioned.projects p
           LEFT JOIN LATERAL (SELECT build_id, status FROM versioned.project_build_metrics
                               WHERE project_id = p.id ORDER BY id DESC LIMIT 1) b ON true
          WHERE p.current_build_id IS DISTINCT FROM b.build_id
             OR p.build_status IS DISTINCT FROM CASE b.status WHEN 'started' THEN 'building' ELSE b.status END",
    ),
    (
        "sessions end with their builds",
        "SELECT s.session_id
           FROM versioned.project_ai_time_sessions s
           LEFT JOIN versioned.project_build_metrics b USING (project_id, build_id)
          WHERE b.build_id IS NULL OR b.completed_at IS NOT NULL AND s.ended_at IS NULL",
    ),
    (
        "the current version is the newest that is deployed, not deleted and not pruned",
        "SELECT p.id::text
           FROM versioned.projects p
           LEFT JOIN LATERAL (SELECT version_id FROM versioned.project_versions
                               WHERE project_id = p.id AND status = 'deployed' AND soft_deleted_at IS NULL
                                 AND pruned_at IS NULL
                               ORDER BY created_at DESC, version_id DESC LIMIT 1) v ON true
          WHERE p.current_version_id IS DISTINCT FROM v.version_id",
    ),
    (
        "files are stamped with the number after the last snapshot's",
        "SELECT p.id::text
           FROM versioned.projects p
          CROSS JOIN LATERAL (
                SELECT max(s.seq) AS seq
                  FROM (SELECT snapshot_seq FROM versioned.project_versions WHERE project_id = p.id
                        UNION ALL
                        SELECT cut_snapshot_seq FROM versioned.project_build_metrics WHERE project_id = p.id) s(seq)) s
          WHERE p.snapshot_seq <> coalesce(s.seq + 1, p.snapshot_seq) OR p.listed_snapshot_seq >= p.snapshot_seq",
    ),
    (
        "what is listed of a snapshot is what the stamps of file versions say",
        "SELECT v.version_id || ' ' || h.file_id
           FROM versioned.project_versions v
           JOIN versioned.project_file_heads h USING (project_id)
          WHERE v.snapshot_listed AND v.pruned_at IS NULL
            AND (SELECT s.version FROM versioned.project_file_snapshots s
                  WHERE s.project_id = h.project_id AND s.file_id = h.file_id AND s.snapshot_seq <= v.snapshot_seq
                  ORDER BY s.snapshot_seq DESC LIMIT 1)
                IS DISTINCT FROM
                (SELECT max(f.version) FROM versioned.project_file_versions f
                  WHERE f.project_id = h.project_id AND f.file_id = h.file_id AND f.snapshot_seq <= v.snapshot_seq)",
    ),
    (
        "no snapshot lists what is not there",
        "SELECT s::text
           FROM versioned.project_file_snapshots s
           LEFT JOIN versioned.project_file_versions v USING (project_id, file_id, version)
          WHERE v.id IS NULL",
    ),
    (
        "at most one version of a project is published, and none that is deleted",
        "SELECT project_id::text FROM versioned.project_versions
          WHERE is_published::int = 1 GROUP BY project_id
         HAVING count(*) > 1 OR bool_or(soft_deleted_at IS NOT NULL OR published_at IS NULL)",
    ),
    (
        "every version has a snapshot of its own, with which time grows, and so do numbers but those given later",
        "SELECT version_id
           FROM (SELECT *, lag(snapshot_seq) OVER w AS last_snapshot, lag(created_at) OVER w AS earlier,
                        lag(updated_at) OVER w AS last_updated,
                        lag((major_version, minor_version, patch_version)) OVER w AS last_number
                   FROM versioned.project_versions
                 WINDOW w AS (PARTITION BY project_id ORDER BY snapshot_seq, version_id)) v
          WHERE last_snapshot = snapshot_seq OR earlier > created_at
             OR last_number >= (major_version, minor_version, patch_version) AND last_updated < created_at",
    ),
    (
        "no number is given twice, whatever the index says",
        "SELECT project_id || ' ' || major_version || '.' || minor_version || '.' || patch_version
           FROM versioned.project_versions
          GROUP BY project_id, major_version, minor_version, patch_version HAVING count(*) > 1",
    ),
    (
        "no file is stamped later than its project",
        "SELECT v.id::text
           FROM versioned.project_file_versions v JOIN versioned.projects p ON p.id = v.project_id
          WHERE v.snapshot_seq > p.snapshot_seq",
    ),
    (
        "owners are members",
        "SELECT p.id::text
           FROM versioned.projects p
           LEFT JOIN versioned.project_members m ON m.project_id = p.id AND m.user_id = p.owner_id
          WHERE m.role IS DISTINCT FROM 'owner'",
    ),
];

/// Asserts that nothing is wrong anywhere in the database.
#[track_caller]
pub fn hold(admin: &mut Session) {
    for (promise, violations) in INVARIANTS {
        let found: Vec<String> = admin.column(violations, &[]);
        assert!(found.is_empty(), "{promise}, but {} violations: {:?}", found.len(), &found[..found.len().min(5)]);
    }
}

/// All rows of all tables, as text.
pub fn everything(admin: &mut Session) -> Vec<String> {
    let tables: Vec<String> = admin.column(
        "SELECT oid::regclass::text FROM pg_class
          WHERE relnamespace = 'versioned'::regnamespace AND relkind = 'r' ORDER BY 1",
        &[],
    );
    tables
        .iter()
        .flat_map(|table| admin.column(&format!("SELECT '{table} ' || t FROM {table} t ORDER BY 1"), &[]))
        .collect()
}
