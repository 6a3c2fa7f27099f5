//! Configs of projects: what is merged at once is all there, and who expects an old one loses.

use std::thread;
use std::time::SystemTime;

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::calls::Answer;
use crate::invariants;
use crate::support::{Database, Random, Session, race, refused, sessions, until_waiting};

const UPDATE: &str = "SELECT * FROM versioned.update_project_config($1, $2, $3)";

/// A config and its time.
type Config = (Json, SystemTime);

impl Session {
    fn configure(&mut self, project: Uuid, patch: &Json, expected: Option<SystemTime>) -> Answer<Config> {
        let row = self.try_row(UPDATE, &[&project, patch, &expected])?;
        Ok((row.get("config"), row.get("config_updated_at")))
    }

    #[track_caller]
    fn config(&mut self, project: Uuid) -> Config {
        let row = self.row("SELECT config, config_updated_at FROM versioned.get_project_state($1)", &[&project]);
        (row.get(0), row.get(1))
    }
}

#[test]
fn nothing_that_is_merged_at_once_is_lost() {
    const WRITERS: usize = 16;
    const ROUNDS: i32 = 20;
    let db = Database::new("config_merge");
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let project = admin.project(owner).project;
    let times = race(sessions(WRITERS, || db.user(owner)), |n, session| {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let patch = json!({ format!("of {n}"): round, "shared": { format!("of {n}"): { format!("{round}"): n } } });
            let (config, at) = session.configure(project, &patch, None).expect("it is merged");
            assert_eq!(config[format!("of {n}")], round);
            times.push(at);
        }
        times
    });
    let own: Map<String, Json> = (0..WRITERS).map(|n| (format!("of {n}"), json!(ROUNDS - 1))).collect();
    let rounds = |n| (0..ROUNDS).map(|round| (format!("{round}"), json!(n))).collect::<Map<_, _>>();
    let shared: Map<String, Json> = (0..WRITERS).map(|n| (format!("of {n}"), rounds(n).into())).collect();
    let mut due = Json::from(own);
    due["shared"] = shared.into();
    let (config, last) = admin.config(project);
    assert_eq!(config, due);
    let mut times: Vec<SystemTime> = times.into_iter().flatten().collect();
    times.sort();
    assert_eq!(times.last(), Some(&last));
    times.dedup();
    assert_eq!(times.len(), WRITERS * ROUNDS as usize, "each config has a time of its own");
    invariants::hold(&mut admin);
}

#[test]
fn one_of_those_who_expect_the_same_config_wins() {
    let db = Database::new("config_race");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    for round in 0..15 {
        let (_, expected) = admin.config(project);
        let patch = |n| json!({ "winner": format!("{n} in {round}") });
        let answers = race(sessions(8, || db.connect()), |n, session| {
            session.configure(project, &patch(n), Some(expected)).map(|config| (n, config))
        });
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        let (winner, config) = won.into_iter().flatten().next().expect("one");
        assert_eq!(config.0, patch(winner));
        assert!(config.1 > expected);
        assert_eq!(admin.config(project), config);
        let current = "SELECT ($1::jsonb ->> 'current')::timestamptz";
        for loser in lost {
            let refusal = refused(loser, "PT409");
            let detail = refusal.json();
            assert_eq!(detail["project_id"], project.to_string());
            assert_eq!(detail["config"], config.0);
            assert_eq!(admin.value::<SystemTime>(current, &[&detail]), config.1);
            assert!(refusal.hint.is_some() && refusal.message.contains(&project.to_string()), "{refusal:?}");
        }
        // Sent again, the winner's call finds what it wanted.
        assert_eq!(admin.configure(project, &patch(winner), Some(expected)).expect("no conflict"), config);
    }
    invariants::hold(&mut admin);
}

/// What is expected is compared when the lock has been waited for.
#[test]
fn who_waits_is_told_of_the_change_that_came_first() {
    let db = Database::new("config_wait");
    let (mut admin, mut first, mut second) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    for (end, outcome) in [("COMMIT", Some("PT409")), ("ROLLBACK", None)] {
        let (_, expected) = admin.config(project);
        first.run("BEGIN");
        first.configure(project, &json!({ "by": "first", "end": end }), Some(expected)).expect("it is merged");
        thread::scope(|scope| {
            let pid = second.pid;
            let waiting =
                scope.spawn(|| second.configure(project, &json!({ "by": "second", "end": end }), Some(expected)));
            until_waiting(&mut admin, pid);
            first.run(end);
            let answer = waiting.join().expect("no panic");
            match outcome {
                Some(code) => assert_eq!(refused(answer, code).json()["config"]["by"], "first"),
                None => assert_eq!(answer.expect("it is merged").0["by"], "second"),
            }
        });
    }
    invariants::hold(&mut admin);
}

/// Also a patch that would change nothing: an older snapshot does not know that.
#[test]
fn a_lost_race_under_a_fixed_snapshot_is_to_be_repeated() {
    let db = Database::new("config_snapshot");
    let (mut admin, mut late) = (db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        for (patch, is_expected) in [("a", true), ("a", false), ("b", true), ("b", false)] {
            let (_, expected) = admin.config(project);
            late.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT 1"));
            let value = Uuid::new_v4().to_string();
            admin.configure(project, &json!({ "a": value }), None).expect("it is merged");
            let answer = late.configure(project, &json!({ patch: value }), is_expected.then_some(expected));
            refused(answer, "40001");
            late.run("ROLLBACK");
        }
        // Without a race it is as always.
        late.run(&format!("BEGIN ISOLATION LEVEL {level}"));
        let (_, expected) = late.config(project);
        let (config, at) = late.configure(project, &json!({ "level": level }), Some(expected)).expect("it is merged");
        assert_eq!((config["level"].as_str(), at > expected), (Some(level), true));
        late.run("COMMIT");
    }
    invariants::hold(&mut admin);
}

/// Also when the clock was set back.
#[test]
fn times_of_configs_only_grow() {
    let db = Database::new("config_times");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let both = "SELECT concat_ws(' ', config_updated_at - '2100-01-01Z', updated_at - '2100-01-01Z')
                  FROM versioned.update_project_config($1, $2)";
    for column in ["config_updated_at", "updated_at", "created_at"] {
        admin.run(&format!(
            "UPDATE versioned.projects SET created_at = '2026-01-01Z', updated_at = '2026-01-01Z', config_updated_at = NULL;
             UPDATE versioned.projects SET {column} = '2100-01-01Z'"
        ));
        for n in 1..3 {
            let times: String = admin.value(both, &[&project, &json!({ column: n })]);
            assert_eq!(times, format!("00:00:00.00000{n} 00:00:00.00000{n}"), "{column}");
        }
    }
}

#[test]
fn editors_change_it_and_viewers_read_it() {
    let db = Database::new("config_roles");
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let project = admin.project(owner).project;
    let (viewer, editor) = (Uuid::new_v4(), Uuid::new_v4());
    admin.add_member(project, viewer, "viewer");
    admin.add_member(project, editor, "editor");
    let role = "SELECT role FROM versioned.get_project_state($1)";
    for (user, name) in [(viewer, "viewer"), (editor, "editor"), (owner, "owner")] {
        let mut session = db.user(user);
        assert_eq!(session.value::<String>(role, &[&project]), name);
        let answer = session.configure(project, &json!({ "by": name }), None);
        if name == "viewer" {
            assert!(refused(answer, "42501").message.contains("editor"));
            refused(session.configure(project, &json!({}), None), "42501");
        } else {
            assert_eq!(answer.expect("it is merged").0, json!({ "by": name }));
        }
    }
    assert_eq!(admin.value::<String>(role, &[&project]), "owner", "privileged callers may do everything");
    let mut stranger = db.user(Uuid::new_v4());
    refused(stranger.configure(project, &json!({ "by": "stranger" }), None), "PT404");
    refused(stranger.try_rows(role, &[&project]), "PT404");
    let mut anon = db.login("authenticator");
    anon.run("SET ROLE anon");
    refused(anon.configure(project, &json!({}), None), "42501");
    refused(anon.try_rows(role, &[&project]), "42501");
    assert_eq!(admin.config(project).0, json!({ "by": "owner" }));
}

#[test]
fn deep_large_and_precise_values() {
    let db = Database::new("config_values");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    let update = "SELECT config::text FROM versioned.update_project_config($1, $2::text::jsonb)";
    let precise = r#"{"n": [1.50, 12345678901234567890123.4500, -0.00000000000000000000000000010]}"#;
    assert_eq!(session.value::<String>(update, &[&project, &precise]), precise);
    let huge = format!("{{\"huge\": {}, \"n\": null}}", "9".repeat(100_000));
    assert_eq!(session.value::<String>(update, &[&project, &huge]).len(), 100_010);
    let other = session.value::<String>(update, &[&project, &"{\"other\": true}"]);
    assert_eq!(other, format!("{{\"huge\": {}, \"other\": true}}", "9".repeat(100_000)));

    for (open, close) in [("{\"a\": ", "}"), ("[", "]")] {
        let nested = |levels: usize| format!("{{\"deep\": {}1{}}}", open.repeat(levels - 1), close.repeat(levels - 1));
        session.value::<String>(update, &[&project, &nested(100)]);
        for levels in [101, 1_000, 3_000] {
            let refusal = refused(session.try_rows(update, &[&project, &nested(levels)]), "22023");
            assert!(refusal.message.contains("100 levels"), "{refusal:?}");
        }
        // Postgres itself may find this too deep.
        let refusal = session.try_rows(update, &[&project, &nested(10_000)]).expect_err("refused");
        assert!(["22023", "54001"].contains(&&*refusal.code), "{refusal:?}");
    }
    // A config that came about in another way may be deeper, and can be changed.
    let deep = format!("{{\"by hand\": {}{}}}", "[".repeat(3_000), "]".repeat(3_000));
    session.rows("UPDATE versioned.projects SET config = $2::text::jsonb WHERE id = $1", &[&project, &deep]);
    assert_eq!(session.value::<String>(update, &[&project, &"{\"by hand\": null, \"a\": 1}"]), "{\"a\": 1}");

    // Half a MiB each.
    let half = "x".repeat(512 * 1024 - 20);
    let two = format!("{{\"a\": \"{half}\", \"b\": \"{half}\"}}");
    assert_eq!(session.value::<String>(update, &[&project, &two]).len(), two.len());
    let before = session.config(project);
    for more in [format!("{{\"c\": \"{half}\"}}"), format!("{{\"c\": \"{}\"}}", half.repeat(3))] {
        let refusal = refused(session.try_rows(update, &[&project, &more]), "22023");
        assert!(refusal.message.contains("1048576"), "{refusal:?}");
    }
    assert_eq!(session.config(project), before);
    // Many objects within each other and much besides: done at once, and undone.
    let wide = format!("{}\"{}\"{}", "{\"a\": ".repeat(100), "x".repeat(1_000_000), "}".repeat(100));
    session.run("BEGIN; SET LOCAL statement_timeout = '10s'");
    session.value::<String>(update, &[&project, &"{\"a\": null, \"b\": null}"]);
    for _ in 0..3 {
        session.value::<String>(update, &[&project, &wide]);
    }
    session.run("ROLLBACK");
    invariants::hold(&mut session);
}

/// What a call changed is seen when it commits, in one row with what builds and versions changed.
#[test]
fn the_state_is_of_one_moment() {
    let db = Database::new("project_state");
    let mut admin = db.connect();
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    let state = "SELECT concat_ws(' ', build_status, running_build_id, current_semver, published_semver)
                   FROM versioned.get_project_state($1)";
    let mut reader = db.connect();
    reader.force_parallel();
    let mut see = |due: String| assert_eq!(reader.value::<String>(state, &[&project]), due);
    see(format!("building {}", first.build));
    admin.run("BEGIN");
    let version = admin.succeed(project, &first.build, json!({ "prerelease": "rc.1" })).expect("it succeeds");
    see(format!("building {}", first.build));
    admin.run("COMMIT");
    see("deployed 1.0.0-rc.1".into());
    let publish =
        "UPDATE versioned.project_versions SET is_published = true, published_at = now() WHERE version_id = $1";
    admin.rows(publish, &[&version.id]);
    let second = admin.start(project, false).expect("it starts");
    see(format!("building {} 1.0.0-rc.1 1.0.0-rc.1", second.build));
    admin.succeed(project, &second.build, json!({})).expect("it succeeds");
    see("deployed 1.1.0 1.0.0-rc.1".into());
    let third = admin.start(project, false).expect("it starts");
    admin.fail(project, &third.build).expect("it fails");
    see("failed 1.1.0 1.0.0-rc.1".into());

    // Under a fixed snapshot it stays what it was.
    let mut fixed = db.connect();
    fixed.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    let before = fixed.config(project);
    admin.configure(project, &json!({ "a": 1 }), None).expect("it is merged");
    assert_eq!(fixed.config(project), before);
    fixed.run("COMMIT");
    assert_ne!(fixed.config(project), before);
}

/// As `percentile_cont` is defined: between the two values next to it, in proportion.
fn percentile(sorted: &[i64], fraction: f64) -> Option<f64> {
    let at = fraction * (sorted.len().checked_sub(1)? as f64);
    let (low, high) = (sorted[at.floor() as usize] as f64, sorted[at.ceil() as usize] as f64);
    Some(low + (high - low) * at.fract())
}

#[test]
fn builds_and_ai_time_add_up() {
    const DAY: u64 = 86_400;
    let db = Database::new("summary");
    let mut admin = db.connect();
    let (owner, mut random) = (Uuid::new_v4(), Random(7));
    let projects: Vec<Uuid> = (0..3).map(|_| admin.project(owner).project).collect();
    admin.run("UPDATE versioned.project_build_metrics SET started_at = '2026-01-01Z'");
    let insert = "WITH build AS (
                      INSERT INTO versioned.project_build_metrics
                             (project_id, build_id, version_id, status, framework, started_at, completed_at, total_duration_ms)
                      VALUES ($1, $2, $2, $3, 'x', to_timestamp($4), to_timestamp($4), $5))
                  INSERT INTO versioned.project_ai_time_sessions
                         (project_id, session_id, build_id, operation, started_at, ended_at, duration_ms)
                  SELECT $1, $2 || n, $2, 'x', now(), now(), ms FROM unnest($6::bigint[]) WITH ORDINALITY s (ms, n)";
    let mut builds = Vec::new();
    for n in 0..300 {
        let (project, day) = (projects[random.below(3)], random.below(3) as u64 + 20_000);
        let status = ["deployed", "failed", "abandoned"][random.below(if day == 20_000 { 3 } else { 2 })];
        let seconds = (day * DAY + [0, random.below(DAY as usize) as u64, DAY - 1][random.below(3)]) as f64;
        let duration = random.below(1_000_000) as i64;
        let sessions: Vec<i64> = (0..random.below(3)).map(|_| random.below(1_000) as i64).collect();
        admin.rows(insert, &[&project, &format!("{n:03}"), &status, &seconds, &duration, &sessions]);
        builds.push((project, day, status, duration, sessions));
    }
    // For a member, in a session of another time zone.
    let mut session = db.user(owner);
    session.run("SET timezone = 'Pacific/Kiritimati'");
    for project in projects {
        for day in 20_000..20_003 {
            let of_day: Vec<_> = builds.iter().filter(|build| (build.0, build.1) == (project, day)).collect();
            let count = |status| of_day.iter().filter(|build| build.2 == status).count() as i64;
            let mut durations: Vec<i64> =
                of_day.iter().filter(|build| build.2 != "abandoned").map(|build| build.3).collect();
            durations.sort();
            let row = session.row(
                "SELECT *, success_rate::float8 AS rate FROM versioned.project_build_summary
                  WHERE project_id = $1 AND day = '1970-01-01'::date + $2::int4",
                &[&project, &(day as i32)],
            );
            let counts = ["builds", "running", "succeeded", "failed", "abandoned"].map(|name| row.get::<_, i64>(name));
            let due = [of_day.len() as i64, 0, count("deployed"), count("failed"), count("abandoned")];
            assert_eq!(counts, due);
            assert!((row.get::<_, f64>("rate") - due[2] as f64 / due[0] as f64).abs() <= 0.000_05);
            for (name, fraction) in [("median_duration_ms", 0.5), ("p95_duration_ms", 0.95)] {
                let (shown, due) = (row.get::<_, f64>(name), percentile(&durations, fraction).expect("some ended"));
                assert!((shown - due).abs() < 0.001, "{name}: {shown}, not {due}");
            }
            let ai_time: i64 = of_day.iter().flat_map(|build| &build.4).sum();
            assert_eq!(row.get::<_, i64>("ai_duration_ms"), ai_time);
        }
    }
    let all: i64 = session.value("SELECT sum(builds)::int8 FROM versioned.project_build_summary", &[]);
    assert_eq!(all, 303);
    let mut stranger = db.user(Uuid::new_v4());
    for view in ["project_build_summary", "project_ai_time"] {
        let count = format!("SELECT count(*) FROM versioned.{view}");
        assert_eq!(stranger.value::<i64>(&count, &[]), 0);
        assert!(session.value::<i64>(&count, &[]) > 0);
    }
}
