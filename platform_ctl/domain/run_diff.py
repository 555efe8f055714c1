"""What changed between two runs of a pipeline: causes first, likeliest first, then their effects.

A difference is a cause when nothing upstream explains it: a pipeline parameter,
what an uncached first task found (the data), code, packages. Input artifacts
and parameters that come from another task are effects of that task's causes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from platform_ctl.domain.cache_diff import diff, short_values
from platform_ctl.domain.cache_key import CacheKeyInputs
from platform_ctl.domain.runs import Run, Task


class Kind(IntEnum):
    """What differs, likeliest cause first; from SEARCH on they are effects."""

    PARAMETER = 1
    PIPELINE = 2
    DATA = 3
    CODE = 4
    PACKAGE = 5
    ENVIRONMENT = 6
    CHANCE = 7
    """The same step with the same inputs gave something else."""
    SEARCH = 8
    VERDICT = 9
    METRIC = 10
    ARTIFACT = 11
    STATE = 12
    COST = 13
    DURATION = 14

    @property
    def is_cause(self) -> bool:
        return self <= Kind.CHANCE


@dataclass(frozen=True)
class Difference:
    """``tasks``: the tasks whose results it bears on."""

    kind: Kind
    what: str
    old: str
    new: str
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Side:
    """A run, and what is known beyond its record."""

    run: Run
    keys: Mapping[str, CacheKeyInputs] = field(default_factory=dict)
    """Task path -> what its result depends on."""
    bound: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Task path -> input parameter -> task that it comes from ("" for the pipeline's own)."""
    money_per_cpu_hour: float = 0.0

    @property
    def tasks(self) -> dict[str, Task]:
        return {t.path: t for t in self.run.tasks}


def compare(old: Side, new: Side) -> tuple[Difference, ...]:
    """Every difference; the first is the likeliest cause of the rest."""
    found = [
        *_parameters(old.run, new),
        *_tasks_there(old, new),
        *_of_keys(old, new),
        *_of_outputs(old, new),
        *_metrics(old, new),
        *_totals(old, new),
    ]
    place = {path: n for n, path in enumerate(new.tasks)}

    def rank(difference: Difference) -> tuple[bool, int, int]:
        """A cause that bears on an earlier step explains more; effects go by what they are."""
        first = min((place.get(t, len(place)) for t in difference.tasks), default=len(place))
        kind = int(difference.kind)
        return (False, first, kind) if difference.kind.is_cause else (True, kind, first)

    return tuple(sorted(_merged(found), key=rank))


# ---- causes ---------------------------------------------------------------------


def _parameters(old: Run, new: Side) -> Iterator[Difference]:
    for name in sorted({*old.parameters, *new.run.parameters}):
        a, b = old.parameters.get(name), new.run.parameters.get(name)
        if a != b:
            yield Difference(Kind.PARAMETER, name, *short_values(a, b), _users(new, name, ""))


def _users(side: Side, name: str, producer: str) -> tuple[str, ...]:
    """Steps that take the parameter from that task ("": from the pipeline), in their order."""
    bound = side.bound
    return tuple(p for p in side.tasks if bound.get(p, {}).get(name, "?") == producer)


def _tasks_there(old: Side, new: Side) -> Iterator[Difference]:
    """Steps that only one of the pipelines has."""
    for path in sorted({*old.bound} ^ {*new.bound}):
        there = ("", "added") if path in new.bound else ("removed", "")
        yield Difference(Kind.PIPELINE, f"step {path}", *there, tasks=(path,))


def _of_keys(old: Side, new: Side) -> Iterator[Difference]:
    for path, now in new.keys.items():
        before = old.keys.get(path)
        for change in diff(before, now) if before else ():
            kind = _kind(change.field, new.bound.get(path, {}))
            if kind is not None:
                yield Difference(kind, change.field, change.old, change.new, (path,))


def _kind(name: str, bound: Mapping[str, str]) -> Kind | None:
    """The kind of a key's field; None for what comes from another task or the pipeline."""
    group, _, rest = name.partition(".")
    if group == "parameters":
        return None if rest in bound else Kind.PIPELINE
    if name.startswith("code.packages"):
        return Kind.PACKAGE
    if group == "code" or name == "component source":
        return Kind.CODE
    if group == "env":
        return Kind.ENVIRONMENT
    return {"image": Kind.ENVIRONMENT, "artifacts": None}.get(group, Kind.PIPELINE)


def _of_outputs(old: Side, new: Side) -> Iterator[Difference]:
    """Output parameters and artifacts of steps that both ran."""
    for path, task in new.tasks.items():
        before = old.tasks.get(path)
        if before is None or not (task.state.good and before.state.good):
            if before is not None and before.state != task.state:
                yield Difference(Kind.STATE, path, before.state, task.state, (path,))
            continue
        source = not task.inputs.parameters and not task.inputs.artifacts
        same = path in new.keys and path in old.keys and not diff(old.keys[path], new.keys[path])
        kind = Kind.DATA if source else Kind.CHANCE if same else Kind.SEARCH
        yield from _parameters_of(new, before, task, kind)
        yield from _artifacts_of(path, before, task, Kind.CHANCE if same else Kind.ARTIFACT)


def _parameters_of(new: Side, before: Task, task: Task, kind: Kind) -> Iterator[Difference]:
    for name, now in task.outputs.parameters.items():
        then = before.outputs.parameters.get(name)
        if now == then or name in ("summary", "next_command", "reasons"):
            continue
        told = Kind.VERDICT if name == "verdict" else kind
        users = _users(new, name, task.name) if kind is Kind.DATA else ()
        ends = short_values(then, now)
        yield Difference(told, f"{task.path}.{name}", *ends, tasks=users or (task.path,))


def _artifacts_of(path: str, before: Task, task: Task, kind: Kind) -> Iterator[Difference]:
    for name, now in task.outputs.artifacts.items():
        a = [x.digest for x in before.outputs.artifacts.get(name, ())]
        b = [x.digest for x in now]
        if a != b:
            ends = (",".join(x[:12] for x in some) for some in (a, b))
            yield Difference(kind, f"{path}.{name}", *ends, tasks=(path,))


# ---- effects --------------------------------------------------------------------


def _metrics(old: Side, new: Side) -> Iterator[Difference]:
    """Numbers of ``system.Metrics`` artifacts, and the change in percent."""
    before, now = _numbers(old.run), _numbers(new.run)
    for name in sorted({*before} & {*now}):
        a, b = before[name], now[name]
        if a != b:
            change = f" ({100 * (b / a - 1):+.1f} %)" if a else ""
            yield Difference(Kind.METRIC, name, f"{a:.4g}", f"{b:.4g}{change}")


def _numbers(run: Run) -> dict[str, float]:
    return {
        f"{task.path}.{name}": float(value)
        for task in run.tasks
        for artifacts in task.outputs.artifacts.values()
        for artifact in artifacts
        if artifact.schema_title == "system.Metrics"
        for name, value in artifact.metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _totals(old: Side, new: Side) -> Iterator[Difference]:
    """Cost and duration, where they differ by more than a tenth."""
    a, b = _cpu_s(old.run), _cpu_s(new.run)
    if _apart(a, b):
        words = (f"{s:.1f} cpu-s, {s / 3600 * new.money_per_cpu_hour:.4f} money" for s in (a, b))
        yield Difference(Kind.COST, "cost", *words)
    before = old.tasks
    for path, task in new.tasks.items():
        if path in before and _apart(before[path].usage.wall_s, task.usage.wall_s):
            took = (f"{t.usage.wall_s:.1f} s ({t.state})" for t in (before[path], task))
            yield Difference(Kind.DURATION, path, *took, tasks=(path,))


def _cpu_s(run: Run) -> float:
    return sum(t.usage.cpu_s for t in run.tasks)


def _apart(a: float, b: float) -> bool:
    return abs(a - b) > max(0.1 * max(a, b), 0.1)


def _merged(found: list[Difference]) -> list[Difference]:
    """The same change seen by several tasks is one."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for d in found:
        groups.setdefault((d.kind, d.what, d.old, d.new), []).extend(d.tasks)
    return [Difference(*key, tuple(dict.fromkeys(tasks))) for key, tasks in groups.items()]
