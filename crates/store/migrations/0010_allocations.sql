-- Memory that is set aside for work that is not ours.
CREATE TABLE allocations (
    id         TEXT    NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT;
