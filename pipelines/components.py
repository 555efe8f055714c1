"""The steps as KFP components: one import and one call each.

Lightweight Python components carry only their own source: everything they
need is imported inside. ``install_kfp_package=False``: the image (or, locally,
the environment) already holds what runs. Steps that change something outside
the run are idempotent and their tasks switch caching off in the pipeline.
"""

from typing import NamedTuple

from kfp import dsl

IMAGE = "platform-ctl/python-recipe:0.1.0"
"""Fixed at compile time; a release replaces it by a digest."""


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def resolve() -> NamedTuple(
    "Resolved",
    [("snapshot_id", str), ("as_of", str), ("golden_digest", str), ("champion", str)],
):
    """Which data, golden set and champion this run is about."""
    from pipelines.steps import resolve

    return resolve.run()


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def extract(
    snapshot_id: str, as_of: str, golden_digest: str, rows: dsl.Output[dsl.Dataset]
) -> NamedTuple("Extracted", [("feature_service", str), ("summary", str)]):
    """Point-in-time feature rows of every repository and week."""
    from pipelines.steps import extract

    return extract.run(snapshot_id, as_of, golden_digest, rows)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tune(
    rows: dsl.Input[dsl.Dataset], max_trials: int, seed: int, search: dsl.Output[dsl.Artifact]
) -> NamedTuple("Tuned", [("parameters", dict), ("summary", str)]):
    """Run the recipe's Katib Experiment within its budget."""
    from pipelines.steps import tune

    return tune.run(rows, max_trials, seed, search)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    rows: dsl.Input[dsl.Dataset],
    parameters: dict,
    epochs: int,
    num_workers: int,
    seed: int,
    model: dsl.Output[dsl.Model],
) -> NamedTuple("Trained", [("summary", str)]):
    """Fit the model with the best parameters, data-parallel through Ray Train."""
    from pipelines.steps import train

    return train.run(rows, parameters, epochs, num_workers, seed, model)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    model: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    champion: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Evaluated", [("summary", str)]):
    """Score the golden set, beside the naive baselines and the champion."""
    from pipelines.steps import evaluate

    return evaluate.run(model, rows, champion, evaluation, metrics)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(evaluation: dsl.Input[dsl.Artifact], decision: dsl.Output[dsl.Artifact]) -> NamedTuple(
    "Gated", [("verdict", str), ("reasons", list)]
):
    """Decide: successful, failed or inconclusive."""
    from pipelines.steps import gate

    return gate.run(evaluation, decision)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    search: dsl.Input[dsl.Artifact],
    snapshot_id: str,
    golden_digest: str,
    feature_service: str,
) -> NamedTuple("Registered", [("version", str), ("verdict", str), ("summary", str)]):
    """Register in MLflow as Staging; idempotent by model digest."""
    from pipelines.steps import register

    return register.run(
        model, evaluation, decision, search, snapshot_id, golden_digest, feature_service
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def request_approval(version: str, champion: str) -> NamedTuple(
    "Requested", [("approval_id", str), ("summary", str), ("next_command", str)]
):
    """Ask a human; the same digests give the same request."""
    from pipelines.steps import request_approval

    return request_approval.run(version, champion)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def verify_approval(
    approval_id: str,
) -> NamedTuple("Verified", [("model", str), ("version", str), ("summary", str)]):
    """The approval stands and everything it binds is unchanged."""
    from pipelines.steps import verify_approval

    return verify_approval.run(approval_id)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deploy_canary(approval_id: str, model: str, version: str) -> NamedTuple(
    "Deployed", [("release_id", str), ("summary", str)]
):
    """Start the new revision at the plan's first weight."""
    from pipelines.steps import deploy_canary

    return deploy_canary.run(approval_id, model, version)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def analyse(release_id: str, log: dsl.Output[dsl.Artifact]) -> NamedTuple(
    "Analysed", [("verdict", str), ("reasons", list)]
):
    """Step the weight up, judging at each step."""
    from pipelines.steps import analyse

    return analyse.run(release_id, log)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote(release_id: str) -> NamedTuple("Promoted", [("summary", str), ("next_command", str)]):
    """Traffic and alias move together to Production."""
    from pipelines.steps import promote

    return promote.run(release_id)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def roll_back(release_id: str) -> NamedTuple("RolledBack", [("summary", str)]):
    """Traffic and alias go back together."""
    from pipelines.steps import roll_back

    return roll_back.run(release_id)
