//! Whose table says what was applied.

use crate::error::Error;
use crate::input;

/// Who keeps a table of the migrations that were applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Own,
    Prisma,
    Drizzle,
    Sqlx,
    Supabase,
    Flyway,
}

/// The tools that have tables of their own.
pub const OTHERS: [Tool; 5] = [Tool::Prisma, Tool::Drizzle, Tool::Sqlx, Tool::Supabase, Tool::Flyway];

impl Tool {
    /// Its name as a value of `p_tool`.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Own => "pg_versioned",
            Tool::Prisma => "prisma",
            Tool::Drizzle => "drizzle",
            Tool::Sqlx => "sqlx",
            Tool::Supabase => "supabase",
            Tool::Flyway => "flyway",
        }
    }

    /// Its name as its makers write it.
    pub fn title(self) -> &'static str {
        match self {
            Tool::Own => "pg_versioned",
            Tool::Prisma => "Prisma",
            Tool::Drizzle => "Drizzle",
            Tool::Sqlx => "sqlx",
            Tool::Supabase => "Supabase",
            Tool::Flyway => "Flyway",
        }
    }

    /// The name of its table, not quoted.
    pub fn table(self) -> &'static str {
        match self {
            Tool::Own => "recorded_migrations",
            Tool::Prisma => "_prisma_migrations",
            Tool::Drizzle => "__drizzle_migrations",
            Tool::Sqlx => "_sqlx_migrations",
            Tool::Supabase => "schema_migrations",
            Tool::Flyway => "flyway_schema_history",
        }
    }

    /// The schema that its table is always in: others have tables of that name, too.
    fn schema(self) -> Option<&'static str> {
        (self == Tool::Supabase).then_some("supabase_migrations")
    }

    /// What is looked for, for messages.
    fn sought(self) -> String {
        let schema = self.schema().map_or(String::new(), |schema| format!("{schema}."));
        format!("{schema}{}", self.table())
    }

    /// The tool whose table has this name, if it is in this schema.
    pub fn of_table(schema: &str, name: &str) -> Option<Tool> {
        OTHERS.into_iter().find(|tool| tool.table() == name && tool.schema().is_none_or(|own| own == schema))
    }
}

/// A relation that has the name of a tool's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub tool: Tool,
    pub oid: u32,
    /// Schema and name, quoted.
    pub name: String,
    /// The place of its schema in the caller's search path, from 1.
    pub place: Option<i32>,
}

/// What is compared with.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    pub tool: Tool,
    pub table: Chosen,
}

/// The table that was chosen.
#[derive(Debug, PartialEq, Eq)]
pub struct Chosen {
    pub tool: Tool,
    pub oid: u32,
    /// Schema and name, quoted.
    pub name: String,
}

/// The tool that `p_tool` names; `None` stands for `auto`. 22023 for anything else.
pub fn wanted(name: &str) -> Result<Option<Tool>, Error> {
    if name == "auto" {
        return Ok(None);
    }
    let tool = std::iter::once(Tool::Own).chain(OTHERS).find(|tool| tool.name() == name);
    tool.map(Some).ok_or_else(|| {
        Error::Invalid(format!(
            "p_tool must be auto, pg_versioned, prisma, drizzle, sqlx, supabase or flyway, not \"{}\"",
            input::abridged(name)
        ))
    })
}

/// Chooses the table. The ledger, whose name is `own`, counts as one that there is if it `is_used`. 22023 if there is none
/// or if it is not clear which one is meant.
pub fn choose(wanted: Option<Tool>, own: &str, is_used: bool, candidates: Vec<Candidate>) -> Result<Choice, Error> {
    let ledger = || Choice { tool: Tool::Own, table: Chosen { tool: Tool::Own, oid: 0, name: own.to_owned() } };
    let of = |tool: Tool| candidates.iter().filter(move |candidate| candidate.tool == tool);
    let tool = match wanted {
        Some(tool) => tool,
        None => {
            let others = OTHERS.into_iter().filter(|tool| of(*tool).next().is_some());
            let there: Vec<Tool> = is_used.then_some(Tool::Own).into_iter().chain(others).collect();
            match there.as_slice() {
                [] => return Err(nothing(own)),
                [tool] => *tool,
                _ => return Err(several_tools(&there, own, &candidates)),
            }
        }
    };
    if tool == Tool::Own {
        return Ok(ledger());
    }
    let tables: Vec<&Candidate> = of(tool).collect();
    let in_path = tables.iter().filter(|table| table.place.is_some()).min_by_key(|table| table.place);
    let table = match (in_path, tables.as_slice()) {
        (Some(table), _) => *table,
        (None, [table]) => *table,
        (None, []) => {
            return Err(Error::Invalid(format!("p_tool is {}, but there is no table {}", tool.name(), tool.sought())));
        }
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|table| table.name.as_str()).collect();
            return Err(Error::Invalid(format!(
                "{} has several tables, and none is in the search_path: {}",
                tool.title(),
                names.join(", ")
            )));
        }
    };
    Ok(Choice { tool, table: Chosen { tool, oid: table.oid, name: table.name.clone() } })
}

fn nothing(own: &str) -> Error {
    let sought: Vec<String> = OTHERS.into_iter().map(Tool::sought).collect();
    Error::Invalid(format!(
        "no record of applied migrations was found: {own} is empty, and there is no table {}",
        sought.join(", ")
    ))
}

fn several_tools(there: &[Tool], own: &str, candidates: &[Candidate]) -> Error {
    let described = |tool: &Tool| {
        let table = candidates.iter().find(|candidate| candidate.tool == *tool);
        format!("{} ({})", tool.name(), table.map_or(own, |table| table.name.as_str()))
    };
    let described: Vec<String> = there.iter().map(described).collect();
    Error::Invalid(format!("several tools have recorded migrations, so p_tool must name one: {}", described.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(tool: Tool, schema: &str, place: Option<i32>) -> Candidate {
        Candidate { tool, oid: 1, name: format!("{schema}.{}", tool.table()), place }
    }

    fn chosen(wanted: Option<Tool>, is_used: bool, candidates: &[Candidate]) -> Result<String, String> {
        let choice = choose(wanted, "v.recorded_migrations", is_used, candidates.to_vec());
        choice.map(|choice| choice.table.name).map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_one_is_taken() {
        let prisma = candidate(Tool::Prisma, "app", None);
        assert_eq!(chosen(None, false, std::slice::from_ref(&prisma)).unwrap(), "app._prisma_migrations");
        assert_eq!(chosen(None, true, &[]).unwrap(), "v.recorded_migrations");
        assert_eq!(chosen(Some(Tool::Own), false, &[prisma]).unwrap(), "v.recorded_migrations");
    }

    #[test]
    fn of_several_tools_one_must_be_named() {
        let both = [candidate(Tool::Prisma, "public", Some(1)), candidate(Tool::Sqlx, "public", Some(1))];
        let error = chosen(None, false, &both).unwrap_err();
        assert!(error.contains("prisma (public._prisma_migrations), sqlx (public._sqlx_migrations)"), "{error}");
        let error = chosen(None, true, &both[..1]).unwrap_err();
        assert!(error.contains("pg_versioned (v.recorded_migrations), prisma"), "{error}");
        assert_eq!(chosen(Some(Tool::Sqlx), true, &both).unwrap(), "public._sqlx_migrations");
    }

    #[test]
    fn of_several_tables_the_one_in_the_path_is_taken() {
        let table = |schema, place| candidate(Tool::Prisma, schema, place);
        assert_eq!(
            chosen(None, false, &[table("a", Some(2)), table("b", Some(1)), table("c", None)]).unwrap(),
            "b._prisma_migrations"
        );
        let error = chosen(None, false, &[table("a", None), table("b", None)]).unwrap_err();
        assert!(error.contains("a._prisma_migrations, b._prisma_migrations"), "{error}");
    }

    #[test]
    fn what_was_looked_for_is_named() {
        let error = chosen(None, false, &[]).unwrap_err();
        assert!(error.contains("v.recorded_migrations is empty"), "{error}");
        assert!(error.contains("supabase_migrations.schema_migrations"), "{error}");
        let error = chosen(Some(Tool::Flyway), true, &[]).unwrap_err();
        assert!(error.contains("flyway_schema_history"), "{error}");
        assert!(wanted("liquibase").unwrap_err().to_string().contains("\"liquibase\""));
        assert_eq!(wanted("auto").unwrap(), None);
        assert_eq!(wanted("sqlx").unwrap(), Some(Tool::Sqlx));
    }

    #[test]
    fn schema_migrations_elsewhere_are_not_supabases() {
        assert_eq!(Tool::of_table("auth", "schema_migrations"), None);
        assert_eq!(Tool::of_table("supabase_migrations", "schema_migrations"), Some(Tool::Supabase));
        assert_eq!(Tool::of_table("any", "_prisma_migrations"), Some(Tool::Prisma));
    }
}
