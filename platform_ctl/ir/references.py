"""Do the names in a DAG mean something: every input, every output, every binding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from platform_ctl.ir.pipeline import (
    Component,
    Dag,
    ParameterType,
    Pipeline,
    TaskSpec,
)

CHANNEL = "pipelinechannel--"
"""Begins the names that the compiler gives to inputs which only placeholders in constants read."""


@dataclass(frozen=True)
class Dangling:
    """A reference to nothing. ``where`` is the DAG and the task or output."""

    where: str
    what: str


def dangling(pipeline: Pipeline) -> Iterator[Dangling]:
    """Every one, in the order of the file. The tasks and components themselves exist."""
    for where, component, dag in pipeline.dags():
        for name, task in dag.tasks.items():
            for what in _of_task(pipeline, component, dag, task):
                yield Dangling(f"{where}, task {name}", what)
        for name, what in _of_outputs(pipeline, component, dag):
            yield Dangling(f"{where}, output {name}", what)


def _of_task(pipeline: Pipeline, outer: Component, dag: Dag, task: TaskSpec) -> Iterator[str]:
    declared = pipeline.component_of(task).input_definitions
    iterated = _item_inputs(task)
    for name, binding in task.inputs.parameters.items():
        if name not in declared.parameters and not (iterated or name.startswith(CHANNEL)):
            yield f"its component has no parameter {name!r}"
        source = binding.component_input_parameter
        if source and source not in outer.input_definitions.parameters:
            yield f"{name!r} comes from the DAG's parameter {source!r}, which there is none of"
        if output := binding.task_output_parameter:
            produced = pipeline.component_of(dag.tasks[output.producer_task]).output_definitions
            yield from _missing(
                output.producer_task, output.output_parameter_key, produced.parameters, "parameter"
            )
    for name, artifact in task.inputs.artifacts.items():
        if name not in declared.artifacts and not iterated:
            yield f"its component has no artifact {name!r}"
        source = artifact.component_input_artifact
        if source and source not in outer.input_definitions.artifacts:
            yield f"{name!r} comes from the DAG's artifact {source!r}, which there is none of"
        if origin := artifact.task_output_artifact:
            produced = pipeline.component_of(dag.tasks[origin.producer_task]).output_definitions
            yield from _missing(
                origin.producer_task, origin.output_artifact_key, produced.artifacts, "artifact"
            )
    bound = {*task.inputs.parameters, *task.inputs.artifacts, *iterated}
    needed = [
        *(
            name
            for name, parameter in declared.parameters.items()
            if not parameter.optional and parameter.parameter_type is not ParameterType.TASK_CONFIG
        ),
        *(name for name, one in declared.artifacts.items() if not one.is_optional),
    ]
    for name in needed:
        if name not in bound:
            yield f"its input {name!r} has no value"


def _of_outputs(pipeline: Pipeline, outer: Component, dag: Dag) -> Iterator[tuple[str, str]]:
    for name, parameter in dag.outputs.parameters.items():
        if name not in outer.output_definitions.parameters:
            yield name, "the component does not declare it"
        for selector in parameter.selectors:
            produced = pipeline.component_of(dag.tasks[selector.producer_subtask])
            known = produced.output_definitions.parameters
            key = selector.output_parameter_key
            for what in _missing(selector.producer_subtask, key, known, "parameter"):
                yield name, what
    for name, artifact in dag.outputs.artifacts.items():
        if name not in outer.output_definitions.artifacts:
            yield name, "the component does not declare it"
        for chosen in artifact.artifact_selectors:
            produced = pipeline.component_of(dag.tasks[chosen.producer_subtask])
            artifacts = produced.output_definitions.artifacts
            key = chosen.output_artifact_key
            for what in _missing(chosen.producer_subtask, key, artifacts, "artifact"):
                yield name, what


def _missing(task: str, key: str, known: Mapping[str, object], kind: str) -> Iterator[str]:
    if key not in known:
        yield f"the task {task!r} puts out no {kind} {key!r}"


def _item_inputs(task: TaskSpec) -> set[str]:
    """Inputs that a loop binds for each iteration."""
    names = {i.item_input for i in (task.parameter_iterator, task.artifact_iterator) if i}
    return {name for name in names if name}
