-- What instances were seen to take of a device: the most of any with this model, build of the engine and arguments.
CREATE TABLE footprints (
    digest    TEXT    NOT NULL,
    build     TEXT    NOT NULL,
    arguments TEXT    NOT NULL,
    device    TEXT    NOT NULL,
    bytes     INTEGER NOT NULL,
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (digest, build, arguments, device)
) STRICT;
CREATE INDEX footprints_by_age ON footprints (seen_at);
