//! What a change does: turns what is wanted and what was found into what to write, return or refuse. Knows nothing
//! about Postgres.

use pgrx::Uuid;

use crate::content::Hash;
use crate::content::chain::Chain;
use crate::error::{Conflict, Error, FileState};

/// What a client wants for the file at a path.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub path: &'a str,
    pub expected: Expected,
    pub action: Action<'a>,
    /// The file that the request was based on, if any.
    pub file: Option<Uuid>,
}

/// What the client believes is at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything: the last writer wins.
    Anything,
    /// No file, or a deleted one.
    Nothing,
    /// A file whose newest version, possibly a deletion, has this number.
    Version(i32),
    /// A live file whose current version is this row of the view; `was_current` is false if the client's statement found
    /// it already replaced.
    Row { id: Uuid, version: i32, was_current: bool },
}

#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    Save(Body<'a>),
    Delete,
    /// Moves the file, with a new body if there is one.
    Move {
        to: &'a str,
        body: Option<Body<'a>>,
    },
}

/// What a version of a file contains.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    pub text: &'a str,
    pub hash: Hash,
    pub file_type: &'a str,
}

/// The current state, as far as the decision needs it.
#[derive(Debug, Default)]
pub struct Found {
    /// The live file at the path; if there is none, the one most recently deleted there.
    pub head: Option<Head>,
    /// The same for the path that a file is moved to.
    pub destination: Option<Head>,
    /// The version requested by [`earlier_try`].
    pub earlier: Option<Earlier>,
    /// Id of the head's version, if the request is about a row of the view.
    pub row: Option<Uuid>,
}

/// A file's newest version.
#[derive(Clone, Debug)]
pub struct Head {
    pub file_id: Uuid,
    pub version: i32,
    pub is_deleted: bool,
    /// `None` for a deletion.
    pub hash: Option<Hash>,
    pub file_type: String,
    pub chain: Chain,
}

/// A version that may be the result of an earlier attempt at the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    pub file_id: Uuid,
    pub version: i32,
    pub path: String,
    pub hash: Option<Hash>,
    pub file_type: String,
    pub author: Option<Uuid>,
    /// The path and content of the version before it.
    pub before: Option<(String, Option<Hash>)>,
}

/// Where to look for the version made by an earlier attempt at the same request: the one right after `after`, of this
/// file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlierTry {
    pub file_id: Uuid,
    pub after: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Version(i32),
    /// The file's last deletion, or its beginning if it was never deleted.
    LastDeletion,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Write(Write),
    /// The head already matches the request, and is the result.
    Unchanged,
    /// An earlier attempt at the same request succeeded: its version is the result.
    EarlierTry {
        is_current: bool,
    },
}

/// What a new version does to its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Creates a file that never existed.
    Create,
    /// Replaces the head of a live file.
    Update,
    /// Restores a deleted file.
    Revive,
    Delete,
    Move,
}

impl Head {
    pub fn state(&self) -> FileState {
        FileState { version: self.version, hash: self.hash }
    }
}

impl Found {
    fn live(&self) -> Option<&Head> {
        self.head.as_ref().filter(|head| !head.is_deleted)
    }

    fn is_as_expected(&self, expected: Expected) -> bool {
        match expected {
            Expected::Anything => true,
            Expected::Nothing => self.live().is_none(),
            Expected::Version(n) => self.head.as_ref().is_some_and(|head| head.version == n),
            Expected::Row { id, was_current, .. } => was_current && self.live().is_some() && self.row == Some(id),
        }
    }
}

impl Expected {
    /// The meaning of a client's argument: NULL for anything, 0 for no file, or a version number.
    pub fn from_argument(number: Option<i32>) -> Self {
        match number {
            None => Expected::Anything,
            Some(0) => Expected::Nothing,
            Some(n) => Expected::Version(n),
        }
    }

    /// The number that a conflict reports.
    fn number(self) -> Option<i32> {
        match self {
            Expected::Anything => None,
            Expected::Nothing => Some(0),
            Expected::Version(n) | Expected::Row { version: n, .. } => Some(n),
        }
    }
}

/// The version to read as [`Found::earlier`] before deciding; `None` if no earlier attempt can be the result.
pub fn earlier_try(found: &Found, wanted: &Wanted) -> Option<EarlierTry> {
    let after = match wanted.expected {
        // A row of the view is current or it is not: statements are not sent twice.
        Expected::Anything | Expected::Row { .. } => return None,
        Expected::Nothing => After::LastDeletion,
        Expected::Version(n) => After::Version(n),
    };
    let file = match wanted.action {
        Action::Save(body) if is_same(found.live(), &body) => None,
        Action::Save(_) if found.is_as_expected(wanted.expected) => None,
        Action::Save(_) => found.head.as_ref(),
        Action::Delete | Action::Move { .. } if found.live().is_some() && found.is_as_expected(wanted.expected) => None,
        Action::Delete => found.head.as_ref(),
        // A file that was moved is no longer at its old path.
        Action::Move { .. } => found.destination.as_ref().or(found.head.as_ref()),
    };
    file.map(|head| EarlierTry { file_id: head.file_id, after })
}

/// Decides the outcome of a request. PT404 and PT409; 40001 if the path has a different file than the one the request
/// was based on.
pub fn decide(found: &Found, wanted: &Wanted, actor: Option<Uuid>, project: Uuid) -> Result<Decision, Error> {
    if wanted.file.is_some() && wanted.file != found.head.as_ref().map(|head| head.file_id) {
        return Err(Error::LostRace(format!("file \"{}\"", wanted.path)));
    }
    if let (Expected::Row { was_current, .. }, live) = (wanted.expected, found.live())
        && (!was_current || live.is_none())
    {
        return Err(conflict(found, wanted));
    }
    match wanted.action {
        Action::Save(body) => {
            // Equal to the current state: nothing to save, whatever was expected.
            if is_same(found.live(), &body) {
                return Ok(Decision::Unchanged);
            }
            if !found.is_as_expected(wanted.expected) {
                return earlier_or_conflict(found, wanted, actor);
            }
            Ok(Decision::Write(match &found.head {
                None => Write::Create,
                Some(head) if head.is_deleted => Write::Revive,
                Some(_) => Write::Update,
            }))
        }
        Action::Delete => {
            if found.live().is_none() {
                return earlier(found, wanted, actor).ok_or_else(|| not_found(wanted, project));
            }
            if !found.is_as_expected(wanted.expected) {
                return earlier_or_conflict(found, wanted, actor);
            }
            Ok(Decision::Write(Write::Delete))
        }
        Action::Move { to, .. } => {
            if found.live().is_none() {
                return earlier(found, wanted, actor).ok_or_else(|| not_found(wanted, project));
            }
            if !found.is_as_expected(wanted.expected) {
                return earlier_or_conflict(found, wanted, actor);
            }
            if wanted.path == to {
                return Ok(Decision::Unchanged);
            }
            match found.destination.as_ref().filter(|taken| !taken.is_deleted) {
                Some(taken) => Err(Error::PathTaken {
                    path: to.to_owned(),
                    expected: wanted.expected.number(),
                    current: taken.state(),
                }),
                None => Ok(Decision::Write(Write::Move)),
            }
        }
    }
}

fn is_same(live: Option<&Head>, body: &Body) -> bool {
    live.is_some_and(|head| head.hash == Some(body.hash) && head.file_type == body.file_type)
}

fn not_found(wanted: &Wanted, project: Uuid) -> Error {
    Error::FileNotFound { project, path: wanted.path.to_owned() }
}

fn conflict(found: &Found, wanted: &Wanted) -> Error {
    Error::VersionConflict(Conflict {
        path: wanted.path.to_owned(),
        expected: wanted.expected.number().unwrap_or_default(),
        current: found.head.as_ref().map(Head::state),
    })
}

fn earlier_or_conflict(found: &Found, wanted: &Wanted, actor: Option<Uuid>) -> Result<Decision, Error> {
    earlier(found, wanted, actor).ok_or_else(|| conflict(found, wanted))
}

/// The decision if an earlier attempt at this same request, by the same actor, succeeded.
fn earlier(found: &Found, wanted: &Wanted, actor: Option<Uuid>) -> Option<Decision> {
    let made = found.earlier.as_ref().filter(|made| made.author == actor)?;
    let holds = |body: &Body| made.hash == Some(body.hash) && made.file_type == body.file_type;
    let (is_it, at) = match wanted.action {
        Action::Save(body) => (holds(&body), &found.head),
        Action::Delete => (made.hash.is_none(), &found.head),
        Action::Move { to, body } => {
            let moved = made.before.as_ref().filter(|(from, _)| made.path == to && from == wanted.path);
            let holds = |before: &Option<Hash>| body.map_or(made.hash == *before, |body| holds(&body));
            (moved.is_some_and(|(_, before)| made.hash.is_some() && holds(before)), &found.destination)
        }
    };
    let is_newest = at.as_ref().is_some_and(|head| (head.file_id, head.version) == (made.file_id, made.version));
    is_it.then_some(Decision::EarlierTry { is_current: is_newest && made.hash.is_some() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u8) -> Uuid {
        Uuid::from_bytes([n; 16])
    }

    fn me() -> Option<Uuid> {
        Some(id(1))
    }

    fn file() -> Uuid {
        id(2)
    }

    fn hash(n: u8) -> Hash {
        [n; 32]
    }

    fn body(n: u8) -> Body<'static> {
        Body { text: "", hash: hash(n), file_type: "text" }
    }

    fn save(n: u8, expected: Expected) -> Wanted<'static> {
        Wanted { path: "a", expected, action: Action::Save(body(n)), file: None }
    }

    fn delete(expected: Expected) -> Wanted<'static> {
        Wanted { path: "a", expected, action: Action::Delete, file: None }
    }

    fn rename(expected: Expected) -> Wanted<'static> {
        Wanted { path: "a", expected, action: Action::Move { to: "b", body: None }, file: None }
    }

    fn live(version: i32, content: u8) -> Option<Head> {
        Some(Head {
            file_id: file(),
            version,
            is_deleted: false,
            hash: Some(hash(content)),
            file_type: "text".into(),
            chain: Chain::default(),
        })
    }

    fn deleted(version: i32) -> Option<Head> {
        live(version, 0).map(|head| Head { is_deleted: true, hash: None, ..head })
    }

    fn at(head: Option<Head>) -> Found {
        Found { head, ..Found::default() }
    }

    fn made(version: i32, content: Option<u8>, author: Option<Uuid>) -> Option<Earlier> {
        Some(Earlier {
            file_id: file(),
            version,
            path: "a".into(),
            hash: content.map(hash),
            file_type: "text".into(),
            author,
            before: None,
        })
    }

    fn outcome(found: &Found, wanted: &Wanted) -> Result<Decision, &'static str> {
        decide(found, wanted, me(), id(9)).map_err(|error| error.sqlstate())
    }

    #[test]
    fn without_expectation_the_last_writer_wins() {
        let anything = save(1, Expected::Anything);
        assert_eq!(outcome(&at(None), &anything), Ok(Decision::Write(Write::Create)));
        assert_eq!(outcome(&at(live(7, 2)), &anything), Ok(Decision::Write(Write::Update)));
        assert_eq!(outcome(&at(deleted(7)), &anything), Ok(Decision::Write(Write::Revive)));
        assert_eq!(outcome(&at(live(7, 2)), &delete(Expected::Anything)), Ok(Decision::Write(Write::Delete)));
        assert_eq!(outcome(&at(live(7, 2)), &rename(Expected::Anything)), Ok(Decision::Write(Write::Move)));
    }

    #[test]
    fn zero_expects_no_file_or_a_deleted_one() {
        let nothing = save(1, Expected::Nothing);
        assert_eq!(outcome(&at(None), &nothing), Ok(Decision::Write(Write::Create)));
        assert_eq!(outcome(&at(deleted(3)), &nothing), Ok(Decision::Write(Write::Revive)));
        assert_eq!(outcome(&at(live(3, 2)), &nothing), Err("PT409"));
    }

    #[test]
    fn a_number_expects_that_version_a_deletion_included() {
        let third = save(1, Expected::Version(3));
        assert_eq!(outcome(&at(live(3, 2)), &third), Ok(Decision::Write(Write::Update)));
        assert_eq!(outcome(&at(deleted(3)), &third), Ok(Decision::Write(Write::Revive)));
        assert_eq!(outcome(&at(live(4, 2)), &third), Err("PT409"));
        assert_eq!(outcome(&at(deleted(4)), &third), Err("PT409"));
        assert_eq!(outcome(&at(None), &third), Err("PT409"));
    }

    #[test]
    fn equal_content_and_type_are_no_save_whatever_was_expected() {
        for expected in [Expected::Anything, Expected::Nothing, Expected::Version(1), Expected::Version(9)] {
            assert_eq!(outcome(&at(live(5, 1)), &save(1, expected)), Ok(Decision::Unchanged));
        }
        let mut typed = save(1, Expected::Anything);
        typed.action = Action::Save(Body { file_type: "rust", ..body(1) });
        assert_eq!(outcome(&at(live(5, 1)), &typed), Ok(Decision::Write(Write::Update)));
        // A deletion has no content that could be equal.
        assert_eq!(outcome(&at(deleted(5)), &save(1, Expected::Version(4))), Err("PT409"));
    }

    #[test]
    fn a_save_sent_twice_is_answered_with_its_version() {
        let wanted = save(1, Expected::Version(3));
        let mut found = at(live(5, 2));
        let asked = EarlierTry { file_id: file(), after: After::Version(3) };
        assert_eq!(earlier_try(&found, &wanted), Some(asked));
        found.earlier = made(4, Some(1), me());
        assert_eq!(outcome(&found, &wanted), Ok(Decision::EarlierTry { is_current: false }));
        // By another actor, or with different content: a conflict.
        found.earlier = made(4, Some(1), None);
        assert_eq!(outcome(&found, &wanted), Err("PT409"));
        found.earlier = made(4, Some(8), me());
        assert_eq!(outcome(&found, &wanted), Err("PT409"));
        found.earlier = made(4, Some(1), me()).map(|made| Earlier { file_type: "rust".into(), ..made });
        assert_eq!(outcome(&found, &wanted), Err("PT409"));
    }

    #[test]
    fn a_first_save_sent_twice_is_the_first_one_since_the_last_deletion() {
        let wanted = save(1, Expected::Nothing);
        let mut found = at(live(5, 2));
        let asked = EarlierTry { file_id: file(), after: After::LastDeletion };
        assert_eq!(earlier_try(&found, &wanted), Some(asked));
        found.earlier = made(4, Some(1), me());
        assert_eq!(outcome(&found, &wanted), Ok(Decision::EarlierTry { is_current: false }));
    }

    #[test]
    fn a_deletion_sent_twice_is_answered_with_its_version() {
        let wanted = delete(Expected::Version(3));
        let mut found = at(deleted(4));
        assert_eq!(earlier_try(&found, &wanted), Some(EarlierTry { file_id: file(), after: After::Version(3) }));
        assert_eq!(outcome(&found, &wanted), Err("PT404"));
        found.earlier = made(4, None, me());
        assert_eq!(outcome(&found, &wanted), Ok(Decision::EarlierTry { is_current: false }));
        // Even if the file has been recreated meanwhile.
        found.head = live(6, 2);
        assert_eq!(outcome(&found, &wanted), Ok(Decision::EarlierTry { is_current: false }));
        found.earlier = made(4, Some(1), me());
        assert_eq!(outcome(&found, &wanted), Err("PT409"));
        // Without an expected version, a repeated request cannot be told from a new one.
        assert_eq!(outcome(&at(deleted(4)), &delete(Expected::Anything)), Err("PT404"));
    }

    #[test]
    fn a_move_sent_twice_is_answered_with_its_version() {
        let wanted = rename(Expected::Version(3));
        let mut found = Found { destination: live(4, 1), ..Found::default() };
        assert_eq!(earlier_try(&found, &wanted), Some(EarlierTry { file_id: file(), after: After::Version(3) }));
        let moved = |before: &str| {
            made(4, Some(1), me()).map(|made| Earlier {
                path: "b".into(),
                before: Some((before.into(), Some(hash(1)))),
                ..made
            })
        };
        found.earlier = moved("a");
        assert_eq!(outcome(&found, &wanted), Ok(Decision::EarlierTry { is_current: true }));
        found.destination = live(5, 2);
        assert_eq!(outcome(&found, &wanted), Ok(Decision::EarlierTry { is_current: false }));
        found.earlier = moved("elsewhere");
        assert_eq!(outcome(&found, &wanted), Err("PT404"));
        assert_eq!(outcome(&found, &rename(Expected::Anything)), Err("PT404"));
    }

    #[test]
    fn a_move_needs_a_live_file_and_a_free_path() {
        let wanted = rename(Expected::Anything);
        assert_eq!(outcome(&at(None), &wanted), Err("PT404"));
        assert_eq!(outcome(&at(deleted(2)), &wanted), Err("PT404"));
        let onto = |destination| Found { head: live(2, 1), destination, ..Found::default() };
        assert_eq!(outcome(&onto(live(1, 5)), &wanted), Err("PT409"));
        assert_eq!(outcome(&onto(deleted(1)), &wanted), Ok(Decision::Write(Write::Move)));
        let nowhere = Wanted { action: Action::Move { to: "a", body: None }, ..wanted };
        assert_eq!(outcome(&at(live(2, 1)), &nowhere), Ok(Decision::Unchanged));
    }

    #[test]
    fn a_row_of_the_view_must_be_current_before_and_after_waiting() {
        let row = |was_current| Expected::Row { id: id(7), version: 3, was_current };
        let at = |head, row| Found { row, ..at(head) };
        for make in [|e| save(1, e), |e| delete(e), |e| rename(e)] as [fn(Expected) -> Wanted<'static>; 3] {
            let current = at(live(3, 2), Some(id(7)));
            assert!(matches!(outcome(&current, &make(row(true))), Ok(Decision::Write(_))));
            assert_eq!(outcome(&current, &make(row(false))), Err("PT409"));
            // Replaced, also by another file's version of the same number; deleted; gone.
            assert_eq!(outcome(&at(live(4, 2), Some(id(8))), &make(row(true))), Err("PT409"));
            assert_eq!(outcome(&at(live(3, 2), Some(id(8))), &make(row(true))), Err("PT409"));
            assert_eq!(outcome(&at(deleted(4), Some(id(8))), &make(row(true))), Err("PT409"));
            assert_eq!(outcome(&at(None, None), &make(row(true))), Err("PT409"));
        }
    }

    #[test]
    fn another_file_at_the_path_is_not_the_one_that_was_read() {
        let of = |file| Wanted { file: Some(file), ..save(1, Expected::Version(3)) };
        assert_eq!(outcome(&at(live(3, 2)), &of(id(3))), Err("40001"));
        assert_eq!(outcome(&at(None), &of(file())), Err("40001"));
        assert_eq!(outcome(&at(live(3, 2)), &of(file())), Ok(Decision::Write(Write::Update)));
    }

    fn any_head() -> impl Strategy<Value = Option<Head>> {
        prop_oneof![
            Just(None),
            (1..5_i32, 0..3_u8).prop_map(|(version, content)| live(version, content)),
            (1..5_i32).prop_map(deleted),
        ]
    }

    fn any_expected() -> impl Strategy<Value = Expected> {
        prop_oneof![
            Just(Expected::Anything),
            Just(Expected::Nothing),
            (1..5_i32).prop_map(Expected::Version),
            any::<bool>().prop_map(|was_current| Expected::Row { id: id(7), version: 3, was_current }),
        ]
    }

    fn any_wanted() -> impl Strategy<Value = Wanted<'static>> {
        let action = prop_oneof![
            (0..3_u8).prop_map(|n| Action::Save(body(n))),
            Just(Action::Delete),
            prop::option::of(0..3_u8).prop_map(|n| Action::Move { to: "b", body: n.map(body) }),
        ];
        (any_expected(), action).prop_map(|(expected, action)| Wanted { path: "a", expected, action, file: None })
    }

    fn any_earlier() -> impl Strategy<Value = Option<Earlier>> {
        let before = prop::option::of(("[ab]", prop::option::of(0..3_u8)));
        let earlier = (2..6_i32, prop::option::of(0..3_u8), any::<bool>(), "[ab]", before);
        prop::option::of(earlier).prop_map(|earlier| {
            let (version, content, mine, path, before) = earlier?;
            let before = before.map(|(path, content)| (path, content.map(hash)));
            made(version, content, if mine { me() } else { None }).map(|made| Earlier { path, before, ..made })
        })
    }

    proptest! {
        /// An unexpected state is never overwritten, and nothing that is already there is written again.
        #[test]
        fn what_is_written_was_expected_and_is_new(
            head in any_head(), destination in any_head(), earlier in any_earlier(), wanted in any_wanted()
        ) {
            let found = Found { head, destination, earlier, row: Some(id(7)) };
            let decision = decide(&found, &wanted, me(), id(9));
            if let Ok(Decision::Write(write)) = decision {
                prop_assert!(found.is_as_expected(wanted.expected));
                prop_assert_eq!(found.live().is_some(), matches!(write, Write::Update | Write::Delete | Write::Move));
                prop_assert_eq!(found.head.is_none(), write == Write::Create);
                if let Action::Save(body) = wanted.action {
                    prop_assert!(!is_same(found.live(), &body));
                }
                if let Action::Move { .. } = wanted.action {
                    prop_assert!(found.destination.as_ref().is_none_or(|head| head.is_deleted));
                }
            }
        }

        /// Only the actor's own version counts as an earlier attempt.
        #[test]
        fn an_earlier_try_is_the_actors_own(
            head in any_head(), destination in any_head(), earlier in any_earlier(), wanted in any_wanted()
        ) {
            let found = Found { head, destination, earlier, row: Some(id(7)) };
            if let Ok(Decision::EarlierTry { .. }) = decide(&found, &wanted, me(), id(9)) {
                prop_assert!(found.earlier.as_ref().is_some_and(|made| made.author == me()));
            }
            let found = Found { earlier: None, ..found };
            let is_earlier_try = matches!(decide(&found, &wanted, me(), id(9)), Ok(Decision::EarlierTry { .. }));
            prop_assert!(!is_earlier_try);
        }

        /// Whatever is written, or equals the current state, requires no look at the history.
        #[test]
        fn history_is_asked_only_where_it_may_answer(head in any_head(), wanted in any_wanted()) {
            let found = at(head);
            if decide(&found, &wanted, me(), id(9)).is_ok() {
                prop_assert_eq!(earlier_try(&found, &wanted), None);
            }
        }

        /// A request with the version number the client was given either writes, or fails with a conflict that reports
        /// the current state.
        #[test]
        fn a_conflict_names_the_present_state(head in any_head(), wanted in any_wanted()) {
            let found = at(head);
            if let Err(Error::VersionConflict(conflict)) = decide(&found, &wanted, me(), id(9)) {
                prop_assert_eq!(conflict.current.map(|state| state.version), found.head.as_ref().map(|head| head.version));
                prop_assert!(wanted.expected != Expected::Anything);
            }
        }
    }
}
