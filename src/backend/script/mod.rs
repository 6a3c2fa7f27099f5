//! SQL scripts of users: parsed by Postgres' own parser, and run statement by statement with the caller's rights.

mod kind;
mod run;
mod scan;
mod targets;

use std::ffi::{CStr, CString};

use pgrx::{PgList, PgMemoryContexts, pg_sys};

pub use self::kind::Kind;
pub use self::run::run_script;
pub use self::targets::ForeignKey;
use super::guard;
use super::mismatch::Raised;
use super::subtransaction::or_error;

/// A parsed script.
pub struct Script {
    text: CString,
    statements: Vec<Statement>,
    /// Lines, counted from 1, that are not SQL: psql's own commands, and the data of COPY.
    pub not_sql: Vec<usize>,
    /// Holds the parse trees.
    memory: PgMemoryContexts,
}

/// A statement of a [`Script`].
#[derive(Clone, Copy)]
pub struct Statement {
    tree: *mut pg_sys::RawStmt,
    /// Offsets in bytes of its first token and of its end.
    start: usize,
    end: usize,
}

impl Script {
    /// Parses a script. If it cannot be parsed as it is, lines that only psql understands are taken out.
    ///
    /// `sql` must not contain NUL. An error is one of Postgres about the text.
    pub fn parse(sql: &str) -> Result<Script, Box<Raised>> {
        match Self::parse_exactly(sql.to_owned()) {
            Ok(script) => Ok(script),
            Err(error) => match scan::without_psql(sql) {
                Some(rest) => {
                    let script = Self::parse_exactly(rest.sql)?;
                    Ok(Script { not_sql: rest.lines, ..script })
                }
                None => Err(error),
            },
        }
    }

    fn parse_exactly(sql: String) -> Result<Script, Box<Raised>> {
        let text = CString::new(sql).expect("texts contain no NUL");
        let mut memory = PgMemoryContexts::new("pg_versioned script");
        // SAFETY: the parser only reads the text, which moves into the result; the trees live in `memory`.
        let list = or_error(|| unsafe { memory.switch_to(|_| guard::raw_parser(text.as_ptr(), PARSE_AS_SCRIPT)) })?;
        // SAFETY: the parser returns a list of RawStmt.
        let trees = unsafe { PgList::<pg_sys::RawStmt>::from_pg(list) };
        let statements = trees.iter_ptr().map(|tree| {
            // SAFETY: as above.
            let (location, length) = unsafe { ((*tree).stmt_location, (*tree).stmt_len) };
            let begin = usize::try_from(location).unwrap_or_default();
            let end = if length > 0 { begin + length as usize } else { text.as_bytes().len() };
            let start = begin + scan::first_token(&text.as_bytes()[begin..end]);
            Statement { tree, start, end }
        });
        let statements = statements.collect();
        Ok(Script { statements, not_sql: Vec::new(), memory, text })
    }

    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The text of a statement, without comments before it.
    pub fn text_of(&self, statement: Statement) -> &str {
        self.text()[statement.start..statement.end].trim_end()
    }

    /// Line and column of a statement's beginning, counted from 1.
    pub fn position_of(&self, statement: Statement) -> (usize, usize) {
        line_and_column(self.text(), self.text()[..statement.start].chars().count() + 1)
    }

    /// Line and column of a character, counted from 1 as Postgres counts it.
    pub fn position(&self, character: usize) -> (usize, usize) {
        line_and_column(self.text(), character)
    }

    fn text(&self) -> &str {
        self.text.to_str().expect("made of a str")
    }

    fn source(&self) -> &CStr {
        &self.text
    }
}

const PARSE_AS_SCRIPT: pg_sys::RawParseMode::Type = pg_sys::RawParseMode::RAW_PARSE_DEFAULT;

/// Line and column of a character of a text; all counted from 1.
pub fn line_and_column(text: &str, character: usize) -> (usize, usize) {
    let before = text.chars().take(character.saturating_sub(1));
    before.fold((1, 1), |(line, column), c| if c == '\n' { (line + 1, 1) } else { (line, column + 1) })
}

/// The text of a C string that may be null.
///
/// # Safety
/// It must be a string or null.
unsafe fn text(string: *const core::ffi::c_char) -> Option<String> {
    // SAFETY: see above.
    (!string.is_null()).then(|| unsafe { CStr::from_ptr(string).to_string_lossy().into_owned() })
}

/// A node of a parse tree as the struct of its tag.
///
/// # Safety
/// The node must be valid, and `T` the struct that belongs to `tag`.
unsafe fn as_node<T>(node: *mut pg_sys::Node, tag: pg_sys::NodeTag) -> Option<*mut T> {
    // SAFETY: see above.
    unsafe { (!node.is_null() && (*node).type_ == tag).then_some(node.cast()) }
}

#[cfg(test)]
mod tests {
    use super::line_and_column;

    #[test]
    fn positions_count_characters() {
        let text = "é;\nSELECT 'ü'\nx";
        assert_eq!(line_and_column(text, 1), (1, 1));
        assert_eq!(line_and_column(text, 2), (1, 2));
        assert_eq!(line_and_column(text, 4), (2, 1));
        assert_eq!(line_and_column(text, 15), (3, 1));
        assert_eq!(line_and_column(text, 99), (3, 2));
        assert_eq!(line_and_column("", 0), (1, 1));
    }
}
