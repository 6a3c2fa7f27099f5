//! Proves an import: what the database returns is, byte for byte, what git has.
//!
//! Git is asked again for everything, by a reader of its own: nothing the import noted down is trusted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;
use postgres::{Client, Row};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::builds::Version;
use crate::failure::{Doing, Failure};
use crate::history::{self, Content, Contents, Object, Oid, Repository};
use crate::import::Tally;
use crate::progress::Progress;

/// So many faults of one snapshot are named; of the others there is only the number.
const NAMED_FAULTS: usize = 100;

type Hash = [u8; 32];

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

struct Prover<'a> {
    repository: &'a Repository,
    contents: Contents,
    /// Each content's hash, by git's name of it; none where a project cannot have it.
    hashes: HashMap<Oid, Option<Hash>>,
    progress: Progress,
    snapshots: usize,
    proof: Proof,
}

/// Compares HEAD and every version with git, and checks the rules of the tables.
pub fn prove(
    client: &mut Client,
    project: Uuid,
    repository: &Repository,
    head: Oid,
    versions: &[Version],
    tally: &Tally,
) -> Result<Proof, Failure> {
    let started = Instant::now();
    let mut prover = Prover {
        repository,
        contents: repository.contents()?,
        hashes: HashMap::new(),
        progress: Progress::start("prove", "snapshots", versions.len() + 1),
        snapshots: 0,
        proof: Proof::default(),
    };
    prover.head(client, project, head)?;
    for version in versions {
        prover.version(client, project, version)?;
    }
    prover.rules(client, project, versions, tally)?;
    let Prover { progress, mut proof, .. } = prover;
    progress.finish(&format!("{} files compared", proof.head_files + proof.version_files));
    proof.took = started.elapsed();
    Ok(proof)
}

impl Prover<'_> {
    fn head(&mut self, client: &mut Client, project: Uuid, head: Oid) -> Result<(), Failure> {
        let sql = "SELECT file_path, content, content_hash FROM get_current_project_files($1)";
        self.proof.head_files = self.snapshot(client, sql, &[&project], "HEAD", head)?;
        Ok(())
    }

    fn version(&mut self, client: &mut Client, project: Uuid, version: &Version) -> Result<(), Failure> {
        let sql = "SELECT file_path, content, content_hash FROM get_project_version_files($1, $2)";
        let name = format!("version {} ({})", version.number, version.name);
        let args: [&(dyn ToSql + Sync); 2] = [&project, &version.id];
        self.proof.version_files += self.snapshot(client, sql, &args, &name, version.commit)?;
        self.proof.versions += 1;
        Ok(())
    }

    /// Compares the rows of a query with the tree of a commit; returns how many files there were.
    fn snapshot(
        &mut self,
        client: &mut Client,
        sql: &str,
        args: &[&(dyn ToSql + Sync)],
        name: &str,
        commit: Oid,
    ) -> Result<usize, Failure> {
        let mut expected = self.expected_files(commit)?;
        let doing = || format!("reading the files of {name}");
        // A stream: a snapshot's contents need not fit into memory.
        let mut rows = client.query_raw(sql, args.iter().copied()).doing(doing())?;
        let mut files = 0;
        let mut faults = Vec::new();
        while let Some(row) = rows.next().doing(doing())? {
            files += 1;
            let path: &str = row.try_get(0).doing(doing())?;
            let expected = expected.remove(path);
            if let Some(wrong) = self.compare(&row, expected).doing(doing())? {
                faults.push(format!("{path} {wrong}"));
            }
            let compared = self.proof.head_files + self.proof.version_files + files;
            self.progress.show(self.snapshots, || format!("{compared} files compared"));
        }
        faults.extend(expected.into_keys().map(|path| format!("{path} is missing")));
        self.report(name, faults);
        self.snapshots += 1;
        Ok(files)
    }

    /// What is wrong with one returned file, if anything is.
    fn compare(&mut self, row: &Row, expected: Option<Hash>) -> Result<Option<&'static str>, postgres::Error> {
        let Some(expected) = expected else {
            return Ok(Some("is not in git's tree"));
        };
        let Some(content) = row.try_get::<_, Option<&str>>(1)? else {
            return Ok(Some("has no content"));
        };
        self.proof.bytes += content.len() as u64;
        let hash = sha256(content);
        let claimed: Option<&str> = row.try_get(2)?;
        Ok(if hash != expected {
            Some("differs from git's content")
        } else if claimed != Some(hex(&hash).as_str()) {
            Some("has a content_hash that is not its content's")
        } else {
            None
        })
    }

    /// The files of a commit's tree that a project can have.
    fn expected_files(&mut self, commit: Oid) -> Result<HashMap<String, Hash>, Failure> {
        let mut files = HashMap::new();
        for (path, object) in self.repository.tree(commit)? {
            if let (Ok(path), Some(hash)) = (history::project_path(&path), self.hash(object)?) {
                files.insert(path.to_owned(), hash);
            }
        }
        Ok(files)
    }

    fn hash(&mut self, object: Object) -> Result<Option<Hash>, Failure> {
        if let Some(&known) = self.hashes.get(&object.oid) {
            return Ok(known);
        }
        let hash = match self.contents.read(object)? {
            Content::Text(text) => Some(sha256(&text)),
            Content::Skipped(_) => None,
        };
        // A link's target may be some file's content too.
        if object.kind == history::Kind::File {
            self.hashes.insert(object.oid, hash);
        }
        Ok(hash)
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

    fn report(&mut self, name: &str, mut faults: Vec<String>) {
        faults.sort();
        self.proof.faults += faults.len();
        for fault in faults.iter().take(NAMED_FAULTS) {
            self.progress.say(&format!("WRONG in {name}: {fault}"));
        }
        if let Some(more) = faults.len().checked_sub(NAMED_FAULTS + 1) {
            self.progress.say(&format!("WRONG in {name}: and {} more", more + 1));
        }
    }
}

fn sha256(content: &str) -> Hash {
    Sha256::digest(content.as_bytes()).into()
}

fn hex(hash: &Hash) -> String {
    let mut digits = String::with_capacity(2 * hash.len());
    for byte in hash {
        for half in [byte >> 4, byte & 15] {
            digits.push(char::from(b"0123456789abcdef"[usize::from(half)]));
        }
    }
    digits
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
