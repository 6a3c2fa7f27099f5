//! A project's history in a repository of git, and whether it is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use uuid::Uuid;

use crate::calls::Listed;
use crate::dump::program;
use crate::support::Database;

/// Paths and contents.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A repository, removed when dropped.
pub struct Repository(PathBuf);

impl Repository {
    pub fn new(name: &str) -> Repository {
        let path = env::temp_dir().join(format!("{name}.git"));
        let _ = fs::remove_dir_all(&path);
        let repository = Repository(path);
        repository.ok(&["init", "--quiet", "--bare", "--initial-branch=main"]);
        repository
    }

    /// The project's history, imported as docs/git-export.md says.
    #[track_caller]
    pub fn of(db: &Database, project: Uuid) -> Repository {
        let repository = Repository::new(&db.name);
        let output = repository.import(&lines(db, &format!("SELECT versioned.get_project_fast_export('{project}')")));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        repository.ok(&["fsck", "--strict"]);
        repository
    }

    fn command(&self, arguments: &[&str]) -> Command {
        fs::create_dir_all(&self.0).expect("a folder");
        let mut git = Command::new("git");
        git.arg("-C").arg(&self.0).args(arguments);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_DIR", &self.0);
        git
    }

    pub fn import(&self, stream: &[u8]) -> Output {
        let mut git = self.command(&["fast-import", "--quiet"]);
        let mut git = git.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("git runs");
        // It may end before it has read everything.
        let _ = git.stdin.take().expect("stdin is piped").write_all(stream);
        git.wait_with_output().expect("git ends")
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.command(arguments).output().expect("git runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[track_caller]
    pub fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.ok(arguments)).expect("UTF-8").trim_end().to_owned()
    }

    /// Oldest first: what each commit says of itself in a format of `git log`.
    pub fn log(&self, format: &str) -> Vec<String> {
        let log = self.text(&["log", "--reverse", &format!("--format={format}"), "main"]);
        log.lines().map(str::to_owned).collect()
    }

    pub fn tree(&self, revision: &str) -> Files {
        let listing = self.text(&["ls-tree", "-r", "-z", revision]);
        let file = |line: &str| {
            let (entry, path) = line.split_once('\t').expect("an entry and a path");
            let [mode, _, blob] = entry.split(' ').collect::<Vec<_>>()[..] else { panic!("{entry}") };
            assert_eq!(mode, "100644");
            (path.to_owned(), self.ok(&["cat-file", "blob", blob]))
        };
        listing.split_terminator('\0').map(file).collect()
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What psql prints for a query, as docs/git-export.md calls it.
#[track_caller]
pub fn lines(db: &Database, sql: &str) -> Vec<u8> {
    let mut psql = program("psql");
    psql.args(["-X", "-A", "-t", "-v", "FETCH_COUNT=100", "-d", &db.name, "-c", sql]).env("PGCLIENTENCODING", "UTF8");
    let output = psql.output().expect("psql runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn files(listing: Vec<Listed>) -> Files {
    listing.into_iter().map(|(path, _, content)| (path, content.into_bytes())).collect()
}

/// Imports the project, and compares the tree of every version and of the branch.
#[track_caller]
pub fn same(db: &Database, project: Uuid) -> Repository {
    let repository = Repository::of(db, project);
    let mut admin = db.connect();
    let current = files(admin.list(project));
    if !repository.text(&["branch", "--list"]).is_empty() {
        assert_eq!(repository.tree("main"), current);
    } else {
        assert!(current.is_empty());
    }
    let versions = admin.rows(
        "SELECT version_id, concat('v', major_version, '.', minor_version, '.', patch_version, '-' || prerelease)
           FROM versioned.project_versions WHERE project_id = $1 AND soft_deleted_at IS NULL AND pruned_at IS NULL",
        &[&project],
    );
    let tags: BTreeSet<String> = versions.iter().map(|row| row.get(1)).collect();
    assert_eq!(repository.text(&["tag"]).lines().map(str::to_owned).collect::<BTreeSet<_>>(), tags);
    for row in versions {
        let (version, tag): (String, String) = (row.get(0), row.get(1));
        assert_eq!(repository.tree(&tag), files(admin.snapshot(project, &version)), "{tag}");
    }
    repository
}
