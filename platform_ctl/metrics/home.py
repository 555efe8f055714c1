"""The home's database as a scrape sees it: read only, briefly, and perhaps not there yet."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from platform_ctl.errors import PreconditionMissing
from platform_ctl.home import sqlite_file

SCHEMA = 71
"""The migration that keeps totals. A scrape migrates nothing: it is a reader."""
BUSY_TIMEOUT_S = 1.0
"""A scrape that waits longer for a lock than its interval helps nobody."""


@contextlib.contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection | None]:
    """One consistent view of the database; None when there is none.

    Raises sqlite3.Error, and PreconditionMissing for a home of an older platform.
    """
    if not database.exists():
        yield None
        return
    with sqlite_file.reading(database, BUSY_TIMEOUT_S) as db:
        db.row_factory = sqlite3.Row
        db.execute("BEGIN")
        (schema,) = db.execute("PRAGMA user_version").fetchone()
        if schema < SCHEMA:
            raise PreconditionMissing(
                f"the home has schema {schema}: the next command that writes to it migrates it",
                where=str(database),
                fix="platform-ctl run list",
            )
        yield db


def seconds(iso: str) -> float:
    """UTC ISO 8601, as the records hold it, as seconds since the epoch."""
    moment = datetime.fromisoformat(iso)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
