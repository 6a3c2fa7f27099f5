//! Recorded editing sessions, as the public editing-traces collection has them
//! (<https://github.com/josephg/editing-traces>).

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    start_content: String,
    end_content: String,
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    /// To the second.
    time: String,
    /// Position and length in code points, and the text that takes their place.
    patches: Vec<(usize, usize, String)>,
}

/// What an editor that saves once a second would send: the text whenever the clock has moved on, where it differs
/// from the save before.
pub fn saves(file: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut json = String::new();
    GzDecoder::new(BufReader::new(File::open(file)?)).read_to_string(&mut json)?;
    replay(serde_json::from_str(&json)?)
}

fn replay(session: Session) -> Result<Vec<String>, Box<dyn Error>> {
    let mut text: Vec<char> = session.start_content.chars().collect();
    let mut saves: Vec<String> = Vec::new();
    let save = |text: &[char], saves: &mut Vec<String>| {
        let text: String = text.iter().collect();
        if saves.last() != Some(&text) {
            saves.push(text);
        }
    };
    for (i, transaction) in session.txns.iter().enumerate() {
        for (at, removed, inserted) in &transaction.patches {
            if at + removed > text.len() {
                return Err(format!("a patch reaches past the text: {at} + {removed} of {}", text.len()).into());
            }
            text.splice(*at..at + removed, inserted.chars());
        }
        let goes_on = session.txns.get(i + 1).is_some_and(|next| next.time == transaction.time);
        if !goes_on {
            save(&text, &mut saves);
        }
    }
    if text.iter().collect::<String>() == session.end_content {
        Ok(saves)
    } else {
        Err("the session does not end in its own end".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(end: &str) -> Session {
        let txn = |time: &str, at, removed, text: &str| Transaction {
            time: time.to_owned(),
            patches: vec![(at, removed, text.to_owned())],
        };
        Session {
            start_content: "é".to_owned(),
            end_content: end.to_owned(),
            txns: vec![
                txn("1", 1, 0, "a"),
                txn("1", 0, 1, ""),
                txn("2", 1, 0, "b"),
                txn("3", 2, 0, "c"),
                txn("4", 2, 1, "c"),
            ],
        }
    }

    #[test]
    fn saves_once_a_second_and_only_changes() {
        assert_eq!(replay(session("abc")).unwrap(), ["a", "ab", "abc"]);
        assert!(replay(session("ab")).is_err());
    }
}
