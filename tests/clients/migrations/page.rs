//! The commands of `docs/migrations.md` do what the page says, in the shells that people have.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

use crate::dump::program;
use crate::support::Database;

/// The shell code of the page, one text per block: `migrations`, `paths`, one line as an example, the job.
fn blocks() -> Vec<String> {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migrations.md")).expect("the page is there");
    let blocks: Vec<String> =
        page.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```\n").next().expect("it ends").to_owned()).collect();
    assert_eq!(blocks.len(), 4, "{blocks:#?}");
    blocks
}

/// A folder with files, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &[u8])]) -> Folder {
        let folder = Folder(std::env::temp_dir().join(format!("migrations {name} {}", std::process::id())));
        let _ = fs::remove_dir_all(&folder.0);
        for (path, text) in files {
            folder.put(path, text);
        }
        folder
    }

    fn put(&self, path: &str, text: &[u8]) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs shell code in a folder, with psql in its path.
fn run(shell: &str, code: &str, folder: &Path, db: &Database) -> Output {
    let psql = program("psql");
    let bin = Path::new(psql.get_program()).parent().expect("a folder");
    let path = std::env::join_paths(
        [bin.to_owned()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").expect("set"))),
    );
    let mut command = Command::new(shell);
    if std::env::var_os("PGUSER").is_none() {
        command.env("PGUSER", "postgres");
    }
    let mut child = command
        .current_dir(folder)
        .env("PATH", path.expect("a path"))
        .env("PGDATABASE", &db.name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the shell runs");
    child.stdin.take().expect("piped").write_all(code.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

/// What the functions are given.
#[track_caller]
fn given(shell: &str, tool: &str, folder: &Folder, db: &Database) -> Vec<(String, Vec<u8>)> {
    let blocks = blocks();
    let code =
        format!("{}\n{}\npaths {tool} | migrations SELECT '' | psql -XAtq -v ON_ERROR_STOP=1\n", blocks[0], blocks[1]);
    let output = run(shell, &code, &folder.0, db);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{tool}: {errors}");
    let list: Vec<Json> = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |json: &Json| json.as_str().expect("a text").to_owned();
    list.iter().map(|one| (text(&one["name"]), text(&one["sql"]).into_bytes())).collect()
}

const SHELLS: [&str; 2] = ["sh", "bash"];

/// A tool, its files in order, others beside them, and the names of the migrations.
type Layout = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

#[test]
fn every_tools_folder_is_read_in_its_order() {
    let db = Database::new("page_tools");
    let tools: &[Layout] = &[
        (
            "prisma",
            &[
                "prisma/migrations/20240101_a b/migration.sql",
                "prisma/migrations/20240102_it's \"q\" $x `y` é/migration.sql",
            ],
            &["prisma/migrations/migration_lock.toml", "prisma/migrations/20240103_note/README.md"],
            &["20240101_a b", "20240102_it's \"q\" $x `y` é"],
        ),
        (
            "drizzle",
            &["drizzle/0000_b.sql", "drizzle/0001_a.sql"],
            &["drizzle/0001_not_in_the_journal.sql"],
            &["0000_b.sql", "0001_a.sql"],
        ),
        (
            "supabase",
            &["supabase/migrations/20230101000000_b.sql", "supabase/migrations/20240101000000_a.sql"],
            &["supabase/seed.sql"],
            &["20230101000000_b.sql", "20240101000000_a.sql"],
        ),
        (
            "sqlx",
            &["migrations/2_a.up.sql", "migrations/10_b.sql", "migrations/20240101000000_c.up.sql"],
            &["migrations/2_a.down.sql", "migrations/20240101000000_c.down.sql"],
            &["2_a.up.sql", "10_b.sql", "20240101000000_c.up.sql"],
        ),
        (
            "golang-migrate",
            &["migrations/1_z.up.sql", "migrations/2_y.up.sql", "migrations/10_x.up.sql", "migrations/100_w.up.sql"],
            &["migrations/1_z.down.sql", "migrations/10_x.down.sql"],
            &["1_z.up.sql", "2_y.up.sql", "10_x.up.sql", "100_w.up.sql"],
        ),
        (
            "diesel",
            &[
                "migrations/00000000000000_diesel_initial_setup/up.sql",
                "migrations/20170308140537_users/up.sql",
                "migrations/2017-09-23-182408_tokens/up.sql",
                "migrations/20180101000000_last/up.sql",
            ],
            &["migrations/20170308140537_users/down.sql"],
            &[
                "00000000000000_diesel_initial_setup",
                "20170308140537_users",
                "2017-09-23-182408_tokens",
                "20180101000000_last",
            ],
        ),
        (
            "flyway",
            &[
                "sql/V1__a.sql",
                "sql/V1.1__b.sql",
                "sql/V1_2__c__d.sql",
                "sql/V1.10__e.sql",
                "sql/V2__f.sql",
                "sql/V10__g 1.sql",
                "sql/R__a view.sql",
                "sql/R__b.sql",
            ],
            &["sql/U1__a.sql"],
            &[
                "V1__a.sql",
                "V1.1__b.sql",
                "V1_2__c__d.sql",
                "V1.10__e.sql",
                "V2__f.sql",
                "V10__g 1.sql",
                "R__a view.sql",
                "R__b.sql",
            ],
        ),
        ("other", &["migrations/001.sql", "migrations/002.sql"], &["migrations/003.txt"], &["001.sql", "002.sql"]),
    ];
    for (tool, files, others, names) in tools {
        let folder = Folder::new(tool, &[]);
        // Written in another order than they are read in.
        for path in files.iter().rev().chain(*others) {
            folder.put(path, path.as_bytes());
        }
        if *tool == "drizzle" {
            let journal = "{\n  \"entries\": [\n    {\n      \"idx\": 0,\n      \"when\": 1,\n      \"tag\": \"0000_b\",\n      \
                           \"breakpoints\": true\n    },\n    {\n      \"tag\": \"0001_a\"\n    }\n  ]\n}\n";
            folder.put("drizzle/meta/_journal.json", journal.as_bytes());
        }
        let expected: Vec<(String, Vec<u8>)> =
            names.iter().zip(*files).map(|(name, path)| ((*name).to_owned(), path.as_bytes().to_vec())).collect();
        for shell in SHELLS {
            assert_eq!(given(shell, tool, &folder, &db), expected, "{tool} in {shell}");
        }
    }
}

#[test]
fn files_are_carried_over_to_the_byte() {
    let db = Database::new("page_bytes");
    let texts: &[&[u8]] = &[
        b"",
        b"\n\n",
        b"no newline at the end",
        b"  spaces  \r\n\r\n\t\n\n\n",
        "'quotes' \"\" $$ \\ \\n %s :name :'name' `date` $HOME é😀\u{feff}".as_bytes(),
        b"\x01\x7f;--\n/*",
    ];
    let folder = Folder::new("bytes", &[]);
    for (n, text) in texts.iter().enumerate() {
        folder.put(&format!("migrations/{n}.sql"), text);
    }
    for shell in SHELLS {
        let given = given(shell, "other", &folder, &db);
        assert_eq!(given.iter().map(|(_, text)| text.as_slice()).collect::<Vec<_>>(), texts, "{shell}");
    }
}

#[test]
fn five_hundred_files_of_ten_kilobytes_are_one_statement() {
    let db = Database::new("page_many");
    let folder = Folder::new("many", &[]);
    for n in 0..500 {
        let text = format!("CREATE TABLE t{n} (id integer); -- {}\n", "x".repeat(10_000));
        folder.put(&format!("prisma/migrations/{n:03}_{}/migration.sql", "name".repeat(40)), text.as_bytes());
    }
    let given = given("sh", "prisma", &folder, &db);
    assert_eq!(given.len(), 500);
    assert!(given.iter().map(|(_, text)| text.len()).sum::<usize>() > 5_000_000);
    assert!(given.is_sorted());

    let blocks = blocks();
    let output = run("sh", &blocks[..3].join("\n"), &folder.0, &db);
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && answer.contains("(500 rows)"), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let db = Database::new("page_unreadable");
    let folder = Folder::new("unreadable", &[("migrations/1.sql", b"SELECT 1"), ("migrations/3.sql", b"SELECT 3")]);
    let migrations = &blocks()[0];
    let code = format!(
        "{migrations}\nprintf '%s\\n' migrations/1.sql migrations/2.sql migrations/3.sql |
             migrations 'SELECT name FROM versioned.replay_migrations(' ')' | psql -X -v ON_ERROR_STOP=1\n"
    );
    for shell in SHELLS {
        let output = run(shell, &code, &folder.0, &db);
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(!String::from_utf8_lossy(&output.stdout).contains("rows)"));
    }
}

#[test]
fn the_job_fails_if_there_is_a_finding() {
    let db = Database::new("page_job");
    let mut admin = db.connect();
    let first = "CREATE TABLE \"Prompt\" (id text PRIMARY KEY);\n";
    admin.run(first);
    let folder = Folder::new("job", &[("prisma/migrations/1_init/migration.sql", first.as_bytes())]);
    let blocks = blocks();
    let job = [&blocks[0], &blocks[1], &blocks[3]].map(String::as_str).join("\n");
    let ends = |how: &str, ok: bool, words: &[&str]| {
        for shell in SHELLS {
            let output = run(shell, &job, &folder.0, &db);
            let said =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.status.success(), ok, "{how}, {shell}: {said}");
            assert!(words.iter().all(|word| said.contains(word)), "{how}, {shell}: {said}");
            assert!(!ok || said.is_empty(), "{how}, {shell}: {said}");
        }
    };
    ends("all is well", true, &[]);
    admin.run("ALTER TABLE \"Prompt\" ADD extra integer");
    ends("drift", false, &["column", "extra"]);
    admin.run("ALTER TABLE \"Prompt\" DROP extra");
    folder.put("prisma/migrations/2_again/migration.sql", first.as_bytes());
    ends("a migration that fails", false, &["2_again", "1_init"]);
    fs::remove_dir_all(folder.0.join("prisma/migrations/2_again")).expect("removed");
    ends("all is well again", true, &[]);
    admin.run("ALTER FUNCTION versioned.replay_migrations RENAME TO gone");
    ends("an error", false, &["does not exist"]);
}
