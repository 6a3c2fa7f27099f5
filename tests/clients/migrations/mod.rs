//! Migrations replayed, and compared with what is there, as a user sees it.

mod chains;
mod generated;
mod hostile;
mod meanwhile;
mod page;
mod server;
mod story;
mod supabase;
mod surroundings;
mod traces;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::support::{Params, Refusal, Session};

/// A migration: its name and its text.
pub type Migration = (String, String);

/// Migrations as the functions take them.
pub fn list(migrations: &[Migration]) -> Json {
    migrations.iter().map(|(name, sql)| json!({"name": name, "sql": sql})).collect()
}

/// Migrations called 1, 2, 3 …
pub fn numbered(texts: &[&str]) -> Vec<Migration> {
    texts.iter().enumerate().map(|(n, text)| ((n + 1).to_string(), (*text).to_owned())).collect()
}

/// A row of `replay_migrations`.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    pub name: String,
    pub ok: bool,
    pub sqlstate: Option<String>,
    pub message: Option<String>,
    pub line: Option<i32>,
    pub col: Option<i32>,
    pub statement: Option<String>,
    pub explanation: Option<String>,
}

impl Outcome {
    /// All that it says.
    pub fn text(&self) -> String {
        let texts = [&self.sqlstate, &self.message, &self.statement, &self.explanation];
        texts.iter().filter_map(|text| text.as_deref()).collect::<Vec<_>>().join("\n")
    }
}

/// A row of `schema_drift`.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Difference {
    pub kind: String,
    pub object: String,
    pub difference: String,
    pub expected: Option<String>,
    pub actual: Option<String>,
    pub migration: Option<String>,
}

impl Session {
    pub fn try_replay(&mut self, migrations: &[Migration], stop: bool) -> Result<Vec<Outcome>, Refusal> {
        self.try_replay_in(migrations, stop, &["public"])
    }

    pub fn try_replay_in(
        &mut self,
        migrations: &[Migration],
        stop: bool,
        schemas: &[&str],
    ) -> Result<Vec<Outcome>, Refusal> {
        self.try_rows_of(
            "SELECT to_jsonb(r) FROM versioned.replay_migrations($1, $2, $3) r",
            &[&list(migrations), &schemas, &stop],
        )
    }

    /// All migrations, also those after one that fails.
    #[track_caller]
    pub fn replay(&mut self, migrations: &[Migration]) -> Vec<Outcome> {
        self.try_replay(migrations, false).unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    /// The outcome of one migration.
    #[track_caller]
    pub fn replay_one(&mut self, text: &str) -> Outcome {
        let mut outcomes = self.replay(&numbered(&[text]));
        assert_eq!(outcomes.len(), 1, "{outcomes:#?}");
        outcomes.remove(0)
    }

    /// Replays migrations that must all run.
    #[track_caller]
    pub fn replay_well(&mut self, migrations: &[Migration]) -> Vec<Outcome> {
        let outcomes = self.replay(migrations);
        assert_eq!(outcomes.len(), migrations.len(), "{outcomes:#?}");
        let wrong: Vec<_> = outcomes.iter().filter(|outcome| !outcome.ok).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        outcomes
    }

    #[track_caller]
    pub fn drift(&mut self, migrations: &[Migration]) -> Vec<Difference> {
        self.drift_in(migrations, &["public"])
    }

    #[track_caller]
    pub fn drift_in(&mut self, migrations: &[Migration], schemas: &[&str]) -> Vec<Difference> {
        self.try_rows_of("SELECT to_jsonb(d) FROM versioned.schema_drift($1, $2) d", &[&list(migrations), &schemas])
            .unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    fn try_rows_of<T: for<'de> Deserialize<'de>>(&mut self, sql: &str, params: Params) -> Result<Vec<T>, Refusal> {
        let rows = self.try_rows(sql, params)?;
        Ok(rows.iter().map(|row| serde_json::from_value(row.get(0)).expect("the columns of the contract")).collect())
    }
}
