"""What a run would do if it were started now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from platform_ctl.runs.budget import money


class StepForecast(StrEnum):
    HIT = "hit"
    """Served from the cache."""
    RUN = "run"
    DEPENDS = "depends"
    """On an output that is not known before another step has run."""
    SKIP = "skip"


@dataclass(frozen=True)
class Spent:
    """What steps took when they were last executed; ``cpu_s`` and ``money`` as in the ledger."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    money: float = 0.0


@dataclass(frozen=True)
class Expected:
    """One step. ``depends_on``: the outputs, as ``task.output``. Times are of its last execution,
    0 when it never was; a hit has them too: that is what the cache saves."""

    task: str
    fate: StepForecast
    why: str
    depends_on: tuple[str, ...] = ()
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Impact:
    """``against``: the run that unknown outputs were assumed from; "" when there was none."""

    pipeline: str
    against: str
    steps: tuple[Expected, ...]
    money_per_cpu_hour: float = 0.0

    def spent(self, *fates: StepForecast) -> Spent:
        """Of the steps with these fates. Wall time is that of steps one after the other: an
        upper bound where they run side by side."""
        steps = [s for s in self.steps if s.fate in fates]
        cpu_s = sum(s.cpu_s for s in steps)
        return Spent(sum(s.wall_s for s in steps), cpu_s, money(cpu_s, self.money_per_cpu_hour))

    @property
    def at_least(self) -> Spent:
        return self.spent(StepForecast.RUN)

    @property
    def at_most(self) -> Spent:
        return self.spent(StepForecast.RUN, StepForecast.DEPENDS)

    @property
    def saved(self) -> Spent:
        """By the cache, for certain."""
        return self.spent(StepForecast.HIT)


@dataclass(frozen=True)
class ExternalChanges:
    """What tasks that look at the world outside the run would find there now."""

    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Path of the task -> its outputs, which are parameters only, all of them."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Path of the task -> why it would fail."""
