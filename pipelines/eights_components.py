"""The steps of ``eights_pipeline``: which of the recipe's functions each one calls."""

from typing import NamedTuple

from kfp import dsl

from pipelines.components import component


@component
def resolve() -> NamedTuple(
    "Resolved", [("snapshot_id", str), ("as_of", str), ("golden_digest", str), ("champion", str)]
):
    from pipelines.steps import resolve as step
    from recipes.eights import data
    from recipes.eights.recipe import RECIPE

    return step.run(data.resolve, RECIPE.model_name)


@component
def extract(
    snapshot_id: str,
    as_of: str,
    golden_digest: str,
    rows: dsl.Output[dsl.Dataset],
    training: dsl.Output[dsl.Dataset],
) -> NamedTuple("Extracted", [("feature_service", str), ("summary", str)]):
    from pipelines.steps import extract as step
    from recipes.eights.extract import extract

    return step.run(extract, "", snapshot_id, as_of, golden_digest, rows, training)


@component
def tune(
    rows: dsl.Input[dsl.Dataset], max_trials: int, seed: int, search: dsl.Output[dsl.Artifact]
) -> NamedTuple("Tuned", [("parameters", dict), ("summary", str)]):
    from pipelines.steps import tune as step
    from recipes.eights.recipe import BUDGET
    from recipes.eights.train import trial

    return step.run(trial, "experiment.yaml", BUDGET, rows, max_trials, seed, search)


@component
def train(
    rows: dsl.Input[dsl.Dataset], parameters: dict, seed: int, model: dsl.Output[dsl.Model]
) -> NamedTuple("Trained", [("summary", str)]):
    from pipelines.steps import train as step
    from recipes.eights.train import fit

    return step.run_here(fit, rows, parameters, model, seed=seed)


@component
def evaluate(
    model: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    champion: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Evaluated", [("summary", str)]):
    from pipelines.steps import evaluate as step
    from recipes.eights.evaluate import evaluate
    from recipes.eights.recipe import RECIPE

    return step.run(evaluate, RECIPE.model_name, model, rows, champion, evaluation, metrics)


@component
def gate(evaluation: dsl.Input[dsl.Artifact], decision: dsl.Output[dsl.Artifact]) -> NamedTuple(
    "Gated", [("verdict", str), ("reasons", list)]
):
    from pipelines.steps import gate as step
    from recipes.eights.recipe import GATE

    return step.run(GATE, evaluation, decision)
