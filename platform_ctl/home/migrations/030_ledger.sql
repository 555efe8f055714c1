-- What runs cost, and what the cache saved them. One row for each kind of work of a task;
-- writing it again (a retry, a resume) replaces it.
CREATE TABLE ledger (
    run_id          TEXT NOT NULL,
    task            TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('step', 'tune', 'train', 'canary')),
    wall_s          REAL NOT NULL,
    cpu_s           REAL NOT NULL,
    money           REAL NOT NULL,
    trials          INTEGER NOT NULL DEFAULT 0,
    saved_by_cache  INTEGER NOT NULL DEFAULT 0 CHECK (saved_by_cache IN (0, 1)),
    recorded_at     TEXT NOT NULL,
    PRIMARY KEY (run_id, task, kind)
) STRICT;
