"""SQLite files that are only looked at."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


@contextlib.contextmanager
def reading(database: Path, timeout_s: float = 5.0) -> Iterator[sqlite3.Connection]:
    """A connection that can change nothing, and makes no file where there is none.

    Autocommit. ``timeout_s``: how long a lock is waited for. Raises sqlite3.Error.
    """
    uri = f"file:{quote(str(database))}?mode=ro"
    with contextlib.closing(
        sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)
    ) as db:
        yield db
