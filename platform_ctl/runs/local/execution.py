"""Executes leaves: takes over what a resumed run has, asks the cache, starts steps, retries.

``start`` answers at once when nothing must run, else the task is queued;
``wait`` starts queued tasks while there is room and returns what ended.
"""

from __future__ import annotations

import collections
import hashlib
import heapq
import itertools
import json
import selectors
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from platform_ctl.errors import StepFailed
from platform_ctl.ir.pipeline import Container, Pipeline
from platform_ctl.ir.support import thin_component
from platform_ctl.runs.local import importer
from platform_ctl.runs.local.graph import RunContext, TaskInstance
from platform_ctl.runs.local.records import now
from platform_ctl.runs.local.reuse import Reuse, Reused
from platform_ctl.runs.local.steps import Exited, StepCommand, Steps
from platform_ctl.runs.local.task_files import TaskFiles
from platform_ctl.runs.log_json import traceparent
from platform_ctl.runs.record import Outputs, Task, TaskState, Usage

_ASK_AGAIN_S = 0.2
"""Between two questions whether the result that is waited for is there."""
GRACE_S = 1.0
"""Between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class TaskOutcome:
    """How a leaf ended; ``task`` is its record."""

    state: TaskState
    task: Task | None = None
    outputs: Outputs = field(default_factory=Outputs)
    error: str = ""


@dataclass(eq=False)
class Attempt:
    """A leaf that must be executed: queued, running, or waiting for its next try."""

    task: TaskInstance
    inputs: Outputs
    record: Task
    files: TaskFiles
    number: int = 0
    begun: float = 0.0
    deadline: float | None = None
    killed: str = ""
    """Why we are ending it: a timeout, or the run's end."""
    usage: Usage = field(default_factory=Usage)
    waits_for: str = ""
    """The run that computes the same."""


class Execution:
    """One per run. ``finished`` are the records that a resumed run takes over, by path."""

    def __init__(
        self,
        pipeline: Pipeline,
        facts: RunContext,
        steps: Steps,
        env: Mapping[str, str],
        on_change: Callable[[Task], None],
        *,
        max_parallel: int,
        wakeup: selectors.BaseSelector,
        reuse: Reuse,
        finished: Mapping[str, Task],
    ) -> None:
        self._pipeline, self._facts, self._steps, self._env = pipeline, facts, steps, env
        self._on_change = on_change
        self._max_parallel = max_parallel
        self._selector = wakeup
        self._reuse = reuse
        self._finished = finished
        self._queue: collections.deque[Attempt] = collections.deque()
        self._running: dict[str, Attempt] = {}
        self._waiting: collections.deque[Attempt] = collections.deque()
        self._retries: list[tuple[float, int, Attempt]] = []
        self._order = itertools.count()
        self._root = Path(facts.root)
        limit = pipeline.kubernetes_pipeline.get("activeDeadlineSeconds")
        self._deadline = time.monotonic() + float(limit) if limit else None
        self._watched: socket.socket | None = None

    @property
    def overdue(self) -> bool:
        """Whether the whole run has taken longer than its ``activeDeadlineSeconds``."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    # ---- start ------------------------------------------------------------

    def start(self, task: TaskInstance, inputs: Outputs) -> TaskOutcome | None:
        """The outcome when nothing must be executed; else None, and ``wait`` brings it."""
        files = TaskFiles(self._root / "tasks" / task.path)
        digest = _digest(task.component.executor_label, inputs)
        record = Task(
            task.path,
            task.name,
            task.spec.component_ref.name,
            TaskState.PENDING,
            inputs=inputs,
            inputs_digest=digest,
            log=str(files.log.relative_to(self._root)),
        )
        earlier = self._finished.get(task.path)
        if earlier and earlier.inputs_digest == digest:
            return TaskOutcome(earlier.state, None, earlier.outputs)
        if self._pipeline.executor_of(task.component).importer:
            return self._import(task, record, files)
        shutil.rmtree(files.folder, ignore_errors=True)
        cached = self._reuse.lookup(task, inputs, files)
        if cached.outputs is not None:
            return _taken_over(record, cached, cached.outputs)
        record = replace(record, cache=cached.reason, cache_use=cached.use)
        self._queue.append(Attempt(task, inputs, record, files))
        return None

    def _import(self, task: TaskInstance, record: Task, files: TaskFiles) -> TaskOutcome:
        """Importers run here: a path is looked up, a remote address is downloaded."""
        record = replace(record, state=TaskState.RUNNING, started_at=now(), log="")
        begun = time.monotonic()
        try:
            outputs = importer.run(self._pipeline, task, record.inputs, files, self._facts)
        except StepFailed as exc:
            done = replace(record, state=TaskState.FAILED, ended_at=now(), error=exc.what)
            return TaskOutcome(TaskState.FAILED, done, error=exc.what)
        done = replace(
            record,
            state=TaskState.SUCCEEDED,
            ended_at=now(),
            attempts=1,
            outputs=outputs,
            usage=Usage(wall_s=time.monotonic() - begun),
        )
        return TaskOutcome(TaskState.SUCCEEDED, done, outputs)

    def _launch(self, attempt: Attempt) -> None:
        task = attempt.task
        container = self._container(task)
        thin = thin_component(container)
        if thin is None:
            raise StepFailed("not a lightweight Python component")
        attempt.number += 1
        attempt.killed = ""
        attempt.files.prepare(task.component, attempt.inputs)
        source = self._root / "components" / task.component.executor_label
        source = source / "ephemeral_component.py"
        if not source.exists():
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(thin.source, encoding="utf-8")
        attempt.begun = time.monotonic()
        timeout = self._pipeline.kubernetes(task.component.executor_label).get(
            "activeDeadlineSeconds"
        )
        attempt.deadline = attempt.begun + float(timeout) if timeout else None
        attempt.record = replace(
            attempt.record,
            state=TaskState.RUNNING,
            started_at=attempt.record.started_at or now(),
            attempts=attempt.number,
        )
        self._on_change(attempt.record)
        self._running[task.path] = attempt
        self._steps.start(
            StepCommand(
                id=task.path,
                source=str(source),
                function=thin.function,
                input=str(attempt.files.input),
                log=str(attempt.files.log),
                env=self._environment(task, container),
            )
        )

    def _container(self, task: TaskInstance) -> Container:
        container = self._pipeline.executor_of(task.component).container
        if container is None:
            raise StepFailed("not a container")
        return container

    def _environment(self, task: TaskInstance, container: Container) -> dict[str, str]:
        return {
            **self._env,
            "_KFP_RUNTIME": "true",
            "PLATFORM_TASK_NAME": task.path,
            "TRACEPARENT": traceparent(self._facts.run_id, task.path),
            **{variable.name: variable.value for variable in container.env},
        }

    # ---- wait -------------------------------------------------------------

    def wait(self) -> list[tuple[TaskInstance, TaskOutcome]]:
        """Start what there is room for, then wait until something ended or a signal came."""
        ended: list[tuple[TaskInstance, TaskOutcome]] = []
        self._queue.extend(self._waiting)
        self._waiting.clear()
        while self._queue and len(self._running) < self._max_parallel:
            attempt = self._queue.popleft()
            try:
                outcome = self._begin(attempt)
            except (StepFailed, OSError) as exc:
                self._running.pop(attempt.task.path, None)
                outcome = self._end(attempt, _failure(exc))
            if outcome is not None:
                ended.append(outcome)
        if ended:
            return ended
        self._watch()
        for key, _ in self._selector.select(self._timeout()):
            if key.fileobj is self._steps.socket:
                for exited in self._steps.events():
                    outcome = self._exited(exited)
                    if outcome is not None:
                        ended.append(outcome)
            else:
                self._drain(key.fileobj)
        self._enforce_deadlines()
        self._requeue()
        return ended

    @staticmethod
    def _drain(wakeup: object) -> None:
        """A signal has come: the byte that says so has done its work."""
        if isinstance(wakeup, socket.socket):
            wakeup.recv(4096)

    def _begin(self, attempt: Attempt) -> tuple[TaskInstance, TaskOutcome] | None:
        """Launch it, unless the same is being computed, or has been computed meanwhile."""
        reused = self._reuse.begin(attempt.task, attempt.inputs, attempt.files)
        if reused.outputs is not None:
            return attempt.task, _taken_over(attempt.record, reused, reused.outputs)
        if reused.computed_by:
            self._wait_for(attempt, reused.computed_by)
        else:
            self._launch(attempt)
        return None

    def _wait_for(self, attempt: Attempt, run_id: str) -> None:
        if attempt.waits_for != run_id:
            attempt.waits_for = run_id
            cache = f"run {run_id[:8]} computes the same step: waiting for its result"
            self._on_change(replace(attempt.record, cache=cache))
        self._waiting.append(attempt)

    def _watch(self) -> None:
        """Listen to the step server, which may have been started (again) just now."""
        current = self._steps.socket
        if self._watched is not current:
            if self._watched is not None:
                self._selector.unregister(self._watched)
            if current is not None:
                self._selector.register(current, selectors.EVENT_READ)
            self._watched = current

    def _timeout(self) -> float | None:
        deadlines = [a.deadline for a in self._running.values() if a.deadline is not None]
        deadlines += [self._retries[0][0]] if self._retries else []
        deadlines += [self._deadline] if self._deadline else []
        deadlines += [time.monotonic() + _ASK_AGAIN_S] if self._waiting else []
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _enforce_deadlines(self) -> None:
        """SIGTERM when the time is over, SIGKILL a grace period later."""
        for path, attempt in self._running.items():
            if attempt.deadline is None or time.monotonic() < attempt.deadline:
                continue
            if attempt.killed:
                self._steps.signal(path, signal.SIGKILL)
                attempt.deadline = None
            else:
                attempt.killed = f"timed out after {attempt.deadline - attempt.begun:g} s"
                self._steps.signal(path, signal.SIGTERM)
                attempt.deadline = time.monotonic() + GRACE_S

    def _requeue(self) -> None:
        while self._retries and self._retries[0][0] <= time.monotonic():
            self._queue.append(heapq.heappop(self._retries)[2])

    # ---- end --------------------------------------------------------------

    def _exited(self, exited: Exited) -> tuple[TaskInstance, TaskOutcome] | None:
        attempt = self._running.pop(exited.id, None)
        if attempt is None:
            return None
        before = attempt.usage
        attempt.usage = Usage(
            wall_s=round(before.wall_s + time.monotonic() - attempt.begun, 6),
            cpu_s=round(before.cpu_s + exited.cpu_s, 6),
            peak_memory_bytes=max(before.peak_memory_bytes, exited.peak_memory_bytes),
        )
        error = attempt.killed or exited.reason
        if not error and exited.status != 0:
            error = attempt.files.failure(exited.status)
        if not error:
            try:
                return self._succeed(attempt)
            except StepFailed as exc:
                error = exc.what
        policy = attempt.task.spec.retry_policy
        if attempt.number <= policy.max_retry_count:
            due = time.monotonic() + policy.delay_s(attempt.number)
            heapq.heappush(self._retries, (due, next(self._order), attempt))
            self._on_change(replace(attempt.record, error=error, usage=attempt.usage))
            return None
        return self._end(attempt, error)

    def _succeed(self, attempt: Attempt) -> tuple[TaskInstance, TaskOutcome]:
        outputs = attempt.files.outputs(attempt.task.component)
        outputs = self._reuse.store(attempt.task, attempt.inputs, outputs, attempt.usage)
        record = replace(
            attempt.record,
            state=TaskState.SUCCEEDED,
            ended_at=now(),
            outputs=outputs,
            usage=attempt.usage,
        )
        return attempt.task, TaskOutcome(TaskState.SUCCEEDED, record, outputs)

    def _end(
        self, attempt: Attempt, error: str, state: TaskState = TaskState.FAILED
    ) -> tuple[TaskInstance, TaskOutcome]:
        self._reuse.abandon(attempt.task)
        record = replace(
            attempt.record, state=state, ended_at=now(), error=error, usage=attempt.usage
        )
        return attempt.task, TaskOutcome(state, record, error=error)

    def cancel(self, reason: str) -> list[tuple[TaskInstance, TaskOutcome]]:
        """End every step: politely, then for certain after the grace period."""
        waiting = [*self._queue, *self._waiting, *(attempt for _, _, attempt in self._retries)]
        self._queue.clear()
        self._waiting.clear()
        self._retries.clear()
        for path in self._running:
            self._steps.signal(path, signal.SIGTERM)
        ended = []
        deadline = time.monotonic() + GRACE_S
        while self._running and time.monotonic() < deadline:
            self._watch()
            for key, _ in self._selector.select(deadline - time.monotonic()):
                if key.fileobj is not self._steps.socket:
                    self._drain(key.fileobj)
                    continue
                for exited in self._steps.events():
                    attempt = self._running.pop(exited.id, None)
                    if attempt:
                        ended.append(self._end(attempt, reason, TaskState.CANCELED))
        for attempt in [*self._running.values(), *waiting]:
            ended.append(self._end(attempt, reason, TaskState.CANCELED))
        self._running.clear()
        return ended


def _digest(executor: str, inputs: Outputs) -> str:
    """Of what a task is given: a resumed run takes a result over only for the same inputs."""
    artifacts = {
        name: [[a.uri, a.digest, a.schema_title, dict(a.metadata)] for a in some]
        for name, some in inputs.artifacts.items()
    }
    document = json.dumps([executor, dict(inputs.parameters), artifacts], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


def _taken_over(record: Task, reused: Reused, outputs: Outputs) -> TaskOutcome:
    done = replace(
        record,
        state=TaskState.CACHED,
        started_at=now(),
        ended_at=now(),
        outputs=outputs,
        cache=reused.reason,
        cache_use=reused.use,
        log="",
    )
    return TaskOutcome(TaskState.CACHED, done, outputs)


def _failure(exc: StepFailed | OSError) -> str:
    return exc.what if isinstance(exc, StepFailed) else f"the task's folder: {exc}"
