-- Secrets, sealed. `sealed` is the value under a data key of its own, `wrapped` that data key under the master key that is called `master`.
CREATE TABLE secrets (
    name       TEXT    NOT NULL PRIMARY KEY,
    master     TEXT    NOT NULL,
    wrapped    BLOB    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
