//! What could be wrong with stored data if somebody bypasses the functions or a disk loses something.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::args;
use crate::backend::{Answer, Bytes, Call, Db, ResultSet, Row, Statement, Timestamp, as_owner, connect};
use crate::caller::{Caller, Role};
use crate::content::{Decoder, Stored};
use crate::error::{Error, Flaw};
use crate::progress::Progress;

/// One query for each kind of finding that does not require content, returning project, path, version, problem and
/// detail. `:project` is a project, or NULL for all.
static CHECKS: [Statement; 12] = [
    Statement::new(
        "SELECT h.project_id, h.file_path, h.version, 'second_head', 'another live file has this path'
           FROM {s}.project_file_heads h
          WHERE (:project IS NULL OR h.project_id = :project) AND NOT h.is_deleted
            AND EXISTS (SELECT FROM {s}.project_file_heads o
                         WHERE o.project_id = h.project_id AND o.file_path = h.file_path AND NOT o.is_deleted
                           AND o.ctid <> h.ctid)",
    ),
    Statement::new(
        "SELECT h.project_id, h.file_path, h.version, 'second_head', 'the file has another head'
           FROM {s}.project_file_heads h
          WHERE (:project IS NULL OR h.project_id = :project)
            AND EXISTS (SELECT FROM {s}.project_file_heads o WHERE o.file_id = h.file_id AND o.ctid <> h.ctid)",
    ),
    Statement::new(
        "SELECT h.project_id, h.file_path, h.version, 'orphan', 'the file is of no project'
           FROM {s}.project_file_heads h
          WHERE (:project IS NULL OR h.project_id = :project)
            AND NOT EXISTS (SELECT FROM {s}.projects p WHERE p.id = h.project_id)",
    ),
    Statement::new(
        "SELECT h.project_id, h.file_path, h.version, 'head_mismatch',
                CASE WHEN v.version IS NULL THEN 'the current version is missing'
                     ELSE 'the head is another than the current version' END
           FROM {s}.project_file_heads h
           LEFT JOIN {s}.project_file_versions v
             ON v.project_id = h.project_id AND v.file_id = h.file_id AND v.version = h.version
          WHERE (:project IS NULL OR h.project_id = :project)
            AND (h.file_path, h.file_type, h.is_deleted, h.content_hash, h.snapshot_seq, h.updated_at)
                IS DISTINCT FROM
                (v.file_path, v.file_type, v.is_deleted, v.content_hash, v.snapshot_seq, v.created_at)",
    ),
    Statement::new(
        "SELECT h.project_id, h.file_path, h.base_version, 'head_mismatch',
                'the next version would stand on this one, which is missing'
           FROM {s}.project_file_heads h
           LEFT JOIN {s}.project_file_versions b
             ON b.project_id = h.project_id AND b.file_id = h.file_id AND b.version = h.base_version
          WHERE (:project IS NULL OR h.project_id = :project) AND h.base_version IS NOT NULL AND b.stored IS NULL",
    ),
    Statement::new(
        "SELECT h.project_id, h.file_path, lower(gap), 'version_gap',
                CASE WHEN upper(gap) = lower(gap) + 1 THEN 'the version is missing'
                     ELSE 'versions ' || lower(gap) || ' to ' || upper(gap) - 1 || ' are missing' END
           FROM {s}.project_file_heads h
          CROSS JOIN LATERAL (
                SELECT int4multirange(int4range(1, h.version))
                       - coalesce(h.pruned_versions, '{}')
                       - coalesce(range_agg(int4range(v.version, v.version, '[]')), '{}') AS missing
                  FROM {s}.project_file_versions v
                 WHERE v.project_id = h.project_id AND v.file_id = h.file_id) m
          CROSS JOIN unnest(m.missing) AS gap
          WHERE (:project IS NULL OR h.project_id = :project)",
    ),
    Statement::new(
        "SELECT h.project_id, v.file_path, v.version, 'duplicate_version',
                CASE WHEN v.rows > 1 THEN 'there are ' || v.rows || ' versions of this number'
                     ELSE 'the number is not from 1 to the current version' END
           FROM {s}.project_file_heads h
          CROSS JOIN LATERAL (
                SELECT w.version, max(w.file_path) AS file_path, count(*) AS rows
                  FROM {s}.project_file_versions w
                 WHERE w.project_id = h.project_id AND w.file_id = h.file_id
                 GROUP BY w.version) v
          WHERE (:project IS NULL OR h.project_id = :project)
            AND (v.rows > 1 OR v.version > h.version OR v.version < 1)",
    ),
    Statement::new(
        "SELECT h.project_id, v.file_path, v.version, 'out_of_order',
                'its transaction is yet to come: get_project_changes leaves it out until then'
           FROM {s}.project_file_heads h
           JOIN {s}.project_file_versions v ON v.project_id = h.project_id AND v.file_id = h.file_id
          WHERE (:project IS NULL OR h.project_id = :project)
            AND v.change_xid >= pg_snapshot_xmax(pg_current_snapshot())
            AND v.change_xid IS DISTINCT FROM pg_current_xact_id_if_assigned()",
    ),
    // The version after the listed one must be of a later snapshot.
    Statement::new(
        "SELECT s.project_id, h.file_path, s.version, 'snapshot_mismatch',
                CASE WHEN v.version IS NULL THEN 'snapshot ' || s.snapshot_seq || ' lists this version, which does not exist'
                     ELSE 'snapshot ' || s.snapshot_seq || ' lists this version, which is not the last one saved into it' END
           FROM {s}.project_file_heads h
           JOIN {s}.project_file_snapshots s ON s.project_id = h.project_id AND s.file_id = h.file_id
           LEFT JOIN LATERAL (
                SELECT w.version, w.snapshot_seq
                  FROM {s}.project_file_versions w
                 WHERE w.project_id = s.project_id AND w.file_id = s.file_id AND w.version = s.version
                 LIMIT 1) v ON true
           LEFT JOIN LATERAL (
                SELECT w.snapshot_seq
                  FROM {s}.project_file_versions w
                 WHERE w.project_id = s.project_id AND w.file_id = s.file_id AND w.version > s.version
                 ORDER BY w.version
                 LIMIT 1) n ON true
          WHERE (:project IS NULL OR h.project_id = :project)
            AND (v.version IS NULL OR v.snapshot_seq > s.snapshot_seq OR n.snapshot_seq <= s.snapshot_seq)",
    ),
    // What changed since must have been listed before it changed.
    Statement::new(
        "SELECT h.project_id, h.file_path, v.version, 'snapshot_mismatch',
                'no snapshot lists this version, which version ' || p.version_id || ' needs'
           FROM {s}.project_versions p
           JOIN {s}.project_file_heads h ON h.project_id = p.project_id AND h.snapshot_seq > p.snapshot_seq
          CROSS JOIN LATERAL (
                SELECT w.version
                  FROM {s}.project_file_versions w
                 WHERE w.project_id = h.project_id AND w.file_id = h.file_id AND w.snapshot_seq <= p.snapshot_seq
                 ORDER BY w.version DESC
                 LIMIT 1) v
          WHERE (:project IS NULL OR p.project_id = :project) AND p.snapshot_listed AND p.pruned_at IS NULL
            AND NOT EXISTS (SELECT FROM {s}.project_file_snapshots s
                             WHERE s.project_id = h.project_id AND s.file_id = h.file_id
                               AND s.snapshot_seq <= p.snapshot_seq AND s.version = v.version)",
    ),
    Statement::new(
        "SELECT p.id, NULL::text, NULL::integer, 'orphan',
                'the current version ' || p.current_version_id || ' does not exist'
           FROM {s}.projects p
          WHERE (:project IS NULL OR p.id = :project) AND p.current_version_id IS NOT NULL
            AND NOT EXISTS (SELECT FROM {s}.project_versions v
                             WHERE v.project_id = p.id AND v.version_id = p.current_version_id)",
    ),
    // Imported versions have the snapshots that ended with their import, which are not in the order of their times.
    Statement::new(
        "SELECT v.project_id, NULL::text, NULL::integer,
                CASE WHEN p.id IS NULL THEN 'orphan' ELSE 'out_of_order' END,
                'version ' || v.version_id ||
                CASE WHEN p.id IS NULL THEN ' is of no project'
                     WHEN v.snapshot_seq >= p.snapshot_seq THEN ' has a snapshot that is yet to come'
                     ELSE ' is older than the one before it' END
           FROM (SELECT w.project_id, w.version_id, w.snapshot_seq, w.created_at,
                        w.pruned_at IS NOT DISTINCT FROM w.created_at AS is_imported,
                        lag(w.created_at) OVER (PARTITION BY w.project_id, w.pruned_at IS NOT DISTINCT FROM w.created_at
                                                    ORDER BY w.snapshot_seq) AS before
                   FROM {s}.project_versions w
                  WHERE (:project IS NULL OR w.project_id = :project)) v
           LEFT JOIN {s}.projects p ON p.id = v.project_id
          WHERE p.id IS NULL OR v.snapshot_seq >= p.snapshot_seq OR (v.created_at < v.before AND NOT v.is_imported)",
    ),
];

/// Versions without a head. Nothing leads from a project to them, so this reads the index of the entire history.
static ORPHANS: Statement = Statement::new(
    "SELECT v.project_id, v.file_path, v.version, 'orphan', 'the version is of no file'
       FROM {s}.project_file_versions v
      WHERE (:project IS NULL OR v.project_id = :project)
        AND NOT EXISTS (SELECT FROM {s}.project_file_heads h
                         WHERE h.project_id = v.project_id AND h.file_id = v.file_id)",
);

static VERSIONS: Statement = Statement::new(
    "SELECT h.project_id, v.file_path, v.version, v.file_id, v.created_at, v.snapshot_seq, v.is_deleted,
            v.content_hash, v.size_bytes, v.encoding, v.stored, v.base_size, v.base_encoding, v.base_stored,
            v.keyframe_size, v.keyframe_encoding, v.keyframe_stored
       FROM {s}.project_file_heads h
       JOIN versioned_internal.file_contents v ON v.project_id = h.project_id AND v.file_id = h.file_id
      WHERE (:project IS NULL OR h.project_id = :project)
      ORDER BY v.file_id, v.version",
);

/// What is wrong with the content of a version: problem and detail.
fn content_problem(row: &Row, decoder: &mut Decoder) -> Option<(&'static str, String)> {
    let (version, hash) = (Stored::of(row), row.get::<Bytes>("content_hash"));
    if row.value("is_deleted") {
        let empty = version.is_none() && hash.is_none() && row.value::<i32>("size_bytes") == 0;
        return (!empty).then(|| ("hash_mismatch", "the version is a deletion and has content".to_owned()));
    }
    let (Some(version), Some(hash)) = (version, hash) else {
        return Some(("undecodable", "the version has no stored content or no hash".to_owned()));
    };
    let base = Stored::new(row.get("base_size"), row.get("base_encoding"), row.get("base_stored"));
    let keyframe = Stored::new(row.get("keyframe_size"), row.get("keyframe_encoding"), row.get("keyframe_stored"));
    let flaw = decoder.text(version, (base, keyframe), hash.fetch()).err()?;
    let problem = match flaw {
        Flaw::Missing | Flaw::BaseMissing => "base_missing",
        Flaw::Undecodable => "undecodable",
        Flaw::HashMismatch => "hash_mismatch",
    };
    Some((problem, flaw.to_string()))
}

fn check(db: &Db, call: &Call, project: Option<Uuid>, all_tables: bool) -> Result<Answer, Error> {
    let findings = ResultSet::begin(call);
    let args = args! { project };
    let checks = CHECKS.iter().chain(all_tables.then_some(&ORPHANS));
    for check in checks {
        db.each(check, &args, |row| {
            findings.push(&row.columns());
            Ok(())
        })?;
    }

    let mut progress = Progress::begin("file versions checked");
    let mut decoder = Decoder::default();
    let mut before: Option<(Uuid, Timestamp, i32)> = None;
    db.each(&VERSIONS, &args, |row| {
        let report = |problem: &str, detail: &str| {
            let [project, path, version] = ["project_id", "file_path", "version"].map(|name| row.column(name));
            findings.push(&[project, path, version, problem.into(), detail.into()]);
        };
        let file: Uuid = row.value("file_id");
        let (at, snapshot): (Timestamp, i32) = (row.value("created_at"), row.value("snapshot_seq"));
        if let Some((_, earlier, lower)) = before.filter(|&(other, ..)| other == file) {
            if at < earlier {
                report("out_of_order", "the version is older than the one before it");
            }
            if snapshot < lower {
                report("out_of_order", "the version belongs to an earlier snapshot than the one before it");
            }
        }
        before = Some((file, at, snapshot));
        if let Some((problem, detail)) = content_problem(row, &mut decoder) {
            report(problem, &detail);
        }
        progress.step();
        Ok(())
    })?;
    Ok(findings.done())
}

/// See the COMMENT in `sql/integrity.sql`.
#[pg_extern(sql = false)]
fn check_project_integrity(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let caller = Caller::identify(call)?;
        if project.is_none() && !caller.privileged {
            return Err(Error::NotPrivileged("check all projects"));
        }
        as_owner(call, |owner| {
            connect(call, |db| {
                if let Some(project) = project {
                    caller.check(db, project, Role::Viewer, owner)?;
                }
                check(db, call, project, caller.privileged)
            })
        })
    })
}
