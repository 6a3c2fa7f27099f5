//! As much of Markdown as the pages use: headings, code blocks, tables, links. Knows nothing of Postgres.

use std::collections::HashMap;

/// A page of the documentation.
pub struct Page {
    /// Relative to the project.
    pub path: String,
    pub text: String,
}

/// A page cut at its code fences.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Prose(&'a str),
    Code { language: &'a str, body: &'a str },
}

/// A heading and what follows it, up to the next heading of the same or a higher level.
#[derive(Debug)]
pub struct Section<'a> {
    pub level: usize,
    /// As written, with its Markdown.
    pub title: &'a str,
    pub body: &'a str,
}

const FENCE: &str = "```";

/// The parts of a text, in order. The lines of the fences belong to none.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut start, mut at, mut language) = (0, 0, None);
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        if let Some(info) = line.strip_prefix(FENCE) {
            parts.push(match language.take() {
                Some(language) => Part::Code { language, body: &text[start..at] },
                None => {
                    language = Some(info.trim());
                    Part::Prose(&text[start..at])
                }
            });
            start = next;
        }
        at = next;
    }
    assert!(language.is_none(), "every code block is closed:\n{}", &text[start..]);
    parts.push(Part::Prose(&text[start..]));
    parts
}

/// Lines outside code blocks, each with its offset.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut at, mut in_code) = (0, false);
    text.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        let fence = line.starts_with(FENCE);
        in_code ^= fence;
        (!fence && !in_code).then_some((start, line))
    })
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|&b| b == b'#').count();
    let title = line[level..].strip_prefix(' ')?.trim();
    (1..=6).contains(&level).then_some((level, title))
}

pub fn sections(text: &str) -> Vec<Section<'_>> {
    let headings: Vec<(usize, usize, usize, &str)> = lines(text)
        .filter_map(|(at, line)| heading(line).map(|(level, title)| (at, at + line.len(), level, title)))
        .collect();
    let section = |(n, &(_, start, level, title)): (usize, &(usize, usize, usize, _))| {
        let next = headings[n + 1..].iter().find(|(_, _, other, _)| *other <= level);
        let end = next.map_or(text.len(), |&(at, ..)| at);
        Section { level, title, body: &text[start..end] }
    };
    headings.iter().enumerate().map(section).collect()
}

/// The rows of the first table of a text, without its head; each cell as written.
pub fn first_table(text: &str) -> Vec<Vec<String>> {
    let rows = lines(text).map(|(_, line)| line.trim());
    let rows = rows.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(cells).collect()
}

/// A `|` within a code span does not end a cell.
fn cells(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut in_code = false;
    for c in row.trim_matches('|').chars() {
        in_code ^= c == '`';
        match c {
            '|' if !in_code => cells.push(String::new()),
            _ => cells.last_mut().expect("there is one").push(c),
        }
    }
    cells.into_iter().map(|cell| cell.trim().to_owned()).collect()
}

/// A text that consists of one code span: what is in it.
pub fn only_code(text: &str) -> Option<&str> {
    let code = text.strip_prefix('`')?.strip_suffix('`')?;
    (!code.contains('`')).then_some(code)
}

/// What is in the code spans of a text without code blocks.
pub fn code_spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Everything but code spans and code blocks.
fn without_code(text: &str) -> String {
    let prose = parts(text).into_iter().filter_map(|part| match part {
        Part::Prose(prose) => Some(prose),
        Part::Code { .. } => None,
    });
    prose.flat_map(|prose| prose.split('`').step_by(2)).collect()
}

/// The targets of the links and images of a text.
pub fn links(text: &str) -> Vec<String> {
    let prose = without_code(text);
    let inline = prose.split("](").skip(1).map(|rest| {
        let mut depth = 1;
        let end = rest.find(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0 || c.is_whitespace()
        });
        &rest[..end.unwrap_or(rest.len())]
    });
    let defined = prose.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
    let defined = defined.filter_map(|(_, target)| target.split_whitespace().next());
    inline.chain(defined).map(str::to_owned).collect()
}

/// What a link has to say to lead to a heading on its page, as GitHub makes it.
pub fn slug(title: &str) -> String {
    // Of a link, only the text counts.
    let mut shown = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("](") {
        shown.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    shown.push_str(rest);
    let kept = shown.chars().filter(|&c| c.is_alphanumeric() || "_- ".contains(c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The anchors of a page; a second heading with the same text gets a number.
pub fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let anchor = |section: Section| {
        let slug = slug(section.title);
        let before = seen.entry(slug.clone()).or_default();
        *before += 1;
        if *before == 1 { slug } else { format!("{slug}-{}", *before - 1) }
    };
    sections(text).into_iter().map(anchor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# One\n\ntext `a|b`\n\n## Two `x`\n\n```sql\n# no heading\n```\n```text\n[no](link)\n```\n\n# Three\n";

    #[test]
    fn parts_are_prose_and_code() {
        let code = |language, body| Part::Code { language, body };
        let expected = [
            Part::Prose("# One\n\ntext `a|b`\n\n## Two `x`\n\n"),
            code("sql", "# no heading\n"),
            Part::Prose(""),
            code("text", "[no](link)\n"),
            Part::Prose("\n# Three\n"),
        ];
        assert_eq!(parts(PAGE), expected);
    }

    #[test]
    #[should_panic(expected = "every code block is closed")]
    fn blocks_must_be_closed() {
        parts("text\n```sql\nSELECT 1;\n");
    }

    #[test]
    fn sections_end_at_their_level() {
        let sections = sections(PAGE);
        let titles: Vec<_> = sections.iter().map(|section| (section.level, section.title)).collect();
        assert_eq!(titles, [(1, "One"), (2, "Two `x`"), (1, "Three")]);
        assert!(sections[0].body.contains("## Two") && !sections[0].body.contains("# Three"));
        assert_eq!(sections[2].body, "");
    }

    #[test]
    fn tables_have_cells() {
        let text = "x\n\n| a | b |\n|---|---|\n| `c|d` | |\n| e | [f](g) |\n\n| other |\n|---|\n| table |\n";
        assert_eq!(first_table(text), [["`c|d`", ""], ["e", "[f](g)"]]);
        assert_eq!(first_table("no table"), Vec::<Vec<String>>::new());
    }

    #[test]
    fn links_are_found_outside_code() {
        let text = "[a](b.md) ![i](c.svg) [`code`](d.md#e) `[no](x)` [f](g_(h).md \"title\")\n\n[r]: i.md\n";
        assert_eq!(links(text), ["b.md", "c.svg", "d.md#e", "g_(h).md", "i.md"]);
        assert_eq!(links(PAGE), Vec::<String>::new());
    }

    #[test]
    fn slugs_are_those_of_github() {
        for (title, expected) in [
            ("Five-minute tour", "five-minute-tour"),
            ("`f(p_a uuid, p_b jsonb DEFAULT '{}')`", "fp_a-uuid-p_b-jsonb-default-"),
            ("Step 1: install, and go", "step-1-install-and-go"),
            ("See [the `x` page](x.md#y) *now*", "see-the-x-page-now"),
            ("Größe & Maß", "größe--maß"),
        ] {
            assert_eq!(slug(title), expected);
        }
        assert_eq!(anchors("# A b\n## A b\n# A-b\n"), ["a-b", "a-b-1", "a-b-2"]);
    }

    #[test]
    fn code_spans_are_found() {
        assert_eq!(code_spans("`22023`: not `PT404`"), ["22023", "PT404"]);
        assert_eq!((only_code("`f()`"), only_code("`f` and `g`"), only_code("f")), (Some("f()"), None, None));
    }
}
