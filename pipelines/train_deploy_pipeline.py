"""From data in Iceberg to a model in Staging and a request for approval."""

from kfp import dsl

from pipelines import registration_components as registration
from pipelines import train_deploy_components as step
from recipes.train_deploy import names


@dsl.pipeline(
    name=names.PIPELINE,
    description="Resolve, extract, tune, train, evaluate, gate, register as Staging, ask a human.",
)
def flow(max_trials: int = 20, epochs: int = 10, num_workers: int = 2, seed: int = 0):
    """Parameters: trials of the search, epochs and DDP workers of the final fit, seed of both."""
    resolved = step.resolve().set_caching_options(False)
    extracted = step.extract(
        snapshot_id=resolved.outputs["snapshot_id"],
        as_of=resolved.outputs["as_of"],
        golden_digest=resolved.outputs["golden_digest"],
    )
    rows, training = extracted.outputs["rows"], extracted.outputs["training"]
    tuned = step.tune(rows=training, max_trials=max_trials, seed=seed)
    trained = step.train(
        rows=training,
        parameters=tuned.outputs["parameters"],
        epochs=epochs,
        num_workers=num_workers,
        seed=seed,
    )
    evaluated = step.evaluate(
        model=trained.outputs["model"], rows=rows, champion=resolved.outputs["champion"]
    )
    gated = step.gate(evaluation=evaluated.outputs["evaluation"])
    registration.register_if_successful(
        names.RECIPE,
        resolved=resolved.outputs,
        extracted=extracted.outputs,
        tuned=tuned.outputs,
        model=trained.outputs["model"],
        evaluation=evaluated.outputs["evaluation"],
        gated=gated.outputs,
    )
