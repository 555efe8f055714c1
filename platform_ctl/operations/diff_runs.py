"""Gather what ``run diff`` compares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from platform_ctl.domain.cache_key import CacheKeyInputs
from platform_ctl.domain.ir import Component, Pipeline
from platform_ctl.domain.run_diff import Side
from platform_ctl.domain.runs import Run
from platform_ctl.errors import UnknownName
from platform_ctl.ports.cache import Cache
from platform_ctl.ports.orchestrator import Orchestrator

_RUNS = 200


def side(
    run: Run,
    cache: Cache,
    key_inputs: Callable[[str], CacheKeyInputs | None],
    read_pipeline: Callable[[Path], Pipeline],
    money_per_cpu_hour: float,
) -> Side:
    """One run with the keys of its tasks. ``key_inputs`` takes a key's digest."""
    found = {d.task: key_inputs(d.key) for d in cache.decisions(run.id) if d.key}
    keys = {path: inputs for path, inputs in found.items() if inputs is not None}
    bound = bindings(read_pipeline(Path(run.directory) / "pipeline.yaml"))
    return Side(run, keys, bound, money_per_cpu_hour)


def bindings(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    """Path of each step -> its input parameters that are not constants -> the producing task,
    "" when it is a parameter of the DAG."""
    found: dict[str, dict[str, str]] = {}

    def walk(component: Component, prefix: str) -> None:
        for name, task in (component.dag.tasks if component.dag else {}).items():
            inner = pipeline.component_of(task)
            if inner.dag:
                walk(inner, f"{prefix}{name}.")
                continue
            found[prefix + name] = {
                parameter: binding.task_output_parameter.producer_task
                if binding.task_output_parameter
                else ""
                for parameter, binding in task.inputs.parameters.items()
                if binding.runtime_value is None
            }

    walk(pipeline.root, "")
    return found


def two_runs(orchestrator: Orchestrator, a: str, b: str) -> tuple[Run, Run]:
    """Older and newer. ``b`` "": ``a`` is compared with the run of its pipeline before it.

    Raises UnknownName.
    """
    newer = orchestrator.get(b or a)
    if b:
        return orchestrator.get(a), newer
    earlier = (
        r
        for r in orchestrator.list(_RUNS)
        if r.pipeline == newer.pipeline and r.created_at < newer.created_at
    )
    before = next(earlier, None)
    if before is None:
        raise UnknownName(
            f"run {newer.id[:8]} is the first of {newer.pipeline}",
            where=f"run {newer.id}",
            fix="platform-ctl run list",
        )
    return orchestrator.get(before.id), newer
