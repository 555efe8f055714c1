"""The flow of every training pipeline: from data in Iceberg to a request for approval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kfp import dsl

from pipelines import registration_components as registration
from pipelines import training_components as step
from platform_ctl.recipe.check import EXPERIMENT_FILE
from platform_ctl.recipe.recipe import Recipe

DESCRIPTION = "Resolve, extract, tune, train, evaluate, gate, register as Staging, ask a human."


@dataclass(frozen=True)
class StepResources:
    """Request and limit of one step's container, as Kubernetes quantities; "": the namespace's."""

    cpu: str = ""
    memory: str = ""

    def give(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """The task with them; this machine ignores them and says so."""
        if self.cpu:
            task.set_cpu_request(self.cpu).set_cpu_limit(self.cpu)
        if self.memory:
            task.set_memory_request(self.memory).set_memory_limit(self.memory)
        return task


NOTHING_SAID = StepResources()
STEPS = ("extract", "tune", "train", "evaluate")
"""Steps whose need depends on the data; the others read and write a few records."""


def _tasks(resources: Mapping[str, StepResources]) -> Callable[..., Any]:
    """Adds a step by its name and inputs, with its resources, and returns its outputs."""
    if unknown := sorted(set(resources) - set(STEPS)):
        raise ValueError(f"there is no step {unknown[0]!r}; there is: {', '.join(STEPS)}")

    def task(name: str, **inputs: Any) -> Any:
        return resources.get(name, NOTHING_SAID).give(getattr(step, name)(**inputs)).outputs

    return task


def train_and_register(
    recipe: Recipe,
    *,
    max_trials: Any,
    seed: Any,
    resources: Mapping[str, StepResources] | None = None,
    **workers: Any,
) -> None:
    """Add all steps to the pipeline that is being defined.

    The values are parameters of the pipeline or constants. ``resources``: by step, of STEPS.
    ``workers``: ``epochs`` and ``num_workers`` of a fit on workers; none for one that runs in its
    step's own process. Raises ValueError for resources of a step that is none of STEPS.
    """
    task, code = _tasks(resources or {}), recipe.package
    resolved = step.resolve(function=f"{code}.data:resolve", model_name=recipe.model_name)
    resolved = resolved.set_caching_options(False).outputs
    extracted = task(
        "extract",
        function=f"{code}.extract:extract",
        feature_service=recipe.feature_service,
        snapshot_id=resolved["snapshot_id"],
        as_of=resolved["as_of"],
        golden_digest=resolved["golden_digest"],
    )
    tuned = task(
        "tune",
        function=f"{code}.train:trial",
        experiment=f"{code.replace('.', '/')}/{EXPERIMENT_FILE}",
        budget=f"{code}.recipe:BUDGET",
        rows=extracted["training"],
        max_trials=max_trials,
        seed=seed,
    )
    model = task(
        "train",
        function=f"{code}.train:fit",
        rows=extracted["training"],
        parameters=tuned["parameters"],
        seed=seed,
        **workers,
    )["model"]
    evaluation = task(
        "evaluate",
        function=f"{code}.evaluate:evaluate",
        model_name=recipe.model_name,
        model=model,
        rows=extracted["rows"],
        champion=resolved["champion"],
    )["evaluation"]
    gated = step.gate(thresholds=f"{code}.recipe:GATE", evaluation=evaluation).outputs
    registration.register_if_successful(
        recipe.name, resolved, extracted, tuned, model, evaluation, gated
    )
