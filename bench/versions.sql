-- What the section versions saves, and how it measures single calls.

-- A change of 32 bytes to a file of 2 KB.
CREATE FUNCTION bench.save(p_project uuid, p_file integer, p_change integer) RETURNS void LANGUAGE sql AS $$
    SELECT FROM bench.texts, versioned.atomic_upsert_project_file(p_project, 'src/file' || p_file || '.ts',
        overlay(body PLACING md5(format('%s %s', p_file, p_change)) FROM 1 + p_change % 2000 * 31 % 2000), 'typescript')
     WHERE n = 1 + p_file % 2000
$$;

-- Each round saves each of the files once. Transactions of at most 100 files, so that none holds the whole project.
CREATE PROCEDURE bench.save_rounds(p_project uuid, p_files int4range, p_changes int4range) LANGUAGE plpgsql AS $$
BEGIN
    FOR v_change IN lower(p_changes)..upper(p_changes) - 1 LOOP
        FOR v_file IN lower(p_files)..upper(p_files) - 1 LOOP
            PERFORM bench.save(p_project, v_file, v_change);
            IF v_file % 100 = 0 THEN COMMIT; END IF;
        END LOOP;
        COMMIT;
    END LOOP;
END
$$;

CREATE FUNCTION bench.make_version(p_project uuid) RETURNS text LANGUAGE sql AS $$
    SELECT v.version_id
      FROM versioned.start_project_build(p_project) b, versioned.create_version_on_success(p_project, b.build_id) v
$$;

-- Versions with one changed file each.
CREATE PROCEDURE bench.make_versions(p_project uuid, p_count integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR v_change IN 1..p_count LOOP
        PERFORM bench.save(p_project, 1, v_change);
        PERFORM bench.make_version(p_project);
        COMMIT;
    END LOOP;
END
$$;

-- What a call took and wrote, by itself: its commit is not in it, nor what other sessions wrote.
CREATE TABLE bench.calls (workload text, peer text, microseconds numeric, wal_bytes numeric);
CREATE PROCEDURE bench.measure(p_workload text, p_peer text, p_call text) LANGUAGE plpgsql AS $$
DECLARE
    v_plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, WAL, TIMING OFF, FORMAT JSON) SELECT ' || p_call INTO v_plan;
    INSERT INTO bench.calls VALUES (
        p_workload, p_peer, 1000 * (v_plan -> 0 ->> 'Execution Time')::numeric,
        (v_plan #>> '{0, Plan, WAL Bytes}')::numeric);
    COMMIT;
END
$$;

-- Saves files, and measures the version that is made of them.
CREATE PROCEDURE bench.measure_version(p_workload text, p_peer text, p_project uuid, p_files int4range, p_change integer)
    LANGUAGE plpgsql AS $$
DECLARE
    v_build text;
BEGIN
    CALL bench.save_rounds(p_project, p_files, int4range(p_change, p_change + 1));
    SELECT build_id INTO v_build FROM versioned.start_project_build(p_project);
    COMMIT;
    CALL bench.measure(p_workload, p_peer, format('versioned.create_version_on_success(%L, %L)', p_project, v_build));
END
$$;
