//! Replays the history of a real git repository into Postgres, proves the result against git, and shows
//! the race that pg_versioned wins.

mod builds;
mod compare;
mod database;
mod failure;
mod history;
mod import;
mod plan;
mod progress;
mod proof;
mod race;
mod report;
mod round_trip;
mod versions;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use uuid::Uuid;

use compare::Comparer;
use failure::{Doing, Failure};
use history::Repository;
use report::Summary;
use round_trip::Export;

const USAGE: &str = "\
usage: replay --repo PATH [--every N] [--max-commits N] [--no-restore] [--psql PROGRAM]

Replays a git repository's history, along first parents from the root to HEAD, into a project of
pg_versioned: one transaction a commit, one version of the project a tagged commit. Then compares
all of it with git (files, versions, their list, diffs and a restore), gives it back to git as a new
repository that has to be the same, and shows what eight writers do to one file.

  --repo PATH        the git repository
  --every N          make a version of every Nth commit too (where there are fewer than 5 tags: 20,
                     or more in a history of over 4000 commits)
  --max-commits N    stop after so many commits
  --no-restore       restore nothing: rolled back, it still takes space in the tables
  --psql PROGRAM     the psql that exports (by default: psql)

The connection comes from PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE; the user must be a superuser.
Exits with 1 if anything is wrong.";

struct Options {
    repo: PathBuf,
    every: Option<usize>,
    max_commits: Option<usize>,
    restore: bool,
    psql: PathBuf,
}

fn main() -> ExitCode {
    let options = match parse_options(env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("replay: {problem} (--help says how)");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("\nreplay: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Does it all; returns how many things turned out wrong.
fn run(options: &Options) -> Result<usize, Failure> {
    let repository = Repository::open(&options.repo)?;
    let mut line = repository.line()?;
    line.truncate(options.max_commits.unwrap_or(usize::MAX));
    let head = *line.last().unwrap_or(&repository.head());
    let milestones = plan::milestones(&line, &repository.tags()?, options.every);

    let (mut client, extension) = database::connect()?;
    let owner = Uuid::new_v4();
    let prompt = format!("replay of {}", repository.name());
    let (project, mut builds) = builds::create_project(&mut client, owner, repository.name(), Some(&prompt))?;
    client
        .execute("SELECT set_config('pg_versioned.actor_id', $1, false)", &[&owner.to_string()])
        .doing("signing in")?;
    let tally = import::import(&mut client, project, &mut builds, &repository, &line, &milestones)?;
    let mut comparer = Comparer::start(&repository)?;
    let proof = proof::prove(&mut client, project, &mut comparer, head, &builds.published, &tally)?;
    let mirror = versions::mirror(&mut comparer, &builds.published)?;
    let versions = versions::prove(&mut client, project, &mut comparer, &mirror, &builds.published, options.restore)?;
    let (psql, schema, bytes) = (&*options.psql, &*extension.schema, tally.bytes);
    let export = Export { psql, schema, project, owner, bytes };
    let round_trip = round_trip::prove(&export, &repository, &mirror, &builds.published)?;
    let row_lock = race::with_row_lock(&mut client)?;
    let extension_race = race::with_extension(&mut client, owner)?;

    let failed_build = builds.failed.as_ref().map_or(&[][..], |failed| &failed.faults);
    let named = name_faults(failed_build) + name_faults(&extension_race.faults());
    let faults = proof.faults + versions.faults + round_trip.faults + named;
    let summary = Summary {
        name: repository.name(),
        extension: &extension,
        project,
        tally: &tally,
        builds: &builds,
        proof: &proof,
        versions: &versions,
        round_trip: &round_trip,
        row_lock: &row_lock,
        extension_race: &extension_race,
        faults,
    };
    let example = report::example(&mut client, project)?;
    print(&report::render(&summary, example.as_ref()));
    Ok(faults)
}

fn name_faults(faults: &[String]) -> usize {
    for fault in faults {
        eprintln!("WRONG: {fault}");
    }
    faults.len()
}

/// A reader who has seen enough, like `head`, is no failure.
fn print(report: &str) {
    let _ = io::stdout().lock().write_all(report.as_bytes());
}

/// `None` asks for help.
fn parse_options(args: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
    let (mut repo, mut every, mut max_commits) = (None, None, None);
    let (mut restore, mut psql) = (true, PathBuf::from("psql"));
    let mut args = args;
    while let Some(arg) = args.next() {
        let name = arg.to_string_lossy().into_owned();
        let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--repo" => repo = Some(PathBuf::from(value()?)),
            "--every" => every = Some(parse_count(&name, &value()?)?),
            "--max-commits" => max_commits = Some(parse_count(&name, &value()?)?),
            "--no-restore" => restore = false,
            "--psql" => psql = PathBuf::from(value()?),
            _ => return Err(format!("{name} is no option")),
        }
    }
    let repo = repo.ok_or("--repo PATH is missing")?;
    Ok(Some(Options { repo, every, max_commits, restore, psql }))
}

fn parse_count(name: &str, value: &OsString) -> Result<usize, String> {
    let count = value.to_str().and_then(|value| value.parse().ok()).filter(|&count| count > 0);
    count.ok_or_else(|| format!("{name} takes a number from 1, not {}", value.to_string_lossy()))
}
