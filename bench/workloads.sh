# Sourced by run: what the clients send. Every peer gets the same text.
# shellcheck shell=bash disable=SC2034

project=00000000-0000-4000-8000-000000000001

# 2 KB of text: the file's own with 32 bytes changed somewhere, or one of 1,000 that have little in common. One save in
# 1,000 finds what it brings there already.
declare -A text=(
    [edited]="(SELECT overlay(body PLACING md5(random()::text) FROM :at) FROM bench.texts WHERE n = :file)"
    ['new content']="(SELECT body FROM bench.variants WHERE n = :variant)"
)
declare -A path=(
    [spread]="'src/file' || :file || '.ts'"
    [hot]="'src/hot.ts'"
)

# A pgbench script that saves a text at a path.
save() { # peer text path
    local body=${text[$2]} at=${path[$3]}
    printf '\\set file random(1, 2000)\n\\set at random(1, 2000)\n\\set variant random(1, 1000)\n'
    case $1 in
    pg_versioned) echo "SELECT version FROM versioned.atomic_upsert_project_file('$project', $at, $body, 'typescript');" ;;
    'row lock') echo "SELECT version FROM peers.rowlock_save('$project', $at, $body, 'typescript');" ;;
    # No dash in the stream's name, so that it locks its stream only and not all of a category.
    message-db) echo "SELECT message_store.write_message(gen_random_uuid()::text, $at, 'Saved', jsonb_build_object('content', $body));" ;;
    floor)
        echo "WITH head AS (
            INSERT INTO peers.floor_heads AS h VALUES ('$project', $at, 1, now())
            ON CONFLICT (project_id, file_path) DO UPDATE SET version = h.version + 1, updated_at = excluded.updated_at
            RETURNING project_id, file_path, version, updated_at)
        INSERT INTO peers.floor_versions SELECT project_id, file_path, version, $body, updated_at FROM head;" |
            tr '\n' ' '
        echo
        ;;
    # The locks are what the file is found by, so that they come first; their keys are the extension's.
    limit)
        echo "WITH locks AS MATERIALIZED (
            SELECT $at AS path, pg_advisory_xact_lock_shared(hashtextextended('project:$project', 0)),
                   pg_advisory_xact_lock(hashtextextended('file:$project:' || $at, 0))),
        head AS (
            UPDATE peers.limit_heads SET version = version + 1, updated_at = clock_timestamp()
              FROM locks WHERE project_id = '$project' AND file_path = locks.path
            RETURNING project_id, file_id, file_path, version, updated_at)
        INSERT INTO peers.limit_versions
        SELECT project_id, file_id, gen_random_uuid(), updated_at, pg_current_xact_id(), version, file_path,
               decode(repeat('5a', 208), 'hex') FROM head RETURNING version;" |
            tr '\n' ' '
        echo
        ;;
    esac
}

# A pgbench script that reads, of 500 files of 58 KB with 20 versions, or of one.
read_sql() { # what
    local files=500
    case $1 in *', one file') files=1 ;; esac
    local at="'big/' || :file"
    printf '\\set file random(1, %s)\n\\set old random(1, 20)\n' "$files"
    case $1 in
    'get_project_file'*) echo "SELECT content FROM versioned.get_project_file('$project', $at);" ;;
    'project_files'*) echo "SELECT content FROM versioned.project_files WHERE project_id = '$project' AND file_path = $at AND is_current_version;" ;;
    'full copy'*)
        echo "SELECT v.content FROM peers.floor_heads h JOIN peers.floor_versions v USING (project_id, file_path, version) WHERE h.project_id = '$project' AND h.file_path = $at;"
        ;;
    'old version') echo "SELECT content FROM versioned.get_project_file('$project', $at, :old);" ;;
    'old full copy') echo "SELECT content FROM peers.floor_versions WHERE project_id = '$project' AND file_path = $at AND version = :old;" ;;
    'history page') echo "SELECT * FROM versioned.get_project_file_history('$project', $at, 50);" ;;
    'listing, metadata') echo "SELECT file_path, version FROM versioned.project_files WHERE project_id = '$listed' AND is_current_version;" ;;
    'listing with contents') echo "SELECT * FROM versioned.get_current_project_files('$listed');" ;;
    "a version's files") echo "SELECT f.* FROM versioned.get_project_version_files('$listed', (SELECT version_id FROM versioned.project_versions WHERE project_id = '$listed' LIMIT 1)) f;" ;;
    esac
}
listed=00000000-0000-4000-8000-000000000002
