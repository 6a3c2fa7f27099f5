//! The life of projects: random sequences of everything that can be done to files, builds and versions, by several
//! users, side by side with a model of what should come of it.
//!
//! `LIFE_SEED` and `LIFE_CASES` choose other sequences, and how many; each case has a seed of its own, which a failure
//! names.

mod answers;
mod compare;
mod files;
mod model;
mod ops;
mod patches;
mod together;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Random, Session};
use compare::Comparing;
use model::Model;
use ops::{ACTORS, OWNER, Op, ROLES, Step};

/// Cases that are run by default.
const CASES: u64 = 120;

/// What must have happened in the sequences that are run by default, besides refusing viewers and strangers.
const OUTCOMES: [(&str, &[&str]); 21] = [
    ("Save", &["done", "PT409"]),
    ("Delete", &["done", "PT404", "PT409"]),
    ("Move", &["done", "PT404", "PT409"]),
    ("Revert", &["done", "22023", "PT404", "PT409"]),
    ("Batch", &["done", "PT404", "PT409"]),
    ("Read", &["done", "PT404"]),
    ("List", &["done"]),
    ("Start", &["done", "PT409"]),
    ("Cut", &["done", "PT404", "PT409 deployed", "PT409 failed", "PT409 abandoned"]),
    ("Succeed", &["done", "PT404", "PT409 failed", "PT409 abandoned"]),
    ("Fail", &["done", "PT404", "PT409 deployed"]),
    ("BuildFiles", &["done", "PT404", "PT409", "PT409 failed", "PT409 abandoned", "PT409 pruned"]),
    ("Describe", &["done", "22023", "PT404", "PT409 classified", "PT409 published"]),
    ("Publish", &["done", "PT404", "PT409 deleted", "PT409 needs_rebuild"]),
    ("Unpublish", &["done", "PT404"]),
    ("Remove", &["done", "PT404", "PT409 published"]),
    ("BringBack", &["done", "PT404"]),
    ("Restore", &["done", "PT404", "PT409 deleted", "PT409 pruned"]),
    ("Prune", &["done", "42501", "PT404"]),
    ("VersionFiles", &["done", "PT404", "PT409 pruned"]),
    ("Diff", &["done", "PT404", "PT409 pruned"]),
];

/// All that the project with the id `$1` has, but contents, as one text.
const EVERYTHING: &str = "
    SELECT md5(string_agg(t, E'\\n' ORDER BY t))
      FROM (SELECT p::text FROM versioned.projects p WHERE id = $1
            UNION ALL SELECT m::text FROM versioned.project_members m WHERE project_id = $1
            UNION ALL SELECT b::text FROM versioned.project_build_metrics b WHERE project_id = $1
            UNION ALL SELECT s::text FROM versioned.project_ai_time_sessions s WHERE project_id = $1
            UNION ALL SELECT v::text FROM versioned.project_versions v WHERE project_id = $1
            UNION ALL SELECT h::text FROM versioned.project_file_heads h WHERE project_id = $1
            UNION ALL SELECT s::text FROM versioned.project_file_snapshots s WHERE project_id = $1
            UNION ALL SELECT v::text FROM versioned.project_file_versions v WHERE project_id = $1) t(t)";

/// Forgets which files snapshots have, which 0.1.0 did not list.
const AGE: [&str; 3] = [
    "UPDATE versioned.project_versions SET snapshot_listed = false WHERE project_id = $1",
    "UPDATE versioned.projects SET listed_snapshot_seq = 0 WHERE id = $1",
    "DELETE FROM versioned.project_file_snapshots WHERE project_id = $1",
];

/// Who acts, and where.
struct World {
    admin: Session,
    users: Vec<Uuid>,
    /// One for each of the users.
    sessions: Vec<Session>,
    /// Build and version of another project of the same people.
    foreign: (String, String),
    /// How often each operation ended in each way.
    seen: BTreeMap<(String, String), usize>,
    /// Patches that git carried out; those in which files swap their paths, and in which others take a moved file's path.
    patches: [usize; 3],
}

impl World {
    fn new(db: &Database) -> World {
        let users: Vec<Uuid> = (0..ACTORS).map(|_| Uuid::new_v4()).collect();
        let sessions = users.iter().map(|user| db.user(*user)).collect();
        let foreign = (String::new(), String::new());
        let mut world = World { admin: db.connect(), users, sessions, foreign, seen: BTreeMap::new(), patches: [0; 3] };
        let (project, ids) = world.project();
        world.sessions[OWNER].put(project, "a", "another project's\n");
        world.sessions[OWNER].succeed(project, &ids.0, serde_json::json!({})).expect("it succeeds");
        world.foreign = ids;
        world
    }

    /// A new project of all but the stranger, and the ids of its first build and that build's version.
    fn project(&mut self) -> (Uuid, (String, String)) {
        // The service that creates projects calls on nobody's behalf, and so records nobody.
        let owner = self.users[OWNER];
        let created = self.sessions[OWNER].create(owner, None, &Uuid::new_v4().to_string(), None);
        let created = created.expect("it is created");
        for (who, role) in ROLES {
            let user = self.users[who];
            self.sessions[OWNER].add_member(created.project, user, role);
        }
        (created.project, (created.build, created.version))
    }

    fn everything(&mut self, project: Uuid) -> String {
        self.admin.value(EVERYTHING, &[&project])
    }

    /// Does one step and compares what is answered with what is predicted.
    fn step(&mut self, project: Uuid, model: &mut Model, who: usize, op: &Op) -> Result<(), TestCaseError> {
        let before = model.clone();
        let predicted = model.run(who, op);
        // What changes nothing in the model changes no row. A description counts as a change even if it says nothing new.
        let is_idle = before == *model && !(matches!(op, Op::Describe(..)) && predicted.is_ok());
        let rows = is_idle.then(|| self.everything(project));
        let answer = answers::call(&mut self.sessions[who], project, &before, op, &self.users);
        let said = match answer {
            Ok((said, started)) => {
                if let Some(ids) = started {
                    model.name_build(ids);
                }
                Ok(said)
            }
            Err(refusal) => Err(refusal),
        };
        let answered = said.as_ref().map_err(answers::reason);
        prop_assert_eq!(answered, predicted.as_ref().map_err(|&why| why.to_owned()), "{:?} by {}: {:?}", op, who, said);
        let outcome = predicted.err().unwrap_or("done");
        *self.seen.entry((op.name(), outcome.to_owned())).or_default() += 1;
        if let Some(rows) = rows {
            prop_assert_eq!(self.everything(project), rows, "{:?} by {} changed something", op, who);
        }
        Ok(())
    }

    fn run(&mut self, steps: &[Step], seed: u64) -> Result<(), TestCaseError> {
        let (project, ids) = self.project();
        let mut model = Model::new(ids, self.foreign.clone());
        for (n, (who, op)) in steps.iter().enumerate() {
            for op in op.clone().resolved(&model.files) {
                self.step(project, &mut model, *who, &op).map_err(|error| match error {
                    TestCaseError::Fail(why) => TestCaseError::fail(format!("step {n}: {why}")),
                    error => error,
                })?;
            }
            match op {
                Op::Compare => {
                    Comparing { world: self, project, model: &model, random: Random(seed + n as u64) }.all()?;
                }
                Op::Age if model.age() => {
                    for sql in AGE {
                        self.admin.rows(sql, &[&project]);
                    }
                }
                _ => {}
            }
        }
        Comparing { world: self, project, model: &model, random: Random(seed) }.all()
    }
}

fn variable(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is a number: {value}")))
}

/// The random numbers of a case.
fn numbers(seed: u64) -> TestRng {
    let mut random = Random(seed);
    let bytes: [u8; 32] = std::array::from_fn(|_| random.below(256) as u8);
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

#[test]
fn projects_live_as_the_model_does() {
    let db = Database::new("life");
    let world = RefCell::new(World::new(&db));
    let (first, cases) = (variable("LIFE_SEED", 1), variable("LIFE_CASES", CASES));
    for seed in first..first + cases {
        let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 3000, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, numbers(seed));
        let steps = prop::collection::vec(ops::step(), 20..140);
        let result = runner.run(&steps, |steps| world.borrow_mut().run(&steps, seed));
        if let Err(failure) = result {
            panic!("{failure}\nAgain with LIFE_SEED={seed} LIFE_CASES=1");
        }
    }
    let World { admin, seen, patches, .. } = &mut *world.borrow_mut();
    for ((op, outcome), times) in &*seen {
        println!("{op} {outcome}: {times}");
    }
    for (op, outcomes) in OUTCOMES.iter().filter(|_| cases >= CASES) {
        for outcome in *outcomes {
            assert!(seen.contains_key(&((*op).to_owned(), (*outcome).to_owned())), "no {op} ended with {outcome}");
        }
    }
    let [patches, swaps, successions] = *patches;
    assert!(cases < CASES || swaps > 0 && successions > 0, "no patch was difficult");
    println!(
        "{} steps, {patches} patches, {swaps} of them with files that swap paths, {successions} with successors",
        seen.values().sum::<usize>()
    );
    invariants::hold(admin);
}
