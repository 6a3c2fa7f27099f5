-- ULIDs: 48 bits of milliseconds, 80 bits of randomness, 26 characters of Crockford's base 32.
-- https://github.com/ulid/spec

CREATE FUNCTION @extschema@.generate_ulid() RETURNS text
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'generate_ulid_wrapper';
COMMENT ON FUNCTION @extschema@.generate_ulid() IS
    'A new ULID: 26 characters, never NULL, strictly increasing within a session even inside one millisecond.';

CREATE FUNCTION @extschema@.ulid_to_timestamp(p_ulid text) RETURNS timestamptz
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'ulid_to_timestamp_wrapper';
COMMENT ON FUNCTION @extschema@.ulid_to_timestamp(text) IS
    'The time at which a ULID was generated, to the millisecond. 22023 if the text is not a ULID.';

CREATE FUNCTION @extschema@.ulid_to_uuid(p_ulid text) RETURNS uuid
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'ulid_to_uuid_wrapper';
COMMENT ON FUNCTION @extschema@.ulid_to_uuid(text) IS
    'The same 128 bits as a uuid; sorts alike. 22023 if the text is not a ULID.';

CREATE FUNCTION @extschema@.uuid_to_ulid(p_uuid uuid) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'uuid_to_ulid_wrapper';
COMMENT ON FUNCTION @extschema@.uuid_to_ulid(uuid) IS
    'The same 128 bits as a ULID; the inverse of ulid_to_uuid.';

CREATE FUNCTION @extschema@.is_ulid(p_text text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'is_ulid_wrapper';
COMMENT ON FUNCTION @extschema@.is_ulid(text) IS
    'Whether a text is a ULID (either case, at most 7ZZZZZZZZZZZZZZZZZZZZZZZZZ). Never raises an error.';
