//! A chain as long as those of projects that are years old, with what such chains have in them: every change of tables,
//! enums, functions, policies, views and data that the migrations of eleven public projects make (see
//! `tests/migrations/README.md`).

use super::Migration;

/// How many migrations one feature takes in its life.
const STAGES: usize = 10;

/// Features of an application, each of which grows by ten migrations, interleaved; the same on every call.
pub fn chain(features: usize) -> Vec<Migration> {
    let mut chain = Vec::new();
    for stage in 0..STAGES {
        for feature in 0..features {
            let name = format!("{:04}_{stage}_feature_{feature}", chain.len() + 1);
            chain.push((name, migration(feature, stage)));
        }
    }
    chain
}

fn migration(f: usize, stage: usize) -> String {
    match stage {
        0 => format!(
            r#"-- CreateEnum
CREATE TYPE "Status{f}" AS ENUM ('DRAFT', 'LIVE');

-- CreateTable
CREATE TABLE "Feature{f}" (
    "id" TEXT NOT NULL,
    "status" "Status{f}" NOT NULL DEFAULT 'DRAFT',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "title" TEXT NOT NULL,
    "tags" TEXT[],
    "legacy" INTEGER,

    CONSTRAINT "Feature{f}_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "public"."Entry{f}" (
    id bigserial PRIMARY KEY,
    "featureId" text NOT NULL,
    amount numeric(12, 2) DEFAULT 0 CHECK (amount >= 0),
    "order" integer
);
INSERT INTO "Feature{f}" ("id", "title", "legacy") SELECT 'seed-' || n, 'semicolons; ''quotes'' -- no comment', n FROM generate_series(1, 3) n;
"#
        ),
        1 => format!(
            r#"-- AddForeignKey
ALTER TABLE "Entry{f}" ADD CONSTRAINT "Entry{f}_featureId_fkey" FOREIGN KEY ("featureId") REFERENCES "Feature{f}"("id") ON DELETE CASCADE ON UPDATE CASCADE;--> statement-breakpoint
CREATE UNIQUE INDEX "Entry{f}_order_key" ON "Entry{f}"("featureId", "order");--> statement-breakpoint
ALTER TYPE "Status{f}" ADD VALUE 'ARCHIVED';
"#
        ),
        2 => format!(
            r#"UPDATE "Feature{f}" SET "status" = 'ARCHIVED' WHERE "legacy" = 2;
ALTER TABLE "Feature{f}" ALTER COLUMN "status" SET DEFAULT 'ARCHIVED',
    ADD COLUMN IF NOT EXISTS "settings" JSONB NOT NULL DEFAULT '{{}}';
ALTER TABLE "Feature{f}" RENAME COLUMN "title" TO "name";
"#
        ),
        3 => format!(
            r#"CREATE INDEX CONCURRENTLY IF NOT EXISTS "Feature{f}_name_idx" ON "Feature{f}"("name" text_pattern_ops);"#
        ),
        4 => format!(
            r#"BEGIN;
CREATE OR REPLACE FUNCTION touch_{f}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.settings := NEW.settings || jsonb_build_object('touched', true); -- a ; in a body
    RETURN NEW;
END
$body$;
CREATE TRIGGER touch_{f} BEFORE UPDATE ON "Feature{f}" FOR EACH ROW EXECUTE FUNCTION touch_{f}();
COMMIT;
"#
        ),
        5 => format!(
            r#"ALTER TABLE "Feature{f}" ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS "Owners read" ON "Feature{f}";
CREATE POLICY "Owners read" ON "Feature{f}" FOR SELECT TO public USING (status <> 'ARCHIVED'::"Status{f}");
CREATE VIEW live_{f} AS SELECT f.*, (SELECT count(*) FROM "Entry{f}" e WHERE e."featureId" = f.id) AS entries FROM "Feature{f}" f;
"#
        ),
        6 => format!(
            r#"DO $$ BEGIN
    IF to_regtype('level_{f}') IS NULL THEN
        CREATE DOMAIN level_{f} AS smallint CHECK (VALUE BETWEEN 0 AND 9);
    END IF;
    EXECUTE format('ALTER TABLE %I ADD COLUMN level level_{f}', 'Entry{f}');
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
DO $$ BEGIN
    ALTER TABLE "Entry{f}" ADD CONSTRAINT "Entry{f}_featureId_fkey" FOREIGN KEY ("featureId") REFERENCES "Feature{f}"("id");
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
"#
        ),
        7 => format!(
            r#"DROP VIEW live_{f};
-- AlterEnum, as Prisma removes a value
BEGIN;
CREATE TYPE "Status{f}_new" AS ENUM ('DRAFT', 'LIVE', 'ARCHIVED', 'GONE');
ALTER TABLE "Feature{f}" ALTER COLUMN "status" DROP DEFAULT;
DROP POLICY "Owners read" ON "Feature{f}";
ALTER TABLE "Feature{f}" ALTER COLUMN "status" TYPE "Status{f}_new" USING ("status"::text::"Status{f}_new");
ALTER TYPE "Status{f}" RENAME TO "Status{f}_old";
ALTER TYPE "Status{f}_new" RENAME TO "Status{f}";
DROP TYPE "Status{f}_old";
ALTER TABLE "Feature{f}" ALTER COLUMN "status" SET DEFAULT 'DRAFT';
COMMIT;
ALTER TABLE "Feature{f}" DROP COLUMN "legacy";
"#
        ),
        8 => format!(
            r#"CREATE TABLE "Event{f}" (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, payload jsonb, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE "Event{f}_2025" PARTITION OF "Event{f}" FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE "Event{f}_rest" PARTITION OF "Event{f}" DEFAULT;
CREATE INDEX ON "Event{f}" USING gin (payload);
INSERT INTO "Event{f}" (at, payload) VALUES ('2025-06-01', '{{"a": 1}}'), ('2031-01-01', NULL);
CREATE MATERIALIZED VIEW per_day_{f} AS SELECT date_trunc('day', at) AS day, count(*) AS n FROM "Event{f}" GROUP BY 1 WITH NO DATA;
CREATE STATISTICS together_{f} (dependencies) ON "featureId", "order" FROM "Entry{f}";
"#
        ),
        _ => format!(
            r#"ALTER TABLE "Entry{f}" RENAME TO "Item{f}";
ALTER INDEX "Entry{f}_order_key" RENAME TO "Item{f}_order_key";
ALTER TABLE "Item{f}" ALTER COLUMN amount TYPE bigint USING round(amount * 100), ALTER COLUMN amount SET NOT NULL;
ALTER TABLE "Item{f}" ADD CONSTRAINT "Item{f}_previous" FOREIGN KEY ("order") REFERENCES "Item{f}" (id) DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE "Item{f}" VALIDATE CONSTRAINT "Item{f}_previous";
INSERT INTO "Item{f}" (id, "featureId", "order") VALUES (2, 'seed-1', 1), (1, 'seed-1', NULL);
COMMENT ON TABLE "Item{f}" IS 'It was called entry once';
"#
        ),
    }
}
