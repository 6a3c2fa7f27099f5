# Sourced by every script: which Postgres, which version of the extension, where things are kept.
#
#   PG_CONFIG            the Postgres to build against; by default Debian's: 15, else the newest
#   PG                   a major version (15 to 18) to choose it by; 16 and 18 can be fetched
#   PG_VERSIONED_TOOLS   where fetched servers and test tools are kept; by default .tools in the project
# shellcheck shell=bash

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$(realpath -ms "${PG_VERSIONED_TOOLS:-$PROJECT/.tools}")
export PG_VERSIONED_TOOLS=$TOOLS
# shellcheck disable=SC2034 # used by the scripts that source this
VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$PROJECT/Cargo.toml" | head -n 1)

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# A pg_config counts only if it comes with a server and its headers.
is_complete() {
    [ -x "$1" ] && [ -x "$("$1" --bindir)/postgres" ] && [ -f "$("$1" --includedir-server)/postgres.h" ]
}

find_pg_config() {
    local major candidate candidates=()
    for major in ${PG:-15 18 17 16}; do
        candidates+=("/usr/lib/postgresql/$major/bin/pg_config")
    done
    # Fetched servers are used only if their version is asked for.
    [ -z "${PG:-}" ] || candidates+=("$TOOLS/pg$PG/bin/pg_config")
    for candidate in "${candidates[@]}"; do
        if is_complete "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

case ${PG:-} in
'' | 15 | 16 | 17 | 18) ;;
*) fail "PG is $PG; this extension is for Postgres 15 to 18" ;;
esac

if [ -n "${PG_CONFIG:-}" ]; then
    given=$PG_CONFIG
    PG_CONFIG=$(realpath -s "$(command -v "$given")" 2>/dev/null) || fail "PG_CONFIG: there is no program $given"
    is_complete "$PG_CONFIG" || fail "$PG_CONFIG has no server beside it, or no server headers"
else
    PG_CONFIG=$(find_pg_config)
fi
export PG_CONFIG

if [ -n "$PG_CONFIG" ]; then
    PG_MAJOR=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    case $PG_MAJOR in
    15 | 16 | 17 | 18) ;;
    *) fail "$PG_CONFIG is Postgres $PG_MAJOR; this extension is for 15 to 18" ;;
    esac
    [ "${PG:-$PG_MAJOR}" = "$PG_MAJOR" ] || fail "PG asks for Postgres $PG, PG_CONFIG is that of $PG_MAJOR"
    # One build folder per major version: their bindings differ, and cargo would rebuild everything at each change.
    export CARGO_TARGET_DIR=$PROJECT/target/pg$PG_MAJOR
    # shellcheck disable=SC2034 # used by the scripts that source this
    FEATURES=(--no-default-features --features "pg$PG_MAJOR")
    # Where the build of pgrx looks for Postgres.
    export PGRX_PG_CONFIG_PATH=$PG_CONFIG
fi

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo: $*"
    fi
}
