"""What is known of an Iceberg table from its metadata alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Snapshot:
    id: str
    at: float
    """Seconds since the epoch."""
    total_rows: int = 0
    summary: Mapping[str, str] = field(default_factory=dict)
    """What whoever wrote it said about it."""


@dataclass(frozen=True)
class TableColumn:
    name: str
    type: str
    """Iceberg's name of the type; ``struct``, ``list`` and ``map`` without what they hold."""


@dataclass(frozen=True)
class TableState:
    """``snapshots`` oldest first, as far as they are kept."""

    name: str
    exists: bool
    location: str = ""
    current: str = ""
    snapshots: tuple[Snapshot, ...] = ()
    columns: tuple[TableColumn, ...] = ()

    def snapshot(self, snapshot_id: str) -> Snapshot | None:
        return next((s for s in self.snapshots if s.id == snapshot_id), None)
