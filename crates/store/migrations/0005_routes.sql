-- Public model names with several deployments behind them. A deployment is named, not referenced: a route outlives
-- one that leaves, and finds it again when it comes back.
CREATE TABLE routes (
    name       TEXT    NOT NULL PRIMARY KEY,
    spec       TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    origin     TEXT    NOT NULL CHECK (origin IN ('config', 'api')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
