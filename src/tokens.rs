//! The words of SQL and PL/pgSQL: comments left out, strings and quoted identifiers recognized.

use std::iter::Peekable;
use std::str::CharIndices;

/// A word of a function's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A keyword or an identifier without quotes, in lower case.
    Word(String),
    /// An identifier in quotes, without them.
    Quoted(String),
    Number,
    /// A string, without quotes and escapes.
    Text(String),
    /// Anything else: one character, or `::` or `:=`.
    Symbol(&'static str),
    /// A character that means nothing here.
    Other,
}

impl Token {
    /// Whether it is this keyword.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word == keyword)
    }

    /// Whether it is this symbol.
    pub fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self, Token::Symbol(own) if *own == symbol)
    }

    /// The identifier that it may be.
    pub fn identifier(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Quoted(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it names this column, table or variable.
    pub fn names(&self, name: &str) -> bool {
        self.identifier() == Some(name)
    }
}

const SYMBOLS: [&str; 12] = ["(", ")", "[", "]", ",", ";", ".", "+", "-", "*", "=", ":"];

struct Reader<'t> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
}

/// The tokens of a text. What is not complete, such as a string without its end, reaches to the end of the text.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { text, rest: text.char_indices().peekable() };
    let mut tokens = Vec::new();
    while let Some(token) = reader.next() {
        tokens.extend(token);
    }
    tokens
}

fn begins_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_word(c: char) -> bool {
    begins_word(c) || c.is_ascii_digit() || c == '$'
}

impl<'t> Reader<'t> {
    fn position(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |&(at, _)| at)
    }

    fn ahead(&mut self) -> &'t str {
        &self.text[self.position()..]
    }

    fn skip(&mut self, bytes: usize) {
        let end = self.position() + bytes;
        while self.rest.next_if(|&(at, _)| at < end).is_some() {}
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let begin = self.position();
        while self.rest.next_if(|&(_, c)| belongs(c)).is_some() {}
        let end = self.position();
        &self.text[begin..end]
    }

    /// The next token; `Some(None)` is space or a comment.
    fn next(&mut self) -> Option<Option<Token>> {
        let ahead = self.ahead();
        let first = ahead.chars().next()?;
        if first.is_whitespace() {
            self.take_while(char::is_whitespace);
            return Some(None);
        }
        if ahead.starts_with("--") {
            self.take_while(|c| c != '\n');
            return Some(None);
        }
        if ahead.starts_with("/*") {
            self.comment();
            return Some(None);
        }
        if let Some(token) = self.text_or_quoted(ahead) {
            return Some(Some(token));
        }
        if begins_word(first) {
            return Some(Some(Token::Word(self.take_while(continues_word).to_ascii_lowercase())));
        }
        if first.is_ascii_digit() {
            self.number();
            return Some(Some(Token::Number));
        }
        let symbol = ["::", ":="].into_iter().chain(SYMBOLS).find(|symbol| ahead.starts_with(symbol));
        self.skip(symbol.map_or(first.len_utf8(), str::len));
        Some(Some(symbol.map_or(Token::Other, Token::Symbol)))
    }

    /// Comments may be nested.
    fn comment(&mut self) {
        let mut depth = 0;
        loop {
            let ahead = self.ahead();
            if ahead.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if ahead.starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else if self.rest.next().is_none() {
                return;
            }
        }
    }

    /// `12`, `1.5`, `1e-3`; in `1..9` only the first digit.
    fn number(&mut self) {
        let digits = |c: char| c.is_ascii_digit() || c == '_';
        self.take_while(digits);
        let ahead = self.ahead();
        if ahead.starts_with('.') && !ahead.starts_with("..") {
            self.skip(1);
            self.take_while(digits);
        }
        let ahead = self.ahead();
        let exponent = ahead.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
        if let Some(rest) = exponent.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            self.skip(ahead.len() - rest.len());
            self.take_while(digits);
        }
    }

    fn text_or_quoted(&mut self, ahead: &str) -> Option<Token> {
        if ahead.starts_with('$') {
            return self.dollar_quoted(ahead);
        }
        let (prefix, quote) = ["", "e", "n", "b", "x", "u&"].into_iter().find_map(|prefix| {
            let (begin, rest) = ahead.split_at_checked(prefix.len())?;
            let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
            // Before a double quote, only U& is a prefix.
            let fits = begin.eq_ignore_ascii_case(prefix) && (quote == '\'' || prefix.is_empty() || prefix == "u&");
            fits.then_some((prefix, quote))
        })?;
        self.skip(prefix.len() + 1);
        let text = self.until(quote, prefix == "e");
        Some(if quote == '"' { Token::Quoted(text) } else { Token::Text(text) })
    }

    /// What stands before the closing quote. A doubled one stands for itself, and with `escapes` so does what follows a
    /// backslash.
    fn until(&mut self, quote: char, escapes: bool) -> String {
        let mut text = String::new();
        while let Some((_, c)) = self.rest.next() {
            if c == quote && self.rest.next_if(|&(_, next)| next == quote).is_none() {
                break;
            }
            text.push(if escapes && c == '\\' { self.rest.next().map_or('\\', |(_, next)| next) } else { c });
        }
        text
    }

    /// `$$text$$` or `$tag$text$tag$`; a parameter such as `$1` is not one.
    fn dollar_quoted(&mut self, ahead: &str) -> Option<Token> {
        let tag = &ahead[1..][..ahead[1..].find('$')?];
        let is_tag = tag.is_empty() || (tag.starts_with(begins_word) && tag.chars().all(continues_word));
        let delimiter = &ahead[..tag.len() + 2];
        let body = is_tag.then(|| &ahead[delimiter.len()..])?;
        let end = body.find(delimiter);
        let text = &body[..end.unwrap_or(body.len())];
        self.skip(delimiter.len() + text.len() + end.map_or(0, |_| delimiter.len()));
        Some(Token::Text(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Token {
        Token::Word(text.to_owned())
    }

    fn text(text: &str) -> Token {
        Token::Text(text.to_owned())
    }

    fn quoted(text: &str) -> Token {
        Token::Quoted(text.to_owned())
    }

    use Token::{Number, Other, Symbol};

    #[test]
    fn words_are_folded_and_quoted_ones_are_not() {
        assert_eq!(tokens("Max(\"Version\")"), [word("max"), Symbol("("), quoted("Version"), Symbol(")")]);
        assert_eq!(tokens("a$1 _b é Ü1"), [word("a$1"), word("_b"), word("é"), word("Ü1")]);
        assert_eq!(tokens(r#""a""b" U&"c""#), [quoted("a\"b"), quoted("c")]);
    }

    #[test]
    fn comments_are_left_out() {
        assert_eq!(tokens("a -- max(version)\nb"), [word("a"), word("b")]);
        assert_eq!(tokens("a /* x /* y */ z */ b"), [word("a"), word("b")]);
        assert_eq!(tokens("a /* never ends"), [word("a")]);
        assert_eq!(tokens("a --"), [word("a")]);
        assert_eq!(tokens("3 - -2"), [Number, Symbol("-"), Symbol("-"), Number]);
    }

    #[test]
    fn strings_of_every_kind() {
        assert_eq!(tokens("'it''s'"), [text("it's")]);
        assert_eq!(tokens(r"'a\' b"), [text(r"a\"), word("b")]);
        assert_eq!(tokens(r"E'a\'b' c"), [text("a'b"), word("c")]);
        assert_eq!(tokens("n'x' B'1' X'f' u&'y' e'' name'z'").len(), 7);
        assert_eq!(tokens("$$a 'b' -- c$$ d"), [text("a 'b' -- c"), word("d")]);
        assert_eq!(tokens("$f$ $$ $g$ $f$"), [text(" $$ $g$ ")]);
        assert_eq!(tokens("$1 + $2"), [Other, Number, Symbol("+"), Other, Number]);
        assert_eq!(tokens("$é$x$é$"), [text("x")]);
        assert_eq!(tokens("'never ends"), [text("never ends")]);
        assert_eq!(tokens("$$never ends"), [text("never ends")]);
        assert_eq!(tokens("\"never ends"), [quoted("never ends")]);
        assert_eq!(tokens("'"), [text("")]);
    }

    #[test]
    fn numbers_and_symbols() {
        assert_eq!(tokens("1..10"), [Number, Symbol("."), Symbol("."), Number]);
        assert_eq!(tokens("1.5e-3+1."), [Number, Symbol("+"), Number]);
        assert_eq!(tokens("a::int:=1"), [word("a"), Symbol("::"), word("int"), Symbol(":="), Number]);
        assert_eq!(tokens("a<>b;"), [word("a"), Other, Other, word("b"), Symbol(";")]);
        assert!(tokens("").is_empty());
    }
}
