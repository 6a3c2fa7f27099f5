# Sourced by run: what versions cost as files, versions and changes become more.
# shellcheck shell=bash disable=SC2154,SC2034

# Projects, by what they are for.
aged=00000000-0000-4000-8000-00000000000a
new=00000000-0000-4000-8000-00000000000b
ten_versions=00000000-0000-4000-8000-00000000000c
many_versions=00000000-0000-4000-8000-00000000000d
ten_files=00000000-0000-4000-8000-00000000000e
many_files=00000000-0000-4000-8000-00000000000f

# The version that so many others are newer than.
nth_newest() { sql -c "SELECT version_id FROM versioned.project_versions WHERE project_id = '$1' ORDER BY 1 DESC OFFSET $2 LIMIT 1"; }

# A pgbench script that reads a version, or a page of the list of versions.
version_sql() { # peer
    local project=$many_versions
    case $1 in
    *'10 versions') project=$ten_versions ;;
    esac
    case $1 in
    'right after it was made') echo "SELECT * FROM versioned.get_project_version_files('$new', '$(nth_newest "$new" 0)');" ;;
    'after '*) echo "SELECT * FROM versioned.get_project_version_files('$aged', '$(nth_newest "$aged" 0)');" ;;
    'first page, '*) echo "SELECT * FROM versioned.get_project_version_history('$project', 5);" ;;
    'next page, '*) echo "SELECT * FROM versioned.get_project_version_history('$project', 5, p_before_version_id => '$(nth_newest "$project" 4)');" ;;
    'middle, '*) echo "SELECT * FROM versioned.get_project_version_history('$project', 5, p_before_version_id => '$(nth_newest "$project" $((newer / 2)))');" ;;
    esac
}

versions() {
    local newer=${NEWER:-10000} files=5000 saving=() first round n workload
    fresh_database versions
    export PGDATABASE=versions
    sql -f bench/texts.sql -f bench/versions.sql -c "ALTER DATABASE versions SET synchronous_commit = off" -c "
        INSERT INTO versioned.projects (id, owner_id, name, framework)
        SELECT id::uuid, id::uuid, 'bench', 'react'
          FROM unnest('{$aged,$new,$ten_versions,$many_versions,$ten_files,$many_files}'::text[]) id"

    note "versions: 20 files of 2 KB, $newer newer versions of each"
    sql -c "CALL bench.save_rounds('$aged', '[1,20]', '[0,0]')" -c "SELECT FROM bench.make_version('$aged')"
    for first in 1 11; do
        sql -c "CALL bench.save_rounds('$aged', '[$first,$((first + 9))]', '[1,$newer]')" &
        saving+=($!)
    done
    for first in "${saving[@]}"; do wait "$first"; done
    sql -c "CALL bench.save_rounds('$new', '[1,20]', '[0,0]')" -c "SELECT FROM bench.make_version('$new')"
    note "versions: projects with 10 and with $newer of them"
    sql -c "CALL bench.make_versions('$ten_versions', 10)" -c "CALL bench.make_versions('$many_versions', $newer)"
    note "versions: projects with 10 and with $files files"
    sql -c "CALL bench.save_rounds('$ten_files', '[1,10]', '[0,0]')" -c "SELECT FROM bench.make_version('$ten_files')" \
        -c "CALL bench.save_rounds('$many_files', '[1,$files]', '[0,0]')" -c "SELECT FROM bench.make_version('$many_files')" \
        -c 'VACUUM ANALYZE'

    local seconds=1 repeats=$((repeats < 3 ? 3 : repeats))
    compare versions "a version's 20 files" 1 version_sql 'right after it was made' "after $newer newer versions of each"
    compare versions 'first page of the list, with total_count' 1 version_sql 'first page, 10 versions' "first page, $newer versions"
    compare versions 'a page by p_before_version_id' 1 version_sql 'next page, 10 versions' "next page, $newer versions" \
        "middle, $newer versions"

    note "versions: making one, and saves"
    workload='making a version, 10 changed files'
    for ((round = 1; round <= 20; round++)); do
        echo "CALL bench.measure_version('$workload', 'of 10 files', '$ten_files', '[1,10]', $round);"
        echo "CALL bench.measure_version('$workload', 'of $files files', '$many_files', '[1,10]', $round);"
        if ((round % 4 == 0)); then
            echo "CALL bench.measure_version('making a version, 1000 changed files', 'of $files files', '$many_files', '[1001,2000]', $round);"
        fi
        # Both projects get the same contents in the same order.
        echo "SELECT FROM bench.make_version('$listed');"
        for n in 1 2 3 4 5 6 7 8 9 10; do
            echo "CALL bench.measure('a save, 2 KB edited', 'no version ever', 'bench.save(''$project'', $n, $round)');"
            echo "CALL bench.measure('a save, 2 KB edited', 'first since a version', 'bench.save(''$listed'', $n, $round)');"
        done
    done >"$work/versions.sql"
    # Images of whole pages would tell when the last checkpoint was.
    sql -c 'ALTER SYSTEM SET full_page_writes = off' -c 'SELECT FROM pg_reload_conf()' -c CHECKPOINT
    sql -c "CALL bench.save_rounds('$project', '[1,10]', '[0,0]')" \
        -c "CALL bench.save_rounds('$listed', '[1,10]', '[0,0]')" -f "$work/versions.sql"
    sql -F $'\t' -c "
        SELECT 'versions', workload, 1, peer, unit, value
          FROM (SELECT workload, peer, min(ctid) AS at, percentile_cont(0.5) WITHIN GROUP (ORDER BY microseconds) AS microseconds,
                       percentile_cont(0.5) WITHIN GROUP (ORDER BY wal_bytes) AS wal_bytes
                  FROM bench.calls GROUP BY workload, peer) c,
               LATERAL (VALUES ('microseconds', microseconds), ('WAL bytes of the call', wal_bytes)) v (unit, value)
         WHERE value IS NOT NULL ORDER BY at, unit DESC" >>"$raw"
    result versions 'WAL per changed file of a version' 1 pg_versioned bytes "$(sql -c "
        SELECT round((percentile_cont(0.5) WITHIN GROUP (ORDER BY wal_bytes) FILTER (WHERE workload LIKE '%, 1000 changed%')
                      - percentile_cont(0.5) WITHIN GROUP (ORDER BY wal_bytes) FILTER (WHERE workload LIKE '%, 10 changed%'))::numeric / 990, 1)
          FROM bench.calls WHERE peer = 'of $files files'")"
    export PGDATABASE=postgres
    sql -c 'ALTER SYSTEM RESET full_page_writes' -c 'SELECT FROM pg_reload_conf()' -c CHECKPOINT -c 'DROP DATABASE versions'
}
