"""What a machine raises becomes an error of ours by its type and number."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from platform_ctl.cli.machine_errors import named
from platform_ctl.home.state import transaction


def raised(exc: Exception, cause: BaseException | None = None) -> Exception:
    try:
        raise exc from cause
    except type(exc) as caught:
        return caught


def of_sqlite(code: int) -> sqlite3.OperationalError:
    exc = sqlite3.OperationalError("disk I/O error")
    exc.sqlite_errorcode = code
    return exc


@pytest.mark.parametrize(
    ("exc", "error_id"),
    [
        (ModuleNotFoundError("x", name="pyiceberg.catalog"), "err-missing-extra"),
        (ModuleNotFoundError("x", name="kopf"), "err-missing-extra"),
        (ModuleNotFoundError("x", name="somebody_elses"), "err-internal"),
        (EOFError("manifest"), "err-home-damaged"),
        (OSError(errno.ENOSPC, "full", "/home/x"), "err-disk-full"),
        (PermissionError(errno.EACCES, "no", "/proc/1/mem"), "err-home-not-usable"),
        (OSError(errno.EROFS, "no", "/proc/x"), "err-home-not-usable"),
        (OSError(errno.ELOOP, "link", "/home/x.lock"), "err-home-not-usable"),
        (of_sqlite(sqlite3.SQLITE_IOERR_WRITE), "err-disk-full"),
        (of_sqlite(sqlite3.SQLITE_IOERR_SHMSIZE), "err-disk-full"),
        (of_sqlite(sqlite3.SQLITE_IOERR_READ), "err-internal"),
        (ValueError("permission denied, database disk image is malformed"), "err-internal"),
    ],
)
def test_the_type_decides_and_not_the_words(exc: Exception, error_id: str) -> None:
    found = named(raised(exc), "platform-ctl x")
    assert found.id == error_id
    assert found.where == "platform-ctl x"
    assert found.fix


def test_what_a_library_wraps_is_found() -> None:
    outer = raised(RuntimeError("could not"), PermissionError(errno.EACCES, "no", "/proc/x"))
    assert named(outer, "x").id == "err-home-not-usable"


def test_a_database_that_is_none_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "platform.db"
    file.write_bytes(b"not a database, and long enough to be read as one" * 40)
    db = sqlite3.connect(file)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        db.execute("SELECT * FROM runs")
    db.close()
    assert named(caught.value, "x").id == "err-home-damaged"


def test_a_full_database_says_full_and_not_that_nothing_was_begun(tmp_path: Path) -> None:
    """SQLite rolls back by itself when there is no room: a second ROLLBACK would hide that."""
    db = sqlite3.connect(tmp_path / "platform.db", isolation_level=None)
    db.execute("CREATE TABLE t (x BLOB)")
    db.execute("PRAGMA max_page_count=4")
    with pytest.raises(sqlite3.OperationalError) as caught, transaction(db):
        for _ in range(100):
            db.execute("INSERT INTO t VALUES (zeroblob(4096))")
    db.close()
    assert named(caught.value, "x").id == "err-disk-full"
