"""Values that go in and out of the step cache."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from platform_ctl.runs.cache.diff import FieldChange
from platform_ctl.runs.record import Outputs


@dataclass(frozen=True)
class Nearest:
    """The earlier entry that a missed key differs from least."""

    key: str
    run_id: str
    task: str
    created_at: datetime
    changes: tuple[FieldChange, ...]


@dataclass(frozen=True)
class Hit:
    """An earlier result, verified, its artifacts linked to where the caller wanted them."""

    key: str
    outputs: Outputs
    run_id: str
    task: str
    created_at: datetime
    wall_s: float
    cpu_s: float
    """What the run that produced it paid, and this one did not."""


@dataclass(frozen=True)
class Miss:
    """The task must run, and why."""

    reason: str
    """``no earlier result``, ``parameters.epochs: 30 -> 40``, ``quarantined: …``."""
    nearest: Nearest | None = None
    warning: str = ""
    """Set when an entry was quarantined: names the artifact; for the user's eyes."""
    quarantined: bool = False
    """Whether the lookup itself took the entry out."""


@dataclass(frozen=True)
class Stored:
    """Outputs with digests, and a warning when the entry could not be kept."""

    outputs: Outputs
    warning: str = ""


@dataclass(frozen=True)
class CacheDecision:
    """Why a task of a run was or was not served from the cache."""

    run_id: str
    task: str
    decision: Literal["HIT", "MISS", "BYPASS"]
    reason: str
    decided_at: datetime
    key: str
    """'' when no key was computed."""
    fingerprint: str
    """The cluster's, for comparison with a run there."""
    source_run_id: str = ""
    """Of a hit: the run that produced the result; of a miss: of the nearest entry."""
    source_task: str = ""
    quarantined: bool = False
    """Whether the lookup found an entry and took it out, because its bytes are not its own."""
    changes: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class Quarantined:
    """An artifact that was taken out of the cache."""

    component: str
    run_id: str
    task: str
    artifact: str
    reason: str
    path: str
    """Where the bytes are kept for inspection; '' when there were none."""


@dataclass(frozen=True)
class VerifyReport:
    entries: int
    artifacts: int
    size_bytes: int
    quarantined: tuple[Quarantined, ...]


@dataclass(frozen=True)
class PruneReport:
    entries: int
    freed_bytes: int
    kept_entries: int
    kept_bytes: int
