-- Deployments and models may belong to a project; what is there belongs to none. The name of the project stands in the wish and in the card;
-- these columns only read it, so that what a project has is counted without reading all that there is.
ALTER TABLE deployments ADD COLUMN project TEXT GENERATED ALWAYS AS (spec ->> '$.project') VIRTUAL;
ALTER TABLE models      ADD COLUMN project TEXT GENERATED ALWAYS AS (body ->> '$.card.project') VIRTUAL;
CREATE INDEX deployments_by_project ON deployments (project) WHERE project IS NOT NULL;
CREATE INDEX models_by_project      ON models (project)      WHERE project IS NOT NULL;

-- Tokens that logins have made, by when they end (RFC 3339, in UTC, to the millisecond: as text they stand in the order of time).
ALTER TABLE tokens ADD COLUMN login_end TEXT GENERATED ALWAYS AS (CASE WHEN body ->> '$.from_login' THEN body ->> '$.expires_at' END) VIRTUAL;
CREATE INDEX tokens_of_logins ON tokens (login_end) WHERE login_end IS NOT NULL;

-- Files that were sent whole, and by whom: who has sent one may make a model of it. The newest are kept.
CREATE TABLE uploads (
    digest  TEXT    NOT NULL,
    who     TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (digest, who)
) STRICT;
CREATE INDEX uploads_by_time ON uploads (at);
