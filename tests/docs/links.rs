//! Whether the links of the pages lead to files and headings that exist.

use crate::markdown::{Page, anchors, links};

/// The links that lead nowhere. `exists` says whether the project has a file or folder.
pub fn broken(pages: &[Page], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for page in pages {
        for link in links(&page.text) {
            if let Some(fault) = fault(page, &link, pages, &exists) {
                faults.push(format!("{}: {link}: {fault}", page.path));
            }
        }
    }
    faults
}

fn fault(page: &Page, link: &str, pages: &[Page], exists: impl Fn(&str) -> bool) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    if link.is_empty() || link.contains(':') || link.starts_with('/') {
        return Some("links are relative or begin with https://".to_owned());
    }
    let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
    let Some(path) = resolve(&page.path, target) else { return Some("leads out of the project".to_owned()) };
    if !exists(&path) {
        return Some(format!("there is no {path}"));
    }
    let anchor = anchor?;
    match pages.iter().find(|other| other.path == path) {
        None => Some(format!("{path} has no known headings")),
        Some(other) if !anchors(&other.text).iter().any(|known| known == anchor) => {
            Some(format!("{path} has no heading with the anchor {anchor}"))
        }
        Some(_) => None,
    }
}

/// The path that a link on a page means, relative to the project; `None` if it is not in the project.
fn resolve(page: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(page.to_owned());
    }
    let mut path: Vec<&str> = page.split('/').collect();
    path.pop();
    for step in target.trim_end_matches('/').split('/') {
        match step {
            "." => {}
            ".." => {
                path.pop()?;
            }
            _ => path.push(step),
        }
    }
    Some(path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let page = |path: &str, text: &str| Page { path: path.to_owned(), text: text.to_owned() };
        let pages = [page("docs/a.md", text), page("README.md", "# Install\n## Errors & more\n")];
        let found = broken(&pages, |path| ["README.md", "docs/a.md", "bench/charts/x.svg", "docs"].contains(&path));
        found.into_iter().map(|fault| fault.trim_start_matches("docs/a.md: ").to_owned()).collect()
    }

    #[test]
    fn good_links_pass() {
        let text = "# Here\n[a](../README.md#install) [b](#here) [c](https://x.org/#y) ![d](../bench/charts/x.svg) \
                    [e](../README.md#errors--more) [f](../docs/) [g](./a.md)";
        assert_eq!(faults(text), Vec::<String>::new());
    }

    #[test]
    fn bad_links_are_named() {
        for (link, fault) in [
            ("[a](b.md)", "b.md: there is no docs/b.md"),
            ("[a](README.md)", "README.md: there is no docs/README.md"),
            ("![a](../bench/charts/y.svg)", "../bench/charts/y.svg: there is no bench/charts/y.svg"),
            ("[a](#there)", "#there: docs/a.md has no heading with the anchor there"),
            ("[a](../README.md#tour)", "../README.md#tour: README.md has no heading with the anchor tour"),
            ("[a](../bench/charts/x.svg#b)", "../bench/charts/x.svg#b: bench/charts/x.svg has no known headings"),
            ("[a](../../x.md)", "../../x.md: leads out of the project"),
            ("[a](/docs/a.md)", "/docs/a.md: links are relative or begin with https://"),
            ("[a](http://x.org)", "http://x.org: links are relative or begin with https://"),
            ("[r]\n\n[r]: c.md", "c.md: there is no docs/c.md"),
        ] {
            assert_eq!(faults(link), [fault]);
        }
    }
}
