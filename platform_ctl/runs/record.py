"""Records of runs and tasks, and what an orchestrator is asked for.

Times are UTC ISO 8601 strings with milliseconds; durations end in ``_s``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

ORPHANED = "orphaned: the process of the run died"
"""What the record of an orphaned run says to people."""


METRICS = "system.Metrics"
"""Schema title of the artifacts that hold figures."""


class RunState(StrEnum):
    """KFP's run states."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def final(self) -> bool:
        return self not in (RunState.PENDING, RunState.RUNNING)


class TaskState(StrEnum):
    """KFP's task states; CACHED is a success that was not executed."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    CACHED = "CACHED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def final(self) -> bool:
        return self not in (TaskState.PENDING, TaskState.RUNNING)

    @property
    def good(self) -> bool:
        return self in (TaskState.SUCCEEDED, TaskState.CACHED)


class SkippedBy(StrEnum):
    """Why a task was not executed."""

    CONDITION = "condition"
    """Its own condition, or that of a DAG around it, is false."""
    UPSTREAM = "upstream"
    """Something that it waits for failed or was skipped itself."""


class CacheUse(StrEnum):
    """What the step cache did for a task."""

    HIT = "HIT"
    MISS = "MISS"
    BYPASS = "BYPASS"
    """Nobody asked it: caching is off for the task or for the run."""


@dataclass(frozen=True)
class Blocker:
    """What keeps a task from going on, or made it end, as the cluster names it."""

    reason: str
    """A word of the Kubernetes API: ``ImagePullBackOff``, ``Unschedulable``, ``OOMKilled``."""
    message: str = ""
    """The cluster's own sentence, for people."""
    lasting: bool = False
    """Whether no waiting ends it."""
    pod: str = ""
    container: str = ""
    exit_code: int | None = None
    fix: str = ""
    """A command that looks at the cause."""
    of_job: bool = False
    """Whether it is about a job that the step made and waits for, not about the step's own pod."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}" if self.message else self.reason


ERROR_FILE = "error.json"
"""Beside a task's log: ``PlatformError.as_dict`` of what ended the step, if it was one."""


def elapsed_s(started_at: str | None, ended_at: str | None) -> float | None:
    """From one moment to the other; None as long as one of them is missing."""
    if not started_at or not ended_at:
        return None
    begun, ended = datetime.fromisoformat(started_at), datetime.fromisoformat(ended_at)
    return (ended - begun).total_seconds()


@dataclass(frozen=True)
class Artifact:
    """One runtime artifact. ``uri`` is a local path here, a bucket URI on a cluster."""

    name: str
    uri: str
    schema_title: str = "system.Artifact"
    schema_version: str = "0.0.1"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    """Of its bytes; empty until it was measured."""
    size_bytes: int = 0


@dataclass(frozen=True)
class Outputs:
    """What a task produced. An artifact output is always a list, usually of one."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """Of one executed step and every process it waited for."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0


@dataclass(frozen=True)
class Task:
    """One executed, reused or skipped leaf of a run."""

    path: str
    """Task names from the root, joined by dots; iterations are numbers: ``for-loop-1.0.add``."""
    name: str
    component: str
    state: TaskState
    started_at: str | None = None
    ended_at: str | None = None
    attempts: int = 0
    error: str = ""
    usage: Usage = Usage()
    inputs: Outputs = Outputs()
    outputs: Outputs = Outputs()
    inputs_digest: str = ""
    cache: str = ""
    """Why it was or was not served from the cache, in a few words, for people."""
    cache_use: CacheUse | None = None
    """None for a task that never came to the cache."""
    skipped_by: SkippedBy | None = None
    """Of a SKIPPED task."""
    skip_cause: str = ""
    """Path of the task whose condition is false, or that failed or was skipped before it."""
    blocker: Blocker | None = None
    """None where nothing is known to be in its way."""
    log: str = ""
    """Path of the log, relative to the run's directory; on a cluster, the node that wrote it."""
    failure: Mapping[str, str] = field(default_factory=dict)
    """``PlatformError.as_dict`` of what ended the step, where it was one and no ``ERROR_FILE``
    holds it."""

    @property
    def artifacts(self) -> Iterator[Artifact]:
        """Everything that it made."""
        return (a for some in self.outputs.artifacts.values() for a in some)

    @property
    def metrics(self) -> Iterator[tuple[str, float]]:
        """Names and numbers of its ``system.Metrics``."""
        for artifact in self.artifacts:
            if artifact.schema_title == METRICS:
                for name, value in artifact.metadata.items():
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        yield name, float(value)


@dataclass(frozen=True)
class TaskVerdict:
    """An output named ``verdict``, with ``reasons`` beside it."""

    task: str
    verdict: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One execution of a pipeline."""

    id: str
    name: str
    pipeline: str
    """Its name; empty where nothing tells it any more, and nothing names the tasks either."""
    state: RunState
    created_at: str
    directory: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    started_at: str | None = None
    ended_at: str | None = None
    use_cache: bool = True
    scheduled_at: str = ""
    """The slot of the schedule that started it; empty for a run that nobody scheduled."""
    error: str = ""
    orphaned: bool = False
    """Whether its process ended without a word: killed, or the machine went down."""
    pid: int | None = None
    verdicts: tuple[TaskVerdict, ...] = ()
    outputs: Outputs = field(default_factory=Outputs)
    """Of the pipeline itself."""
    tasks: tuple[Task, ...] = ()
    """Filled by ``get``; ``list`` leaves it empty."""

    @property
    def duration_s(self) -> float | None:
        """None before it has ended, and for one that never started."""
        return elapsed_s(self.started_at, self.ended_at)

    @property
    def stuck(self) -> tuple[Task, ...]:
        """The tasks of a run that has not ended and never will by itself; else none.

        A run in which another task still works is not stuck yet.
        """
        waiting = [t for t in self.tasks if t.state is TaskState.RUNNING]
        held = tuple(t for t in self.tasks if t.blocker and t.blocker.lasting)
        if self.state.final or any(t not in held for t in waiting):
            return ()
        return held

    @property
    def died(self) -> bool:
        """Not by its own failure, nor cancelled."""
        return self.state is RunState.FAILED and self.orphaned


@dataclass(frozen=True)
class RunRequest:
    """What to run. ``parameters`` are typed values, checked before anything starts."""

    pipeline: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    use_cache: bool = True
    idempotency_key: str = ""
    """Two submissions with the same key are one run."""
    scheduled_at: str = ""
    """The slot of a schedule, as ``created_at`` is written; KFP's schedule-time placeholder."""


class EventKind(StrEnum):
    RUN = "run"
    TASK = "task"
    NOTE = "note"


@dataclass(frozen=True)
class RunEvent:
    """Something to show: a run or task changed state, or a line to read."""

    kind: EventKind
    run_id: str
    state: str = ""
    task: Task | None = None
    text: str = ""
