"""The step cache's tables: one function a statement; callers hold the transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import msgspec

from platform_ctl.runs.cache.diff import FieldChange
from platform_ctl.runs.cache.fingerprint import Measured, Stamp
from platform_ctl.runs.cache.key import CacheKey, CacheKeyInputs
from platform_ctl.runs.cache.values import CacheDecision
from platform_ctl.runs.record import Artifact, Outputs


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stored result."""

    key: str
    component: str
    run_id: str
    task: str
    outputs: Outputs
    wall_s: float
    cpu_s: float
    created_at: datetime
    quarantined: str = ""


def put_key(db: sqlite3.Connection, key: CacheKey) -> None:
    db.execute(
        "INSERT OR IGNORE INTO cache_keys (digest, fingerprint, component, inputs)"
        " VALUES (?, ?, ?, ?)",
        (key.digest, key.fingerprint, key.component, _dump(asdict(key.inputs))),
    )


def key_inputs(db: sqlite3.Connection, digest: str) -> CacheKeyInputs | None:
    """What a key was made of; None when it was pruned."""
    row = db.execute("SELECT inputs FROM cache_keys WHERE digest = ?", (digest,)).fetchone()
    return msgspec.convert(json.loads(row["inputs"]), CacheKeyInputs) if row else None


def entry(db: sqlite3.Connection, key: str) -> Entry | None:
    row = db.execute("SELECT * FROM cache_entries WHERE key = ?", (key,)).fetchone()
    return _entry(row) if row else None


def live_entries(db: sqlite3.Connection) -> list[Entry]:
    query = "SELECT * FROM cache_entries WHERE quarantined = '' ORDER BY created_at"
    return [_entry(row) for row in db.execute(query)]


def recent(
    db: sqlite3.Connection, component: str, limit: int
) -> Iterator[tuple[Entry, CacheKeyInputs]]:
    """The newest entries of a component with what their keys were made of."""
    query = (
        "SELECT e.*, k.inputs FROM cache_entries e JOIN cache_keys k ON k.digest = e.key"
        " WHERE e.component = ? ORDER BY e.created_at DESC LIMIT ?"
    )
    for row in db.execute(query, (component, limit)):
        yield _entry(row), msgspec.convert(json.loads(row["inputs"]), CacheKeyInputs)


def put_entry(db: sqlite3.Connection, entry: Entry, objects: Iterable[tuple[str, str]]) -> None:
    """Write or replace; ``objects`` are (output name, digest)."""
    at = _time(entry.created_at)
    db.execute("DELETE FROM cache_entries WHERE key = ?", (entry.key,))
    db.execute(
        "INSERT INTO cache_entries"
        " (key, component, run_id, task, outputs, wall_s, cpu_s, created_at, used_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.key,
            entry.component,
            entry.run_id,
            entry.task,
            _dump(asdict(entry.outputs)),
            entry.wall_s,
            entry.cpu_s,
            at,
            at,
        ),
    )
    db.executemany(
        "INSERT OR IGNORE INTO cache_entry_objects (key, output, object) VALUES (?, ?, ?)",
        [(entry.key, output, digest) for output, digest in objects],
    )


def count_hit(db: sqlite3.Connection, key: str) -> None:
    db.execute(
        "UPDATE cache_entries SET hits = hits + 1, used_at = ? WHERE key = ?",
        (_time(datetime.now(UTC)), key),
    )


def quarantine(db: sqlite3.Connection, digest: str, reason: str) -> None:
    """No entry that holds the object is served any more; the object is forgotten."""
    db.execute(
        "UPDATE cache_entries SET quarantined = ? WHERE key IN"
        " (SELECT key FROM cache_entry_objects WHERE object = ?)",
        (reason, digest),
    )
    db.execute("DELETE FROM cache_entry_objects WHERE object = ?", (digest,))
    db.execute("DELETE FROM cache_objects WHERE digest = ?", (digest,))


def objects_of(db: sqlite3.Connection, key: str) -> list[tuple[str, str]]:
    """(output name, digest) of an entry's artifacts that have bytes."""
    query = "SELECT output, object FROM cache_entry_objects WHERE key = ? ORDER BY output"
    return [tuple(row) for row in db.execute(query, (key,))]


def put_object(db: sqlite3.Connection, measured: Measured) -> None:
    """Record an object; one that is recorded keeps its stamps."""
    db.execute(
        "INSERT INTO cache_objects (digest, size_bytes, stamps, stamped_at_ns) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (digest) DO NOTHING",
        (measured.digest, measured.size_bytes, _dump(measured.stamps), measured.stamped_at_ns),
    )


def restamp(db: sqlite3.Connection, measured: Measured) -> None:
    db.execute(
        "UPDATE cache_objects SET stamps = ?, stamped_at_ns = ? WHERE digest = ?",
        (_dump(measured.stamps), measured.stamped_at_ns, measured.digest),
    )


def stamps_of(db: sqlite3.Connection, digest: str) -> tuple[tuple[Stamp, ...], int] | None:
    row = db.execute(
        "SELECT stamps, stamped_at_ns FROM cache_objects WHERE digest = ?", (digest,)
    ).fetchone()
    return (tuple(tuple(s) for s in json.loads(row[0])), row[1]) if row else None


def stored_bytes(db: sqlite3.Connection) -> int:
    return db.execute("SELECT coalesce(sum(size_bytes), 0) FROM cache_objects").fetchone()[0]


def drop_unused_since(db: sqlite3.Connection, instant: datetime) -> int:
    """Entries last used before ``instant``; how many there were."""
    return db.execute("DELETE FROM cache_entries WHERE used_at < ?", (_time(instant),)).rowcount


def drop_oldest(db: sqlite3.Connection) -> bool:
    """The least recently used entry that holds bytes; False when there is none."""
    return bool(
        db.execute(
            "DELETE FROM cache_entries WHERE key = (SELECT e.key FROM cache_entries e"
            " JOIN cache_entry_objects o ON o.key = e.key ORDER BY e.used_at LIMIT 1)"
        ).rowcount
    )


def drop_unreferenced(db: sqlite3.Connection, retire: Callable[[str], None]) -> None:
    """Objects no entry holds and keys that nothing explains; ``retire(digest)`` takes the bytes."""
    lost = [
        row[0]
        for row in db.execute(
            "SELECT digest FROM cache_objects WHERE digest NOT IN"
            " (SELECT object FROM cache_entry_objects)"
        )
    ]
    for digest in lost:
        retire(digest)
    db.executemany("DELETE FROM cache_objects WHERE digest = ?", [(d,) for d in lost])
    db.execute(
        "DELETE FROM cache_keys WHERE digest NOT IN (SELECT key FROM cache_entries)"
        " AND digest NOT IN (SELECT key FROM cache_decisions WHERE key IS NOT NULL)"
    )


def drop_records_before(db: sqlite3.Connection, instant: datetime) -> None:
    """Decisions from before ``instant``, and remembered code facts, which come back when needed."""
    db.execute("DELETE FROM cache_decisions WHERE decided_at < ?", (_time(instant),))
    db.execute("DELETE FROM code_memo WHERE remembered_at < ?", (int(instant.timestamp()),))


def put_decision(db: sqlite3.Connection, decision: CacheDecision) -> None:
    db.execute(
        "INSERT OR REPLACE INTO cache_decisions (run_id, task, decision, reason, decided_at, key,"
        " source_run_id, source_task, changes, quarantined) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            decision.run_id,
            decision.task,
            decision.decision,
            decision.reason,
            _time(decision.decided_at),
            decision.key or None,
            decision.source_run_id,
            decision.source_task,
            _dump([[c.field, c.old, c.new] for c in decision.changes]),
            decision.quarantined,
        ),
    )


def decisions(db: sqlite3.Connection, run_id: str) -> list[CacheDecision]:
    query = (
        "SELECT d.*, coalesce(k.fingerprint, '') AS fingerprint FROM cache_decisions d"
        " LEFT JOIN cache_keys k ON k.digest = d.key WHERE d.run_id = ? ORDER BY d.decided_at"
    )
    return [
        CacheDecision(
            run_id=row["run_id"],
            task=row["task"],
            decision=row["decision"],
            reason=row["reason"],
            decided_at=datetime.fromisoformat(row["decided_at"]),
            key=row["key"] or "",
            fingerprint=row["fingerprint"],
            source_run_id=row["source_run_id"],
            source_task=row["source_task"],
            quarantined=bool(row["quarantined"]),
            changes=tuple(FieldChange(*c) for c in json.loads(row["changes"])),
        )
        for row in db.execute(query, (run_id,))
    ]


def _entry(row: sqlite3.Row) -> Entry:
    outputs = json.loads(row["outputs"])
    return Entry(
        key=row["key"],
        component=row["component"],
        run_id=row["run_id"],
        task=row["task"],
        outputs=Outputs(
            outputs["parameters"],
            {n: tuple(Artifact(**a) for a in v) for n, v in outputs["artifacts"].items()},
        ),
        wall_s=row["wall_s"],
        cpu_s=row["cpu_s"],
        created_at=datetime.fromisoformat(row["created_at"]),
        quarantined=row["quarantined"],
    )


def _dump(value: object) -> str:
    # Not msgspec: outputs may hold NaN and lone surrogates, which must come back as they were.
    return json.dumps(value, separators=(",", ":"))


def _time(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds")
