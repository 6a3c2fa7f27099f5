//! Bodies as people write them.

use super::Counting::{Current, Latest, Maximum};
use super::*;

fn examine(body: &str, is_volatile: bool, is_trigger: bool) -> Option<Counting> {
    let subject = Subject {
        schema: "public",
        table: "file_version",
        version: "version",
        current: Some("is_current"),
        parents: &["files".to_owned()],
    };
    unsafe_counting(&Suspect { body, is_volatile, is_trigger }, &subject)
}

fn counting(body: &str) -> Option<Counting> {
    examine(body, true, false)
}

#[test]
fn the_maximum_and_one() {
    for body in [
        "SELECT max(version) + 1 FROM file_version WHERE file_id = $1",
        "SELECT 1 + MAX(v.version) FROM public.file_version v",
        "SELECT coalesce(max(version), 0)+1 FROM \"file_version\"",
        "SELECT COALESCE(MAX(version)::integer, 0)::bigint + 1 FROM file_version",
        "BEGIN NEW.version := COALESCE((SELECT MAX(version) FROM file_version WHERE file_id = NEW.file_id), 0) + 1; RETURN NEW; END",
        "BEGIN NEW.version = (SELECT max(version) FROM file_version WHERE file_id = NEW.file_id) + 1; RETURN NEW; END",
        "DECLARE v int; BEGIN SELECT max(version) INTO v FROM file_version; INSERT INTO file_version VALUES (1, v + 1); END",
        "DECLARE v int; BEGIN SELECT max(version) INTO STRICT v FROM file_version; v := v + 1; END",
        "DECLARE v int := (SELECT max(version) FROM file_version); BEGIN RETURN coalesce(v, 0) + 1; END",
        "DECLARE v int DEFAULT (SELECT max(version) FROM file_version); BEGIN RETURN 1 + v; END",
        "BEGIN IF true THEN v = (SELECT max(version) FROM file_version); END IF; RETURN v + 1; END",
        "BEGIN SELECT max(version) AS latest INTO r FROM file_version; RETURN r.latest + 1; END",
        "WITH m AS (SELECT max(version) AS n FROM file_version) INSERT INTO file_version SELECT n + 1 FROM m",
        "INSERT INTO file_version (file_id, version) SELECT $1, coalesce(max(version), 0) + 1 FROM file_version",
        "BEGIN EXECUTE 'SELECT max(version) + 1 FROM file_version' INTO NEW.version; END",
        "BEGIN EXECUTE format('SELECT max(version) FROM %I', 'file_version') INTO v; v := v + 1; END",
        "BEGIN SELECT greatest(max(version), 0) + 1 INTO v FROM file_version; END",
        "SELECT CASE WHEN max(version) IS NULL THEN 1 ELSE max(version) + 1 END FROM file_version",
        "BEGIN ATOMIC\n SELECT (COALESCE(max(file_version.version), 0) + 1)\n FROM public.file_version;\nEND",
    ] {
        assert_eq!(counting(body), Some(Maximum), "{body}");
    }
}

#[test]
fn reading_the_maximum_alone_is_not_counting() {
    for body in [
        "SELECT max(version) FROM file_version",
        "SELECT max(version), count(*) + 1 FROM file_version",
        "SELECT max(version) FROM other; SELECT x + 1 FROM file_version",
        "SELECT max(size) + 1 FROM file_version",
        "SELECT max(\"Version\") + 1 FROM file_version",
        "SELECT max(version) + 1 FROM archive.file_version",
        "SELECT max(version) + 1 FROM file_versions",
        "SELECT max(version) + 1 FROM \"FILE_VERSION\"",
        "-- SELECT max(version) + 1 FROM file_version\nSELECT 1",
        "/* max(version) + 1 /* of file_version */ */ SELECT version FROM file_version",
        "BEGIN RAISE NOTICE 'max(version) + 1 of file_version'; END",
        "SELECT power(max(version), 2) + 1 FROM file_version",
        "SELECT max(version) - 1 FROM file_version",
        "",
    ] {
        assert_eq!(counting(body), None, "{body}");
    }
}

#[test]
fn the_latest_and_one() {
    for body in [
        "SELECT version + 1 FROM file_version ORDER BY version DESC LIMIT 1",
        "SELECT (SELECT version FROM file_version WHERE file_id = $1 ORDER BY version DESC LIMIT 1) + 1",
        "BEGIN SELECT * INTO last FROM file_version f ORDER BY f.version DESC LIMIT 1; n := last.version + 1; END",
        "BEGIN SELECT version INTO n FROM file_version ORDER BY file_id, version DESC NULLS LAST FETCH FIRST ROW ONLY; n := coalesce(n, 0) + 1; END",
        "BEGIN SELECT version AS v INTO r FROM file_version ORDER BY version DESC LIMIT 1; n := r.v + 1; END",
        "BEGIN FOR r IN SELECT * FROM file_version ORDER BY version DESC LIMIT 1 LOOP n := r.version + 1; END LOOP; END",
    ] {
        assert_eq!(counting(body), Some(Latest), "{body}");
    }
    for body in [
        "SELECT version FROM file_version ORDER BY version DESC LIMIT 1",
        "SELECT version + 1 FROM file_version ORDER BY version LIMIT 1",
        "BEGIN SELECT * INTO last FROM file_version ORDER BY version DESC LIMIT 1; n := last.size + 1; END",
        "BEGIN SELECT * INTO last FROM file_version ORDER BY version DESC LIMIT 1; i := i + 1; END",
    ] {
        assert_eq!(counting(body), None, "{body}");
    }
}

#[test]
fn the_current_row_and_one() {
    // The well-known row-lock function.
    let row_lock = "DECLARE
            v_current file_version%ROWTYPE;
            v_next integer;
        BEGIN
            SELECT * INTO v_current FROM file_version
             WHERE file_id = p_file AND is_current = true FOR UPDATE;
            IF FOUND THEN
                v_next := v_current.version + 1;
                UPDATE file_version SET is_current = false WHERE id = v_current.id;
            ELSE
                v_next := 1;
            END IF;
            INSERT INTO file_version (file_id, version, is_current) VALUES (p_file, v_next, true);
        END";
    // The one of docs/moving-an-editor.md.
    let in_one = "BEGIN
            SELECT * INTO v_current FROM public.file_version WHERE file_id = p_file AND is_current FOR UPDATE;
            UPDATE public.file_version SET is_current = false WHERE id = v_current.id;
            INSERT INTO public.file_version (file_id, version) VALUES (p_file, coalesce(v_current.version, 0) + 1)
            RETURNING version INTO v_version;
        END";
    for body in [
        row_lock,
        in_one,
        "BEGIN SELECT version INTO v FROM file_version WHERE id = $1 FOR NO KEY UPDATE; v := v + 1; END",
        "BEGIN SELECT version INTO v FROM file_version WHERE file_id = $1 AND is_current; v := v + 1; END",
        "INSERT INTO file_version SELECT file_id, version + 1 FROM file_version WHERE is_current",
        "BEGIN SELECT v.* INTO r FROM file_version v JOIN files f ON f.id = v.file_id WHERE f.id = $1 FOR UPDATE; n := r.version + 1; END",
    ] {
        assert_eq!(counting(body), Some(Current), "{body}");
    }
    for body in [
        "BEGIN PERFORM 1 FROM file_version WHERE id = $1 FOR UPDATE; UPDATE file_version SET is_current = true; END",
        "UPDATE file_version SET version = version + 1 WHERE id = $1 AND is_current",
        "BEGIN PERFORM 1 FROM file_version WHERE id = $1 FOR UPDATE; UPDATE file_version f SET version = f.version + 1; END",
        "INSERT INTO file_version (file_id, version, is_current) VALUES ($1, $2 + 1, true)",
        "SELECT * FROM file_version WHERE is_current",
    ] {
        assert_eq!(counting(body), None, "{body}");
    }
}

const READS: &str = "SELECT max(version) INTO v FROM file_version; INSERT INTO file_version VALUES (v + 1);";

#[test]
fn a_lock_before_makes_it_safe() {
    for lock in [
        "PERFORM pg_advisory_xact_lock(hashtext(NEW.file_id));",
        "PERFORM pg_catalog.pg_advisory_xact_lock(1, 2);",
        "SELECT pg_advisory_lock(1);",
        "PERFORM 1 FROM files WHERE id = NEW.file_id FOR UPDATE;",
        "SELECT * INTO f FROM public.files AS f WHERE id = $1 FOR NO KEY UPDATE NOWAIT;",
        "PERFORM 1 FROM file_version v JOIN files f ON f.id = v.file_id WHERE f.id = $1 FOR UPDATE OF f;",
        "PERFORM 1 FROM file_version v, files f FOR UPDATE;",
        "LOCK TABLE file_version IN SHARE ROW EXCLUSIVE MODE;",
        "LOCK file_version;",
        "IF true THEN LOCK TABLE ONLY file_version IN EXCLUSIVE MODE; END IF;",
        "LOCK TABLE file_version IN ACCESS EXCLUSIVE MODE NOWAIT;",
        "UPDATE files SET updated_at = now() WHERE id = NEW.file_id;",
        "UPDATE public.files AS f SET updated_at = now();",
    ] {
        assert_eq!(counting(&format!("BEGIN {lock} {READS} END")), None, "{lock}");
    }
}

#[test]
fn what_is_not_such_a_lock() {
    for lock in [
        "PERFORM pg_advisory_xact_lock_shared(1);",
        "PERFORM 1 FROM files WHERE id = NEW.file_id;",
        "PERFORM 1 FROM files WHERE id = NEW.file_id FOR SHARE;",
        "PERFORM 1 FROM files WHERE id = NEW.file_id FOR KEY SHARE;",
        "PERFORM 1 FROM file_version WHERE is_current FOR UPDATE;",
        "PERFORM 1 FROM file_version v JOIN files f ON f.id = v.file_id FOR UPDATE OF v;",
        "PERFORM 1 FROM generate_series(1, 2) FOR UPDATE;",
        "LOCK TABLE file_version IN ROW EXCLUSIVE MODE;",
        "LOCK TABLE file_version IN SHARE MODE;",
        "LOCK TABLE file_version IN ACCESS SHARE MODE;",
        "lock := 1;",
        "-- PERFORM pg_advisory_xact_lock(1);\n",
        "RAISE NOTICE 'pg_advisory_xact_lock(1)';",
        "UPDATE users SET seen = now();",
    ] {
        assert_eq!(counting(&format!("BEGIN {lock} {READS} END")), Some(Maximum), "{lock}");
    }
    // Afterwards, in the same statement, or with the snapshot of the calling statement.
    assert_eq!(counting(&format!("BEGIN {READS} PERFORM pg_advisory_xact_lock(1); END")), Some(Maximum));
    let same = "SELECT max(version) + 1 FROM file_version, pg_advisory_xact_lock(1)";
    assert_eq!(counting(same), Some(Maximum));
    let stable = format!("BEGIN PERFORM pg_advisory_xact_lock(1); {READS} END");
    assert_eq!(examine(&stable, false, false), Some(Maximum));
}

#[test]
fn triggers_may_not_name_their_table() {
    let body =
        "BEGIN EXECUTE format('SELECT max(version) + 1 FROM %I', TG_TABLE_NAME) INTO NEW.version; RETURN NEW; END";
    assert_eq!(examine(body, true, true), Some(Maximum));
    assert_eq!(examine(body, true, false), None);
    let other = "BEGIN NEW.number := (SELECT max(version) + 1 FROM other); RETURN NEW; END";
    assert_eq!(examine(other, true, true), None);
}

#[test]
fn names_are_compared_as_postgres_does() {
    let subject = Subject { schema: "My \"S\"", table: "File Version", version: "No", current: None, parents: &[] };
    let flaw = |body: &str| unsafe_counting(&Suspect { body, is_volatile: true, is_trigger: false }, &subject);
    assert_eq!(flaw(r#"SELECT max("No") + 1 FROM "File Version""#), Some(Maximum));
    assert_eq!(flaw(r#"SELECT max(v."No") + 1 FROM "My ""S"""."File Version" v"#), Some(Maximum));
    assert_eq!(flaw(r#"SELECT max(No) + 1 FROM "File Version""#), None);
    assert_eq!(flaw(r#"SELECT max("No") + 1 FROM "Other"."File Version""#), None);
}

#[test]
fn nonsense_is_harmless() {
    for body in [
        "max(",
        "max(version",
        ")) file_version max(version) + ",
        "file_version for update of",
        "into",
        "lock",
        "update",
    ] {
        assert_eq!(counting(&format!("{body} file_version {body}")), None, "{body}");
    }
}
