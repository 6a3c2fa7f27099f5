//! Whether the pages describe everything that the extension has, and nothing else.
//!
//! A function, table or view has one section in docs/, whose heading is its name in a code span; that of a function begins
//! with its signature, another code span. The table of settings and that of errors are in the README.

use std::collections::BTreeSet;

use crate::catalogue::{Catalogue, Function, Relation, Setting};
use crate::markdown::{Page, Part, Section, code_spans, first_table, only_code, parts, sections, slug};

const INDEX: &str = "docs/README.md";

/// A section of a page.
struct Entry<'a> {
    page: &'a Page,
    section: Section<'a>,
}

impl Entry<'_> {
    /// Where it is, as a link from the index.
    fn link(&self) -> String {
        format!("{}#{}", self.page.path.trim_start_matches("docs/"), slug(self.section.title))
    }
}

/// All that is missing, wrong or too much.
pub fn faults(catalogue: &Catalogue, readme: &Page, docs: &[Page]) -> Vec<String> {
    let entries: Vec<Entry> = docs
        .iter()
        .flat_map(|page| sections(&page.text).into_iter().map(move |section| Entry { page, section }))
        .filter(|entry| entry.section.level > 1)
        .collect();
    let named: Vec<(&Entry, &str)> = entries
        .iter()
        .filter_map(|entry| Some((entry, only_code(entry.section.title).filter(|code| is_name(code))?)))
        .collect();
    let functions: Vec<(&Entry, &str, &str)> = named
        .iter()
        .filter_map(|&(entry, name)| signature(name, entry.section.body).map(|arguments| (entry, name, arguments)))
        .collect();
    let relations: Vec<(&Entry, &str)> =
        named.iter().filter(|(entry, name)| signature(name, entry.section.body).is_none()).copied().collect();
    let sqlstates = sqlstates(readme);

    let mut faults = Vec::new();
    for function in &catalogue.functions {
        let own: Vec<_> = functions.iter().filter(|(_, name, _)| *name == function.name).collect();
        match own[..] {
            [&(entry, _, arguments)] => faults.extend(function_faults(function, entry, arguments, &sqlstates)),
            _ => faults.push(format!("{} has {} sections, not one", function.name, own.len())),
        }
    }
    for (entry, name, _) in &functions {
        if !catalogue.functions.iter().any(|function| function.name == *name) {
            faults.push(format!("{}: there is no function {name}", entry.page.path));
        }
    }
    for relation in &catalogue.relations {
        let own: Vec<_> = relations.iter().filter(|(_, name)| *name == relation.name).collect();
        match own[..] {
            [&(entry, _)] => faults.extend(relation_fault(relation, entry)),
            _ => faults.push(format!("{} has {} sections, not one", relation.name, own.len())),
        }
    }
    for (entry, name) in &relations {
        if !catalogue.relations.iter().any(|relation| relation.name == *name) {
            faults.push(format!("{}: there is no table or view {name}", entry.page.path));
        }
    }
    faults.extend(index_faults(&functions, docs));
    faults.extend(setting_faults(&catalogue.settings, readme));
    faults
}

/// The arguments in the signature that a function's section begins with.
fn signature<'a>(name: &str, body: &'a str) -> Option<&'a str> {
    only_code(body.trim_start().lines().next()?)?.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Arguments as `pg_get_function_arguments` writes them, without the types of the defaults: `DEFAULT NULL::uuid` is
/// `DEFAULT NULL`.
fn without_casts(arguments: &str) -> String {
    let mut parts = arguments.split("::");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        result.push_str(part.find(',').map_or("", |end| &part[end..]));
    }
    result
}

fn function_faults(function: &Function, entry: &Entry, arguments: &str, sqlstates: &[String]) -> Vec<String> {
    let (path, name) = (&entry.page.path, &function.name);
    let mut faults = Vec::new();
    let actual = without_casts(&function.arguments);
    if arguments != actual {
        faults.push(format!("{path}: {name} takes\n({actual}), its section says\n({arguments})"));
    }
    if !has_example(name, entry.section.body) {
        faults.push(format!("{path}: {name} has no example with an output"));
    }
    let named = code_spans(entry.section.body);
    for missing in function.results.iter().filter(|result| !named.contains(&result.as_str())) {
        faults.push(format!("{path}: the section of {name} does not say that it returns {missing}"));
    }
    let due = sqlstates_of(&function.comment, sqlstates);
    for missing in due.iter().filter(|code| !named.contains(&code.as_str())) {
        faults.push(format!("{path}: the section of {name} does not say when it is {missing}"));
    }
    for unknown in due.iter().filter(|code| !sqlstates.contains(code)) {
        faults.push(format!("the README's table of errors does not have {unknown}, which {name} can raise"));
    }
    faults
}

/// Whether a section has SQL that calls the function, with its output right after.
fn has_example(name: &str, body: &str) -> bool {
    let call = format!("{name}(");
    let calls =
        |sql: &str| sql.match_indices(&call).any(|(at, _)| !sql[..at].ends_with(|c: char| is_name(&c.to_string())));
    parts(body).windows(3).any(|three| match three {
        [
            Part::Code { language: "sql", body: sql },
            Part::Prose(between),
            Part::Code { language: "text", body: output },
        ] => calls(sql) && between.trim().is_empty() && !output.trim().is_empty(),
        _ => false,
    })
}

/// The SQLSTATEs that the README's table of errors lists.
fn sqlstates(readme: &Page) -> Vec<String> {
    let rows = table_of(readme, "Errors");
    rows.iter().flat_map(|row| code_spans(&row[0]).into_iter().map(str::to_owned)).collect()
}

/// The SQLSTATEs that a function's COMMENT names: all after `Errors:`, and any known one before.
fn sqlstates_of(comment: &str, known: &[String]) -> BTreeSet<String> {
    let (text, errors) = comment.split_once("Errors:").unwrap_or((comment, ""));
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_sqlstate(word)).map(str::to_owned).collect()
    };
    let before = words(text).into_iter().filter(|word| known.contains(word));
    before.chain(words(errors)).collect()
}

fn is_sqlstate(word: &str) -> bool {
    word.len() == 5
        && word.bytes().any(|b| b.is_ascii_digit())
        && word.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

/// The rows of the table in the section of a page with that title.
fn table_of(page: &Page, title: &str) -> Vec<Vec<String>> {
    let sections = sections(&page.text);
    let section = sections.iter().find(|section| section.title == title);
    section.map(|section| first_table(section.body)).unwrap_or_default()
}

/// The section's first table must have the columns, in their order.
fn relation_fault(relation: &Relation, entry: &Entry) -> Option<String> {
    let cell = |text: &String| only_code(text).unwrap_or(text).to_owned();
    let rows = first_table(entry.section.body);
    let shown: Vec<(String, String)> =
        rows.iter().filter_map(|row| Some((cell(row.first()?), cell(row.get(1)?)))).collect();
    let (path, name, columns) = (&entry.page.path, &relation.name, &relation.columns);
    (shown != *columns).then(|| format!("{path}: {name} has the columns\n{columns:?}, the page shows\n{shown:?}"))
}

/// The table of the index has each function that is documented, linked to its section.
fn index_faults(functions: &[(&Entry, &str, &str)], docs: &[Page]) -> Vec<String> {
    let Some(index) = docs.iter().find(|page| page.path == INDEX) else { return vec![format!("there is no {INDEX}")] };
    let rows = table_of(index, "All functions");
    let linked: Vec<(&str, &str)> =
        rows.iter().filter_map(|row| row[0].strip_prefix("[`")?.strip_suffix(')')?.split_once("`](")).collect();
    let mut faults = Vec::new();
    if linked.len() != rows.len() {
        faults.push(format!("{INDEX}: every row of the table of functions begins with [`name`](link)"));
    }
    for (entry, name, _) in functions {
        let own: Vec<&str> = linked.iter().filter(|(other, _)| other == name).map(|&(_, link)| link).collect();
        if own != [entry.link()] {
            faults.push(format!("{INDEX}: {name} must be linked once, to {}; it is linked to {own:?}", entry.link()));
        }
    }
    for (name, _) in linked.iter().filter(|(name, _)| !functions.iter().any(|(_, other, _)| other == name)) {
        faults.push(format!("{INDEX}: {name} has no section"));
    }
    faults
}

/// The README's table has exactly the settings, with their defaults.
fn setting_faults(settings: &[Setting], readme: &Page) -> Vec<String> {
    let rows = table_of(readme, "Settings");
    let shown: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| {
            (only_code(&row[0]).unwrap_or(&row[0]), row.get(1).map_or("", |cell| only_code(cell).unwrap_or(cell)))
        })
        .collect();
    let mut faults = Vec::new();
    for setting in settings {
        let own: Vec<&str> = shown.iter().filter(|(name, _)| *name == setting.name).map(|&(_, value)| value).collect();
        if own != [setting.default.as_str()] {
            let (name, default) = (&setting.name, &setting.default);
            faults.push(format!("README.md: the default of {name} is {default:?}; the table says {own:?}"));
        }
    }
    for (name, _) in shown.iter().filter(|(name, _)| !settings.iter().any(|setting| setting.name == *name)) {
        faults.push(format!("README.md: there is no setting {name}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "## Errors\n\n| SQLSTATE | when |\n|---|---|\n| `22023` | |\n| `55P03`, `PT404` | |\n\n\
                          ## Settings\n\n| setting | default | |\n|---|---|---|\n| `pg_versioned.rate` | `2s` | |\n";
    const SAVE: &str = "## `save`\n\n`save(p_path text, p_old uuid DEFAULT NULL)`\n\nReturns `version integer` and `path text`. `22023`, `PT404`: fails.\n\n\
                        ```sql\nSELECT save('a');\n```\n```text\n 1\n```\n\n";
    const FILES: &str =
        "## `files`\n\n| column | type | |\n|---|---|---|\n| `path` | text | |\n| `size` | integer | |\n";
    const INDEX_PAGE: &str = "## All functions\n\n| function | |\n|---|---|\n| [`save`](f.md#save) | |\n";

    fn catalogue() -> Catalogue {
        let text = |text: &str| text.to_owned();
        Catalogue {
            functions: vec![Function {
                name: text("save"),
                arguments: text("p_path text, p_old uuid DEFAULT NULL::uuid"),
                results: vec![text("version integer"), text("path text")],
                comment: text("At most 10000 of them. PT404 if there is none. Errors: 22023 (no path)."),
            }],
            relations: vec![Relation {
                name: text("files"),
                columns: vec![(text("path"), text("text")), (text("size"), text("integer"))],
            }],
            settings: vec![Setting { name: text("pg_versioned.rate"), default: text("2s") }],
        }
    }

    /// The faults of the pages above with a text replaced by another.
    #[track_caller]
    fn planted(old: &str, new: &str) -> String {
        let all = [README, SAVE, FILES, INDEX_PAGE];
        assert!(old.is_empty() || all.iter().any(|text| text.contains(old)), "{old}");
        let page = |path: &str, text: &str| Page {
            path: path.to_owned(),
            text: if old.is_empty() { text.to_owned() } else { text.replace(old, new) },
        };
        let docs = [page("docs/f.md", &format!("# F\n\n{SAVE}{FILES}")), page(INDEX, INDEX_PAGE)];
        faults(&catalogue(), &page("README.md", README), &docs).join("\n")
    }

    #[test]
    fn complete_pages_pass() {
        assert_eq!(planted("", ""), "");
    }

    #[test]
    fn functions_without_a_section_of_their_own_are_named() {
        assert!(planted("## `save`\n\n`save(", "## `store`\n\n`store(").starts_with("save has 0 sections, not one"));
        assert!(
            planted("## `save`\n\n`save(", "## `store`\n\n`store(").contains("docs/f.md: there is no function store")
        );
        assert!(planted(FILES, &format!("{SAVE}{FILES}")).contains("save has 2 sections, not one"));
    }

    #[test]
    fn signatures_must_be_exact() {
        for (old, new) in [
            ("p_path text", "path text"),
            ("p_old uuid DEFAULT", "p_old text DEFAULT"),
            (" DEFAULT NULL", ""),
            (", p_old uuid DEFAULT NULL", ""),
        ] {
            assert!(planted(old, new).contains("save takes\n(p_path text, p_old uuid DEFAULT NULL), its section says"));
        }
    }

    #[test]
    fn an_example_calls_the_function_and_has_an_output() {
        for (old, new) in [
            ("save('a')", "unsave('a')"),
            ("```text\n 1\n```", ""),
            ("```text\n 1\n```", "```text\n```"),
            ("```\n```text", "```\n\nText.\n\n```text"),
        ] {
            assert_eq!(planted(old, new), "docs/f.md: save has no example with an output");
        }
    }

    #[test]
    fn results_must_be_named() {
        for (old, new) in [(" and `path text`", ""), ("`path text`", "`path uuid`"), ("`path text`", "`path`")] {
            assert_eq!(planted(old, new), "docs/f.md: the section of save does not say that it returns path text");
        }
    }

    #[test]
    fn sqlstates_must_be_named() {
        assert_eq!(
            planted("`22023`, `PT404`", "`PT404`"),
            "docs/f.md: the section of save does not say when it is 22023"
        );
        assert_eq!(
            planted("`22023`, `PT404`", "`22023`"),
            "docs/f.md: the section of save does not say when it is PT404"
        );
        let unknown = "the README's table of errors does not have 22023, which save can raise";
        assert_eq!(planted("| `22023` | |", "| `42501` | |"), unknown);
    }

    #[test]
    fn the_index_must_be_complete() {
        assert!(planted("[`save`](f", "[`safe`](f").contains("save must be linked once"));
        assert!(planted("[`save`](f", "[`safe`](f").contains("docs/README.md: safe has no section"));
        assert!(planted("[`save`](f.md#save)", "[`save`](f.md#safe)").contains("save must be linked once"));
        assert!(planted("[`save`](f", "save (f").contains("every row of the table of functions begins with"));
    }

    #[test]
    fn tables_must_be_documented_with_all_columns() {
        for (old, new) in [("| `size` | integer | |\n", ""), ("| integer |", "| bigint |"), ("`path`", "`file_path`")] {
            assert!(planted(old, new).contains("docs/f.md: files has the columns"));
        }
        assert!(planted("## `files`", "## `data`").starts_with("files has 0 sections, not one"));
        assert!(planted("## `files`", "## `data`").contains("docs/f.md: there is no table or view data"));
    }

    #[test]
    fn settings_must_have_their_defaults() {
        let fault = r#"README.md: the default of pg_versioned.rate is "2s"; the table says"#;
        assert_eq!(planted("`2s`", "`3s`"), format!(r#"{fault} ["3s"]"#));
        let renamed = planted("pg_versioned.rate", "pg_versioned.speed");
        assert_eq!(renamed, format!("{fault} []\nREADME.md: there is no setting pg_versioned.speed"));
    }

    #[test]
    fn defaults_are_compared_without_their_types() {
        assert_eq!(
            without_casts("a text DEFAULT 'x'::text, b jsonb DEFAULT '{}'::jsonb"),
            "a text DEFAULT 'x', b jsonb DEFAULT '{}'"
        );
        assert_eq!(without_casts("a integer DEFAULT 50"), "a integer DEFAULT 50");
        assert_eq!(signature("f", "\n`f(a text)`\n\nText."), Some("a text"));
        for body in ["`f`", "f(a)", "`f(a)` and `f(b)`", "`g(a)`", "Text.\n\n`f(a)`"] {
            assert_eq!(signature("f", body), None, "{body}");
        }
    }
}
