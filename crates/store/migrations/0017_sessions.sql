-- Logins of browsers. `hash` is of what stands in the cookie; who has neither the cookie nor the text of it opens nothing with this.
CREATE TABLE sessions (
    hash    TEXT    NOT NULL PRIMARY KEY,
    until   INTEGER NOT NULL,
    body    TEXT    NOT NULL
) STRICT;
CREATE INDEX sessions_by_end ON sessions (until);
