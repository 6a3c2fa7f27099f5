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
