//! Which extension has what migrations often miss.

use crate::migration::history::{FUNCTION, SCHEMA, TYPE, space};

/// Kind, name, extension.
const KNOWN: &[(&str, &str, &str)] = &[
    (TYPE, "citext", "citext"),
    (TYPE, "hstore", "hstore"),
    (TYPE, "ltree", "ltree"),
    (TYPE, "lquery", "ltree"),
    (TYPE, "cube", "cube"),
    (TYPE, "vector", "vector"),
    (TYPE, "halfvec", "vector"),
    (TYPE, "sparsevec", "vector"),
    ("access method", "hnsw", "vector"),
    ("access method", "ivfflat", "vector"),
    ("operator class", "vector_cosine_ops", "vector"),
    ("operator class", "vector_ip_ops", "vector"),
    ("operator class", "vector_l2_ops", "vector"),
    (TYPE, "geometry", "postgis"),
    (TYPE, "geography", "postgis"),
    (FUNCTION, "st_setsrid", "postgis"),
    (FUNCTION, "st_makepoint", "postgis"),
    (FUNCTION, "uuid_generate_v1", "uuid-ossp"),
    (FUNCTION, "uuid_generate_v1mc", "uuid-ossp"),
    (FUNCTION, "uuid_generate_v3", "uuid-ossp"),
    (FUNCTION, "uuid_generate_v4", "uuid-ossp"),
    (FUNCTION, "uuid_generate_v5", "uuid-ossp"),
    (FUNCTION, "crypt", "pgcrypto"),
    (FUNCTION, "digest", "pgcrypto"),
    (FUNCTION, "gen_random_bytes", "pgcrypto"),
    (FUNCTION, "gen_salt", "pgcrypto"),
    (FUNCTION, "hmac", "pgcrypto"),
    (FUNCTION, "pgp_sym_decrypt", "pgcrypto"),
    (FUNCTION, "pgp_sym_encrypt", "pgcrypto"),
    (FUNCTION, "similarity", "pg_trgm"),
    (FUNCTION, "word_similarity", "pg_trgm"),
    ("operator class", "gin_trgm_ops", "pg_trgm"),
    ("operator class", "gist_trgm_ops", "pg_trgm"),
    (FUNCTION, "unaccent", "unaccent"),
    (FUNCTION, "levenshtein", "fuzzystrmatch"),
    (FUNCTION, "soundex", "fuzzystrmatch"),
    (FUNCTION, "crosstab", "tablefunc"),
    ("operator class", "gin__int_ops", "intarray"),
    (FUNCTION, "ll_to_earth", "earthdistance"),
    (FUNCTION, "earth_distance", "earthdistance"),
    (SCHEMA, "cron", "pg_cron"),
    (SCHEMA, "net", "pg_net"),
];

/// The extension that has the object.
pub fn extension_of(kind: &str, name: &str) -> Option<&'static str> {
    let known = KNOWN.iter().find(|known| known.0 == space(kind) && known.1 == name)?;
    Some(known.2)
}
