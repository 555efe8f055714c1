"""Is the IR well formed: every reference resolves, no cycles, no dangerous names."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator, Mapping

from platform_ctl.errors import BadPipelineFile
from platform_ctl.ir.pipeline import Component, Dag, Pipeline, TaskSpec
from platform_ctl.ir.references import dangling

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,199}")
_MAX_NESTING = 32


def check(pipeline: Pipeline) -> None:
    """Raise BadPipelineFile, naming the place, unless the IR can be interpreted.

    Names of tasks and outputs become file names, so they are restricted here.
    """
    _check_name(pipeline.name, "pipelineInfo.name")
    if pipeline.root.dag is None:
        raise _bad("the root is not a DAG", "root")
    for where, component in [("root", pipeline.root), *pipeline.components.items()]:
        if component.dag is None and component.executor_label == "":
            raise _bad("a component has neither a dag nor an executorLabel", where)
        if component.executor_label and (
            component.executor_label not in pipeline.deployment_spec.executors
        ):
            raise _bad(f"no executor {component.executor_label!r}", where)
        for name in (
            *component.output_definitions.artifacts,
            *component.output_definitions.parameters,
        ):
            _check_name(name, f"{where}, output")
        if component.dag:
            _check_dag(pipeline, component.dag, where)
    _check_nesting(pipeline)
    if wrong := next(dangling(pipeline), None):
        raise _bad(wrong.what, wrong.where)


def _bad(what: str, where: str) -> BadPipelineFile:
    return BadPipelineFile(what, where=where, fix="platform-ctl pipeline compile")


def _check_name(name: str, where: str) -> None:
    if not _SAFE_NAME.fullmatch(name) or ".." in name:
        raise _bad(f"the name {name!r} is not allowed", where)


def _check_dag(pipeline: Pipeline, dag: Dag, where: str) -> None:
    for name, task in dag.tasks.items():
        _check_name(name, f"{where}, task")
        _check_task(pipeline, dag, name, task, where)
    for name, producer in _selected(dag):
        if producer not in dag.tasks:
            raise _bad(f"the output {name!r} comes from no task {producer!r}", where)
    try:
        graph = {name: task.upstream() for name, task in dag.tasks.items()}
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as exc:
        raise _bad(f"the tasks wait for each other: {' -> '.join(exc.args[1])}", where) from exc


def _check_task(pipeline: Pipeline, dag: Dag, name: str, task: TaskSpec, where: str) -> None:
    place = f"{where}, task {name}"
    if task.component_ref.name not in pipeline.components:
        raise _bad(f"no component {task.component_ref.name!r}", place)
    for upstream in task.upstream():
        if upstream not in dag.tasks:
            raise _bad(f"it depends on {upstream!r}, which is not in the same DAG", place)
    if task.trigger_policy.strategy not in (
        "",
        "TRIGGER_STRATEGY_UNSPECIFIED",
        "ALL_UPSTREAM_TASKS_SUCCEEDED",
        "ALL_UPSTREAM_TASKS_COMPLETED",
    ):
        raise _bad(f"unknown trigger strategy {task.trigger_policy.strategy!r}", place)
    if task.parameter_iterator and task.artifact_iterator:
        raise _bad("it has two iterators", place)


def _selected(dag: Dag) -> Iterator[tuple[str, str]]:
    for name, parameter in dag.outputs.parameters.items():
        for selector in parameter.selectors:
            yield name, selector.producer_subtask
    for name, artifact in dag.outputs.artifacts.items():
        for chosen in artifact.artifact_selectors:
            yield name, chosen.producer_subtask


def _check_nesting(pipeline: Pipeline) -> None:
    """Components may nest, but not contain themselves."""
    graph: dict[str, set[str]] = {
        name: _children(component) for name, component in pipeline.components.items()
    }
    try:
        order = tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as exc:
        raise _bad(f"a component contains itself: {' -> '.join(exc.args[1])}", "root") from exc
    if _depth(graph, order) > _MAX_NESTING:
        raise _bad(f"pipelines are nested more than {_MAX_NESTING} deep", "root")


def _children(component: Component) -> set[str]:
    return {t.component_ref.name for t in component.tasks.values()}


def _depth(graph: Mapping[str, set[str]], order: tuple[str, ...]) -> int:
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[child] for child in graph[name]), default=0)
    return max(depth.values(), default=0)
