"""What ingesting, resolving and auditing a recipe's data report: frozen values only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``; total 0 while it is unknown."""


def no_progress(what: str, done: int, total: int) -> None:
    """The Progress of callers that show none."""


@dataclass(frozen=True)
class Ingested:
    """What one ingest did to one part of the source: an entity, or a file."""

    name: str
    new_rows: int
    known_rows: int = 0
    """Read again and already in the table."""
    path: str = ""
    backfill: bool = False
    """It was the first one: what it brings counts as known when it happened."""
    observed_until: datetime | None = None
    """Of what is later nothing is known, not even that there is nothing. None: nothing was seen,
    or the source has no times."""
    notes: tuple[str, ...] = ()
    """What was left out, and what else a reader of the report should know."""


@dataclass(frozen=True)
class IngestReport:
    """One ingest: at most one Iceberg snapshot."""

    table: str
    snapshot_id: str | None
    """None when nothing was new."""
    ingested_at: datetime
    parts: tuple[Ingested, ...]

    @property
    def new_rows(self) -> int:
        return sum(part.new_rows for part in self.parts)


@dataclass(frozen=True)
class Resolved:
    """What a run is about. Part of every later cache key."""

    snapshot_id: str
    """Iceberg snapshot of the source table."""
    as_of: str
    """ISO time up to which the data is complete; "" for data without times."""
    golden_digest: str
    """SHA-256 of the pinned golden set."""


@dataclass(frozen=True)
class GoldenSet:
    """A pinned golden set: which rows, of which time, since when."""

    digest: str
    rows: int
    entities: int
    starts_at: datetime | None
    """First event time of the golden rows; None for rows without times."""
    ends_at: datetime | None
    """Exclusive end of their event times; later rows are ``recent``."""
    snapshot_id: str
    created_at: datetime
    file: str
    history: tuple[dict[str, str], ...] = ()
    """Every pin so far, oldest first: digest, created_at, snapshot_id, reason."""


@dataclass(frozen=True)
class Mismatch:
    """One value of a training row that the records known at its event time do not give."""

    entity: str
    event_timestamp: datetime
    column: str
    in_row: float
    recomputed: float
    reason: str


@dataclass(frozen=True)
class AuditReport:
    """The point-in-time auditor's answer; ``ok`` means no row saw the future."""

    ok: bool
    rows_checked: int
    values_checked: int
    rows_path: str
    snapshot_id: str
    mismatches: tuple[Mismatch, ...]


@dataclass(frozen=True)
class EntitySummary:
    """One line of ``data show``."""

    name: str
    rows: int
    state: str = ""
    """In the recipe's words, for example ``live``."""
    first_at: datetime | None = None
    last_at: datetime | None = None
    observed_until: datetime | None = None


@dataclass(frozen=True)
class SnapshotSummary:
    table: str
    snapshot_id: str
    committed_at: datetime
    operation: str
    added_rows: int
    total_rows: int


@dataclass(frozen=True)
class DataSummary:
    """Everything ``data show`` prints."""

    as_of: str | None
    entities: tuple[EntitySummary, ...]
    snapshots: tuple[SnapshotSummary, ...]
