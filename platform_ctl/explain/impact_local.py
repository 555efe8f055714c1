"""``pipeline impact``: the engine walks the pipeline, and nothing is executed.

The same interpreter and the same key of the step cache as a run; only the
execution is another: it looks keys up without serving them. A step that must
run is assumed to give what it gave the last time, and whoever reads that is
told to depend on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platform_ctl.explain.forecast_origins import (
    Output,
    behind,
    decisive,
    find,
    iterated,
    leaves,
    origins,
    unopened_loops,
)
from platform_ctl.explain.forecast_records import last_execution, last_outputs
from platform_ctl.explain.impact import Expected, ExternalChanges, Impact, StepForecast
from platform_ctl.ir.pipeline import ParameterType as Type
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.runs.cache import cache_rows
from platform_ctl.runs.cache.cache import StepCache
from platform_ctl.runs.cache.diff import FieldChange, diff, short_values
from platform_ctl.runs.cache.key import CacheKey
from platform_ctl.runs.local.cached_steps import CachedSteps
from platform_ctl.runs.local.engine import Engine
from platform_ctl.runs.local.execution import TaskOutcome
from platform_ctl.runs.local.graph import DagInstance, RunContext, TaskInstance
from platform_ctl.runs.record import Artifact, Outputs, Run, Task, TaskState

_ALL = -1
_UNCACHED = "caching is off for this task"
_BLANK: Mapping[Type, Any] = {
    Type.NUMBER_DOUBLE: 0.0,
    Type.NUMBER_INTEGER: 0,
    Type.BOOLEAN: False,
    Type.LIST: [],
    Type.STRUCT: {},
}
"""Stands for an output that no run has made yet; any other type: the empty string."""


@dataclass(frozen=True)
class ImpactRecords:
    """What the home knows. ``last``: the newest run of the pipeline that has ended."""

    last: Run | None
    steps: CachedSteps
    cache: StepCache
    db: sqlite3.Connection
    foreseen: ExternalChanges
    money_per_cpu_hour: float


def forecast(
    pipeline: Pipeline, parameters: Mapping[str, object], records: ImpactRecords
) -> Impact:
    """``parameters`` are resolved. Writes nothing."""
    facts = RunContext("forecast", "forecast", pipeline.name, "", "/", "/")
    lookup = _Lookup(pipeline, records)
    engine = Engine(pipeline, facts, lookup, lookup.heard)  # type: ignore[arg-type]
    engine.run(dict(parameters), lambda: False)
    lookup.add_unopened_loops()
    against = records.last.id if records.last else ""
    return Impact(pipeline.name, against, tuple(lookup.steps), records.money_per_cpu_hour)


class _Lookup:
    """Stands where ``Execution`` does; every step ends at once."""

    overdue = False

    def __init__(self, pipeline: Pipeline, records: ImpactRecords) -> None:
        self._pipeline, self._records = pipeline, records
        self._unknown: set[str] = set()
        """Paths of the steps whose outputs are assumed."""
        self._reached: dict[str, frozenset[Output]] = {}
        self._root: DagInstance | None = None
        self.steps: list[Expected] = []

    def start(self, task: TaskInstance, inputs: Outputs) -> TaskOutcome:
        """Decide the step's fate; its outputs are the cache's, else the last run's."""
        self._root = self._root or _root_of(task.dag)
        whether = self._whether(task)
        if not task.spec.caching_options.enable_cache:
            return self._uncached(task, inputs, whether)
        key = self._records.steps.key(task, inputs)
        entry = cache_rows.entry(self._records.db, key.digest)
        damage = self._damage(entry) if entry else ""
        hangs_on = self._of_unknown(origins(task))
        if entry and not damage and not hangs_on:
            self._expect(
                task, inputs, StepForecast.HIT, f"result of run {entry.run_id[:8]}", whether
            )
            return TaskOutcome(TaskState.CACHED, None, entry.outputs)
        nearest = self._nearest(key, self._unknown_fields(task))
        if hangs_on and nearest is None:
            words = "a hit if nothing changes in" if entry and not damage else "hit or not with"
            return self._runs(task, inputs, f"{words} {_names(hangs_on)}", whether, hangs_on)
        why = f"quarantined: {damage}" if damage else _reason(nearest)
        return self._runs(task, inputs, why, whether)

    def wait(self) -> list[tuple[TaskInstance, TaskOutcome]]:
        raise RuntimeError("nothing is ever waited for")

    def heard(self, record: Task) -> None:
        """The engine's own records: skipped tasks, and inputs that no earlier run has."""
        task = find(self._root, record.path) if self._root else None
        if task and record.state is TaskState.FAILED:  # an input that could not be bound
            hangs_on = self._whether(task) | self._of_unknown(origins(task))
        else:
            hangs_on = self._whether(task) if task else frozenset()
        if not task or not hangs_on:
            self.steps.append(Expected(record.path, StepForecast.SKIP, record.error))
            return
        self._add_leaves(task, task.path, f"reached or not with {_names(hangs_on)}", hangs_on)

    def add_unopened_loops(self) -> None:
        """Steps of loops over a list that no run has made yet."""
        for loop in unopened_loops(self._root) if self._root else ():
            hangs_on = self._of_unknown(iterated(loop)) | self._whether(loop)
            if hangs_on:
                self._add_leaves(loop, loop.path, f"as often as {_names(hangs_on)} says", hangs_on)

    # ---- fates ------------------------------------------------------------

    def _uncached(
        self, task: TaskInstance, inputs: Outputs, whether: frozenset[Output]
    ) -> TaskOutcome:
        problem = self._records.foreseen.problems.get(task.path, "")
        if problem:
            return self._runs(task, inputs, f"it would fail now: {problem}", whether)
        foreseen = self._records.foreseen.outputs.get(task.path)
        if foreseen is None:
            return self._runs(task, inputs, _UNCACHED, whether)
        earlier = self._earlier(task)
        changes = _changes(earlier.parameters, foreseen) if earlier else ""
        self._expect(task, inputs, StepForecast.RUN, f"{_UNCACHED}{changes}", whether)
        return TaskOutcome(TaskState.SUCCEEDED, None, Outputs(foreseen))

    def _runs(
        self,
        task: TaskInstance,
        inputs: Outputs,
        why: str,
        whether: frozenset[Output],
        hangs_on: frozenset[Output] = frozenset(),
    ) -> TaskOutcome:
        """The step is executed, as far as that is certain, with the outputs of the last time."""
        self._expect(task, inputs, StepForecast.RUN, why, whether, hangs_on)
        self._unknown.add(task.path)
        return TaskOutcome(TaskState.SUCCEEDED, None, _assumed(task, self._earlier(task)))

    def _earlier(self, task: TaskInstance) -> Outputs | None:
        return last_outputs(self._records.db, self._pipeline.name, task.path)

    def _expect(
        self,
        task: TaskInstance,
        inputs: Outputs,
        fate: StepForecast,
        why: str,
        whether: frozenset[Output],
        hangs_on: frozenset[Output] = frozenset(),
    ) -> None:
        took = self._took(task.path, inputs.parameters)
        depends_on = whether | hangs_on
        words = f"{why}; reached or not with {_names(whether)}" if whether else why
        fate = StepForecast.DEPENDS if depends_on else fate
        self.steps.append(Expected(task.path, fate, words, _listed(depends_on), *took))

    def _add_leaves(
        self, task: TaskInstance, path: str, why: str, hangs_on: frozenset[Output]
    ) -> None:
        """Every step inside a task of which it is not known whether it is reached."""
        for leaf in leaves(self._pipeline, task.component, path):
            self._unknown.add(leaf)
            took = self._took(leaf, {})
            self.steps.append(Expected(leaf, StepForecast.DEPENDS, why, _listed(hangs_on), *took))

    def _took(self, path: str, parameters: Mapping[str, Any]) -> tuple[float, float]:
        spent = last_execution(self._records.db, self._pipeline.name, path, parameters)
        return spent.wall_s, spent.cpu_s

    # ---- what is not known -------------------------------------------------

    def _whether(self, task: TaskInstance) -> frozenset[Output]:
        """Unknown outputs on which it hangs whether the task is reached, or how often: those of
        its condition, of what it waits for, and of conditions and loops around it."""
        if task.path not in self._reached:
            unknown = self._of_unknown(decisive(task))
            for name in task.spec.upstream():
                unknown |= self._whether(task.dag.tasks[name])
            if task.dag.owner:
                unknown |= self._whether(task.dag.owner) | self._of_unknown(
                    iterated(task.dag.owner)
                )
            self._reached[task.path] = unknown
        return self._reached[task.path]

    def _of_unknown(self, outputs: frozenset[Output]) -> frozenset[Output]:
        return frozenset(o for o in outputs if o[0] in self._unknown)

    def _unknown_fields(self, task: TaskInstance) -> frozenset[str]:
        """Fields of the key that come from steps whose outputs are not known."""
        groups = (
            ("parameters", task.spec.inputs.parameters),
            (
                "artifacts",
                task.spec.inputs.artifacts,
            ),
        )
        return frozenset(
            f"{group}.{name}"
            for group, bindings in groups
            for name in bindings
            if self._of_unknown(frozenset(behind(task, group, name)))
        )

    # ---- the cache ---------------------------------------------------------

    def _damage(self, entry: cache_rows.Entry) -> str:
        return entry.quarantined or self._records.cache.damage(entry.key)

    def _nearest(self, key: CacheKey, unknown: frozenset[str]) -> tuple[FieldChange, ...] | None:
        """What the nearest result differs in; None when one differs in unknown inputs only."""
        best: tuple[FieldChange, ...] = ()
        for entry, inputs in cache_rows.recent(self._records.db, key.component, _ALL):
            if entry.quarantined:
                continue
            changes = diff(inputs, key.inputs)
            certain = tuple(c for c in changes if not _of(c.field, unknown))
            if not certain and not self._damage(entry):
                return None
            best = certain if not best or len(certain) < len(best) else best
        return best


def _reason(nearest: tuple[FieldChange, ...] | None) -> str:
    if not nearest:
        return "no earlier result of this component"
    more = f" (and {len(nearest) - 1} more)" if len(nearest) > 1 else ""
    return f"{nearest[0]}{more}"


def _of(field: str, unknown: frozenset[str]) -> bool:
    return any(field == name or field.startswith((f"{name}.", f"{name}[")) for name in unknown)


def _listed(outputs: frozenset[Output]) -> tuple[str, ...]:
    return tuple(sorted(f"{path}.{name}" for path, name in outputs))


def _names(outputs: frozenset[Output]) -> str:
    return ", ".join(_listed(outputs))


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What a task that looks outside finds changed since it looked last."""
    changes = []
    for name in (n for n in now if then.get(n) != now[n]):
        old, new = short_values(then.get(name), now[name])
        changes.append(f"{name} {old or 'none'} -> {new or 'none'}")
    return f"; now {', '.join(changes)}" if changes else ""


def _root_of(dag: DagInstance) -> DagInstance:
    while dag.owner:
        dag = dag.owner.dag
    return dag


def _assumed(task: TaskInstance, earlier: Outputs | None) -> Outputs:
    """What the step gave the last time, and blanks of the right type for what it never gave."""
    declared, known = task.component.output_definitions, earlier or Outputs()
    blanks = {n: _BLANK.get(p.parameter_type, "") for n, p in declared.parameters.items()}
    absent = {n: (Artifact(n, f"unknown://{task.path}/{n}"),) for n in declared.artifacts}
    return Outputs({**blanks, **known.parameters}, {**absent, **known.artifacts})
