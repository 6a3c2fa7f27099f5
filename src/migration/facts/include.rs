//! What counts only on request.

use crate::backend::Call;
use crate::error::Error;
use crate::input;

/// Which aspects of objects count, beside what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Include {
    pub owners: bool,
    pub grants: bool,
    pub comments: bool,
}

impl Include {
    /// Reads `p_include`, argument number `index` of the call. 22023 if it is not what it must be.
    pub fn from_argument(call: &Call, index: usize) -> Result<Self, Error> {
        Self::parse(&input::required(call.argument::<Vec<Option<String>>>(index), "p_include")?)
    }

    fn parse(words: &[Option<String>]) -> Result<Self, Error> {
        let mut include = Include::default();
        for word in words {
            match word.as_deref() {
                Some("owners") => include.owners = true,
                Some("grants") => include.grants = true,
                Some("comments") => include.comments = true,
                other => {
                    let other = other.map_or("null".to_owned(), |word| format!("\"{}\"", input::abridged(word)));
                    return Err(Error::Invalid(format!(
                        "p_include may contain \"owners\", \"grants\" and \"comments\", not {other}"
                    )));
                }
            }
        }
        Ok(include)
    }
}

#[cfg(test)]
mod tests {
    use super::Include;

    fn parse(words: &[Option<&str>]) -> Result<Include, String> {
        let words: Vec<Option<String>> = words.iter().map(|word| word.map(str::to_owned)).collect();
        Include::parse(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn three_words_in_any_order() {
        assert_eq!(parse(&[]), Ok(Include::default()));
        assert_eq!(
            parse(&[Some("comments"), Some("owners")]),
            Ok(Include { owners: true, grants: false, comments: true })
        );
        assert_eq!(parse(&[Some("grants"), Some("grants")]), Ok(Include { grants: true, ..Include::default() }));
    }

    #[test]
    fn any_other_word_is_named() {
        for (words, named) in [([Some("Owners")], "not \"Owners\""), ([Some("")], "not \"\""), ([None], "not null")] {
            assert!(parse(&words).unwrap_err().contains(named), "{words:?}");
        }
    }
}
