"""``pipeline impact``: the engine walks the pipeline, and nothing is executed.

The same interpreter and the same key of the step cache as a run; only the
execution is another: it looks keys up without serving them. A step that must
run is assumed to give what it gave in the last run, and whoever reads it is
told to depend on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from platform_ctl.adapters.local import cache_rows
from platform_ctl.adapters.local.orchestrator.cached_steps import CachedSteps
from platform_ctl.adapters.local.orchestrator.engine import Engine
from platform_ctl.adapters.local.orchestrator.execution import Outcome
from platform_ctl.adapters.local.orchestrator.graph import RunFacts, TaskInstance
from platform_ctl.domain.cache_diff import FieldChange, diff
from platform_ctl.domain.cache_key import CacheKey
from platform_ctl.domain.impact import Expected, Fate, Impact
from platform_ctl.domain.ir import Component, Pipeline
from platform_ctl.domain.runs import Outputs, Run, Task, TaskState, Usage

_FALSE = "the condition is false"
"""What the engine's record of a skipped group says."""
_EARLIER = 50
"""Results of a component that are looked at for one that an unknown output might give."""


def forecast(
    pipeline: Pipeline,
    parameters: Mapping[str, object],
    last: Run | None,
    steps: CachedSteps,
    db: sqlite3.Connection,
    money_per_cpu_hour: float,
) -> Impact:
    """``parameters`` are resolved; ``last`` with its tasks. Writes nothing."""
    facts = RunFacts("forecast", "forecast", pipeline.name, "", "/", "/")
    execution = _Lookup(pipeline, last, steps, db)
    engine = Engine(pipeline, facts, execution, execution.heard)  # type: ignore[arg-type]
    engine.run(dict(parameters), lambda: False)
    return Impact(last.id if last else "", tuple(execution.steps), money_per_cpu_hour)


class _Lookup:
    """Stands where ``Execution`` does; every step ends at once."""

    overdue = False

    def __init__(
        self, pipeline: Pipeline, last: Run | None, steps: CachedSteps, db: sqlite3.Connection
    ) -> None:
        self._pipeline = pipeline.name
        self._read_by = dict(_upstream(pipeline))
        self._last = {t.path: t for t in last.tasks} if last else {}
        self._steps, self._db = steps, db
        self._unknown: set[str] = set()
        """Paths of the steps whose outputs are assumed."""
        self.steps: list[Expected] = []

    def start(self, task: TaskInstance, inputs: Outputs) -> Outcome:
        """Decide the step's fate; its outputs are the cache's, else the last run's."""
        hangs_on = _origins(task) & self._unknown
        gates = self._gates(task)
        if not task.spec.caching_options.enable_cache:
            return self._runs(task, "caching is off for this task", gates)
        key = self._steps.key(task, inputs)
        entry = cache_rows.entry(self._db, key.digest)
        usable = entry is not None and not entry.quarantined
        if usable and entry is not None and not hangs_on:
            self._expect(task, Fate.HIT, f"result of run {entry.run_id[:8]}", gates)
            return Outcome(TaskState.CACHED, None, entry.outputs)
        nearest = self._nearest(key, _fields(task, self._unknown))
        if hangs_on and nearest is None:
            why = f"hit or not with the outputs of {', '.join(sorted(hangs_on))}"
            return self._runs(task, why, gates | hangs_on)
        return self._runs(task, self._reason(entry, nearest), gates)

    def wait(self) -> list[tuple[TaskInstance, Outcome]]:
        raise RuntimeError("nothing is ever waited for")

    def heard(self, task: Task) -> None:
        """The engine's own records: skipped tasks, and inputs that no earlier run has."""
        group = task.path.rpartition(".")[0]
        name = task.error.removesuffix(" failed").removesuffix(" was skipped")
        above = f"{group}.{name}" if group else name
        if task.error == _FALSE or task.state is TaskState.FAILED:
            hangs_on = self._read_by.get(task.path, frozenset()) & self._unknown
        else:
            hangs_on = frozenset({above} & self._unknown)
        fate = Fate.DEPENDS if hangs_on else Fate.SKIP
        if hangs_on:
            self._unknown.add(task.path)
        self._expect_path(task.path, fate, task.error, hangs_on)

    # ---- inside -----------------------------------------------------------

    def _runs(self, task: TaskInstance, why: str, depends_on: frozenset[str]) -> Outcome:
        """The step is executed, as far as that is certain, with the outputs of the last time."""
        self._expect(task, Fate.RUN, why, depends_on)
        self._unknown.add(task.path)
        earlier = self._last.get(task.path)
        return Outcome(TaskState.SUCCEEDED, None, earlier.outputs if earlier else Outputs())

    def _expect(self, task: TaskInstance, fate: Fate, why: str, depends_on: frozenset[str]) -> None:
        self._expect_path(task.path, Fate.DEPENDS if depends_on else fate, why, depends_on)

    def _expect_path(self, path: str, fate: Fate, why: str, depends_on: frozenset[str]) -> None:
        used = self._usage(path) if fate in (Fate.RUN, Fate.DEPENDS) else Usage()
        self.steps.append(
            Expected(path, fate, why, tuple(sorted(depends_on)), used.wall_s, used.cpu_s)
        )

    def _usage(self, path: str) -> Usage:
        """Of the newest run that executed the step."""
        row = self._db.execute(
            "SELECT wall_s, cpu_s FROM tasks WHERE path = ? AND state = 'SUCCEEDED' AND run_id IN"
            " (SELECT id FROM runs WHERE pipeline = ?) ORDER BY ended_at DESC LIMIT 1",
            (path, self._pipeline),
        ).fetchone()
        return Usage(row["wall_s"], row["cpu_s"]) if row else Usage()

    def _gates(self, task: TaskInstance) -> frozenset[str]:
        """Unknown steps on whose outputs a condition around the task hangs."""
        found: frozenset[str] = frozenset()
        inner: TaskInstance | None = task
        while inner is not None:
            if inner.spec.trigger_policy.condition:
                found |= _origins(inner) & self._unknown
            inner = inner.dag.owner
        return found

    def _nearest(self, key: CacheKey, unknown: frozenset[str]) -> tuple[FieldChange, ...] | None:
        """What the nearest result differs in; None when one differs in unknown inputs only."""
        best: tuple[FieldChange, ...] = ()
        for entry, inputs in cache_rows.recent(self._db, key.component, _EARLIER):
            if entry.quarantined:
                continue
            changes = diff(inputs, key.inputs)
            certain = tuple(c for c in changes if not _of(c.field, unknown))
            if not certain:
                return None
            best = certain if not best or len(certain) < len(best) else best
        return best

    def _reason(
        self, entry: cache_rows.Entry | None, nearest: tuple[FieldChange, ...] | None
    ) -> str:
        if entry is not None and entry.quarantined:
            return f"quarantined: {entry.quarantined}"
        if not nearest:
            return "no earlier result of this component"
        more = f" (and {len(nearest) - 1} more)" if len(nearest) > 1 else ""
        return f"{nearest[0]}{more}"


def _of(field: str, unknown: frozenset[str]) -> bool:
    return any(field == name or field.startswith((f"{name}.", f"{name}[")) for name in unknown)


def _fields(task: TaskInstance, unknown: set[str]) -> frozenset[str]:
    """Fields of the key that come from steps whose outputs are not known."""
    inputs = task.spec.inputs
    found = set()
    for group, bindings in (("parameters", inputs.parameters), ("artifacts", inputs.artifacts)):
        for name, binding in bindings.items():
            if _sources(task, binding) & unknown:
                found.add(f"{group}.{name}")
    return frozenset(found)


def _origins(task: TaskInstance) -> frozenset[str]:
    """Steps whose outputs the task reads, wherever in the pipeline they are."""
    inputs = task.spec.inputs
    bindings = (*inputs.parameters.values(), *inputs.artifacts.values())
    return frozenset().union(*(_sources(task, b) for b in bindings))


def _sources(task: TaskInstance, binding: object) -> frozenset[str]:
    """The steps behind one binding: through nested DAGs inwards, through their inputs outwards."""
    output = getattr(binding, "task_output_parameter", None) or getattr(
        binding, "task_output_artifact", None
    )
    if output is not None:
        return frozenset(_leaves(task.dag.tasks[output.producer_task]))
    name = getattr(binding, "component_input_parameter", "") or getattr(
        binding, "component_input_artifact", ""
    )
    owner = task.dag.owner
    if not name or owner is None:
        return frozenset()
    outer = owner.spec.inputs.parameters.get(name) or owner.spec.inputs.artifacts.get(name)
    return _sources(owner, outer) if outer is not None else _origins(owner)


def _leaves(task: TaskInstance) -> Iterator[str]:
    if not task.component.dag:
        yield task.path
    for dag in task.children:
        for inner in dag.tasks.values():
            yield from _leaves(inner)


def _upstream(pipeline: Pipeline) -> Iterator[tuple[str, frozenset[str]]]:
    """Path of a task -> the tasks of its DAG that it waits for, outside loops."""

    def walk(component: Component, prefix: str) -> Iterator[tuple[str, frozenset[str]]]:
        for name, task in (component.dag.tasks if component.dag else {}).items():
            yield prefix + name, frozenset(f"{prefix}{p}" for p in task.upstream())
            yield from walk(pipeline.component_of(task), f"{prefix}{name}.")

    return walk(pipeline.root, "")
