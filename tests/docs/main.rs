//! The documentation is true: its examples give the outputs that it shows, it describes everything that the extension
//! has and nothing else, and its links lead somewhere.
//!
//! Connects as the libpq environment says, as a superuser. `DOCS_ACCEPT=1 cargo test --test docs` writes the outputs.

mod catalogue;
mod examples;
mod links;
mod markdown;
mod reference;

use std::env;
use std::fs;
use std::path::Path;

use markdown::Page;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MOST_LINES_OF_README: usize = 500;

fn page(path: &str) -> Page {
    let text = fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    Page { path: path.to_owned(), text }
}

/// The pages in docs/, by name.
fn docs() -> Vec<Page> {
    let folder = fs::read_dir(Path::new(ROOT).join("docs")).expect("docs/ is there");
    let names = folder.map(|entry| entry.expect("docs/ can be listed").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    names.sort();
    names.iter().map(|name| page(&format!("docs/{name}"))).collect()
}

/// Fails with all that is wrong, not only with the first of it.
#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n\n{}\n", faults.join("\n\n"));
}

#[test]
fn the_examples_give_the_outputs_shown() {
    let accept = env::var_os("DOCS_ACCEPT").is_some();
    let mut faults = Vec::new();
    examples::make_roles();
    for page in [page("README.md")].into_iter().chain(docs()) {
        let (wrong, accepted) = examples::check(&page);
        if accept {
            fs::write(Path::new(ROOT).join(&page.path), accepted).expect("the page can be written");
        } else {
            faults.extend(wrong);
        }
    }
    none(faults);
}

#[test]
fn everything_in_the_catalogue_is_documented() {
    none(reference::faults(&catalogue::read(), &page("README.md"), &docs()));
}

#[test]
fn links_lead_somewhere() {
    let pages: Vec<Page> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].into_iter().map(page).chain(docs()).collect();
    none(links::broken(&pages, |path| Path::new(ROOT).join(path).exists()));
}

#[test]
fn the_readme_is_short() {
    let lines = page("README.md").text.lines().count();
    assert!(lines <= MOST_LINES_OF_README, "README.md has {lines} lines, {MOST_LINES_OF_README} are allowed");
}
