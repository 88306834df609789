-- What sources beyond this machine meant when they were last fetched: their files by digest, and when somebody last wanted them.
CREATE TABLE fetched (
    source  TEXT    NOT NULL PRIMARY KEY,
    body    TEXT    NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;
