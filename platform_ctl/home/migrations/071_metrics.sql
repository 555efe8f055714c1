-- Totals for metrics, counted where a record changes and in the same transaction: they never go
-- down, whatever is resumed or pruned, and reading them does not depend on how many runs there are.

CREATE TABLE run_totals (
    pipeline      TEXT NOT NULL,
    state         TEXT NOT NULL,
    runs          INTEGER NOT NULL,
    last_ended_at TEXT NOT NULL,
    last_wall_s   REAL NOT NULL,
    PRIMARY KEY (pipeline, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_duration_bounds (upper_bound_s REAL PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO task_duration_bounds VALUES
    (0.1), (0.5), (1), (5), (10), (30), (60), (300), (900), (3600), (14400), (9e999);

CREATE TABLE task_totals (
    pipeline      TEXT NOT NULL,
    task          TEXT NOT NULL,
    state         TEXT NOT NULL,
    upper_bound_s REAL NOT NULL,    -- of task_duration_bounds; 0 for what was not executed
    tasks         INTEGER NOT NULL,
    wall_s        REAL NOT NULL,
    PRIMARY KEY (pipeline, task, state, upper_bound_s)
) STRICT, WITHOUT ROWID;

CREATE TABLE verdict_totals (
    pipeline TEXT NOT NULL,
    task     TEXT NOT NULL,
    verdict  TEXT NOT NULL,
    verdicts INTEGER NOT NULL,
    last_at  TEXT NOT NULL,
    PRIMARY KEY (pipeline, task, verdict)
) STRICT, WITHOUT ROWID;

CREATE TABLE cache_totals (
    pipeline TEXT NOT NULL,
    event    TEXT NOT NULL,         -- HIT, MISS, BYPASS; QUARANTINE: of the pipeline that stored it
    events   INTEGER NOT NULL,
    PRIMARY KEY (pipeline, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE cost_totals (
    pipeline       TEXT NOT NULL,
    kind           TEXT NOT NULL,
    saved_by_cache INTEGER NOT NULL,
    wall_s         REAL NOT NULL,
    cpu_s          REAL NOT NULL,
    money          REAL NOT NULL,
    trials         INTEGER NOT NULL,
    PRIMARY KEY (pipeline, kind, saved_by_cache)
) STRICT, WITHOUT ROWID;

-- What there is already.

INSERT INTO run_totals
    SELECT pipeline, state, count(*), max(coalesce(ended_at, created_at)),
        coalesce((julianday(ended_at) - julianday(started_at)) * 86400.0, 0.0)
    FROM runs WHERE state NOT IN ('PENDING', 'RUNNING') GROUP BY pipeline, state;
INSERT INTO task_totals
    SELECT r.pipeline, t.name, t.state,
        CASE WHEN t.wall_s = 0 THEN 0.0 ELSE
            (SELECT min(upper_bound_s) FROM task_duration_bounds WHERE upper_bound_s >= t.wall_s)
        END AS bound,
        count(*), sum(t.wall_s)
    FROM tasks t JOIN runs r ON r.id = t.run_id
    WHERE t.state NOT IN ('PENDING', 'RUNNING') GROUP BY r.pipeline, t.name, t.state, bound;
INSERT INTO verdict_totals
    SELECT r.pipeline, t.name, json_extract(t.outputs, '$.parameters.verdict') AS verdict,
        count(*), max(coalesce(t.ended_at, r.created_at))
    FROM tasks t JOIN runs r ON r.id = t.run_id
    WHERE t.state IN ('SUCCEEDED', 'CACHED')
        AND json_extract(t.outputs, '$.parameters.verdict') IN
            ('successful', 'failed', 'inconclusive')
    GROUP BY r.pipeline, t.name, verdict;
INSERT INTO cache_totals
    SELECT coalesce(r.pipeline, ''), d.decision, count(*)
    FROM cache_decisions d LEFT JOIN runs r ON r.id = d.run_id GROUP BY r.pipeline, d.decision;
INSERT INTO cache_totals
    SELECT coalesce(r.pipeline, ''), 'QUARANTINE', count(*)
    FROM cache_entries e LEFT JOIN runs r ON r.id = e.run_id
    WHERE e.quarantined <> '' GROUP BY r.pipeline;
INSERT INTO cost_totals
    SELECT coalesce(r.pipeline, ''), l.kind, l.saved_by_cache, sum(l.wall_s), sum(l.cpu_s),
        sum(l.money), sum(l.trials)
    FROM ledger l LEFT JOIN runs r ON r.id = l.run_id GROUP BY r.pipeline, l.kind, l.saved_by_cache;

-- What comes.

CREATE TRIGGER run_ends AFTER UPDATE OF state ON runs
WHEN OLD.state IN ('PENDING', 'RUNNING') AND NEW.state NOT IN ('PENDING', 'RUNNING')
BEGIN
    INSERT INTO run_totals VALUES (
        NEW.pipeline, NEW.state, 1, coalesce(NEW.ended_at, NEW.created_at),
        coalesce((julianday(NEW.ended_at) - julianday(NEW.started_at)) * 86400.0, 0.0)
    ) ON CONFLICT DO UPDATE SET runs = runs + 1, last_ended_at = excluded.last_ended_at,
        last_wall_s = excluded.last_wall_s;
END;

-- A task's record is replaced as a whole whenever it changes; an orphan's is updated.
CREATE TRIGGER task_ends AFTER INSERT ON tasks WHEN NEW.state NOT IN ('PENDING', 'RUNNING')
BEGIN
    INSERT INTO task_totals
        SELECT pipeline, NEW.name, NEW.state,
            CASE WHEN NEW.wall_s = 0 THEN 0.0 ELSE (
                SELECT min(upper_bound_s) FROM task_duration_bounds
                WHERE upper_bound_s >= NEW.wall_s
            ) END,
            1, NEW.wall_s
        FROM runs WHERE id = NEW.run_id
        ON CONFLICT DO UPDATE SET tasks = tasks + 1, wall_s = wall_s + excluded.wall_s;
    INSERT INTO verdict_totals
        SELECT pipeline, NEW.name, json_extract(NEW.outputs, '$.parameters.verdict'), 1,
            coalesce(NEW.ended_at, created_at)
        FROM runs WHERE id = NEW.run_id AND NEW.state IN ('SUCCEEDED', 'CACHED')
            AND json_extract(NEW.outputs, '$.parameters.verdict') IN
                ('successful', 'failed', 'inconclusive')
        ON CONFLICT DO UPDATE SET verdicts = verdicts + 1, last_at = excluded.last_at;
END;
CREATE TRIGGER task_orphaned AFTER UPDATE OF state ON tasks
WHEN OLD.state IN ('PENDING', 'RUNNING') AND NEW.state NOT IN ('PENDING', 'RUNNING')
BEGIN
    INSERT INTO task_totals
        SELECT pipeline, NEW.name, NEW.state, 0.0, 1, NEW.wall_s FROM runs WHERE id = NEW.run_id
        ON CONFLICT DO UPDATE SET tasks = tasks + 1, wall_s = wall_s + excluded.wall_s;
END;

CREATE TRIGGER cache_decided AFTER INSERT ON cache_decisions
BEGIN
    INSERT INTO cache_totals VALUES (
        coalesce((SELECT pipeline FROM runs WHERE id = NEW.run_id), ''), NEW.decision, 1
    ) ON CONFLICT DO UPDATE SET events = events + 1;
END;
CREATE TRIGGER cache_quarantined AFTER UPDATE OF quarantined ON cache_entries
WHEN OLD.quarantined = '' AND NEW.quarantined <> ''
BEGIN
    INSERT INTO cache_totals VALUES (
        coalesce((SELECT pipeline FROM runs WHERE id = NEW.run_id), ''), 'QUARANTINE', 1
    ) ON CONFLICT DO UPDATE SET events = events + 1;
END;

CREATE TRIGGER cost_recorded AFTER INSERT ON ledger
BEGIN
    INSERT INTO cost_totals VALUES (
        coalesce((SELECT pipeline FROM runs WHERE id = NEW.run_id), ''), NEW.kind,
        NEW.saved_by_cache, NEW.wall_s, NEW.cpu_s, NEW.money, NEW.trials
    ) ON CONFLICT DO UPDATE SET wall_s = wall_s + excluded.wall_s, cpu_s = cpu_s + excluded.cpu_s,
        money = money + excluded.money, trials = trials + excluded.trials;
END;
CREATE TRIGGER cost_added AFTER UPDATE ON ledger
BEGIN
    UPDATE cost_totals SET
        wall_s = wall_s + max(0.0, NEW.wall_s - OLD.wall_s),
        cpu_s = cpu_s + max(0.0, NEW.cpu_s - OLD.cpu_s),
        money = money + max(0.0, NEW.money - OLD.money),
        trials = trials + max(0, NEW.trials - OLD.trials)
    WHERE pipeline = coalesce((SELECT pipeline FROM runs WHERE id = NEW.run_id), '')
        AND kind = NEW.kind AND saved_by_cache = NEW.saved_by_cache;
END;
