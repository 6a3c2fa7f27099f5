//! Contents and paths come back as they went in, byte by byte.

use proptest::prelude::*;
use uuid::Uuid;

use crate::calls::File;
use crate::invariants;
use crate::support::{Database, Session, refused, sha256};

const LIMIT: usize = 10_485_760;

/// Saves a content and reads it back every way there is.
#[track_caller]
fn round_trip(session: &mut Session, project: Uuid, path: &str, content: &str) {
    let saved = session.save(project, path, content, None).expect("saved");
    let read = session.get(project, path, None).expect("read");
    let numbered = session.get(project, path, Some(saved.version)).expect("read");
    for file in [&saved, &read, &numbered] {
        assert!(file.content.as_deref() == Some(content), "content of {} bytes differs", content.len());
        assert_eq!((&*file.path, file.size), (path, content.len() as i32));
        assert_eq!(file.hash.as_deref(), Some(&*sha256(content)), "the hash is that of the UTF-8 bytes");
    }
    let sql = "SELECT convert_to(content, 'UTF8') = convert_to($3, 'UTF8') AND content_hash = $4
                 FROM versioned.project_files WHERE project_id = $1 AND file_path = $2 AND is_current_version";
    assert!(session.value::<bool>(sql, &[&project, &path, &content, &sha256(content)]));
    assert!(session.list(project).iter().any(|file| file.0 == path && file.2 == content));
}

#[test]
fn contents_come_back_as_they_went_in() {
    let db = Database::new("contents");
    let mut session = db.connect();
    let first = session.project(Uuid::new_v4());
    let project = first.project;
    let every_char: String = ('\u{1}'..=char::MAX).step_by(97).chain('\u{1}'..'\u{500}').collect();
    let contents = [
        "",
        " ",
        "\n",
        "no final newline",
        "with one\n",
        "\r\nCRLF\r\n",
        "lone \r and \n\r mixed\r\r\n",
        "back\\slashes \\x41 \\101 \\\\ \\n \\",
        "\\x",
        "'single' \"double\" `back` $$dollar$$ $1 %s %n {s} {}",
        "'; DROP TABLE versioned.projects; --",
        "NULL",
        "\u{1}\u{2}\u{7f}\u{80}\u{85}\u{2028}\u{2029}",
        "\u{feff}byte order mark",
        "e\u{301} is not é, nor \u{1e9b}\u{323} its forms",
        "😀👩\u{200d}👩\u{200d}👧 𝕏 \u{10ffff} \u{fffe} \u{ffff}",
        "עברית \u{202e}RTL\u{202c} العربية",
        "<<<<<<< ours\n=======\n>>>>>>> theirs\n",
        &every_char,
    ];
    for (n, content) in contents.iter().enumerate() {
        round_trip(&mut session, project, &format!("file {n}"), content);
        round_trip(&mut session, project, "history", &format!("{content}{n}"));
    }
    for (n, content) in contents.iter().enumerate() {
        let old = session.get(project, "history", Some(n as i32 + 1)).expect("it is there");
        assert_eq!(old.content, Some(format!("{content}{n}")));
        // A move carries the content along.
        let moved = session.rename(project, &format!("file {n}"), &format!("moved {n}"), None).expect("moved");
        assert_eq!((moved.content.as_deref(), moved.hash), (Some(*content), Some(sha256(content))));
    }
    let version = session.succeed(project, &first.build, serde_json::json!({})).expect("it succeeds");
    assert_eq!(session.snapshot(project, &version.id), session.list(project));
    invariants::hold(&mut session);
}

#[test]
fn contents_may_be_as_large_as_the_limit_and_not_a_byte_larger() {
    let db = Database::new("limit");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    let mut random = crate::support::Random(5);
    let incompressible: String = (0..LIMIT).map(|_| char::from(b' ' + random.below(95) as u8)).collect();
    for (n, content) in ["x".repeat(LIMIT), "é".repeat(LIMIT / 2), incompressible].into_iter().enumerate() {
        round_trip(&mut session, project, &format!("{n}"), &content);
        for more in ["x", "é", "😀"] {
            let refusal = refused(session.save(project, "over", &format!("{content}{more}"), None), "22023");
            let size = format!("{}", LIMIT + more.len());
            assert!(refusal.message.contains(&size) && refusal.message.contains("10485760"), "{refusal:?}");
        }
    }
    refused(session.get(project, "over", None), "PT404");

    // The limit counts bytes, not characters, and is what the setting says.
    session.run("SET pg_versioned.max_file_size = 3");
    round_trip(&mut session, project, "small", "é1");
    refused(session.save(project, "small", "éé", None), "22023");
    session.run("SET pg_versioned.max_file_size = 0");
    round_trip(&mut session, project, "small", "");
    refused(session.save(project, "small", "1", None), "22023");
    // What is there already stays readable and movable.
    session.rename(project, "0", "large", None).expect("moved");
    assert_eq!(session.get(project, "large", None).expect("read").size as usize, LIMIT);
    invariants::hold(&mut session);
}

#[test]
fn a_nul_is_no_text() {
    let db = Database::new("nul");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    refused(session.save(project, "a", "nul \0", None), "22021");
    refused(session.save(project, "nul \0", "a", None), "22021");
    round_trip(&mut session, project, "a", "not \\0");
    assert_eq!(session.list(project).len(), 1);
}

/// The rules of section 6, written down a second time.
fn is_path(text: &str) -> bool {
    let segments: Vec<&str> = text.split('/').collect();
    (1..=1024).contains(&text.len())
        && !text.chars().any(|c| c == '\\' || c.is_control())
        && segments.iter().all(|segment| !["", ".", ".."].contains(segment))
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn any_text_comes_back_as_it_went_in() {
    let db = Database::new("any_content");
    let session = std::cell::RefCell::new(db.connect());
    let project = session.borrow_mut().project(Uuid::new_v4()).project;
    let texts = prop_oneof![
        any::<String>(),
        "[\\\\'\"\r\n\t x41{}$%é😀\u{301}]{0,40}",
        prop::collection::vec(any::<char>(), 0..2000).prop_map(|chars| chars.into_iter().collect::<String>()),
    ];
    proptest!(config(200), |(content in texts)| {
        let content = content.replace('\0', "");
        round_trip(&mut session.borrow_mut(), project, "any", &content);
    });
}

#[test]
fn paths_are_taken_as_they_are_or_refused() {
    let db = Database::new("any_path");
    let session = std::cell::RefCell::new(db.connect());
    let project = session.borrow_mut().project(Uuid::new_v4()).project;
    let paths = prop_oneof![
        "[a./\\\\\u{1}\u{7f}\u{85}é ]{0,8}",
        "[a-z]{1,3}(/[a-z.]{1,3}){0,4}",
        any::<String>().prop_map(|text| text.replace('\0', "")),
        (1020..1030usize).prop_map(|length| "x".repeat(length)),
        (508..516usize).prop_map(|length| "é".repeat(length)),
    ];
    proptest!(config(300), |(path in paths)| {
        let session = &mut *session.borrow_mut();
        let saved = session.save(project, &path, &path, None);
        if is_path(&path) {
            let saved = saved.expect("a good path");
            prop_assert_eq!(&saved.path, &path);
            let File { content, .. } = session.get(project, &path, None).expect("read");
            prop_assert_eq!(content.as_deref(), Some(&*path));
        } else {
            let refusal = refused(saved, "22023");
            prop_assert!(refusal.message.starts_with("p_file_path "), "{:?}", refusal);
            refused(session.get(project, &path, None), "22023");
            refused(session.delete(project, &path, None), "22023");
            refused(session.rename(project, &path, "b", None), "22023");
            refused(session.rename(project, "b", &path, None), "22023");
        }
    });
    invariants::hold(&mut session.borrow_mut());
}

/// What looks alike is not the same file.
#[test]
fn paths_are_compared_byte_by_byte() {
    let db = Database::new("alike");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    let paths = ["é", "e\u{301}", "E\u{301}", "a", "A", "a ", " a", "ａ", "ß", "ss", "ı", "i", "I", "İ"];
    for path in paths {
        assert_eq!(session.put(project, path, path), 1, "{path}");
    }
    let mut sorted = paths;
    sorted.sort_unstable();
    let listed: Vec<String> = session.list(project).into_iter().map(|file| file.0).collect();
    assert_eq!(listed, sorted, "listings are in the order of the bytes");
}
