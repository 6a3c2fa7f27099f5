//! WAL bytes, records and full-page images apart.

use std::error::Error;
use std::path::Path;
use std::process::Command;

/// Bytes of WAL between two positions.
#[derive(Debug, PartialEq, Eq)]
pub struct Wal {
    pub records: u64,
    pub full_page_images: u64,
}

/// Asks `pg_waldump`; the WAL between the positions must still be there.
pub fn between(bindir: &Path, data_directory: &str, from: &str, to: &str) -> Result<Wal, Box<dyn Error>> {
    let output = Command::new(bindir.join("pg_waldump"))
        .args(["--stats", "--path", &format!("{data_directory}/pg_wal"), "--start", from, "--end", to])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| format!("pg_waldump: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Its last line: `Total  N  record-bytes [share]  image-bytes [share]  bytes [share]`.
fn parse(stats: &str) -> Option<Wal> {
    let line = stats.lines().rev().find(|line| line.starts_with("Total"))?;
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    let (_, records, full_page_images) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let _: u64 = records;
    Some(Wal { records, full_page_images })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_total() {
        let stats = "Type  N  (%)  Record size\nHeap  1 ( 50.00)  59\n                      --------\nTotal                        2                      117 [1.41%]                 8192 [98.59%]               8309 [100%]\n";
        assert_eq!(parse(stats), Some(Wal { records: 117, full_page_images: 8192 }));
        assert_eq!(parse("pg_waldump: error"), None);
    }
}
