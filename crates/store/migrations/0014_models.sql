-- The registry grows: what people say of a model, versions with a row each, the story of the tags, and what is searched.
--
-- `body` of a model holds its card, its source and its tags; `words` all that a search looks through, in small letters.
ALTER TABLE models ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE models ADD COLUMN words      TEXT    NOT NULL DEFAULT '';
ALTER TABLE models ADD COLUMN deprecated INTEGER NOT NULL DEFAULT 0 CHECK (deprecated IN (0, 1));
UPDATE models SET words = lower(name);

-- What a list is filtered by: `kind` is format, capability or label, `word` what it says (of a label `key=value`).
CREATE TABLE model_traits (
    model TEXT NOT NULL REFERENCES models (name) ON DELETE CASCADE,
    kind  TEXT NOT NULL CHECK (kind IN ('format', 'capability', 'label')),
    word  TEXT NOT NULL,
    PRIMARY KEY (model, kind, word)
) STRICT;
CREATE INDEX model_traits_by_word ON model_traits (kind, word, model);

-- Immutable versions; the one with the highest `place` is the newest.
CREATE TABLE model_versions (
    model  TEXT    NOT NULL REFERENCES models (name) ON DELETE CASCADE,
    digest TEXT    NOT NULL,
    place  INTEGER NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (model, digest)
) STRICT;
CREATE INDEX model_versions_by_digest ON model_versions (digest);
INSERT INTO model_versions (model, digest, place, body)
    SELECT name, each.value ->> '$.digest', json_array_length(models.body, '$.versions') - each.key, each.value
    FROM models, json_each(models.body, '$.versions') AS each;
INSERT INTO model_traits (model, kind, word)
    SELECT DISTINCT name, 'format', each.value ->> '$.format' FROM models, json_each(models.body, '$.versions') AS each;
UPDATE models SET body = json_remove(body, '$.versions');

-- Where each tag pointed, and since when. The story outlives its model by nothing: a new model of the same name begins anew.
CREATE TABLE tag_moves (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT    NOT NULL REFERENCES models (name) ON DELETE CASCADE,
    tag   TEXT    NOT NULL,
    body  TEXT    NOT NULL
) STRICT;
CREATE INDEX tag_moves_of ON tag_moves (model, id);

-- Rises with every change of a model, so that whoever follows them sees at once whether there is anything new.
INSERT INTO counters (name, value) VALUES ('models', 0);
