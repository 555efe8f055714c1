-- The step cache: results by what they depend on. Bytes lie under <home>/cache/objects.

CREATE TABLE cache_keys (
    digest      TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    component   TEXT NOT NULL,
    inputs      TEXT NOT NULL   -- JSON of domain.cache_key.CacheKeyInputs
) STRICT, WITHOUT ROWID;

CREATE TABLE cache_objects (
    digest        TEXT PRIMARY KEY,
    size_bytes    INTEGER NOT NULL,
    stamps        TEXT NOT NULL,    -- JSON [[path, size, mtime_ns, inode], ...]
    stamped_at_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cache_entries (
    key         TEXT PRIMARY KEY REFERENCES cache_keys (digest),
    component   TEXT NOT NULL,
    run_id      TEXT NOT NULL,
    task        TEXT NOT NULL,
    outputs     TEXT NOT NULL,      -- JSON of domain.runs.Outputs
    wall_s      REAL NOT NULL,
    cpu_s       REAL NOT NULL,
    created_at  TEXT NOT NULL,
    used_at     TEXT NOT NULL,
    hits        INTEGER NOT NULL DEFAULT 0,
    quarantined TEXT NOT NULL DEFAULT ''   -- why; '' for an entry that may be served
) STRICT, WITHOUT ROWID;

CREATE INDEX cache_entries_component ON cache_entries (component, created_at);

CREATE TABLE cache_entry_objects (
    key    TEXT NOT NULL REFERENCES cache_entries (key) ON DELETE CASCADE,
    output TEXT NOT NULL,
    object TEXT NOT NULL REFERENCES cache_objects (digest),
    PRIMARY KEY (key, output, object)
) STRICT, WITHOUT ROWID;

CREATE INDEX cache_entry_objects_object ON cache_entry_objects (object);

CREATE TABLE cache_decisions (
    run_id        TEXT NOT NULL,
    task          TEXT NOT NULL,
    decision      TEXT NOT NULL CHECK (decision IN ('HIT', 'MISS', 'BYPASS')),
    reason        TEXT NOT NULL,
    decided_at    TEXT NOT NULL,
    key           TEXT,
    source_run_id TEXT NOT NULL DEFAULT '',
    source_task   TEXT NOT NULL DEFAULT '',
    changes       TEXT NOT NULL DEFAULT '[]',   -- JSON [[field, old, new], ...]
    PRIMARY KEY (run_id, task)
) STRICT, WITHOUT ROWID;

-- What code_digest.py worked out about files and components; may be emptied at any time.
CREATE TABLE code_memo (
    key           TEXT PRIMARY KEY,
    memo          BLOB NOT NULL,
    remembered_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
