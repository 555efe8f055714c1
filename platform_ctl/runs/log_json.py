"""What a run does, as JSON objects for a log: fields, levels, trace ids. Pure.

A run is a trace and each of its tasks a span (W3C Trace Context, level 1). Their
ids follow from the run's id and the task's path alone, so that whoever knows
those, a step, a log line or a report, names the same trace without being told.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from platform_ctl.runs.record import ORPHANED, EventKind, Run, RunEvent, RunState, Task, TaskState
from platform_ctl.text import redacted

Line = dict[str, Any]

_LEVELS = {"FAILED": "error", "CANCELED": "warning"}


def trace_id(run_id: str) -> str:
    """32 hex digits: the run's UUID itself."""
    try:
        return uuid.UUID(run_id).hex
    except ValueError:
        return hashlib.sha256(run_id.encode()).hexdigest()[:32]


def span_id(run_id: str, task: str = "") -> str:
    """16 hex digits of a task (its path), or of the run itself."""
    return hashlib.sha256(f"{run_id}/{task}".encode()).hexdigest()[:16]


def traceparent(run_id: str, task: str) -> str:
    """W3C ``traceparent`` of what happens inside a task."""
    return f"00-{trace_id(run_id)}-{span_id(run_id, task)}-01"


def line_of(run: Run, event: RunEvent) -> Line | None:
    """What an event of a run is worth in the log; its end is told by ``run_end``."""
    if event.kind is EventKind.RUN and event.state == RunState.RUNNING:
        resumed = run.started_at is not None
        return _of_run(run, "run.resumed" if resumed else "run.started", RunState.RUNNING)
    if event.kind is EventKind.NOTE:
        line = _of_run(run, "run.note", RunState.RUNNING, "warning")
        return {**line, "message": redacted(event.text)}
    return _of_task(run, event.task) if event.task else None


def run_end(run: Run) -> Line:
    """The last line of a run, from its final record."""
    level = _LEVELS.get(run.state, "info")
    line = _of_run(run, "run.ended", run.state, level)
    if run.duration_s is not None:
        line["duration_s"] = round(run.duration_s, 3)
    if run.verdicts:
        line["verdicts"] = {v.task: v.verdict for v in run.verdicts}
    return _with_error(line, run.error)


def run_death(run_id: str) -> Line:
    """A run's process is gone; whoever noticed writes this."""
    ids = {"trace_id": trace_id(run_id), "span_id": span_id(run_id)}
    line = {"level": "error", "event": "run.died", "run_id": run_id, **ids}
    return _with_error({**line, "state": RunState.FAILED.value}, ORPHANED)


def _of_run(run: Run, event: str, state: str, level: str = "info") -> Line:
    return {
        "level": level,
        "event": event,
        "run_id": run.id,
        "pipeline": run.pipeline,
        "run_name": run.name,
        "trace_id": trace_id(run.id),
        "span_id": span_id(run.id),
        "state": str(state),
    }


def _of_task(run: Run, task: Task) -> Line | None:
    """None for a change that says nothing (a task that waits)."""
    if task.state is TaskState.PENDING:
        return None
    retried = task.state is TaskState.RUNNING and bool(task.error)
    started = task.state is TaskState.RUNNING and not retried
    event = "task.started" if started else "task.retried" if retried else "task.ended"
    line: Line = {
        "level": "warning" if retried else _LEVELS.get(task.state, "info"),
        "event": event,
        "run_id": run.id,
        "pipeline": run.pipeline,
        "task": task.path,
        "trace_id": trace_id(run.id),
        "span_id": span_id(run.id, task.path),
        "parent_span_id": span_id(run.id),
        "state": str(task.state),
    }
    if task.attempts:
        line["attempt"] = task.attempts
    if task.cache:
        line["cache"] = task.cache.partition(":")[0]  # what changed, not from what to what
    if event != "task.started" and task.attempts:
        line["duration_s"] = round(task.usage.wall_s, 3)
        line["cpu_s"] = round(task.usage.cpu_s, 3)
        line["peak_memory_bytes"] = task.usage.peak_memory_bytes
    if isinstance(verdict := task.outputs.parameters.get("verdict"), str):
        line["verdict"] = verdict
    return _with_error(line, task.error)


def _with_error(line: Line, error: str) -> Line:
    """A task that was skipped says why in the same place."""
    return {**line, "error": redacted(error)} if error else line
