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


class Reuse(Protocol):
    """One run's view of the cache."""

    def lookup(self, task: TaskInstance, inputs: Outputs, files: TaskFiles) -> Reused:
        """On a hit the artifacts are in the task's own folder."""
        ...

    def store(self, task: TaskInstance, inputs: Outputs, outputs: Outputs, usage: Usage) -> Outputs:
        """The outputs with digests filled in; kept for later when the task may be cached."""
        ...
