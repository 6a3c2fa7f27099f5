//! What a report says.

use serde::Serialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Numbers, flags or references are wrong, or will be as soon as two clients write at a time.
    Error,
    /// Nothing prevents that they become wrong, or something is in the way.
    Warning,
    /// May be intended.
    Info,
}

/// A row of the report. The last query of the report has these columns.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub code: &'static str,
    pub severity: Severity,
    pub description: String,
    /// Number of rows concerned; `None` if it is not about rows.
    pub rows: Option<i64>,
    /// The columns of a parent that is concerned, an object.
    pub parent: Option<Box<RawValue>>,
    /// The version or versions of its rows that are concerned, an object.
    pub version: Option<Json>,
    /// SQL that can be run as it is.
    pub fix: String,
}

impl Finding {
    /// One that is not about rows.
    pub fn new(code: &'static str, severity: Severity, description: String, fix: String) -> Self {
        Finding { code, severity, description, rows: None, parent: None, version: None, fix }
    }

    /// The same for a number of rows.
    pub fn about(self, rows: i64) -> Self {
        Finding { rows: Some(rows), ..self }
    }
}

/// Statements as one text.
pub fn statements<'s>(statements: impl IntoIterator<Item = &'s str>) -> String {
    statements.into_iter().collect::<Vec<_>>().join(";\n")
}
