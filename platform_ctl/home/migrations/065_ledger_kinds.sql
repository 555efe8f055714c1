-- The run's Ray and the orchestrator are kinds of their own; a note says what cut work short;
-- what a task spent stays when a later attempt of it is served from the cache.
CREATE TABLE ledger_065 (
    run_id          TEXT NOT NULL,
    task            TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('step', 'tune', 'ray', 'canary', 'orchestrator')),
    wall_s          REAL NOT NULL,
    cpu_s           REAL NOT NULL,
    money           REAL NOT NULL,
    trials          INTEGER NOT NULL DEFAULT 0,
    saved_by_cache  INTEGER NOT NULL DEFAULT 0 CHECK (saved_by_cache IN (0, 1)),
    note            TEXT NOT NULL DEFAULT '',
    recorded_at     TEXT NOT NULL,
    PRIMARY KEY (run_id, task, kind, saved_by_cache)
) STRICT;
INSERT INTO ledger_065
    SELECT run_id, task, CASE kind WHEN 'train' THEN 'ray' ELSE kind END, wall_s, cpu_s, money,
        trials, saved_by_cache, '', recorded_at
    FROM ledger;
DROP TABLE ledger;
ALTER TABLE ledger_065 RENAME TO ledger;
