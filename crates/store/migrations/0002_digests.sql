-- Digests of files that were hashed before: a file of 40 GB is read once, not at every start. An
-- entry holds for as long as the file's length and time of change (nanoseconds) stay as they were.
CREATE TABLE digests (
    path    BLOB    NOT NULL PRIMARY KEY,
    len     INTEGER NOT NULL,
    mtime   INTEGER NOT NULL,
    digest  TEXT    NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;
CREATE INDEX digests_by_age ON digests (seen_at);
