//! The parts of the benchmark that pgbench and a shell cannot do: replaying editing sessions, and the report.

mod chart;
mod protected;
mod report;
mod results;
mod session;
mod trace;
mod versions;
mod wal;

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: measure trace --file SESSION.json.gz --peer NAME --bindir DIR [--saves N]
       measure report --raw FILE --profile FILE --out DIR

`trace` saves an editing session once per second of its clock through one connection (PGHOST, PGPORT, PGUSER, PGDATABASE),
reads every version back, and prints what it measured, tab-separated. Peers: pg_versioned; floor, pglz; floor, lz4.
`report` writes RESULTS.md and charts/ from all that was measured.";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measure: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let value = |name: &str| -> Result<&String, String> {
        let at = args.iter().position(|arg| arg == name).ok_or_else(|| format!("{name} is missing\n{USAGE}"))?;
        args.get(at + 1).ok_or_else(|| format!("{name} needs a value"))
    };
    let folder = |name| value(name).map(PathBuf::from);
    match args.first().map(String::as_str) {
        Some("trace") => {
            let most = value("--saves").map_or(Ok(0), |saves| saves.parse::<usize>())?;
            trace::run(&folder("--file")?, value("--peer")?, &folder("--bindir")?, most)
        }
        Some("report") => report::write(&folder("--raw")?, &folder("--profile")?, &folder("--out")?),
        _ => Err(USAGE.into()),
    }
}
