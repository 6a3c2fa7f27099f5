//! Chains applied by psql, as their tools do: what is built then is the truth that a replay is measured by.

use std::io::Write;
use std::process::Stdio;

use super::Migration;
use crate::dump::program;
use crate::support::Database;

/// How one migration ended: its SQLSTATE, or none if it ran.
pub type Ending = Option<String>;

/// Applies the migrations, each in a transaction of its own, or statement by statement if it cannot run in a transaction, up to
/// the first that fails.
pub fn apply(db: &Database, chain: &[Migration]) -> Vec<Ending> {
    let mut endings = Vec::new();
    for (_, sql) in chain {
        let ending = match psql(db, sql, &["-1"]) {
            // Not in a transaction; a value of an enum that is used at once.
            Some(code) if ["25001", "55P04"].contains(&&*code) => psql(db, sql, &[]),
            ending => ending,
        };
        let failed = ending.is_some();
        endings.push(ending);
        if failed {
            break;
        }
    }
    endings
}

fn psql(db: &Database, sql: &str, options: &[&str]) -> Ending {
    let mut child = program("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=sqlstate", "-o", "/dev/null", "-d", &db.name])
        .args(options)
        .args(["-f", "-"])
        .env("PGOPTIONS", "-c client_min_messages=error -c lc_messages=C")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // It may end before it has read everything.
    let _ = stdin.write_all(sql.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("psql ends");
    if output.status.success() {
        return None;
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let (_, code) = errors.split_once("ERROR:").unwrap_or_else(|| panic!("{errors}"));
    Some(code.trim_start()[..5].to_owned())
}
