//! The section of RESULTS.md about what versions cost.

use std::fmt::{Result, Write as _};

use crate::results::Results;

const SECTION: &str = "versions";

pub fn write(page: &mut String, results: &Results) -> Result {
    let workloads = results.workloads(SECTION);
    if workloads.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "## Versions of a project\n\n\
         One client; smaller is better. Ratio: the time of this line divided by that of its workload's first one. WAL is that\n\
         of the call alone, without its commit and without images of whole pages.\n\n\
         | workload | | µs | ratio | WAL bytes |\n|---|---|---|---|---|"
    )?;
    for (workload, clients) in &workloads {
        let microseconds = |peer: &str| {
            let of = |unit| results.median(SECTION, workload, *clients, peer, unit);
            of("microseconds").or_else(|| of("per second").map(|rate| 1e6 / rate))
        };
        let peers = results.peers(SECTION, workload, *clients);
        let first = peers.first().and_then(|peer| microseconds(peer));
        for peer in &peers {
            let Some(time) = microseconds(peer) else { continue };
            let ratio = first.map_or(String::new(), |first| format!("{:.2}", time / first));
            let wal = results.median(SECTION, workload, *clients, peer, "WAL bytes of the call");
            let wal = wal.map_or(String::new(), |wal| format!("{wal:.0}"));
            writeln!(page, "| {workload} | {peer} | {time:.0} | {ratio} | {wal} |")?;
        }
    }
    if let Some(bytes) = results.median(SECTION, "WAL per changed file of a version", 1, "pg_versioned", "bytes") {
        writeln!(
            page,
            "\nA version writes {bytes:.0} bytes of WAL for each file that changed since the one before it."
        )?;
    }
    writeln!(page)
}
