//! The summary at the end: what was done, whether it is right, and what to try next.

use postgres::Client;
use uuid::Uuid;

use crate::builds::Builds;
use crate::database::Extension;
use crate::failure::{Doing, Failure};
use crate::import::{self, Skipped, Tally};
use crate::progress::clock;
use crate::proof::Proof;
use crate::race::{self, Outcome};
use crate::round_trip::RoundTrip;
use crate::versions::Versions;

/// So many versions of the project and of the example file are shown.
const SHOWN_VERSIONS: i32 = 8;

/// All that the demo did.
pub struct Summary<'a> {
    /// The repository's name.
    pub name: &'a str,
    /// The extension.
    pub extension: &'a Extension,
    /// The project that the history went into.
    pub project: Uuid,
    /// The import.
    pub tally: &'a Tally,
    /// The builds.
    pub builds: &'a Builds,
    /// The comparison with git.
    pub proof: &'a Proof,
    /// The list of versions, diffs and a restore.
    pub versions: &'a Versions,
    /// The export.
    pub round_trip: &'a RoundTrip,
    /// The race with the usual row lock.
    pub row_lock: &'a Outcome,
    /// The race with the extension.
    pub extension_race: &'a Outcome,
    /// Everything that turned out wrong.
    pub faults: usize,
}

/// The file with the most versions, and the newest of them.
pub struct Example {
    path: String,
    versions: i32,
    rows: Vec<(i32, i32, bool, String, String)>,
}

/// Reads the history of the file with the most versions; `None` in a project without files.
pub fn example(client: &mut Client, project: Uuid) -> Result<Option<Example>, Failure> {
    let busiest = client
        .query_opt(
            "SELECT file_path, version FROM project_file_heads
              WHERE project_id = $1 ORDER BY is_deleted, version DESC, file_path LIMIT 1",
            &[&project],
        )
        .doing("looking for the file with the most versions")?;
    let Some(busiest) = busiest else {
        return Ok(None);
    };
    let (path, versions): (String, i32) = (busiest.get(0), busiest.get(1));
    let rows = client
        .query(
            "SELECT version, size_bytes, is_deleted, coalesce(left(content_hash, 16), ''),
                    to_char(created_at, 'HH24:MI:SS.MS')
               FROM get_project_file_history($1, $2, $3)",
            &[&project, &path, &SHOWN_VERSIONS],
        )
        .doing(format!("reading the history of {path}"))?;
    let rows = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect();
    Ok(Some(Example { path, versions, rows }))
}

/// The report as text.
pub fn render(summary: &Summary, example: Option<&Example>) -> String {
    let mut out = Text::default();
    out.line(&format!(
        "\n{} in pg_versioned {}, PostgreSQL {}",
        summary.name, summary.extension.version, summary.extension.server,
    ));
    replayed(&mut out, summary);
    proved(&mut out, summary.proof);
    versions(&mut out, summary.versions);
    exported(&mut out, summary.round_trip);
    raced(&mut out, summary.row_lock, summary.extension_race);
    if let Some(example) = example {
        history(&mut out, example);
    }
    out.line(&match summary.faults {
        0 => "\nRESULT: all of it is right".to_owned(),
        faults => format!("\nRESULT: {faults} WRONG, named above"),
    });
    next_steps(&mut out, summary, example);
    out.0
}

fn replayed(out: &mut Text, summary: &Summary) {
    let Summary { tally, builds, .. } = summary;
    out.heading("Replayed");
    out.row("project", &summary.project.to_string());
    out.row("commits", &grouped(tally.commits as u64));
    out.row("saves", &format!("{} ({})", grouped(tally.saves), megabytes(tally.bytes)));
    if tally.unchanged > 0 {
        out.row("no change", &format!("{} (of the mode alone)", grouped(tally.unchanged)));
    }
    out.row("deletions", &grouped(tally.deletions));
    let (live, ever) = (grouped(tally.live_files as u64), grouped(tally.files as u64));
    out.row("files", &format!("{live} now, {ever} ever"));
    out.row("file versions", &grouped(tally.saves + tally.deletions));
    out.row("project versions", &project_versions(builds));
    if let Some(failed) = &builds.failed {
        let left = if failed.faults.is_empty() { "left no version behind" } else { "WRONG" };
        out.row("failed build", &format!("{} {left}", failed.id));
    }
    for (reason, skipped) in &tally.skipped {
        out.row("skipped", &format!("{reason}: {}", skipped_files(skipped)));
    }
    out.row("time", &format!("{}, {} saves/s, one connection", clock(tally.took), import::rate(tally) as u64));
}

fn project_versions(builds: &Builds) -> String {
    let count = grouped(builds.published.len() as u64);
    match (builds.published.first(), builds.published.last()) {
        (Some(first), Some(last)) if builds.published.len() > 1 => {
            format!("{count} ({} = {} … {} = {})", first.number, first.name, last.number, last.name)
        }
        (Some(only), _) => format!("{count} ({} = {})", only.number, only.name),
        _ => count,
    }
}

fn skipped_files(skipped: &Skipped) -> String {
    let example = skipped.paths.iter().min().map_or("", String::as_str);
    let changes = match skipped.changes {
        1 => "1 change".to_owned(),
        many => format!("{} changes", grouped(many)),
    };
    match skipped.paths.len() {
        1 => format!("{changes} of {example:?}"),
        files => format!("{changes} of {} files, like {example:?}", grouped(files as u64)),
    }
}

fn proved(out: &mut Text, proof: &Proof) {
    out.heading("Compared with git, byte for byte");
    out.row("HEAD", &format!("{} files", grouped(proof.head_files as u64)));
    let files = grouped(proof.version_files as u64);
    let snapshots = grouped(proof.versions as u64);
    out.row("versions", &format!("{snapshots} snapshots, {files} files"));
    out.row("content", &format!("{} in {}", megabytes(proof.bytes), clock(proof.took)));
    out.row("rules checked", &format!("{} (numbers without gaps, one current, …)", proof.rules));
    out.row("result", &verdict(proof.faults));
}

fn verdict(faults: usize) -> String {
    match faults {
        0 => "equal".to_owned(),
        faults => format!("{faults} WRONG, named above"),
    }
}

fn versions(out: &mut Text, versions: &Versions) {
    out.heading("The newest versions, as they are listed");
    out.line("  version     name                    files     + lines     - lines");
    for version in versions.list.iter().take(SHOWN_VERSIONS as usize) {
        let name: String = version.name.chars().take(20).collect();
        let [files, added, removed] =
            [i64::from(version.files), version.added, version.removed].map(|number| grouped(number as u64));
        out.line(&format!("  {:<12}{name:<20}{files:>9}{added:>12}{removed:>12}", version.semver));
    }
    out.heading("Compared with git: lists, diffs, a restore");
    let (list, pages) = (count(versions.list.len(), "version"), count(versions.pages, "page"));
    out.row("list", &format!("{list} in {pages}: numbers, commits, files, lines"));
    if versions.too_long > 0 {
        let without = count(versions.too_long, "version");
        out.row("", &format!("{without} without lines: a file is over pg_versioned.max_compared_lines"));
    }
    for diff in &versions.diffs {
        let (files, [from, to]) = (count(diff.files, "file"), &diff.names);
        out.row(
            "diff",
            &format!("{from} … {to}: {files}, a patch of {} kB for git apply", grouped(diff.bytes.div_ceil(1000))),
        );
    }
    if let Some((number, files)) = &versions.restored {
        out.row("restore", &format!("{number}: {}, first as a dry run; rolled back", count(*files, "file")));
    }
    out.row("result", &verdict(versions.faults));
}

fn exported(out: &mut Text, trip: &RoundTrip) {
    out.heading("Back to git: get_project_fast_export | git fast-import");
    let (commits, tags) = (count(trip.commits, "commit"), count(trip.tags, "tag"));
    out.row("repository", &format!("{commits}, {tags}; compared: the trees of all tags and of main, git fsck"));
    out.row("stream", &format!("{} in {}", megabytes(trip.bytes), clock(trip.took)));
    out.row("result", &verdict(trip.faults));
}

fn raced(out: &mut Text, row_lock: &Outcome, extension: &Outcome) {
    out.heading(&format!("Race: {} connections save one file {} times each", race::WRITERS, race::SAVES));
    out.columns("", "row lock + 1", "pg_versioned");
    out.columns("saved", &row_lock.saved.to_string(), &extension.saved.to_string());
    let failed = |outcome: &Outcome| outcome.errors.values().sum::<u64>().to_string();
    out.columns("failed", &failed(row_lock), &failed(extension));
    let numbers = |outcome: &Outcome| match &outcome.versions {
        versions if versions.count == 0 => "none".to_owned(),
        versions => format!("{}..{}", versions.lowest, versions.highest),
    };
    out.columns("versions", &numbers(row_lock), &numbers(extension));
    let current = |outcome: &Outcome| outcome.versions.current.to_string();
    out.columns("current versions", &current(row_lock), &current(extension));
    let pace = |outcome: &Outcome| format!("{:.2} ms", 1e3 * outcome.took.as_secs_f64() / outcome.saved.max(1) as f64);
    out.columns("time a version", &pace(row_lock), &pace(extension));
    for (name, outcome) in [("row lock", row_lock), ("pg_versioned", extension)] {
        for (message, times) in &outcome.errors {
            out.line(&format!("  {times} × with the {name}: {message}"));
        }
    }
}

fn history(out: &mut Text, example: &Example) {
    out.heading(&format!("History of {} ({} versions)", example.path, example.versions));
    out.line("  version      bytes  content_hash      saved at");
    for (version, bytes, deleted, hash, time) in &example.rows {
        let hash = if *deleted { "deleted" } else { hash };
        out.line(&format!("  {version:>7} {bytes:>10}  {hash:<16}  {time}"));
    }
    if example.versions > SHOWN_VERSIONS {
        out.line("        …");
    }
}

fn next_steps(out: &mut Text, summary: &Summary, example: Option<&Example>) {
    let project = summary.project;
    out.heading("Next");
    out.line("  make psql   opens psql on this database");
    out.line("  make stop   stops it and removes it");
    out.line(
        "\n-- the project's versions, newest first; what the newest changed; what going back to the first would do",
    );
    out.line(&format!(
        "SELECT version_id, semver, version_name, files_changed, lines_added, lines_removed\n  \
         FROM get_project_version_history('{project}');",
    ));
    let versions = &summary.builds.published;
    if let ([first, ..], [.., before, newest]) = (&versions[..], &versions[..]) {
        let [first, before, newest] = [&first.id, &before.id, &newest.id];
        out.line(&format!("SELECT * FROM diff_project_versions('{project}', '{before}', '{newest}');"));
        out.line(&format!("SELECT * FROM restore_project_version('{project}', '{first}', p_dry_run => true);"));
    }
    if let Some(Example { path, .. }) = example {
        let path = path.replace('\'', "''");
        out.line("-- the history of one file");
        out.line(&format!("SELECT * FROM get_project_file_history('{project}', '{path}');"));
        out.line("-- a save that expects an old version is refused: PT409, and who is ahead");
        let save = format!("atomic_upsert_project_file('{project}', '{path}', 'mine', 'text', 0)");
        out.line(&format!("SELECT version FROM {save};"));
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        self.line(&format!("\n{heading}"));
    }

    fn row(&mut self, name: &str, value: &str) {
        self.line(&format!("  {name:<18}{value}"));
    }

    fn columns(&mut self, name: &str, left: &str, right: &str) {
        self.line(format!("  {name:<18}{left:>14}{right:>16}").trim_end());
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
