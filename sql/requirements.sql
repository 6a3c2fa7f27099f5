-- Every name below is qualified with the extension's schema, so only Postgres' own operators and types are found by
-- search_path: objects that exist in the target schema cannot change what the script does.
SET LOCAL search_path = pg_catalog, pg_temp;

-- What the database must provide before anything is created.
DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'pg_versioned needs a database with encoding UTF8, this one has %',
            pg_catalog.getdatabaseencoding()
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Create a database with ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END
$$;

-- What views, policies and upgrades need but clients should not use is in a separate schema, which is not to be exposed.
CREATE SCHEMA versioned_internal;
COMMENT ON SCHEMA versioned_internal IS
    'What the views and policies of pg_versioned need. Not for use by clients: do not expose it through an API.';
