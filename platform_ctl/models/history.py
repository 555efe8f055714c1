"""The append-only, hash-chained record of alias moves, in the home's database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from platform_ctl.home.state import connect, connect_reading, transaction
from platform_ctl.models.model import NO_HASH, AliasMove

_COLUMNS = "seq, model, alias, from_version, to_version, at, actor, reason, previous_hash, hash"


_IN_PROGRESS = "alias_moves_in_progress"
_REGISTRY = "alias_registry"


class AliasHistory:
    """Moves are written before they are made, and marked as made afterwards."""

    def __init__(self, database: Path, registry: str) -> None:
        """``registry``: where the aliases are, without credentials; "" is the home's own."""
        self._database = database
        self._registry = registry

    def other_registry(self) -> str | None:
        """Where the aliases were when the first move was recorded, if that is another registry:
        then stages and history of this home are not of the models that are shown. "" is the
        home's own."""
        db = connect_reading(self._database)
        try:
            row = db.execute("SELECT value FROM home WHERE key = ?", (_REGISTRY,)).fetchone()
        finally:
            db.close()
        return row[0] if row and row[0] != self._registry else None

    def all(self) -> list[AliasMove]:
        """Oldest first."""
        db = connect_reading(self._database)
        try:
            rows = db.execute(f"SELECT {_COLUMNS} FROM alias_history ORDER BY seq")
            return [AliasMove(*row) for row in rows]
        finally:
            db.close()

    def interrupted(self) -> bool:
        """Whether the last ``append`` was not followed by ``completed``."""
        db = connect_reading(self._database)
        try:
            row = db.execute("SELECT 1 FROM home WHERE key = ?", (_IN_PROGRESS,)).fetchone()
            return row is not None
        finally:
            db.close()

    def completed(self) -> None:
        """The moves of the last ``append`` have been made."""
        db = connect(self._database)
        try:
            db.execute("DELETE FROM home WHERE key = ?", (_IN_PROGRESS,))
        finally:
            db.close()

    def append(self, moves: Sequence[AliasMove]) -> None:
        """Number, chain and write ``moves`` in one transaction, whatever their seq and hashes."""
        db = connect(self._database)
        try:
            with transaction(db):
                db.execute("INSERT OR REPLACE INTO home VALUES (?, ?)", (_IN_PROGRESS, "yes"))
                db.execute("INSERT OR IGNORE INTO home VALUES (?, ?)", (_REGISTRY, self._registry))
                last = db.execute(
                    "SELECT seq, hash FROM alias_history ORDER BY seq DESC LIMIT 1"
                ).fetchone()
                seq, previous = tuple(last) if last else (0, NO_HASH)
                for move in moves:
                    seq += 1
                    sealed = replace(move, seq=seq, previous_hash=previous)
                    previous = sealed.sealed_hash()
                    values = (*(getattr(sealed, c) for c in _COLUMNS.split(", ")[:-1]), previous)
                    marks = ", ".join("?" * len(values))
                    db.execute(f"INSERT INTO alias_history ({_COLUMNS}) VALUES ({marks})", values)
        finally:
            db.close()
