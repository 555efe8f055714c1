"""The steps of ``train_deploy_pipeline``: which of the recipe's functions each one calls.

What a step does around them (settings, registry, lines for people) is the same
for every recipe and stands in ``pipelines/steps``. Each component names only
what it needs, because that is what its cache key holds.
"""

from typing import NamedTuple

from kfp import dsl

from pipelines.components import component


@component
def resolve() -> NamedTuple(
    "Resolved",
    [("snapshot_id", str), ("as_of", str), ("golden_digest", str), ("champion", str)],
):
    """Which data, golden set and champion this run is about."""
    from pipelines.steps import resolve as step
    from recipes.train_deploy import data, names

    return step.run(data.resolve, names.MODEL)


@component
def extract(
    snapshot_id: str,
    as_of: str,
    golden_digest: str,
    rows: dsl.Output[dsl.Dataset],
    training: dsl.Output[dsl.Dataset],
) -> NamedTuple("Extracted", [("feature_service", str), ("summary", str)]):
    """Point-in-time feature rows of every repository and week."""
    from pipelines.steps import extract as step
    from recipes.train_deploy import names
    from recipes.train_deploy.extract import extract

    return step.run(
        extract, names.FEATURE_SERVICE, snapshot_id, as_of, golden_digest, rows, training
    )


@component
def tune(
    rows: dsl.Input[dsl.Dataset], max_trials: int, seed: int, search: dsl.Output[dsl.Artifact]
) -> NamedTuple("Tuned", [("parameters", dict), ("summary", str)]):
    """Run the recipe's Katib Experiment within its budget."""
    from pipelines.steps import tune as step
    from recipes.train_deploy.recipe import BUDGET, EXPERIMENT_FILE
    from recipes.train_deploy.train import trial

    return step.run(trial, EXPERIMENT_FILE, BUDGET, rows, max_trials, seed, search)


@component
def train(
    rows: dsl.Input[dsl.Dataset],
    parameters: dict,
    epochs: int,
    num_workers: int,
    seed: int,
    model: dsl.Output[dsl.Model],
) -> NamedTuple("Trained", [("summary", str)]):
    """Fit the model with the best parameters, data-parallel through Ray Train."""
    from pipelines.steps import train as step
    from recipes.train_deploy.train import fit

    return step.run(fit, rows, parameters, model, workers=num_workers, epochs=epochs, seed=seed)


@component
def evaluate(
    model: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    champion: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Evaluated", [("summary", str)]):
    """Score the golden set, beside the baselines and the champion."""
    from pipelines.steps import evaluate as step
    from recipes.train_deploy import evaluate, names

    return step.run(evaluate.evaluate, names.MODEL, model, rows, champion, evaluation, metrics)


@component
def gate(evaluation: dsl.Input[dsl.Artifact], decision: dsl.Output[dsl.Artifact]) -> NamedTuple(
    "Gated", [("verdict", str), ("reasons", list)]
):
    """Decide: successful, failed or inconclusive."""
    from pipelines.steps import gate as step
    from recipes.train_deploy.recipe import GATE

    return step.run(GATE, evaluation, decision)
