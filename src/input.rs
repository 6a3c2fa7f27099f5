//! Checks of arguments shared by several functions: each error names the argument and its limit.

use pgrx::Uuid;

use crate::error::Error;
use crate::path;
use crate::settings;

/// Maximum length of a file type, in bytes.
const MAX_FILE_TYPE_BYTES: usize = 255;

/// An argument that must not be NULL.
pub fn required<T>(value: Option<T>, name: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::Invalid(format!("{name} must not be null")))
}

pub fn project(value: Option<Uuid>, name: &str) -> Result<Uuid, Error> {
    required(value, name)
}

/// A single line of text with 1 to `most` bytes.
pub fn line<'a>(value: Option<&'a str>, name: &str, most: usize) -> Result<&'a str, Error> {
    let text = required(value, name)?;
    if text.trim().is_empty() || text.len() > most || text.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "{name} must have 1 to {most} bytes, must not be blank, and must not contain control characters"
        )));
    }
    Ok(text)
}

/// Text of any form, with at most `most` bytes, or NULL.
pub fn prose<'a>(value: Option<&'a str>, name: &str, most: usize) -> Result<Option<&'a str>, Error> {
    match value {
        Some(text) if text.len() > most => {
            Err(Error::Invalid(format!("{name} has {} bytes, the limit is {most}", text.len())))
        }
        _ => Ok(value),
    }
}

pub fn file_path<'a>(value: Option<&'a str>, name: &str) -> Result<&'a str, Error> {
    let text = required(value, name)?;
    match path::check(text) {
        Ok(()) => Ok(text),
        Err(problem) => Err(Error::Invalid(format!("{name} \"{}\" is not a valid path: {problem}", abridged(text)))),
    }
}

pub fn content<'a>(value: Option<&'a str>, name: &str) -> Result<&'a str, Error> {
    let text = required(value, name)?;
    let limit = settings::MAX_FILE_SIZE.get() as usize;
    if text.len() > limit {
        return Err(Error::Invalid(format!(
            "{name} has {} bytes, the limit pg_versioned.max_file_size is {limit}",
            text.len()
        )));
    }
    Ok(text)
}

pub fn file_type<'a>(value: Option<&'a str>, name: &str) -> Result<&'a str, Error> {
    line(value, name, MAX_FILE_TYPE_BYTES)
}

pub fn expected_version(value: Option<i32>, name: &str) -> Result<Option<i32>, Error> {
    match value {
        Some(n) if n < 0 => Err(Error::Invalid(format!("{name} must be 0 or more, not {n}"))),
        _ => Ok(value),
    }
}

/// A number from `least` to `most`.
pub fn within(value: Option<i32>, name: &str, least: i32, most: i32) -> Result<i32, Error> {
    let n = required(value, name)?;
    if (least..=most).contains(&n) {
        Ok(n)
    } else {
        Err(Error::Invalid(format!("{name} must be from {least} to {most}, not {n}")))
    }
}

/// Reads a uuid in its canonical form, 8-4-4-4-12 hexadecimal digits.
pub fn uuid(text: &str) -> Option<Uuid> {
    let groups = text.split('-').map(str::len);
    if !groups.eq([8, 4, 4, 4, 12]) {
        return None;
    }
    let digits: String = text.split('-').collect();
    let value = if digits.starts_with('+') { None } else { u128::from_str_radix(&digits, 16).ok() };
    value.map(|v| Uuid::from_bytes(v.to_be_bytes()))
}

/// A text in the form shown in error messages: not too long, with control characters escaped.
pub fn abridged(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut shown = String::new();
    for c in text.chars().take(LONGEST) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_canonical_uuids_only() {
        let id = uuid("0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b").unwrap();
        assert_eq!(id.to_string(), "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b");
        for text in ["", "auth0|123", "0190a1b2c3d47e5f8a6b7c8d9e0f1a2b", "+190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"] {
            assert!(uuid(text).is_none(), "{text}");
        }
    }

    #[test]
    fn messages_show_texts_safely() {
        assert_eq!(abridged("a b"), "a b");
        assert_eq!(abridged("\u{1b}[31m\n"), "\\u{1b}[31m\\n");
        assert_eq!(abridged(&"é".repeat(101)), format!("{}…", "é".repeat(100)));
    }
}
