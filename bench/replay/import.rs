//! Saves a git history into a project: one transaction a commit, every save guarded by the version it
//! expects, so that a lost update or an invented version would stop the import.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use postgres::{Client, Statement, Transaction};
use uuid::Uuid;

use crate::builds::Builds;
use crate::failure::{Doing, Failure};
use crate::history::{self, Change, Content, Contents, Oid, Repository, Skip};
use crate::plan::Milestone;
use crate::progress::Progress;

/// What an import did.
#[derive(Default)]
pub struct Tally {
    /// Commits replayed.
    pub commits: usize,
    /// Saves that became a version.
    pub saves: u64,
    /// Saves of what the head had already: changes of the mode alone.
    pub unchanged: u64,
    /// Deletions.
    pub deletions: u64,
    /// Files there are now.
    pub live_files: usize,
    /// Files there ever were.
    pub files: usize,
    /// Bytes of content saved.
    pub bytes: u64,
    /// What was left out, and why.
    pub skipped: BTreeMap<Skip, Skipped>,
    /// How long it took.
    pub took: Duration,
}

/// What was left out for one reason.
#[derive(Default)]
pub struct Skipped {
    /// Changes to such files.
    pub changes: u64,
    /// The paths, for their number and an example.
    pub paths: HashSet<String>,
}

/// The version a path's file came to, and whether it is there.
#[derive(Clone, Copy)]
struct Known {
    version: i32,
    live: bool,
}

struct Import<'a> {
    project: Uuid,
    contents: &'a mut Contents,
    save: Statement,
    delete: Statement,
    files: HashMap<String, Known>,
    tally: Tally,
}

/// Replays the line's commits in order; at each milestone the active build succeeds.
pub fn import(
    client: &mut Client,
    project: Uuid,
    builds: &mut Builds,
    repository: &Repository,
    line: &[Oid],
    milestones: &[Milestone],
) -> Result<Tally, Failure> {
    let mut contents = repository.contents()?;
    let mut import = Import::prepare(client, project, &mut contents)?;
    let mut progress = Progress::start("replay", "commits", line.len());
    let mut milestones = milestones.iter().peekable();
    let mut subject = String::new();
    let mut stretch_begins = true;
    for (at, commit) in repository.commits(line)?.enumerate() {
        if let (true, Some(milestone)) = (stretch_begins, milestones.peek()) {
            subject = repository.subject(milestone.commit)?;
            builds.begin(client, &subject)?;
            stretch_begins = false;
        }
        let commit = commit?;
        import.commit(client, commit.id, &commit.changes, &mut progress)?;
        if let Some(milestone) = milestones.next_if(|milestone| milestone.at == at) {
            builds.succeed(client, milestone, &subject)?;
            stretch_begins = true;
            if builds.failed.is_none() {
                builds.fail_one(client)?;
            }
        }
    }
    let mut tally = import.tally;
    tally.files = import.files.len();
    tally.live_files = import.files.values().filter(|file| file.live).count();
    tally.took = progress.finish(&format!("{} saves", tally.saves));
    if tally.commits != line.len() {
        return Err(Failure::Broken(format!("git gave {} commits of {}", tally.commits, line.len())));
    }
    Ok(tally)
}

impl<'a> Import<'a> {
    fn prepare(client: &mut Client, project: Uuid, contents: &'a mut Contents) -> Result<Self, Failure> {
        let save = client
            .prepare("SELECT version FROM atomic_upsert_project_file($1, $2, $3, $4, $5)")
            .doing("preparing to save files")?;
        let delete =
            client.prepare("SELECT version FROM delete_project_file($1, $2, $3)").doing("preparing to delete files")?;
        let (files, tally) = (HashMap::new(), Tally::default());
        Ok(Self { project, contents, save, delete, files, tally })
    }

    fn commit(
        &mut self,
        client: &mut Client,
        id: Oid,
        changes: &[Change],
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let doing = || format!("replaying the commit {id}");
        if !changes.is_empty() {
            let mut transaction = client.transaction().doing(doing())?;
            for change in changes {
                self.change(&mut transaction, change)?;
                progress.show(self.tally.commits, || format!("{} saves", self.tally.saves));
            }
            transaction.commit().doing(doing())?;
        }
        self.tally.commits += 1;
        progress.show(self.tally.commits, || format!("{} saves", self.tally.saves));
        Ok(())
    }

    fn change(&mut self, transaction: &mut Transaction, change: &Change) -> Result<(), Failure> {
        let path = match history::project_path(&change.path) {
            Ok(path) => path,
            Err(reason) => {
                self.skip(reason, String::from_utf8_lossy(&change.path).into_owned());
                return Ok(());
            }
        };
        let Some(object) = change.now else {
            return self.delete(transaction, path);
        };
        match self.contents.read(object)? {
            Content::Text(content) => self.save(transaction, path, &content),
            Content::Skipped(reason) => {
                self.skip(reason, path.to_owned());
                // What was a text until now is none any more: the project must not keep the old one.
                self.delete(transaction, path)
            }
        }
    }

    fn save(&mut self, transaction: &mut Transaction, path: &str, content: &str) -> Result<(), Failure> {
        let known = self.files.get(path).copied().unwrap_or(Known { version: 0, live: false });
        let expected = if known.live { known.version } else { 0 };
        let row = transaction
            .query_one(&self.save, &[&self.project, &path, &content, &file_type(path), &expected])
            .doing(format!("saving {path}, expecting version {expected}"))?;
        let version: i32 = row.get(0);
        match version - known.version {
            0 if known.live => self.tally.unchanged += 1,
            1 => {
                self.tally.saves += 1;
                self.tally.bytes += content.len() as u64;
            }
            _ => return Err(out_of_step("saved", path, known.version, version)),
        }
        self.files.insert(path.to_owned(), Known { version, live: true });
        Ok(())
    }

    /// Deletes the file, if the project has it.
    fn delete(&mut self, transaction: &mut Transaction, path: &str) -> Result<(), Failure> {
        let Some(known) = self.files.get_mut(path).filter(|known| known.live) else {
            return Ok(());
        };
        let row = transaction
            .query_one(&self.delete, &[&self.project, &path, &known.version])
            .doing(format!("deleting {path}, expecting version {}", known.version))?;
        let version: i32 = row.get(0);
        if version != known.version + 1 {
            return Err(out_of_step("deleted", path, known.version, version));
        }
        *known = Known { version, live: false };
        self.tally.deletions += 1;
        Ok(())
    }

    fn skip(&mut self, reason: Skip, path: String) {
        let skipped = self.tally.skipped.entry(reason).or_default();
        skipped.changes += 1;
        skipped.paths.insert(path);
    }
}

fn out_of_step(done: &str, path: &str, before: i32, now: i32) -> Failure {
    Failure::Broken(format!("{path} was {done} as version {now}, though its last one was {before}"))
}

/// A name for what a file holds, by its extension.
fn file_type(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "c" | "h" => "c",
        "cc" | "cpp" | "cxx" | "hh" | "hpp" => "cpp",
        "css" | "scss" => "css",
        "go" => "go",
        "htm" | "html" => "html",
        "java" => "java",
        "cjs" | "js" | "jsx" | "mjs" => "javascript",
        "json" => "json",
        "md" => "markdown",
        "php" => "php",
        "py" => "python",
        "rb" => "ruby",
        "rs" => "rust",
        "bash" | "sh" => "shell",
        "sql" => "sql",
        "toml" => "toml",
        "ts" | "tsx" => "typescript",
        "xml" => "xml",
        "yaml" | "yml" => "yaml",
        _ => "text",
    }
}

/// Files saved a second, deletions included.
pub fn rate(tally: &Tally) -> f64 {
    let work = tally.saves + tally.unchanged + tally.deletions;
    work as f64 / tally.took.max(Duration::from_millis(1)).as_secs_f64()
}
