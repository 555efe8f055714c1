"""Two runs as they are compared, and what is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from platform_ctl.recipe.tables import TableState
from platform_ctl.runs.budget import Cost
from platform_ctl.runs.cache.key import CacheKeyInputs
from platform_ctl.runs.record import Run, Task

if TYPE_CHECKING:
    import numpy as np


class DifferenceKind(IntEnum):
    """What differs, likeliest cause first; from DRIFT on they are effects."""

    PARAMETER = 1
    PIPELINE = 2
    DATA = 3
    CODE = 4
    PACKAGE = 5
    ENVIRONMENT = 6
    CHANCE = 7
    """The same step with the same inputs gave something else."""
    UNRECORDED = 8
    """The same inputs gave something else, and what else the step depended on was not recorded
    (a run with --no-cache), or is no longer kept."""
    DRIFT = 9
    """A feature of the training rows is distributed otherwise."""
    SEARCH = 10
    VERDICT = 11
    METRIC = 12
    OUTPUT = 13
    ARTIFACT = 14
    STATE = 15
    COST = 16
    DURATION = 17

    @property
    def is_cause(self) -> bool:
        return self < DifferenceKind.DRIFT


@dataclass(frozen=True)
class RunDifference:
    """``tasks``: the tasks whose results it bears on. ``detail``: how much, in words."""

    kind: DifferenceKind
    what: str
    old: str
    new: str
    tasks: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class ComparedRun:
    """A run, and what is known beyond its record; what is gone is empty or None."""

    run: Run
    keys: Mapping[str, CacheKeyInputs] = field(default_factory=dict)
    """Task path -> what its result depends on."""
    bound: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Task path -> input parameter -> task that it comes from ("" for the pipeline's own)."""
    uncached: frozenset[str] = frozenset()
    """Paths of the tasks that are never served from the cache."""
    units: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Digest of a module -> its reached functions, classes and constants -> their digests."""
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Of the training rows."""
    errors: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Columns of ``errors.parquet``: the model's predictions of the golden rows."""
    loss: str = ""
    """Name of the recipe's loss."""
    table: TableState | None = None
    """That ``snapshot_id`` is a snapshot of."""
    cost: Cost = field(default_factory=Cost)

    @property
    def tasks(self) -> dict[str, Task]:
        return {t.path: t for t in self.run.tasks}
