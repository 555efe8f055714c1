"""Names that a home's records hold, for shell completion: read-only, and in milliseconds.

No migration, no lock, no vendor library: what cannot be read at once gives no names.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from platform_ctl.home import sqlite_file

LIMIT = 50
"""Newest first: nobody chooses among more."""
Names = list[tuple[str, str]]
"""(name, what it is)."""

_RUNS = """
    SELECT substr(id, 1, 8), pipeline || ' ' || state || ' ' || substr(created_at, 1, 16)
    FROM runs ORDER BY created_at DESC LIMIT ?"""
_APPROVALS = """
    SELECT id, model || '/' || version || ' ' || state
    FROM approvals ORDER BY state <> 'pending', requested_at DESC LIMIT ?"""
_TASKS = """
    SELECT name, component FROM tasks GROUP BY name ORDER BY max(started_at) DESC LIMIT ?"""
_SERVICES = "SELECT service, model FROM releases GROUP BY service ORDER BY max(seq) DESC LIMIT ?"
_MODELS = """
    SELECT name || '@' || alias, 'version ' || version FROM registered_model_aliases
    UNION SELECT name, 'registered model' FROM registered_models ORDER BY 1 LIMIT ?"""


def runs(database: Path) -> Names:
    """Short ids, newest first."""
    return [("latest", "the newest run"), *_read(database, _RUNS)]


def tasks(database: Path) -> Names:
    """Of the newest runs; a name is typed without the groups around it."""
    return list(_read(database, _TASKS))


def approvals(database: Path) -> Names:
    """Pending ones first."""
    return [("latest", "the newest request"), *_read(database, _APPROVALS)]


def services(folder: Path, database: Path) -> Names:
    """InferenceServices that are there, and those of releases."""
    there = [(path.name, "service") for path in sorted(folder.glob("*/")) if path.is_dir()]
    return list({**dict(_read(database, _SERVICES)), **dict(there)}.items())


def models(database: Path) -> Names:
    """Registered models, and each with its aliases."""
    return list(_read(database, _MODELS))


def _read(database: Path, query: str) -> Iterator[tuple[str, str]]:
    if not database.is_file():
        return
    with contextlib.suppress(sqlite3.Error), sqlite_file.reading(database, 0.05) as db:
        yield from db.execute(query, (LIMIT,)).fetchall()
