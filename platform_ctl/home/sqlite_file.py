"""SQLite files that are only looked at."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


@contextlib.contextmanager
def reading(database: Path, timeout_s: float = 5.0) -> Iterator[sqlite3.Connection]:
    """A connection that can change nothing, and makes no file where there is none.

    Autocommit. ``timeout_s``: how long a lock is waited for. Raises sqlite3.Error.
    """
    with contextlib.closing(open_reading(database, timeout_s)) as db:
        yield db


def open_reading(database: Path, timeout_s: float = 5.0) -> sqlite3.Connection:
    """The connection of ``reading``, for who closes it later.

    SQLite keeps a log and a shared-memory file beside a database in WAL mode, also for readers
    (https://www.sqlite.org/wal.html#read_only_databases), and only a connection that may write
    removes them when it is the last one. So the file is opened as a writer does, and the
    connection refuses every change. Where no file can be made, the database is read as it
    stands: nobody writes into a folder that may not be written.
    """
    writable = os.access(database.parent, os.W_OK) and os.access(database, os.W_OK)
    options = "mode=rw" if writable else "mode=ro"
    if not writable and not Path(f"{database}-shm").exists():
        options += "&immutable=1"
    uri = f"file:{quote(str(database))}?{options}"
    db = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)
    db.execute("PRAGMA query_only=ON")
    return db
