//! Which paths a file in a project may have. Knows nothing about Postgres.

use std::fmt;

/// Maximum length of a path in bytes of UTF-8; together with the project's id it fits in an index entry.
pub const MAX_BYTES: usize = 1024;

/// Why a text is not a valid path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    Empty,
    TooLong,
    Backslash,
    ControlCharacter,
    LeadingSlash,
    TrailingSlash,
    EmptySegment,
    DotSegment,
    GitSegment,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Empty => f.write_str("it is empty"),
            Problem::TooLong => write!(f, "it is longer than {MAX_BYTES} bytes"),
            Problem::Backslash => f.write_str("it contains a backslash"),
            Problem::ControlCharacter => f.write_str("it contains a control character"),
            Problem::LeadingSlash => f.write_str("it begins with a slash"),
            Problem::TrailingSlash => f.write_str("it ends with a slash"),
            Problem::EmptySegment => f.write_str("it has an empty segment"),
            Problem::DotSegment => f.write_str("it has a \".\" or \"..\" segment"),
            Problem::GitSegment => f.write_str("it has a \".git\" segment, which no git tree can hold"),
        }
    }
}

/// Checks that a path is relative, `/`-separated and names a file inside its project.
pub fn check(path: &str) -> Result<(), Problem> {
    if path.is_empty() {
        return Err(Problem::Empty);
    }
    if path.len() > MAX_BYTES {
        return Err(Problem::TooLong);
    }
    if path.contains('\\') {
        return Err(Problem::Backslash);
    }
    if path.chars().any(char::is_control) {
        return Err(Problem::ControlCharacter);
    }
    if path.starts_with('/') {
        return Err(Problem::LeadingSlash);
    }
    if path.ends_with('/') {
        return Err(Problem::TrailingSlash);
    }
    for segment in path.split('/') {
        match segment {
            "" => return Err(Problem::EmptySegment),
            "." | ".." => return Err(Problem::DotSegment),
            _ if segment.eq_ignore_ascii_case(".git") => return Err(Problem::GitSegment),
            _ => {}
        }
    }
    Ok(())
}

/// A valid path as git writes and reads it: in quotes if it contains one.
pub fn quoted(path: &str) -> String {
    if path.contains('"') { format!("\"{}\"", path.replace('"', "\\\"")) } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_what_editors_name_files() {
        for path in [
            "a",
            "src/App.tsx",
            ".env",
            ".gitignore",
            "a.git/b",
            "...",
            "a/.b/..c",
            "日本語/ファイル.md",
            "with space/and 'quote'\".txt",
            "😀",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        assert_eq!(check(&"x".repeat(MAX_BYTES)), Ok(()));
    }

    #[test]
    fn names_the_problem() {
        use Problem::*;
        let long = "é".repeat(MAX_BYTES / 2 + 1);
        for (path, problem) in [
            ("", Empty),
            (long.as_str(), TooLong),
            ("a\\b", Backslash),
            ("a\nb", ControlCharacter),
            ("a\u{7f}", ControlCharacter),
            ("a\u{85}", ControlCharacter),
            ("/a", LeadingSlash),
            ("/", LeadingSlash),
            ("a/", TrailingSlash),
            ("a//b", EmptySegment),
            (".", DotSegment),
            ("a/../b", DotSegment),
            ("a/.", DotSegment),
            (".git", GitSegment),
            ("a/.GIT/config", GitSegment),
        ] {
            assert_eq!(check(path), Err(problem), "{path:?}");
        }
    }

    proptest! {
        /// Every accepted path, joined to any directory, stays inside it.
        #[test]
        fn accepted_paths_stay_inside(path in r"[a./\\\x00-\x20]{0,12}") {
            if check(&path).is_ok() {
                let parts: Vec<_> = std::path::Path::new(&path).components().collect();
                prop_assert!(parts.iter().all(|c| matches!(c, std::path::Component::Normal(_))));
                prop_assert_eq!(parts.len(), path.split('/').count());
            }
        }

        #[test]
        fn segments_of_ordinary_characters_are_accepted(segments in prop::collection::vec("[a-zA-Z0-9_ é-]{1,8}", 1..6)) {
            prop_assert_eq!(check(&segments.join("/")), Ok(()));
        }
    }
}
