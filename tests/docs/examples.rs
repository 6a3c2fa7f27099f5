//! Runs the SQL of a page in one psql session and compares the outputs with those on the page.
//!
//! Every block marked `sql` is run, in order, in a database of the page's own; a block marked `text` right after one is
//! its output.

use std::env;
use std::io::{Write, pipe, read_to_string};
use std::process::{Command, Stdio};
use std::thread;

use crate::markdown::{Page, Part, parts};

/// Makes the roles that PostgREST and Supabase know, which some examples use, where the cluster has none yet.
pub fn make_roles() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/roles.sql");
    let made = psql("postgres").args(["-v", "ON_ERROR_STOP=1", "-f", script]).status().expect("psql runs");
    assert!(made.success(), "{script}");
}

/// Which outputs differ from those shown, and the page with the actual ones.
pub fn check(page: &Page) -> (Vec<String>, String) {
    let parts = parts(&page.text);
    let scripts: Vec<&str> = parts.iter().filter_map(script).collect();
    let outputs = if scripts.is_empty() { Vec::new() } else { run(&database(&page.path), &scripts) };
    compare(&page.path, &parts, outputs)
}

fn script<'a>(part: &Part<'a>) -> Option<&'a str> {
    match part {
        Part::Code { language: "sql", body } => Some(body),
        _ => None,
    }
}

fn compare(path: &str, parts: &[Part], outputs: Vec<String>) -> (Vec<String>, String) {
    let (mut faults, mut accepted) = (Vec::new(), String::new());
    let mut outputs = outputs.into_iter();
    // The last block that was run and its output, as long as no text has followed.
    let mut last: Option<(&str, String)> = None;
    for part in parts {
        match part {
            Part::Prose(text) => {
                if !text.trim().is_empty() {
                    last = None;
                }
                accepted.push_str(text);
            }
            Part::Code { language, body } => {
                let mut body = *body;
                let shown = if *language == "text" { last.take() } else { None };
                if let Some((sql, actual)) = &shown
                    && comparable(body) != comparable(actual)
                {
                    faults.push(format!("{path}: after\n{sql}the page shows\n{body}but the answer is\n{actual}"));
                    body = actual;
                }
                accepted.push_str(&format!("```{language}\n{body}```\n"));
                last = script(part).map(|sql| (sql, outputs.next().expect("an output for each block")));
            }
        }
    }
    (faults, accepted)
}

fn database(path: &str) -> String {
    let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("versioned_{}", name.to_ascii_lowercase())
}

fn psql(database: &str) -> Command {
    let mut command = Command::new(match env::var("VERSIONED_BINDIR") {
        Ok(bindir) => format!("{bindir}/psql"),
        Err(_) => "psql".into(),
    });
    command.args(["-X", "-q", "-d", database]);
    command
}

/// Runs statements that cannot be in a transaction.
fn admin(statements: &[&str]) {
    let mut psql = psql("postgres");
    psql.args(["-v", "ON_ERROR_STOP=1", "-c", "SET client_min_messages = warning"]);
    let commands = statements.iter().flat_map(|sql| ["-c", sql]);
    assert!(psql.args(commands).status().expect("psql runs").success(), "{statements:?}");
}

/// Outputs of the scripts, errors included, in the order in which a user sees them.
fn run(database: &str, scripts: &[&str]) -> Vec<String> {
    let drop = format!("DROP DATABASE IF EXISTS {database}");
    admin(&[&drop, &format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8'")]);
    let mut input = String::from("SET client_min_messages = warning; SET timezone = 'UTC';\n");
    input.push_str("CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned;\n");
    for (n, script) in scripts.iter().enumerate() {
        // A query and not \echo: psql flushes its output after each, so that errors stay in place.
        input.push_str(&format!("\\pset format aligned\nSELECT 'block {n}' AS \"next block\";\n{script}"));
    }
    let output = session(database, input);
    admin(&[&drop]);

    let mut outputs = Vec::new();
    for part in output.split(" next block \n").skip(1) {
        let (_, answer) = part.split_once("(1 row)\n\n").expect("the marker is one row");
        let answer = answer.trim_end();
        outputs.push(if answer.is_empty() { String::new() } else { format!("{answer}\n") });
    }
    assert_eq!(outputs.len(), scripts.len(), "{output}");
    outputs
}

/// What a psql session prints, output and errors as a terminal would show them: both go through one pipe.
fn session(database: &str, input: String) -> String {
    let (reader, writer) = pipe().expect("a pipe");
    let mut child = psql(database)
        .stdin(Stdio::piped())
        .stdout(writer.try_clone().expect("a pipe"))
        .stderr(writer)
        .spawn()
        .expect("psql runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let feeder = thread::spawn(move || stdin.write_all(input.as_bytes()).expect("psql reads its input"));
    let output = read_to_string(reader).expect("psql writes UTF-8");
    feeder.join().expect("psql read its input");
    assert!(child.wait().expect("psql ends").success(), "{output}");
    output
}

/// Text without what differs from run to run: ids that the server makes, times and process ids.
fn comparable(text: &str) -> String {
    let mut result = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || "-:+.".contains(c) {
            word.push(c);
            continue;
        }
        result.push_str(masked(&word, &result));
        word.clear();
        result.push(c);
    }
    result
}

fn masked<'w>(word: &'w str, before: &str) -> &'w str {
    let id = word.rsplit(':').next().unwrap_or(word);
    let is_uuid = id.len() == 36 && id.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && !id.starts_with("5e1f");
    let is_ulid = word.len() == 26
        && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && !word.starts_with("01ARZ3");
    let is_time = word.starts_with("20") && word.contains('T') && word.contains(':');
    match () {
        _ if is_uuid => "<uuid>",
        _ if is_ulid => "<ulid>",
        _ if is_time => "<time>",
        _ if before.ends_with(" PID ") => "<pid>.",
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "Text.\n\n```sql\nSELECT 1;\n```\n```text\none\n```\n\n```sql\nSELECT 2;\n```\n\nMore.\n\n```text\nno output\n```\n";

    fn compared(outputs: [&str; 2]) -> (Vec<String>, String) {
        compare("p.md", &parts(PAGE), outputs.map(str::to_owned).to_vec())
    }

    #[test]
    fn equal_outputs_pass() {
        assert_eq!(compared(["one\n", "two\n"]), (vec![], PAGE.to_owned()));
    }

    #[test]
    fn another_output_is_a_fault_and_can_be_accepted() {
        let (faults, accepted) = compared(["uno\n", "two\n"]);
        assert_eq!(faults, ["p.md: after\nSELECT 1;\nthe page shows\none\nbut the answer is\nuno\n"]);
        assert_eq!(accepted, PAGE.replace("one", "uno"));
    }

    #[test]
    fn outputs_with_other_ids_stay_as_they_are() {
        let page = PAGE.replace("one", "01M7YYH6GK6RGQ3RPXR1SKYGT6");
        let outputs = vec!["01M7YYH6GZX2XZHHJ5PB0X1ZNV\n".to_owned(), String::new()];
        assert_eq!(compare("p.md", &parts(&page), outputs), (vec![], page.clone()));
    }

    #[test]
    fn what_differs_from_run_to_run_is_not_compared() {
        for (one, other) in [
            ("01a1fde8-9a0a-7e50-b7aa-729107cee849 x", "01a1fde8-9a14-77b8-9a08-79288a824f72 x"),
            ("build 01M7YYH6GK6RGQ3RPXR1SKYGT6 has", "build 01M7YYH6GZX2XZHHJ5PB0X1ZNV has"),
            ("\"at\":\"2026-11-21T11:40:41.88+00:00\"", "\"at\":\"2027-01-02T03:04:05+00:00\""),
            ("\"realtime:project:01a1fde8-9a0a-7e50-b7aa-729107cee849\"", "\"01a1fde8-9a14-77b8-9a08-79288a824f72\""),
            ("process with PID 12.", "process with PID 3456."),
        ] {
            assert_eq!(comparable(one), comparable(other));
        }
        for (one, other) in [
            ("5e1f0000-0000-4000-8000-000000000001", "5e1f0000-0000-4000-8000-000000000002"),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW"),
            ("version 1", "version 2"),
            ("2016-07-30 23:54:10.259", "2016-07-30 23:54:10.258"),
        ] {
            assert_ne!(comparable(one), comparable(other));
        }
    }
}
