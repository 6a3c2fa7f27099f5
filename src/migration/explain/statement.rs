//! The names that a statement mentions.

use std::collections::HashSet;

use crate::tokens::{Token, tokens};

/// Longer names are cut off by Postgres.
const MAX_NAME_BYTES: usize = 63;

/// The names in a statement. Which of them are keywords or aliases is not known.
pub struct Mentions {
    paths: Vec<Vec<String>>,
    names: HashSet<String>,
}

impl Mentions {
    /// Also those in the code of DO and of functions.
    pub fn new(statement: &str) -> Mentions {
        let mut all = tokens(statement);
        let mut words = all.iter();
        let is_code = words.next().is_some_and(|first| first.is("do"))
            || (all.first().is_some_and(|first| first.is("create"))
                && words.take(4).any(|word| word.is("function") || word.is("procedure")));
        if is_code {
            all = all.into_iter().flat_map(inner).collect();
        }
        let mut mentions = Mentions { paths: Vec::new(), names: HashSet::new() };
        let mut seen = HashSet::new();
        let mut rest = all.as_slice();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            let Some(first) = first.identifier() else { continue };
            let mut path = vec![cut(first)];
            while let [dot, next, after @ ..] = rest
                && dot.is_symbol(".")
                && let Some(next) = next.identifier()
            {
                path.push(cut(next));
                rest = after;
            }
            if seen.insert(path.clone()) {
                mentions.names.extend(path.iter().cloned());
                mentions.paths.push(path);
            }
        }
        mentions
    }

    /// Every name with its qualifiers once, in order.
    pub fn paths(&self) -> impl Iterator<Item = &[String]> {
        self.paths.iter().map(Vec::as_slice)
    }

    /// Whether the name is there, with or without qualifiers.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether the name is there with this qualifier.
    pub fn has_path(&self, qualifier: &str, name: &str) -> bool {
        self.pairs().any(|pair| pair[0] == qualifier && pair[1] == name)
    }

    /// Whether the name qualifies another one.
    pub fn is_qualifier(&self, name: &str) -> bool {
        self.pairs().any(|pair| pair[0] == name)
    }

    /// The qualifier of the name, if it always has the same one.
    pub fn qualifier(&self, name: &str) -> Option<&str> {
        let mut qualifiers = self.pairs().filter(|pair| pair[1] == name).map(|pair| pair[0].as_str());
        let first = qualifiers.next()?;
        let is_alone = self.paths.iter().any(|path| path[0] == name);
        (!is_alone && qualifiers.all(|other| other == first)).then_some(first)
    }

    fn pairs(&self) -> impl Iterator<Item = &[String]> {
        self.paths.iter().flat_map(|path| path.windows(2))
    }
}

/// The words of a text, and of the texts in it.
fn inner(token: Token) -> Vec<Token> {
    match token {
        Token::Text(text) => tokens(&text)
            .into_iter()
            .flat_map(|token| match token {
                Token::Text(text) => tokens(&text),
                token => vec![token],
            })
            .collect(),
        token => vec![token],
    }
}

fn cut(name: &str) -> String {
    let mut end = name.len().min(MAX_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(statement: &str) -> Vec<String> {
        Mentions::new(statement).paths().map(|path| path.join("/")).collect()
    }

    #[test]
    fn names_with_their_qualifiers() {
        assert_eq!(
            paths("SELECT u.id, U.Id FROM \"public\".\"User\" u"),
            ["select", "u/id", "from", "public/User", "u"]
        );
        assert_eq!(paths("a . b.c.* 'x.y' -- d"), ["a/b/c"]);
        assert!(paths("").is_empty());
    }

    #[test]
    fn code_is_read_and_other_texts_are_not() {
        assert!(Mentions::new("DO $$ BEGIN EXECUTE 'DROP TABLE t'; END $$").has("t"));
        assert!(Mentions::new("create or replace function f() returns int as 'select 1 from t' language sql").has("t"));
        assert!(!Mentions::new("INSERT INTO a VALUES ('t')").has("t"));
    }

    #[test]
    fn qualifiers() {
        let mentions = Mentions::new("ALTER TABLE app.t ADD FOREIGN KEY (x) REFERENCES b.u, c.u, w");
        assert!(mentions.has_path("app", "t") && !mentions.has_path("b", "t"));
        assert_eq!(mentions.qualifier("t"), Some("app"));
        assert_eq!((mentions.qualifier("u"), mentions.qualifier("w")), (None, None));
    }

    #[test]
    fn long_names_are_cut_as_postgres_does() {
        let long = "é".repeat(40);
        assert!(Mentions::new(&format!("SELECT \"{long}\"")).has(&"é".repeat(31)));
    }
}
