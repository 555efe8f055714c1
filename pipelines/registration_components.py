"""The last two steps of every training pipeline. They are never served from the cache, so that the
recipe may come in by name: no cache key has to hold its code.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kfp import dsl

from pipelines.components import component

Outputs = Mapping[str, Any]
"""Of a task: name -> channel."""


@component
def register(
    recipe: str,
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    search: dsl.Input[dsl.Artifact],
    snapshot_id: str,
    golden_digest: str,
    feature_service: str,
    run_id: str,
) -> NamedTuple("Registered", [("version", str), ("verdict", str), ("summary", str)]):
    """Register in MLflow as Staging; idempotent by model digest."""
    from pipelines.steps import register as step

    return step.run(
        recipe,
        model,
        evaluation,
        decision,
        search,
        snapshot_id,
        golden_digest,
        feature_service,
        run_id,
    )


@component
def request_approval(recipe: str, version: str, champion: str) -> NamedTuple(
    "Requested", [("approval_id", str), ("summary", str), ("next_command", str)]
):
    """Ask a human; the same digests give the same request."""
    from pipelines.steps import request_approval as step

    return step.run(recipe, version, champion)


def register_if_successful(
    recipe: str,
    resolved: Outputs,
    extracted: Outputs,
    tuned: Outputs,
    model: Any,
    evaluation: Any,
    gated: Outputs,
) -> None:
    """Add both steps to the pipeline that is being defined, behind the gate's verdict."""
    with dsl.If(gated["verdict"] == "successful", name="gate-passed"):
        registered = register(
            recipe=recipe,
            model=model,
            evaluation=evaluation,
            decision=gated["decision"],
            search=tuned["search"],
            snapshot_id=resolved["snapshot_id"],
            golden_digest=resolved["golden_digest"],
            feature_service=extracted["feature_service"],
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        ).set_caching_options(False)
        request_approval(
            recipe=recipe, version=registered.outputs["version"], champion=resolved["champion"]
        ).set_caching_options(False)
