"""DAGs and tasks of one run while it is interpreted, and how values flow between them.

No I/O here: a DagInstance is one entry into a DAG component (root, nested
pipeline, condition group, one loop iteration), a TaskInstance one task in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from platform_ctl.errors import StepFailed
from platform_ctl.ir import parameters as typing
from platform_ctl.ir.pipeline import (
    UNSET,
    Component,
    ParameterBinding,
    ParameterType,
    Pipeline,
    TaskSpec,
    plain_numbers,
)
from platform_ctl.runs.local import conditions
from platform_ctl.runs.local.placeholders import fill
from platform_ctl.runs.record import Artifact, Outputs, TaskState

Artifacts = tuple[Artifact, ...]


@dataclass(eq=False)
class TaskInstance:
    """``children`` are the DAGs it opened: one for a nested DAG, one an iteration for a loop."""

    name: str
    spec: TaskSpec
    component: Component
    dag: DagInstance
    state: TaskState = TaskState.PENDING
    outputs: Outputs = field(default_factory=Outputs)
    error: str = ""
    waits_for: set[str] = field(default_factory=set)
    children: list[DagInstance] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"{self.dag.path}.{self.name}" if self.dag.path else self.name


@dataclass(eq=False)
class DagInstance:
    """``path`` is the dotted path of the task that opened it ("" for the root)."""

    component: Component
    path: str
    inputs: Outputs
    owner: TaskInstance | None = None
    tasks: dict[str, TaskInstance] = field(default_factory=dict)
    unfinished: int = 0

    @classmethod
    def open(
        cls,
        pipeline: Pipeline,
        component: Component,
        path: str,
        inputs: Outputs,
        owner: TaskInstance | None = None,
    ) -> DagInstance:
        dag = cls(component, path, inputs, owner)
        for name, spec in component.tasks.items():
            task = TaskInstance(name, spec, pipeline.component_of(spec), dag)
            task.waits_for = set(spec.upstream())
            dag.tasks[name] = task
        dag.unfinished = len(dag.tasks)
        return dag

    def dependents(self, name: str) -> Iterator[TaskInstance]:
        return (task for task in self.tasks.values() if name in task.waits_for)


@dataclass(frozen=True)
class RunContext:
    """What placeholders and final statuses say about the run."""

    run_id: str
    name: str
    pipeline: str
    created_at: str
    root: str
    workspace: str
    scheduled_at: str = ""
    """The slot of its schedule; when it was created for a run that nobody scheduled."""

    @property
    def resource_name(self) -> str:
        return f"{self.pipeline}-{self.run_id}"


def bind(task: TaskInstance, facts: RunContext) -> Outputs:
    """The task's inputs from its bindings. Raises StepFailed when a required one has no value."""
    definitions = task.component.input_definitions
    values: dict[str, Any] = {}
    templates: dict[str, Any] = {}
    for name, binding in task.spec.inputs.parameters.items():
        if binding.runtime_value is not None:
            templates[name] = plain_numbers(binding.runtime_value.constant)
            continue
        value = _bound_value(task, binding, facts)
        spec = definitions.parameters.get(name)
        if value is not None:
            values[name] = value
        elif spec is None or not spec.optional:
            raise StepFailed(f"the input {name!r} has no value: {_source(binding)}")
    for name, template in templates.items():
        filled = fill(template, placeholder_words(task, facts), values)
        if filled is not None and filled is not UNSET:
            values[name] = filled
    return Outputs(values, _bound_artifacts(task))


def placeholder_words(task: TaskInstance, facts: RunContext) -> dict[str, str]:
    """What ``{{$.word}}`` stands for in this task."""
    return {
        "pipeline_job_name": facts.name,
        "pipeline_job_resource_name": facts.resource_name,
        "pipeline_job_uuid": facts.run_id,
        "pipeline_task_name": task.spec.task_info.name or task.name,
        "pipeline_task_uuid": f"{facts.run_id}/{task.path}",
        "pipeline_root": facts.root,
        "pipeline_job_create_time_utc": facts.created_at,
        "pipeline_job_schedule_time_utc": facts.scheduled_at or facts.created_at,
        "workspace_path": facts.workspace,
    }


def _bound_value(task: TaskInstance, binding: ParameterBinding, facts: RunContext) -> Any:
    if binding.task_output_parameter:
        producer = task.dag.tasks[binding.task_output_parameter.producer_task]
        value = producer.outputs.parameters.get(binding.task_output_parameter.output_parameter_key)
    elif binding.task_final_status:
        value = final_status(task.dag.tasks[binding.task_final_status.producer_task], facts)
    else:
        value = task.dag.inputs.parameters.get(binding.component_input_parameter)
    if binding.parameter_expression_selector and value is not None:
        return conditions.select(binding.parameter_expression_selector, value)
    return value


def final_status(producer: TaskInstance, facts: RunContext) -> dict[str, Any]:
    """``PipelineTaskFinalStatus`` as JSON."""
    good = producer.state.good or producer.state is TaskState.SKIPPED
    error = {} if good else {"code": 9, "message": producer.error}
    return {
        "state": "SUCCEEDED" if good else str(producer.state),
        "pipelineJobResourceName": facts.resource_name,
        "pipelineTaskName": producer.name,
        "error": error,
    }


def _source(binding: ParameterBinding) -> str:
    if binding.task_output_parameter:
        output = binding.task_output_parameter
        return f"{output.producer_task} did not write {output.output_parameter_key!r}"
    return f"{binding.component_input_parameter!r} was not given"


def _bound_artifacts(task: TaskInstance) -> dict[str, Artifacts]:
    bound: dict[str, Artifacts] = {}
    for name, binding in task.spec.inputs.artifacts.items():
        output = binding.task_output_artifact
        if output:
            producer = task.dag.tasks[output.producer_task]
            value = producer.outputs.artifacts.get(output.output_artifact_key)
        else:
            value = task.dag.inputs.artifacts.get(binding.component_input_artifact)
        definition = task.component.input_definitions.artifacts.get(name)
        if value is not None:
            bound[name] = value
        elif definition is None or not definition.is_optional:
            raise StepFailed(f"the input artifact {name!r} was not produced")
    return bound


def step_inputs(task: TaskInstance, bound: Outputs) -> Outputs:
    """Inputs of an executor: defaults filled in, types checked, anything as text for a string."""
    definitions = task.component.input_definitions.parameters
    values = dict(bound.parameters)
    for name, spec in definitions.items():
        if name in values:
            values[name] = _as_declared(name, values[name], spec.parameter_type)
            allowed = plain_numbers(spec.literals)
            if allowed and values[name] not in allowed:
                raise StepFailed(f"the input {name!r} must be one of {allowed}: {values[name]!r}")
        elif spec.default_value is not UNSET and spec.default_value is not None:
            values[name] = plain_numbers(spec.default_value)
        elif not spec.optional and spec.parameter_type is not ParameterType.TASK_CONFIG:
            raise StepFailed(f"the input {name!r} has no value")
    return Outputs(values, bound.artifacts)


def _as_declared(name: str, value: Any, kind: ParameterType) -> Any:
    if kind is ParameterType.STRING:
        return conditions.as_text(value)
    converted = typing.convert(value, kind)
    if converted is UNSET:
        raise StepFailed(f"the input {name!r} is {kind}; {value!r:.80} is not")
    return converted


def dag_inputs(component: Component, bound: Outputs) -> Outputs:
    """Inputs of a nested DAG: an omitted optional one has its default, or None."""
    values = dict(bound.parameters)
    for name, spec in component.input_definitions.parameters.items():
        if name not in values and spec.optional:
            values[name] = (
                None if spec.default_value is UNSET else plain_numbers(spec.default_value)
            )
    return Outputs(values, bound.artifacts)


def should_run(task: TaskInstance, bound: Outputs) -> bool:
    """The task's condition, in CEL; a parameter declared as a string is compared as text."""
    definitions = task.component.input_definitions.parameters
    values = {
        name: conditions.as_text(value)
        if name in definitions and definitions[name].parameter_type is ParameterType.STRING
        else value
        for name, value in bound.parameters.items()
    }
    return conditions.condition(task.spec.trigger_policy.condition, values)


def iterations(task: TaskInstance, bound: Outputs) -> list[Outputs]:
    """The inputs of each iteration of a loop, in order."""
    if task.spec.artifact_iterator:
        chosen = task.spec.artifact_iterator
        items = bound.artifacts[chosen.items.input_artifact]
        return [
            Outputs(bound.parameters, {**bound.artifacts, chosen.item_input: (item,)})
            for item in items
        ]
    iterator = task.spec.parameter_iterator
    if iterator is None:
        raise StepFailed("the task is not a loop")
    source: Any = iterator.items.raw
    if iterator.items.input_parameter:
        source = bound.parameters.get(iterator.items.input_parameter)
    elements = json.loads(source) if isinstance(source, str) else source
    if not isinstance(elements, list):
        raise StepFailed(f"a loop needs a list, not {source!r:.80}")
    return [
        Outputs({**bound.parameters, iterator.item_input: plain_numbers(item)}, bound.artifacts)
        for item in elements
    ]


def dag_outputs(dag: DagInstance) -> Outputs:
    """The DAG's outputs: of several selectors (OneOf), the branch that ran."""
    parameters: dict[str, Any] = {}
    artifacts: dict[str, Artifacts] = {}
    if dag.component.dag is None:
        return Outputs()
    for name, selected in dag.component.dag.outputs.parameters.items():
        for selector in selected.selectors:
            produced = dag.tasks[selector.producer_subtask].outputs.parameters
            if selector.output_parameter_key in produced:
                parameters[name] = produced[selector.output_parameter_key]
                break
    for name, chosen in dag.component.dag.outputs.artifacts.items():
        for pick in chosen.artifact_selectors:
            produced_artifacts = dag.tasks[pick.producer_subtask].outputs.artifacts
            if pick.output_artifact_key in produced_artifacts:
                artifacts[name] = produced_artifacts[pick.output_artifact_key]
                break
    return Outputs(parameters, artifacts)


def loop_outputs(task: TaskInstance) -> Outputs:
    """``dsl.Collected``, in the order of the items: over nested loops a list of lists for
    parameters (``List[List[int]]``) and one flat list for artifacts, as the SDK types them."""
    parameters: dict[str, list[Any]] = {}
    artifacts: dict[str, Artifacts] = {}
    definitions = task.component.dag.outputs if task.component.dag else None
    for name in definitions.parameters if definitions else ():
        parameters[name] = []
        for child in task.children:
            produced = dag_outputs(child).parameters
            if name in produced:
                parameters[name].append(produced[name])
    for name in definitions.artifacts if definitions else ():
        per_iteration = [dag_outputs(child).artifacts.get(name, ()) for child in task.children]
        artifacts[name] = tuple(artifact for some in per_iteration for artifact in some)
    return Outputs(parameters, artifacts)
