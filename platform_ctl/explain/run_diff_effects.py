"""What the causes did: drift of features, metrics with their uncertainty, cost, duration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from platform_ctl.explain.compared import ComparedRun, DifferenceKind, RunDifference
from platform_ctl.recipe.bootstrap import Estimate
from platform_ctl.runs.budget import Cost
from platform_ctl.runs.record import Run, RunState, Task, TaskState
from platform_ctl.text import duration

SHOWN = 5
"""Features told by name; the rest are counted."""


def drifted(old: ComparedRun, new: ComparedRun) -> Iterator[RunDifference]:
    """The features whose training rows are furthest apart, as far as it is more than chance."""
    from platform_ctl.explain.drift import LARGE, drift

    if not old.features or not new.features:
        return
    notable = [d for d in drift(old.features, new.features) if d.notable]
    for d in notable[:SHOWN]:
        size = "large" if d.psi >= LARGE else "moderate"
        detail = f"PSI {d.psi:.2f} ({size}), KS {d.ks:.2f}"
        then, now = f"median {d.median_then:.4g}", f"median {d.median_now:.4g}"
        yield RunDifference(DifferenceKind.DRIFT, d.feature, then, now, detail=detail)
    if len(notable) > SHOWN:
        yield RunDifference(DifferenceKind.DRIFT, f"{len(notable) - SHOWN} more features", "", "")


def metrics(old: ComparedRun, new: ComparedRun) -> Iterator[RunDifference]:
    """Numbers of ``system.Metrics`` artifacts, the change in percent, and whether it is one."""
    before, now = _numbers(old.run), _numbers(new.run)
    changed = [name for name in sorted({*before} & {*now}) if before[name] != now[name]]
    estimates, note = _estimates(old, new) if changed else ({}, "")
    for name in changed:
        a, b = before[name], now[name]
        change = f" ({100 * (b / a - 1):+.1f} %)" if a else ""
        estimate = estimates.get(name.rpartition(".")[2])
        detail = _interval(estimate) if estimate else note
        step = (name.rpartition(".")[0],)
        yield RunDifference(
            DifferenceKind.METRIC, name, f"{a:.4g}", f"{b:.4g}{change}", step, detail
        )


def totals(old: ComparedRun, new: ComparedRun) -> Iterator[RunDifference]:
    """Cost and durations, where they differ by more than a tenth."""
    if _apart(old.cost.cpu_s, new.cost.cpu_s):
        yield RunDifference(DifferenceKind.COST, "cost", _cost(old.cost), _cost(new.cost))
    if old.run.state is new.run.state is RunState.SUCCEEDED:
        took = [s.run.duration_s or 0.0 for s in (old, new)]
        if _apart(*took):
            then, now = map(duration, took)
            yield RunDifference(DifferenceKind.DURATION, "the run", then, now)
    yield from _steps(old.tasks, new.tasks)


def _steps(before: Mapping[str, Task], now: Mapping[str, Task]) -> Iterator[RunDifference]:
    """How long steps took that both runs executed; those from a cache are counted."""
    there = [path for path in now if path in before]
    cached = [
        {path for path in there if tasks[path].state is TaskState.CACHED} for tasks in (before, now)
    ]
    if cached[0] != cached[1]:
        moved = tuple(path for path in there if path in cached[0] ^ cached[1])
        then, later = (str(len(some)) for some in cached)
        yield RunDifference(
            DifferenceKind.DURATION, "steps served from the cache", then, later, tasks=moved
        )
    for path in there:
        took = [tasks[path].usage.wall_s for tasks in (before, now)]
        if path not in cached[0] | cached[1] and _apart(*took):
            then, later = map(duration, took)
            yield RunDifference(DifferenceKind.DURATION, path, then, later, tasks=(path,))


def _numbers(run: Run) -> dict[str, float]:
    return {f"{task.path}.{name}": value for task in run.tasks for name, value in task.metrics}


def _estimates(old: ComparedRun, new: ComparedRun) -> tuple[dict[str, Estimate], str]:
    """Of the metrics that can be paired; else why not."""
    if not old.errors or not new.errors:
        return {}, ""
    from platform_ctl.explain.score_change import change

    estimate = change(old.errors, new.errors)
    if estimate is None:
        return {}, "not comparable: other golden rows"
    return {new.loss: estimate}, ""


def _interval(ratio: Estimate) -> str:
    """A ratio of new to old as a change in percent, and whether it excludes no change."""
    low, high = (100 * (bound - 1) for bound in (ratio.low, ratio.high))
    clear = "" if ratio.low > 1 or ratio.high < 1 else "; within noise"
    return f"95 % interval {low:+.1f} % to {high:+.1f} %{clear}"


def _cost(cost: Cost) -> str:
    trials = f", {cost.trials} trials" if cost.trials else ""
    return f"{cost.cpu_s:.1f} cpu-s, {cost.money:.4f} money{trials}"


def _apart(a: float, b: float) -> bool:
    return abs(a - b) > max(0.1 * max(a, b), 0.1)
