"""What a run would do if it were started now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    HIT = "hit"
    """Served from the cache."""
    RUN = "run"
    DEPENDS = "depends"
    """On an output that is not known before another step has run."""
    SKIP = "skip"


@dataclass(frozen=True)
class Expected:
    """One step. ``wall_s`` and ``cpu_s`` are what it took when it was last executed."""

    task: str
    fate: Fate
    why: str
    depends_on: tuple[str, ...] = ()
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Impact:
    """``against``: the run that unknown outputs were assumed from; "" when there was none."""

    against: str
    steps: tuple[Expected, ...]
    money_per_cpu_hour: float = 0.0

    def cpu_s(self, *fates: Fate) -> float:
        return sum(s.cpu_s for s in self.steps if s.fate in fates)

    def wall_s(self, *fates: Fate) -> float:
        """Of steps one after the other: an upper bound where they run side by side."""
        return sum(s.wall_s for s in self.steps if s.fate in fates)

    def money(self, *fates: Fate) -> float:
        return self.cpu_s(*fates) / 3600 * self.money_per_cpu_hour
