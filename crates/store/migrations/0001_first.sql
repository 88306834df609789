-- What Penstock remembers from one start to the next.
--
-- Values that only our own code reads stand as JSON in one column; what is searched, sorted or held
-- unique has a column of its own. Times are milliseconds since 1970, UTC. A migration that has been
-- released is never edited: the next change is the next file.

-- Single facts about this installation: its id.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Numbers that only rise: the fence that every order carries.
CREATE TABLE counters (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO counters (name, value) VALUES ('fence', 0);

-- The wishes. `generation` rises by one with every change of `spec`; `deleting` is set until the
-- last instance has gone.
CREATE TABLE deployments (
    name       TEXT    NOT NULL PRIMARY KEY,
    spec       TEXT    NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    origin     TEXT    NOT NULL CHECK (origin IN ('config', 'api')),
    deleting   INTEGER NOT NULL CHECK (deleting IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- Wishes frozen together with the version of the model that they resolved to.
CREATE TABLE revisions (
    deployment TEXT    NOT NULL REFERENCES deployments (name) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    PRIMARY KEY (deployment, number)
) STRICT;

-- The registry: a model with its tags and versions.
CREATE TABLE models (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

-- What was decided to run, written before it is started, so that a crash in between is found again.
-- `key` is the engine's own key; the database file can be read by its owner only.
CREATE TABLE instances (
    id         TEXT    NOT NULL PRIMARY KEY,
    deployment TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    key        TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX instances_of ON instances (deployment, revision);

-- Access tokens; `hash` is all that is kept of the token itself.
CREATE TABLE tokens (
    id   TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;

-- The story, in the order in which it was stored. AUTOINCREMENT: an id is never used again, so a
-- watcher that knows the last id it saw misses nothing and sees nothing twice.
CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    deployment TEXT,
    body       TEXT NOT NULL
) STRICT;
CREATE INDEX events_of ON events (deployment, id) WHERE deployment IS NOT NULL;

-- Durable jobs.
CREATE TABLE operations (
    id         TEXT    NOT NULL PRIMARY KEY,
    over       INTEGER NOT NULL CHECK (over IN (0, 1)),
    created_at INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT;
CREATE INDEX operations_by_age ON operations (created_at);

-- One row for each call.
CREATE TABLE usage (
    request_id        TEXT    NOT NULL PRIMARY KEY,
    at                INTEGER NOT NULL,
    token             TEXT,
    project           TEXT,
    model             TEXT    NOT NULL,
    operation         TEXT    NOT NULL,
    status            INTEGER NOT NULL,
    ending            TEXT    NOT NULL CHECK (ending IN ('completed', 'cancelled', 'failed', 'rejected')),
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    estimated         INTEGER NOT NULL CHECK (estimated IN (0, 1)),
    duration_ms       INTEGER NOT NULL,
    first_byte_ms     INTEGER
) STRICT;
CREATE INDEX usage_by_time ON usage (at);

-- Ids of the older service API and the deployments behind them. An id outlives its deployment, so
-- that a client can still read that its service has been terminated.
CREATE TABLE services (
    id         TEXT    NOT NULL PRIMARY KEY,
    deployment TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
