-- Calls, many to a page. `body` is a JSON array of calls as their journal has them: the call at index i of a
-- page stands at the place `place + i` of its journal; 0 marks a place whose call is not in this page. All calls of a
-- page began in the same minute, from `first_at` to `last_at`, so that a span of time finds its pages by `first_at`.
CREATE TABLE call_pages (
    first_at INTEGER NOT NULL,
    journal  INTEGER NOT NULL,
    place    INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    calls    INTEGER NOT NULL CHECK (calls > 0),
    body     TEXT    NOT NULL,
    PRIMARY KEY (first_at, journal, place)
) STRICT;

-- What was kept one by one: a page for each, so that any number of them needs no more memory than one.
INSERT INTO call_pages (first_at, journal, place, last_at, calls, body)
SELECT at, journal, place, at, 1, json_array(json_array(at, request_id, token, project, model, deployment, instance, operation, status,
    ending, error, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, estimated, cost, duration_ms, first_byte_ms,
    wait_ms, retries))
FROM calls;

DROP TABLE calls;

-- The calls one by one, for a person to look at. A condition on `first_at` and `last_at`, which are those of the page, spares
-- reading the pages outside.
CREATE VIEW calls AS
SELECT
    call.value ->> 0      AS at,
    page.journal          AS journal,
    page.place + call.key AS place,
    call.value ->> 1      AS request_id,
    call.value ->> 2      AS token,
    call.value ->> 3      AS project,
    call.value ->> 4      AS model,
    call.value ->> 5      AS deployment,
    call.value ->> 6      AS instance,
    call.value ->> 7      AS operation,
    call.value ->> 8      AS status,
    call.value ->> 9      AS ending,
    call.value ->> 10     AS error,
    call.value ->> 11     AS prompt_tokens,
    call.value ->> 12     AS cached_tokens,
    call.value ->> 13     AS completion_tokens,
    call.value ->> 14     AS reasoning_tokens,
    call.value ->> 15     AS estimated,
    call.value ->> 16     AS cost,
    call.value ->> 17     AS duration_ms,
    call.value ->> 18     AS first_byte_ms,
    call.value ->> 19     AS wait_ms,
    call.value ->> 20     AS retries,
    page.first_at         AS first_at,
    page.last_at          AS last_at
FROM call_pages AS page, json_each(page.body) AS call
WHERE call.type = 'array';
