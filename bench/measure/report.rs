//! RESULTS.md and its charts.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::chart::Bars;
use crate::protected;
use crate::results::Results;
use crate::versions;

const OURS: &str = "pg_versioned";
const RATE: &str = "per second";

/// Writes `RESULTS.md` and `charts/*.svg` into `folder` from the raw results and, where there is one, the profile.
pub fn write(raw: &Path, profile: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let results = Results::read(raw)?;
    let mut page = String::new();
    head(&mut page, &results)?;
    aims(&mut page, &results)?;
    fs::create_dir_all(folder.join("charts"))?;
    for chart in charts(&results) {
        let (name, bars) = chart;
        bars.draw(&folder.join("charts").join(name))?;
        writeln!(page, "![{}](charts/{name})\n", bars.title)?;
    }
    rates(&mut page, &results)?;
    traces(&mut page, &results)?;
    history(&mut page, &results)?;
    scale(&mut page, &results)?;
    versions::write(&mut page, &results)?;
    protected::write(&mut page, &results)?;
    events(&mut page, &results)?;
    if let Ok(profile) = fs::read_to_string(profile) {
        write!(
            page,
            "## Where the time of saves goes\n\nOne client, 2 KB edited; samples taken by `perf`.\n\n```text\n{profile}```\n"
        )?;
    }
    fs::write(folder.join("RESULTS.md"), page.trim_end().to_owned() + "\n")?;
    Ok(())
}

fn head(page: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        page,
        "# Benchmark results\n\n\
         Written by `make bench`. Medians; fsync on, default durability, one throwaway server for all. Shared machines are\n\
         noisy: compare the ratios of one run, not figures of two. Larger is better unless a line says otherwise.\n"
    )?;
    for name in ["postgres", "processor", "kernel", "runs", "sections", "left out", "date"] {
        for fact in results.facts(name) {
            writeln!(page, "- {fact}")?;
        }
    }
    if let Some(microseconds) = results.median("machine", "fdatasync", 0, "", "microseconds") {
        writeln!(page, "- fdatasync of 8 KB: {microseconds:.0} µs, which every save of a single client includes")?;
    }
    writeln!(page)
}

/// What the project set itself to reach, as far as it was measured.
fn aims(page: &mut String, results: &Results) -> std::fmt::Result {
    let measured: Vec<_> =
        all_aims(results).into_iter().filter_map(|(what, value, goal)| Some((what, value?, goal))).collect();
    if measured.is_empty() {
        return Ok(());
    }
    writeln!(page, "| aim | wanted | measured | |\n|---|---|---|---|")?;
    for (what, value, goal) in measured {
        // Rounded against us, so that what is shown agrees with the verdict.
        let scale = if value >= 20.0 { 1.0 } else { 100.0 };
        let (wanted, shown, reached) = match goal {
            Goal::AtLeast(least) => (format!("≥ {least}"), (value * scale).floor() / scale, value >= least),
            Goal::AtMost(most) => (format!("≤ {most}"), (value * scale).ceil() / scale, value <= most),
        };
        let verdict = if reached { "reached" } else { "**missed**" };
        writeln!(page, "| {what} | {wanted} | {shown} | {verdict} |")?;
    }
    writeln!(page)
}

enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

fn all_aims(results: &Results) -> Vec<(&'static str, Option<f64>, Goal)> {
    use Goal::{AtLeast, AtMost};

    let rate = |section, workload, clients, peer| results.median(section, workload, clients, peer, RATE);
    let saves = |section, workload, clients, peer| {
        ratio(rate(section, workload, clients, OURS), rate(section, workload, clients, peer))
    };
    let rustcode = |peer, unit| results.median("traces", "rustcode", 1, peer, unit);
    let read =
        |of| ratio(rate("reads", "current, 500 files", 8, of), rate("reads", "current, 500 files", 8, "full copy"));
    let history = results.workloads("history").first().cloned().unwrap_or_default();
    let of_history = |unit| results.median("history", &history.0, 1, OURS, unit);
    // Sizes run from the fewest versions to the most.
    let sizes = results.peers("scale", "edited", 1);
    let scale = match &sizes[..] {
        [least, .., most] => ratio(rate("scale", "edited", 1, least), rate("scale", "edited", 1, most)),
        _ => None,
    };
    let numbering = |workload, clients, other| protected::cost(results, workload, clients, "numbering", other);
    let (own, hot, plain) = ("each client its own parent", "one hot parent", "unique constraint");
    let by_hand = |workload, clients| numbering(workload, clients, "max + 1 trigger with a lock");
    vec![
        ("2 KB edited, 8 clients: saves ÷ message-db's", saves("small", "edited", 8, "message-db"), AtLeast(1.1)),
        (
            "2 KB new content, 8 clients: saves ÷ message-db's",
            saves("small", "new content", 8, "message-db"),
            AtLeast(1.1),
        ),
        ("2 KB edited, 8 clients: saves ÷ the floor's", saves("small", "edited", 8, "floor"), AtLeast(0.8)),
        ("2 KB new content, 8 clients: saves ÷ the floor's", saves("small", "new content", 8, "floor"), AtLeast(0.8)),
        ("2 KB edited, 32 clients: saves ÷ the floor's", saves("small", "edited", 32, "floor"), AtLeast(0.8)),
        ("2 KB edited, 1 client: saves ÷ the row lock's", saves("small", "edited", 1, "row lock"), AtLeast(1.2)),
        ("one hot file, 8 clients: saves ÷ the floor's", saves("hot", "edited", 8, "floor"), AtLeast(0.8)),
        ("one hot file, 8 clients: saves ÷ message-db's", saves("hot", "edited", 8, "message-db"), AtLeast(1.0)),
        (
            "rustcode: saves ÷ the floor's with lz4",
            ratio(rustcode(OURS, RATE), rustcode("floor, lz4", RATE)),
            AtLeast(1.5),
        ),
        (
            "rustcode: saves ÷ the floor's with pglz",
            ratio(rustcode(OURS, RATE), rustcode("floor, pglz", RATE)),
            AtLeast(3.0),
        ),
        (
            "rustcode: content ÷ bytes on disk",
            ratio(rustcode(OURS, "content bytes"), rustcode(OURS, "bytes on disk")),
            AtLeast(100.0),
        ),
        (
            "rustcode: bytes on disk per version",
            ratio(rustcode(OURS, "bytes on disk"), rustcode(OURS, "saves")).map(f64::round),
            AtMost(457.0),
        ),
        ("rustcode: WAL bytes per save", rustcode(OURS, "WAL bytes").map(f64::round), AtMost(832.0)),
        (
            "reading 58 KB through get_project_file ÷ a plain SELECT of a full copy",
            read("get_project_file"),
            AtLeast(0.85),
        ),
        (
            "reading 58 KB through the view project_files ÷ a plain SELECT of a full copy",
            read("project_files"),
            AtLeast(0.85),
        ),
        (
            "a git history: content ÷ bytes on disk",
            ratio(of_history("content bytes"), of_history("bytes on disk")),
            AtLeast(8.0),
        ),
        (
            "generate_ulid() ÷ gen_random_uuid()::text",
            ratio(rate("ids", "ids", 1, "generate_ulid()"), rate("ids", "ids", 1, "gen_random_uuid()::text")),
            AtLeast(5.0),
        ),
        ("time per save, with most ÷ with fewest versions in the table", scale, AtMost(1.2)),
        ("INSERT, 1 client: time with numbering ÷ with a unique constraint", numbering(own, 1, plain), AtMost(1.3)),
        ("INSERT, 8 clients: time with numbering ÷ with a unique constraint", numbering(own, 8, plain), AtMost(1.3)),
        ("INSERT, 32 clients: time with numbering ÷ with a unique constraint", numbering(own, 32, plain), AtMost(1.3)),
        ("INSERT, 1 client: time with numbering ÷ with a max + 1 trigger", by_hand(own, 1), AtMost(1.0)),
        ("INSERT, 32 clients: time with numbering ÷ with a max + 1 trigger", by_hand(own, 32), AtMost(1.0)),
        ("INSERT, one hot parent, 32 clients: the same", by_hand(hot, 32), AtMost(1.0)),
    ]
}

fn ratio(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.zip(b).map(|(a, b)| a / b)
}

fn charts(results: &Results) -> Vec<(&'static str, Bars<'static>)> {
    let rates = |section: &str, workload: &str| {
        let clients = results.workloads(section).into_iter().filter(|(name, _)| name == workload);
        let group = |(_, clients): (String, u32)| {
            let bar = |peer: String| Some((peer.clone(), results.median(section, workload, clients, &peer, RATE)?));
            let label = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
            (label, results.peers(section, workload, clients).into_iter().filter_map(bar).collect())
        };
        clients.map(group).collect::<Vec<(String, Vec<(String, f64)>)>>()
    };
    let disk = results.workloads("traces").into_iter().map(|(session, _)| {
        let bar = |peer: String| Some((peer.clone(), results.median("traces", &session, 1, &peer, "bytes on disk")?));
        (session.clone(), results.peers("traces", &session, 1).into_iter().filter_map(bar).collect())
    });
    let scale = results.peers("scale", "edited", 1).into_iter().filter_map(|versions| {
        let rate = results.median("scale", "edited", 1, &versions, RATE)?;
        Some((format!("{versions} versions"), vec![(OURS.to_owned(), 1e6 / rate)]))
    });
    let charts = [
        (
            "small.svg",
            "Saves of 2 KB, edited, spread over 2,000 files",
            "saves per second",
            rates("small", "edited"),
            false,
        ),
        ("hot.svg", "Saves of 2 KB, edited, to one file", "saves per second", rates("hot", "edited"), false),
        (
            "disk.svg",
            "Editing sessions on disk (logarithmic)",
            "bytes, indexes and TOAST included",
            disk.collect(),
            true,
        ),
        ("scale.svg", "Time per save by versions in the table", "microseconds per save", scale.collect(), false),
    ];
    let drawn = charts.into_iter().filter(|(.., groups, _)| !groups.is_empty());
    drawn.map(|(name, title, unit, groups, logarithmic)| (name, Bars { title, unit, groups, logarithmic })).collect()
}

/// Every workload that pgbench ran. Ratios are to the first peer, which is ours.
fn rates(page: &mut String, results: &Results) -> std::fmt::Result {
    const SECTIONS: [&str; 5] = ["small", "hot", "reads", "ids", "projects"];
    if SECTIONS.iter().all(|section| results.workloads(section).is_empty()) {
        return Ok(());
    }
    writeln!(
        page,
        "## Saves, reads, ids\n\n\
         *Edited* changes 32 bytes of a file of 2 KB; *new content* replaces all of it by 36 other lines of code. The *floor*\n\
         writes a head and a full copy in one bare statement; the *row lock* is a PL/pgSQL function that locks the file's row;\n\
         the *limit* is an empty save: two advisory locks, one head updated, one row of 320 bytes inserted with three indexes,\n\
         in one bare statement that checks, hashes and encodes nothing. Ratio: the rate of a workload's first line divided by\n\
         the rate of this one.\n\n\
         | workload | clients | program | per second | ratio | WAL bytes per transaction |\n|---|---|---|---|---|---|"
    )?;
    for section in SECTIONS {
        for (workload, clients) in results.workloads(section) {
            let peers = results.peers(section, &workload, clients);
            let first = peers.first().and_then(|peer| results.median(section, &workload, clients, peer, RATE));
            for peer in &peers {
                let Some(rate) = results.median(section, &workload, clients, peer, RATE) else { continue };
                let ratio = first.map_or(String::new(), |first| format!("{:.2}", first / rate));
                let wal = results.median(section, &workload, clients, peer, "WAL bytes").filter(|_| section != "reads");
                writeln!(
                    page,
                    "| {section}: {workload} | {clients} | {peer} | {rate:.0} | {ratio} | {} |",
                    wal.map_or(String::new(), |wal| format!("{wal:.0}"))
                )?;
            }
        }
    }
    writeln!(page)
}

fn traces(page: &mut String, results: &Results) -> std::fmt::Result {
    let sessions = results.workloads("traces");
    if sessions.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "## Editing sessions\n\nOne connection, one save per second of the session's clock; every version was read back.\n"
    )?;
    writeln!(
        page,
        "| session | program | saves | per second | CPU µs per save | content | on disk | content ÷ disk | WAL bytes per save | full-page image bytes per save |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    )?;
    for (session, _) in sessions {
        for peer in results.peers("traces", &session, 1) {
            let of = |unit| results.median("traces", &session, 1, &peer, unit).unwrap_or(f64::NAN);
            writeln!(
                page,
                "| {session} | {peer} | {:.0} | {:.0} | {:.0} | {:.1} MB | {:.1} MB | {:.1} | {:.0} | {:.0} |",
                of("saves"),
                of(RATE),
                of("CPU microseconds"),
                of("content bytes") / 1e6,
                of("bytes on disk") / 1e6,
                of("content bytes") / of("bytes on disk"),
                of("WAL bytes"),
                of("WAL bytes of full-page images"),
            )?;
        }
    }
    writeln!(page)
}

fn history(page: &mut String, results: &Results) -> std::fmt::Result {
    for (repository, _) in results.workloads("history") {
        let of = |unit| results.median("history", &repository, 1, OURS, unit).unwrap_or(f64::NAN);
        writeln!(
            page,
            "## A git history\n\n{repository}: {:.0} file versions of {:.1} MB are {:.1} MB of stored content, {:.1} MB on disk with\n\
             rows and indexes: {:.1} times less.\n",
            of("versions"),
            of("content bytes") / 1e6,
            of("stored bytes") / 1e6,
            of("bytes on disk") / 1e6,
            of("content bytes") / of("bytes on disk"),
        )?;
    }
    Ok(())
}

fn scale(page: &mut String, results: &Results) -> std::fmt::Result {
    let sizes = results.peers("scale", "edited", 1);
    if sizes.is_empty() {
        return Ok(());
    }
    writeln!(page, "## Versions in the table\n\n| file versions | µs per save, 1 client |\n|---|---|")?;
    for size in sizes {
        let rate = results.median("scale", "edited", 1, &size, RATE).unwrap_or(f64::NAN);
        writeln!(page, "| {size} | {:.0} |", 1e6 / rate)?;
    }
    writeln!(page)
}

fn events(page: &mut String, results: &Results) -> std::fmt::Result {
    let modes = results.peers("events", "edited", 8);
    if modes.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "## What announcing saves costs\n\n2 KB edited, 8 clients.\n\n| `pg_versioned.notify` | saves per second |\n|---|---|"
    )?;
    for mode in modes {
        writeln!(page, "| {mode} | {:.0} |", results.median("events", "edited", 8, &mode, RATE).unwrap_or(f64::NAN))?;
    }
    writeln!(page)
}
