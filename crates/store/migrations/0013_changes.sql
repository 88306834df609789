-- What has changed, so that whoever follows the wishes reads none again that has not. `deployments` and `routes` among the counters
-- rise with every change; a wish carries the count of its own last one, and the names of those that went are kept for a while.
-- Triggers do it: a change and its count are one commit, whoever writes.
INSERT INTO counters (name, value) VALUES ('deployments', 0), ('routes', 0);
ALTER TABLE deployments ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deployments_by_change ON deployments (change);
CREATE TABLE deployments_gone (
    name   TEXT    NOT NULL PRIMARY KEY,
    change INTEGER NOT NULL
) STRICT;
CREATE INDEX deployments_gone_by_change ON deployments_gone (change);

CREATE TRIGGER deployments_came AFTER INSERT ON deployments BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'deployments';
    UPDATE deployments SET change = (SELECT value FROM counters WHERE name = 'deployments') WHERE name = new.name;
    DELETE FROM deployments_gone WHERE name = new.name;
END;

-- What is written again as it was is no change.
CREATE TRIGGER deployments_changed AFTER UPDATE OF spec, generation, origin, deleting, created_at, updated_at, cause ON deployments
WHEN new.spec <> old.spec OR new.generation <> old.generation OR new.origin <> old.origin OR new.deleting <> old.deleting
    OR new.created_at <> old.created_at OR new.updated_at <> old.updated_at OR new.cause <> old.cause
BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'deployments';
    UPDATE deployments SET change = (SELECT value FROM counters WHERE name = 'deployments') WHERE name = new.name;
END;

CREATE TRIGGER deployments_went AFTER DELETE ON deployments BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'deployments';
    INSERT INTO deployments_gone (name, change) VALUES (old.name, (SELECT value FROM counters WHERE name = 'deployments'));
    -- Who has missed more than so many changes reads everything.
    DELETE FROM deployments_gone WHERE change <= (SELECT value FROM counters WHERE name = 'deployments') - 1024;
END;

CREATE TRIGGER routes_came AFTER INSERT ON routes BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'routes';
END;
CREATE TRIGGER routes_changed AFTER UPDATE ON routes BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'routes';
END;
CREATE TRIGGER routes_went AFTER DELETE ON routes BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'routes';
END;
