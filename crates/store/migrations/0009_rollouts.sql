-- How deployments go from one revision to the next. Of a revision: the digest of its model's version, who made it or what did,
-- how it stands, and since when it is there. Of a deployment: its rollout under way, or its last one, as JSON; `serves` and `wanted`
-- are the revisions that it names, which are kept whatever their age.
ALTER TABLE deployments ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE revisions ADD COLUMN digest TEXT;
ALTER TABLE revisions ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE revisions ADD COLUMN status TEXT NOT NULL DEFAULT 'superseded'
    CHECK (status IN ('progressing', 'serving', 'superseded', 'abandoned', 'failed'));
ALTER TABLE revisions ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
UPDATE revisions SET digest = body ->> '$.version.digest';
UPDATE revisions SET created_at = coalesce((SELECT updated_at FROM deployments WHERE name = deployment), 0);

CREATE TABLE rollouts (
    deployment TEXT    NOT NULL PRIMARY KEY REFERENCES deployments (name) ON DELETE CASCADE,
    serves     INTEGER,
    wanted     INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT;
