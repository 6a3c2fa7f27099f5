-- What the suite needs beside the extension. A new database; the roles may be there already.
SET client_min_messages = warning;
CREATE SCHEMA versioned;
CREATE EXTENSION pg_versioned SCHEMA versioned;

-- The users of these tests save faster than people type, except those whose JWT has another plan.
ALTER DATABASE rpc SET pg_versioned.save_rate = 0;

-- PostgREST runs this before each request. SECURITY DEFINER, because the limits are a superuser's to set.
CREATE FUNCTION public.limit_by_plan() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF current_setting('request.jwt.claims', true)::json ->> 'plan' = 'free' THEN
        PERFORM set_config('pg_versioned.save_rate', '5', true), set_config('pg_versioned.save_burst', '3', true);
    END IF;
END
$$;

-- PostgREST begins a transaction with these settings of the role that the JWT names.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rpc_repeatable_read') THEN
        CREATE ROLE rpc_repeatable_read NOLOGIN;
    END IF;
END
$$;
ALTER ROLE rpc_repeatable_read SET default_transaction_isolation = 'repeatable read';
ALTER ROLE rpc_repeatable_read SET lock_timeout = '2s';
GRANT authenticated TO rpc_repeatable_read;

GRANT anon, authenticated, service_role, rpc_repeatable_read TO authenticator;

-- A table of the application's own, which is protected. Its users may only insert and read, and only what is theirs.
CREATE SCHEMA app;
CREATE TABLE app.prompt_version (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    prompt_id   uuid NOT NULL,
    version     integer NOT NULL,
    is_active   boolean,
    previous_id uuid,
    author      uuid DEFAULT (current_setting('request.jwt.claims')::json ->> 'sub')::uuid
);
CREATE TABLE app.checked_version (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), prompt_id uuid NOT NULL, version integer);
ALTER TABLE app.prompt_version ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.prompt_version TO authenticated
    USING (author = (current_setting('request.jwt.claims')::json ->> 'sub')::uuid);
SELECT count(*) > 0 AS protected
  FROM versioned.enable_versioning('app.prompt_version', ARRAY['prompt_id'], 'version', 'is_active', 'previous_id');
SELECT count(*) > 0 AS protected
  FROM versioned.enable_versioning('app.checked_version', ARRAY['prompt_id'], 'version', p_on_explicit => 'error');
GRANT USAGE ON SCHEMA app TO authenticated;
GRANT SELECT, INSERT ON app.prompt_version, app.checked_version TO authenticated;
