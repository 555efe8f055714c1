"""The one SQLite database of a home: runs, approvals, ledger, history.

WAL, so that readers never block the orchestrator. The schema is the sequence
of ``migrations/NNN_*.sql``; ``PRAGMA user_version`` holds the last one applied.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from platform_ctl.errors import DiskFull, HomeDamaged, HomeNotUsable, HomeTooNew
from platform_ctl.folders import make_private
from platform_ctl.home import sqlite_file

BUSY_TIMEOUT_S = 30.0


def connect(database: Path) -> sqlite3.Connection:
    """Open the database, creating and migrating it as needed.

    Autocommit; use ``transaction`` for more than one statement. Rows are
    ``sqlite3.Row``. Raises HomeTooNew when a newer platform wrote the home,
    HomeDamaged when the file is no database, and HomeNotUsable when there can be none.
    A home that may not be written is opened to be read; whoever writes there is refused then.
    """
    if database.exists() and not os.access(database.parent, os.W_OK):
        return connect_reading(database)
    _make_home(database.parent)
    if _emptied(database):
        raise _damaged(database, _EMPTIED)
    db = sqlite3.connect(database, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    db.row_factory = sqlite3.Row
    _migrate(db, database)
    db.execute("PRAGMA foreign_keys=ON")
    db.execute("PRAGMA synchronous=NORMAL")
    return db


def connect_reading(database: Path) -> sqlite3.Connection:
    """Open the database to look at it: no file, no schema and no row changes.

    A home without one reads as an empty one. An older schema is migrated first, as
    ``connect`` does, where the home may be written. Rows are ``sqlite3.Row``. Raises
    HomeTooNew and HomeDamaged.
    """
    newest = _migrations()[-1][0]
    if not database.exists():
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.row_factory = sqlite3.Row
        _migrate(db, database)
        return db
    if _emptied(database):
        raise _damaged(database, _EMPTIED)
    db = sqlite_file.open_reading(database, BUSY_TIMEOUT_S)
    db.row_factory = sqlite3.Row
    have = _schema(db, database)
    if have == newest:
        return db
    db.close()
    if have > newest:
        raise _too_new(have, newest, database)
    _make_home(database.parent)
    return connect(database)


class Database:
    """The home's database for who reads it now and may write later: made by the first write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: sqlite3.Connection | None = None

    def reading(self) -> sqlite3.Connection:
        """What there is to read; a home without a database reads as an empty one."""
        if self._open is None and not self._path.exists():
            return connect_reading(self._path)
        try:
            return self.writing()
        except sqlite3.OperationalError as exc:
            if not sqlite_file.no_room(exc):
                raise
            return connect_reading(self._path)

    def writing(self) -> sqlite3.Connection:
        """``connect``, once. Raises what that does."""
        if self._open is None:
            self._open = connect(self._path)
        return self._open


def schema_versions(database: Path) -> tuple[int | None, int]:
    """Schema of the database (None: there is none yet) and the newest one known. Changes nothing.

    Raises HomeDamaged.
    """
    steps = _migrations()
    newest = steps[-1][0] if steps else 0
    if not database.exists():
        return None, newest
    with sqlite_file.reading(database) as db:
        return _schema(db, database), newest


def damage(database: Path) -> str:
    """What SQLite's integrity check says against a database; "" when it is sound or not there.

    Reads all of it (8 ms a megabyte) and changes nothing.
    """
    if not database.exists():
        return ""
    if _emptied(database):
        return _EMPTIED
    try:
        with sqlite_file.reading(database, BUSY_TIMEOUT_S) as db:
            messages = [row[0] for row in db.execute("PRAGMA integrity_check(3)")]
    except sqlite3.OperationalError:
        return ""  # busy, or no right to read: not the file's fault
    except sqlite3.DatabaseError as exc:
        messages = [str(exc)]
    return "" if messages == ["ok"] else "; ".join(" ".join(messages).split("\n"))


def set_aside(database: Path) -> str:
    """The command that moves a damaged database away; the next one that needs it makes it anew."""
    file, away = (shlex.quote(str(p)) for p in (database, database.parent / "damaged"))
    return f"mkdir -p {away} && mv {file}* {away}"


_EMPTIED = "it is empty, and the home holds runs"


def _emptied(database: Path) -> bool:
    """A file without a byte is a new database to SQLite; beside runs it is a lost one."""
    runs = database.parent / "runs"
    return (
        database.exists() and database.stat().st_size == 0 and runs.is_dir() and any(runs.iterdir())
    )


def _damaged(database: Path, message: object) -> HomeDamaged:
    return HomeDamaged(
        f"the home's database cannot be read: {message}",
        where=str(database),
        fix=set_aside(database),
    )


def _make_home(home: Path) -> None:
    try:
        make_private(home)
    except (PermissionError, FileExistsError, NotADirectoryError) as exc:
        raise HomeNotUsable(
            f"{home} cannot be the home: {exc.strerror}",
            where="setting home",
            fix="export PLATFORM_HOME=FOLDER",
        ) from exc
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise HomeNotUsable(
            f"{home} may not be written", where="setting home", fix=f"chmod u+rwx {home}"
        )


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing; takes the write lock at once so that it never deadlocks."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        _roll_back(db)
        raise
    try:
        db.execute("COMMIT")
    except sqlite3.OperationalError as exc:
        _roll_back(db)
        raise DiskFull(f"the record could not be written: {exc}", fix="df -h") from exc


def _roll_back(db: sqlite3.Connection) -> None:
    """A full disk makes SQLite roll back by itself; a second time would hide why."""
    if db.in_transaction:
        db.execute("ROLLBACK")


def _migrations() -> list[tuple[int, str]]:
    folder = resources.files(__package__) / "migrations"
    scripts = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [(int(f.name.split("_")[0]), f.read_text(encoding="utf-8")) for f in scripts]


def _schema(db: sqlite3.Connection, database: Path) -> int:
    try:
        return db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.OperationalError:
        raise  # locked, or no room: the file is not at fault
    except sqlite3.DatabaseError as exc:
        raise _damaged(database, exc) from exc


def _migrate(db: sqlite3.Connection, database: Path) -> None:
    have = _schema(db, database)
    steps = _migrations()
    newest = steps[-1][0] if steps else 0
    if have == newest:
        return
    if have > newest:
        raise _too_new(have, newest, database)
    db.execute("PRAGMA journal_mode=WAL")
    with transaction(db):
        have = db.execute("PRAGMA user_version").fetchone()[0]
        for number, script in steps:
            if number > have:
                for statement in _statements(script):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version={number}")


def _too_new(have: int, newest: int, database: Path) -> HomeTooNew:
    return HomeTooNew(
        f"this home has schema {have}; this platform knows up to {newest}",
        where=str(database),
        fix="git pull && make setup",
    )


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
