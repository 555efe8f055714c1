"""The steps of every training pipeline. A recipe's functions and values come in by reference.

A reference (``package.module:name``) is an input like any other, and the cache key of a step holds
the code that its references reach. What a step does around them stands in ``pipelines/steps``.
"""

from typing import NamedTuple

from kfp import dsl

from pipelines.components import component


@component
def resolve(function: str, model_name: str) -> NamedTuple(
    "Resolved", [("snapshot_id", str), ("as_of", str), ("golden_digest", str), ("champion", str)]
):
    """Which data, golden set and champion this run is about."""
    from pipelines.steps import resolve as step

    return step.run(function, model_name)


@component
def extract(
    function: str,
    feature_service: str,
    snapshot_id: str,
    as_of: str,
    golden_digest: str,
    rows: dsl.Output[dsl.Dataset],
    training: dsl.Output[dsl.Dataset],
) -> NamedTuple("Extracted", [("feature_service", str), ("summary", str)]):
    """The rows of the run, and beside them those that a model may learn from."""
    from pipelines.steps import extract as step

    return step.run(function, feature_service, snapshot_id, as_of, golden_digest, rows, training)


@component
def tune(
    function: str,
    experiment: str,
    budget: str,
    rows: dsl.Input[dsl.Dataset],
    max_trials: int,
    seed: int,
    search: dsl.Output[dsl.Artifact],
) -> NamedTuple("Tuned", [("parameters", dict), ("summary", str)]):
    """Run the recipe's Katib Experiment within its budget."""
    from pipelines.steps import tune as step

    return step.run(function, experiment, budget, rows, max_trials, seed, search)


@component
def train(
    function: str,
    rows: dsl.Input[dsl.Dataset],
    parameters: dict,
    seed: int,
    model: dsl.Output[dsl.Model],
    epochs: int = 0,
    num_workers: int = 0,
) -> NamedTuple("Trained", [("summary", str)]):
    """Fit the model with the best parameters; on workers where the pipeline has any."""
    from pipelines.steps import train as step

    if not num_workers:
        return step.run_here(function, rows, parameters, model, seed=seed)
    return step.run(
        function, rows, parameters, model, workers=num_workers, epochs=epochs, seed=seed
    )


@component
def evaluate(
    function: str,
    model_name: str,
    model: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    champion: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Evaluated", [("summary", str)]):
    """Score the golden set, beside the baselines and the champion."""
    from pipelines.steps import evaluate as step

    return step.run(function, model_name, model, rows, champion, evaluation, metrics)


@component
def gate(
    thresholds: str, evaluation: dsl.Input[dsl.Artifact], decision: dsl.Output[dsl.Artifact]
) -> NamedTuple("Gated", [("verdict", str), ("reasons", list)]):
    """Decide: successful, failed or inconclusive."""
    from pipelines.steps import gate as step

    return step.run(thresholds, evaluation, decision)
