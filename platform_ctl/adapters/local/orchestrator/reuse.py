"""What the engine asks of the step cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from platform_ctl.adapters.local.orchestrator.graph import TaskInstance
from platform_ctl.adapters.local.orchestrator.task_files import TaskFiles
from platform_ctl.domain.runs import Outputs, Usage


@dataclass(frozen=True)
class Reused:
    """Outputs of an earlier task, or None, and why."""

    outputs: Outputs | None
    reason: str


class Reuse(Protocol):
    def lookup(self, task: TaskInstance, inputs: Outputs, files: TaskFiles) -> Reused: ...

    def store(self, task: TaskInstance, inputs: Outputs, outputs: Outputs, usage: Usage) -> Outputs:
        """The outputs with digests filled in; kept for later when the task may be cached."""
        ...


class NoReuse:
    """Nothing is looked up and nothing is kept."""

    def lookup(self, task: TaskInstance, inputs: Outputs, files: TaskFiles) -> Reused:
        return Reused(None, "caching is off")

    def store(self, task: TaskInstance, inputs: Outputs, outputs: Outputs, usage: Usage) -> Outputs:
        return outputs
