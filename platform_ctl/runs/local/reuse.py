"""What the engine asks of the step cache; implemented by ``cached_steps``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from platform_ctl.runs.local.graph import TaskInstance
from platform_ctl.runs.local.task_files import TaskFiles
from platform_ctl.runs.record import CacheUse, Outputs, Usage


@dataclass(frozen=True)
class Reused:
    """Outputs of an earlier task, or None, and why: in words and as what the cache did."""

    outputs: Outputs | None
    reason: str
    use: CacheUse
    computed_by: str = ""
    """The run that computes the same result now: it is worth waiting for."""


class Reuse(Protocol):
    """One run's view of the cache."""

    def lookup(self, task: TaskInstance, inputs: Outputs, files: TaskFiles) -> Reused:
        """On a hit the artifacts are in the task's own folder."""
        ...

    def begin(self, task: TaskInstance, inputs: Outputs, files: TaskFiles) -> Reused:
        """Called before a task is executed that ``lookup`` had no result for.

        One task computes a result at a time: another one that wants the same is told who does,
        and asks again; once that has ended it is given the result. ``store`` or ``abandon``
        follows when the task has ended.
        """
        ...

    def abandon(self, task: TaskInstance) -> None:
        """The task ended without a result."""
        ...

    def store(self, task: TaskInstance, inputs: Outputs, outputs: Outputs, usage: Usage) -> Outputs:
        """The outputs with digests filled in; kept for later when the task may be cached."""
        ...
