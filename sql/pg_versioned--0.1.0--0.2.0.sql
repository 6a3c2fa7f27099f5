\echo Use "ALTER EXTENSION pg_versioned UPDATE TO '0.2.0'" to load this file. \quit

-- Every change that was made to the files in sql/ since 0.1.0. Tables are altered in the order in which they are created:
-- saves lock them in that order.
SET LOCAL search_path = pg_catalog, pg_temp;
