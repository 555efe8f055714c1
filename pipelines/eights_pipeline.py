"""From rows in Iceberg to a model in Staging and a request for approval."""

from kfp import dsl

from pipelines import eights_components as step
from pipelines import registration_components as registration


@dsl.pipeline(name="eights", description="Train, evaluate, gate, register as Staging, ask.")
def flow(max_trials: int = 10, seed: int = 0):
    """Parameters: trials of the search, seed of search and fit."""
    resolved = step.resolve().set_caching_options(False).outputs
    extracted = step.extract(
        snapshot_id=resolved["snapshot_id"],
        as_of=resolved["as_of"],
        golden_digest=resolved["golden_digest"],
    ).outputs
    tuned = step.tune(rows=extracted["training"], max_trials=max_trials, seed=seed).outputs
    model = step.train(
        rows=extracted["training"], parameters=tuned["parameters"], seed=seed
    ).outputs["model"]
    evaluation = step.evaluate(
        model=model, rows=extracted["rows"], champion=resolved["champion"]
    ).outputs["evaluation"]
    gated = step.gate(evaluation=evaluation).outputs
    registration.register_if_successful(
        "eights", resolved, extracted, tuned, model, evaluation, gated
    )
