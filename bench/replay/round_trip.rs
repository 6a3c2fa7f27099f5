//! The way back: the project's history as git imports it has the trees that git had before.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::builds::Version;
use crate::compare::name_faults;
use crate::failure::Failure;
use crate::history::{HistoryError, Mirror, Object, Oid, Repository, Scratch};
use crate::progress::Progress;

/// Who the owner of the project is in git.
const AUTHOR: &str = "Replay <replay@example.com>";

/// What was exported, and what was wrong with it.
#[derive(Default)]
pub struct RoundTrip {
    /// Commits that git imported.
    pub commits: usize,
    /// Tags.
    pub tags: usize,
    /// Bytes of the stream.
    pub bytes: u64,
    /// Everything that was wrong.
    pub faults: usize,
    /// How long the export and import took.
    pub took: Duration,
}

/// What is exported, and by what.
pub struct Export<'a> {
    /// The program psql.
    pub psql: &'a Path,
    /// The extension's schema, quoted.
    pub schema: &'a str,
    /// The project.
    pub project: Uuid,
    /// Its owner, who has saved everything.
    pub owner: Uuid,
    /// About how many bytes it will be.
    pub bytes: u64,
}

/// Exports the project to a new repository, and compares every tag and the branch with git.
pub fn prove(
    export: &Export,
    repository: &Repository,
    mirror: &Mirror,
    made: &[Version],
) -> Result<RoundTrip, Failure> {
    let scratch = Scratch::create(repository)?;
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000) as usize;
    let mut progress = Progress::start("export", "MB", megabytes(export.bytes));
    let mut found = RoundTrip::default();
    let started = Instant::now();
    let mut faults = export.to_git(&scratch, |bytes| {
        found.bytes = bytes;
        progress.show(megabytes(bytes.min(export.bytes)), || "into git fast-import".to_owned());
    })?;
    found.took = started.elapsed();
    if faults.is_empty() {
        faults = compare(&scratch, mirror, made, &mut found)?;
    }
    if let Err(error) = scratch.check() {
        faults.push(told(error)?);
    }
    found.faults = name_faults(&progress, "the export", faults);
    progress.finish(&format!("{} commits, {} tags", found.commits, found.tags));
    Ok(found)
}

impl Export<'_> {
    /// `psql … | git fast-import`; what went wrong, if anything did.
    fn to_git(&self, scratch: &Scratch, progress: impl FnMut(u64)) -> Result<Vec<String>, Failure> {
        let authors = json!({ self.owner.to_string(): AUTHOR });
        let sql = format!("SELECT {}.get_project_fast_export('{}', '{authors}')", self.schema, self.project);
        let failed = |error: io::Error| {
            Failure::Server(format!("{} could not be run ({error}): --psql says where it is", self.psql.display()))
        };
        let mut psql = Command::new(self.psql)
            .args(["-XAt", "-v", "ON_ERROR_STOP=1", "-v", "FETCH_COUNT=100", "-c", &sql])
            .env("PGCLIENTENCODING", "UTF8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut stream: Box<dyn Read> = match psql.stdout.take() {
            Some(stream) => Box::new(stream),
            None => Box::new(io::empty()),
        };
        let imported = scratch.import(&mut stream, self.bytes, progress);
        drop(stream);
        let exported = psql.wait().map_err(failed)?;
        let mut faults = Vec::new();
        if !exported.success() {
            faults.push(format!("psql ended with {exported}"));
        }
        if let Err(error) = imported {
            faults.push(told(error)?);
        }
        Ok(faults)
    }
}

/// What git has to say is a fault; that it cannot be run is none of the export's.
fn told(error: HistoryError) -> Result<String, Failure> {
    match error {
        HistoryError::Failed { .. } => Ok(error.to_string()),
        other => Err(other.into()),
    }
}

fn compare(
    scratch: &Scratch,
    mirror: &Mirror,
    made: &[Version],
    found: &mut RoundTrip,
) -> Result<Vec<String>, HistoryError> {
    let mut faults = Vec::new();
    let mut trees = scratch.trees()?;
    found.tags = trees.keys().filter(|name| name.starts_with("refs/tags/")).count();
    let tags = made.iter().enumerate().map(|(at, version)| (at, format!("refs/tags/v{}", version.number)));
    let main = made.len().checked_sub(1).map(|newest| (newest, "refs/heads/main".to_owned()));
    for (at, name) in tags.chain(main) {
        match trees.remove(&name) {
            None => faults.push(format!("{name} is missing")),
            Some(tree) if tree == mirror.tree(at) => {}
            Some(tree) => faults.extend(differing(scratch, tree, mirror, at, &name)?),
        }
    }
    faults.extend(trees.into_keys().map(|name| format!("{name} is nothing that was made")));
    let (commits, authors) = scratch.authors("main")?;
    found.commits = commits;
    if authors.iter().any(|author| author != AUTHOR) {
        faults.push(format!("its authors are {authors:?}"));
    }
    Ok(faults)
}

/// The paths at which a tree is not what it should be.
fn differing(
    scratch: &Scratch,
    tree: Oid,
    mirror: &Mirror,
    at: usize,
    name: &str,
) -> Result<Vec<String>, HistoryError> {
    let found = scratch.tree(tree)?;
    let expected = mirror.scratch().tree(mirror.tree(at))?;
    let only = |some: &[(Vec<u8>, Object)], others: &[(Vec<u8>, Object)]| -> Vec<String> {
        let others: std::collections::HashMap<_, _> = others.iter().map(|(path, object)| (path, object.oid)).collect();
        let differ = some.iter().filter(|(path, object)| others.get(path) != Some(&object.oid));
        differ.map(|(path, _)| String::from_utf8_lossy(path).into_owned()).collect()
    };
    let mut paths = only(&found, &expected);
    paths.extend(only(&expected, &found));
    paths.sort();
    paths.dedup();
    if paths.is_empty() {
        return Ok(vec![format!("{name} has other modes")]);
    }
    Ok(paths.into_iter().map(|path| format!("{name}: {path} is not as in git")).collect())
}
