-- Answers of /v1/responses that a client may go on with or fetch again. `owner` is the project or
-- token that may see it; `body` is the response and the conversation before it, as the gateway writes it.
CREATE TABLE responses (
    id         TEXT    NOT NULL PRIMARY KEY,
    owner      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT;
CREATE INDEX responses_by_age ON responses (created_at);
