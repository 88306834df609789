-- Projects: what the tokens of one name may use together. A token carries its project's name; a name
-- without a row here is only booked on.
CREATE TABLE projects (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
