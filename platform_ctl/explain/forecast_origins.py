"""Which outputs a task's inputs, and its being reached at all, come from."""

from __future__ import annotations

import re
from collections.abc import Iterator

from platform_ctl.ir.pipeline import Component, Pipeline
from platform_ctl.runs.local.graph import DagInstance, TaskInstance

_READ = re.compile(r"parameter_values\['([^']+)'\]")
"""An input parameter in a condition, as the compiler writes it."""

Output = tuple[str, str]
"""Path of a step, name of one of its outputs."""


def origins(task: TaskInstance) -> frozenset[Output]:
    """Outputs that the task reads, wherever in the pipeline they are made."""
    inputs = task.spec.inputs
    names = [("parameters", n) for n in inputs.parameters]
    names += [("artifacts", n) for n in inputs.artifacts]
    return frozenset(output for group, name in names for output in behind(task, group, name))


def behind(task: TaskInstance, group: str, name: str) -> Iterator[Output]:
    """Outputs behind one input (of ``parameters`` or ``artifacts``): through nested DAGs
    inwards, through their inputs outwards."""
    binding = getattr(task.spec.inputs, group).get(name)
    parameter = getattr(binding, "task_output_parameter", None)
    artifact = getattr(binding, "task_output_artifact", None)
    final_status = getattr(binding, "task_final_status", None)
    if parameter:
        yield from _made(task.dag.tasks[parameter.producer_task], parameter.output_parameter_key)
    elif artifact:
        yield from _made(task.dag.tasks[artifact.producer_task], artifact.output_artifact_key)
    elif final_status:
        yield from _all_made(task.dag.tasks[final_status.producer_task])
    elif task.dag.owner:
        outer = getattr(binding, f"component_input_{group.removesuffix('s')}", "")
        yield from _entering(task.dag.owner, group, outer)


def decisive(task: TaskInstance) -> frozenset[Output]:
    """Outputs that the task's own condition reads."""
    read = _READ.findall(task.spec.trigger_policy.condition)
    return frozenset(output for name in read for output in behind(task, "parameters", name))


def iterated(task: TaskInstance) -> frozenset[Output]:
    """Outputs that say how often a loop turns."""
    if task.spec.parameter_iterator:
        name = task.spec.parameter_iterator.items.input_parameter
        return frozenset(behind(task, "parameters", name))
    if task.spec.artifact_iterator:
        return frozenset(
            behind(task, "artifacts", task.spec.artifact_iterator.items.input_artifact)
        )
    return frozenset()


def find(root: DagInstance, path: str) -> TaskInstance | None:
    """The task at a path of the run, as far as it has been opened."""
    dags, words = [root], path.split(".")
    while words:
        name = words.pop(0)
        task = next((d.tasks[name] for d in dags if name in d.tasks), None)
        if task is None or not words:
            return task
        if task.spec.is_loop and words[0].isdigit():
            prefix = f"{task.path}.{words.pop(0)}"
            dags = [d for d in task.children if d.path == prefix]
        else:
            dags = task.children
    return None


def leaves(pipeline: Pipeline, component: Component, path: str) -> Iterator[str]:
    """Paths of the steps inside a component; a loop's without the number of the iteration."""
    if component.dag is None:
        yield path
    inside = pipeline.walk_inside(component, f"{path}.")
    yield from (place.path for place in inside if place.component.dag is None)


def unopened_loops(root: DagInstance) -> Iterator[TaskInstance]:
    """Loops that were reached and did not turn once."""
    for task in root.tasks.values():
        if task.spec.is_loop and not task.children and task.state.good:
            yield task
        for dag in task.children:
            yield from unopened_loops(dag)


def _entering(owner: TaskInstance, group: str, name: str) -> Iterator[Output]:
    """Outputs behind an input of the DAG that ``owner`` opened."""
    if name in getattr(owner.spec.inputs, group):
        yield from behind(owner, group, name)
    else:  # a loop's item
        yield from iterated(owner)


def _made(task: TaskInstance, key: str) -> Iterator[Output]:
    """Outputs of steps behind an output of the task."""
    if task.component.dag is None:
        yield (task.path, key)
        return
    outputs = task.component.dag.outputs
    selected = [
        (s.producer_subtask, s.output_parameter_key)
        for s in (outputs.parameters[key].selectors if key in outputs.parameters else ())
    ] + [
        (s.producer_subtask, s.output_artifact_key)
        for s in (outputs.artifacts[key].artifact_selectors if key in outputs.artifacts else ())
    ]
    yield from iterated(task)
    for dag in task.children:
        for name, inner in selected:
            yield from decisive(dag.tasks[name])  # of OneOf: which branch it comes from
            yield from _made(dag.tasks[name], inner)


def _all_made(task: TaskInstance) -> Iterator[Output]:
    """Every output of a task: its final status hangs on how it went."""
    if task.component.dag is None:
        definitions = task.component.output_definitions
        for name in (*definitions.parameters, *definitions.artifacts):
            yield (task.path, name)
    for dag in task.children:
        for inner in dag.tasks.values():
            yield from _all_made(inner)
