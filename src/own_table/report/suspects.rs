//! Functions that count versions in a way that loses races: they read the highest or the current version and go on from
//! it, and nothing keeps another transaction from doing the same at the same time.
//!
//! This is an analysis of words, not of meaning. It looks for the usual ways to write such functions.

use std::collections::BTreeSet;

use crate::tokens::{Token, tokens};

/// The table, and the columns that a function would count by.
pub struct Subject<'a> {
    pub schema: &'a str,
    pub table: &'a str,
    pub version: &'a str,
    pub current: Option<&'a str>,
    /// The names of the tables that the parents are in, as far as they are known.
    pub parents: &'a [String],
}

/// A function.
pub struct Suspect<'a> {
    pub body: &'a str,
    /// In other functions, no statement sees what was committed while the one before it waited for a lock.
    pub is_volatile: bool,
    /// Whether it is called by a trigger of the table.
    pub is_trigger: bool,
}

/// What a function counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counting {
    /// `max(version) + 1`
    Maximum,
    /// `ORDER BY version DESC LIMIT 1`, and then `+ 1`
    Latest,
    /// Reading the current row, with or without `FOR UPDATE`, and then `+ 1`
    Current,
}

type Statement<'t> = &'t [Token];

/// How the function counts without a lock; `None` if it does not, or with one.
pub fn unsafe_counting(suspect: &Suspect, subject: &Subject) -> Option<Counting> {
    let tokens = with_executed_texts(tokens(suspect.body));
    let statements: Vec<Statement> = tokens.split(|token| token.is_symbol(";")).collect();
    let mut found = BTreeSet::new();
    let mut is_locked = false;
    for (number, statement) in statements.iter().enumerate() {
        let is_about = mentions(statement, subject) || (suspect.is_trigger && names_own_table(statement));
        // A lock taken by the same statement comes after its snapshot.
        if is_about && !is_locked {
            let later = &statements[number..];
            found.extend([from_maximum, from_latest, from_current].iter().filter_map(|from| from(later, subject)));
        }
        is_locked |= suspect.is_volatile && locks(statement, subject);
    }
    found.first().copied()
}

/// The same tokens, with those of the strings that EXECUTE runs in their place.
fn with_executed_texts(all: Vec<Token>) -> Vec<Token> {
    let mut result = Vec::with_capacity(all.len());
    let mut executes = false;
    for token in all {
        match token {
            Token::Text(text) if executes => result.extend(tokens(&text).into_iter().filter(|t| !t.is_symbol(";"))),
            token => {
                executes = token.is("execute") || (executes && !token.is_symbol(";"));
                result.push(token);
            }
        }
    }
    result
}

/// Whether a token that is the subject's name is qualified with another schema.
fn is_elsewhere(statement: Statement, at: usize, subject: &Subject) -> bool {
    at >= 2 && statement[at - 1].is_symbol(".") && !statement[at - 2].names(subject.schema)
}

fn is_subject(statement: Statement, at: usize, subject: &Subject) -> bool {
    statement[at].names(subject.table) && !is_elsewhere(statement, at, subject)
}

fn mentions(statement: Statement, subject: &Subject) -> bool {
    (0..statement.len()).any(|at| is_subject(statement, at, subject))
}

/// What a trigger calls the table that it is on.
fn names_own_table(statement: Statement) -> bool {
    ["tg_table_name", "tg_relname", "tg_relid"].iter().any(|name| contains(statement, name))
}

fn contains(statement: Statement, keyword: &str) -> bool {
    statement.iter().any(|token| token.is(keyword))
}

/// Where this sequence of keywords begins.
fn find(statement: Statement, keywords: &[&str]) -> Option<usize> {
    statement.windows(keywords.len()).position(|tokens| tokens.iter().zip(keywords).all(|(token, word)| token.is(word)))
}

/// `max(version)`, counted on from in this statement or, by way of a variable or an alias, in a later one.
fn from_maximum(statements: &[Statement], subject: &Subject) -> Option<Counting> {
    let statement = statements[0];
    let calls = (0..statement.len()).filter(|&at| {
        let end = if statement[at].is("max") { closing(statement, at + 1) } else { None };
        end.is_some_and(|end| statement[at + 2..end].iter().any(|token| token.names(subject.version)))
    });
    for at in calls {
        let call = (at, closing(statement, at + 1)?);
        let mut holders = targets(statement);
        if is_incremented(statement, call, &mut holders)
            || statements.iter().any(|later| increments_any(later, &holders, subject))
        {
            return Some(Counting::Maximum);
        }
    }
    None
}

/// `ORDER BY version DESC … LIMIT 1`, counted on from.
fn from_latest(statements: &[Statement], subject: &Subject) -> Option<Counting> {
    let statement = statements[0];
    let order = find(statement, &["order", "by"])?;
    let after = &statement[order..];
    let limit = find(after, &["limit"]).filter(|at| after.get(at + 1) == Some(&Token::Number));
    let limit = limit.or_else(|| find(after, &["fetch", "first"])).or_else(|| find(after, &["fetch", "next"]))?;
    let by_version = after[..limit].windows(2).any(|pair| pair[0].names(subject.version) && pair[1].is("desc"));
    (by_version && goes_on(statements, subject)).then_some(Counting::Latest)
}

/// The current row, or any that is locked, counted on from.
fn from_current(statements: &[Statement], subject: &Subject) -> Option<Counting> {
    let statement = statements[0];
    let selects = find(statement, &["select"])?;
    let condition = find(&statement[selects..], &["where"]).map_or(&[][..], |at| &statement[selects + at..]);
    let by_flag = subject.current.is_some_and(|current| condition.iter().any(|token| token.names(current)));
    ((by_flag || locks_rows(statement).is_some()) && goes_on(statements, subject)).then_some(Counting::Current)
}

/// Whether the version that the first statement reads is incremented by it, or by a later one.
fn goes_on(statements: &[Statement], subject: &Subject) -> bool {
    let statement = statements[0];
    let records = targets(statement);
    let mut columns = BTreeSet::from([subject.version.to_owned()]);
    columns.extend(statement.windows(3).filter_map(|three| match three {
        [column, by, alias] if column.names(subject.version) && by.is("as") => alias.identifier().map(str::to_owned),
        _ => None,
    }));
    let of_record = |statement: Statement| {
        (2..statement.len()).any(|at| {
            let is_field = statement[at].identifier().is_some_and(|name| columns.contains(name));
            let is_of = statement[at - 1].is_symbol(".")
                && statement[at - 2].identifier().is_some_and(|name| records.contains(name));
            is_field && is_of && increments(statement, at, subject)
        })
    };
    increments_any(statement, &columns, subject)
        || statements[1..].iter().any(|later| of_record(later) || increments_any(later, &records, subject))
}

fn increments_any(statement: Statement, names: &BTreeSet<String>, subject: &Subject) -> bool {
    let is_named = |at: usize| statement[at].identifier().is_some_and(|name| names.contains(name));
    (0..statement.len()).any(|at| is_named(at) && increments(statement, at, subject))
}

/// Whether the identifier at this place is incremented. `SET version = version + 1` counts within a row, which is
/// locked by then.
fn increments(statement: Statement, at: usize, subject: &Subject) -> bool {
    let mut begin = at;
    while begin >= 2 && statement[begin - 1].is_symbol(".") && statement[begin - 2].identifier().is_some() {
        begin -= 2;
    }
    let sets_itself = begin >= 2
        && statement[begin - 1].is_symbol("=")
        && statement[begin - 2].names(subject.version)
        && statement[at].names(subject.version)
        && contains(statement, "update");
    !sets_itself && is_incremented(statement, (begin, at), &mut BTreeSet::new())
}

/// Functions that an incremented number may be wrapped in.
const WRAPPERS: [&str; 4] = ["coalesce", "greatest", "nullif", "cast"];

/// Keywords that a parenthesis may follow without being the arguments of a function.
const KEYWORDS: [&str; 27] = [
    "as",
    "select",
    "values",
    "and",
    "or",
    "not",
    "when",
    "then",
    "else",
    "return",
    "returning",
    "where",
    "on",
    "from",
    "by",
    "case",
    "using",
    "into",
    "perform",
    "if",
    "elsif",
    "set",
    "default",
    "materialized",
    "in",
    "is",
    "query",
];

/// Whether 1 is added to the expression between two tokens, or to a parenthesis around it. `names` receives the aliases
/// that it gets.
fn is_incremented(statement: Statement, (begin, end): (usize, usize), names: &mut BTreeSet<String>) -> bool {
    let (mut begin, mut end) = (begin, end);
    loop {
        while statement.get(end + 1).is_some_and(|token| token.is_symbol("::")) {
            end += 2;
            if let Some(close) = closing(statement, end + 1) {
                end = close;
            }
        }
        let symbol = |at: Option<usize>| at.and_then(|at| statement.get(at)).is_some_and(|token| token.is_symbol("+"));
        let number = |at: Option<usize>| at.and_then(|at| statement.get(at)) == Some(&Token::Number);
        if (symbol(Some(end + 1)) && number(Some(end + 2)))
            || (symbol(begin.checked_sub(1)) && number(begin.checked_sub(2)))
        {
            return true;
        }
        if statement.get(end + 1).is_some_and(|token| token.is("as"))
            && let Some(alias) = statement.get(end + 2).and_then(Token::identifier)
        {
            names.insert(alias.to_owned());
        }
        let Some(open) = opening(statement, begin) else { return false };
        let Some(close) = closing(statement, open) else { return false };
        (begin, end) = (open, close);
        if let Some(before) = open.checked_sub(1)
            && let Some(name) = statement[before].identifier()
        {
            if WRAPPERS.contains(&name) {
                begin = before;
            } else if !KEYWORDS.contains(&name) {
                return false;
            }
        }
    }
}

/// The parenthesis that closes the one at `open`; `None` if there is none there.
fn closing(statement: Statement, open: usize) -> Option<usize> {
    if !statement.get(open)?.is_symbol("(") {
        return None;
    }
    let mut depth = 0;
    statement.iter().enumerate().skip(open).find_map(|(at, token)| {
        depth += i32::from(token.is_symbol("(")) - i32::from(token.is_symbol(")"));
        (depth == 0).then_some(at)
    })
}

/// The parenthesis that is open before `at`.
fn opening(statement: Statement, at: usize) -> Option<usize> {
    let mut depth = 0;
    statement[..at].iter().enumerate().rev().find_map(|(at, token)| {
        depth += i32::from(token.is_symbol(")")) - i32::from(token.is_symbol("("));
        (depth < 0).then_some(at)
    })
}

/// What a variable's name may follow at the beginning of a statement.
const BEGINNINGS: [&str; 5] = ["then", "else", "begin", "loop", "declare"];

/// The statement without what precedes it: `IF … THEN`, `BEGIN` and so on.
fn without_beginning(statement: Statement) -> Statement {
    let begins = |token: &Token| BEGINNINGS.iter().any(|word| token.is(word));
    statement.iter().rposition(begins).map_or(statement, |at| &statement[at + 1..])
}

/// The variables that a statement of PL/pgSQL assigns to, by INTO, `:=`, `=`, DEFAULT or FOR … IN.
fn targets(statement: Statement) -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    let mut add = |token: &Token| targets.extend(token.identifier().map(str::to_owned));
    for (at, _) in statement.iter().enumerate().filter(|(_, token)| token.is("into")) {
        if at > 0 && statement[at - 1].is("insert") {
            continue;
        }
        let mut list = statement[at + 1..].iter().skip_while(|token| token.is("strict")).peekable();
        while let Some(name) = list.next().filter(|token| token.identifier().is_some()) {
            match list.peek() {
                Some(next) if next.is_symbol(".") => {}
                Some(next) if next.is_symbol(",") => add(name),
                _ => {
                    add(name);
                    break;
                }
            }
            list.next();
        }
    }
    if let Some(at) = statement.iter().position(|token| token.is_symbol(":=") || token.is("default")) {
        without_beginning(&statement[..at]).iter().for_each(&mut add);
    }
    let own = without_beginning(statement);
    let names = own.iter().take_while(|token| token.identifier().is_some() || token.is_symbol(".")).count();
    if own.get(names).is_some_and(|token| token.is_symbol("=")) {
        own[..names].iter().for_each(&mut add);
    }
    for three in statement.windows(3).filter(|three| three[0].is("for") && three[2].is("in")) {
        add(&three[1]);
    }
    targets
}

/// Whether whoever runs this statement after somebody else has to wait until that transaction ends.
fn locks(statement: Statement, subject: &Subject) -> bool {
    takes_advisory_lock(statement)
        || locks_table(statement)
        || locks_rows_of_another(statement, subject)
        || updates_parent(statement, subject)
}

fn takes_advisory_lock(statement: Statement) -> bool {
    ["pg_advisory_xact_lock", "pg_advisory_lock"].iter().any(|name| statement.iter().any(|token| token.names(name)))
}

/// LOCK TABLE in a mode that conflicts with itself, and is not SHARE, which several may hold.
fn locks_table(statement: Statement) -> bool {
    let Some((first, rest)) = without_beginning(statement).split_first() else { return false };
    if !first.is("lock") || rest.first().is_none_or(|token| token.identifier().is_none()) {
        return false;
    }
    let Some(mode) = rest.iter().rposition(|token| token.is("in")).map(|at| &rest[at + 1..]) else { return true };
    let first = mode.first();
    let by = |word: &str| first.is_some_and(|token| token.is(word));
    by("exclusive")
        || (by("access") && contains(mode, "exclusive"))
        || (by("share") && (contains(mode, "exclusive") || contains(mode, "update")))
}

/// What follows `FOR UPDATE` or `FOR NO KEY UPDATE`.
fn locks_rows(statement: Statement) -> Option<Statement> {
    let clauses: [&[&str]; 2] = [&["for", "update"], &["for", "no", "key", "update"]];
    clauses.iter().find_map(|clause| Some(&statement[find(statement, clause)? + clause.len()..]))
}

fn locks_rows_of_another(statement: Statement, subject: &Subject) -> bool {
    let Some(after) = locks_rows(statement) else { return false };
    let tables = tables(statement, subject);
    let of = after.first().filter(|token| token.is("of")).map(|_| &after[1..]);
    tables
        .iter()
        .any(|table| !table.is_subject && of.is_none_or(|names| names.iter().any(|token| token.names(table.alias))))
}

fn updates_parent(statement: Statement, subject: &Subject) -> bool {
    let Some(at) = find(statement, &["update"]) else { return false };
    let follows_for = at > 0 && ["for", "key", "do"].iter().any(|word| statement[at - 1].is(word));
    let mut table = statement[at + 1..].iter().take_while(|token| !token.is("set")).filter_map(Token::identifier);
    !follows_for && table.any(|name| subject.parents.iter().any(|parent| parent == name))
}

/// A table that a statement reads.
struct Read<'t> {
    alias: &'t str,
    is_subject: bool,
}

/// The tables after FROM and JOIN.
fn tables<'t>(statement: Statement<'t>, subject: &Subject) -> Vec<Read<'t>> {
    const ENDS: [&str; 18] = [
        "where", "join", "left", "right", "inner", "full", "cross", "natural", "on", "using", "group", "having",
        "order", "limit", "fetch", "for", "union", "loop",
    ];
    let mut tables = Vec::new();
    for (at, _) in statement.iter().enumerate().filter(|(_, token)| token.is("from") || token.is("join")) {
        let mut next = at + 1;
        loop {
            if statement.get(next).is_some_and(|token| token.is("only")) {
                next += 1;
            }
            while statement.get(next + 1).is_some_and(|token| token.is_symbol(".")) {
                next += 2;
            }
            let Some(name) = statement.get(next).and_then(Token::identifier) else { break };
            let is_subject = is_subject(statement, next, subject);
            let is_function = statement.get(next + 1).is_some_and(|token| token.is_symbol("("));
            next += 1;
            if statement.get(next).is_some_and(|token| token.is("as")) {
                next += 1;
            }
            let alias = statement.get(next).and_then(Token::identifier).filter(|word| !ENDS.contains(word));
            next += usize::from(alias.is_some());
            if !is_function {
                tables.push(Read { alias: alias.unwrap_or(name), is_subject });
            }
            if !statement.get(next).is_some_and(|token| token.is_symbol(",")) {
                break;
            }
            next += 1;
        }
    }
    tables
}

#[cfg(test)]
#[path = "suspects_tests.rs"]
mod tests;
