# Sourced by run: what it costs to insert into tables of versions that people have already.
# shellcheck shell=bash disable=SC2154,SC2034

declare -A own_table=(
    ['unique constraint']=own.plain
    ['numbering']=own.numbered
    ['numbering, flag']=own.flagged
    ['numbering, flag, link']=own.linked
    ['max + 1 trigger with a lock']=own.locked_max
    ['row-lock function']=own.row_locked
)

# A pgbench script that inserts a row. Each run has parents of its own, which begin with version 1.
insert_sql() { # peer
    # The number that a client sends is the next one of its own parent; of a parent that all share it is one that nobody
    # else sends, which only the unique constraint depends on.
    local parent="'f' || :random_seed::text || '-' || :client_id::text" number=:v
    [ "$parents" = own ] || parent="'f' || :random_seed::text" number=':client_id * 10000000 + :v'
    local content="'export const answer = 42; // a line of code, and the rest of a short file that has two of them'"
    printf '\\set v :v + 1\n\\set number %s\n' "$number"
    case $1 in
    'row-lock function') echo "SELECT own.row_locked_save($parent, $content);" ;;
    *) echo "INSERT INTO ${own_table[$1]} (parent, version, content) VALUES ($parent, :number, $content) RETURNING version;" ;;
    esac
}

# One INSERT … SELECT, as rows per second.
insert_many() { # peer parents
    local ms rows=${BULK_ROWS:-100000}
    sql -c "TRUNCATE ${own_table[$1]}" -c CHECKPOINT
    ms=$(sql -c "EXPLAIN (ANALYZE, TIMING OFF)
                 INSERT INTO ${own_table[$1]} (parent, version, content)
                 SELECT 'f' || n % $2, 1 + n / $2, 'export const answer = ' || n FROM generate_series(0, $rows - 1) n" |
        sed -n 's/^Execution Time: \([0-9.]*\) ms/\1/p')
    result protected "INSERT … SELECT of $rows rows, parents: $2" 1 "$1" 'per second' "$(awk "BEGIN { print $rows / $ms * 1000 }")"
}

protected() {
    local peers=('unique constraint' 'numbering' 'numbering, flag' 'numbering, flag, link' 'max + 1 trigger with a lock')
    local parents clients round peer many pgbench_options=(-D v=0)
    fresh_database protected
    export PGDATABASE=protected
    sql -f bench/protected.sql
    parents=own
    for clients in 1 8 32; do
        compare protected 'each client its own parent' "$clients" insert_sql "${peers[@]}" 'row-lock function'
    done
    # Where it meets itself, the row-lock function fails with duplicate keys.
    parents=one
    for clients in 8 32; do compare protected 'one hot parent' "$clients" insert_sql "${peers[@]}"; done
    sql -c 'CALL own.check_rows()'
    for many in 1 100 10000; do
        for ((round = 1; round <= repeats; round++)); do
            for peer in "${peers[@]}"; do
                note "protected, rows of $many parents in one statement, round $round of $repeats: $peer"
                insert_many "$peer" "$many"
            done
        done
        sql -c 'CALL own.check_rows()'
    done
    export PGDATABASE=postgres
    sql -c 'DROP DATABASE protected'
}
