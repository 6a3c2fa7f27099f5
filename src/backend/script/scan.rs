//! What Postgres' own scanner finds in a text.

use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pgrx::{PgMemoryContexts, pg_sys};

use super::super::guard;

/// Passes the offset of each token to `each` until it returns `false`. What the scanner cannot read ends it, too.
fn tokens(sql: &CStr, mut each: impl FnMut(usize) -> bool) {
    let mut memory = PgMemoryContexts::new("pg_versioned scanner");
    // SAFETY: all memory that the scanner uses is in its own context, and nothing else is left behind by an error.
    let scanned = catch_unwind(AssertUnwindSafe(|| unsafe { memory.switch_to(|_| scan(sql, &mut each)) }));
    drop(scanned);
}

/// # Safety
/// The current memory context is used, and not cleared.
unsafe fn scan(sql: &CStr, each: &mut impl FnMut(usize) -> bool) {
    let mut extra = MaybeUninit::<pg_sys::core_yy_extra_type>::zeroed();
    // SAFETY: the scanner works on a copy of the text.
    unsafe {
        let scanner = pg_sys::scanner_init(
            sql.as_ptr(),
            extra.as_mut_ptr(),
            &raw const pg_sys::ScanKeywords,
            (&raw const pg_sys::ScanKeywordTokens).cast(),
        );
        let mut value = MaybeUninit::<pg_sys::core_YYSTYPE>::zeroed();
        let mut at: c_int = 0;
        while guard::core_yylex(value.as_mut_ptr(), &mut at, scanner) != 0 {
            if !each(at as usize) {
                break;
            }
        }
        pg_sys::scanner_finish(scanner);
    }
}

/// The offset of the first token, which comments and white space may precede.
pub fn first_token(sql: &[u8]) -> usize {
    let text = CString::new(sql).expect("texts contain no NUL");
    let mut first = 0;
    tokens(&text, |at| {
        first = at;
        false
    });
    first
}

/// How many bytes are scanned at first for a part that is not SQL.
const FIRST_WINDOW: usize = 1 << 16;

/// A script without what only psql understands.
pub struct WithoutPsql {
    /// As long as the script, in characters and lines.
    pub sql: String,
    /// The lines that were taken out, counted from 1.
    pub lines: Vec<usize>,
}

/// Blanks out psql's commands, from a backslash to the end of its line, and the data after `COPY ... FROM stdin;`, to the line
/// `\.`. `None` if there are none.
pub fn without_psql(sql: &str) -> Option<WithoutPsql> {
    let mut blank: Vec<(usize, usize)> = Vec::new();
    let mut from = 0;
    while let Some((start, end)) = next_foreign_part(sql, from) {
        blank.push((start, end));
        from = end;
    }
    if blank.is_empty() {
        return None;
    }
    let mut result = String::with_capacity(sql.len());
    let mut lines = Vec::new();
    let (mut at, mut line) = (0, 1);
    for (start, end) in blank {
        let (before, part) = (&sql[at..start], &sql[start..end]);
        line += before.matches('\n').count();
        let next = line + part.matches('\n').count();
        lines.extend(if part.ends_with('\n') { line..next } else { line..next + 1 });
        result.push_str(before);
        result.extend(part.chars().map(|c| if c == '\n' { c } else { ' ' }));
        (at, line) = (end, next);
    }
    result.push_str(&sql[at..]);
    lines.dedup();
    Some(WithoutPsql { sql: result, lines })
}

/// Beginning and end of the next part, from an offset on, that is not SQL.
fn next_foreign_part(sql: &str, from: usize) -> Option<(usize, usize)> {
    // Not the entire rest each time: a dump may have thousands of such parts.
    let mut window = FIRST_WINDOW;
    loop {
        let end = sql.floor_char_boundary(from.saturating_add(window));
        let found = foreign_part(&sql[from..], end - from);
        if found.is_some() || end == sql.len() {
            return found.map(|(start, end)| (from + start, from + end));
        }
        window *= 2;
    }
}

/// The first part of a text that is not SQL, if it begins within the first `window` bytes.
fn foreign_part(rest: &str, window: usize) -> Option<(usize, usize)> {
    let text = CString::new(&rest[..window]).expect("texts contain no NUL");
    let mut found = None;
    let mut copy = Copy::default();
    // The token before is known in full only when the next one begins.
    let mut last: Option<usize> = None;
    let mut look = |start: usize, end: usize| {
        let token = rest[start..end].trim_end();
        if token.starts_with('\\') {
            found = Some((start, line_end(rest, start)));
        } else if copy.ends_with(token) {
            let data = line_end(rest, start);
            found = Some((data, data_end(rest, data))).filter(|(start, end)| start < end);
        }
        found.is_none()
    };
    tokens(&text, |at| {
        // What psql does not send need not be anything that the scanner understands.
        let (start, here) = (last.replace(at), &rest[at..]);
        let goes_on = start.is_none_or(|start| look(start, at));
        if goes_on && (here.starts_with('\\') || here.starts_with(';')) { look(at, at + 1) } else { goes_on }
    });
    found
}

/// Offset after the line that `at` is in.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |length| at + length + 1)
}

/// Offset after the data that begin at `at`.
fn data_end(text: &str, at: usize) -> usize {
    let mut end = at;
    for line in text[at..].split_inclusive('\n') {
        end += line.len();
        if line.trim_end() == "\\." {
            break;
        }
    }
    end
}

/// Recognizes `COPY ... FROM stdin ...;` token by token.
#[derive(Default)]
struct Copy {
    is_within: bool,
    is_from: bool,
    is_from_stdin: bool,
    is_begun: bool,
}

impl Copy {
    /// Takes the next token; true if it ends such a statement.
    fn ends_with(&mut self, token: &str) -> bool {
        if token == ";" {
            let ends = self.is_from_stdin;
            *self = Copy::default();
            return ends;
        }
        self.is_within |= !self.is_begun && token.eq_ignore_ascii_case("copy");
        self.is_begun = true;
        self.is_from_stdin |= self.is_within && self.is_from && token.eq_ignore_ascii_case("stdin");
        self.is_from = token.eq_ignore_ascii_case("from");
        false
    }
}
