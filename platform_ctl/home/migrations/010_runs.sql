CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    directory TEXT NOT NULL,
    parameters TEXT NOT NULL,
    use_cache INTEGER NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    pid INTEGER,
    pid_started TEXT,
    idempotency_key TEXT UNIQUE,
    verdicts TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX runs_created ON runs (created_at);
CREATE INDEX runs_open ON runs (state) WHERE state IN ('PENDING', 'RUNNING');
CREATE TABLE tasks (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    component TEXT NOT NULL,
    state TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    wall_s REAL NOT NULL DEFAULT 0,
    cpu_s REAL NOT NULL DEFAULT 0,
    peak_memory_bytes INTEGER NOT NULL DEFAULT 0,
    inputs TEXT NOT NULL DEFAULT '{}',
    outputs TEXT NOT NULL DEFAULT '{}',
    inputs_digest TEXT NOT NULL DEFAULT '',
    cache TEXT NOT NULL DEFAULT '',
    log TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, path)
) STRICT, WITHOUT ROWID;
