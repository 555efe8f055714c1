CREATE TABLE releases (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    service TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'held', 'promoted', 'rolled back')),
    intent TEXT NOT NULL CHECK (intent IN ('', 'promote', 'roll back')),
    changes INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX releases_one_open ON releases (service) WHERE state IN ('running', 'held');
CREATE TABLE release_events (
    id INTEGER PRIMARY KEY,
    release_id TEXT NOT NULL REFERENCES releases (id),
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX release_events_of ON release_events (release_id, id);
