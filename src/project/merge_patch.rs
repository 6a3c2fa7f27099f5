//! JSON merge patches (RFC 7396), over JSON texts: values are kept to the letter, which Rust's numbers could not.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// How deep a patch may be nested, arrays included: merging recurses into its objects.
const MAX_DEPTH: usize = 100;

type Object<'a> = BTreeMap<String, &'a RawValue>;

/// A patch that is an object.
pub struct Patch<'a>(Object<'a>);

impl<'a> Patch<'a> {
    /// Reads a patch; the error is about `name`.
    pub fn parse(json: &'a str, name: &str) -> Result<Patch<'a>, String> {
        if depth(json) > MAX_DEPTH {
            return Err(format!("{name} must not be nested more than {MAX_DEPTH} levels deep"));
        }
        object(json).map(Patch).ok_or_else(|| format!("{name} must be a JSON object"))
    }

    /// The value with the patch applied, as Postgres writes a `jsonb`; `None` if that changes nothing.
    pub fn apply(&self, value: &str) -> Option<String> {
        merged(Some(value), &self.0)
    }
}

fn object(json: &str) -> Option<Object<'_>> {
    serde_json::from_str(json).ok()
}

/// As RFC 7396 has it: what is not an object counts as an empty one, and changes by becoming one.
fn merged(target: Option<&str>, patch: &Object) -> Option<String> {
    let known = target.and_then(object);
    let mut changed = known.is_none();
    let mut members: BTreeMap<String, Cow<str>> =
        known.into_iter().flatten().map(|(key, value)| (key, value.get().into())).collect();
    for (key, value) in patch {
        let (old, value) = (members.get(key).map(|old| &**old), value.get());
        let new = if value == "null" {
            changed |= members.remove(key).is_some();
            continue;
        } else if let Some(patch) = object(value) {
            merged(old, &patch).map(Cow::Owned)
        } else {
            (old != Some(value)).then_some(Cow::Borrowed(value))
        };
        if let Some(new) = new {
            members.insert(key.clone(), new);
            changed = true;
        }
    }
    changed.then(|| text(&members))
}

fn text(members: &BTreeMap<String, Cow<str>>) -> String {
    let member = |(key, value)| format!("{}: {value}", serde_json::to_string(key).expect("a string"));
    format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
}

/// The deepest level of objects and arrays in a JSON text.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'{' | b'[' if !is_quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !is_quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json, json};

    use super::{MAX_DEPTH, Patch};

    fn apply(value: &str, patch: &str) -> Option<String> {
        Patch::parse(patch, "p").unwrap().apply(value)
    }

    /// The function MergePatch of RFC 7396, section 2.
    fn reference(target: Json, patch: &Json) -> Json {
        let Json::Object(patch) = patch else { return patch.clone() };
        let mut result = if let Json::Object(members) = target { members } else { Map::new() };
        for (key, value) in patch {
            if value.is_null() {
                result.remove(key);
            } else {
                let old = result.remove(key).unwrap_or(Json::Null);
                result.insert(key.clone(), reference(old, value));
            }
        }
        result.into()
    }

    /// Appendix A, without the patches that are no objects: those are refused.
    #[test]
    fn does_what_the_rfc_says() {
        for (value, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let merged = apply(&value.to_string(), &patch.to_string()).unwrap();
            assert_eq!(merged.parse::<Json>().unwrap(), result, "{value} {patch}");
            assert_eq!(apply(&merged, &patch.to_string()), None, "a second time changes nothing");
        }
        for patch in ["[\"c\"]", "null", "\"bar\"", "1", "true"] {
            assert!(Patch::parse(patch, "p_config").err().unwrap().contains("p_config"), "{patch}");
        }
    }

    #[test]
    fn values_are_kept_to_the_letter() {
        let value = r#"{"n": 1.50, "big": 12345678901234567890123.4500, "in": {"e": [1e400, -0.0]}, "k\"\u0001é": 1}"#;
        let merged = apply(value, r#"{"in": {"new": 0.10000000000000000000000001}, "n": 1.500}"#).unwrap();
        assert_eq!(
            merged,
            r#"{"big": 12345678901234567890123.4500, "in": {"e": [1e400, -0.0], "new": 0.10000000000000000000000001}, "k\"\u0001é": 1, "n": 1.500}"#
        );
    }

    #[test]
    fn what_changes_nothing_is_told_apart() {
        let value = r#"{"a": {"b": [1, {"c": null}]}, "d": "x"}"#;
        for same in ["{}", r#"{"d": "x"}"#, r#"{"a": {"b": [1, {"c": null}]}}"#, r#"{"a": {}, "z": null}"#] {
            assert_eq!(apply(value, same), None, "{same}");
        }
        for other in [r#"{"z": {}}"#, r#"{"d": {}}"#, r#"{"a": {"b": [1, {}]}}"#, r#"{"a": null}"#] {
            assert!(apply(value, other).is_some(), "{other}");
        }
    }

    #[test]
    fn depth_is_limited() {
        let nested = |open: &str, close: &str, levels: usize| {
            format!("{{\"a\": {}1{}}}", open.repeat(levels - 1), close.repeat(levels - 1))
        };
        for (open, close) in [("{\"[\\\"\": ", "}"), ("[", "]")] {
            let deepest = nested(open, close, MAX_DEPTH);
            assert_eq!(apply("{}", &deepest).unwrap().parse::<Json>().unwrap(), deepest.parse::<Json>().unwrap());
            for levels in [MAX_DEPTH + 1, 10_000, 1_000_000] {
                let error = Patch::parse(&nested(open, close, levels), "p_config").err().unwrap();
                assert!(error.contains("100 levels"), "{error}");
            }
            // A value that came about in another way may be deeper.
            let deep = nested(open, close, 10_000);
            assert!(apply(&deep, "{\"b\": 1}").unwrap().len() > deep.len());
            assert_eq!(apply(&deep, "{\"a\": null}").unwrap(), "{}");
        }
    }

    /// Few keys and values, so that patches meet what is there.
    fn values() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![Just(Json::Null), (0..3).prop_map(Json::from), "[\"\\\\{é]".prop_map(Json::from)];
        leaf.prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                4 => objects(inner),
            ]
        })
    }

    fn objects(values: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
        prop::collection::btree_map("[abc\"]", values, 0..4).prop_map(|members| Map::from_iter(members).into())
    }

    proptest! {
        #[test]
        fn agrees_with_the_algorithm_of_the_rfc(value in values(), patch in objects(values())) {
            let due = reference(value.clone(), &patch);
            let (changes, patch) = (due != value, patch.to_string());
            let merged = apply(&value.to_string(), &patch);
            prop_assert_eq!(merged.is_some(), changes);
            if let Some(merged) = merged {
                prop_assert_eq!(merged.parse::<Json>().unwrap(), due);
                prop_assert_eq!(apply(&merged, &patch), None);
            }
        }
    }
}
