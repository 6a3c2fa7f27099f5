//! What is known about a version besides its files: the JSON argument of `create_version_on_success`, which a build worker
//! reports, and of `update_version_metadata`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::semver::{self, ChangeType};

const MAX_LINE_BYTES: usize = 2_048;
const MAX_PROSE_BYTES: usize = 1024 * 1024;
/// Unknown keys that an error names; of the others it gives the number.
const NAMED_KEYS: usize = 20;
const MAX_ARTIFACT_BYTES: i64 = 2_147_483_648;

/// The keys that a result may have. All are optional; they become the columns of the same names in `project_versions`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuildResult {
    pub change_type: Option<ChangeType>,
    pub prerelease: Option<String>,
    pub version_name: Option<String>,
    pub version_description: Option<String>,
    pub enhanced_prompt: Option<String>,
    /// Kept exactly as sent: numbers may be larger, and nesting deeper, than Rust's types can represent.
    pub prompt_metadata: Option<Box<RawValue>>,
    pub base_version_id: Option<String>,
    pub needs_rebuild: Option<bool>,
    pub preview_url: Option<String>,
    pub artifact_url: Option<String>,
    pub artifact_size: Option<i64>,
    pub artifact_checksum: Option<String>,
    pub output_size_bytes: Option<i64>,
    pub build_duration_ms: Option<i64>,
    pub install_duration_ms: Option<i64>,
    pub deploy_duration_ms: Option<i64>,
    pub node_version: Option<String>,
    pub pnpm_version: Option<String>,
    pub cf_deployment_id: Option<String>,
    pub base_snapshot_id: Option<String>,
    pub ai_json: Option<Box<RawValue>>,
    pub breaking_risk: Option<BreakingRisk>,
    pub auto_classified: Option<bool>,
    pub classification_confidence: Option<f64>,
    pub classification_reasoning: Option<String>,
    pub from_recommendation_id: Option<String>,
    pub git_commit_sha: Option<String>,
    pub git_tag: Option<String>,
    pub user_comment: Option<String>,
}

/// SQL for the columns that these keys become, with their types. Without `change_type`, which also decides about the number.
#[macro_export]
macro_rules! build_result_columns {
    () => {
        "enhanced_prompt text, prompt_metadata jsonb, base_version_id text, needs_rebuild boolean, preview_url text,
         artifact_url text, artifact_size bigint, artifact_checksum text, output_size_bytes bigint,
         build_duration_ms bigint, install_duration_ms bigint, deploy_duration_ms bigint, node_version text,
         pnpm_version text, cf_deployment_id text, base_snapshot_id text, ai_json jsonb, version_name text,
         version_description text, prerelease text, breaking_risk text, auto_classified boolean,
         classification_confidence numeric, classification_reasoning text, from_recommendation_id text,
         git_commit_sha text, git_tag text, user_comment text"
    };
}

/// SQL for the names of these columns, in the order of [`build_result_values`].
#[macro_export]
macro_rules! build_result_names {
    () => {
        "enhanced_prompt, prompt_metadata, base_version_id, needs_rebuild, preview_url, artifact_url,
         artifact_size, artifact_checksum, output_size_bytes, build_duration_ms, install_duration_ms,
         deploy_duration_ms, node_version, pnpm_version, cf_deployment_id, base_snapshot_id, ai_json,
         version_name, version_description, prerelease, breaking_risk, auto_classified,
         classification_confidence, classification_reasoning, from_recommendation_id,
         git_commit_sha, git_tag, user_comment"
    };
}

/// SQL for what a new version has in these columns, from a row `r` of [`build_result_columns`].
#[macro_export]
macro_rules! build_result_values {
    () => {
        "r.enhanced_prompt, r.prompt_metadata, r.base_version_id, coalesce(r.needs_rebuild, false),
         r.preview_url, r.artifact_url,
         r.artifact_size, r.artifact_checksum, r.output_size_bytes, r.build_duration_ms, r.install_duration_ms,
         r.deploy_duration_ms, r.node_version, r.pnpm_version, r.cf_deployment_id, r.base_snapshot_id, r.ai_json,
         r.version_name, r.version_description, r.prerelease, r.breaking_risk, coalesce(r.auto_classified, false),
         r.classification_confidence, r.classification_reasoning, r.from_recommendation_id,
         r.git_commit_sha, r.git_tag, r.user_comment"
    };
}

/// Read from a text alone: serde would take an object with the name as its key, too.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum BreakingRisk {
    None,
    Low,
    Medium,
    High,
}

impl TryFrom<String> for BreakingRisk {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "none" => Ok(BreakingRisk::None),
            "low" => Ok(BreakingRisk::Low),
            "medium" => Ok(BreakingRisk::Medium),
            "high" => Ok(BreakingRisk::High),
            _ => Err(format!("unknown value `{name}`, expected one of `none`, `low`, `medium`, `high`")),
        }
    }
}

/// A checked argument.
#[derive(Debug)]
pub struct Parsed {
    pub values: BuildResult,
    /// The keys that were given, some of them perhaps as null.
    given: Vec<String>,
}

/// Columns that cannot be NULL.
const NEVER_NULL: [&str; 3] = ["auto_classified", "change_type", "needs_rebuild"];

impl Parsed {
    /// The values of the keys that were given, as the text of a JSON object.
    pub fn given(&self) -> String {
        let all = serde_json::to_string(&self.values).expect("strings, numbers and JSON");
        let all: BTreeMap<&str, &RawValue> = serde_json::from_str(&all).expect("written a moment ago");
        let given: BTreeMap<&str, &RawValue> = all.into_iter().filter(|(key, _)| self.is_given(key)).collect();
        serde_json::to_string(&given).expect("keys and their JSON")
    }

    /// The error if a key is null whose column cannot be.
    pub fn refuse_nulls(&self, argument: &str) -> Result<(), String> {
        let is_null = [
            self.values.auto_classified.is_none(),
            self.values.change_type.is_none(),
            self.values.needs_rebuild.is_none(),
        ];
        match NEVER_NULL.iter().zip(is_null).find(|(key, is_null)| *is_null && self.is_given(key)) {
            Some((key, _)) => Err(format!("{argument} key \"{key}\" must not be null")),
            None => Ok(()),
        }
    }

    fn is_given(&self, key: &str) -> bool {
        self.given.iter().any(|given| given == key)
    }
}

/// Reads and checks an argument of this name, given as the text of a `jsonb`. The error names all unknown keys, or the
/// first key with an invalid value.
pub fn parse(json: &str, argument: &str) -> Result<Parsed, String> {
    let keys: BTreeMap<String, &RawValue> =
        serde_json::from_str(json).map_err(|_| format!("{argument} must be a JSON object"))?;
    name_bad_keys(&keys, argument)?;
    let mut values: BuildResult = serde_json::from_str(json).map_err(|e| format!("{argument}: {}", plain(&e)))?;
    check(&mut values).map_err(|problem| format!("{argument} {problem}"))?;
    Ok(Parsed { values, given: keys.into_keys().collect() })
}

/// serde stops at the first error and does not tell where a wrong type is, so each key is tried separately.
fn name_bad_keys(keys: &BTreeMap<String, &RawValue>, argument: &str) -> Result<(), String> {
    let mut unknown = Vec::new();
    for (key, value) in keys {
        let alone = serde_json::to_string(&BTreeMap::from([(key, value)])).expect("a key and its JSON");
        if let Err(error) = serde_json::from_str::<BuildResult>(&alone) {
            let error = plain(&error);
            if error.starts_with("unknown field") {
                unknown.push(format!("\"{}\"", crate::input::abridged(key)));
            } else {
                return Err(format!("{argument} key \"{key}\": {}", crate::input::abridged(&error)));
            }
        }
    }
    match unknown.len() {
        0 => Ok(()),
        1 => Err(format!("{argument} has an unknown key: {}", unknown[0])),
        2..=NAMED_KEYS => Err(format!("{argument} has unknown keys: {}", unknown.join(", "))),
        count => {
            let (named, more) = (unknown[..NAMED_KEYS].join(", "), count - NAMED_KEYS);
            Err(format!("{argument} has unknown keys: {named} and {more} more"))
        }
    }
}

/// serde's message without Rust's type names and without a position in a text that the caller never saw.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    text.replace("expected i64", "expected a whole number")
        .replace("expected f64", "expected a number")
        .replace("unknown variant", "unknown value")
}

fn check(r: &mut BuildResult) -> Result<(), String> {
    let lines = [
        ("version_name", &r.version_name),
        ("preview_url", &r.preview_url),
        ("artifact_url", &r.artifact_url),
        ("node_version", &r.node_version),
        ("pnpm_version", &r.pnpm_version),
        ("cf_deployment_id", &r.cf_deployment_id),
        ("base_snapshot_id", &r.base_snapshot_id),
        ("base_version_id", &r.base_version_id),
        ("from_recommendation_id", &r.from_recommendation_id),
        ("git_tag", &r.git_tag),
    ];
    for (key, value) in lines {
        if value.as_ref().is_some_and(|v| v.is_empty() || v.len() > MAX_LINE_BYTES || v.chars().any(char::is_control)) {
            return Err(format!("key \"{key}\" must have 1 to {MAX_LINE_BYTES} bytes and no control characters"));
        }
    }
    let prose = [
        ("version_description", &r.version_description),
        ("enhanced_prompt", &r.enhanced_prompt),
        ("classification_reasoning", &r.classification_reasoning),
        ("user_comment", &r.user_comment),
    ];
    for (key, value) in prose {
        if value.as_ref().is_some_and(|v| v.len() > MAX_PROSE_BYTES) {
            return Err(format!("key \"{key}\" must have at most {MAX_PROSE_BYTES} bytes"));
        }
    }
    let amounts = [
        ("artifact_size", r.artifact_size, MAX_ARTIFACT_BYTES),
        ("output_size_bytes", r.output_size_bytes, i64::MAX),
        ("build_duration_ms", r.build_duration_ms, i64::MAX),
        ("install_duration_ms", r.install_duration_ms, i64::MAX),
        ("deploy_duration_ms", r.deploy_duration_ms, i64::MAX),
    ];
    for (key, value, most) in amounts {
        if value.is_some_and(|n| !(0..=most).contains(&n)) {
            return Err(format!("key \"{key}\" must be from 0 to {most}"));
        }
    }
    if r.classification_confidence.is_some_and(|c| !(0.0..=1.0).contains(&c)) {
        return Err("key \"classification_confidence\" must be from 0 to 1".into());
    }
    if r.prerelease.as_ref().is_some_and(|p| p.len() > 100 || !semver::is_prerelease(p)) {
        return Err("key \"prerelease\" must be a SemVer prerelease label like beta.1".into());
    }
    lower_hex(&mut r.artifact_checksum, "artifact_checksum", 64..=64)?;
    lower_hex(&mut r.git_commit_sha, "git_commit_sha", 7..=64)
}

fn lower_hex(value: &mut Option<String>, key: &str, digits: std::ops::RangeInclusive<usize>) -> Result<(), String> {
    let Some(text) = value else { return Ok(()) };
    if !digits.contains(&text.len()) || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        let (least, most) = digits.into_inner();
        let count = if least == most { format!("{most}") } else { format!("{least} to {most}") };
        return Err(format!("key \"{key}\" must have {count} hexadecimal digits"));
    }
    text.make_ascii_lowercase();
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::BuildResult;

    fn parse(value: Json) -> Result<BuildResult, String> {
        super::parse(&value.to_string(), "p_result").map(|parsed| parsed.values)
    }

    #[test]
    fn empty_and_null_are_fine() {
        assert!(parse(json!({})).is_ok());
        assert!(parse(json!({"version_name": null, "change_type": null})).is_ok());
    }

    #[test]
    fn names_every_unknown_key() {
        let error = parse(json!({"artifact": 1, "version_name": "x", "git": 2})).unwrap_err();
        assert!(
            error.contains("\"artifact\"") && error.contains("\"git\"") && !error.contains("version_name"),
            "{error}"
        );
    }

    #[test]
    fn names_some_of_very_many_unknown_keys() {
        let many: serde_json::Map<String, Json> = (0..1_000).map(|n| (format!("k{n}"), json!(n))).collect();
        let error = parse(Json::Object(many)).unwrap_err();
        assert!(error.ends_with("and 980 more") && error.len() < 300, "{error}");
    }

    #[test]
    fn names_the_key_of_a_bad_value() {
        for (key, value) in [
            ("artifact_size", json!(-1)),
            ("artifact_size", json!(2_147_483_649i64)),
            ("artifact_size", json!("12")),
            ("artifact_size", json!(1.5)),
            ("artifact_checksum", json!("abc")),
            ("artifact_checksum", json!("g".repeat(64))),
            ("build_duration_ms", json!(-5)),
            ("change_type", json!("huge")),
            ("breaking_risk", json!("unknown")),
            ("classification_confidence", json!(1.01)),
            ("prerelease", json!("01")),
            ("git_commit_sha", json!("xyz")),
            ("breaking_risk", json!({"low": null})),
            ("change_type", json!({"minor": null})),
            ("version_name", json!("a\nb")),
            ("needs_rebuild", json!("yes")),
        ] {
            let error = parse(json!({ key: value })).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
        for whole in [json!([]), json!("x"), json!(null), json!(1)] {
            assert!(parse(whole).is_err());
        }
    }

    #[test]
    fn json_is_kept_to_the_letter() {
        let text = r#"{"ai_json": [1e400, 12345678901234567890123.450, [[[[]]]]]}"#;
        let kept = super::parse(text, "p_result").unwrap().values.ai_json.unwrap();
        assert_eq!(kept.get(), "[1e400, 12345678901234567890123.450, [[[[]]]]]");
        let deep = format!("{{\"ai_json\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(super::parse(&deep, "p_result").is_ok());
    }

    #[test]
    fn speaks_of_json_and_not_of_rust() {
        let error = parse(json!({"artifact_size": "big"})).unwrap_err();
        assert!(error.contains("whole number") && !error.contains("i64") && !error.contains("line"), "{error}");
    }

    #[test]
    fn hexadecimal_is_stored_in_lower_case() {
        let result = parse(json!({"artifact_checksum": "AB".repeat(32), "git_commit_sha": "ABCDEF0"})).unwrap();
        assert_eq!(result.artifact_checksum, Some("ab".repeat(32)));
        assert_eq!(result.git_commit_sha.as_deref(), Some("abcdef0"));
    }

    #[test]
    fn limits_are_inclusive() {
        assert!(parse(json!({"artifact_size": 2_147_483_648u32, "classification_confidence": 1})).is_ok());
        assert!(parse(json!({"artifact_size": 0, "classification_confidence": 0})).is_ok());
    }

    #[test]
    fn keys_that_were_not_given_are_told_from_nulls() {
        let parsed = |json: Json| super::parse(&json.to_string(), "p_metadata").unwrap();
        let some = parsed(json!({"version_name": null, "artifact_checksum": "AB".repeat(32), "ai_json": [1]}));
        let given: Json = serde_json::from_str(&some.given()).unwrap();
        assert_eq!(given, json!({"version_name": null, "artifact_checksum": "ab".repeat(32), "ai_json": [1]}));
        assert_eq!(some.refuse_nulls("p_metadata"), Ok(()));
        for key in super::NEVER_NULL {
            let error = parsed(json!({ key: null })).refuse_nulls("p_metadata").unwrap_err();
            assert_eq!(error, format!("p_metadata key \"{key}\" must not be null"));
        }
    }
}
