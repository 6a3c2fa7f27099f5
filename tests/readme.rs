//! Runs the README's SQL in one psql session and compares the output with what the README shows.
//!
//! Every block marked `sql` is run, in order; a block marked `text` right after one is its output. Connects as
//! the libpq environment says, as a superuser. `README_BLESS=1 cargo test --test readme` writes the outputs.

use std::env;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const DATABASE: &str = "versioned_readme";

/// The README cut at its code fences: text outside and inside blocks, in turn.
struct Block<'a> {
    language: &'a str,
    body: &'a str,
}

enum Part<'a> {
    Prose(&'a str),
    Code(Block<'a>),
}

fn parts(readme: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = readme;
    while let Some(open) = rest.find("```") {
        let (prose, fence) = rest.split_at(open);
        let (language, body) = fence[3..].split_once('\n').expect("a fence ends its line");
        let close = body.find("```").expect("every block is closed");
        parts.push(Part::Prose(prose));
        parts.push(Part::Code(Block { language, body: &body[..close] }));
        rest = body[close + 3..].trim_start_matches(' ');
    }
    parts.push(Part::Prose(rest));
    parts
}

fn psql(database: &str) -> Command {
    let mut command = Command::new(match env::var("VERSIONED_BINDIR") {
        Ok(bindir) => format!("{bindir}/psql"),
        Err(_) => "psql".into(),
    });
    command.args(["-X", "-q", "-d", database]);
    command
}

fn admin(sql: &str) {
    let done = psql("postgres").args(["-v", "ON_ERROR_STOP=1", "-c", sql]).status().expect("psql runs");
    assert!(done.success(), "{sql}");
}

/// Outputs of the `sql` blocks, errors included, in the order a user sees them.
fn run(blocks: &[&str]) -> Vec<String> {
    admin(&format!("DROP DATABASE IF EXISTS {DATABASE}"));
    admin(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'"));
    let mut script = String::from("SET client_min_messages = warning; SET timezone = 'UTC';\n");
    script.push_str("CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned;\n");
    for (n, block) in blocks.iter().enumerate() {
        // A query and not \echo: psql flushes its output after each, so that errors stay in place.
        script.push_str(&format!("SELECT 'block {n}' AS \"next block\";\n{block}"));
    }
    // One pipe for both streams, as a terminal would show them.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = psql(DATABASE)
        .stdin(Stdio::piped())
        .stdout(writer.try_clone().expect("a pipe"))
        .stderr(writer)
        .spawn()
        .expect("psql runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let feeder = std::thread::spawn(move || stdin.write_all(script.as_bytes()).expect("psql reads its input"));
    let output = std::io::read_to_string(reader).expect("psql writes UTF-8");
    feeder.join().expect("psql read its input");
    assert!(child.wait().expect("psql ends").success(), "{output}");
    admin(&format!("DROP DATABASE {DATABASE}"));

    let mut outputs = Vec::new();
    for part in output.split(" next block \n").skip(1) {
        let (_, answer) = part.split_once("(1 row)\n\n").expect("the marker is one row");
        outputs.push(format!("{}\n", answer.trim_end()));
    }
    assert_eq!(outputs.len(), blocks.len(), "{output}");
    outputs
}

/// Text without what differs from run to run: ids that the server makes, and times.
fn comparable(text: &str) -> String {
    let mut result = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || "-:+.".contains(c) {
            word.push(c);
            continue;
        }
        let uuid = word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
        let ulid = word.len() == 26 && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        let time = word.starts_with("20") && word.contains('T') && word.contains(':');
        match (uuid && !word.starts_with("5e1f"), ulid && !word.starts_with("01ARZ3"), time) {
            (true, ..) => result.push_str("<uuid>"),
            (_, true, _) => result.push_str("<ulid>"),
            (.., true) => result.push_str("<time>"),
            _ => result.push_str(&word),
        }
        word.clear();
        result.push(c);
    }
    result
}

#[test]
fn the_readme_shows_what_the_functions_answer() {
    let readme = fs::read_to_string(README).expect("the README is there");
    let parts = parts(&readme);
    let scripts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Code(block) if block.language == "sql" => Some(block.body),
            _ => None,
        })
        .collect();
    let mut outputs = run(&scripts).into_iter();

    let bless = env::var_os("README_BLESS").is_some();
    let mut blessed = String::new();
    let mut output: Option<String> = None;
    for part in &parts {
        match part {
            Part::Prose(text) => {
                if !text.trim().is_empty() {
                    output = None;
                }
                blessed.push_str(text);
            }
            Part::Code(Block { language, body }) => {
                let shown: Option<String> = if *language == "text" { output.take() } else { None };
                if let (Some(actual), false) = (&shown, bless) {
                    assert_eq!(comparable(body), comparable(actual), "the README's answer to one of its blocks");
                }
                if *language == "sql" {
                    output = outputs.next();
                }
                blessed.push_str(&format!("```{language}\n{}```", shown.as_deref().unwrap_or(body)));
            }
        }
    }
    if bless {
        fs::write(README, blessed).expect("the README can be written");
    }
}
