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
    stands: nobody writes into a folder that may not be written, or on a disk without room.
    """
    writable = os.access(database.parent, os.W_OK) and os.access(database, os.W_OK)
    options = "mode=rw" if writable else "mode=ro"
    if not writable and not Path(f"{database}-shm").exists():
        options += "&immutable=1"
    db = _opened(database, options, timeout_s)
    try:
        db.execute("PRAGMA schema_version")  # the first look makes the files
    except sqlite3.DatabaseError as exc:
        if not no_room(exc) or _has_log(database):
            return db  # whoever reads hears of it
        db.close()
        return _opened(database, "mode=ro&immutable=1", timeout_s)
    return db


def no_room(exc: sqlite3.Error) -> bool:
    """Whether the disk took no more. SQLite says so in several ways: SQLITE_FULL is ENOSPC alone, a
    quota ends as SQLITE_IOERR_WRITE, the shared memory of a reader as SQLITE_IOERR_SHMSIZE
    (``os_unix.c``). A disk that cannot be read is none of them."""
    return getattr(exc, "sqlite_errorcode", 0) in _NO_ROOM


_NO_ROOM = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
)


def _has_log(database: Path) -> bool:
    """Whether there is something that is not in the database itself yet."""
    log = Path(f"{database}-wal")
    return log.exists() and log.stat().st_size > 0


def _opened(database: Path, options: str, timeout_s: float) -> sqlite3.Connection:
    uri = f"file:{quote(str(database))}?{options}"
    db = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)
    db.execute("PRAGMA query_only=ON")
    return db
