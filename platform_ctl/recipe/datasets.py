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
class RepoIngest:
    """What one ingest did to one repository."""

    repo: str
    path: str
    new_commits: int
    known_commits: int
    """Read again and already in the table."""
    backfill: bool
    left_out_before_1970: int
    left_out_future: int
    observed_until: datetime | None
    """How far the clone can vouch for: of later weeks nothing is known, not even that
    they are empty. None for a clone without a commit."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class IngestReport:
    """One ingest: at most one Iceberg snapshot."""

    table: str
    snapshot_id: str | None
    """None when nothing was new."""
    ingested_at: datetime
    repos: tuple[RepoIngest, ...]

    @property
    def new_commits(self) -> int:
        return sum(r.new_commits for r in self.repos)


@dataclass(frozen=True)
class Resolved:
    """What a run is about. Part of every later cache key."""

    snapshot_id: str
    """Iceberg snapshot of the source table."""
    as_of: str
    """ISO Monday 00:00 UTC: the newest week boundary that most live repositories have reached."""
    golden_digest: str
    """SHA-256 of the pinned golden set."""


@dataclass(frozen=True)
class GoldenSet:
    """A pinned golden set: which rows, which weeks, since when."""

    digest: str
    rows: int
    repos: int
    starts_at: datetime
    """First event time of the golden weeks."""
    ends_at: datetime
    """Exclusive end of the golden event times; later weeks are ``recent``."""
    snapshot_id: str
    created_at: datetime
    file: str
    history: tuple[dict[str, str], ...] = ()
    """Every pin so far, oldest first: digest, created_at, snapshot_id, reason."""


@dataclass(frozen=True)
class Mismatch:
    """One value of a training row that the commits known at its event time do not give."""

    repo: str
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
class RepoSummary:
    """One line of ``data show``."""

    repo: str
    commits: int
    first_commit_at: datetime
    last_commit_at: datetime
    observed_until: datetime
    state: str
    """live | dormant (no commit in 26 weeks) | stale (not fetched as far as the others)."""


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
    repos: tuple[RepoSummary, ...]
    snapshots: tuple[SnapshotSummary, ...]
