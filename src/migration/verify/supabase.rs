//! Supabase's `supabase_migrations.schema_migrations`.
//!
//! Facts from the Supabase CLI: files are `<version>_<name>.sql`, the version is text of digits (pkg/migration/file.go); there is
//! no checksum but the statements as an array, split at semicolons, without these and the white space around them, comments
//! included; `statements` and `name` came later and may be NULL (pkg/migration/history.go, pkg/parser/token.go). What calls
//! the API may store the whole text as one statement. No row says when it was applied.

use std::collections::{HashMap, HashSet};

use super::super::list::Migration;
use super::choice::{Chosen, Tool};
use super::judge::{Entry, Report, State, Stranger};
use super::names::{self, Listed, Named};
use super::table::{Column, TEXT, column, optional, read};
use crate::backend::Db;
use crate::error::Error;

static COLUMNS: [Column; 3] = [column("version", TEXT), optional("name", TEXT), optional("statements", &["text[]"])];

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub version: String,
    pub name: Option<String>,
    /// With semicolons between them.
    pub statements: Option<String>,
}

/// All rows, in the order of their versions.
pub fn rows(db: &Db, table: &Chosen) -> Result<Vec<Row>, Error> {
    read(db, table, &COLUMNS, "t.version COLLATE \"C\"", |row| Row {
        version: row.get("version").unwrap_or_default(),
        name: row.get("name"),
        statements: row.get("statements"),
    })
}

/// The migrations of the list by their versions.
pub fn listed(migrations: &[Migration]) -> Result<Vec<Listed<'_, String>>, Error> {
    names::listed(migrations, Tool::Supabase, "20240101120000_init.sql", |name| {
        let (version, _) = names::version_and_rest(names::stem(names::file_name(name)))?;
        Some(Named::Migration(version.to_owned()))
    })
}

/// What the table says of the list.
pub fn report(listed: &[Listed<String>], rows: &[Row]) -> Report {
    let applied: HashMap<&str, &Row> = rows.iter().map(|row| (row.version.as_str(), row)).collect();
    let entry = |one: &Listed<String>| {
        let state = applied.get(one.key.as_str()).map_or(State::Missing(None), |row| {
            let is_edited = row.statements.as_deref().is_some_and(|old| essence(old) != essence(&one.migration.sql));
            let how = "has other statements than the text, without regard to comments and white space";
            State::Applied { place: None, edited: is_edited.then(|| how.to_owned()) }
        });
        Entry { name: one.migration.name.clone(), state }
    };
    let known: HashSet<&str> = listed.iter().map(|one| one.key.as_str()).collect();
    let strangers = rows.iter().filter(|row| !known.contains(row.version.as_str()));
    let name = |row: &Row| match row.name.as_deref() {
        None | Some("") => row.version.clone(),
        Some(name) => format!("{}_{name}", row.version),
    };
    Report {
        entries: listed.iter().map(entry).collect(),
        strangers: strangers.map(|row| Stranger::applied(name(row))).collect(),
        unordered: Vec::new(),
    }
}

/// A text of SQL without comments, with one space for all white space outside of quotes and none around semicolons, of which
/// there is one where there are several and none at the ends. Line ends are Unix ones.
fn essence(sql: &str) -> String {
    let sql = sql.replace("\r\n", "\n");
    let sql = sql.trim_start_matches('\u{feff}');
    let mut essence = String::with_capacity(sql.len());
    let mut rest = sql;
    let mut is_apart = false;
    while let Some(first) = rest.chars().next() {
        let before = if is_apart { "" } else { essence.as_str() };
        let (length, kind) = piece(rest, first, before);
        let (text, after) = rest.split_at(length);
        rest = after;
        match kind {
            Piece::Space => is_apart = true,
            Piece::End => {
                is_apart = false;
                if !essence.is_empty() && !essence.ends_with(END) {
                    essence.push(END);
                }
            }
            Piece::Text => {
                if std::mem::take(&mut is_apart) && !essence.is_empty() && !essence.ends_with(END) {
                    essence.push(' ');
                }
                essence.push_str(text);
            }
        }
    }
    essence.truncate(essence.trim_end_matches(END).len());
    essence
}

/// Ends a statement in an essence: a character that texts of Postgres cannot hold.
const END: char = '\0';

/// A part of a text of SQL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// White space or a comment.
    Space,
    /// A semicolon.
    End,
    /// Anything else: a quoted text as a whole, or one character.
    Text,
}

/// The length of the piece that a text begins with; `before` is what it follows directly.
fn piece(text: &str, first: char, before: &str) -> (usize, Piece) {
    let in_word = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$'));
    let to = |end: Option<usize>| end.unwrap_or(text.len());
    match first {
        ';' => (1, Piece::End),
        _ if first.is_whitespace() => (first.len_utf8(), Piece::Space),
        '-' if text.starts_with("--") => (to(text.find('\n')), Piece::Space),
        '/' if text.starts_with("/*") => (comment(text), Piece::Space),
        '"' => (quoted(text, '"', false), Piece::Text),
        '\'' => {
            // Backslashes escape in E'…', but not in date'…'.
            let has_escapes = before.strip_suffix(['e', 'E']).is_some_and(|before| !in_word(before));
            (quoted(text, '\'', has_escapes), Piece::Text)
        }
        '$' if !in_word(before) => (dollar_quoted(text), Piece::Text),
        _ => (first.len_utf8(), Piece::Text),
    }
}

/// The length of a comment, in which others may be.
fn comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while let Some(found) = text[at..].find(['/', '*']) {
        at += found;
        if text[at..].starts_with("/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if text[at..].starts_with("*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of what is in quotes. A doubled quote is taken for two texts, which comes to the same.
fn quoted(text: &str, quote: char, has_escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return at + 1;
        }
        if has_escapes && c == '\\' {
            chars.next();
        }
    }
    text.len()
}

/// The length of `$tag$text$tag$`, or of the dollar alone.
fn dollar_quoted(text: &str) -> usize {
    let tag = text[1..].find('$').map(|end| &text[..end + 2]);
    let is_tag = |tag: &str| {
        let name = &tag[1..tag.len() - 1];
        !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    match tag.filter(|tag| is_tag(tag)) {
        Some(tag) => text[tag.len()..].find(tag).map_or(text.len(), |end| end + 2 * tag.len()),
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: &str, statements: Option<&str>) -> Row {
        Row { version: version.to_owned(), name: Some("x".to_owned()), statements: statements.map(str::to_owned) }
    }

    fn findings(list: &[(&str, &str)], rows: &[Row]) -> Vec<(String, &'static str)> {
        let migrations = Migration::list(list);
        let listed = listed(&migrations).unwrap();
        report(&listed, rows).findings("t").into_iter().map(|found| (found.name, found.kind)).collect()
    }

    #[test]
    fn statements_are_compared() {
        let file = "-- users\ncreate table a ();\n\n/* and b */ create table b (x text default 'a;  b');\n";
        let stored = "-- users\ncreate table a ()\n;\n/* and b */ create table b (x text default 'a;  b')";
        let list = [("supabase/migrations/1_x.sql", file)];
        assert_eq!(findings(&list, &[row("1", Some(stored))]), []);
        assert_eq!(findings(&list, &[row("1", Some(file))]), []);
        assert_eq!(findings(&list, &[row("1", None)]), []);
        let edited = stored.replace("a;  b", "a; b");
        assert_eq!(findings(&list, &[row("1", Some(&edited))]), [(list[0].0.to_owned(), "edited")]);
        assert_eq!(findings(&list, &[row("1", Some(""))]), [(list[0].0.to_owned(), "edited")]);
    }

    #[test]
    fn versions_are_texts() {
        let list = [("1_a.sql", ""), ("2_b.sql", "")];
        assert_eq!(
            findings(&list, &[row("2", None), row("01", None)]),
            [("1_a.sql".to_owned(), "out of order"), ("01_x".to_owned(), "not in the list")]
        );
    }

    #[test]
    fn what_makes_no_difference() {
        for (one, other) in [
            ("a  b\n;", "a b"),
            ("as $$ ';' $$; b", "as $$ ';' $$\n;\nb"),
            (r"case 'a\' ; b", r"case 'a\';b"),
            (r"type'a\' ; b'c", r"type'a\';b'c"),
            ("a;;b", "a ; -- c\n b;"),
            ("a /* x /* y */ z */ b", "a b"),
            ("a -- it's\n b", "a b"),
            ("\u{feff}a\r\nb", "a\nb"),
            ("$$x\r\n$$", "$$x\n$$"),
            (";;a", "a"),
            ("", " -- only this"),
        ] {
            assert_eq!(essence(one), essence(other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_makes_one() {
        for (one, other) in [
            ("a b", "ab"),
            ("as $$ ';  ' $$", "as $$ '; ' $$"),
            ("a$$ b$$", "a$$  b$$ c"),
            ("'a  b'", "'a b'"),
            ("'a -- b'", "'a '"),
            ("$$a;  b$$", "$$a; b$$"),
            ("$f$ $$ ; $f$", "$f$ $$; $f$"),
            ("\"a  b\"", "\"a b\""),
            (r"E'\'  ;' a", r"E'\' ;' a"),
            ("a; b", "a b"),
            ("'a;'", "'a'"),
            ("a$1  $2 'x'", "a$1  $2 'X'"),
            ("U&\"a  b\"", "U&\"a b\""),
            ("'it''s  x'", "'it''s x'"),
        ] {
            assert_ne!(essence(one), essence(other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_never_ends() {
        for text in ["'a", "\"a", "$$a", "/* a", "$", "a$", "$1", "E'\\", "-", "/"] {
            assert_eq!(essence(text), essence(&format!("{text}{}", "")), "{text}");
        }
        assert_eq!(essence("$é$ ; $é$"), "$é$ ; $é$");
    }
}
