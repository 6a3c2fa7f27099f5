//! RESULTS.md and its charts.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::chart::Bars;
use crate::results::Results;

const OURS: &str = "pg_versioned";
const RATE: &str = "per second";

/// Writes `RESULTS.md` and `charts/*.svg` into `folder` from the raw results and, where there is one, the profile.
pub fn write(raw: &Path, profile: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let results = Results::read(raw)?;
    let mut page = String::new();
    head(&mut page, &results)?;
    bars(&mut page, &results)?;
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
    events(&mut page, &results)?;
    if let Ok(profile) = fs::read_to_string(profile) {
        write!(
            page,
            "## Where the time of a save goes\n\nOne client, 2 KB edited; samples of `perf`.\n\n```text\n{profile}```\n"
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
    for fact in ["postgres", "processor", "kernel", "runs", "date"] {
        if let Some(text) = results.fact(fact) {
            writeln!(page, "- {text}")?;
        }
    }
    if let Some(microseconds) = results.median("machine", "fdatasync", 0, "", "microseconds") {
        writeln!(page, "- fdatasync of 8 KB: {microseconds:.0} µs, part of every save with one client")?;
    }
    writeln!(page)
}

/// What the project set itself to reach.
fn bars(page: &mut String, results: &Results) -> std::fmt::Result {
    let rate =
        |section: &str, workload: &str, clients, peer: &str| results.median(section, workload, clients, peer, RATE);
    let ratio = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a / b);
    let small = |clients, peer| ratio(rate("small", "edited", clients, OURS), rate("small", "edited", clients, peer));
    let trace = |peer, unit| results.median("traces", "rustcode", 1, peer, unit);
    let history = results.workloads("history").first().cloned().unwrap_or_default();
    let of_history = |unit| results.median("history", &history.0, 1, OURS, unit);
    let per_save = |versions| rate("scale", "edited", 1, versions).map(|rate| 1.0 / rate);
    let sizes = results.peers("scale", "edited", 1);
    let (least, most) = (sizes.first().map_or("", String::as_str), sizes.last().map_or("", String::as_str));
    let rows = [
        ("2 KB edited, 8 clients, saves ÷ message-db's", small(8, "message-db"), 1.0, true),
        ("2 KB edited, 8 clients, saves ÷ the floor's", small(8, "floor"), 0.75, true),
        ("2 KB edited, 1 client, saves ÷ the row-lock function's", small(1, "row lock"), 1.2, true),
        ("rustcode, saves ÷ the floor's with pglz", ratio(trace(OURS, RATE), trace("floor, pglz", RATE)), 3.0, true),
        ("rustcode, saves ÷ the floor's with lz4", ratio(trace(OURS, RATE), trace("floor, lz4", RATE)), 1.5, true),
        (
            "rustcode, content ÷ bytes on disk",
            ratio(trace(OURS, "content bytes"), trace(OURS, "bytes on disk")),
            100.0,
            true,
        ),
        ("rustcode, WAL bytes a save", trace(OURS, "WAL bytes"), 1280.0, false),
        (
            "a git history, content ÷ bytes on disk",
            ratio(of_history("content bytes"), of_history("bytes on disk")),
            8.0,
            true,
        ),
        (
            "reading 58 KB, speed ÷ a plain SELECT of a full copy",
            ratio(
                rate("reads", "current, 500 files", 8, "get_project_file"),
                rate("reads", "current, 500 files", 8, "full copy"),
            ),
            0.6,
            true,
        ),
        (
            "generate_ulid() ÷ gen_random_uuid()::text",
            ratio(rate("ids", "ids", 1, "generate_ulid()"), rate("ids", "ids", 1, "gen_random_uuid()::text")),
            5.0,
            true,
        ),
        ("cost of a save, most ÷ fewest versions in the table", ratio(per_save(most), per_save(least)), 1.2, false),
    ];
    writeln!(page, "| aim | wanted | measured | |\n|---|---|---|---|")?;
    for (what, measured, wanted, at_least) in rows {
        let sign = if at_least { "≥" } else { "≤" };
        match measured {
            None => writeln!(page, "| {what} | {sign} {wanted} | | not measured |")?,
            Some(measured) => {
                let reached = if at_least { measured >= wanted } else { measured <= wanted };
                writeln!(
                    page,
                    "| {what} | {sign} {wanted} | {} | {} |",
                    number(measured),
                    if reached { "reached" } else { "**missed**" }
                )?;
            }
        }
    }
    writeln!(page)
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
        ("small.svg", "Saves of 2 KB, spread over 2,000 files", "saves per second", rates("small", "edited"), false),
        ("hot.svg", "Saves of 2 KB to one file", "saves per second", rates("hot", "edited"), false),
        (
            "disk.svg",
            "Editing sessions on disk (logarithmic)",
            "bytes, indexes and TOAST included",
            disk.collect(),
            true,
        ),
        ("scale.svg", "Cost of a save by versions in the table", "microseconds a save", scale.collect(), false),
    ];
    let drawn = charts.into_iter().filter(|(.., groups, _)| !groups.is_empty());
    drawn.map(|(name, title, unit, groups, logarithmic)| (name, Bars { title, unit, groups, logarithmic })).collect()
}

/// Every workload that pgbench ran. Ratios are to the first peer, which is ours.
fn rates(page: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(page, "## Saves, reads, ids\n\nRatio: of the first line of a workload to this one.\n")?;
    writeln!(
        page,
        "| workload | clients | program | per second | ratio | WAL bytes each |\n|---|---|---|---|---|---|"
    )?;
    for section in ["small", "hot", "reads", "ids", "projects"] {
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
        return writeln!(page, "## Editing sessions\n\nThe recorded sessions were not there.\n");
    }
    writeln!(
        page,
        "## Editing sessions\n\nOne connection, one save a second of the session's clock; every version was read back.\n"
    )?;
    writeln!(
        page,
        "| session | program | saves | per second | CPU µs a save | content | on disk | content ÷ disk | WAL bytes a save | full-page images |\n\
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
    writeln!(page, "## Versions in the table\n\n| file versions | µs a save, 1 client |\n|---|---|")?;
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

/// Two decimals where they say something.
fn number(value: f64) -> String {
    if value >= 20.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
