"""Finds what in the IR behaves differently on the two targets, or can change after the commit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from platform_ctl.ir.pipeline import (
    UNSET,
    Component,
    DeclaredTask,
    ParameterType,
    Pipeline,
    TaskSpec,
)

_STRING_COMPARISON = re.compile(
    r"inputs\.parameter_values\['([^']+)'\]\s*[=!]=\s*'|'\s*[=!]=\s*inputs\.parameter_values\['([^']+)'\]"
)
_OF_A_RUN = re.compile(r"\{\{\$\.(pipeline_job_\w+|pipeline_task_uuid|pipeline_root)\}\}")
"""Placeholders whose value differs from run to run."""
_CLOSED_OUTPUTS = frozenset({"verdict"})
"""String outputs with a closed set of values, which every target compares alike."""
_ENV_COMMENT = "the cluster's cache key leaves environment variables out; pass it as a parameter"


@dataclass(frozen=True)
class PortabilityProblem:
    """One finding: where in the IR, and what to do about it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def problems(pipeline: Pipeline, *, release: bool = False) -> list[PortabilityProblem]:
    """Everything that is not portable; ``release`` also refuses mutable image tags."""
    uses = [*_none_defaults(pipeline), *_of_run(pipeline)]
    for place in pipeline.declared_tasks():
        uses += _condition(place)
    for label, executor in pipeline.deployment_spec.executors.items():
        if executor.container is None:
            continue
        if executor.container.env and _cached(pipeline, label):
            names = ", ".join(v.name for v in executor.container.env)
            uses.append(PortabilityProblem(label, f"environment variable {names}: {_ENV_COMMENT}"))
        if release and _mutable(executor.container.image):
            uses.append(
                PortabilityProblem(label, f"the image {executor.container.image} has no digest")
            )
    return uses


def _none_defaults(pipeline: Pipeline) -> Iterator[PortabilityProblem]:
    for name, spec in pipeline.root.input_definitions.parameters.items():
        if spec.is_optional and spec.default_value is UNSET:
            what = "its default is None, which kfp.local cannot run; use '' or another sentinel"
            yield PortabilityProblem(f"parameter {name}", what)


def _of_run(pipeline: Pipeline) -> Iterator[PortabilityProblem]:
    """A cached task that is told which run it is: no later run would find its result."""
    for place in pipeline.walk():
        if not place.task.caching_options.enable_cache:
            continue
        for name, binding in place.task.inputs.parameters.items():
            constant = binding.runtime_value.constant if binding.runtime_value else None
            if isinstance(constant, str) and (word := _OF_A_RUN.search(constant)):
                what = f"its input {name!r} is {word[1]}, so its result is never found in the cache"
                yield PortabilityProblem(place.path, f"{what}; switch its caching off")


def _condition(place: DeclaredTask) -> Iterator[PortabilityProblem]:
    """A string that anybody may have written must not decide what runs."""
    for match in _STRING_COMPARISON.finditer(place.task.trigger_policy.condition):
        channel = match[1] or match[2]
        if not _closed(place.parent, place.task, channel):
            what = f"it compares the free text {channel!r}; compare a number, a bool or a verdict"
            yield PortabilityProblem(f"{place.dag}.{place.name}", what)


def _closed(parent: Component, task: TaskSpec, channel: str) -> bool:
    """Whether the values of a channel are a closed set: a verdict, or declared literals."""
    binding = task.inputs.parameters.get(channel)
    if binding is None:
        return False
    if binding.task_output_parameter:
        return binding.task_output_parameter.output_parameter_key in _CLOSED_OUTPUTS
    outer = parent.input_definitions.parameters.get(binding.component_input_parameter)
    if outer is None:
        return False
    if outer.literals or outer.parameter_type is not ParameterType.STRING:
        return True
    return channel.rpartition("-")[2] in _CLOSED_OUTPUTS


def _cached(pipeline: Pipeline, label: str) -> bool:
    using = {n for n, c in pipeline.components.items() if c.executor_label == label}
    return any(
        place.task.component_ref.name in using and place.task.caching_options.enable_cache
        for place in pipeline.declared_tasks()
    )


def _mutable(image: str) -> bool:
    return bool(image) and "@sha256:" not in image
