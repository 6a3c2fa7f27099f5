//! Proves an import: what the database returns is, byte for byte, what git has.

use std::time::{Duration, Instant};

use postgres::types::ToSql;
use postgres::{Client, Row};
use uuid::Uuid;

use crate::builds::Version;
use crate::compare::{self, Comparer};
use crate::failure::{Doing, Failure};
use crate::history::Oid;
use crate::import::Tally;
use crate::progress::Progress;

/// The project's files as they are.
pub const CURRENT: &str = "SELECT file_path, content, content_hash FROM get_current_project_files($1)";

/// What was compared, and what was wrong.
#[derive(Default)]
pub struct Proof {
    /// Files at HEAD.
    pub head_files: usize,
    /// Versions whose snapshots were compared.
    pub versions: usize,
    /// Files in all those snapshots.
    pub version_files: usize,
    /// Bytes of content compared.
    pub bytes: u64,
    /// Rules that SQL checked.
    pub rules: usize,
    /// Everything that was wrong.
    pub faults: usize,
    /// How long it took.
    pub took: Duration,
}

struct Prover<'a, 'r> {
    comparer: &'a mut Comparer<'r>,
    progress: Progress,
    snapshots: usize,
    proof: Proof,
}

/// Compares HEAD and every version with git, and checks the rules of the tables.
pub fn prove(
    client: &mut Client,
    project: Uuid,
    comparer: &mut Comparer,
    head: Oid,
    versions: &[Version],
    tally: &Tally,
) -> Result<Proof, Failure> {
    let started = Instant::now();
    let progress = Progress::start("prove", "snapshots", versions.len() + 1);
    let mut prover = Prover { comparer, progress, snapshots: 0, proof: Proof::default() };
    prover.head(client, project, head)?;
    for version in versions {
        prover.version(client, project, version)?;
    }
    prover.rules(client, project, versions, tally)?;
    let Prover { comparer, progress, mut proof, .. } = prover;
    progress.finish(&format!("{} files compared", proof.head_files + proof.version_files));
    proof.bytes = comparer.bytes;
    proof.took = started.elapsed();
    Ok(proof)
}

impl Prover<'_, '_> {
    fn head(&mut self, client: &mut Client, project: Uuid, head: Oid) -> Result<(), Failure> {
        self.proof.head_files = self.snapshot(client, (CURRENT, &[&project]), "HEAD", head)?;
        Ok(())
    }

    fn version(&mut self, client: &mut Client, project: Uuid, version: &Version) -> Result<(), Failure> {
        let sql = "SELECT file_path, content, content_hash FROM get_project_version_files($1, $2)";
        let name = format!("version {} ({})", version.number, version.name);
        self.proof.version_files += self.snapshot(client, (sql, &[&project, &version.id]), &name, version.commit)?;
        self.proof.versions += 1;
        Ok(())
    }

    /// Compares the rows of a query with the tree of a commit; returns how many files there were.
    fn snapshot(
        &mut self,
        client: &mut Client,
        query: (&str, &[&(dyn ToSql + Sync)]),
        name: &str,
        commit: Oid,
    ) -> Result<usize, Failure> {
        let before = self.proof.head_files + self.proof.version_files;
        let (progress, snapshots) = (&mut self.progress, self.snapshots);
        let shown = |files| progress.show(snapshots, || format!("{} files compared", before + files));
        let (files, faults) = self.comparer.snapshot(client, query, name, commit, shown)?;
        self.report(name, faults);
        self.snapshots += 1;
        Ok(files)
    }

    fn rules(
        &mut self,
        client: &mut Client,
        project: Uuid,
        versions: &[Version],
        tally: &Tally,
    ) -> Result<(), Failure> {
        for (rule, sql) in RULES {
            let rows = client.query(*sql, &[&project]).doing(format!("checking that {rule}"))?;
            self.proof.rules += 1;
            let fault = |row: &Row| format!("{}: not so that {rule}", row.get::<_, String>(0));
            self.report("the tables", rows.iter().map(fault).collect());
        }
        let counts: [(&str, &str, u64); 3] = [
            ("file versions", FILE_VERSIONS, tally.saves + tally.deletions),
            ("live files", LIVE_FILES, tally.live_files as u64),
            ("project versions", PROJECT_VERSIONS, versions.len() as u64),
        ];
        for (what, sql, expected) in counts {
            let row = client.query_one(sql, &[&project]).doing(format!("counting {what}"))?;
            let found: i64 = row.get(0);
            self.proof.rules += 1;
            let wrong = format!("{found} {what}, where {expected} were made");
            self.report("the tables", Vec::from_iter((found != expected as i64).then_some(wrong)));
        }
        Ok(())
    }

    fn report(&mut self, name: &str, faults: Vec<String>) {
        self.proof.faults += compare::name_faults(&self.progress, name, faults);
    }
}

/// Each query returns the offenders. None joins: a project just imported is one the planner knows nothing
/// about, and it may take a nested loop over everything for cheap.
const RULES: &[(&str, &str)] = &[
    (
        "the versions of every file run from 1 without a gap",
        "SELECT min(file_path) FROM project_file_versions WHERE project_id = $1
          GROUP BY file_id
         HAVING min(version) <> 1 OR max(version) <> count(*)",
    ),
    (
        "a live file has exactly one current version and a deleted one none",
        "SELECT file_path
           FROM (SELECT file_path, is_current_version::integer AS current
                   FROM project_files WHERE project_id = $1
                  UNION ALL
                 SELECT file_path, -(NOT is_deleted)::integer
                   FROM project_file_heads WHERE project_id = $1) x
          GROUP BY file_path
         HAVING sum(current) <> 0",
    ),
    (
        "a file's current version is its newest",
        "SELECT min(file_path)
           FROM (SELECT file_id, file_path, false AS head, version, is_deleted
                   FROM project_file_versions WHERE project_id = $1
                  UNION ALL
                 SELECT file_id, file_path, true, version, is_deleted
                   FROM project_file_heads WHERE project_id = $1) x
          GROUP BY file_id
         HAVING (array_agg((version, is_deleted) ORDER BY version DESC) FILTER (WHERE NOT head))[1]
                IS DISTINCT FROM (array_agg((version, is_deleted)) FILTER (WHERE head))[1]",
    ),
    (
        "no build is left active",
        "SELECT build_id FROM project_build_metrics WHERE project_id = $1 AND status = 'started'",
    ),
];

const FILE_VERSIONS: &str = "SELECT count(*) FROM project_file_versions WHERE project_id = $1";
const LIVE_FILES: &str = "SELECT count(*) FROM project_files WHERE project_id = $1 AND is_current_version";
const PROJECT_VERSIONS: &str = "SELECT count(*) FROM project_versions WHERE project_id = $1";
