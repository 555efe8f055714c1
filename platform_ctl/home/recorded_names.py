"""Names that a home's records hold, for shell completion: read-only, and in milliseconds.

No migration, no lock, no vendor library: what cannot be read at once gives no names.
"""

from __future__ import annotations

import contextlib
import re
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
    FROM runs WHERE id GLOB ? ORDER BY created_at DESC LIMIT ?"""
_APPROVALS = """
    SELECT id, model || '/' || version || ' ' || state
    FROM approvals WHERE id GLOB ? ORDER BY state <> 'pending', requested_at DESC LIMIT ?"""
_TASKS = """
    SELECT name, component FROM tasks WHERE name GLOB ?
    GROUP BY name ORDER BY max(started_at) DESC LIMIT ?"""
_TASKS_OF_RUN = """
    SELECT name, state FROM tasks WHERE name GLOB ?
    AND run_id = (SELECT id FROM runs WHERE id GLOB ? ORDER BY created_at DESC LIMIT 1)
    ORDER BY started_at LIMIT ?"""
_SERVICES = """
    SELECT service, model FROM releases WHERE service GLOB ?
    GROUP BY service ORDER BY max(seq) DESC LIMIT ?"""
_SCHEDULES = """
    SELECT key, display_name FROM recurring_runs WHERE key GLOB ? AND NOT deleted
    GROUP BY key ORDER BY key LIMIT ?"""
_MODELS = """
    SELECT name, 'registered model' FROM registered_models WHERE name GLOB ? ORDER BY 1 LIMIT ?"""
_ALIASES = """
    SELECT name || '@' || alias AS reference, 'version ' || version FROM registered_model_aliases
    WHERE reference GLOB ? ORDER BY 1 LIMIT ?"""
_VERSIONS = """
    SELECT name || '/' || version AS reference, 'version' FROM model_versions
    WHERE reference GLOB ? ORDER BY name, version DESC LIMIT ?"""


def runs(database: Path, prefix: str) -> Names:
    """Short ids, newest first."""
    latest = [("latest", "the newest run")] if "latest".startswith(prefix) else []
    return [*latest, *_read(database, _RUNS, prefix)]


def tasks(database: Path, prefix: str, run: str) -> Names:
    """Of one run; of any, where it is none. A name is typed without the groups around it."""
    of = _starts(run if run not in ("", "latest") else "")
    of_run = list(_read(database, _TASKS_OF_RUN, prefix, of)) if run else []
    return of_run or list(_read(database, _TASKS, prefix))


def approvals(database: Path, prefix: str) -> Names:
    """Pending ones first."""
    latest = [("latest", "the newest request")] if "latest".startswith(prefix) else []
    return [*latest, *_read(database, _APPROVALS, prefix)]


def services(folder: Path, database: Path, prefix: str) -> Names:
    """InferenceServices that are there, and those of releases."""
    there = [(path.name, "service") for path in sorted(folder.glob("*/")) if path.is_dir()]
    by_name = {**dict(_read(database, _SERVICES, prefix)), **dict(there)}
    return [(name, what) for name, what in by_name.items() if name.startswith(prefix)]


def schedules(database: Path, prefix: str) -> Names:
    """Those that were applied."""
    return list(_read(database, _SCHEDULES, prefix))


def models(database: Path, prefix: str) -> Names:
    """Registered models."""
    return list(_read(database, _MODELS, prefix))


def versions(database: Path, prefix: str) -> Names:
    """Registered models, each with its aliases and its versions, newest first."""
    names = [*models(database, prefix), *_read(database, _ALIASES, prefix)]
    return sorted(names) + list(_read(database, _VERSIONS, prefix))


def _read(database: Path, query: str, prefix: str, *more: str) -> Iterator[tuple[str, str]]:
    if not database.is_file():
        return
    with contextlib.suppress(sqlite3.Error), sqlite_file.reading(database, 0.05) as db:
        yield from db.execute(query, (_starts(prefix), *more, LIMIT)).fetchall()


def _starts(prefix: str) -> str:
    """A pattern of SQLite's GLOB for what begins so; LIKE takes a and A, - and _ for the same."""
    return re.sub(r"([*?\[])", r"[\1]", prefix) + "*"
