"""MLflow's database on SQLite: created whole, by one process, before anybody opens it.

MLflow creates its tables and migrates them step by step in the file itself. Two
processes that do so at once, or one that is killed, leave a file that MLflow can
neither use nor mend. So the file is made beside and put in place
(``home.files.create_whole``), and one that an older version left half made and
empty is set aside.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from platform_ctl.errors import DiskFull, HomeDamaged
from platform_ctl.home import files, sqlite_file
from platform_ctl.home.state import set_aside

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


def prepare(database: Path, artifacts: Path) -> None:
    """Have MLflow's database there, whole. ``artifacts``: where its default experiment keeps files.

    Raises DiskFull, and HomeDamaged for a half-made database that holds models.
    """
    if database.exists():
        if not half_made(database):
            return
        _discard(database)
    try:
        files.create_whole(database, lambda draft: _build(draft, artifacts))
    except (OSError, sqlite3.OperationalError) as exc:
        raise DiskFull(
            f"MLflow's database could not be made: {exc}", where=str(database), fix="df -h"
        ) from exc


def half_made(database: Path) -> bool:
    """Whether its creation was cut short: MLflow writes its default experiment last.

    A file that is no database, or that cannot be read now, is not half made.
    """
    try:
        with sqlite_file.reading(database) as db:
            tables = {row[0] for row in db.execute(_TABLES)}
            if any(name.startswith("_alembic_tmp_") for name in tables):
                return True
            if not {"alembic_version", "experiments"} <= tables:
                return True
            return db.execute("SELECT COUNT(*) FROM experiments").fetchone()[0] == 0
    except sqlite3.DatabaseError:
        return False


def _discard(database: Path) -> None:
    if _holds_models(database):
        raise HomeDamaged(
            "MLflow's database was cut short while it was made or migrated, and holds models",
            where=str(database),
            fix=set_aside(database),
        )
    away = database.parent / "damaged"
    away.mkdir(exist_ok=True, mode=0o700)
    for companion in database.parent.glob(f"{database.name}*"):
        companion.replace(away / companion.name)


def _holds_models(database: Path) -> bool:
    try:
        with sqlite_file.reading(database) as db:
            return bool(db.execute("SELECT 1 FROM model_versions LIMIT 1").fetchone())
    except sqlite3.DatabaseError:
        return False


def _build(draft: Path, artifacts: Path) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.exc import OperationalError

    try:
        store = SqlAlchemyStore(f"sqlite:///{draft}", artifacts.as_uri())
        store.engine.dispose()
    except OperationalError as exc:
        raise OSError(str(exc.orig)) from exc
    # What MLflow wrote may still lie in a journal beside the file, which alone is kept.
    with sqlite3.connect(draft) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA journal_mode=DELETE")
    db.close()
