//! How the users of a project are named in git. Knows nothing about Postgres.

use std::collections::BTreeMap;

use pgrx::Uuid;
use serde_json::Value as Json;

use crate::error::Error;
use crate::input::{self, abridged};

/// Users and their idents, `Name <email>`.
#[derive(Debug, Default)]
pub struct Authors(BTreeMap<Uuid, String>);

impl Authors {
    /// Reads the argument `p_authors`. 22023 if it is not an object of user ids and idents.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let Ok(Json::Object(object)) = serde_json::from_str(json) else {
            return Err(Error::Invalid("p_authors must be a JSON object".to_owned()));
        };
        let pairs = object.into_iter().map(|(key, value)| {
            let shown = abridged(&key);
            let user = input::uuid(&key)
                .ok_or_else(|| Error::Invalid(format!("p_authors has the key \"{shown}\", which is not a uuid")))?;
            match value {
                Json::String(ident) if is_ident(&ident) => Ok((user, ident)),
                _ => Err(Error::Invalid(format!("p_authors: \"{shown}\" must be a text of the form Name <email>"))),
            }
        });
        Ok(Authors(pairs.collect::<Result<_, Error>>()?))
    }

    /// The ident of a user; without one in `p_authors`, the user's id.
    pub fn ident(&self, user: Option<Uuid>) -> String {
        match user {
            None => "unknown <>".to_owned(),
            Some(user) => self.0.get(&user).cloned().unwrap_or_else(|| format!("{user} <{user}>")),
        }
    }
}

/// Whether a text is a name and an email that git can tell apart.
fn is_ident(text: &str) -> bool {
    let parts = text.strip_suffix('>').and_then(|text| text.split_once(" <"));
    parts.is_some_and(|(name, email)| {
        let is_plain = |part: &str| !part.contains(|c: char| c == '<' || c == '>' || c.is_control());
        !name.trim().is_empty() && is_plain(name) && is_plain(email)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "5e1f0000-0000-4000-8000-00000000000a";

    fn ident(json: &str, user: &str) -> String {
        Authors::parse(json).unwrap().ident(input::uuid(user))
    }

    #[test]
    fn users_have_idents() {
        let json = format!("{{\"{}\": \"Ada Löv <ada@example.com>\"}}", ADA.to_uppercase());
        assert_eq!(ident(&json, ADA), "Ada Löv <ada@example.com>");
        assert_eq!(ident("{}", ADA), format!("{ADA} <{ADA}>"));
        assert_eq!(Authors::default().ident(None), "unknown <>");
    }

    #[test]
    fn idents_have_one_form() {
        for good in ["A <>", "A B <a b>", "\"A\", jr. <a@b>"] {
            assert!(is_ident(good), "{good}");
        }
        for bad in
            ["", "A", "<a@b>", " <a@b>", "A<a@b>", "A <a@b", "A <a@b> ", "A <a<b>", "A> <a@b>", "A <a>\n", "A\n <a>"]
        {
            assert!(!is_ident(bad), "{bad}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let ada = |value: &str| format!("{{\"{ADA}\": {value}}}");
        let due = format!("p_authors: \"{ADA}\" must be a text of the form Name <email>");
        for (json, message) in [
            ("[]".to_owned(), "p_authors must be a JSON object"),
            ("null".to_owned(), "p_authors must be a JSON object"),
            ("{\"ada\": \"A <a@b>\"}".to_owned(), "p_authors has the key \"ada\", which is not a uuid"),
            (ada("null"), &due),
            (ada("[\"A <a@b>\"]"), &due),
            (ada("\"A <a@b>\\ncommitter B <b@c>\""), &due),
        ] {
            let error = Authors::parse(&json).unwrap_err();
            assert_eq!((error.sqlstate(), error.to_string()), ("22023", message.to_owned()), "{json}");
        }
    }
}
