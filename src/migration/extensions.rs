//! Extensions that are installed already: a fresh database has none.

use pgrx::pg_sys::Oid;

use super::schemas::Schema;
use crate::args;
use crate::backend::{self, Call, Statement, Value, connect};

/// This extension's own name. Its functions could not do without it.
const OWN: &str = "pg_versioned";

static INSTALLED: Statement = Statement::new(
    "SELECT e.oid, e.extname::text AS name, n.nspname::text AS schema,
            ARRAY(SELECT r.extname::text
                    FROM pg_depend d JOIN pg_extension r ON r.oid = d.refobjid
                   WHERE d.classid = 'pg_extension'::regclass AND d.objid = e.oid
                     AND d.refclassid = 'pg_extension'::regclass) AS requires
       FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
      ORDER BY e.extname",
);

// Types by their own name, and whatever else a statement may name without calling it.
static NAMED_IN: Statement = Statement::new(
    "SELECT DISTINCT d.refobjid AS oid
       FROM pg_depend d
       JOIN LATERAL (SELECT t.typname FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid
                     UNION ALL
                     SELECT f.proname FROM pg_proc f WHERE d.classid = 'pg_proc'::regclass AND f.oid = d.objid
                     UNION ALL
                     SELECT c.relname FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid
                     UNION ALL
                     SELECT o.opcname FROM pg_opclass o WHERE d.classid = 'pg_opclass'::regclass AND o.oid = d.objid
                     UNION ALL
                     SELECT c.collname FROM pg_collation c WHERE d.classid = 'pg_collation'::regclass AND c.oid = d.objid
                     UNION ALL
                     SELECT t.dictname FROM pg_ts_dict t WHERE d.classid = 'pg_ts_dict'::regclass AND t.oid = d.objid
                     UNION ALL
                     SELECT t.cfgname FROM pg_ts_config t WHERE d.classid = 'pg_ts_config'::regclass AND t.oid = d.objid
                    ) AS member (name) ON true
      WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = ANY (:extensions) AND d.deptype = 'e'
        AND strpos(lower(:statement), lower(member.name)) > 0
      ORDER BY 1",
);

static MEMBERS: Statement = Statement::new(
    "SELECT classid, objid FROM pg_depend
      WHERE refclassid = 'pg_extension'::regclass AND refobjid = :extension AND deptype = 'e'",
);

/// An extension of the live database.
pub struct Extension {
    pub oid: Oid,
    pub name: String,
    pub schema: String,
    /// Names of others that it needs.
    requires: Vec<String>,
    /// It was moved aside with its schema, so nothing of it can be seen.
    pub is_aside: bool,
    /// The replay has created one of the same name.
    pub is_replaced: bool,
}

impl Extension {
    /// Whether another one can be created under its name.
    pub fn is_replaceable(&self) -> bool {
        self.is_aside && self.name != OWN
    }
}

/// The extensions of the live database.
pub struct Extensions(Vec<Extension>);

impl Extensions {
    pub fn read(call: &Call, schemas: &[Schema]) -> Self {
        connect(call, |db| {
            let rows = db.run(&INSTALLED, &[]);
            let extensions = rows.iter().map(|row| {
                let schema: String = row.value("schema");
                let is_aside = schemas.iter().any(|aside| aside.name == schema);
                let (oid, name, requires) = (row.value("oid"), row.value("name"), row.value("requires"));
                Extension { oid, name, schema, requires, is_aside, is_replaced: false }
            });
            Extensions(extensions.collect())
        })
    }

    /// The one of this name, unless the replay has created another.
    pub fn live(&self, name: &str) -> Option<&Extension> {
        self.0.iter().find(|extension| extension.name == name && !extension.is_replaced)
    }

    /// Moves extensions out of the way, so that others of the same names can be created.
    pub fn move_aside(call: &Call, extensions: &[Oid]) {
        for &extension in extensions {
            let members: Vec<(Oid, Oid)> = connect(call, |db| {
                let rows = db.run(&MEMBERS, &args! { extension: Value::oid_of(extension) });
                rows.iter().map(|row| (row.value("classid"), row.value("objid"))).collect()
            });
            backend::move_extension_aside(extension, &members);
        }
    }

    /// Those that must be out of the way before one can be created: itself and those that it needs.
    pub fn in_the_way_of(&self, name: &str) -> Vec<Oid> {
        let mut found: Vec<&Extension> = Vec::new();
        let mut names = vec![name];
        while let Some(name) = names.pop() {
            let replaceable = self.live(name).filter(|extension| extension.is_replaceable());
            if let Some(extension) = replaceable.filter(|one| found.iter().all(|known| known.oid != one.oid)) {
                found.push(extension);
                names.extend(extension.requires.iter().map(String::as_str));
            }
        }
        found.into_iter().map(|extension| extension.oid).collect()
    }

    /// The replay has created others of the same names.
    pub fn replaced(&mut self, extensions: &[Oid]) {
        for extension in self.0.iter_mut().filter(|extension| extensions.contains(&extension.oid)) {
            extension.is_replaced = true;
        }
    }

    /// Those aside of which a statement seems to name something.
    pub fn named_in(&self, call: &Call, statement: &str) -> Vec<&Extension> {
        let candidates = || self.0.iter().filter(|extension| extension.is_replaceable() && !extension.is_replaced);
        let extensions: Vec<Oid> = candidates().map(|extension| extension.oid).collect();
        if extensions.is_empty() {
            return Vec::new();
        }
        let named: Vec<Oid> = connect(call, |db| {
            let rows = db.run(&NAMED_IN, &args! { extensions, statement });
            rows.iter().map(|row| row.value("oid")).collect()
        });
        candidates().filter(|extension| named.contains(&extension.oid)).collect()
    }
}
