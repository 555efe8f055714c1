"""What a team's schedule files say, resolved: every reference looked up, every value typed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from platform_ctl.schedules.due import Timing

DEFAULT_EXPERIMENT = "Default"
"""KFP's own; it needs no declaration."""


class VersionPolicy(StrEnum):
    """Which version of its pipeline a schedule runs."""

    PINNED = "pinned"
    """The IR at the time of the apply."""
    LATEST = "latest"
    """The newest one when a slot fires."""


class ConditionKind(StrEnum):
    """Conditions that start a run without a clock."""

    FRESHNESS = "freshness"
    DRIFT = "drift"
    PIPELINE_CHANGED = "pipeline_changed"
    AFTER = "after"


@dataclass(frozen=True)
class StartCondition:
    """``on:`` of a schedule; only the fields of its kind are set."""

    kind: ConditionKind
    recipe: str = ""
    """freshness: whose table is looked at."""
    older_than_s: int = 0
    service: str = ""
    """drift: whose production model is looked at."""
    metric: str = ""
    above: float = 0.0
    after: str = ""
    """Name of a schedule of the same team."""


@dataclass(frozen=True)
class QuietHours:
    """Seconds of the day in UTC, ``begin`` included, ``end`` not; over midnight if it is less."""

    begin_s: int
    end_s: int

    def hold(self, moment: int) -> bool:
        """Whether ``moment`` lies within."""
        second = moment % 86400
        if self.begin_s <= self.end_s:
            return self.begin_s <= second < self.end_s
        return second >= self.begin_s or second < self.end_s


@dataclass(frozen=True)
class Spec:
    """What a recurring run is: a change of any of it is a new version."""

    team: str
    name: str
    pipeline: str
    version: VersionPolicy
    ir: str
    """Digest of what the compiled pipeline means; empty for ``latest``."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    experiment: str = DEFAULT_EXPERIMENT
    timing: Timing | None = None
    condition: StartCondition | None = None
    max_concurrency: int = 1
    service_account: str = ""
    cool_down_s: int = 0
    quiet_hours: tuple[QuietHours, ...] = ()
    stop_after: int = 0
    """Conditions: runs in a row that leave the condition true, after which none is started."""

    @property
    def key(self) -> str:
        """The identity over all versions: ``team/name``."""
        return f"{self.team}/{self.name}"

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all fields."""
        return hashlib.sha256(canonical(self)).hexdigest()


@dataclass(frozen=True)
class Schedule:
    """One entry of ``recurring_runs.yaml``."""

    spec: Spec
    enabled: bool
    keep_history: int
    """Disabled older versions that stay; 0 is none."""
    compiled: Path
    """The compiled pipeline."""
    ir: str
    """Digest of what it means, as an upload marks its versions."""
    compiled_bytes: bytes
    commits: Mapping[str, str]
    """Git references of the entry and the commits that they were at."""
    where: str
    """File and line."""


@dataclass(frozen=True)
class KfpExperiment:
    """One entry of ``experiments.yaml``: KFP's grouping of runs."""

    team: str
    name: str
    description: str = ""
    archived: bool = False
    where: str = ""


@dataclass(frozen=True)
class Absent:
    """An entry with ``state: absent``: the schedule is to be deleted."""

    team: str
    name: str
    where: str

    @property
    def key(self) -> str:
        return f"{self.team}/{self.name}"


@dataclass(frozen=True)
class Documents:
    """All files of all teams."""

    schedules: tuple[Schedule, ...] = ()
    experiments: tuple[KfpExperiment, ...] = ()
    absent: tuple[Absent, ...] = ()
    teams: frozenset[str] = frozenset()
    """Teams with a ``recurring_runs.yaml``: what left theirs may be pruned."""

    def find(self, key: str) -> Schedule | None:
        """The schedule of ``team/name``."""
        return next((s for s in self.schedules if s.spec.key == key), None)


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and one notation for each number; equal bytes mean equal values."""
    plain = _plain(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    import msgspec

    def numbers(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: numbers(item) for key, item in node.items()}
        if isinstance(node, list):
            return [numbers(item) for item in node]
        if isinstance(node, float) and node.is_integer():
            return int(node)
        return node

    return numbers(msgspec.to_builtins(value))
