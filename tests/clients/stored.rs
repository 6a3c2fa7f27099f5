//! Whatever is done to files, every version reads back, by every way there is to read it; what was damaged or forged
//! is an error or the right text.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde_json::Value as Json;
use uuid::Uuid;

use crate::calls::Listed;
use crate::invariants;
use crate::support::{Database, Params, Random, Refusal, Session, race, refused, sessions, sha256};

/// A version as it was saved.
#[derive(Clone)]
pub struct Saved {
    pub id: Uuid,
    pub number: i32,
    /// `None` for a deletion.
    pub content: Option<String>,
    /// How many project versions there were before it.
    pub epoch: usize,
    /// How often [`Past::grow_older`] has aged it.
    pub days: u32,
}

/// A file as it was saved.
#[derive(Clone)]
pub struct Lived {
    pub path: String,
    pub versions: Vec<Saved>,
    /// Order of deletion; `None`: it is live.
    pub deleted: Option<usize>,
}

impl Lived {
    pub fn current(&self) -> &Saved {
        self.versions.last().expect("a file has versions")
    }
}

/// What was done to a project, and what must be read of it.
pub struct Past {
    pub project: Uuid,
    pub build: String,
    pub files: Vec<Lived>,
    /// Project versions, each with the files there were.
    pub snapshots: Vec<(String, Vec<Listed>)>,
    deletions: usize,
}

impl Past {
    pub fn begin(session: &mut Session) -> Past {
        let build = session.project(Uuid::new_v4());
        Past { project: build.project, build: build.build, files: Vec::new(), snapshots: Vec::new(), deletions: 0 }
    }

    pub fn live(&self, path: &str) -> Option<usize> {
        self.files.iter().position(|file| file.deleted.is_none() && file.path == path)
    }

    /// The file that a path means: the live one, else the one deleted last.
    pub fn meant(&self, path: &str) -> Option<usize> {
        let deleted = self.files.iter().enumerate().filter(|(_, file)| file.path == path);
        self.live(path).or_else(|| deleted.max_by_key(|(_, file)| file.deleted).map(|(n, _)| n))
    }

    pub fn paths(&self) -> BTreeSet<String> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }

    fn add(&mut self, file: usize, saved: &crate::calls::File) {
        let last = self.files[file].versions.last().map_or(0, |version| version.number);
        assert_eq!(saved.version, last + 1, "{}", self.files[file].path);
        let (id, content, epoch) = (saved.id, saved.content.clone(), self.snapshots.len());
        self.files[file].versions.push(Saved { id, number: saved.version, content, epoch, days: 0 });
    }

    pub fn save(&mut self, session: &mut Session, path: &str, content: &str) {
        let saved = session.save(self.project, path, content, None).expect("saved");
        assert!(saved.content.as_deref() == Some(content), "a save answers with what it saved");
        let file = self.meant(path).unwrap_or_else(|| {
            self.files.push(Lived { path: path.to_owned(), versions: Vec::new(), deleted: None });
            self.files.len() - 1
        });
        let known = self.files[file].versions.last();
        if known.is_some_and(|known| known.content == saved.content && self.files[file].deleted.is_none()) {
            assert_eq!(known.map(|known| known.number), Some(saved.version), "an equal content saves nothing");
            return;
        }
        self.files[file].deleted = None;
        self.add(file, &saved);
    }

    pub fn delete(&mut self, session: &mut Session, path: &str) {
        let Some(file) = self.live(path) else { return };
        let saved = session.delete(self.project, path, None).expect("deleted");
        self.deletions += 1;
        self.files[file].deleted = Some(self.deletions);
        self.add(file, &saved);
    }

    pub fn rename(&mut self, session: &mut Session, from: &str, to: &str) {
        let (Some(file), None) = (self.live(from), self.live(to)) else { return };
        let saved = session.rename(self.project, from, to, None).expect("moved");
        self.files[file].path = to.to_owned();
        self.add(file, &saved);
    }

    /// A project version of what is there now.
    pub fn snapshot(&mut self, session: &mut Session) {
        let version = session.succeed(self.project, &self.build, serde_json::json!({})).expect("a version");
        self.snapshots.push((version.id, self.listed()));
        self.build = session.start(self.project, false).expect("started").build;
    }

    /// Makes all there is a day older.
    pub fn grow_older(&mut self, session: &mut Session) {
        let project = self.project;
        damage(
            session,
            &format!(
                "UPDATE versioned.project_file_versions SET created_at = created_at - interval '1 day'
                  WHERE project_id = '{project}';
                 UPDATE versioned.project_file_heads SET updated_at = updated_at - interval '1 day'
                  WHERE project_id = '{project}';
                 UPDATE versioned.project_versions SET created_at = created_at - interval '1 day'
                  WHERE project_id = '{project}'"
            ),
        );
        self.files.iter_mut().flat_map(|file| &mut file.versions).for_each(|version| version.days += 1);
    }

    /// One random thing a user does.
    pub fn step(&mut self, session: &mut Session, random: &mut Random, paths: &[&str]) {
        let path = paths[random.below(paths.len())];
        match random.below(30) {
            0 => self.delete(session, path),
            1 => self.rename(session, path, paths[random.below(paths.len())]),
            2 => self.snapshot(session),
            _ => {
                let last = self.meant(path).map(|file| &self.files[file]);
                let last =
                    last.and_then(|file| file.versions.iter().rev().find_map(|version| version.content.as_ref()));
                let next = edited(random, last.map_or("", String::as_str));
                self.save(session, path, &next);
            }
        }
    }

    pub fn listed(&self) -> Vec<Listed> {
        let live = self.files.iter().filter(|file| file.deleted.is_none());
        let row = |file: &Lived| {
            let current = file.current();
            (file.path.clone(), current.number, current.content.clone().expect("a live file has content"))
        };
        let mut all: Vec<Listed> = live.map(row).collect();
        all.sort();
        all
    }

    /// Reads everything by every way and compares.
    #[track_caller]
    pub fn compare(&self, session: &mut Session) {
        type Seen = (String, i32, Option<String>, Option<String>, i32, bool, bool);
        let rows = session.rows(
            "SELECT id, file_path, version, content, content_hash, size_bytes, is_current_version, is_deleted
               FROM versioned.project_files WHERE project_id = $1",
            &[&self.project],
        );
        let seen: BTreeMap<Uuid, Seen> = rows
            .iter()
            .map(|r| (r.get(0), (r.get(1), r.get(2), r.get(3), r.get(4), r.get(5), r.get(6), r.get(7))))
            .collect();
        assert_eq!(seen.len(), rows.len(), "every version is there once");
        let mut due = BTreeMap::new();
        for file in &self.files {
            for version in &file.versions {
                let content = version.content.clone();
                let hash = content.as_deref().map(sha256);
                let size = content.as_ref().map_or(0, String::len) as i32;
                let current = file.deleted.is_none() && version.number == file.current().number;
                let deleted = content.is_none();
                due.insert(version.id, (file.path.clone(), version.number, content, hash, size, current, deleted));
            }
        }
        assert!(seen.keys().eq(due.keys()), "{} versions instead of {}", seen.len(), due.len());
        for (id, due) in &due {
            assert!(seen[id] == *due, "{} version {} reads otherwise in the view", due.0, due.1);
        }

        for path in self.paths() {
            let file = &self.files[self.meant(&path).expect("it is one's path")];
            for version in &file.versions {
                let read = session.get(self.project, &path, Some(version.number)).expect("read");
                assert_eq!((read.id, read.is_deleted), (version.id, version.content.is_none()));
                assert!(read.content == version.content, "{path} version {} reads otherwise", version.number);
            }
        }
        assert!(session.list(self.project) == self.listed(), "the current files are others");
        for (id, files) in &self.snapshots {
            assert!(session.snapshot(self.project, id) == *files, "the files of version {id} are others");
        }
    }
}

/// A text as it may be at the next save.
pub fn edited(random: &mut Random, text: &str) -> String {
    const WORDS: [&str; 10] =
        ["alpha ", "βήτα ", "\r\n", "fn main() {}\n", "👩\u{200d}👧 ", "\t", "return x;\r\n", "\u{1}", "e\u{301}", ""];
    let mut chars: Vec<char> = text.chars().collect();
    match random.below(40) {
        0 => return String::new(),
        1 => return "x".to_owned(),
        2 => return hex(random, 4_000),
        3 => return (0..100 + random.below(200)).map(|n| format!("line {n} of {}\n", random.below(9_999))).collect(),
        4 => return text.replace('\n', "\r\n").chars().take(30_000).collect(),
        5 => chars.extend(text.chars().take(3_000)),
        6 => chars.reverse(),
        7 if !chars.is_empty() => {
            // A block is moved.
            let at = random.below(chars.len());
            chars.rotate_left(at);
        }
        8 => chars.truncate(random.below(chars.len() + 1)),
        _ => {
            for _ in 0..1 + random.below(3) {
                let at = random.below(chars.len() + 1);
                let end = (at + random.below(30)).min(chars.len());
                let word = WORDS[random.below(WORDS.len())].repeat(1 + random.below(6));
                chars.splice(at..end, word.chars());
            }
        }
    }
    chars.truncate(30_000);
    chars.into_iter().collect()
}

pub fn hex(random: &mut Random, length: usize) -> String {
    (0..length).map(|_| char::from(b"0123456789abcdef"[random.below(16)])).collect()
}

/// Past the functions and the trigger, as damage comes.
pub fn damage(session: &mut Session, sql: &str) {
    session.run(&format!("SET session_replication_role = replica; {sql}; RESET session_replication_role"));
}

/// How deep versions stand, at most; 99 where one stands on nothing that is there.
#[track_caller]
pub fn deepest(session: &mut Session, project: Uuid) -> i32 {
    let sql = "WITH RECURSIVE standing AS (
                   SELECT file_id, version, base_version, 0 AS depth
                     FROM versioned.project_file_versions WHERE project_id = $1
                   UNION ALL
                   SELECT s.file_id, s.version, b.base_version, CASE WHEN b.version IS NULL THEN 99 ELSE s.depth + 1 END
                     FROM standing s
                     LEFT JOIN versioned.project_file_versions b
                       ON b.project_id = $1 AND b.file_id = s.file_id AND b.version = s.base_version
                      AND b.stored IS NOT NULL
                    WHERE s.base_version IS NOT NULL AND s.depth < 9
               )
               SELECT max(depth) FROM standing";
    session.value(sql, &[&project])
}

/// Everything stored of a file's versions, in order.
fn stored(session: &mut Session, project: Uuid, path: &str) -> Vec<(i32, i16, Option<i32>, Vec<u8>)> {
    let sql = "SELECT version, encoding, base_version, stored FROM versioned.project_file_versions
                WHERE project_id = $1 AND file_path = $2 ORDER BY version";
    let rows = session.rows(sql, &[&project, &path]);
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

#[track_caller]
fn compare_file(session: &mut Session, project: Uuid, path: &str, contents: &[String]) {
    let sql = "SELECT version, content, content_hash FROM versioned.project_files
                WHERE project_id = $1 AND file_path = $2 ORDER BY version";
    let rows = session.rows(sql, &[&project, &path]);
    assert_eq!(rows.len(), contents.len());
    for (n, (row, content)) in rows.iter().zip(contents).enumerate() {
        assert_eq!(row.get::<_, i32>(0), n as i32 + 1);
        assert!(row.get::<_, &str>(1) == content, "version {} of {path} differs", n + 1);
        assert_eq!(row.get::<_, &str>(2), sha256(content));
    }
}

#[test]
fn random_editing_reads_back_every_way() {
    let db = Database::new("stored_random");
    let mut deep = 0;
    for seed in 0..5_u64 {
        let (mut session, mut random) = (db.connect(), Random(0x5eed + seed));
        let mut past = Past::begin(&mut session);
        for _ in 0..250 {
            past.step(&mut session, &mut random, &["a.txt", "b/β.txt", "c d.txt"]);
        }
        // A session that saved nothing of it.
        past.compare(&mut db.connect());
        let depth = deepest(&mut session, past.project);
        assert!(depth <= 2, "a version stands {depth} deep");
        deep += usize::from(depth == 2);
    }
    assert!(deep > 0, "no version ever stood on one that stands on another: nothing was tried");
}

#[test]
fn contents_of_all_kinds_follow_one_another() {
    let db = Database::new("stored_kinds");
    let (mut session, mut random) = (db.connect(), Random(3));
    let mut past = Past::begin(&mut session);
    let large: String = (0..60_000).map(|n| format!("{n}: what {} bytes make, ένα\r\n", n * 31 % 997)).collect();
    assert!(large.len() > 2_000_000);
    let half = large.chars().count() / 2;
    let noise = hex(&mut random, 100_000);
    let kinds = [
        String::new(),
        "x".to_owned(),
        large.clone(),
        large.replacen("59999: ", "here: ", 1),
        large.replacen("30000: ", "", 1),
        format!("{}{}", large.chars().skip(half).collect::<String>(), large.chars().take(half).collect::<String>()),
        large.replace("\r\n", "\n"),
        noise.clone(),
        format!("{noise}x"),
        format!("y{noise}"),
        noise.chars().rev().collect(),
        "é".to_owned(),
        "è".to_owned(),
        "\u{1}\u{7f}\u{10ffff}".repeat(100),
    ];
    // Every kind after every kind, each pair also across a deletion.
    for n in 0..kinds.len() {
        for m in 0..kinds.len() {
            let path = format!("{n}");
            past.save(&mut session, &path, &kinds[n]);
            if m % 3 == 0 {
                past.delete(&mut session, &path);
            }
            past.save(&mut session, &path, &kinds[m]);
        }
    }
    let rows: i64 = session.value(
        "SELECT count(*) FROM versioned.project_files
          WHERE content_hash <> encode(sha256(convert_to(content, 'UTF8')), 'hex')
             OR size_bytes <> octet_length(content)",
        &[],
    );
    assert_eq!(rows, 0);
    for file in &past.files {
        for version in &file.versions {
            let read = session.get(past.project, &file.path, Some(version.number)).expect("read");
            assert!(read.content == version.content, "{} version {}", file.path, version.number);
        }
    }
    assert!(session.list(past.project) == past.listed());
    assert_eq!(deepest(&mut session, past.project), 2);
}

/// The first saves of a recorded editing session, one per second of its clock; `None` where there are no recordings.
fn trace(name: &str, most: usize) -> Option<Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces").join(format!("{name}.json.gz"));
    let Ok(disk) = std::fs::File::open(&file) else {
        println!("{} is not there: nothing to replay", file.display());
        return None;
    };
    let mut json = String::new();
    flate2::read::GzDecoder::new(disk).read_to_string(&mut json).expect("gzip");
    let trace: Json = serde_json::from_str(&json).expect("JSON");
    let mut text: Vec<char> = trace["startContent"].as_str().expect("a text").chars().collect();
    let mut saves = Vec::new();
    let transactions = trace["txns"].as_array().expect("a list");
    for (n, transaction) in transactions.iter().enumerate() {
        for patch in transaction["patches"].as_array().expect("a list") {
            let (at, removed) = (patch[0].as_u64().unwrap() as usize, patch[1].as_u64().unwrap() as usize);
            text.splice(at..at + removed, patch[2].as_str().expect("a text").chars());
        }
        // What stands when the clock moves on is saved, unless it is what was saved before.
        if transactions.get(n + 1).is_none_or(|next| next["time"] != transaction["time"]) {
            let content: String = text.iter().collect();
            if saves.last() != Some(&content) {
                saves.push(content);
            }
        }
        if saves.len() == most {
            return Some(saves);
        }
    }
    assert_eq!(saves.last().map(String::as_str), trace["endContent"].as_str(), "the recording was replayed rightly");
    Some(saves)
}

#[test]
fn recorded_editing_reads_back_from_a_fraction() {
    let db = Database::new("stored_traces");
    let mut session = db.connect();
    session.run("SET pg_versioned.notify = off");
    for (name, most, least) in [("sveltecomponent", usize::MAX, 0), ("rustcode", 2_000, 50)] {
        let Some(saves) = trace(name, most) else { return };
        let project = session.project(Uuid::new_v4()).project;
        for content in &saves {
            session.put(project, name, content);
        }
        let mut reader = db.connect();
        compare_file(&mut reader, project, name, &saves);
        assert_eq!(deepest(&mut reader, project), 2);
        let weighed: i64 = session.value(
            "SELECT stored_bytes FROM versioned.project_storage WHERE project_id = $1 AND files = 1 AND versions = $2",
            &[&project, &(saves.len() as i64)],
        );
        let content: usize = saves.iter().map(String::len).sum();
        assert!(weighed as usize * least <= content, "{name}: {content} bytes are stored in {weighed}");
    }
}

#[test]
fn writers_of_one_large_file_stand_on_one_another() {
    const WRITERS: usize = 6;
    const SAVES: usize = 25;
    let db = Database::new("stored_writers");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let common: String = (0..6_000).map(|n| format!("line {n}: {}\n", n * 7_919)).collect();
    // Writers change different places; now and then one writes something else altogether.
    let text = |who: usize, n: usize| match (who + n) % 11 {
        0 => hex(&mut Random((who * 1_000 + n) as u64), 150_000),
        _ => common.replacen(&format!("line {}:", 900 * who + n), &format!("writer {who} was here {n} times:"), 1),
    };
    let answers = race(sessions(WRITERS, || db.connect()), |who, session| {
        (0..SAVES)
            .map(|n| match n % 5 {
                // Within a transaction of other saves, one of them undone.
                4 => {
                    session.run("BEGIN; SAVEPOINT s");
                    session.put(project, "large", &format!("{}undone", text(who, n)));
                    session.run("ROLLBACK TO s");
                    let number = session.put(project, "large", &text(who, n));
                    session.run("COMMIT");
                    (number, text(who, n))
                }
                _ => (session.put(project, "large", &text(who, n)), text(who, n)),
            })
            .collect::<Vec<_>>()
    });
    let saved: BTreeMap<i32, String> = answers.into_iter().flatten().collect();
    assert!(saved.keys().copied().eq(1..=(WRITERS * SAVES) as i32), "numbers have no gap and none is given twice");
    let contents: Vec<String> = saved.into_values().collect();
    compare_file(&mut admin, project, "large", &contents);
    assert_eq!(deepest(&mut admin, project), 2);
}

/// The session remembers contents of versions that came to nothing.
#[test]
fn numbers_of_undone_saves_get_other_contents() {
    let db = Database::new("stored_undone");
    let mut pair = [db.connect(), db.connect()];
    let project = pair[0].project(Uuid::new_v4()).project;
    let mut random = Random(11);
    let first = "a line that stays\n".repeat(400);
    let mut contents = vec![first.clone()];
    pair[0].put(project, "a", &first);
    for n in 0..120 {
        // The one that undoes its saves and the one that takes the number are the same in two of three rounds.
        let one = random.below(2);
        let other = if n % 3 == 0 { 1 - one } else { one };
        let last = contents.last().expect("not empty").clone();
        // Keyframes, middle versions and deltas come to nothing.
        let variant = |random: &mut Random, tag: &str| match random.below(4) {
            0 => format!("{}{tag} {n}", hex(random, 3_000)),
            1 => format!("{tag} {n}\n{first}"),
            _ => format!("{last}{tag} {n}\n"),
        };
        let session = &mut pair[one];
        session.run("BEGIN; SAVEPOINT s");
        let lost = session.put(project, "a", &variant(&mut random, "lost"));
        assert_eq!(lost as usize, contents.len() + 1);
        for _ in 0..random.below(3) {
            session.put(project, "a", &variant(&mut random, "lost, too"));
        }
        let undone_by_error = session.try_run("SELECT 1 / 0");
        refused(undone_by_error, "22012");
        session.run(if other == one && n % 2 == 0 { "ROLLBACK TO s" } else { "ROLLBACK; BEGIN" });
        if other != one {
            session.run("COMMIT");
            pair[other].run("BEGIN");
        }
        let kept = variant(&mut random, "kept");
        assert_eq!(pair[other].put(project, "a", &kept), lost, "the number is given again");
        pair[other].run("COMMIT");
        contents.push(kept);
        let next = variant(&mut random, "next");
        pair[one].put(project, "a", &next);
        contents.push(next);
    }
    compare_file(&mut db.connect(), project, "a", &contents);
    assert!(deepest(&mut pair[0], project) <= 2);
}

/// What is stored follows from what was saved, not from what a session happens to remember.
#[test]
fn the_cache_changes_nothing() {
    let db = Database::new("stored_cache");
    let mut random = Random(77);
    let mut contents = vec!["x".to_owned(), "where it begins\n".repeat(300)];
    while contents.len() < 150 {
        let next = edited(&mut random, contents.last().expect("not empty"));
        if contents.last() != Some(&next) {
            contents.push(next);
        }
    }
    let mut found = Vec::new();
    for size in ["'8MB'", "0", "'20kB'"] {
        let mut session = db.connect();
        session.run(&format!("SET pg_versioned.base_cache_size = {size}"));
        let project = session.project(Uuid::new_v4()).project;
        for content in &contents {
            session.put(project, "a", content);
        }
        compare_file(&mut session, project, "a", &contents);
        found.push(stored(&mut session, project, "a"));
    }
    // Every save by a session of its own.
    let project = db.connect().project(Uuid::new_v4()).project;
    for content in &contents {
        db.connect().put(project, "a", content);
    }
    found.push(stored(&mut db.connect(), project, "a"));
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "the same contents are stored in several ways");
    let encodings: BTreeSet<i16> = found[0].iter().map(|row| row.1).collect();
    assert_eq!(encodings, (0..4).collect(), "all encodings were tried");
}

/// A file with all encodings, and versions in all roles: keyframes, middle versions, deltas.
fn varied(session: &mut Session) -> (Uuid, Vec<String>) {
    let project = session.project(Uuid::new_v4()).project;
    let mut text: String = (0..200).map(|n| format!("line {n} of {}\n", n * n)).collect();
    let mut contents = vec!["plain".to_owned()];
    let mut random = Random(5);
    for n in 0..60_usize {
        match n {
            30 => text = hex(&mut random, 1_500),
            // Long enough to be compressed, short enough to stand on what is there.
            n if n % 7 == 3 => text.insert_str(text.len() / 2, &format!("some words that repeat, {n}; ").repeat(12)),
            n => text.insert_str(n * 7_919 % text.len(), &format!("edit {n} ")),
        }
        contents.push(text.clone());
    }
    for content in &contents {
        session.put(project, "src/a.txt", content);
    }
    (project, contents)
}

#[track_caller]
fn named(refusal: &Refusal, project: Uuid, version: i32) {
    assert_eq!(refusal.code, "XX001", "{refusal:?}");
    for name in [project.to_string(), "\"src/a.txt\"".to_owned(), format!("version {version} ")] {
        assert!(refusal.message.contains(&name), "{refusal:?} does not name {name}");
    }
}

/// Runs within a savepoint, so that an error ends nothing else.
fn attempt<T>(session: &mut Session, body: impl FnOnce(&mut Session) -> Result<T, Refusal>) -> Result<T, Refusal> {
    session.run("SAVEPOINT attempt");
    let result = body(session);
    session.run(if result.is_ok() { "RELEASE attempt" } else { "ROLLBACK TO attempt" });
    result
}

#[test]
fn damage_gives_errors_or_the_right_text() {
    let db = Database::new("stored_damage");
    let (project, contents) = varied(&mut db.connect());
    let mut session = db.connect();
    let rows = stored(&mut session, project, "src/a.txt");
    let base: Option<i32> = session.value("SELECT base_version FROM versioned.project_file_heads", &[]);
    let base = base.expect("the next version stands on something");
    let stands_on: Vec<i32> = rows.iter().filter_map(|row| row.2).collect();
    let is_base = |row: &&(i32, i16, Option<i32>, Vec<u8>)| stands_on.contains(&row.0);
    let last = contents.len() as i32;
    let next = format!("{}and on\n", contents[contents.len() - 1]);

    // One version of every encoding and role, the next one's base, and its keyframe.
    let mut victims: BTreeMap<(i16, bool, bool), i32> = BTreeMap::new();
    for row in &rows {
        victims.insert((row.1, row.2.is_some(), is_base(&row)), row.0);
    }
    assert!(victims.len() >= 6, "{victims:?}");
    let mut victims: BTreeSet<i32> = victims.into_values().collect();
    victims.extend([base, last]);
    victims.extend(rows[base as usize - 1].2);

    let (mut refusals, mut right) = (0, 0);
    for &victim in &victims {
        let length = rows[victim as usize - 1].3.len();
        let mut changes: Vec<String> = Vec::new();
        for at in BTreeSet::from([0, 1, 2, length / 2, length.saturating_sub(1)]).into_iter().filter(|&at| at < length)
        {
            changes.push(format!("stored = set_byte(stored, {at}, get_byte(stored, {at}) # 1)"));
            changes.push(format!("stored = set_byte(stored, {at}, get_byte(stored, {at}) # 128)"));
            changes.push(format!("stored = substr(stored, 1, {at})"));
        }
        let elsewhere = if victim == 5 { 6 } else { 5 };
        let settings = [
            "stored = ''",
            "stored = stored || stored",
            "size_bytes = 2147483647",
            "size_bytes = -1",
            "size_bytes = 0",
            "size_bytes = size_bytes - 1",
            "size_bytes = size_bytes + 1",
            "encoding = 0",
            "encoding = 1",
            "encoding = 2",
            "encoding = 3",
            "encoding = 99",
            "encoding = -1",
            "content_hash = sha256('something else')",
            "content_hash = '\\x00'",
            "content_hash = ''",
            "base_version = version",
            "base_version = NULL",
            "base_version = 1000000",
        ];
        changes.extend(settings.map(str::to_owned));
        changes.push(format!("base_version = {elsewhere}"));
        changes.push(format!("base_version = {last}"));
        changes =
            changes.into_iter().map(|change| format!("UPDATE versioned.project_file_versions SET {change}")).collect();
        changes.push("DELETE FROM versioned.project_file_versions".to_owned());

        for (n, change) in changes.into_iter().enumerate() {
            session.run("BEGIN");
            // A session that remembers the base of before, and one that has to look at every base.
            let size = if n % 2 == 0 { "'8MB'" } else { "0" };
            session.run(&format!("SET LOCAL pg_versioned.base_cache_size = {size}; SAVEPOINT before"));
            session.put(project, "src/a.txt", &next);
            session.run("ROLLBACK TO before");
            damage(&mut session, &format!("{change} WHERE project_id = '{project}' AND version = {victim}"));
            let is_gone = change.starts_with("DELETE");
            for (version, content) in (1..=last).zip(&contents).filter(|(version, _)| !is_gone || *version != victim) {
                match attempt(&mut session, |session| session.get(project, "src/a.txt", Some(version))) {
                    Ok(read) => {
                        assert!(read.content.as_ref() == Some(content), "{change} of {victim}: {version} is wrong");
                        right += 1;
                    }
                    Err(refusal) => {
                        named(&refusal, project, version);
                        refusals += 1;
                    }
                }
            }
            // The view, whole: all is right, or the statement fails.
            let all = "SELECT version, content FROM versioned.project_files WHERE project_id = $1";
            match attempt(&mut session, |session| session.try_rows(all, &[&project])) {
                Ok(rows) => rows.iter().for_each(|row| {
                    let content: Option<String> = row.get(1);
                    assert!(content.as_ref() == Some(&contents[row.get::<_, i32>(0) as usize - 1]), "{change}");
                }),
                Err(refusal) => assert_eq!(refusal.code, "XX001"),
            }
            // Work goes on: a small edit, as would stand on the base.
            assert_eq!(session.put(project, "src/a.txt", &next), last + 1);
            let read = session.get(project, "src/a.txt", None);
            let read = read.unwrap_or_else(|refusal| panic!("{change} of {victim}: {refusal:?}"));
            assert!(read.content.as_ref() == Some(&next), "{change} of {victim}: the next version is wrong");
            session.run("ROLLBACK");
        }
    }
    assert!(refusals > 1_000 && right > 10_000, "{refusals} refusals, {right} right");
    compare_file(&mut session, project, "src/a.txt", &contents);
}

/// Arguments of `stored_content` after project, path and version.
type Arguments = (Option<Vec<u8>>, [(Option<i32>, Option<i16>, Option<Vec<u8>>); 3]);

const STORED_CONTENT: &str =
    "SELECT versioned_internal.stored_content($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

fn stored_content(
    session: &mut Session,
    project: Option<Uuid>,
    arguments: &Arguments,
) -> Result<Option<String>, Refusal> {
    let (hash, [version, base, key]) = arguments;
    let (path, number) = (project.map(|_| "src/a.txt"), project.map(|_| 7));
    let parameters: Params = &[
        &project, &path, &number, hash, &version.0, &version.1, &version.2, &base.0, &base.1, &base.2, &key.0, &key.1,
        &key.2,
    ];
    session.try_value(STORED_CONTENT, parameters)
}

/// All that a member may read of a file's rows, as arguments.
fn arguments(session: &mut Session, project: Uuid) -> Vec<Arguments> {
    let sql = "SELECT v.content_hash, v.size_bytes, v.encoding, v.stored, b.size_bytes, b.encoding, b.stored,
                      k.size_bytes, k.encoding, k.stored
                 FROM versioned.project_file_versions v
                 LEFT JOIN versioned.project_file_versions b
                   ON (b.project_id, b.file_id, b.version) = (v.project_id, v.file_id, v.base_version)
                 LEFT JOIN versioned.project_file_versions k
                   ON (k.project_id, k.file_id, k.version) = (b.project_id, b.file_id, b.base_version)
                WHERE v.project_id = $1 ORDER BY v.version";
    let rows = session.rows(sql, &[&project]);
    rows.iter()
        .map(|row| (row.get(0), [1, 4, 7].map(|first| (row.get(first), row.get(first + 1), row.get(first + 2)))))
        .collect()
}

#[test]
fn forged_arguments_reveal_nothing() {
    let db = Database::new("stored_forged");
    let mut admin = db.connect();
    let (alice, mallory) = (Uuid::new_v4(), Uuid::new_v4());
    let (hers, own) = (admin.project(alice).project, admin.project(mallory).project);
    // Both are served by one session, as behind a connection pool: it remembers what Alice saved and read.
    let mut session = db.user(alice);
    let secret = |n: usize| format!("{}{n}\n", "known to Alice\n".repeat(100));
    for n in 0..30 {
        session.save(hers, "src/a.txt", &secret(n), None).expect("saved");
        session.get(hers, "src/a.txt", None).expect("read");
    }
    let secrets: BTreeSet<String> = (0..30).map(secret).collect();
    let of_alice = arguments(&mut session, hers);

    session.claim(mallory);
    assert!(arguments(&mut session, hers).is_empty(), "the rows are not his to read");
    let mut random = Random(21);
    let mut text = "known to Mallory\n".repeat(100);
    let mut contents = BTreeSet::new();
    for n in 0..40 {
        text = if n == 20 { hex(&mut random, 2_000) } else { edited(&mut Random(1_000 + n), &text) };
        session.save(own, "src/a.txt", &text, None).expect("saved");
        contents.insert(text.clone());
    }
    let of_mallory = arguments(&mut session, own);
    assert!(of_mallory.iter().any(|(_, [_, base, key])| base.2.is_some() && key.2.is_some()), "all forms are there");

    let (mut texts, mut errors, mut nulls) = (0, 0, 0);
    for round in 0..6_000 {
        let pick = |random: &mut Random| of_mallory[random.below(of_mallory.len())].clone();
        let mut forged = pick(&mut random);
        for _ in 0..random.below(4) {
            let part = random.below(3);
            let other = pick(&mut random).1[random.below(3)].clone();
            match random.below(9) {
                // What he may know of Alice's versions is their hashes: they are in the events of the project.
                0 => forged.0 = of_alice[random.below(of_alice.len())].0.clone(),
                1 => forged.0 = [None, Some(vec![]), Some(vec![0; 32])][random.below(3)].clone(),
                2 => forged.1[part] = other,
                3 => forged.1[part] = (None, None, None),
                4 => {
                    let sizes = [Some(i32::MAX), Some(-1), Some(i32::MIN), Some(0), Some(256 << 20), other.0, None];
                    forged.1[part].0 = sizes[random.below(7)];
                }
                5 => forged.1[part].1 = [Some(0), Some(1), Some(2), Some(3), Some(99), Some(-1), None][random.below(7)],
                6 => {
                    let noise = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
                    forged.1[part].2 =
                        [Some(noise), Some(vec![]), Some(vec![0xff; 40]), other.2][random.below(4)].clone();
                }
                // Lengths that reach beyond what is there, or overflow.
                7 => {
                    forged.1[0] =
                        (Some(2_000), Some(2 + random.below(2) as i16), Some(vec![0xff, 0xff, 0xff, 0xff, 0x7f, 9, 1]))
                }
                _ => {
                    if let Some(bytes) = forged.1[part].2.as_mut().filter(|bytes| !bytes.is_empty()) {
                        let at = random.below(bytes.len());
                        bytes[at] ^= 1 << random.below(8);
                    }
                }
            }
        }
        let project = [Some(own), Some(hers), None][random.below(3)];
        match stored_content(&mut session, project, &forged) {
            Ok(None) => nulls += 1,
            Ok(Some(text)) => {
                let hash: String = forged.0.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(sha256(&text), hash, "round {round}: {forged:?}");
                assert!(contents.contains(&text) && !secrets.contains(&text), "round {round}: {forged:?}");
                texts += 1;
            }
            Err(refusal) => {
                assert_eq!(refusal.code, "XX001", "round {round}: {refusal:?} {forged:?}");
                errors += 1;
            }
        }
    }
    assert!(texts > 500 && errors > 500 && nulls > 100, "{texts} texts, {errors} errors, {nulls} times NULL");

    // A text of any kind is his own to hash; bytes that are no text are none of Postgres'.
    for (bytes, readable) in [("é", true), ("", true), ("a\0b", false)] {
        let hash: Vec<u8> = session.value("SELECT sha256($1::bytea)", &[&bytes.as_bytes()]);
        let whole = (Some(bytes.len() as i32), Some(0), Some(bytes.as_bytes().to_vec()));
        let none = (None, None, None);
        let answer = stored_content(&mut session, None, &(Some(hash), [whole, none.clone(), none]));
        if readable {
            assert_eq!(answer.expect("a text").as_deref(), Some(bytes));
        } else {
            refused(answer, "XX001");
        }
    }
    let latin: Vec<u8> = vec![0xe9];
    let hash: Vec<u8> = session.value("SELECT sha256($1::bytea)", &[&latin]);
    let none = (None, None, None);
    let answer =
        stored_content(&mut session, None, &(Some(hash), [(Some(1), Some(0), Some(latin)), none.clone(), none]));
    refused(answer, "XX001");
    // Alice's session has lost nothing by it.
    session.claim(alice);
    assert_eq!(session.get(hers, "src/a.txt", None).expect("read").content, Some(secret(29)));
}

/// A query keeps the base it decoded last; rows in any order must not meet another's.
#[test]
fn one_query_reads_versions_in_any_order() {
    let db = Database::new("stored_order");
    let mut session = db.connect();
    let mut projects = Vec::new();
    for seed in 0..3_u64 {
        let (mut past, mut random) = (Past::begin(&mut session), Random(seed));
        for _ in 0..150 {
            past.step(&mut session, &mut random, &["a", "b"]);
        }
        projects.push(past);
    }
    let due: BTreeMap<Uuid, &Option<String>> = projects
        .iter()
        .flat_map(|past| &past.files)
        .flat_map(|file| &file.versions)
        .map(|version| (version.id, &version.content))
        .collect();
    session.run("SET enable_hashjoin = off; SET enable_mergejoin = off");
    for order in ["v.id::text", "md5(v.id::text)", "md5(v.id || 'x')", "v.version", "v.version DESC, v.id"] {
        let sql = format!(
            "SELECT f.id, f.content FROM (SELECT v.id FROM versioned.project_file_versions v ORDER BY {order} OFFSET 0) v
              CROSS JOIN LATERAL (SELECT * FROM versioned.project_files f WHERE f.id = v.id OFFSET 0) f"
        );
        let rows = session.rows(&sql, &[]);
        assert_eq!(rows.len(), due.len());
        for row in rows {
            let content: Option<String> = row.get(1);
            assert!(content == *due[&row.get::<_, Uuid>(0)], "in the order of {order} a version reads otherwise");
        }
    }
}

#[test]
fn a_history_of_small_edits_is_stored_in_a_fraction() {
    let db = Database::new("fraction");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    let mut text: String = (0..2_000).map(|n| format!("let value_{n} = compute({});\n", n * n)).collect();
    for n in 0..300_usize {
        text.insert_str(n * 7919 % text.len(), "edited ");
        session.put(project, "large.rs", &text);
    }
    let sql = "SELECT content_bytes::float8 / stored_bytes FROM versioned.project_storage WHERE project_id = $1";
    let ratio: f64 = session.value(sql, &[&project]);
    assert!(ratio > 100.0, "{ratio}");
    // Moved, deleted and made again, it still stands on what it was.
    session.rename(project, "large.rs", "moved.rs", None).expect("moved");
    session.delete(project, "moved.rs", None).expect("deleted");
    session.put(project, "moved.rs", &text);
    let sql =
        "SELECT max(octet_length(stored)) FROM versioned.project_file_versions WHERE project_id = $1 AND version > 300";
    let largest: i32 = session.value(sql, &[&project]);
    assert!(largest < 3_000, "{largest}");
    invariants::hold(&mut session);
}

#[test]
fn incompressible_and_tiny_contents_take_no_more_than_they_are() {
    let db = Database::new("incompressible");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    for (path, content) in [("empty", ""), ("one", "x"), ("small", "let a = 1;\n")] {
        session.put(project, path, content);
        session.put(project, path, &format!("{content}y"));
    }
    let sql = "SELECT bool_and(octet_length(stored) <= size_bytes + 2) FROM versioned.project_file_versions";
    assert!(session.value::<bool>(sql, &[]));
    invariants::hold(&mut session);
}
