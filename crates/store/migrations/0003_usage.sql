-- Calls, by when they began. A call is known by the journal that it was written to and its place
-- there, so that a client may use a request id as often as it likes, and a call that is brought twice
-- is kept once. `cost` is in billionths of a US dollar.
CREATE TABLE calls (
    at                INTEGER NOT NULL,
    journal           INTEGER NOT NULL,
    place             INTEGER NOT NULL,
    request_id        TEXT    NOT NULL,
    token             TEXT,
    project           TEXT,
    model             TEXT    NOT NULL,
    deployment        TEXT,
    instance          TEXT,
    operation         TEXT    NOT NULL,
    status            INTEGER NOT NULL,
    ending            TEXT    NOT NULL CHECK (ending IN ('completed', 'cancelled', 'failed', 'rejected')),
    error             TEXT,
    prompt_tokens     INTEGER NOT NULL,
    cached_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    reasoning_tokens  INTEGER NOT NULL,
    estimated         INTEGER NOT NULL CHECK (estimated IN (0, 1)),
    cost              INTEGER NOT NULL,
    duration_ms       INTEGER NOT NULL,
    first_byte_ms     INTEGER,
    wait_ms           INTEGER NOT NULL,
    retries           INTEGER NOT NULL,
    PRIMARY KEY (at, journal, place)
) STRICT, WITHOUT ROWID;

-- How far each journal has been brought in; changed together with the calls themselves.
CREATE TABLE journals (
    id    INTEGER NOT NULL PRIMARY KEY,
    place INTEGER NOT NULL
) STRICT;

-- The same calls, summed by the full hour (UTC) in which they began. They are kept longer than the calls
-- and answer every question about more than an hour. `''` stands for none, since a key has no NULL.
CREATE TABLE call_hours (
    hour              INTEGER NOT NULL,
    token             TEXT    NOT NULL,
    project           TEXT    NOT NULL,
    model             TEXT    NOT NULL,
    deployment        TEXT    NOT NULL,
    operation         TEXT    NOT NULL,
    ending            TEXT    NOT NULL,
    calls             INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    cached_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    reasoning_tokens  INTEGER NOT NULL,
    estimated         INTEGER NOT NULL,
    cost              INTEGER NOT NULL,
    duration_ms       INTEGER NOT NULL,
    wait_ms           INTEGER NOT NULL,
    retries           INTEGER NOT NULL,
    PRIMARY KEY (hour, token, project, model, deployment, operation, ending)
) STRICT, WITHOUT ROWID;

INSERT INTO calls
SELECT at, 0, rowid, request_id, token, project, model, CASE ending WHEN 'rejected' THEN NULL ELSE model END, NULL, operation,
    status, ending, NULL, prompt_tokens, 0, completion_tokens, 0, estimated, 0, duration_ms, first_byte_ms, 0, 0
FROM usage;

INSERT INTO call_hours
SELECT at / 3600000 * 3600000, coalesce(token, ''), coalesce(project, ''), CASE WHEN deployment IS NULL THEN '' ELSE model END,
    coalesce(deployment, ''), operation, ending, count(*), sum(prompt_tokens), 0, sum(completion_tokens), 0, sum(estimated), 0,
    sum(duration_ms), 0, 0
FROM calls GROUP BY 1, 2, 3, 4, 5, 6, 7;

DROP TABLE usage;
