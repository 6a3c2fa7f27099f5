//! The section of RESULTS.md about inserting into protected tables.

use std::fmt::{Result, Write as _};

use crate::results::Results;

const SECTION: &str = "protected";
const PLAIN: &str = "unique constraint";

/// The time of an INSERT with this peer, divided by that of another one.
pub fn cost(results: &Results, workload: &str, clients: u32, peer: &str, other: &str) -> Option<f64> {
    let rate = |peer| results.median(SECTION, workload, clients, peer, "per second");
    Some(rate(other)? / rate(peer)?)
}

pub fn write(page: &mut String, results: &Results) -> Result {
    let workloads = results.workloads(SECTION);
    if workloads.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "## Inserting into protected tables\n\n\
         One row of 100 bytes of text per transaction, or one statement with many rows; all tables have the same columns, a\n\
         primary key, and a unique constraint on parent and version. In *unique constraint* the clients send numbers that\n\
         nobody else sends; *numbering*, *flag* and *link* are what `enable_versioning` was told to keep; the *max + 1\n\
         trigger with a lock* is the same as *numbering* in PL/pgSQL; the *row-lock function* keeps a flag, and fails as soon\n\
         as two clients have the same parent. Cost: the time of a row divided by that with the unique constraint alone. With\n\
         one hot parent that one waits for nobody, while numbers without gaps can only be given one after the other.\n\n\
         | workload | clients | table | rows per second | cost | WAL bytes per transaction |\n|---|---|---|---|---|---|"
    )?;
    for (workload, clients) in &workloads {
        for peer in results.peers(SECTION, workload, *clients) {
            let of = |unit| results.median(SECTION, workload, *clients, &peer, unit);
            let Some(rate) = of("per second") else { continue };
            let shown = |value: Option<f64>, digits| value.map_or(String::new(), |value| format!("{value:.digits$}"));
            let cost = shown(cost(results, workload, *clients, &peer, PLAIN), 2);
            let wal = shown(of("WAL bytes"), 0);
            writeln!(page, "| {workload} | {clients} | {peer} | {rate:.0} | {cost} | {wal} |")?;
        }
    }
    writeln!(page)
}
