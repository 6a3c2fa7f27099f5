//! Random sequences of changes, side by side with a model of what they should do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use crate::calls::{Answer, File};
use crate::invariants;
use crate::support::{Database, Session};

const PATHS: [&str; 4] = ["a", "b", "c/d", "e"];
const CONTENTS: [&str; 3] = ["one\n", "two\n", ""];

#[derive(Clone, Debug)]
enum Op {
    Save { who: usize, path: usize, content: usize, expected: Option<i32> },
    Delete { who: usize, path: usize, expected: Option<i32> },
    Move { who: usize, from: usize, to: usize, expected: Option<i32> },
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..2usize;
    let expected = prop_oneof![3 => Just(None), 4 => (0..6i32).prop_map(Some)];
    prop_oneof![
        5 => (who.clone(), 0..4usize, 0..3usize, expected.clone())
            .prop_map(|(who, path, content, expected)| Op::Save { who, path, content, expected }),
        2 => (who.clone(), 0..4usize, expected.clone())
            .prop_map(|(who, path, expected)| Op::Delete { who, path, expected }),
        2 => (who, 0..4usize, 0..4usize, expected)
            .prop_map(|(who, from, to, expected)| Op::Move { who, from, to, expected }),
    ]
}

/// One version of a file in the model.
#[derive(Clone, Debug, PartialEq)]
struct Version {
    path: usize,
    content: Option<usize>,
    who: usize,
}

/// Files are known by their place in `files`, which never changes, as their identity.
#[derive(Default)]
struct Model {
    files: Vec<Vec<Version>>,
    /// Deleted files, in the order of their deletion.
    deleted: Vec<usize>,
}

/// What a call answers: the number, content and author of a version and whether it is current, or a SQLSTATE.
type Outcome = Result<(i32, Option<usize>, usize, bool), &'static str>;

impl Model {
    fn last(&self, file: usize) -> &Version {
        self.files[file].last().expect("files have versions")
    }

    fn live(&self, path: usize) -> Option<usize> {
        (0..self.files.len()).find(|&file| self.last(file).path == path && self.last(file).content.is_some())
    }

    fn tombstone(&self, path: usize) -> Option<usize> {
        self.deleted.iter().rev().copied().find(|&file| self.last(file).path == path)
    }

    fn number(&self, file: usize) -> i32 {
        self.files[file].len() as i32
    }

    fn add(&mut self, file: usize, version: Version) -> Outcome {
        let (content, who) = (version.content, version.who);
        self.deleted.retain(|&deleted| deleted != file);
        if content.is_none() {
            self.deleted.push(file);
        }
        self.files[file].push(version);
        Ok((self.number(file), content, who, content.is_some()))
    }

    fn at(&self, file: usize, version: i32) -> Outcome {
        let stored = &self.files[file][version as usize - 1];
        let is_current = version == self.number(file) && stored.content.is_some();
        Ok((version, stored.content, stored.who, is_current))
    }

    /// The version after the expected one, where the same actor made the same of it. Who expected no file made the
    /// first version since the last deletion.
    fn earlier_try(
        &self,
        file: Option<usize>,
        expected: Option<i32>,
        content: Option<usize>,
        who: usize,
    ) -> Option<Outcome> {
        let versions = &self.files[file?];
        let before = match expected? {
            0 => versions.iter().rposition(|version| version.content.is_none()).map_or(0, |n| n + 1),
            n => n as usize,
        };
        let version = versions.get(before)?;
        let is_same = version.content == content && version.who == who;
        is_same.then_some(self.at(file?, before as i32 + 1))
    }

    /// A move tried again finds its file where it went.
    fn earlier_move(&self, from: usize, to: usize, expected: Option<i32>, who: usize) -> Option<Outcome> {
        let newest = |path| self.live(path).or_else(|| self.tombstone(path));
        let file = newest(to).or_else(|| newest(from))?;
        let expected = expected.filter(|&n| n > 0)?;
        let [before, moved] = self.files[file].get(expected as usize - 1..=expected as usize)? else { return None };
        let is_it = (before.path, moved.path, moved.who) == (from, to, who) && before.content == moved.content;
        (is_it && moved.content.is_some()).then(|| self.at(file, expected + 1))
    }

    fn run(&mut self, op: &Op) -> Outcome {
        match *op {
            Op::Save { who, path, content, expected } => {
                let live = self.live(path);
                if let Some(file) = live.filter(|&file| self.last(file).content == Some(content)) {
                    return self.at(file, self.number(file));
                }
                let file = live.or_else(|| self.tombstone(path));
                let is_expected = match expected {
                    None => true,
                    Some(0) => live.is_none(),
                    Some(n) => file.is_some_and(|file| self.number(file) == n),
                };
                if !is_expected {
                    return self.earlier_try(file, expected, Some(content), who).unwrap_or(Err("PT409"));
                }
                let file = file.unwrap_or_else(|| {
                    self.files.push(Vec::new());
                    self.files.len() - 1
                });
                self.add(file, Version { path, content: Some(content), who })
            }
            Op::Delete { who, path, expected } => match self.live(path) {
                None => {
                    // A deletion tried again finds its own tombstone.
                    self.earlier_try(self.tombstone(path), expected, None, who).unwrap_or(Err("PT404"))
                }
                Some(file) if expected.is_some_and(|n| n != self.number(file)) => {
                    self.earlier_try(Some(file), expected, None, who).unwrap_or(Err("PT409"))
                }
                Some(file) => self.add(file, Version { path, content: None, who }),
            },
            Op::Move { who, from, to, expected } => match self.live(from) {
                None => self.earlier_move(from, to, expected, who).unwrap_or(Err("PT404")),
                Some(file) if expected.is_some_and(|n| n != self.number(file)) => {
                    self.earlier_move(from, to, expected, who).unwrap_or(Err("PT409"))
                }
                Some(file) if from == to => self.at(file, self.number(file)),
                Some(_) if self.live(to).is_some() => Err("PT409"),
                Some(file) => {
                    let content = self.last(file).content;
                    self.add(file, Version { path: to, content, who })
                }
            },
        }
    }
}

fn call(sessions: &mut [Session], project: Uuid, op: &Op) -> Answer<File> {
    match *op {
        Op::Save { who, path, content, expected } => {
            sessions[who].save(project, PATHS[path], CONTENTS[content], expected)
        }
        Op::Delete { who, path, expected } => sessions[who].delete(project, PATHS[path], expected),
        Op::Move { who, from, to, expected } => sessions[who].rename(project, PATHS[from], PATHS[to], expected),
    }
}

/// Compares everything that can be read with the model.
fn compare(session: &mut Session, project: Uuid, model: &Model, users: &[Uuid]) -> Result<(), TestCaseError> {
    let live: BTreeMap<&str, (i32, &str)> = (0..model.files.len())
        .filter_map(|file| {
            let last = model.last(file);
            Some((PATHS[last.path], (model.number(file), CONTENTS[last.content?])))
        })
        .collect();
    let listed = session.list(project);
    let listed: BTreeMap<&str, (i32, &str)> =
        listed.iter().map(|(path, version, content)| (&**path, (*version, &**content))).collect();
    prop_assert_eq!(&listed, &live);

    for (at, path) in PATHS.iter().enumerate() {
        let file = model.live(at).or_else(|| model.tombstone(at));
        let history = session.try_rows(
            "SELECT version, file_path, is_deleted, is_current_version, created_by
               FROM versioned.get_project_file_history($1, $2, 1000)",
            &[&project, path],
        );
        let Some(file) = file else {
            prop_assert!(history.is_err_and(|refusal| refusal.code == "PT404"));
            continue;
        };
        let history = history.expect("the file is there");
        let versions = &model.files[file];
        prop_assert_eq!(history.len(), versions.len());
        for (n, row) in history.iter().rev().enumerate() {
            let version = &versions[n];
            let number = n as i32 + 1;
            let is_current = number == model.number(file) && version.content.is_some();
            let shown: (i32, &str, bool, bool, Option<Uuid>) =
                (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
            let wanted = (number, PATHS[version.path], version.content.is_none(), is_current, Some(users[version.who]));
            prop_assert_eq!(shown, wanted);
            // Whatever path it was saved under, it is read under the present one.
            let read = session.get(project, path, Some(number)).expect("every version can be read");
            prop_assert_eq!(read.content.as_deref(), version.content.map(|content| CONTENTS[content]));
            prop_assert_eq!((&*read.path, read.is_current), (*path, is_current));
        }
        // The same in pages.
        let (mut pages, mut before) = (Vec::new(), None::<i32>);
        loop {
            let page: Vec<i32> = session.column(
                "SELECT version FROM versioned.get_project_file_history($1, $2, 3, $3)",
                &[&project, path, &before],
            );
            prop_assert!(page.len() <= 3);
            let Some(last) = page.last() else { break };
            before = Some(*last);
            pages.extend(page);
        }
        prop_assert!(pages.into_iter().eq((1..=versions.len() as i32).rev()));
        let beyond = session.get(project, path, Some(versions.len() as i32 + 1));
        prop_assert_eq!(beyond.map_err(|refusal| refusal.code), Err("PT404".to_owned()));
    }
    Ok(())
}

#[test]
fn random_histories_agree_with_the_model() {
    let db = Database::new("model");
    let users = [Uuid::new_v4(), Uuid::new_v4()];
    let open = |user: &Uuid| {
        let mut session = db.connect();
        session.claim(*user);
        session
    };
    let sessions = std::cell::RefCell::new([open(&users[0]), open(&users[1])]);
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(ops in prop::collection::vec(op(), 1..40))| {
        let sessions = &mut *sessions.borrow_mut();
        let project = sessions[0].project(users[0]).project;
        let mut model = Model::default();
        for op in &ops {
            let outcome = model.run(op);
            let answer = call(sessions, project, op);
            let answered = match &answer {
                Ok(file) => {
                    let content = file.content.as_deref();
                    let content = content.map(|text| CONTENTS.iter().position(|c| *c == text).expect("one of ours"));
                    let who = users.iter().position(|user| file.created_by == Some(*user)).expect("one of ours");
                    Ok((file.version, content, who, file.is_current))
                }
                Err(refusal) => Err(&*refusal.code),
            };
            prop_assert_eq!(answered, outcome, "{:?} answered {:?}", op, answer);
        }
        compare(&mut sessions[0], project, &model, &users)?;
    });
    invariants::hold(&mut db.connect());
}
