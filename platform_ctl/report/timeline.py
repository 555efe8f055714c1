"""When each step ran, and the chain of steps that the run had to wait for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.report.dag import key_of
from platform_ctl.runs.record import Run, Task, TaskState
from platform_ctl.text import duration

_THINNEST_PERCENT = 0.4
"""A bar that nobody can see says nothing."""


@dataclass(frozen=True)
class Bar:
    """One task; ``start`` and ``width`` in percent of the run."""

    start: float
    width: float
    state: str
    title: str
    critical: bool = False


@dataclass(frozen=True)
class Lane:
    """One step, by the end of its path where that is enough; a loop's iterations share it."""

    label: str
    bars: tuple[Bar, ...]
    note: str
    critical: bool


@dataclass(frozen=True)
class Timeline:
    """``critical``: paths of the tasks that no other work could have hidden, in their order."""

    wall_s: float
    lanes: tuple[Lane, ...] = ()
    critical: tuple[str, ...] = ()
    critical_s: float = 0.0


def timeline(run: Run, pipeline: Pipeline | None, now: str) -> Timeline:
    """Lanes in the order of their starts. ``now`` ends what still runs (UTC ISO 8601)."""
    timed = [t for t in run.tasks if t.started_at]
    if not timed:
        return Timeline(0.0)
    begins = min(
        [_s(t.started_at) for t in timed] + ([_s(run.started_at)] if run.started_at else [])
    )
    ends = max([_end(t, now) for t in timed] + ([_s(run.ended_at)] if run.ended_at else []))
    wall_s = max(ends - begins, 1e-3)
    chain = critical_path(run, pipeline, now)
    lanes: dict[str, list[Task]] = {}
    for task in sorted(timed, key=lambda t: (t.started_at or "", t.path)):
        lanes.setdefault(key_of(task.path), []).append(task)

    def bar(task: Task) -> Bar:
        start = 100 * (_s(task.started_at) - begins) / wall_s
        width = max(100 * _took(task, now) / wall_s, _THINNEST_PERCENT)
        title = f"{task.path}: {task.state}, {duration(_took(task, now))}"
        start = min(start, 100 - width)
        return Bar(round(start, 2), round(width, 2), str(task.state), title, task.path in chain)

    ends_of = Counter(key.rpartition(".")[2] for key in lanes)
    rows = tuple(
        Lane(
            key.rpartition(".")[2] if ends_of[key.rpartition(".")[2]] == 1 else key,
            tuple(map(bar, tasks)),
            _note(tasks, now),
            any(t.path in chain for t in tasks),
        )
        for key, tasks in lanes.items()
    )
    by_path = {t.path: t for t in timed}
    return Timeline(wall_s, rows, chain, sum(_took(by_path[p], now) for p in chain))


def critical_path(run: Run, pipeline: Pipeline | None, now: str) -> tuple[str, ...]:
    """From the task that ended last back through whichever of its inputs came last."""
    done = {t.path: t for t in run.tasks if t.started_at and t.state is not TaskState.SKIPPED}
    if pipeline is None or not done:
        return ()
    last = max(done.values(), key=lambda t: (_end(t, now), t.path))
    chain = [last.path]
    while True:
        before = [done[p] for p in upstream(pipeline, chain[-1], done) if p not in chain]
        if not before:
            return tuple(p for p in reversed(chain) if done[p].state is not TaskState.CACHED)
        chain.append(max(before, key=lambda t: (_end(t, now), t.path)).path)


def upstream(pipeline: Pipeline, path: str, known: Mapping[str, object]) -> list[str]:
    """The known leaves that a leaf, or a group it is in, waits for."""
    component, prefix, paths = pipeline.root, "", set()
    for part in path.split("."):
        if part.isdigit() and part not in component.tasks:
            prefix += f"{part}."
            continue
        spec = component.tasks.get(part)
        if spec is None:
            break
        for name in spec.upstream():
            above = prefix + name
            paths |= {p for p in known if p == above or p.startswith(f"{above}.")}
        component, prefix = pipeline.component_of(spec), f"{prefix}{part}."
    return sorted(paths)


def _note(tasks: list[Task], now: str) -> str:
    if len(tasks) == 1:
        only = tasks[0]
        return "cached" if only.state is TaskState.CACHED else duration(_took(only, now))
    return f"{len(tasks)} × {duration(sum(_took(t, now) for t in tasks) / len(tasks))}"


def _took(task: Task, now: str) -> float:
    return max(0.0, _end(task, now) - _s(task.started_at))


def _end(task: Task, now: str) -> float:
    return _s(task.ended_at or (now if not task.state.final else task.started_at))


def _s(moment: str | None) -> float:
    return datetime.fromisoformat(moment or "").timestamp()
