-- Receivers of events. `after` is the last event that one has, or that was passed over; `target` a digest of its URL; `sent` and
-- `dropped` count for ever; `disabled` says why it is sent nothing any more.
CREATE TABLE webhooks (
    name     TEXT    NOT NULL PRIMARY KEY,
    target   TEXT    NOT NULL,
    after    INTEGER NOT NULL,
    sent     INTEGER NOT NULL,
    dropped  INTEGER NOT NULL,
    disabled TEXT
) STRICT;
