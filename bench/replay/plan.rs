//! Which commits of a line become project versions, and how each is numbered.

use std::collections::HashMap;

use crate::history::Oid;

/// With fewer tagged commits than this, every so many commits make a version too.
const ENOUGH_TAGS: usize = 5;
const USUAL_STRETCH: usize = 20;
/// A long history without tags gets longer stretches: the proof reads every version's every file.
const MOST_VERSIONS_BY_COUNT: usize = 200;

/// A commit that becomes a project version.
#[derive(Debug, PartialEq, Eq)]
pub struct Milestone {
    /// Its place in the line.
    pub at: usize,
    /// Its name in git.
    pub commit: Oid,
    /// Its tag; the highest version, where it has several.
    pub tag: Option<String>,
    /// How its version is numbered; `None` leaves that to the extension.
    pub change_type: Option<&'static str>,
}

/// Chooses the tagged commits, every `every`th commit where asked for or where tags are few, and the
/// last one.
pub fn milestones(line: &[Oid], tags: &HashMap<Oid, Vec<String>>, every: Option<usize>) -> Vec<Milestone> {
    let tagged = line.iter().filter(|commit| tags.contains_key(commit)).count();
    let few_tags = || USUAL_STRETCH.max(line.len().div_ceil(MOST_VERSIONS_BY_COUNT));
    let stretch = every.or_else(|| (tagged < ENOUGH_TAGS).then(few_tags));
    let mut chosen: Vec<Milestone> = Vec::new();
    let mut last_release = None;
    for (at, &commit) in line.iter().enumerate() {
        let tag = tags.get(&commit).and_then(|names| names.last()).cloned();
        let by_count = stretch.is_some_and(|stretch| (at + 1).is_multiple_of(stretch));
        if tag.is_none() && !by_count && at + 1 < line.len() {
            continue;
        }
        let release = tag.as_deref().and_then(release_number);
        let change_type = change_type(chosen.is_empty(), last_release, release);
        last_release = release.or(last_release);
        chosen.push(Milestone { at, commit, tag, change_type });
    }
    chosen
}

/// A release goes by what its number changed; anything else is a minor version.
fn change_type(first: bool, before: Option<(u32, u32)>, now: Option<(u32, u32)>) -> Option<&'static str> {
    match (before, now) {
        _ if first => None,
        (Some((major, _)), Some((now, _))) if now != major => Some("major"),
        (Some(before), Some(now)) if now == before => Some("patch"),
        _ => Some("minor"),
    }
}

/// Major and minor of a tag like `v1.2.3`, `release-1.2` or `1.0`.
fn release_number(tag: &str) -> Option<(u32, u32)> {
    let digits = tag.find(|c: char| c.is_ascii_digit())?;
    let mut parts = tag[digits..].split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?;
    let end = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
    Some((major, minor[..end].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(length: usize) -> Vec<Oid> {
        let name = |at| Oid::parse(format!("{at:040x}").as_bytes()).expect("40 digits");
        (0..length).map(name).collect()
    }

    fn places(line: &[Oid], tagged: &[(usize, &str)], every: Option<usize>) -> Vec<usize> {
        let mut tags: HashMap<Oid, Vec<String>> = HashMap::new();
        for &(at, name) in tagged {
            tags.entry(line[at]).or_default().push(name.to_owned());
        }
        milestones(line, &tags, every).iter().map(|milestone| milestone.at).collect()
    }

    #[test]
    fn few_tags_add_every_so_many_commits_and_the_last_is_always_in() {
        assert_eq!(places(&line(1), &[], None), [0]);
        assert_eq!(places(&line(50), &[(4, "v1.0")], None), [4, 19, 39, 49]);
        assert_eq!(places(&line(6), &[], Some(4)), [3, 5]);
        let many = [(0, "1.0"), (2, "1.1"), (4, "1.2"), (6, "1.3"), (8, "1.4")];
        assert_eq!(places(&line(50), &many, None), [0, 2, 4, 6, 8, 49]);
        assert_eq!(places(&line(50_000), &[], None).len(), 200);
    }

    #[test]
    fn releases_tell_the_type_of_change() {
        assert_eq!(release_number("v1.2.3"), Some((1, 2)));
        assert_eq!(release_number("release-10.4-rc1"), Some((10, 4)));
        assert_eq!(release_number("nightly"), None);
        assert_eq!(change_type(true, None, Some((1, 0))), None);
        assert_eq!(change_type(false, Some((1, 0)), Some((2, 0))), Some("major"));
        assert_eq!(change_type(false, Some((1, 0)), Some((1, 1))), Some("minor"));
        assert_eq!(change_type(false, Some((1, 1)), Some((1, 1))), Some("patch"));
        assert_eq!(change_type(false, Some((1, 1)), None), Some("minor"));
    }
}
