-- Recurring runs of this machine, what they started, and what their conditions remember.
-- Slots and the times beside them are seconds since the epoch, UTC.

ALTER TABLE runs ADD COLUMN scheduled_at TEXT NOT NULL DEFAULT '';

CREATE TABLE recurring_runs (
    seq          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    key          TEXT NOT NULL,             -- team/name
    display_name TEXT NOT NULL,
    description  TEXT NOT NULL,
    spec         TEXT NOT NULL,             -- JSON
    compiled     BLOB NOT NULL,
    enabled      INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    deleted      INTEGER NOT NULL DEFAULT 0 -- its starts outlive it
) STRICT;

CREATE TABLE schedule_starts (
    submission       TEXT PRIMARY KEY,      -- idempotency key of the run
    key              TEXT NOT NULL,
    slot             INTEGER,               -- NULL for a start without a clock
    recurring_run_id TEXT NOT NULL,
    reason           TEXT NOT NULL,
    evidence         TEXT NOT NULL,
    claimed_at       INTEGER NOT NULL,
    run_id           TEXT NOT NULL DEFAULT '',
    ended            TEXT NOT NULL DEFAULT '', -- final state of the run
    UNIQUE (key, slot)
) STRICT;
CREATE INDEX schedule_starts_open ON schedule_starts (key) WHERE ended = '';
CREATE INDEX schedule_starts_run ON schedule_starts (run_id);
CREATE INDEX schedule_starts_version ON schedule_starts (recurring_run_id, slot);

CREATE TABLE schedule_counts (
    key     TEXT NOT NULL,
    counted TEXT NOT NULL,                  -- held, missed, suppressed
    reason  TEXT NOT NULL,
    value   INTEGER NOT NULL,
    slot    INTEGER NOT NULL,               -- counted last
    PRIMARY KEY (key, counted, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE schedule_pauses (
    key        TEXT PRIMARY KEY,
    who        TEXT NOT NULL,
    why        TEXT NOT NULL,
    at         INTEGER NOT NULL,
    until      INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE schedule_experiments (
    name        TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    archived    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schedule_triggers (key TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE schedule_engine (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    heartbeat_at INTEGER NOT NULL
) STRICT;
