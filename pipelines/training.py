"""The flow of every training pipeline: from data in Iceberg to a request for approval."""

from __future__ import annotations

from typing import Any

from pipelines import registration_components as registration
from pipelines import training_components as step
from platform_ctl.recipe.check import EXPERIMENT_FILE
from platform_ctl.recipe.recipe import Recipe

DESCRIPTION = "Resolve, extract, tune, train, evaluate, gate, register as Staging, ask a human."


def train_and_register(recipe: Recipe, *, max_trials: Any, seed: Any, **workers: Any) -> None:
    """Add all steps to the pipeline that is being defined.

    The values are parameters of the pipeline or constants. ``workers``: ``epochs`` and
    ``num_workers`` of a fit on workers; none for one that runs in its step's own process.
    """
    code = recipe.package
    resolved = step.resolve(function=f"{code}.data:resolve", model_name=recipe.model_name)
    resolved = resolved.set_caching_options(False).outputs
    extracted = step.extract(
        function=f"{code}.extract:extract",
        feature_service=recipe.feature_service,
        snapshot_id=resolved["snapshot_id"],
        as_of=resolved["as_of"],
        golden_digest=resolved["golden_digest"],
    ).outputs
    tuned = step.tune(
        function=f"{code}.train:trial",
        experiment=f"{code.replace('.', '/')}/{EXPERIMENT_FILE}",
        budget=f"{code}.recipe:BUDGET",
        rows=extracted["training"],
        max_trials=max_trials,
        seed=seed,
    ).outputs
    model = step.train(
        function=f"{code}.train:fit",
        rows=extracted["training"],
        parameters=tuned["parameters"],
        seed=seed,
        **workers,
    ).outputs["model"]
    evaluation = step.evaluate(
        function=f"{code}.evaluate:evaluate",
        model_name=recipe.model_name,
        model=model,
        rows=extracted["rows"],
        champion=resolved["champion"],
    ).outputs["evaluation"]
    gated = step.gate(thresholds=f"{code}.recipe:GATE", evaluation=evaluation).outputs
    registration.register_if_successful(
        recipe.name, resolved, extracted, tuned, model, evaluation, gated
    )
