//! An editing session saved through one connection, as an editor's autosave does.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use postgres::{Client, Config, NoTls};
use uuid::Uuid;

use crate::{session, wal};

const PATH: &str = "src/main.rs";

const FLOOR: &str = "
    WITH head AS (
        INSERT INTO peers.floor_heads AS h VALUES ($1, $2, 1, now())
        ON CONFLICT (project_id, file_path) DO UPDATE SET version = h.version + 1, updated_at = excluded.updated_at
        RETURNING project_id, file_path, version, updated_at)
    INSERT INTO peers.floor_versions SELECT project_id, file_path, version, $3, updated_at FROM head";

struct Peer {
    prepare: &'static str,
    save: &'static str,
    read: &'static str,
    /// Condition on `pg_class` that finds its tables.
    tables: &'static str,
}

fn peer(name: &str) -> Result<Peer, String> {
    let floor = |prepare| Peer {
        prepare,
        save: FLOOR,
        read: "SELECT version, content FROM peers.floor_versions WHERE project_id = $1 AND file_path = $2 ORDER BY version",
        tables: "relnamespace = 'peers'::regnamespace AND relname LIKE 'floor%'",
    };
    match name {
        "pg_versioned" => Ok(Peer {
            prepare: "",
            save: "SELECT version FROM versioned.atomic_upsert_project_file($1, $2, $3, 'rust')",
            read: "SELECT version, content FROM versioned.project_files WHERE project_id = $1 AND file_path = $2 ORDER BY version",
            tables: "relnamespace = 'versioned'::regnamespace AND relname IN ('project_file_heads', 'project_file_versions')",
        }),
        "floor, pglz" => Ok(floor("ALTER TABLE peers.floor_versions ALTER COLUMN content SET COMPRESSION pglz")),
        "floor, lz4" => Ok(floor("ALTER TABLE peers.floor_versions ALTER COLUMN content SET COMPRESSION lz4")),
        _ => Err(format!("there is no peer {name}")),
    }
}

/// Measures one peer with one session in the connection's database, which must be fresh.
pub fn run(file: &Path, name: &str, bindir: &Path, most: usize) -> Result<(), Box<dyn Error>> {
    let mut saves = session::saves(file)?;
    if most > 0 {
        saves.truncate(most);
    }
    let session_name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let session_name = session_name.trim_end_matches(".json.gz");
    let peer = peer(name)?;
    let mut client = connect()?;
    client.batch_execute(peer.prepare)?;
    let project: Uuid = client.query_one("SELECT id FROM versioned.projects ORDER BY id LIMIT 1", &[])?.get(0);
    let save = client.prepare(peer.save)?;
    client.batch_execute("CHECKPOINT")?;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let (size_before, wal_before, cpu_before) = (size(&mut client, &peer)?, position(&mut client)?, cpu_seconds(pid));

    let began = Instant::now();
    for content in &saves {
        client.execute(&save, &[&project, &PATH, content])?;
    }
    let seconds = began.elapsed().as_secs_f64();

    let cpu_after = cpu_seconds(pid);
    let wal_after = position(&mut client)?;
    let disk = size(&mut client, &peer)? - size_before;
    let directory: String = client.query_one("SHOW data_directory", &[])?.get(0);
    let wal = wal::between(bindir, &directory, &wal_before, &wal_after)?;
    verify(&mut client, &peer, project, &saves)?;

    let count = saves.len() as f64;
    let content: usize = saves.iter().map(String::len).sum();
    let mut values = vec![
        ("per second", count / seconds),
        ("saves", count),
        ("content bytes", content as f64),
        ("bytes on disk", disk as f64),
        ("WAL bytes", wal.records as f64 / count),
        ("WAL bytes of full-page images", wal.full_page_images as f64 / count),
    ];
    values
        .extend(cpu_before.zip(cpu_after).map(|(before, after)| ("CPU microseconds", (after - before) / count * 1e6)));
    for (unit, value) in values {
        println!("traces\t{session_name}\t1\t{name}\t{unit}\t{value:.1}");
    }
    Ok(())
}

fn connect() -> Result<Client, Box<dyn Error>> {
    let variable = |name| env::var(name).map_err(|_| format!("{name} is not set"));
    let mut config = Config::new();
    config.host(&variable("PGHOST")?).port(variable("PGPORT")?.parse()?);
    config.user(&variable("PGUSER")?).dbname(&variable("PGDATABASE")?);
    Ok(config.connect(NoTls)?)
}

/// All tables of the peer with their indexes and TOAST.
fn size(client: &mut Client, peer: &Peer) -> Result<i64, postgres::Error> {
    let sql = format!(
        "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND {}",
        peer.tables
    );
    Ok(client.query_one(&sql, &[])?.get(0))
}

fn position(client: &mut Client) -> Result<String, postgres::Error> {
    Ok(client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[])?.get(0))
}

/// Time a process has had on the processors, user and system; `None` where /proc does not tell.
fn cpu_seconds(pid: i32) -> Option<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

fn verify(client: &mut Client, peer: &Peer, project: Uuid, saves: &[String]) -> Result<(), Box<dyn Error>> {
    let rows = client.query(peer.read, &[&project, &PATH])?;
    if rows.len() != saves.len() {
        return Err(format!("{} saves made {} versions", saves.len(), rows.len()).into());
    }
    for (i, (row, saved)) in rows.iter().zip(saves).enumerate() {
        if row.get::<_, i32>(0) != i as i32 + 1 || row.get::<_, &str>(1) != saved {
            return Err(format!("version {} is not what was saved", i + 1).into());
        }
    }
    Ok(())
}
