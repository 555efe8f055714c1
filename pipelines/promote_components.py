"""The steps of ``promote_pipeline``; they serve every recipe."""

from typing import NamedTuple

from kfp import dsl

from pipelines.components import component


@component
def verify_approval(
    approval_id: str,
    model_version: str,
) -> NamedTuple("Verified", [("model", str), ("version", str), ("summary", str)]):
    """The approval stands and everything it binds is unchanged."""
    from pipelines.steps import verify_approval

    return verify_approval.run(approval_id, model_version)


@component
def deploy_canary(
    approval_id: str, model: str, version: str, stop_at_percent: int, run_id: str, task: str
) -> NamedTuple("Deployed", [("release_id", str), ("summary", str)]):
    """Start the new revision at the plan's first weight."""
    from pipelines.steps import deploy_canary

    return deploy_canary.run(approval_id, model, version, stop_at_percent, run_id, task)


@component
def analyse(
    release_id: str, stop_at_percent: int, run_id: str, task: str, log: dsl.Output[dsl.Artifact]
) -> NamedTuple("Analysed", [("verdict", str), ("reasons", list)]):
    """Step the weight up, judging at each step."""
    from pipelines.steps import analyse

    return analyse.run(release_id, stop_at_percent, run_id, task, log)


@component
def promote(release_id: str) -> NamedTuple("Promoted", [("summary", str), ("next_command", str)]):
    """Traffic and alias move together to Production."""
    from pipelines.steps import promote

    return promote.run(release_id)


@component
def roll_back(release_id: str) -> NamedTuple("RolledBack", [("summary", str)]):
    """Traffic and alias go back together."""
    from pipelines.steps import roll_back

    return roll_back.run(release_id)
