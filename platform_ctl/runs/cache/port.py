"""Results of earlier tasks, found by what they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from platform_ctl.runs.cache.key import CacheKey
from platform_ctl.runs.cache.values import (
    CacheDecision,
    Hit,
    Miss,
    PruneReport,
    Quarantined,
    Stored,
    VerifyReport,
)
from platform_ctl.runs.record import Outputs


class Decisions(Protocol):
    """What a cache decided, whoever's it is."""

    def decisions(self, run_id: str) -> list[CacheDecision]:
        """What was decided for each task of a run, in the order it was decided; empty for a run
        that nobody knows."""
        ...


class Cache(Decisions, Protocol):
    """The step cache of a target."""

    def lookup(
        self, key: CacheKey, *, run_id: str, task: str, places: Mapping[str, Path]
    ) -> Hit | Miss:
        """The earlier result for ``key``, checked, or why there is none.

        On a hit each artifact is at ``places[output name]`` (what was there is
        gone); without a place it stays in the store. The decision is recorded
        for ``decisions``. Raises DiskFull when there is no room.
        """
        ...

    def holds(self, key: CacheKey) -> bool:
        """Whether ``lookup`` would find an entry, which it may still find damaged."""
        ...

    def store(
        self,
        key: CacheKey,
        outputs: Outputs,
        *,
        run_id: str,
        task: str,
        wall_s: float,
        cpu_s: float,
    ) -> Stored:
        """Keep a successful task's outputs, and give them back with digests.

        The files then share their bytes with the cache: whoever runs the task
        again in the same place removes them first. Want of space never raises,
        it shows in ``Stored.warning``.
        """
        ...

    def bypass(self, *, run_id: str, task: str, reason: str) -> None:
        """Record that a task ran without asking the cache; ``reason`` is for ``decisions``."""
        ...

    def damaged(self, *, deep: bool = False) -> list[Quarantined]:
        """Artifacts that are not what was stored. Changes nothing: they stay where they are, at
        ``path``. Without ``deep``, bytes are read only where the stamps of a file have changed."""
        ...

    def verify(self) -> VerifyReport:
        """Hash every artifact again; quarantine what is not what was stored."""
        ...

    def prune(self, *, older_than: timedelta | None, max_size_bytes: int | None) -> PruneReport:
        """Drop entries not used for ``older_than``, then the least recently used over the size."""
        ...
