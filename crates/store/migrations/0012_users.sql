-- Users and service accounts. A user of an identity provider is known by what the provider calls it for good.
CREATE TABLE users (
    id       TEXT NOT NULL PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    provider TEXT,
    subject  TEXT,
    body     TEXT NOT NULL,
    CHECK ((provider IS NULL) = (subject IS NULL))
) STRICT;
CREATE UNIQUE INDEX users_of_providers ON users (provider, subject) WHERE provider IS NOT NULL;

-- Roles beside those that are built in.
CREATE TABLE roles (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

-- What tokens are searched and sorted by. `last_used` is written in batches, some seconds late.
ALTER TABLE tokens ADD COLUMN owner TEXT;
ALTER TABLE tokens ADD COLUMN project TEXT;
ALTER TABLE tokens ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN last_used INTEGER;
UPDATE tokens SET
    project = json_extract(body, '$.project'),
    created_at = coalesce(
        CAST(strftime('%s', json_extract(body, '$.created_at')) AS INTEGER) * 1000
            + CAST(substr(strftime('%f', json_extract(body, '$.created_at')), 4) AS INTEGER),
        0
    );
CREATE INDEX tokens_of_owners ON tokens (owner) WHERE owner IS NOT NULL;
CREATE INDEX tokens_of_projects ON tokens (project) WHERE project IS NOT NULL;
CREATE INDEX tokens_by_age ON tokens (created_at, id);

-- What kind each event is of. Those of kind `audit` are kept apart from the flood of the others.
ALTER TABLE events ADD COLUMN kind TEXT NOT NULL DEFAULT '';
UPDATE events SET kind = coalesce(json_extract(body, '$.kind'), '');
CREATE INDEX events_of_kinds ON events (kind, id);
CREATE INDEX events_told ON events (id) WHERE kind <> 'audit';
