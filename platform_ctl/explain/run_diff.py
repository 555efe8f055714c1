"""Compares two runs of a pipeline: causes, likeliest first, then their effects.

A difference is a cause when nothing upstream explains it: a pipeline parameter,
what an uncached first task found (the data), code, packages. Input artifacts
and parameters that come from another task are effects of that task's causes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from platform_ctl.explain import run_diff_effects as effects
from platform_ctl.explain.compared import ComparedRun, DifferenceKind, RunDifference
from platform_ctl.recipe.tables import TableState
from platform_ctl.runs.cache.diff import diff, short_values
from platform_ctl.runs.record import Run, Task

_MODULE = "code.modules."
_SEARCH = "search"
"""A search is a task with an artifact of this name; its parameters are what it chose."""
_TOLD = ("summary", "next_command", "reasons")
"""Outputs for people: what they say follows from the others."""


def compare(old: ComparedRun, new: ComparedRun) -> tuple[RunDifference, ...]:
    """Every difference; the first is the likeliest cause of the rest."""
    differences = [
        *_parameters(old.run, new),
        *_tasks_there(old, new),
        *_of_keys(old, new),
        *_of_outputs(old, new),
        *effects.drifted(old, new),
        *effects.metrics(old, new),
        *effects.totals(old, new),
    ]
    place = {path: n for n, path in enumerate(new.tasks)}

    def rank(difference: RunDifference) -> tuple[bool, int, int]:
        """A cause that bears on an earlier step explains more; effects go by what they are."""
        first = min((place.get(t, len(place)) for t in difference.tasks), default=len(place))
        kind = int(difference.kind)
        return (False, first, kind) if difference.kind.is_cause else (True, kind, first)

    return tuple(sorted(_merged(differences), key=rank))


# ---- causes ---------------------------------------------------------------------


def _parameters(old: Run, new: ComparedRun) -> Iterator[RunDifference]:
    for name in sorted({*old.parameters, *new.run.parameters}):
        a, b = old.parameters.get(name), new.run.parameters.get(name)
        if a != b:
            yield RunDifference(
                DifferenceKind.PARAMETER, name, *short_values(a, b), _users(new, name, "")
            )


def _users(side: ComparedRun, name: str, producer: str) -> tuple[str, ...]:
    """Steps that take the parameter from that task ("": from the pipeline), in their order."""
    bound = side.bound
    return tuple(p for p in side.tasks if bound.get(p, {}).get(name, "?") == producer)


def _tasks_there(old: ComparedRun, new: ComparedRun) -> Iterator[RunDifference]:
    """Steps that only one of the pipelines has."""
    for path in sorted({*old.bound} ^ {*new.bound}):
        there = ("", "added") if path in new.bound else ("removed", "")
        yield RunDifference(DifferenceKind.PIPELINE, f"step {path}", *there, tasks=(path,))


def _of_keys(old: ComparedRun, new: ComparedRun) -> Iterator[RunDifference]:
    """What differs in the keys: what was edited, then what is reached now and was not, or the
    other way round, because that follows from an edit."""
    for path, now in new.keys.items():
        before = old.keys.get(path)
        differences: list[RunDifference] = []
        for change in diff(before, now) if before else ():
            kind = _kind(change.field, new.bound.get(path, {}))
            if kind is None:
                continue
            module = change.field.removeprefix(_MODULE)
            functions = _functions(old, new, path, module) if module != change.field else []
            whole = RunDifference(kind, change.field, change.old, change.new, (path,))
            differences += functions or [whole]
        yield from sorted(differences, key=lambda d: not (d.old and d.new))


def _kind(name: str, bound: Mapping[str, str]) -> DifferenceKind | None:
    """The kind of a key's field; None for what comes from another task or the pipeline."""
    group, _, rest = name.partition(".")
    if group == "parameters":
        return None if rest in bound else DifferenceKind.PIPELINE
    if name.startswith("code.packages"):
        return DifferenceKind.PACKAGE
    if group == "code" or name == "component source":
        return DifferenceKind.CODE
    if group == "env":
        return DifferenceKind.ENVIRONMENT
    return {"image": DifferenceKind.ENVIRONMENT, "artifacts": None}.get(
        group, DifferenceKind.PIPELINE
    )


def _functions(old: ComparedRun, new: ComparedRun, path: str, module: str) -> list[RunDifference]:
    """What changed inside a module that the step reaches; empty when it is not known."""
    then, now = (
        side.units.get(side.keys[path].code.modules.get(module, ""), {}) for side in (old, new)
    )
    if not then or not now:
        return []
    return [
        RunDifference(
            DifferenceKind.CODE,
            f"{module}:{name}" if name else f"{module} (module level)",
            then.get(name, "")[:12],
            now.get(name, "")[:12],
            (path,),
        )
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]


def _of_outputs(old: ComparedRun, new: ComparedRun) -> Iterator[RunDifference]:
    """Output parameters and artifacts of steps that both ran."""
    for path, task in new.tasks.items():
        before = old.tasks.get(path)
        if before is None or not (task.state.good and before.state.good):
            if before is not None and before.state != task.state:
                yield RunDifference(DifferenceKind.STATE, path, before.state, task.state, (path,))
            continue
        cause = _unexplained(old, new, path, before, task)
        chosen = (
            DifferenceKind.SEARCH if _SEARCH in task.outputs.artifacts else DifferenceKind.OUTPUT
        )
        yield from _parameters_of(new, before, task, cause or chosen)
        yield from _artifacts_of(path, before, task, cause or DifferenceKind.ARTIFACT)


def _unexplained(
    old: ComparedRun, new: ComparedRun, path: str, before: Task, task: Task
) -> DifferenceKind | None:
    """The kind of a difference in the step's outputs when nothing upstream accounts for it."""
    if path in new.uncached and _looks_outside(before, task):
        return DifferenceKind.DATA
    if path in new.keys and path in old.keys:
        return None if diff(old.keys[path], new.keys[path]) else DifferenceKind.CHANCE
    if path in new.uncached or _inputs(before) != _inputs(task):
        return None
    return DifferenceKind.UNRECORDED


def _looks_outside(before: Task, task: Task) -> bool:
    """Whether a step puts out what there is, and not what its inputs make of it: it takes none, or
    it pins a snapshot and takes the same as before."""
    if task.inputs.artifacts:
        return False
    pins = "snapshot_id" in task.outputs.parameters
    return not task.inputs.parameters or (pins and _inputs(before) == _inputs(task))


def _inputs(task: Task) -> tuple[Any, ...]:
    artifacts = {n: [a.digest for a in some] for n, some in task.inputs.artifacts.items()}
    return dict(task.inputs.parameters), artifacts


def _parameters_of(
    new: ComparedRun, before: Task, task: Task, kind: DifferenceKind
) -> Iterator[RunDifference]:
    for name, now in task.outputs.parameters.items():
        then = before.outputs.parameters.get(name)
        if now == then or name in _TOLD:
            continue
        shown_kind = DifferenceKind.VERDICT if name == "verdict" and not kind.is_cause else kind
        users = _users(new, name, task.name) if kind is DifferenceKind.DATA else ()
        detail = _between(new.table, str(then), str(now)) if name == "snapshot_id" else ""
        for what, *ends in _leaves(f"{task.path}.{name}", then, now):
            yield RunDifference(
                shown_kind, what, *short_values(*ends), users or (task.path,), detail
            )


def _leaves(what: str, then: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """The entries of two mappings that differ, else the values themselves."""
    if not (isinstance(then, dict) and isinstance(now, dict)):
        yield what, then, now
        return
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield f"{what}.{name}", then.get(name), now.get(name)


def _between(table: TableState | None, then: str, now: str) -> str:
    """How many rows came with how many snapshots, as far as the table still has them."""
    a, b = (table.snapshot(s) if table else None for s in (then, now))
    if table is None or a is None or b is None:
        return ""
    apart = table.snapshots.index(b) - table.snapshots.index(a)
    when = f"{abs(apart)} snapshot{'s' if abs(apart) > 1 else ''} {'on' if apart > 0 else 'back'}"
    return f"{b.total_rows - a.total_rows:+,} rows ({a.total_rows:,} -> {b.total_rows:,}), {when}"


def _artifacts_of(
    path: str, before: Task, task: Task, kind: DifferenceKind
) -> Iterator[RunDifference]:
    for name, now in task.outputs.artifacts.items():
        a = [x.digest for x in before.outputs.artifacts.get(name, ())]
        b = [x.digest for x in now]
        if a != b:
            then, later = (",".join(x[:12] for x in some) for some in (a, b))
            yield RunDifference(kind, f"{path}.{name}", then, later, tasks=(path,))


def _merged(differences: list[RunDifference]) -> list[RunDifference]:
    """The same change seen by several tasks is one."""
    groups: dict[tuple[Any, ...], RunDifference] = {}
    for d in differences:
        key = (d.kind, d.what, d.old, d.new, d.detail)
        known = groups.get(key, replace(d, tasks=()))
        groups[key] = replace(known, tasks=tuple(dict.fromkeys((*known.tasks, *d.tasks))))
    return list(groups.values())
