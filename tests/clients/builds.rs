//! Builds that race: one active, one outcome, one version.

use serde_json::json;
use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Random, race, refused, sessions};

#[test]
fn exactly_one_of_racing_starts_wins() {
    let db = Database::new("start_race");
    let mut admin = db.connect();
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    let mut active = first.build;
    for _ in 0..15 {
        assert_eq!(admin.fail(project, &active).expect("it fails"), "failed");
        let answers = race(sessions(8, || db.connect()), |_, session| session.start(project, false));
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        active = won.into_iter().flatten().next().expect("one").build;
        for loser in lost {
            let refusal = refused(loser, "PT409");
            assert_eq!(refusal.json()["build_id"], *active);
            assert!(refusal.hint.is_some() && refusal.message.contains(&active), "{refusal:?}");
        }
    }
    invariants::hold(&mut admin);
}

#[test]
fn racing_starts_that_supersede_leave_one_active_build() {
    let db = Database::new("supersede_race");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let started = race(sessions(8, || db.connect()), |_, session| session.start(project, true).expect("it starts"));
    let statuses: Vec<String> = admin.column(
        "SELECT status FROM versioned.project_build_metrics WHERE project_id = $1 ORDER BY status",
        &[&project],
    );
    assert_eq!(statuses.iter().filter(|status| *status == "abandoned").count(), started.len());
    assert_eq!(statuses.last().map(String::as_str), Some("started"));
    let current: String = admin.value("SELECT current_build_id FROM versioned.projects WHERE id = $1", &[&project]);
    for build in &started {
        let result = admin.succeed(project, &build.build, json!({}));
        if build.build == current {
            result.expect("the active build succeeds");
        } else {
            assert_eq!(refused(result, "PT409").json()["status"], "abandoned");
        }
    }
    invariants::hold(&mut admin);
}

#[test]
fn racing_successes_of_one_build_make_one_version() {
    let db = Database::new("success_race");
    let mut admin = db.connect();
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    let mut build = first;
    for round in 0..15 {
        admin.put(project, "a", &format!("round {round}"));
        let versions = race(sessions(8, || db.connect()), |n, session| {
            session.succeed(project, &build.build, json!({"version_name": format!("by {n}")})).expect("it succeeds")
        });
        assert!(versions.iter().all(|version| *version == versions[0]), "{versions:?}");
        assert_eq!(versions[0].id, build.version, "the version was reserved");
        let seq: i32 = admin.value("SELECT snapshot_seq FROM versioned.projects WHERE id = $1", &[&project]);
        assert_eq!(seq, round + 2, "one snapshot a version");
        build = admin.start(project, false).expect("it starts");
    }
    let rows: i64 = admin.value("SELECT count(*) FROM versioned.project_versions", &[]);
    assert_eq!(rows, 15);
    invariants::hold(&mut admin);
}

#[test]
fn success_racing_failure_has_one_outcome_and_no_ghost_version() {
    let db = Database::new("success_fail");
    let mut admin = db.connect();
    let mut outcomes = [0, 0];
    for round in 0..30 {
        let build = admin.project(Uuid::new_v4());
        let answers = race(sessions(4, || db.connect()), |n, session| {
            if (n + round) % 2 == 0 {
                session.succeed(build.project, &build.build, json!({})).map(|version| version.id)
            } else {
                session.fail(build.project, &build.build)
            }
        });
        let status: String =
            admin.value("SELECT status FROM versioned.project_build_metrics WHERE project_id = $1", &[&build.project]);
        let versions: i64 =
            admin.value("SELECT count(*) FROM versioned.project_versions WHERE project_id = $1", &[&build.project]);
        let deployed = status == "deployed";
        assert_eq!(versions, i64::from(deployed), "{status}");
        for (n, answer) in answers.into_iter().enumerate() {
            let for_success = (n + round) % 2 == 0;
            if for_success == deployed {
                assert_eq!(answer.expect("the outcome"), if deployed { &*build.version } else { "failed" });
            } else {
                assert_eq!(refused(answer, "PT409").json()["status"], *status);
            }
        }
        outcomes[usize::from(deployed)] += 1;
    }
    invariants::hold(&mut admin);
}

#[test]
fn success_racing_its_supersession_has_one_outcome() {
    let db = Database::new("success_supersede");
    let mut admin = db.connect();
    for round in 0..20 {
        let build = admin.project(Uuid::new_v4());
        let mut answers = race(sessions(2, || db.connect()), |n, session| {
            if (n + round) % 2 == 0 {
                session.succeed(build.project, &build.build, json!({})).map(|version| version.id)
            } else {
                session.start(build.project, true).map(|build| build.build)
            }
        });
        answers.rotate_left(round % 2);
        assert!(answers[1].is_ok(), "the new build starts either way: {answers:?}");
        match answers.remove(0) {
            Ok(version) => assert_eq!(version, build.version),
            Err(refusal) => assert_eq!(refused(Err::<(), _>(refusal), "PT409").json()["status"], "abandoned"),
        }
    }
    invariants::hold(&mut admin);
}

#[test]
fn version_numbers_have_no_gap_and_no_double() {
    let db = Database::new("semver");
    let mut admin = db.connect();
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    admin.fail(project, &first.build).expect("it fails");

    let asked = race(sessions(4, || db.connect()), |n, session| {
        let mut random = Random(n as u64);
        let mut asked = Vec::new();
        while asked.len() < 20 {
            let Ok(build) = session.start(project, false) else { continue };
            if random.below(4) == 0 {
                session.fail(project, &build.build).expect("it fails");
                continue;
            }
            let change = [
                json!({}),
                json!({"change_type": "patch"}),
                json!({"change_type": "minor"}),
                json!({"change_type": "major"}),
                json!({"change_type": null, "prerelease": "beta.1"}),
            ][random.below(5)]
            .clone();
            let version = session.succeed(project, &build.build, change.clone()).expect("it succeeds");
            asked.push((version, change["change_type"].as_str().unwrap_or("minor").to_owned()));
        }
        asked
    });
    let mut versions: Vec<_> = asked.into_iter().flatten().collect();
    versions.sort_by_key(|(version, _)| version.snapshot);
    let mut last: Option<crate::calls::Version> = None;
    for (version, asked) in versions {
        let (number, change) = match &last {
            // The first is 1.0.0 and major whatever was asked.
            None => ((1, 0, 0), "major"),
            Some(last) => {
                let (major, minor, patch) = last.number;
                match &*asked {
                    "major" => ((major + 1, 0, 0), "major"),
                    "minor" => ((major, minor + 1, 0), "minor"),
                    _ => ((major, minor, patch + 1), "patch"),
                }
            }
        };
        assert_eq!((version.number, &*version.change), (number, change));
        assert_eq!(version.parent.as_deref(), last.as_ref().map(|last| &*last.id));
        last = Some(version);
    }
    invariants::hold(&mut admin);
}

#[test]
fn a_build_past_its_time_makes_way_and_cannot_come_back() {
    let db = Database::new("build_timeout");
    let mut admin = db.connect();
    let stuck = admin.project(Uuid::new_v4());
    refused(admin.start(stuck.project, false), "PT409");
    admin.run("UPDATE versioned.project_build_metrics SET started_at = started_at - interval '1 hour 1 second'");
    let answers = race(sessions(8, || db.connect()), |_, session| session.start(stuck.project, false));
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "one takes its place");
    assert_eq!(refused(admin.succeed(stuck.project, &stuck.build, json!({})), "PT409").json()["status"], "abandoned");
    assert_eq!(admin.fail(stuck.project, &stuck.build).expect("nothing is left to fail"), "abandoned");
    invariants::hold(&mut admin);
}

#[test]
fn stopping_a_session_is_idempotent_also_when_its_calls_race() {
    let db = Database::new("ai_time");
    let mut admin = db.connect();
    let build = admin.project(Uuid::new_v4());
    let stop = "SELECT versioned.stop_ai_time_tracking($1, $2)";
    for _ in 0..5 {
        let session: String = admin
            .value("SELECT versioned.start_ai_time_tracking($1, $2, 'code_review')", &[&build.project, &build.build]);
        let durations: Vec<i64> =
            race(sessions(8, || db.connect()), |_, client| client.value(stop, &[&build.project, &session]));
        assert_eq!(durations, vec![durations[0]; 8]);
        assert!(durations[0] >= 0);
    }
    // The build's end closes its first session, and a later stop changes nothing.
    admin.succeed(build.project, &build.build, json!({})).expect("it succeeds");
    let closed: i64 = admin
        .value("SELECT duration_ms FROM versioned.project_ai_time_sessions WHERE session_id = $1", &[&build.session]);
    let stopped: i64 = admin.value(stop, &[&build.project, &build.session]);
    assert_eq!(stopped, closed);
    let start = "SELECT versioned.start_ai_time_tracking($1, $2)";
    refused(admin.try_rows(start, &[&build.project, &build.build]), "PT409");
    invariants::hold(&mut admin);
}

#[test]
fn line_counts_are_gits() {
    let db = Database::new("line_counts");
    let mut admin = db.connect();
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    let stats = |session: &mut crate::support::Session, version: &str| {
        let row = session.row(
            "SELECT files_changed, lines_added, lines_removed FROM versioned.project_versions WHERE version_id = $1",
            &[&version],
        );
        (row.get::<_, i32>(0), row.get::<_, i64>(1), row.get::<_, i64>(2))
    };
    admin.put(project, "a", "one\ntwo\nthree\n");
    admin.put(project, "b", "gone\n");
    admin.put(project, "never", "seen\n");
    admin.delete(project, "never", None).expect("deleted");
    let version = admin.succeed(project, &first.build, json!({})).expect("it succeeds");
    assert_eq!(stats(&mut admin, &version.id), (2, 4, 0));

    // Changed and changed back counts nothing; a move alone is a changed file without changed lines.
    let build = admin.start(project, false).expect("it starts");
    admin.put(project, "a", "other\n");
    admin.put(project, "a", "one\ntwo\nthree\n");
    admin.rename(project, "b", "c", None).expect("moved");
    let version = admin.succeed(project, &build.build, json!({})).expect("it succeeds");
    assert_eq!(stats(&mut admin, &version.id), (1, 0, 0));

    let build = admin.start(project, false).expect("it starts");
    admin.put(project, "a", "one\n2\nthree\nfour");
    admin.delete(project, "c", None).expect("deleted");
    let version = admin.succeed(project, &build.build, json!({})).expect("it succeeds");
    assert_eq!(stats(&mut admin, &version.id), (2, 2, 2));
    invariants::hold(&mut admin);
}
