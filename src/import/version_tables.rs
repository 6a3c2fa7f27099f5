//! The two tables that an import of project versions reads: the versions, and what is known about them.

use super::mapping::{self, Mapping, Term};
use super::projects;
use super::releases::Known;
use super::source::Source;
use crate::backend::{Call, Db};
use crate::error::Error;

const VERSION_ID: Term = Term { name: "version_id", aliases: &["id"] };
const STATUS: Term = Term { name: "status", aliases: &[] };
const SEMVER: Term = Term { name: "semver", aliases: &["version_number"] };
pub const NUMBER: [Term; 3] = [
    Term { name: "major_version", aliases: &["major"] },
    Term { name: "minor_version", aliases: &["minor"] },
    Term { name: "patch_version", aliases: &["patch"] },
];
pub const CREATED_AT: Term = Term { name: "created_at", aliases: &["inserted_at"] };
const UPDATED_AT: Term = Term { name: "updated_at", aliases: &[] };
const IS_PUBLISHED: Term = Term { name: "is_published", aliases: &["published"] };
/// What refers to the version in a table of metadata.
const METADATA_OF: Term = Term { name: "version_id", aliases: &["project_version_id"] };

const TEXTS: [Term; 6] = [
    Term { name: "user_id", aliases: &["created_by"] },
    Term { name: "prompt", aliases: &[] },
    Term { name: "parent_version_id", aliases: &["parent_id"] },
    Term { name: "change_type", aliases: &[] },
    Term { name: "published_by_user_id", aliases: &["published_by"] },
    Term { name: "ai_session_id", aliases: &[] },
];
pub const AMOUNTS: [Term; 3] = [
    Term { name: "files_changed", aliases: &[] },
    Term { name: "lines_added", aliases: &[] },
    Term { name: "lines_removed", aliases: &[] },
];
const TIMES: [Term; 4] = [
    Term { name: "published_at", aliases: &[] },
    Term { name: "soft_deleted_at", aliases: &["deleted_at"] },
    Term { name: "ai_session_created_at", aliases: &[] },
    Term { name: "ai_session_last_used_at", aliases: &[] },
];

/// The keys that a build's result may have, except `change_type`.
const FACTS: [Term; 28] = {
    const fn fact(name: &'static str) -> Term {
        Term { name, aliases: &[] }
    }
    [
        fact("prerelease"),
        fact("version_name"),
        fact("version_description"),
        fact("enhanced_prompt"),
        fact("prompt_metadata"),
        fact("base_version_id"),
        fact("needs_rebuild"),
        fact("preview_url"),
        fact("artifact_url"),
        fact("artifact_size"),
        fact("artifact_checksum"),
        fact("output_size_bytes"),
        fact("build_duration_ms"),
        fact("install_duration_ms"),
        fact("deploy_duration_ms"),
        fact("node_version"),
        fact("pnpm_version"),
        fact("cf_deployment_id"),
        fact("base_snapshot_id"),
        fact("ai_json"),
        fact("breaking_risk"),
        fact("auto_classified"),
        fact("classification_confidence"),
        fact("classification_reasoning"),
        fact("from_recommendation_id"),
        fact("git_commit_sha"),
        fact("git_tag"),
        fact("user_comment"),
    ]
};

/// Those of them that are not texts.
const OTHER_FACTS: [&str; 10] = [
    "prompt_metadata",
    "needs_rebuild",
    "artifact_size",
    "output_size_bytes",
    "build_duration_ms",
    "install_duration_ms",
    "deploy_duration_ms",
    "ai_json",
    "auto_classified",
    "classification_confidence",
];

/// Everything that either table may have columns for, except what identifies a version.
fn terms(version_id: Term) -> Vec<Term> {
    let named = [version_id, STATUS, SEMVER, CREATED_AT, UPDATED_AT, IS_PUBLISHED];
    named
        .into_iter()
        .chain(projects::TERMS)
        .chain(NUMBER)
        .chain(TEXTS)
        .chain(AMOUNTS)
        .chain(TIMES)
        .chain(FACTS)
        .collect()
}

/// The tables of an import.
pub struct Tables {
    pub versions: Source,
    pub metadata: Option<Source>,
}

impl Tables {
    /// From the first three arguments. 22023.
    pub fn read(call: &Call, db: &Db, json: &str) -> Result<Tables, Error> {
        let mapping = mapping::object(json, "p_mapping")?;
        // Only these two keys are known: each has a mapping of its own.
        let of_table = |name: &str| match mapping.get(name) {
            None => Ok(serde_json::Map::new()),
            Some(serde_json::Value::Object(object)) => Ok(object.clone()),
            Some(_) => Err(Error::Invalid(format!("p_mapping key \"{name}\" must be a JSON object"))),
        };
        let (of_versions, of_metadata) = (of_table("versions")?, of_table("metadata")?);
        let others = mapping.iter().filter(|(name, _)| !matches!(name.as_str(), "versions" | "metadata"));
        let others = others.map(|(name, value)| (name.clone(), value.clone())).collect();
        Mapping::parse(&others, "p_mapping", &[])?;
        let versions =
            Source::read(call, db, (0, "p_versions"), (&of_versions, "p_mapping.versions", &terms(VERSION_ID)), "v")?;
        let metadata_terms = terms(METADATA_OF);
        let metadata = match call.argument::<pgrx::pg_sys::Oid>(1) {
            None if of_metadata.is_empty() => None,
            None => {
                return Err(Error::Invalid("p_mapping key \"metadata\" is about p_metadata, which is null".to_owned()));
            }
            Some(_) => {
                let mapping = (&of_metadata, "p_mapping.metadata", metadata_terms.as_slice());
                Some(Source::read(call, db, (1, "p_metadata"), mapping, "m")?)
            }
        };
        let tables = Tables { versions, metadata };
        if let Some(metadata) = &tables.metadata {
            metadata.required(&METADATA_OF)?;
        }
        Ok(tables)
    }

    /// What there are columns for.
    pub fn known(&self) -> Result<Known, Error> {
        let mut number = self.have(&SEMVER)?;
        for term in &NUMBER {
            number |= self.have(term)?;
        }
        Ok(Known { status: self.have(&STATUS)?, number, at: self.have(&CREATED_AT)? })
    }

    /// Whether either table has a column for a term.
    fn have(&self, term: &Term) -> Result<bool, Error> {
        let of_metadata = self.metadata.as_ref().map(|metadata| metadata.column(term)).transpose()?.flatten();
        Ok(self.versions.column(term)?.is_some() || of_metadata.is_some())
    }

    /// SQL for a term: from the versions, or else from their metadata. `of` is its form.
    fn either(&self, term: &Term, of: impl Fn(&Source, &Term) -> Result<String, Error>) -> Result<String, Error> {
        let first = of(&self.versions, term)?;
        match &self.metadata {
            Some(metadata) if metadata.column(term)?.is_some() => {
                Ok(format!("coalesce({first}, {})", of(metadata, term)?))
            }
            _ => Ok(first),
        }
    }

    /// SQL for what identifies a version, and to sort by it.
    fn identity(&self, db: &Db) -> Result<(String, String), Error> {
        self.versions.identity(db, &VERSION_ID)
    }

    /// FROM both tables, with the newest metadata of each version.
    fn from(&self, id: &str) -> Result<String, Error> {
        let versions = self.versions.from();
        let Some(metadata) = &self.metadata else { return Ok(versions) };
        let of = metadata.text(&METADATA_OF)?;
        let mut newest = Vec::new();
        for term in [UPDATED_AT, CREATED_AT] {
            if metadata.column(&term)?.is_some() {
                newest.push(format!("{} DESC NULLS LAST", metadata.time(&term)?));
            }
        }
        let key = metadata.table.primary_key();
        newest.extend(key.iter().map(|column| format!("{} DESC", metadata.quoted(column))));
        let order = newest.iter().fold(of.clone(), |order, by| format!("{order}, {by}"));
        Ok(format!(
            "{versions} LEFT JOIN (SELECT DISTINCT ON ({of}) m.* FROM {} ORDER BY {order}) AS m ON {of} = {id}",
            metadata.from()
        ))
    }

    /// The query for all versions, project by project, oldest first.
    pub fn query(&self, db: &Db) -> Result<String, Error> {
        let (id, by_id) = self.identity(db)?;
        let mut columns = vec![
            format!("{} AS project", projects::key(&self.versions)?),
            format!("{id} AS source_id"),
            format!("{} AS semver", self.either(&SEMVER, Source::text)?),
            format!("{} AS status", self.either(&STATUS, Source::text)?),
            format!("{} AS framework", self.either(&projects::TERMS[3], Source::text)?),
            format!("{} AS created_at", self.either(&CREATED_AT, Source::time)?),
            format!("{} AS updated_at", self.either(&UPDATED_AT, Source::time)?),
            match &self.metadata {
                Some(metadata) => format!("{} IS NOT NULL AS has_metadata", metadata.text(&METADATA_OF)?),
                None => "true AS has_metadata".to_owned(),
            },
            match &self.metadata {
                Some(metadata) => format!(
                    "({} OR {}) AS is_published",
                    self.versions.flag(&IS_PUBLISHED)?,
                    metadata.flag(&IS_PUBLISHED)?
                ),
                None => format!("{} AS is_published", self.versions.flag(&IS_PUBLISHED)?),
            },
        ];
        for term in NUMBER.iter().chain(&AMOUNTS) {
            columns.push(format!("{} AS {}", self.either(term, Source::number)?, term.name));
        }
        for term in &TEXTS {
            columns.push(format!("{} AS {}", self.either(term, Source::text)?, term.name));
        }
        for term in &TIMES {
            columns.push(format!("{} AS {}", self.either(term, Source::time)?, term.name));
        }
        columns.push(format!("jsonb_build_object({})::text AS facts", self.facts()?));
        Ok(format!("SELECT {} FROM {} ORDER BY project, created_at, {by_id}", columns.join(", "), self.from(&id)?))
    }

    /// Names and values for the facts that there are columns for.
    fn facts(&self) -> Result<String, Error> {
        let mut facts = Vec::new();
        for term in &FACTS {
            if self.have(term)? {
                let is_text = !OTHER_FACTS.contains(&term.name);
                let value = self.either(term, |source, term| source.json(term, is_text))?;
                facts.push(format!("'{}', {value}", term.name));
            }
        }
        Ok(facts.join(", "))
    }

    /// The query for the numbers that the table gives, project by project.
    pub fn numbers_query(&self, db: &Db) -> Result<String, Error> {
        let (id, _) = self.identity(db)?;
        let [major, minor, patch] = &NUMBER;
        Ok(format!(
            "SELECT {} AS project, {} AS semver, {} AS major_version, {} AS minor_version, {} AS patch_version FROM {}",
            projects::key(&self.versions)?,
            self.either(&SEMVER, Source::text)?,
            self.either(major, Source::number)?,
            self.either(minor, Source::number)?,
            self.either(patch, Source::number)?,
            self.from(&id)?
        ))
    }

    /// The query for metadata that is of no version, and for that of which a version has several.
    pub fn odd_metadata_query(&self, db: &Db) -> Result<Option<String>, Error> {
        let Some(metadata) = &self.metadata else { return Ok(None) };
        let (id, _) = self.identity(db)?;
        let of = metadata.text(&METADATA_OF)?;
        Ok(Some(format!(
            "SELECT {of} AS source_id, count(*) AS rows, count({id}) = 0 AS is_orphan
               FROM {} LEFT JOIN {} ON {id} = {of}
              GROUP BY 1 HAVING count({id}) = 0 OR count(*) > 1 ORDER BY 1",
            metadata.from(),
            self.versions.from()
        )))
    }
}
